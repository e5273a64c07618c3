//! Changing a password, and choosing a new one by mail.

use super::Auth;
use crate::done::Act;
use crate::error::Error;
use crate::history::Kind;
use crate::link::{self, Link, Purpose};
use crate::notice::{self, Notice};
use crate::password::{NewPassword, Password, PasswordError};
use crate::session::store as sessions;
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};
use crate::{device, metrics};

/// Why a password stays as it is.
#[derive(Debug)]
pub enum ChangePasswordError {
    /// The current password is wrong.
    Wrong,
    /// The new one is the current one, or is known from a breach.
    New(PasswordError),
    /// Our side failed; nothing has changed.
    Failed(Error),
}

/// Why a link to a new password has set none.
#[derive(Debug)]
pub enum ResetError {
    /// The link is spent, has expired, or never was one.
    Dead,
    /// The new password is the one that the account has already, or is known from
    /// a breach. The link is still good.
    New(PasswordError),
    /// Our side failed; nothing has changed.
    Failed(Error),
}

impl From<Error> for ChangePasswordError {
    fn from(error: Error) -> Self {
        ChangePasswordError::Failed(error)
    }
}

impl From<PasswordError> for ChangePasswordError {
    fn from(error: PasswordError) -> Self {
        ChangePasswordError::New(error)
    }
}

impl From<Error> for ResetError {
    fn from(error: Error) -> Self {
        ResetError::Failed(error)
    }
}

impl From<PasswordError> for ResetError {
    fn from(error: PasswordError) -> Self {
        ResetError::New(error)
    }
}

impl Auth<'_> {
    /// Replaces the user's password. In the same transaction every other
    /// session of his ends, and every link that was mailed to him; this session
    /// goes on under a new token.
    ///
    /// # Errors
    ///
    /// When `current` is wrong, `new` is the same or known from a breach, the
    /// session was ended meanwhile, or the database or the hashing workers fail.
    pub async fn change_password(
        &self,
        user: &User,
        current: Password,
        new: NewPassword,
    ) -> Result<(), ChangePasswordError> {
        // Somebody who changes a password after an incident must not believe that a new one
        // is set where there is none.
        let is_present = new.is_same(&current);
        let stored = self.check_password(user, current).await?;
        let stored = stored.ok_or(ChangePasswordError::Wrong)?;
        if is_present {
            return Err(PasswordError::Present.into());
        }
        self.refuse_breached::<ChangePasswordError>(&new).await?;
        let hash = self.hash(new).await?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user().await?;
        if !user::store::confirm_password_hash(&mut change, user.id, &stored, &hash).await? {
            return Err(ChangePasswordError::Wrong);
        }

        let renamed = self.session.rename(&mut change, true).await?;
        self.note_session(&mut change, Act::PasswordChanged, Some(user.id)).await?;
        let ended = sessions::end_of_user(&mut change, user.id, self.session.family()).await?;
        link::end_all(&mut change, user.id).await?;
        // A thief's devices are no longer known, and his failures no longer count.
        device::forget_others(&mut change, user.id, self.device.as_ref().map(Token::id)).await?;
        change.forget_failures(&user.email).await?;
        change.record(Kind::PasswordChanged, user).await?;
        let content = change.content(&user.email);
        change.notify(Notice::PasswordChanged, user, &user.email, content).await?;
        change.commit_session(self.session, renamed).await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Mails a link to a new password to `email`, if it has an account that is
    /// not disabled. Nothing tells whether it has.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn ask_reset(&self, email: &Email) -> Result<(), Error> {
        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        let account = user::store::find_by_email(&mut change, email).await?;
        change.begin(&self.limits_of_mail("reset", email)).await?;
        let user = account.filter(|account| account.disabled_at.is_none()).map(|found| found.user);
        let id = user.as_ref().map(|user| user.id);
        change.record_of(Kind::ResetAsked, id, Some(email)).await?;
        change.begin_masked().await?;
        match &user {
            Some(user) => change.mail_link("reset", Purpose::Reset, user, &user.email).await?,
            None => {
                change.mail_sign_up(email, self.hasher.unusable()).await?;
            }
        }
        change.end_masked(user.is_some()).await?;
        change.commit().await
    }

    /// The address whose password the link `token` would set. Nothing changes.
    /// `None`: it is spent, has expired, or never was one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_reset(&self, token: &str) -> Result<Option<Email>, Error> {
        let Some(token) = Token::parse(token) else { return Ok(None) };
        Ok(self.find_reset_of(token.id()).await?.map(|(link, _)| link.email))
    }

    async fn find_reset_of(&self, id: TokenId) -> Result<Option<(Link, Account)>, Error> {
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let link = link::find(&mut db, id, &[Purpose::Reset], now).await?;
        let Some((link, user_id)) = link.and_then(|link| link.user_id.map(|id| (link, id))) else {
            return Ok(None);
        };
        let account = user::store::find(&mut db, user_id).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        Ok(account.map(|account| (link, account)))
    }

    /// Refuses a password that is known from a breach elsewhere, if there is a
    /// service to ask. To be asked last of all: each time somebody else learns five
    /// digits of a hash, and may be slow.
    pub(super) async fn refuse_breached<E>(&self, new: &NewPassword) -> Result<(), E>
    where
        E: From<Error> + From<PasswordError>,
    {
        let Some(url) = &self.config.password.breached_url else { return Ok(()) };
        match new.is_breached(url, &self.accounts.client.network()).await? {
            true => Err(PasswordError::Breached.into()),
            false => Ok(()),
        }
    }

    /// Sets the password of the account that the link `token` was made for.
    /// Every session of the user ends, and every link; nobody is logged in. All
    /// notices are switched on, and the reset is told by mail.
    ///
    /// For ten minutes the browser that has spent the link is told the same again, if
    /// it gives the same password. Somebody with the link learns whether `new` is the
    /// present password. It is one guess for a link: if it is not, it becomes the
    /// password, and for a spent one there is no other.
    ///
    /// # Errors
    ///
    /// When the link is dead, `new` is the account's password already or known from
    /// a breach, or the database or the hashing workers fail.
    pub async fn reset(&self, token: &str, new: NewPassword) -> Result<(), ResetError> {
        let Some(id) = Token::parse(token).map(|token| token.id()) else {
            self.refuse_link().await?;
            return Err(ResetError::Dead);
        };
        let typed = Password::from(new.clone());
        // Before it is hashed: a stranger must not have us work for nothing.
        let Some((_, account)) = self.find_reset_of(id).await? else {
            if self.was_reset_to(id, typed).await? {
                return Ok(());
            }
            self.refuse_link().await?;
            return Err(ResetError::Dead);
        };
        if self.verify_hash(typed.clone(), Some(&account.password_hash)).await?.matches {
            // Of two at once the first may have set it between two look-ups.
            return match self.was_reset(token).await? {
                true => Ok(()),
                false => Err(PasswordError::Present.into()),
            };
        }
        self.refuse_breached::<ResetError>(&new).await?;
        let hash = self.hash(new).await?;

        let mut change = self.accounts.change().await?;
        let link = change.take(id, &[Purpose::Reset]).await?;
        let Some((link, user_id)) = link.and_then(|link| link.user_id.map(|id| (link, id))) else {
            drop(change);
            return match self.was_reset_to(id, typed).await? {
                true => Ok(()),
                false => Err(ResetError::Dead),
            };
        };
        let account = user::store::find(&mut change, user_id).await?;
        let Some(user) = account.filter(|account| account.disabled_at.is_none()) else {
            return Err(ResetError::Dead);
        };

        let (user, now) = (user.user, change.now);
        if !user.email.is_same(&link.email) {
            return Err(ResetError::Dead);
        }
        // Somebody who used a mailed link reads the mail of its address.
        if link.is_mailed {
            user::store::verify(&mut change, user.id, &link.email, now).await?;
        }
        let ended = change.replace_password(&user, &hash).await?;
        // A thief has switched them off, this one above all.
        notice::set(&mut change, user.id, &Notice::ALL).await?;
        change.forget_failures(&user.email).await?;
        change.record(Kind::PasswordReset, &user).await?;
        self.note_link(&mut change, id, Act::PasswordReset, user.id).await?;
        let content = change.content(&user.email);
        change.notify(Notice::PasswordReset, &user, &user.email, content).await?;
        change.commit().await?;
        metrics::ended(ended);
        self.forget_session_of(&user);
        self.send_done(id);
        Ok(())
    }

    /// Forgets this browser's session if it was one of `user`'s, which have ended.
    pub(super) fn forget_session_of(&self, user: &User) {
        if self.session.user().is_some_and(|present| present.id == user.id) {
            self.session.forget();
        }
    }
}
