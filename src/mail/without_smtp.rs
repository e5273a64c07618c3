//! Replaces the mail server if the feature `mail` is off. No value of it exists.

use std::time::Duration;

use super::failure::Failure;
use super::outbox::Queued;
use super::templates::Written;
use crate::config::{Config, ConfigError};

pub enum Smtp {}

impl Smtp {
    /// Returns `None`: the configuration has refused a server.
    pub fn of(_: &Config) -> Result<Option<Self>, ConfigError> {
        Ok(None)
    }

    pub async fn send(&self, _: &Queued, _: Written, _: Duration) -> Result<(), Failure> {
        match *self {}
    }

    pub fn rest(&self) {
        match *self {}
    }

    #[cfg(feature = "cli")]
    pub async fn test(&self) -> Result<(), String> {
        match *self {}
    }
}
