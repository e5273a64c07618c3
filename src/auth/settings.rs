//! The state of a user's settings, which the account page shows beside the way to each of them.

use serde::Serialize;

use super::Auth;
use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::notice::Notice;
use crate::sql;
use crate::user::User;

/// The state of a user's settings.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Settings {
    /// When the password was last changed or reset, in seconds since 1970. `None`: never, or it is
    /// not known.
    pub password_changed_at: Option<Timestamp>,
    /// On how many devices the user is logged in.
    pub devices: i64,
    /// How many of [all notices](Notice::ALL) are on.
    pub notices: i64,
}

impl Auth<'_> {
    /// Returns the state of the user's settings. It costs one statement.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket::get;
    /// use rocket_login::{Auth, Error, User};
    ///
    /// #[get("/devices/count")]
    /// async fn count(user: &User, auth: Auth<'_>) -> Result<String, Error> {
    ///     let settings = auth.settings(user).await?;
    ///     Ok(format!("You are logged in on {} devices.", settings.devices))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn settings(&self, user: &User) -> Result<Settings, Error> {
        self.own(user)?;
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        find(&mut db, user.id, now).await?.ok_or_else(Error::ended)
    }
}

/// Returns the state of all settings of the user, read in one statement. `None`: there is no such
/// account any more.
pub(super) async fn find(
    db: &mut Connection,
    user_id: i64,
    now: Timestamp,
) -> Result<Option<Settings>, Error> {
    let row: Option<(Option<Timestamp>, i64, i64)> = sql::query_as(
        "SELECT u.password_changed_at,
                (SELECT count(*) FROM sessions s
                 WHERE s.user_id = u.id AND s.expires_at > $2
                 AND s.generation >= u.session_generation AND u.disabled_at IS NULL),
                (SELECT count(*) FROM login_muted_notices m WHERE m.user_id = u.id)
         FROM users u WHERE u.id = $1",
    )
    .bind(user_id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(password_changed_at, devices, muted)| Settings {
        password_changed_at,
        devices,
        notices: Notice::ALL.len() as i64 - muted,
    }))
}
