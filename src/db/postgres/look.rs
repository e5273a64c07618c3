//! Looks at a database on a server, without changing anything in it.

use sqlx::Connection;

use super::applied::of_postgres;
use super::connect::connect;
use crate::config::PostgresConfig;
use crate::db::applied::Applied;
use crate::db::open_error::OpenError;

/// Connects to the server and returns the migrations that the database has.
///
/// # Errors
///
/// Returns an error if the server cannot be used, or does not show us what was applied.
pub async fn look(config: &PostgresConfig, table: &str) -> Result<Vec<Applied>, OpenError> {
    let mut db = connect(config).await?;
    let applied = of_postgres(&mut db, table).await?;
    db.close().await?;
    Ok(applied)
}
