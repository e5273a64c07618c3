//! The library's types for each database.
//!
//! Without the feature `sqlite`, those of PostgreSQL take the place of SQLite's: the types have
//! names, and there is never a value of them.

#[cfg(not(feature = "sqlite"))]
pub use sqlx::PgConnection as SqliteConnection;
#[cfg(not(feature = "sqlite"))]
pub use sqlx::Postgres as Sqlite;
#[cfg(not(feature = "sqlite"))]
pub use sqlx::postgres::{PgArguments as SqliteArguments, PgRow as SqliteRow};
#[cfg(feature = "sqlite")]
pub use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
