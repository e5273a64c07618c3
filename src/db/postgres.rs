//! A pool of connections to PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use rocket::tokio::time::timeout;
use sha2::{Digest, Sha256};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Connection, Decode, Executor, Row, SqlSafeStr, Transaction, Type};
use sqlx_core::migrate::Migrator;

use super::deadline::SERVER_PATIENCE;
use super::listener::Listener;
use super::open_error::OpenError;
use super::versions::Versions;
use super::{applied, server};
use crate::config::PostgresConfig;
use crate::error::Error;
use crate::metrics;

/// How long a connection may be idle and still be used without a test. The server may have been
/// restarted meanwhile.
const UNTESTED_IDLE: Duration = Duration::from_secs(1);

/// The limits after which the server itself gives up, in case this process is gone: for a
/// statement, for a wait for a row, and for a transaction that nobody continues.
const LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "3s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// How long a connection may take to come to rest. It is longer than the server lets a statement
/// run that we have given up.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// Begins a transaction as our statements need it, whatever the server's default is: after a wait
/// for a lock, they read what its last holder has left.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How many statements a connection keeps prepared: ours, and as many of an application's.
const STATEMENTS: usize = 500;

const BEING_COPIED: &str =
    "the database is being copied to another; try again when the copy is finished";

/// The oldest version that this was written for: PostgreSQL 13.
const OLDEST_VERSION: i32 = 130_000;

/// A pool for reading and writing.
#[derive(Debug, Clone)]
pub struct PostgresPool {
    pool: PgPool,
    /// `false` behind a pooler that hands out a server connection per transaction.
    has_named_statements: bool,
    listener: Arc<Listener>,
}

impl PostgresPool {
    /// Connects to the server, to check it, and prepares the pool.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, does not let us in, is too old or must not
    /// be used ([`server::settle()`]), or if the database is being copied.
    pub async fn open(config: &PostgresConfig) -> Result<Self, OpenError> {
        let (options, has_named_statements) = (options(config), config.named_statements);
        // The first connection is opened outside the pool, which would try again and again, and
        // then only report a time-out.
        let mut first = connect(config).await?;
        if has_named_statements && !join(&mut first).await? {
            return Err(OpenError::database(BEING_COPIED));
        }
        let _ = first.close().await;

        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .min_connections(has_named_statements.into()) // one that shows that a site is running
            .acquire_timeout(SERVER_PATIENCE)
            .max_lifetime(Duration::from_secs(30 * 60))
            .idle_timeout(Duration::from_secs(10 * 60))
            .test_before_acquire(false)
            .before_acquire(|db, meta| {
                Box::pin(async move {
                    match meta.idle_for < UNTESTED_IDLE {
                        true => Ok(true),
                        false => db.ping().await.map(|()| true),
                    }
                })
            })
            // Without this the pool would wait without end for a connection on which the server is
            // silent.
            .after_release(|db, _| {
                Box::pin(async move {
                    timeout(GIVEN_UP, is_at_rest(db))
                        .await
                        .map_err(|_| sqlx::Error::PoolTimedOut)?
                })
            })
            .after_connect(move |db, _| {
                Box::pin(async move {
                    server::settle_or_drop(db, !has_named_statements).await?;
                    // A pooler would hand the lock to others.
                    if has_named_statements && !join(db).await? {
                        return Err(sqlx::Error::Configuration(BEING_COPIED.into()));
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Ok(PostgresPool { pool, has_named_statements, listener: Arc::new(Listener::new()) })
    }

    pub fn has_named_statements(&self) -> bool {
        self.has_named_statements
    }

    /// Returns whether the versions include everything that others have committed. This is never so
    /// behind a pooler, which lets nobody listen.
    pub fn is_known(&self, versions: &Arc<Versions>) -> bool {
        self.has_named_statements && self.listener.is_known(&self.pool, versions)
    }

    pub async fn read(&self) -> Result<PoolConnection<Postgres>, Error> {
        let db = self.pool.acquire().await?;
        self.measure();
        Ok(db)
    }

    pub async fn write(&self) -> Result<Transaction<'static, Postgres>, Error> {
        let begin = match self.has_named_statements {
            true => BEGIN.into_sql_str(),
            // Each transaction may get another connection, on which nobody has set anything.
            false => AssertSqlSafe(format!("{BEGIN}; {}", server::set(true))).into_sql_str(),
        };
        // This may be given up between the request and the answer, here or by the caller. The
        // connection is then closed, unless it comes to rest.
        let begun = timeout(SERVER_PATIENCE, self.pool.begin_with(begin)).await;
        let tx = begun.map_err(|_| sqlx::Error::PoolTimedOut)??;
        self.measure();
        Ok(tx)
    }

    fn measure(&self) {
        let (all, idle) = (self.pool.size() as usize, self.pool.num_idle());
        metrics::connections(all.saturating_sub(idle), idle);
    }

    /// Applies the missing migrations. If several instances start at once, one migrates and the
    /// others wait.
    pub async fn migrate(&self, migrations: &Migrator) -> Result<(), Error> {
        let mut tx = self.write().await?;
        // A table may be large.
        tx.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
        let lock = format!("SELECT pg_advisory_xact_lock({})", key("migrations"));
        tx.execute(AssertSqlSafe(lock)).await?;
        if applied::is_applied(&mut tx, migrations).await? {
            // A role that only runs the site need not be allowed to change a table.
            return Ok(server::check_rows(&mut tx).await?);
        }
        server::check_schema(&mut tx, migrations).await?;
        // The library always names its statements here, and behind a pooler the names of an earlier
        // start may still be there.
        let forget = if self.has_named_statements { "" } else { "DEALLOCATE ALL" };
        tx.execute(forget).await?;
        let migrated = migrations.run_direct(None, &mut *tx, false).await;
        migrated.map_err(|error| server::with_fix(error.into()))?;
        tx.execute(forget).await?;
        server::check_rows(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Checks that the tables are there and that the server accepts writes.
    pub async fn probe(&self) -> Result<(), Error> {
        let mut tx = self.write().await?;
        tx.execute("SELECT 1 FROM users LIMIT 1; SELECT 1 FROM sessions LIMIT 1").await?;
        let read_only = "SELECT current_setting('transaction_read_only') = 'on'";
        let is_read_only: bool = one(&mut tx, read_only).await?;
        tx.rollback().await?;
        match is_read_only {
            true => Err(Error::from(sqlx::Error::Configuration("the server is read-only".into()))),
            false => Ok(()),
        }
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Returns the options with which a connection is opened.
pub fn options(config: &PostgresConfig) -> PgConnectOptions {
    let mut options = config.options.clone();
    if options.get_application_name().is_none() {
        options = options.application_name("rocket-login");
    }
    match config.named_statements {
        true => options.options(LIMITS).statement_cache_capacity(STATEMENTS),
        // A pooler accepts none of these. The operator sets them on the role instead.
        false => options.statement_cache_capacity(0).extra_float_digits(None),
    }
}

/// Opens one connection, and tries this only once.
///
/// # Errors
///
/// Returns an error if the server does not answer, does not let us in, is too old, or must not be
/// used ([`server::settle()`]).
pub async fn connect(config: &PostgresConfig) -> Result<PgConnection, OpenError> {
    let db = timeout(SERVER_PATIENCE, PgConnection::connect_with(&options(config))).await;
    let mut db = db.map_err(|_| OpenError::database("the server does not answer"))??;
    check_version(&mut db).await?;
    match server::settle(&mut db, !config.named_statements).await? {
        Some(problem) => Err(OpenError::database(problem)),
        None => Ok(db),
    }
}

async fn check_version(db: &mut PgConnection) -> Result<(), OpenError> {
    let version = "SELECT current_setting('server_version_num')::int";
    match one::<i32>(db, version).await? >= OLDEST_VERSION {
        true => Ok(()),
        false => Err(OpenError::database("the server is older than PostgreSQL 13")),
    }
}

/// Returns whether the server has answered everything and no transaction is open.
///
/// A transaction that was given up while it began is not known to the library, which would hand out
/// the connection with it.
async fn is_at_rest(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // This statement does nothing. The library then checks whether a transaction is open, since one
    // should be.
    match db.begin_with("-- is a transaction open?").await {
        Err(sqlx::Error::BeginFailed) => Ok(true),
        Err(error) => Err(error),
        Ok(_) => Ok(false),
    }
}

/// Returns the number of the advisory lock `name`. If two names had one number, they would only
/// wait for each other.
pub fn key(name: &str) -> i64 {
    let digest: [u8; 32] =
        Sha256::new_with_prefix("rocket-login ").chain_update(name).finalize().into();
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(key)
}

/// Returns the lock of the sites in one schema of a database, as arguments of a function that
/// locks.
pub fn site_lock() -> String {
    format!("{}, hashtext(coalesce(current_schema(), ''))", key("site") as i32)
}

/// Takes the sites' lock for as long as the connection is open, together with all other sites.
/// `false` means that a copy holds it alone.
async fn join(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let lock = format!("SELECT pg_try_advisory_lock_shared({})", site_lock());
    db.fetch_one(AssertSqlSafe(lock)).await?.try_get(0)
}

/// Returns the one value that `sql` selects, without preparing the statement.
async fn one<T>(db: &mut PgConnection, sql: &'static str) -> Result<T, sqlx::Error>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    db.fetch_one(sql).await?.try_get(0)
}
