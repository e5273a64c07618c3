//! The database that a copy is made from. No other program has it open, and none writes to it until
//! the copy is compared: what was written meanwhile would be lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocket::tokio::time::{Instant, sleep};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::connection::Connection;
use super::open_error::OpenError;
use super::sqlite::Leases;
use super::tables::TABLES;
use super::{postgres, server, sqlite};
use crate::config::{DatabaseConfig, PostgresConfig};

/// The longest wait for a lock on one of our tables. It is longer than the server takes to end an
/// automatic vacuum for us (`deadlock_timeout`, one second).
const LOCK_TIMEOUT: &str = "5s";

/// How long the sessions of a site that was stopped just now may take to end on the server.
const LEAVING: Duration = Duration::from_secs(2);

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The most sessions that an error names.
const MOST_NAMED: usize = 5;

/// Selects the sessions that may write: those of the database's own role, and of sites. The
/// sessions of a hoster's monitoring do not write, and would never end.
const SESSIONS: &str = "SELECT coalesce(nullif(application_name, ''), 'a session'), pid
     FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
       AND coalesce(backend_type, 'client backend') = 'client backend'
       AND (usename = current_user OR application_name = 'rocket-login')
     ORDER BY pid";

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
    Postgres(PgPool),
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
            HeldPool::Postgres(pool) => pool.close().await,
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

/// Opens a database on a server and locks others out: sites by the lock that they hold while they
/// are connected, and other programs that may write by locks on the tables.
async fn open_server(
    config: &DatabaseConfig,
    postgres: &PostgresConfig,
) -> Result<Source, OpenError> {
    let is_shared = !postgres.named_statements;
    let _ = sqlx::Connection::close(postgres::connect(postgres).await?).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |db, _| Box::pin(server::settle_or_drop(db, is_shared)))
        .connect_with(postgres::options(postgres))
        .await?;
    let mut tx = pool.begin_with(postgres::BEGIN).await?;
    let patience = format!(
        "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
         SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
    );
    tx.execute(AssertSqlSafe(patience)).await?;

    let start = Instant::now();
    let sessions = loop {
        let sessions = sessions(&mut tx).await?;
        if sessions.is_empty() || start.elapsed() > LEAVING {
            break sessions;
        }
        sleep(BETWEEN_LOOKS).await;
        tx.execute("SELECT pg_stat_clear_snapshot()").await?;
    };
    if !sessions.is_empty() {
        return Err(in_use(config, &sessions));
    }
    let lock = format!("SELECT pg_try_advisory_xact_lock({})", postgres::site_lock());
    let is_alone: bool = tx.fetch_one(AssertSqlSafe(lock)).await?.try_get(0)?;
    if !is_alone {
        return Err(in_use(config, "a site"));
    }
    let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
    let lock = format!("LOCK TABLE {} IN SHARE MODE", tables.join(", "));
    tx.execute(AssertSqlSafe(lock)).await.map_err(|error| match is_locked(&error) {
        true => in_use(config, "a program that writes"),
        false => error.into(),
    })?;
    Ok(Source { db: Connection::postgres_held(tx), pool: HeldPool::Postgres(pool) })
}

async fn sessions(db: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut named = Vec::new();
    for row in db.fetch_all(SESSIONS).await? {
        let (name, pid): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        named.push(format!("{} (pid {pid})", name.escape_debug()));
    }
    if named.len() > MOST_NAMED {
        named.truncate(MOST_NAMED);
        named.push("others".into());
    }
    Ok(named.join(", "))
}

fn in_use(config: &DatabaseConfig, by: &str) -> OpenError {
    OpenError::database(format!(
        "{config} is in use by {by}, and changes during the copy would be lost; stop the site, \
         and everything else that has it open"
    ))
}

/// Returns whether the server has waited for a lock in vain.
fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

#[cfg(test)]
mod tests {
    use rocket_db_pools::Pool as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{Connection as _, Executor};
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
