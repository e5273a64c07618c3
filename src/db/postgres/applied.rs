//! Reads which migrations a database on a server has.

use sqlx::{AssertSqlSafe, Executor, PgConnection};
use sqlx_core::migrate::{Migration, Migrator};

use crate::db::applied::{Applied, read, select};

/// Returns what was applied on PostgreSQL, as `table` has it. If there is no such table, this is
/// nothing.
pub async fn of_postgres(db: &mut PgConnection, table: &str) -> Result<Vec<Applied>, sqlx::Error> {
    let name = table.replace('\'', "''");
    let has_table = format!("SELECT 1 WHERE to_regclass('{name}') IS NOT NULL");
    // The statements have no names: a pooler may have changed the connection.
    match db.fetch_optional(AssertSqlSafe(has_table)).await? {
        Some(_) => read(&db.fetch_all(select(table)).await?),
        None => Ok(Vec::new()),
    }
}

/// Returns whether each of the migrations `ours` was applied, with the checksum that it has here.
pub fn has_all(applied: &[Applied], ours: &Migrator) -> bool {
    let is_same = |one: &Applied, migration: &Migration| {
        one.version == migration.version && *one.checksum == *migration.checksum
    };
    ours.iter().all(|migration| applied.iter().any(|one| is_same(one, migration)))
}
