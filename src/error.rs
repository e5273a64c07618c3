//! What can go wrong on our side.

use std::fmt;

use rocket::http::Status;
use rocket::response::{self, Responder};
use rocket::{Request, Response};

/// A failure that is not the visitor's: the database or the hashing workers
/// did not answer in time.
///
/// As a [`Responder`] it is logged once and answered with `503` by the
/// registered catcher. It never means "not found" or "not logged in": those
/// are `Ok(None)`.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    Database(sqlx::Error),
    FileGone,
    Overloaded,
}

impl Error {
    /// Every hashing worker stayed busy for as long as a request may wait.
    pub(crate) fn overloaded() -> Self {
        Error(Kind::Overloaded)
    }

    /// The database file is no longer the one that was opened.
    pub(crate) fn file_gone() -> Self {
        Error(Kind::FileGone)
    }

    /// Whether the statement broke the unique constraint of `column`, as in
    /// `users.email`.
    pub(crate) fn is_duplicate(&self, column: &str) -> bool {
        match &self.0 {
            Kind::Database(sqlx::Error::Database(error)) => {
                error.is_unique_violation() && error.message().contains(column)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Database(error) => write!(f, "the database failed: {error}"),
            Kind::FileGone => f.write_str("the database file was removed or replaced"),
            Kind::Overloaded => f.write_str("the password workers are busy"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Database(error) => Some(error),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Error(Kind::Database(error))
    }
}

/// Logs the error and answers `503 Service Unavailable`.
impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        log::error!("{self}");
        Err::<Response<'static>, _>(Status::ServiceUnavailable)
    }
}
