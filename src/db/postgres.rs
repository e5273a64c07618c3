//! A pool of connections to PostgreSQL.

mod applied;
mod connect;
#[cfg(feature = "cli")]
mod hold;
#[cfg(feature = "cli")]
mod look;

use std::sync::Arc;
use std::time::Duration;

use rocket::tokio::time::{Instant, sleep, timeout};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqlSafeStr, Transaction};
use sqlx_core::migrate::Migrator;

use super::applied::{TABLE, taken, warn_of_newer};
use super::deadline::SERVER_PATIENCE;
use super::lock_number::lock_number;
use super::open_error::OpenError;
use super::own_migrations::{Failure, Own};
use super::server;
use super::watch::Watch;
use crate::config::PostgresConfig;
use crate::error::Error;
use crate::metrics;
use applied::{has_all, of_postgres};
use connect::{BEGIN, connect, one, options, site_lock};

#[cfg(feature = "cli")]
pub use hold::{Held, hold};
#[cfg(feature = "cli")]
pub use look::look;

/// How long a connection may be idle and still be used without a test. The server may have been
/// restarted meanwhile.
const UNTESTED_IDLE: Duration = Duration::from_secs(1);

/// How long a connection may take to come to rest. It is longer than the server lets a statement
/// run that we have given up.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// How long a migration waits for a table that somebody else uses. All other statements on the table
/// queue behind it, so this is what it may cost a visitor. It is shorter than the time after which
/// the server looks for a deadlock, so that the migration gives way and not a visitor.
const MIGRATION_LOCK: &str = "SET LOCAL lock_timeout = '500ms'";

/// The pause between two attempts to migrate, in which the others work off what has queued.
const BETWEEN_MIGRATIONS: Duration = Duration::from_secs(1);

/// How long a migration is tried again, for example while a backup reads the tables.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(30);

const BEING_COPIED: &str =
    "the database is being copied to another; try again when the copy is finished";

/// A pool for reading and writing.
#[derive(Debug, Clone)]
pub struct PostgresPool {
    pool: PgPool,
    /// `false` behind a pooler that hands out a server connection per transaction.
    has_named_statements: bool,
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
        Ok(PostgresPool { pool, has_named_statements })
    }

    pub fn has_named_statements(&self) -> bool {
        self.has_named_statements
    }

    /// Returns what watches the changes in this database. Behind a pooler nobody may listen.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::new(Watch::of_server(self.has_named_statements.then(|| self.pool.clone())))
    }

    pub async fn read(&self) -> Result<PoolConnection<Postgres>, Error> {
        // In a box, as in `write()`: it has 14 KiB, which every request would take with it that may need
        // the database, those to SQLite too.
        let db = Box::pin(self.pool.acquire()).await?;
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
        let begun = timeout(SERVER_PATIENCE, Box::pin(self.pool.begin_with(begin))).await;
        let tx = begun.map_err(|_| sqlx::Error::PoolTimedOut)??;
        self.measure();
        Ok(tx)
    }

    fn measure(&self) {
        let (all, idle) = (self.pool.size() as usize, self.pool.num_idle());
        metrics::connections(all.saturating_sub(idle), idle);
    }

    /// Applies the missing migrations, `own` after ours. If several instances start at once, one
    /// migrates and the others wait. If somebody else uses a table that has to change, it tries
    /// again for a while.
    pub async fn migrate(&self, ours: &Migrator, own: Own<'_>) -> Result<(), Failure> {
        let (start, mut is_told) = (Instant::now(), false);
        loop {
            match self.try_to_migrate(ours, own).await {
                Err(failure) if failure.is_busy() && start.elapsed() < MIGRATION_PATIENCE => {}
                done => return done,
            }
            if !std::mem::replace(&mut is_told, true) {
                log::info!("a migration waits for another program that uses a table");
            }
            sleep(BETWEEN_MIGRATIONS).await;
        }
    }

    async fn try_to_migrate(&self, ours: &Migrator, own: Own<'_>) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        // A table may be large, and another instance may be migrating.
        tx.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
        let lock = format!("SELECT pg_advisory_xact_lock({})", lock_number("migrations"));
        tx.execute(AssertSqlSafe(lock)).await?;
        tx.execute(MIGRATION_LOCK).await?;
        let applied = of_postgres(&mut tx, TABLE).await?;
        if let Some(taken) = taken(&applied, ours) {
            return Err(Failure::Taken(taken.to_string()));
        }
        warn_of_newer(&applied, ours);
        // A role that only runs the site need not be allowed to change a table.
        if !has_all(&applied, ours) {
            server::check_schema(&mut tx, ours).await?;
            self.forget_statements(&mut tx).await?;
            let migrated = ours.run_direct(None, &mut *tx, false).await;
            migrated.map_err(|error| server::with_fix(error.into()))?;
            self.forget_statements(&mut tx).await?;
        }
        server::check_rows(&mut tx).await?;
        if !own.is_empty() {
            let applied = of_postgres(&mut tx, own.table()).await?;
            if !own.pending(&applied)?.is_empty() {
                self.forget_statements(&mut tx).await?;
                own.run(&mut *tx).await?;
                self.forget_statements(&mut tx).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Makes room for the statements of sqlx's migrator. It always names them, and behind a pooler
    /// the names of an earlier start may still be there.
    async fn forget_statements(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        match self.has_named_statements {
            true => Ok(()),
            false => db.execute("DEALLOCATE ALL").await.map(drop),
        }
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

/// Takes the sites' lock for as long as the connection is open, together with all other sites.
/// `false` means that a copy holds it alone.
async fn join(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let lock = format!("SELECT pg_try_advisory_lock_shared({})", site_lock());
    db.fetch_one(AssertSqlSafe(lock)).await?.try_get(0)
}
