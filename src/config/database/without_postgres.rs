//! Replaces the connection to PostgreSQL if the feature `postgres` is off. No value of it exists.

use super::BUILT;

/// The connection to PostgreSQL, which does not exist without the feature `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresConfig {}

impl PostgresConfig {
    /// Refuses the server.
    ///
    /// # Errors
    ///
    /// Always returns an error, which names the feature.
    pub(super) fn parse(_: &str) -> Result<Self, String> {
        Err(BUILT.without("PostgreSQL"))
    }

    pub(super) fn set_use(&mut self, _: u32, _: bool) {
        match *self {}
    }

    pub(super) fn name(&self) -> &str {
        match *self {}
    }

    #[cfg(feature = "cli")]
    pub(crate) fn is_open_to_network(&self) -> bool {
        match *self {}
    }
}
