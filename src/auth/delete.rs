//! Leaving.

use super::Auth;
use crate::done::Act;
use crate::error::Error;
use crate::history::Kind;
use crate::metrics;
use crate::password::Password;
use crate::session::store as sessions;
use crate::user::{self, User};

/// Why an account is still there.
#[derive(Debug)]
pub enum DeleteError {
    /// The password is wrong.
    Wrong,
    /// Our side failed; nothing has changed.
    Failed(Error),
}

impl From<Error> for DeleteError {
    fn from(error: Error) -> Self {
        DeleteError::Failed(error)
    }
}

impl Auth<'_> {
    /// Deletes the account and everything stored about it, at once and for
    /// good. An application's own rows go with it where they reference
    /// `users (id) ON DELETE CASCADE`.
    ///
    /// # Errors
    ///
    /// When `password` is wrong, the session was ended meanwhile, or the
    /// database or the hashing workers fail. Nothing has changed then.
    pub async fn delete(&self, user: &User, password: Password) -> Result<(), DeleteError> {
        let stored = self.check_password(user, password).await?.ok_or(DeleteError::Wrong)?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user().await?;
        if !user::store::is_current(&mut change, user.id, &stored).await? {
            return Err(DeleteError::Wrong);
        }
        let ended = sessions::end_of_user(&mut change, user.id, None).await?;
        self.note_session(&mut change, Act::Deleted, None).await?;
        user::store::delete(&mut change, user).await?;
        change.note(Kind::Deleted, Some(user.id), Some(&user.email));
        change.commit().await?;
        metrics::ended(ended);
        self.session.forget();
        Ok(())
    }
}
