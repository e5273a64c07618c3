//! Connections to SQLite that are taken from the library's pool once, and kept.
//!
//! An application may leave a transaction open on a connection, and a statement may be given up. So
//! what may be under way is rolled back before the next one gets the connection. The library's pool
//! does not do this. It asks each connection that comes back whether it still works, although a file
//! does not hang up.

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
const BEGIN: &str = "BEGIN IMMEDIATE";

/// SQLite's message if no transaction is open.
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

/// A connection that is held until this is dropped. If something may be under way on it then, it is
/// rolled back first.
pub struct Lease {
    leases: Arc<Leases>,
    held: Option<Held>,
    turn: Option<OwnedSemaphorePermit>,
    leftover: Leftover,
}

enum Held {
    Connection(PoolConnection<Sqlite>),
    /// The library has begun it, and nests in it what is begun on the connection itself.
    Transaction(Transaction<'static, Sqlite>),
}

/// What may be under way on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    None,
    /// A statement, which may be given up.
    UntilDone,
    /// A transaction.
    UntilRolledBack,
}

impl Leases {
    /// Hands out all connections of `pool`. Nobody waits for one longer than `patience`.
    pub fn new(pool: SqlitePool, patience: Duration) -> Arc<Self> {
        let count = pool.options().get_max_connections() as usize;
        let (free, turns) = (Mutex::default(), Arc::new(Semaphore::new(count)));
        Arc::new(Leases { pool, free, turns, patience, runtime: Handle::current() })
    }

    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Takes a connection.
    ///
    /// # Errors
    ///
    /// Returns an error if no connection is free in time, if none can be opened, or if all are
    /// closed.
    pub async fn take(self: &Arc<Self>) -> Result<Lease, sqlx::Error> {
        let mut lease = self.lease().await?;
        let free = self.free().pop();
        lease.held = Some(Held::Connection(match free {
            Some(db) => db,
            None => self.pool.acquire().await?,
        }));
        Ok(lease)
    }

    /// Takes a connection on which the library has begun a transaction.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`take()`](Self::take()), and an error if the transaction cannot be
    /// begun.
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
        Ok(Lease { leases: self.clone(), held: None, turn, leftover: Leftover::None })
    }

    /// Waits for a turn, and takes no connection. `None` means that all are closed.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Hands out no more connections, and waits for those that are out.
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

/// Drops the connections within the library's runtime: without one, the library panics.
impl Drop for Leases {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.free().clear();
    }
}

impl Lease {
    /// Returns the connection, to run a statement. It is in doubt until
    /// [`went_well()`](Self::went_well()).
    pub fn db(&mut self) -> &mut SqliteConnection {
        if self.leftover == Leftover::None {
            self.leftover = Leftover::UntilDone;
        }
        match self.held.as_mut().expect("a connection is held until it is dropped") {
            Held::Connection(db) => db,
            Held::Transaction(tx) => tx,
        }
    }

    /// Notes that what runs next may begin a transaction.
    pub fn may_begin(&mut self) {
        self.leftover = Leftover::UntilRolledBack;
    }

    /// Notes that a statement has come to its end. A connection on which a transaction may have
    /// begun stays in doubt.
    pub fn went_well(&mut self) {
        if self.leftover == Leftover::UntilDone {
            self.leftover = Leftover::None;
        }
    }

    /// Commits the transaction if the library has begun it; otherwise a statement has committed its
    /// own. Nobody else gets the connection before this is dropped.
    pub async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.held = match self.held.take() {
            Some(Held::Transaction(tx)) => {
                tx.commit().await?;
                None
            }
            held => held,
        };
        self.leftover = Leftover::None;
        Ok(())
    }

    /// Returns the connection after [`commit()`](Self::commit()), to ask it something.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection was lost and none can be opened.
    pub async fn again(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.held.is_none() {
            // Nobody else gets the connection: this has the turn.
            self.held = Some(Held::Connection(self.leases.pool.acquire().await?));
        }
        Ok(self.db())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.held.take() {
            Some(Held::Connection(db)) if self.leftover == Leftover::None => {
                self.leases.give_back(db)
            }
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
            // The library rolls it back, within its runtime.
            Some(Held::Transaction(tx)) => {
                let _entered = self.leases.runtime.enter();
                drop(tx);
            }
            None => {}
        }
    }
}

async fn roll_back(db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match sqlx::query("ROLLBACK").execute(db).await {
        // Nothing was begun, as on a locked file, or SQLite has rolled back by itself, as on a full
        // disk.
        Err(sqlx::Error::Database(error)) if error.message().contains(NONE_OPEN) => Ok(()),
        done => done.map(|_| ()),
    }
}
