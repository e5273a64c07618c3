//! Connections to SQLite that the library's pool has lent for good.
//!
//! It asks each that comes back whether it is still there, which costs two changes of
//! threads: under load more than most statements take. A file does not hang up, and what may
//! be left open on a connection is rolled back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::runtime::Handle;
use rocket::tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use rocket::tokio::time::timeout;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};

/// Takes the write lock at once: a transaction that reads first and then writes fails with
/// "locked" whatever the time-out.
pub const BEGIN: &str = "BEGIN IMMEDIATE";

/// What SQLite says where there is no transaction.
const NONE_OPEN: &str = "no transaction is active";

/// The connections of one pool, first come, first served.
#[derive(Debug)]
pub struct Leases {
    pool: SqlitePool,
    free: Mutex<Vec<PoolConnection<Sqlite>>>,
    turns: Arc<Semaphore>,
    patience: Duration,
    runtime: Handle,
}

/// A connection, until it is dropped. What is in doubt then is rolled back first.
pub struct Lease {
    leases: Arc<Leases>,
    held: Option<Held>,
    turn: Option<OwnedSemaphorePermit>,
    doubt: Leftover,
}

enum Held {
    Connection(PoolConnection<Sqlite>),
    /// Begun by the library, which nests in it what is begun on the connection itself.
    Transaction(Transaction<'static, Sqlite>),
}

/// Whether something may be under way on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    None,
    /// A statement: it may be given up.
    UntilDone,
    /// A transaction.
    UntilRolledBack,
}

impl Leases {
    /// Of all that `pool` has. Nobody waits longer than `patience` for one.
    pub fn new(pool: SqlitePool, patience: Duration) -> Arc<Self> {
        let count = pool.options().get_max_connections() as usize;
        let (free, turns) = (Mutex::default(), Arc::new(Semaphore::new(count)));
        Arc::new(Leases { pool, free, turns, patience, runtime: Handle::current() })
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
        // The pool begins it on a connection of its own, so the free one goes back first.
        drop(self.free().pop());
        lease.held = Some(Held::Transaction(self.pool.begin_with(BEGIN).await?));
        Ok(lease)
    }

    async fn lease(self: &Arc<Self>) -> Result<Lease, sqlx::Error> {
        let turn = timeout(self.patience, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let turn = Some(turn.map_err(|_| sqlx::Error::PoolClosed)?);
        Ok(Lease { leases: self.clone(), held: None, turn, doubt: Leftover::None })
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

/// The library wants its runtime where a connection is dropped, and panics without.
impl Drop for Leases {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.free().clear();
    }
}

impl Lease {
    /// Whether the library has begun a transaction.
    pub fn is_transaction(&self) -> bool {
        matches!(self.held, Some(Held::Transaction(_)))
    }

    /// To run a statement. The connection is in doubt until [`went_well()`](Self::went_well()).
    pub fn db(&mut self) -> &mut SqliteConnection {
        if self.doubt == Leftover::None {
            self.doubt = Leftover::UntilDone;
        }
        match self.held.as_mut().expect("a connection is held until it is dropped") {
            Held::Connection(db) => db,
            Held::Transaction(tx) => tx,
        }
    }

    /// What is run may begin a transaction.
    pub fn may_begin(&mut self) {
        self.doubt = Leftover::UntilRolledBack;
    }

    /// A statement has come to its end. What may have begun a transaction stays in doubt.
    pub fn went_well(&mut self) {
        if self.doubt == Leftover::UntilDone {
            self.doubt = Leftover::None;
        }
    }

    /// Commits what the library has begun; a statement has committed its own. It is nobody
    /// else's turn yet.
    pub async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.held = match self.held.take() {
            Some(Held::Transaction(tx)) => {
                tx.commit().await?;
                None
            }
            held => held,
        };
        self.doubt = Leftover::None;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.held.take() {
            Some(Held::Connection(db)) if self.doubt == Leftover::None => self.leases.give_back(db),
            Some(Held::Connection(mut db)) => {
                let (leases, turn) = (self.leases.clone(), self.turn.take());
                self.leases.runtime.spawn(async move {
                    match roll_back(&mut db).await {
                        Ok(()) => leases.give_back(db),
                        // Closing it rolls back as well.
                        Err(_) => db.close_on_drop(),
                    }
                    drop(turn);
                });
            }
            // The library rolls it back.
            Some(Held::Transaction(_)) | None => {}
        }
    }
}

async fn roll_back(db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match sqlx::query("ROLLBACK").execute(db).await {
        // Nothing was begun, as on a locked file, or SQLite has done it by itself, as on a
        // full disk.
        Err(sqlx::Error::Database(error)) if error.message().contains(NONE_OPEN) => Ok(()),
        done => done.map(|_| ()),
    }
}
