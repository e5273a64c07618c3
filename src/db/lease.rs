//! Connections to SQLite that the library's pool has lent for good.
//!
//! It asks each that comes back whether it is still there, which costs two changes of
//! threads: under load more than most statements take. A file does not hang up; only a
//! connection on which something went wrong goes back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use rocket::tokio::{self, time::timeout};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::sqlite::BEGIN;

/// What SQLite says where there is no transaction.
const NONE_OPEN: &str = "no transaction is active";

/// The connections of one pool, first come, first served.
#[derive(Debug)]
pub struct Leases {
    pool: SqlitePool,
    free: Mutex<Vec<PoolConnection<Sqlite>>>,
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// A connection, until it is dropped. What it has begun and not ended is rolled back.
pub struct Lease {
    leases: Arc<Leases>,
    held: Option<Held>,
    turn: Option<OwnedSemaphorePermit>,
    /// A statement has failed or was given up, or is under way.
    is_doubtful: bool,
}

enum Held {
    Connection(PoolConnection<Sqlite>),
    /// A statement has begun a transaction, or may have.
    Begun(PoolConnection<Sqlite>),
    /// The library has, and nests in it what is begun on the connection itself.
    Transaction(Transaction<'static, Sqlite>),
}

impl Leases {
    /// Of all that `pool` has. Nobody waits longer than `patience` for one.
    pub fn new(pool: SqlitePool, patience: Duration) -> Arc<Self> {
        let count = pool.options().get_max_connections() as usize;
        let (free, turns) = (Mutex::default(), Arc::new(Semaphore::new(count)));
        Arc::new(Leases { pool, free, turns, patience })
    }

    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// # Errors
    ///
    /// When none is free in time, none can be made, or all are closed.
    pub async fn take(self: &Arc<Self>) -> Result<Lease, sqlx::Error> {
        let mut lease = self.lease().await?;
        let free = self.free().pop();
        lease.held = Some(Held::Connection(match free {
            Some(db) => db,
            None => self.pool.acquire().await?,
        }));
        Ok(lease)
    }

    /// The same with a transaction of the library's.
    ///
    /// # Errors
    ///
    /// As [`take()`](Self::take()), and when it cannot be begun.
    pub async fn begin(self: &Arc<Self>) -> Result<Lease, sqlx::Error> {
        let mut lease = self.lease().await?;
        // Only what comes from its pool it gives out again with the transaction.
        let free = self.free().pop();
        drop(free);
        lease.held = Some(Held::Transaction(self.pool.begin_with(BEGIN).await?));
        Ok(lease)
    }

    async fn lease(self: &Arc<Self>) -> Result<Lease, sqlx::Error> {
        let turn = timeout(self.patience, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let turn = Some(turn.map_err(|_| sqlx::Error::PoolClosed)?);
        Ok(Lease { leases: self.clone(), held: None, turn, is_doubtful: false })
    }

    /// Waits for a turn, and does nothing with it. `None`: all are closed.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// From now on nobody gets one; those that are out are waited for.
    pub fn close(&self) -> impl Future<Output = ()> + '_ {
        self.turns.close();
        self.free().clear();
        self.pool.close()
    }

    fn give_back(&self, db: PoolConnection<Sqlite>) {
        let mut free = self.free();
        if !self.turns.is_closed() {
            free.push(db);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<PoolConnection<Sqlite>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Whether the library has begun a transaction.
    pub fn is_transaction(&self) -> bool {
        matches!(self.held, Some(Held::Transaction(_)))
    }

    /// To run something that begins a transaction, if there is none.
    pub fn writer(&mut self) -> &mut SqliteConnection {
        self.held = match self.held.take() {
            Some(Held::Connection(db)) => Some(Held::Begun(db)),
            held => held,
        };
        self.db()
    }

    /// To run something. The connection is in doubt until [`is_well()`](Self::is_well()).
    pub fn db(&mut self) -> &mut SqliteConnection {
        self.is_doubtful = true;
        match self.held.as_mut().expect("a connection is held until it is dropped") {
            Held::Connection(db) | Held::Begun(db) => db,
            Held::Transaction(tx) => tx,
        }
    }

    /// What was run has gone well.
    pub fn is_well(&mut self) {
        self.is_doubtful = false;
    }

    /// Commits what the library has begun; a statement has committed its own. It is nobody
    /// else's turn yet.
    pub async fn commit(&mut self) -> Result<(), sqlx::Error> {
        match self.held.take() {
            Some(Held::Transaction(tx)) => tx.commit().await?,
            Some(Held::Connection(db) | Held::Begun(db)) => {
                self.held = Some(Held::Connection(db));
                self.is_well();
            }
            None => {}
        }
        Ok(())
    }

    pub async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        match self.held.take() {
            Some(Held::Transaction(tx)) => tx.rollback().await,
            held => {
                self.held = held;
                Ok(())
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.held.take() {
            Some(Held::Connection(db)) if !self.is_doubtful => self.leases.give_back(db),
            Some(Held::Begun(mut db)) => {
                let (leases, turn) = (self.leases.clone(), self.turn.take());
                tokio::spawn(async move {
                    match roll_back(&mut db).await {
                        Ok(()) => leases.give_back(db),
                        // Closing it rolls back as well.
                        Err(_) => db.close_on_drop(),
                    }
                    drop(turn);
                });
            }
            Some(Held::Connection(_) | Held::Transaction(_)) | None => {}
        }
    }
}

async fn roll_back(db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match sqlx::query("ROLLBACK").execute(db).await {
        // On a full disk SQLite does it by itself, and a locked file lets nothing begin.
        Err(sqlx::Error::Database(error)) if error.message().contains(NONE_OPEN) => Ok(()),
        done => done.map(|_| ()),
    }
}
