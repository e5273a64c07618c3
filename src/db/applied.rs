//! Reads which migrations a database has.

use sqlx::{ColumnIndex, Decode, Executor, PgConnection, Row, Type};
use sqlx_core::migrate::{Migration, Migrator};

pub const APPLIED: &str =
    "SELECT version, description, checksum FROM _sqlx_migrations WHERE success";

pub struct Applied {
    pub version: i64,
    pub description: String,
    pub checksum: Vec<u8>,
}

pub async fn of_connection(db: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let has_table = "SELECT 1 WHERE to_regclass('_sqlx_migrations') IS NOT NULL";
    match db.fetch_optional(has_table).await? {
        Some(_) => read(&db.fetch_all(APPLIED).await?),
        None => Ok(Vec::new()),
    }
}

/// Returns whether each of the migrations `ours` was applied on PostgreSQL, with the checksum that
/// it has here.
///
/// # Errors
///
/// Returns an error if the server fails, or if it does not show us what was applied.
pub async fn is_applied(db: &mut PgConnection, ours: &Migrator) -> Result<bool, sqlx::Error> {
    let applied = of_connection(db).await?;
    let is_same = |one: &Applied, migration: &Migration| {
        one.version == migration.version && *one.checksum == *migration.checksum
    };
    Ok(ours.iter().all(|migration| applied.iter().any(|one| is_same(one, migration))))
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
