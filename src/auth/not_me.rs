//! "This was not me."

use super::Auth;
use super::change::Change;
use crate::done::Act;
use crate::error::Error;
use crate::history::Kind;
use crate::link::{self, Link, Purpose};
use crate::metrics;
use crate::notice::{self, Notice};
use crate::token::{Token, TokenId};
use crate::user::{self, Email};

/// What "this was not me" did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing has happened unless it says so"]
pub enum Locked {
    /// The account is locked, and a mail with a link to a new password is on its
    /// way.
    Mailed,
    /// The account is locked; the operator must help.
    Unmailed,
    /// The link is spent, has expired, or never was one.
    Dead,
}

impl Auth<'_> {
    /// The address that the link "this was not me" `token` was mailed to.
    /// Nothing changes. `None`: it is spent, has expired, or never was one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_not_me(&self, token: &str) -> Result<Option<Email>, Error> {
        let Some(token) = Token::parse(token) else { return Ok(None) };
        Ok(self.find_not_me_link(token.id()).await?.map(|link| link.email))
    }

    async fn find_not_me_link(&self, id: TokenId) -> Result<Option<Link>, Error> {
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        link::find(&mut db, id, &[Purpose::NotMe], now).await
    }

    /// Takes an account out of the hands of whoever has got hold of it: ends
    /// every session and every pending link, and "this was not me" as it was
    /// mailed elsewhere since; makes the password void; switches all notices on;
    /// gives the account back the address that the mail went to, if it has been
    /// changed since, and mails a link to a new password there. The address that
    /// the account had until then is told.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn lock(&self, token: &str) -> Result<Locked, Error> {
        let Some(id) = Token::parse(token).map(|token| token.id()) else {
            self.refuse_link().await?;
            return Ok(Locked::Dead);
        };
        let Some(link) = self.find_not_me_link(id).await? else {
            let before = self.locked_before(token).await?;
            if before == Locked::Dead {
                self.refuse_link().await?;
            }
            return Ok(before);
        };
        let Some(user_id) = link.user_id else { return Ok(Locked::Dead) };
        let mut change = self.accounts.change().await?;
        change.lock_address(&link.email).await?;
        let Some(account) = user::store::find(&mut change, user_id).await? else {
            return Ok(Locked::Dead);
        };

        let (mut user, now) = (account.user, change.now);
        link::end_later_not_me(&mut change, user.id, &link.email, id).await?;
        if change.take(id, &[Purpose::NotMe]).await?.is_none() {
            drop(change);
            return self.locked_before(token).await;
        }
        // Otherwise the new password would go to whoever changed the address. Should
        // somebody else have got it, which only another program can do, all but
        // this is done.
        let is_present = user.email.is_same(&link.email);
        let is_reached = is_present || is_free(&mut change, &link.email).await?;
        if !is_present {
            change.tell_overruled(&user, &link.email, is_reached).await?;
        }
        if !is_present && is_reached {
            user::store::set_email(&mut change, user.id, &link.email, now).await?;
            change.record(Kind::EmailChanged, &user).await?;
            user.email = link.email;
        }

        let ended = change.replace_password(&user, &self.hasher.unusable()).await?;
        notice::set(&mut change, user.id, &Notice::ALL).await?;
        change.record(Kind::Locked, &user).await?;
        let is_mailed = is_reached && account.disabled_at.is_none() && self.has_mail();
        if is_mailed {
            // It is the owner's way back, and its link was mailed: it is sent in any case.
            change.count_mail().await?;
            change.mail_link("locked", Purpose::Reset, &user, &user.email).await?;
        }
        let act = if is_mailed { Act::Locked } else { Act::LockedUnmailed };
        self.note_link(&mut change, id, act, user.id).await?;
        change.commit().await?;
        metrics::ended(ended);
        self.forget_session_of(&user);
        self.send_done(id);
        Ok(if is_mailed { Locked::Mailed } else { Locked::Unmailed })
    }
}

impl Auth<'_> {
    /// What the link `token` has done a moment ago in this browser.
    pub(crate) async fn locked_before(&self, token: &str) -> Result<Locked, Error> {
        Ok(match self.done_by_link(token).await?.map(|done| done.act) {
            Some(Act::Locked) => Locked::Mailed,
            Some(Act::LockedUnmailed) => Locked::Unmailed,
            _ => Locked::Dead,
        })
    }
}

async fn is_free(change: &mut Change<'_>, email: &Email) -> Result<bool, Error> {
    Ok(user::store::see_by_email(change, email).await?.is_none())
}
