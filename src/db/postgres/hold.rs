//! Closes a database on a server to others, for a copy.

use std::time::Duration;

use rocket::tokio::time::{Instant, sleep};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Executor, Row, Transaction};

use super::connect::{BEGIN, connect, options, site_lock};
use crate::config::PostgresConfig;
use crate::db::open_error::OpenError;
use crate::db::server;
use crate::db::tables::TABLES;

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

/// The pool behind a transaction that holds the locks.
#[derive(Debug)]
pub struct Held(PgPool);

impl Held {
    pub async fn close(&self) {
        self.0.close().await;
    }
}

/// Opens a database on a server and locks others out: sites by the lock that they hold while they
/// are connected, and other programs that may write by locks on the tables. `in_use` makes the
/// error for a database that somebody uses.
///
/// # Errors
///
/// Returns an error if the server fails, or if somebody uses the database.
pub async fn hold(
    config: &PostgresConfig,
    in_use: impl Fn(&str) -> OpenError,
) -> Result<(Transaction<'static, Postgres>, Held), OpenError> {
    let is_shared = !config.named_statements;
    let _ = sqlx::Connection::close(connect(config).await?).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |db, _| Box::pin(server::settle_or_drop(db, is_shared)))
        .connect_with(options(config))
        .await?;
    let mut tx = pool.begin_with(BEGIN).await?;
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
        return Err(in_use(&sessions));
    }
    let lock = format!("SELECT pg_try_advisory_xact_lock({})", site_lock());
    let is_alone: bool = tx.fetch_one(AssertSqlSafe(lock)).await?.try_get(0)?;
    if !is_alone {
        return Err(in_use("a site"));
    }
    let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
    let lock = format!("LOCK TABLE {} IN SHARE MODE", tables.join(", "));
    tx.execute(AssertSqlSafe(lock)).await.map_err(|error| match is_locked(&error) {
        true => in_use("a program that writes"),
        false => error.into(),
    })?;
    Ok((tx, Held(pool)))
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

/// Returns whether the server has waited for a lock in vain.
fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}
