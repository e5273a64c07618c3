//! Changes a password.

use super::change::Change;
use super::{Auth, Factors};
use crate::done::Act;
use crate::error::Error;
use crate::history::EventKind;
use crate::link;
use crate::notice::Notice;
use crate::password::{NewPassword, Password, PasswordError};
use crate::session::Given;
use crate::token::Token;
use crate::user::{self, User};
use crate::{device, metrics};

refusals! {
    /// Why [`Auth::change_password()`] changed no password.
    ChangePasswordError {
        WrongPassword,
        ;
        /// The new password is the present one, or is known from a breach.
        Password(PasswordError),
    }
}

refusals! {
    /// Why [`Auth::remove_password()`] removed no password.
    RemovePasswordError { NoOtherWayIn }
}

impl Auth<'_> {
    /// Replaces the user's password. In the same transaction every other session of the user ends,
    /// and every link that was mailed to them. This session goes on under a new token.
    ///
    /// If the account has no password, this sets one: `current` is not looked at, and the log-in must be
    /// a recent one.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Password;
    /// use rocket_login::auth::ChangePasswordError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let current = Password::typed("correct horse battery");
    /// let new = auth.new_password("wooden battery horse", &user.email).unwrap();
    /// auth.change_password(user, current.clone(), new.clone()).await.expect("a new password");
    ///
    /// let refused = auth.change_password(user, current, new).await.unwrap_err();
    /// assert!(matches!(refused, ChangePasswordError::WrongPassword));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WrongPassword`](ChangePasswordError::WrongPassword) and
    /// [`Password`](ChangePasswordError::Password). `Failed` if the database or the hashing workers fail,
    /// with [`is_not_recent()`](Error::is_not_recent()) if the account has no password and the log-in is
    /// not recent, or, with [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not
    /// the user's.
    pub async fn change_password(
        &self,
        user: &User,
        current: Password,
        new: NewPassword,
    ) -> Result<(), ChangePasswordError> {
        // Somebody who changes a password after an incident must not believe that there is a new
        // one if it is still the old one.
        let is_present = new.is_same(&current);
        let stored = self.check_current(user, current).await?;
        let stored = stored.ok_or(ChangePasswordError::WrongPassword)?;
        if is_present && !stored.is_unusable() {
            return Err(PasswordError::Present.into());
        }
        self.refuse_breached::<ChangePasswordError>(&new).await?;
        let hash = self.hash(new).await?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let (id, now) = (user.id, Some(change.now));
        if !user::store::confirm_password_hash(&mut change, id, &stored, &hash, now).await? {
            return Err(ChangePasswordError::WrongPassword);
        }

        let renamed = self.session.rename(&mut change, Some(Given::OneFactor)).await?;
        let ended = self.end_others(&mut change, user, Act::PasswordChanged).await?;
        change.record(EventKind::PasswordChanged, user).await?;
        let content = change.content(&user.email);
        change.notify(Notice::PasswordChanged, user, &user.email, content).await?;
        change.commit_session(self.session, renamed).await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Removes the user's password. From then on they log in with a passkey. All other sessions and mailed
    /// links end, as with a changed password, and this session goes on under a new token. If the account
    /// has no password, nothing changes.
    ///
    /// The account needs two passkeys that log in without the password. If the site has mail, one and
    /// recovery codes are enough, because a reset by mail sets a password again. A route for it should take
    /// [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::RemovePasswordError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// // Ada has no passkey, so nothing else would log in.
    /// let refused = auth.remove_password(user).await.unwrap_err();
    /// assert!(matches!(refused, RemovePasswordError::NoOtherWayIn));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoOtherWayIn`](RemovePasswordError::NoOtherWayIn). `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn remove_password(&self, user: &User) -> Result<(), RemovePasswordError> {
        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let account = user::store::find(&mut change, user.id).await?.ok_or_else(Error::ended)?;
        if account.password_hash.is_unusable() {
            return Ok(());
        }
        let now = change.now;
        let factors = Factors::read(&mut change, user.id, now, self.config).await?;
        if !self.is_password_optional(&factors) {
            return Err(RemovePasswordError::NoOtherWayIn);
        }

        user::store::set_password_hash(&mut change, user.id, &self.hasher.unusable(), now).await?;
        let renamed = self.session.rename(&mut change, None).await?;
        let ended = self.end_others(&mut change, user, Act::PasswordRemoved).await?;
        change.record_detail(EventKind::FactorRemoved, "password", user).await?;
        let content = change.content(&user.email);
        change.notify_factor("password_removed", user, content).await?;
        change.commit_session(self.session, renamed).await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Ends all that the former password has begun, except this session. Returns how many sessions ended.
    /// `act` is what this session has done.
    async fn end_others(
        &self,
        change: &mut Change<'_>,
        user: &User,
        act: Act,
    ) -> Result<u64, Error> {
        self.note_session(change, act, Some(user.id)).await?;
        let ended = change.end_sessions(user.id, self.session.family()).await?;
        link::end_all(change, user.id).await?;
        // A thief's devices are no longer known, and their failures no longer count.
        device::forget_others(change, user.id, self.device.as_ref().map(Token::id)).await?;
        change.forget_failures(&user.email).await?;
        Ok(ended)
    }

    /// Refuses a password that is known from a breach elsewhere, if a service is configured. Ask it
    /// last: the service learns five digits of a hash each time, and may be slow.
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

    /// Drops this browser's session if it was one of `user`'s, which have ended.
    pub(super) fn forget_session_of(&self, user: &User) {
        if self.session.user_id() == Some(user.id) {
            self.session.forget();
        }
    }
}
