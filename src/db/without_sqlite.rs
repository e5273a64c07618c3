//! Replaces SQLite if the feature `sqlite` is off.
//!
//! No value of [`SqlitePools`], [`Lease`] and [`Writer`] can exist, so the code of the crate that
//! uses SQLite compiles and never runs.

use std::path::Path;
use std::sync::Arc;

use sqlx_core::migrate::Migrator;

use super::open_error::OpenError;
use super::own_migrations::{Failure, Own};
use super::watch::{Commit, Watch};
use crate::config::without_sqlite;
use crate::error::Error;
use crate::sql::SqliteConnection;

#[derive(Debug, Clone)]
pub enum SqlitePools {}

pub enum Lease {}

#[cfg(feature = "cli")]
#[derive(Debug)]
pub enum Leases {}

pub enum Writer {}

/// Returns `false`: no file can be used.
#[cfg(feature = "cli")]
pub fn is_database(_: &Path) -> bool {
    false
}

/// Refuses to open the file.
///
/// # Errors
///
/// Always returns an error, which names the feature.
#[cfg(feature = "cli")]
pub async fn connect_to_look(_: &Path) -> Result<SqliteConnection, sqlx::Error> {
    Err(sqlx::Error::Configuration(without_sqlite().problem().into()))
}

/// Refuses to open the file.
///
/// # Errors
///
/// Always returns an error, which names the feature.
#[cfg(feature = "cli")]
pub async fn hold(_: &Path) -> Result<(Lease, Arc<Leases>), sqlx::Error> {
    Err(sqlx::Error::Configuration(without_sqlite().problem().into()))
}

#[cfg(feature = "cli")]
pub fn is_busy(_: &sqlx::Error) -> bool {
    false
}

impl SqlitePools {
    /// Refuses to open the file.
    ///
    /// # Errors
    ///
    /// Always returns an error, which names the feature.
    pub async fn open(_: &Path) -> Result<Self, OpenError> {
        Err(without_sqlite().into())
    }

    pub async fn migrate(&self, _: &Migrator, _: Own<'_>) -> Result<(), Failure> {
        match *self {}
    }

    pub async fn read(&self) -> Result<Lease, Error> {
        match *self {}
    }

    pub async fn write(&self) -> Result<Writer, Error> {
        match *self {}
    }

    pub fn watch(&self) -> &Arc<Watch> {
        match *self {}
    }

    pub async fn wait_for_disk(&self) {
        match *self {}
    }

    pub async fn probe(&self) -> Result<(), Error> {
        match *self {}
    }

    #[cfg(feature = "cli")]
    pub async fn is_sound(&self) -> Result<bool, Error> {
        match *self {}
    }

    pub async fn close(&self) {
        match *self {}
    }
}

impl Lease {
    pub fn db(&mut self) -> &mut SqliteConnection {
        match *self {}
    }

    pub fn went_well(&mut self) {
        match *self {}
    }
}

#[cfg(feature = "cli")]
impl Leases {
    pub async fn close(&self) {
        match *self {}
    }
}

impl Writer {
    pub fn db(&mut self) -> &mut SqliteConnection {
        match *self {}
    }

    pub async fn commit(self, _: Commit) -> Result<(), sqlx::Error> {
        match self {}
    }
}
