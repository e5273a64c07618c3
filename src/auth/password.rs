//! Changes a password.

use super::Auth;
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

impl Auth<'_> {
    /// Replaces the user's password. In the same transaction every other session of the user ends,
    /// and every link that was mailed to them. This session goes on under a new token.
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
    /// [`Password`](ChangePasswordError::Password). `Failed` if the database or the hashing workers
    /// fail, or, with [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the
    /// user's.
    pub async fn change_password(
        &self,
        user: &User,
        current: Password,
        new: NewPassword,
    ) -> Result<(), ChangePasswordError> {
        // Somebody who changes a password after an incident must not believe that there is a new
        // one if it is still the old one.
        let is_present = new.is_same(&current);
        let stored = self.check_password(user, current).await?;
        let stored = stored.ok_or(ChangePasswordError::WrongPassword)?;
        if is_present {
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
        self.note_session(&mut change, Act::PasswordChanged, Some(user.id)).await?;
        let ended = change.end_sessions(user.id, self.session.family()).await?;
        link::end_all(&mut change, user.id).await?;
        // A thief's devices are no longer known, and their failures no longer count.
        device::forget_others(&mut change, user.id, self.device.as_ref().map(Token::id)).await?;
        change.forget_failures(&user.email).await?;
        change.record(EventKind::PasswordChanged, user).await?;
        let content = change.content(&user.email);
        change.notify(Notice::PasswordChanged, user, &user.email, content).await?;
        change.commit_session(self.session, renamed).await?;
        metrics::ended(ended);
        Ok(())
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
