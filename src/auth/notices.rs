//! The notices that a user wants by mail.

use super::Auth;
use crate::error::Error;
use crate::history::EventKind;
use crate::notice::{self, Notice};
use crate::user::User;

impl Auth<'_> {
    /// Returns the notices that the user gets by mail.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if the session is not the
    /// user's.
    pub async fn notices(&self, user: &User) -> Result<Vec<Notice>, Error> {
        self.own(user)?;
        notice::wanted(&mut self.accounts.db.read().await?, user.id).await
    }

    /// Switches the notices `wanted` on and the others off. If that switches one off, the user is
    /// told by mail, because a thief would begin with it.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Notice;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// auth.set_notices(user, &[Notice::NewDevice]).await.expect("one notice is on");
    /// assert_eq!(auth.notices(user).await.expect("an answer"), [Notice::NewDevice]);
    ///
    /// auth.log_out().await.expect("nobody is logged in");
    /// assert!(auth.set_notices(user, &Notice::ALL).await.unwrap_err().is_ended());
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if the session was ended
    /// meanwhile or is not the user's.
    pub async fn set_notices(&self, user: &User, wanted: &[Notice]) -> Result<(), Error> {
        let mut change = self.change_as_user(user).await?;
        let before = notice::wanted(&mut change, user.id).await?;
        notice::set(&mut change, user.id, wanted).await?;
        change.record(EventKind::NoticesChanged, user).await?;
        if before.iter().any(|notice| !wanted.contains(notice)) {
            let content = change.content(&user.email);
            change.tell("notices_changed", user, &user.email, content).await?;
        }
        change.commit().await
    }
}
