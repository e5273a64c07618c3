//! Replaces PostgreSQL if the feature `postgres` is off.
//!
//! No value of [`PostgresPool`], [`Held`] and [`PostgresConfig`] can exist, so the code of the crate
//! that uses PostgreSQL compiles and never runs.

use std::sync::Arc;

use sqlx::Transaction;
use sqlx::pool::PoolConnection;
use sqlx_core::migrate::Migrator;

#[cfg(feature = "cli")]
use super::applied::Applied;
use super::open_error::OpenError;
use super::own_migrations::{Failure, Own};
use super::watch::Watch;
use crate::config::PostgresConfig;
use crate::error::Error;
use crate::sql::Postgres;

#[derive(Debug, Clone)]
pub enum PostgresPool {}

#[cfg(feature = "cli")]
#[derive(Debug)]
pub enum Held {}

#[cfg(feature = "cli")]
pub async fn look(config: &PostgresConfig, _: &str) -> Result<Vec<Applied>, OpenError> {
    match *config {}
}

#[cfg(feature = "cli")]
pub async fn hold(
    config: &PostgresConfig,
    _: impl Fn(&str) -> OpenError,
) -> Result<(Transaction<'static, Postgres>, Held), OpenError> {
    match *config {}
}

#[cfg(feature = "cli")]
impl Held {
    pub async fn close(&self) {
        match *self {}
    }
}

impl PostgresPool {
    pub async fn open(config: &PostgresConfig) -> Result<Self, OpenError> {
        match *config {}
    }

    pub async fn migrate(&self, _: &Migrator, _: Own<'_>) -> Result<(), Failure> {
        match *self {}
    }

    pub async fn read(&self) -> Result<PoolConnection<Postgres>, Error> {
        match *self {}
    }

    pub async fn write(&self) -> Result<Transaction<'static, Postgres>, Error> {
        match *self {}
    }

    pub fn has_named_statements(&self) -> bool {
        match *self {}
    }

    pub fn watch(&self) -> Arc<Watch> {
        match *self {}
    }

    pub async fn probe(&self) -> Result<(), Error> {
        match *self {}
    }

    pub async fn close(&self) {
        match *self {}
    }
}
