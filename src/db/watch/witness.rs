//! What SQLite itself says of the connection that writes.
//!
//! An application's statement on our tables need not say what it changes, and nobody reads its text.
//! SQLite calls an update hook for each row that a connection changes, whatever has changed it: a
//! statement, a trigger, a foreign key. It calls none for a `DELETE` without a `WHERE`, or in a
//! table `WITHOUT ROWID`; but ours have rowids, and their foreign keys make SQLite delete row by
//! row.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

use sqlx::sqlite::SqliteConnection;

/// The tables that a kept session was read from.
const TABLES: [&str; 2] = ["sessions", "users"];

/// Counts the rows of our tables that the writer has changed, and knows when others have committed.
#[derive(Debug, Default)]
pub struct Witness {
    rows: AtomicU64,
    /// The number of the hook that counts. 0 means that none does.
    hook: AtomicU64,
    /// SQLite's number of what others have committed, when it was last asked for. Each connection
    /// has numbers of its own.
    data_version: AtomicI64,
}

/// A hook that counts, until its connection is closed or an application sets a hook of its own.
struct Hook {
    witness: Arc<Witness>,
    number: u64,
}

impl Witness {
    /// Attends to `db`, the one connection that writes, from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails.
    pub async fn attend(self: &Arc<Self>, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        static HOOKS: AtomicU64 = AtomicU64::new(0);

        self.data_version.store(data_version(db).await?, SeqCst);
        let hook = Hook { witness: self.clone(), number: HOOKS.fetch_add(1, SeqCst) + 1 };
        self.hook.store(hook.number, SeqCst);
        db.lock_handle().await?.set_update_hook(move |row| {
            if row.database == "main" && TABLES.contains(&row.table) {
                hook.witness.rows.fetch_add(1, SeqCst);
            }
        });
        Ok(())
    }

    /// Returns how many rows of our tables have changed so far. Rows that were changed back by a
    /// roll-back count too. `None` means that nobody counts.
    pub fn rows(&self) -> Option<u64> {
        (self.hook.load(SeqCst) > 0).then(|| self.rows.load(SeqCst))
    }

    /// Returns whether no other connection has committed since this was last asked on `db`. In doubt
    /// it returns `false`, which only costs look-ups.
    pub async fn is_alone(&self, db: &mut SqliteConnection) -> bool {
        match data_version(db).await {
            Ok(now) => self.data_version.swap(now, SeqCst) == now,
            Err(_) => false,
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Another connection may have been opened first, with a hook of its own.
        let _ = self.witness.hook.compare_exchange(self.number, 0, SeqCst, SeqCst);
    }
}

/// Returns a number that changes with each commit of another connection, of whichever process.
async fn data_version(db: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(db).await
}
