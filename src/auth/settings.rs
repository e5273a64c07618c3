//! The state of a user's settings, which the account page shows beside the way to each of them.

use serde::Serialize;

use super::Auth;
use crate::clock::Timestamp;
use crate::db::{Answers, Connection, Question};
use crate::error::Error;
use crate::notice::Notice;
use crate::password::PasswordHash;
use crate::sql;
use crate::user::{self, User};

/// The state of a user's settings.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Settings {
    /// `true` if the account has a password. Without one, the user logs in with a passkey.
    pub has_password: bool,
    /// When the password was last changed, reset or removed, in seconds since 1970. `None`: never, or it
    /// is not known.
    pub password_changed_at: Option<Timestamp>,
    /// `true` if the user does not want to be asked for a passkey again.
    pub wants_no_passkey: bool,
    /// On how many devices the user is logged in.
    pub devices: i64,
    /// How many of [all notices](Notice::ALL) are on.
    pub notices: i64,
}

impl Auth<'_> {
    /// Returns the state of the user's settings. It costs one statement, which those who ask at the same
    /// time share.
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
        let now = self.accounts.clock.now();
        self.settings.ask(self.accounts.db, user.id, now).await?.ok_or_else(Error::ended)
    }

    /// Returns whether the account of the user has a password. A page asks for the current password only
    /// if it has.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn has_password(&self, user: &User) -> Result<bool, Error> {
        Ok(!self.stored_hash(user).await?.ok_or_else(Error::ended)?.is_unusable())
    }

    /// Notes that the user does not want to be asked for a passkey again. They can still add one.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if the session was ended
    /// meanwhile or is not the user's.
    pub async fn decline_passkey(&self, user: &User) -> Result<(), Error> {
        let mut change = self.change_as_user(user).await?;
        let now = change.now;
        user::store::decline_passkey(&mut change, user.id, now).await?;
        change.commit().await
    }
}

/// The look-up of the state of all settings of a user.
pub struct OfUser;

/// The id, the hash, when the password was changed and a passkey declined, how many sessions, and how many
/// notices that are off.
type Row = (i64, String, Option<Timestamp>, Option<Timestamp>, i64, i64);

impl Question for OfUser {
    type Key = i64;
    type Answer = Settings;

    async fn ask(db: &mut Connection, ids: &[i64], now: Timestamp) -> Result<Answers<Self>, Error> {
        let text = format!(
            "SELECT u.id, u.password_hash, u.password_changed_at, u.passkey_declined_at,
                    (SELECT count(*) FROM sessions s
                     WHERE s.user_id = u.id AND s.expires_at > $1
                     AND s.generation >= u.session_generation AND u.disabled_at IS NULL),
                    (SELECT count(*) FROM login_muted_notices m WHERE m.user_id = u.id)
             FROM users u WHERE u.id IN ({})",
            sql::places_for(1, ids),
        );
        let rows: Vec<Row> =
            sql::query_as_made(text).bind(now).bind_each(ids).fetch_all(db).await?;
        let settings =
            rows.into_iter().map(|(id, hash, password_changed_at, declined_at, devices, muted)| {
                let settings = Settings {
                    has_password: !PasswordHash::from_stored(hash).is_unusable(),
                    password_changed_at,
                    wants_no_passkey: declined_at.is_some(),
                    devices,
                    notices: Notice::ALL.len() as i64 - muted,
                };
                (id, settings)
            });
        Ok(settings.collect())
    }
}
