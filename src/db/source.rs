//! The database that a copy is made from. No other program has it open, and none writes to it until
//! the copy is compared: what was written meanwhile would be lost.

use std::path::Path;
use std::sync::Arc;

use super::connection::Connection;
use super::open_error::OpenError;
use super::postgres::Held;
use super::sqlite::Leases;
use super::{postgres, sqlite};
use crate::config::{DatabaseConfig, PostgresConfig};

/// A database that is closed to others until this is dropped.
#[derive(Debug)]
pub struct Source {
    /// The connection, in a transaction that holds the locks.
    pub db: Connection,
    pool: HeldPool,
}

#[derive(Debug)]
enum HeldPool {
    Sqlite(Arc<Leases>),
    Postgres(Held),
}

impl Source {
    /// Opens the database and closes it to others.
    ///
    /// # Errors
    ///
    /// Returns an error if another program has the database open, or if it cannot be opened.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, OpenError> {
        match config {
            DatabaseConfig::Sqlite(path) => open_file(path).await,
            DatabaseConfig::Postgres(postgres) => open_server(config, postgres).await,
        }
    }

    /// Opens the database to others again.
    pub async fn close(self) {
        drop(self.db);
        match self.pool {
            HeldPool::Sqlite(leases) => leases.close().await,
            HeldPool::Postgres(held) => held.close().await,
        }
    }
}

async fn open_file(path: &Path) -> Result<Source, OpenError> {
    match sqlite::hold(path).await {
        Ok((lease, leases)) => {
            let db = Connection::sqlite_reader(lease);
            Ok(Source { db, pool: HeldPool::Sqlite(leases) })
        }
        Err(error) if sqlite::is_busy(&error) => {
            Err(in_use(&DatabaseConfig::Sqlite(path.to_owned()), "another program"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn open_server(
    config: &DatabaseConfig,
    postgres: &PostgresConfig,
) -> Result<Source, OpenError> {
    let (tx, held) = postgres::hold(postgres, |by| in_use(config, by)).await?;
    Ok(Source { db: Connection::postgres_held(tx), pool: HeldPool::Postgres(held) })
}

fn in_use(config: &DatabaseConfig, by: &str) -> OpenError {
    OpenError::database(format!(
        "{config} is in use by {by}, and changes during the copy would be lost; stop the site, \
         and everything else that has it open"
    ))
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::time::Duration;

    use rocket_db_pools::Pool as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{AssertSqlSafe, Connection as _, Executor};
    use tempfile::TempDir;

    use super::*;
    use crate::db::Pool;
    use crate::db::sqlite::is_busy;
    use crate::sql;

    #[rocket::async_test]
    async fn no_other_program_can_write_to_a_file_while_it_is_copied() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("x.db");
        let config = DatabaseConfig::Sqlite(path.clone());
        let site = Pool::open(&config).await.unwrap();
        site.migrate().await.unwrap();
        site.close().await;

        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::ZERO);
        let write = "INSERT INTO users (email, password_hash, created_at) VALUES ('x@x.x', '', 0)";
        for journal in ["WAL", "DELETE"] {
            let mut db = SqliteConnection::connect_with(&options).await.unwrap();
            db.execute(AssertSqlSafe(format!("PRAGMA journal_mode = {journal}"))).await.unwrap();
            db.close().await.unwrap();
            let mut source = Source::open(&config).await.unwrap();
            for _ in 0..2 {
                // Reading from the source does not give up its lock.
                let count = "SELECT count(*) FROM users";
                let _: i64 = sql::query_scalar(count).fetch_one(&mut source.db).await.unwrap();
                let mut db = SqliteConnection::connect_with(&options).await.unwrap();
                assert!(is_busy(&db.execute(write).await.unwrap_err()), "{journal}");
                db.close().await.unwrap();
            }
            source.close().await;
            let mut db = SqliteConnection::connect_with(&options).await.unwrap();
            db.execute(write).await.unwrap();
            db.execute("DELETE FROM users").await.unwrap();
            db.close().await.unwrap();
        }

        // A program that only reads now may write next. Without a write-ahead log nobody can
        // tell that it has the file open, but then it cannot write during the copy.
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        db.execute("PRAGMA journal_mode = WAL").await.unwrap();
        db.execute("SELECT count(*) FROM users").await.unwrap();
        let refused = Source::open(&config).await.unwrap_err().to_string();
        assert!(refused.contains("is in use by another program"), "{refused}");
        db.close().await.unwrap();
        Source::open(&config).await.unwrap().close().await;
    }
}
