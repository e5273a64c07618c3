//! "This was not me."

use super::Auth;
use crate::error::Error;
use crate::history::Kind;
use crate::link::{self, Purpose};
use crate::session::store as sessions;
use crate::token::Token;
use crate::user;
use crate::{device, metrics};

impl Auth<'_> {
    /// The address that the link "this was not me" `token` was mailed to.
    /// Nothing changes. `None`: it is spent, has expired, or never was one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_not_me(&self, token: &str) -> Result<Option<String>, Error> {
        let Some(token) = Token::parse(token) else { return Ok(None) };
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let link = link::find(&mut db, token.id(), &[Purpose::NotMe], now).await?;
        Ok(link.map(|link| link.email))
    }

    /// Takes an account out of the hands of whoever has got hold of it: ends
    /// every session and every pending link, makes the password void, gives the
    /// account back the address that the mail went to, if it has been changed
    /// since, and mails a link to a new password there. `false`: the link is
    /// spent, has expired, or never was one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn lock(&self, token: &str) -> Result<bool, Error> {
        let Some(token) = Token::parse(token) else { return Ok(false) };
        let (mut change, id) = (self.accounts.change().await?, token.id());
        let now = change.now;
        let link = link::find(&mut change, id, &[Purpose::NotMe], now).await?;
        let Some((link, user_id)) = link.and_then(|link| link.user_id.map(|id| (link, id))) else {
            change.record_of(Kind::LinkRefused, None, None).await?;
            change.commit().await?;
            return Ok(false);
        };
        let Some(account) = user::store::find(&mut change, user_id).await? else {
            return Ok(false);
        };

        let mut user = account.user;
        link::end_later_not_me(&mut change, user.id, &link.email, id).await?;
        change.take(id, &[Purpose::NotMe]).await?;
        // Otherwise the new password would go to whoever changed the address.
        // Nobody else can have got it: it is kept for as long as this link.
        if !user.email.eq_ignore_ascii_case(&link.email) {
            user::store::set_email(&mut change, user.id, &link.email, now).await?;
            change.record(Kind::EmailChanged, &user).await?;
            user.email = link.email;
        }

        let void = self.hasher.unusable();
        user::store::set_password_hash(&mut change, user.id, &void).await?;
        let ended = sessions::delete_of_user(&mut change, user.id, None).await?;
        device::forget_all(&mut change, user.id).await?;
        link::end_all(&mut change, user.id).await?;
        change.record(Kind::Locked, &user).await?;
        if account.disabled_at.is_none() {
            change.mail_link("locked", Purpose::Reset, &user, &user.email).await?;
        }
        change.commit().await?;
        metrics::ended(ended);
        if self.session.user().is_some_and(|present| present.id == user.id) {
            self.session.forget();
        }
        Ok(true)
    }
}
