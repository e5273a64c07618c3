//! The library's types for each database.
//!
//! Without one of the features `sqlite` and `postgres`, the types of the other database take the
//! place: the types have names, and there is never a value of them.

#[cfg(not(feature = "sqlite"))]
pub use sqlx::PgConnection as SqliteConnection;
#[cfg(not(feature = "sqlite"))]
pub use sqlx::Postgres as Sqlite;
#[cfg(not(feature = "postgres"))]
pub use sqlx::Sqlite as Postgres;
#[cfg(not(feature = "postgres"))]
pub use sqlx::SqliteConnection as PgConnection;
#[cfg(feature = "postgres")]
pub use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
#[cfg(not(feature = "sqlite"))]
pub use sqlx::postgres::{PgArguments as SqliteArguments, PgRow as SqliteRow};
#[cfg(feature = "sqlite")]
pub use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
#[cfg(not(feature = "postgres"))]
pub use sqlx::sqlite::{SqliteArguments as PgArguments, SqliteRow as PgRow};
