//! Failures on our side.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rocket::Request;
use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request;
use rocket::response::{self, Responder};

use crate::clock::Timestamp;
use crate::kept::Kept;

/// When to come back after a 503. A restart or a busy moment is over by then.
pub(crate) const BUSY_SECONDS: Timestamp = 5;

/// When to come back after a 429 that does not say it.
pub(crate) const THROTTLED_SECONDS: Timestamp = 600;

/// Why an act on a session or an account failed on our side.
///
/// An absent value is never an error: "not found" and "not logged in" are `Ok(None)`. Only the
/// guards of a user fail if nobody is logged in, with [`is_unauthorized()`](Error::is_unauthorized()),
/// or if the user may not do this, with [`is_forbidden()`](Error::is_forbidden()).
///
/// Every guard of this crate fails with `&'r Error`, so that a guard of your own can build on several of
/// them: [`outcome()`](Error::outcome()) has an example.
///
/// As a [`Responder`] it is logged once and answered by the registered catcher:
///
///   * `401 Unauthorized` when a guard wants somebody who is logged in, or has
///     logged in recently;
///   * `403 Forbidden` when the user does not have the role that a guard wants;
///   * `503 Service Unavailable` when the database, the hashing workers or a hook did
///     not answer in time;
///   * `409 Conflict` when the session was ended while the request ran, or is not the user's;
///   * `413 Payload Too Large` when the session's state would grow too large;
///   * `429 Too Many Requests` when too many visitors' sessions were begun from
///     one address, or something was tried too often;
///   * `500 Internal Server Error` when a value is not of the type asked for,
///     a statement of the application's own is mistaken, the application [says so](Error::other()), or
///     a cookie would have to be set after the head of the response has gone.
#[derive(Debug, Clone)]
pub struct Error(Cause);

/// The error of a guard without a logged-in user.
#[cfg(feature = "pages")]
pub(crate) static UNAUTHORIZED: Error = Error(Cause::Unauthorized);

/// The error of a guard that does not let the user in.
#[cfg(feature = "pages")]
pub(crate) static FORBIDDEN: Error = Error(Cause::Forbidden);

#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "pages"), expect(dead_code, reason = "some causes are of accounts"))]
enum Cause {
    Unauthorized,
    Forbidden,
    NotRecent,
    Database(Arc<sqlx::Error>),
    FileGone,
    Overloaded,
    Ended,
    TooLarge,
    TooMany,
    Throttled(Timestamp),
    TooLate,
    Value(String, &'static str),
    /// A mistake in a statement or in its values.
    Statement(Arc<sqlx::Error>),
    /// A hook of the application took too long.
    SlowHook(&'static str),
    /// The application says what has failed.
    Other(Arc<str>),
}

impl Error {
    /// Creates an error of the application's own, such as one that a hook returns. It is answered with 500,
    /// and `problem` is only in the log.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Error;
    ///
    /// let error = Error::other("the invitation has no workspace");
    /// assert_eq!(error.status().code, 500);
    /// ```
    pub fn other(problem: impl fmt::Display) -> Self {
        Error(Cause::Other(problem.to_string().into()))
    }

    /// Returns whether a guard failed because nobody is logged in, or has logged in recently. Every
    /// other error of a guard is an outage.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.0, Cause::Unauthorized)
    }

    /// Returns whether a guard failed because the user may not do this.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.0, Cause::Forbidden)
    }

    /// Returns whether an act was refused only because the user must show again who they are: with
    /// [`reauthenticate()`](crate::Auth::reauthenticate()), for example. The guard
    /// [`RecentLogin`](crate::RecentLogin) on the route asks for that before.
    pub fn is_not_recent(&self) -> bool {
        matches!(self.0, Cause::NotRecent)
    }

    /// Returns the error of a guard of your own that does not let this user in. Its answer is `403
    /// Forbidden`.
    pub fn forbidden() -> Self {
        Error(Cause::Forbidden)
    }

    /// Returns the outcome of a guard of your own that fails with this error and its
    /// [`status()`](Error::status()). A failure on our side is logged.
    ///
    /// # Examples
    ///
    /// A guard that loads the user's profile from a table of the application:
    ///
    /// ```rust
    /// use rocket::outcome::{Outcome, try_outcome};
    /// use rocket::request::{self, FromRequest, Request};
    /// use rocket_login::{Db, Error, User, sql};
    ///
    /// struct Profile<'r> {
    ///     user: &'r User,
    ///     nickname: String,
    /// }
    ///
    /// # #[cfg(feature = "pages")]
    /// #[rocket::async_trait]
    /// impl<'r> FromRequest<'r> for Profile<'r> {
    ///     type Error = &'r Error;
    ///
    ///     async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, &'r Error> {
    ///         let user = try_outcome!(request.guard::<&User>().await);
    ///         let db = try_outcome!(request.guard::<&Db>().await);
    ///         match nickname(db, user).await {
    ///             Ok(nickname) => Outcome::Success(Profile { user, nickname }),
    ///             Err(error) => error.outcome(request),
    ///         }
    ///     }
    /// }
    ///
    /// async fn nickname(db: &Db, user: &User) -> Result<String, Error> {
    ///     let select = sql::query_scalar("SELECT nickname FROM profiles WHERE user_id = $1");
    ///     Ok(select.bind(user.id).fetch_one(&mut db.read().await?).await?)
    /// }
    /// ```
    pub fn outcome<'r, T>(self, request: &'r Request<'_>) -> request::Outcome<T, &'r Error> {
        let status = self.status();
        if status.class().is_server_error() {
            log::error!("{self}");
        }
        // The cache keeps one value of each type, and another guard may have failed already.
        let kept: &Kept<Error> = request.local_cache(Kept::default);
        Outcome::Error((status, kept.add(self)))
    }

    /// Returns whether the session was ended while the request ran: by a log-out, on another
    /// device, or by its time-out. An act of [`Auth`](crate::Auth) fails in this way also for a
    /// user who is not the one logged in.
    pub fn is_ended(&self) -> bool {
        matches!(self.0, Cause::Ended)
    }

    /// Returns whether the session's state would be larger than `session.state_limit`.
    pub fn is_too_large(&self) -> bool {
        matches!(self.0, Cause::TooLarge)
    }

    /// Returns whether the visitor has tried something too often, or their address has begun more
    /// sessions within an hour than `session.visitor_limit`.
    pub fn is_throttled(&self) -> bool {
        matches!(self.0, Cause::TooMany | Cause::Throttled(_))
    }

    /// Returns after how long the visitor may try again. `None`: it is not known.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = match self.0 {
            Cause::Throttled(seconds) => seconds.max(1),
            Cause::TooMany => THROTTLED_SECONDS,
            Cause::Database(_) | Cause::FileGone | Cause::Overloaded | Cause::SlowHook(_) => {
                BUSY_SECONDS
            }
            _ => return None,
        };
        Some(Duration::from_secs(seconds.unsigned_abs()))
    }

    /// Returns a stable name for what went wrong. [The reference](crate::_documentation::reference) lists
    /// them all.
    pub fn code(&self) -> &'static str {
        match self.0 {
            Cause::Unauthorized => "log_in_required",
            Cause::Forbidden => "forbidden",
            Cause::NotRecent => "reauthentication_required",
            Cause::Database(_) | Cause::FileGone | Cause::Overloaded | Cause::SlowHook(_) => {
                "unavailable"
            }
            Cause::Ended => "session_ended",
            Cause::TooLarge => "state_too_large",
            Cause::TooMany => "too_many_sessions",
            Cause::Throttled(_) => "throttled",
            Cause::TooLate | Cause::Value(..) | Cause::Statement(_) | Cause::Other(_) => "internal",
        }
    }

    /// Writes the error to the log.
    pub(crate) fn log(&self) {
        match self.status().class().is_server_error() {
            true => log::error!("{self}"),
            false => log::warn!("{self}"),
        }
    }

    /// Returns whether a stored value has another type than the one asked for, or a value cannot be
    /// stored as JSON.
    pub fn is_value(&self) -> bool {
        matches!(self.0, Cause::Value(..))
    }

    #[cfg(feature = "pages")]
    pub(crate) fn not_recent() -> Self {
        Error(Cause::NotRecent)
    }

    pub(crate) fn ended() -> Self {
        Error(Cause::Ended)
    }

    pub(crate) fn too_large() -> Self {
        Error(Cause::TooLarge)
    }

    pub(crate) fn too_many() -> Self {
        Error(Cause::TooMany)
    }

    /// The visitor may try again after this many seconds.
    #[cfg(feature = "pages")]
    pub(crate) fn throttled(seconds: Timestamp) -> Self {
        Error(Cause::Throttled(seconds))
    }

    pub(crate) fn too_late() -> Self {
        Error(Cause::TooLate)
    }

    /// The value of `key` is not a `T`. The error does not quote the value, as serde's message
    /// does, because it may be a secret.
    pub(crate) fn value<T>(key: &str) -> Self {
        Error(Cause::Value(key.to_owned(), std::any::type_name::<T>()))
    }

    /// The hook `name` of the application was given up.
    #[cfg(feature = "pages")]
    pub(crate) fn slow_hook(name: &'static str) -> Self {
        Error(Cause::SlowHook(name))
    }

    /// Every hashing worker was busy for as long as a request may wait.
    #[cfg(feature = "pages")]
    pub(crate) fn overloaded() -> Self {
        Error(Cause::Overloaded)
    }

    /// The database file is no longer the one that was opened.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "PostgreSQL has no file"))]
    pub(crate) fn file_gone() -> Self {
        Error(Cause::FileGone)
    }

    /// Returns whether the statement broke the unique constraint of `users.email`.
    #[cfg(feature = "pages")]
    pub(crate) fn is_duplicate_email(&self) -> bool {
        match &self.0 {
            Cause::Statement(error) => error.as_database_error().is_some_and(|error| {
                error.is_unique_violation()
                    && (error.message().contains("users.email")
                        || error.constraint() == Some("users_email_key"))
            }),
            _ => false,
        }
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> Status {
        match self.0 {
            Cause::Database(_) | Cause::FileGone | Cause::Overloaded | Cause::SlowHook(_) => {
                Status::ServiceUnavailable
            }
            Cause::Unauthorized => Status::Unauthorized,
            Cause::Forbidden | Cause::NotRecent => Status::Forbidden,
            Cause::Ended => Status::Conflict,
            Cause::TooLarge => Status::PayloadTooLarge,
            Cause::TooMany | Cause::Throttled(_) => Status::TooManyRequests,
            Cause::TooLate | Cause::Value(..) | Cause::Statement(_) | Cause::Other(_) => {
                Status::InternalServerError
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Unauthorized => f.write_str("nobody is logged in, or the log-in is too old"),
            Cause::Forbidden => f.write_str("the user may not do this"),
            Cause::NotRecent => f.write_str("the user must show again who they are"),
            Cause::Database(error) => match &**error {
                // It is one of ours, which says everything.
                sqlx::Error::Configuration(problem) => write!(f, "{problem}"),
                error => write!(f, "the database failed: {error}"),
            },
            Cause::FileGone => f.write_str("the database file was removed or replaced"),
            Cause::Overloaded => f.write_str("the password workers are busy"),
            Cause::Ended => f.write_str("the session ended while the request ran"),
            Cause::TooLarge => f.write_str("the session's state would be too large"),
            Cause::TooMany => f.write_str("too many sessions were started from one address"),
            Cause::Throttled(seconds) => write!(f, "too many attempts; try again in {seconds} s"),
            Cause::TooLate => f.write_str("a cookie cannot be set once the response has begun"),
            Cause::Value(key, kind) => {
                write!(f, "the session's value {key:?} is not of the type {kind}")
            }
            Cause::Statement(error) => write!(f, "a statement failed: {error}"),
            Cause::SlowHook(name) => write!(f, "the hook `{name}` took longer than two seconds"),
            Cause::Other(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Database(error) | Cause::Statement(error) => Some(&**error),
            _ => None,
        }
    }
}

/// What an error says about itself, for the catcher. It is in the request's local cache.
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "pages"), expect(dead_code, reason = "our catchers read it"))]
pub(crate) struct Said {
    /// A stable name for a program.
    pub code: Option<&'static str>,
    /// The reason, for the visitor. `None`: there is nothing to say but the status.
    pub message: Option<String>,
}

/// When to come back, in seconds, if the error says so, for the header and the page. It is in the
/// request's local cache.
#[derive(Clone, Copy)]
pub(crate) struct RetryAfter(pub Option<Timestamp>);

/// A missing row, a broken constraint or a value of another type that the application does not
/// expect is a mistake, `500`. Everything else is a failure of the database, `503`.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{ColumnDecode, ColumnNotFound, Database, Decode, Encode, RowNotFound};
        use sqlx::error::ErrorKind::Other;

        match &error {
            RowNotFound | ColumnNotFound(_) | ColumnDecode { .. } | Decode(_) | Encode(_) => {
                Error(Cause::Statement(error.into()))
            }
            Database(inner) if !matches!(inner.kind(), Other) => {
                Error(Cause::Statement(error.into()))
            }
            _ => Error(Cause::Database(error.into())),
        }
    }
}

/// Logs the error and answers with its [`status()`](Error::status()).
impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let status = self.status();
        request.local_cache(|| Said { code: Some(self.code()), message: None });
        if let Cause::Throttled(seconds) = self.0 {
            request.local_cache(|| RetryAfter(Some(seconds)));
        }
        self.log();
        Err(status)
    }
}
