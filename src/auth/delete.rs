//! Deletes an account.

use super::{Actor, Auth};
use crate::done::Act;
use crate::history::EventKind;
use crate::metrics;
use crate::password::Password;
use crate::user::{self, User};
use crate::web::FieldErrors;

refusals! {
    /// Why [`Auth::delete()`] did not delete the account.
    DeleteError {
        WrongPassword,
        ;
        /// A [hook](super::Hooks::before_delete()) of the application has refused it.
        Refused(FieldErrors),
    }
}

impl Auth<'_> {
    /// Deletes the account and everything that is stored about it, at once and for good. Rows of
    /// the application that reference `users (id) ON DELETE CASCADE` are deleted as well.
    ///
    /// If the account has no password, `password` is not looked at, and the log-in must be a recent one.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Password;
    /// use rocket_login::auth::DeleteError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let wrong = Password::typed("wrong horse battery");
    /// let refused = auth.delete(user, wrong).await.unwrap_err();
    /// assert!(matches!(refused, DeleteError::WrongPassword));
    ///
    /// let right = Password::typed("correct horse battery");
    /// auth.delete(user, right).await.expect("the account is gone");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WrongPassword`](DeleteError::WrongPassword) and [`Refused`](DeleteError::Refused). `Failed` if the
    /// database or the hashing workers fail, with [`is_not_recent()`](crate::Error::is_not_recent()) if
    /// the account has no password and the log-in is not recent, or, with
    /// [`is_ended()`](crate::Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn delete(&self, user: &User, password: Password) -> Result<(), DeleteError> {
        let stored = self.check_current(user, password).await?;
        let stored = stored.ok_or(DeleteError::WrongPassword)?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        if !user::store::is_current(&mut change, user.id, &stored).await? {
            return Err(DeleteError::WrongPassword);
        }
        let ended = change.end_sessions(user.id, None).await?;
        self.note_session(&mut change, Act::Deleted, None).await?;
        change.before_delete::<DeleteError>(user, Actor::Visitor).await?;
        user::store::delete(&mut change, user).await?;
        change.note(EventKind::Deleted, Some(user.id), Some(&user.email));
        change.commit().await?;
        metrics::ended(ended);
        self.session.forget();
        Ok(())
    }
}
