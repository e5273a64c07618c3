//! The error of a database that could not be opened.

use std::fmt;

use crate::config::ConfigError;

/// The reason why the database could not be opened, in one line.
#[derive(Debug)]
pub struct OpenError(String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    pub(crate) fn new(line: String) -> Self {
        OpenError(line)
    }

    pub(crate) fn database(problem: impl fmt::Display) -> Self {
        OpenError(format!("databases.login.url: {problem}"))
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        OpenError::database(error)
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        OpenError(error.to_string())
    }
}
