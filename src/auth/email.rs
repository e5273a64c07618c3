//! Confirming an address, and moving to another one.

use super::Auth;
use crate::error::Error;
use crate::history::Kind;
use crate::link::{self, Purpose};
use crate::mail::Content;
use crate::notice::Notice;
use crate::password::Password;
use crate::token::Token;
use crate::user::{self, Email, User};

/// The purposes of links that confirm an address.
const CONFIRMING: [Purpose; 3] = [Purpose::SignUp, Purpose::Verify, Purpose::ChangeEmail];

/// What a link that confirms an address did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The address is confirmed.
    Confirmed,
    /// The account has a new address.
    Changed,
    /// There is an account, but the password chosen at the sign-up is void,
    /// since the link was used in another browser: it takes a reset to log in.
    WithoutPassword,
}

impl Auth<'_> {
    /// Mails the link that confirms the user's address once more. Where it is
    /// confirmed already, or mail is off, it does nothing.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn ask_verification(&self, user: &User) -> Result<(), Error> {
        if user.verified_at.is_some() {
            return Ok(());
        }

        let mut change = self.change_as_user().await?;
        change.mail_link("verify", Purpose::Verify, user, &user.email).await?;
        change.commit().await
    }

    /// Mails a link to the address `email`, which becomes the user's when it is
    /// used, and a notice to the present one. `false`: `password` is wrong.
    ///
    /// The answer is the same for an address that has an account; its owner is
    /// told by mail.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when the session was ended meanwhile;
    /// otherwise when the database or the hashing workers fail.
    pub async fn change_email(
        &self,
        user: &User,
        email: &Email,
        password: Password,
    ) -> Result<bool, Error> {
        let Some(stored) = self.check_password(user, password).await? else { return Ok(false) };

        let mut change = self.change_as_user().await?;
        if !user::store::confirm_password_hash(&mut change, user.id, &stored, &stored).await? {
            return Ok(false);
        }

        change.record(Kind::EmailChangeAsked, user).await?;
        let owner = user::store::find_by_email(&mut change, email).await?;
        match owner.filter(|account| account.user.id != user.id) {
            None => {
                let to = email.as_str();
                change.mail_link("change_email", Purpose::ChangeEmail, user, to).await?;
            }
            Some(owner) => {
                change.record(Kind::EmailChangeRefused, &owner.user).await?;
                change.mail_taken("change_email_taken", "/account", &owner.user).await?;
                change.pretend(email.as_str(), stored).await?;
            }
        }

        let content = Content { new_address: email.to_string(), ..change.content(&user.email) };
        change.tell("change_email_asked", user, &user.email, content).await?;
        change.commit().await?;
        Ok(true)
    }

    /// What the link `token` would confirm, and for which address. Nothing
    /// changes. `None`: it is spent, has expired, or never was one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_verification(
        &self,
        token: &str,
    ) -> Result<Option<(Verified, String)>, Error> {
        let Some(token) = Token::parse(token) else { return Ok(None) };
        let mut db = self.accounts.db.read().await?;
        let link = link::find(&mut db, token.id(), &CONFIRMING, self.accounts.clock.now()).await?;
        Ok(link.map(|link| match link.purpose {
            Purpose::ChangeEmail => (Verified::Changed, link.email),
            _ => (Verified::Confirmed, link.email),
        }))
    }

    /// Confirms the address that the link `token` was mailed to, and logs
    /// nobody in. `None`: it is spent, has expired, or never was one.
    ///
    /// What is confirmed is the address that stands with the token. Of an
    /// account that holds a pending address, two changes at once would confirm
    /// one with the mail of the other (CVE-2026-32700).
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn verify(&self, token: &str) -> Result<Option<Verified>, Error> {
        let Some(token) = Token::parse(token) else { return Ok(None) };
        let mut change = self.accounts.change().await?;
        let Some(link) = change.take(token.id(), &CONFIRMING).await? else {
            change.record_of(Kind::LinkRefused, None, None).await?;
            change.commit().await?;
            return Ok(None);
        };
        if let Some(chosen) = link.password_hash {
            return self.confirm_sign_up(change, token.id(), link.email, chosen).await;
        }

        let account = match link.user_id {
            Some(id) => user::store::find(&mut change, id).await?,
            None => None,
        };
        let Some(account) = account else { return Ok(None) };
        let (user, now) = (&account.user, change.now);
        if link.purpose == Purpose::Verify {
            if !user::store::verify(&mut change, user.id, &link.email, now).await? {
                return Ok(None);
            }
            change.record(Kind::EmailVerified, user).await?;
            change.commit().await?;
            return Ok(Some(Verified::Confirmed));
        }

        match user::store::set_email(&mut change, user.id, &link.email, now).await {
            Ok(()) => {}
            // Somebody else has taken it since.
            Err(error) if error.is_duplicate("users.email") => return Ok(None),
            Err(error) => return Err(error),
        }
        link::end_all(&mut change, user.id).await?;
        change.record(Kind::EmailChanged, user).await?;
        let content = Content { new_address: link.email, ..change.content(&user.email) };
        change.notify(Notice::EmailChanged, user, &user.email, content).await?;
        change.commit().await?;
        Ok(Some(Verified::Changed))
    }
}
