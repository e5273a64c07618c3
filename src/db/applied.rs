//! Reads which migrations a database has.

use std::fmt;
use std::sync::Once;

#[cfg(any(feature = "cli", feature = "sqlite"))]
use sqlx::Executor;
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, Row, Type};
use sqlx_core::migrate::Migrator;

use super::migrations::OURS;
#[cfg(any(feature = "cli", feature = "sqlite"))]
use crate::sql::SqliteConnection;

/// The table in which sqlx keeps what was applied.
pub const TABLE: &str = "_sqlx_migrations";

#[derive(Debug)]
pub struct Applied {
    pub version: i64,
    pub description: String,
    pub checksum: Vec<u8>,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.description)
    }
}

/// Returns what was applied on SQLite, as `table` has it, which must exist.
#[cfg(any(feature = "cli", feature = "sqlite"))]
pub async fn of_sqlite(
    db: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<Applied>, sqlx::Error> {
    read(&db.fetch_all(select(table)).await?)
}

pub fn select(table: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SELECT version, description, checksum FROM {table} WHERE success"))
}

/// Returns the message of the database alone, without the words that sqlx puts before it.
pub fn said(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
}

/// Returns a migration of an application that has a version of `ours`. This happens if the
/// application was first.
pub fn taken<'a>(applied: &'a [Applied], ours: &Migrator) -> Option<&'a Applied> {
    applied.iter().find(|one| {
        ours.iter().any(|migration| {
            migration.version == one.version && *migration.description != *one.description
        })
    })
}

/// Returns whether a later version of this crate has migrated the database.
pub fn is_newer(applied: &[Applied], ours: &Migrator) -> bool {
    let is_known = |version| ours.iter().any(|migration| migration.version == version);
    applied.iter().any(|one| !is_known(one.version) && one.description.starts_with(OURS))
}

/// Warns once that a later version has migrated the database. It does not stop the start: during a
/// release, instances of the earlier version start again beside those of the later one.
pub fn warn_of_newer(applied: &[Applied], ours: &Migrator) {
    static WARNING: Once = Once::new();
    if is_newer(applied, ours) {
        WARNING.call_once(|| {
            log::warn!(
                "a newer version of rocket-login than {} has migrated the database; that is fine \
                 while you replace one instance after the other, but do not stay with this version",
                env!("CARGO_PKG_VERSION")
            );
        });
    }
}

pub fn read<'r, R: Row>(rows: &'r [R]) -> Result<Vec<Applied>, sqlx::Error>
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let applied = |row: &'r R| {
        let (version, description) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Applied { version, description, checksum: row.try_get(2)? })
    };
    rows.iter().map(applied).collect()
}
