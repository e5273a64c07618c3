//! One writer and several readers over one SQLite file.

mod file;
mod lease;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocket::tokio;
use rocket::tokio::sync::watch;
use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::{sleep, timeout};
use sqlx::Connection;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx_core::migrate::{Migrate, Migrator};

use super::applied;
use super::open_error::OpenError;
use super::own_migrations::{Failure, Own};
use super::watch::{Commit, IS_READABLE, Watch, Witness};
use crate::background;
use crate::error::Error;
use file::DatabaseFile;

#[cfg(feature = "cli")]
pub use file::is_database;
pub use lease::{Lease, Leases};

/// The longest wait for the one writer. Its queue is first come, first served.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest wait for a reader.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest wait for a lock that another process holds, such as a backup or `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a start waits for connections.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How many pages the log may hold before it is written back into the file: 4 MiB, which is
/// SQLite's default.
const LONG_LOG: u32 = 1000;

/// The pages that the writer keeps, in KiB (negative: kibibytes instead of pages): more than a
/// transaction of a thousand last-seen times changes. What it does not keep, the operating system
/// does.
const WRITER_CACHE: &str = "-8192";

/// The pages that each reader keeps, in KiB. It drops them all after each commit of the writer, so
/// more of them would only take memory.
const READER_CACHE: &str = "-2048";

/// The rows that SQLite's thread hands over before it waits: as many as the largest statement of
/// ours returns. With fewer, the two threads would wake each other several times per statement.
const MOST_ROWS: usize = 1024;

/// The longest wait for the log to be written back.
const LONGEST_CHECKPOINT: Duration = Duration::from_secs(2);

/// Writers are expected to wait less than this for the log to be written back. A longer wait is
/// logged.
const LONG_WAIT: Duration = Duration::from_millis(50);

/// The pause between two attempts to open a file that another process is opening.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

const BETWEEN_CHECKPOINTS: Duration = Duration::from_millis(20);

/// So few pages are written back in no time.
const SHORT_LOG: i64 = 100;

/// One connection that writes, and several that read.
///
/// There is one writer, because several would wait for each other's lock unfairly (p99 of 142 ms
/// against 48 ms). It is apart from the readers, so that a locked file stops only writes.
#[derive(Debug, Clone)]
pub struct SqlitePools {
    /// The one writer, which is held until the versions include its commit.
    write: Arc<Leases>,
    read: Arc<Leases>,
    file: Arc<DatabaseFile>,
    watch: Arc<Watch>,
    witness: Arc<Witness>,
    checkpoints: Checkpoints,
}

/// Writes the log back, on a connection of its own. Usually the connection that commits does this,
/// and then everybody waits for the disk to take some hundred scattered pages.
#[derive(Debug, Clone)]
struct Checkpoints {
    db: SqlitePool,
    is_running: Arc<watch::Sender<bool>>,
}

/// A write transaction.
pub struct Writer {
    lease: Lease,
    pools: SqlitePools,
    /// How many rows the [`Witness`] had counted before.
    rows: Option<u64>,
}

impl SqlitePools {
    /// Opens the file at `path`, and creates it and its directory if they are missing.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be created or opened, or if SQLite is too old.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let mut file = file::create(path)?;

        // The writer comes first: it switches the file to WAL before readers open it.
        let (writer, reader) = (writer_options(path), options(path));
        let checkpoints = writer.clone();
        let writer = match IS_READABLE {
            true => writer.pragma("wal_autocheckpoint", "0"),
            false => writer, // the length of the log is not known
        };
        // `optimize` does not run at the close: with ten million rows it took so long that the next
        // start found the file locked. Every statement uses its index without statistics.
        let reader = reader.pragma("query_only", "ON").pragma("cache_size", READER_CACHE);

        let witness = Arc::<Witness>::default();
        let write = writer_pool(&witness);
        let first = connect(&writer).await?;
        let write = fill(write, writer).await?;
        check_version(&write).await?;
        let readers = std::thread::available_parallelism().map_or(4, |n| 2 * n.get() as u32);
        let read = fill(pool(readers.clamp(4, 16), READER_TIMEOUT), reader).await?;
        // SQLite creates the log when the file is first read.
        sqlx::query("SELECT 1 FROM sqlite_schema").fetch_optional(&read).await?;
        file.watch_log();
        let file = Arc::new(file);
        let watched = file.clone();
        let watch = Arc::new(Watch::of_file(path, move || watched.was_in_place()));
        if IS_READABLE && !watch.can_know() {
            return Err(OpenError::database(
                "the -shm file beside it, which is the index of its log, cannot be read",
            ));
        }
        let checkpoints = Checkpoints {
            // It is opened now, because the path may name another file by the time it is needed.
            db: fill(pool(1, READER_TIMEOUT), checkpoints).await?,
            is_running: Arc::default(),
        };
        first.close().await?;
        let (write, read) = (Leases::new(write, WRITER_TIMEOUT), Leases::new(read, READER_TIMEOUT));
        Ok(SqlitePools { write, read, file, watch, witness, checkpoints })
    }

    pub async fn read(&self) -> Result<Lease, Error> {
        self.check_file()?;
        Ok(self.read.take().await?)
    }

    /// Applies the missing migrations, `own` after ours, in one transaction.
    pub async fn migrate(&self, ours: &Migrator, own: Own<'_>) -> Result<(), Failure> {
        let mut lease = self.write().await?.lease;
        let db = lease.db();
        db.ensure_migrations_table(&ours.table_name).await.map_err(sqlx::Error::from)?;
        let applied = applied::of_sqlite(db, applied::TABLE).await?;
        if let Some(taken) = applied::taken(&applied, ours) {
            return Err(Failure::Taken(taken.to_string()));
        }
        applied::warn_of_newer(&applied, ours);
        ours.run_direct(None, db, false).await.map_err(sqlx::Error::from)?;
        if !own.is_empty() {
            db.ensure_migrations_table(own.table()).await.map_err(sqlx::Error::from)?;
            if !own.pending(&applied::of_sqlite(db, own.table()).await?)?.is_empty() {
                own.run(db).await?;
            }
        }
        Ok(lease.commit().await?)
    }

    /// Begins a write transaction that has the write lock.
    pub async fn write(&self) -> Result<Writer, Error> {
        self.check_file()?;
        let lease = self.write.begin().await?;
        Ok(Writer { lease, pools: self.clone(), rows: self.witness.rows() })
    }

    /// Returns what watches the changes in this file.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Waits while the log is being written back, but no longer than [`LONGEST_CHECKPOINT`]: work
    /// that can wait should not make the log longer meanwhile.
    pub async fn wait_for_disk(&self) {
        let mut is_running = self.checkpoints.is_running.subscribe();
        let _ = timeout(LONGEST_CHECKPOINT, is_running.wait_for(|is_running| !is_running)).await;
    }

    /// Starts to write the log back, unless that is being done already.
    fn shorten_log(&self) {
        if self.checkpoints.is_running.send_replace(true) {
            return;
        }
        let pools = self.clone();
        tokio::spawn(async move {
            match background::round("checkpoint", pools.checkpoint()).await {
                // The shutdown writes the log back.
                Some(Ok(()) | Err(sqlx::Error::PoolClosed)) | None => {}
                Some(Err(error)) => {
                    log::warn!("cannot write the log back into the database: {error}")
                }
            }
            // A long read keeps the log from getting shorter.
            sleep(BETWEEN_CHECKPOINTS).await;
            pools.checkpoints.is_running.send_replace(false);
        });
    }

    async fn checkpoint(&self) -> Result<(), sqlx::Error> {
        // Most pages are written back while the writer goes on. What it commits meanwhile stays in
        // the log.
        for _ in 0..5 {
            if self.write_back().await? < SHORT_LOG {
                break;
            }
        }
        // The rest is written back while nobody writes: SQLite can restart the log only when all of
        // it is in the file. Otherwise the log would grow for as long as there is always something
        // new.
        let (_turn, start) = (self.write.turn().await, Instant::now());
        self.write_back().await?;
        let taken = start.elapsed();
        if taken > LONG_WAIT {
            log::info!("writers waited {taken:.1?} for the log to be written back");
        }
        Ok(())
    }

    /// Writes the log back as far as possible. Returns how many of its pages are left to be
    /// written.
    async fn write_back(&self) -> Result<i64, sqlx::Error> {
        let checkpoint = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
        let (_, pages, written): (i64, i64, i64) =
            checkpoint.fetch_one(&self.checkpoints.db).await?;
        Ok(pages.max(self.watch.pages().into()) - written)
    }

    /// Checks that the file is in place and reads as a database, and that the writer gets the write
    /// lock.
    pub async fn probe(&self) -> Result<(), Error> {
        let options = self.read.pool().connect_options();
        self.check_file()?;
        let file = self.file.clone();
        let is_database = spawn_blocking(move || file.is_database()).await;
        if !is_database.unwrap_or(false) {
            return Err(Error::file_gone());
        }

        // This uses a new connection: the readers would answer from the pages that they have
        // cached.
        let mut fresh = SqliteConnection::connect_with(&options).await?;
        sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(&mut fresh).await?;
        sqlx::query("SELECT 1 FROM sessions LIMIT 1").fetch_optional(&mut fresh).await?;
        fresh.close().await?;
        self.write().await.map(|_| ())
    }

    /// Returns whether SQLite finds nothing wrong with the file's structure.
    #[cfg(feature = "cli")]
    pub async fn is_sound(&self) -> Result<bool, Error> {
        let mut lease = self.read().await?;
        let check = sqlx::query_scalar("PRAGMA quick_check(1)");
        let found: String = check.fetch_one(lease.db()).await?;
        lease.went_well();
        Ok(found == "ok")
    }

    /// Refuses a file that is not the one that was opened.
    ///
    /// SQLite continues to write to a file that was deleted, and everything acknowledged from then
    /// on would be lost at the next start. And a new connection to a file that was put in its place
    /// shortens the `-shm` file that the older connections have mapped, which kills the process
    /// (SIGBUS).
    fn check_file(&self) -> Result<(), Error> {
        match self.file.is_in_place() {
            true => Ok(()),
            false => Err(Error::file_gone()),
        }
    }

    pub async fn close(&self) {
        let (read, write) = (self.read.close(), self.write.close());
        read.await;
        write.await;
        // This closes last and alone: if the last two connections close at the same moment, each
        // finds the other there, and neither writes the log back.
        self.checkpoints.db.close().await;
    }
}

impl Writer {
    pub fn db(&mut self) -> &mut SqliteConnection {
        self.lease.db()
    }

    /// Commits.
    pub async fn commit(self, mut commit: Commit) -> Result<(), sqlx::Error> {
        let Writer { mut lease, pools, rows: rows_before } = self;
        lease.commit().await?;
        let rows = pools.witness.rows().zip(rows_before).map(|(now, before)| now - before);
        commit.effects().compare(rows);
        let is_alone = async || {
            let Ok(db) = lease.again().await else { return false };
            let is_alone = pools.witness.is_alone(db).await;
            lease.went_well();
            is_alone
        };
        if commit.done_in_log(is_alone).await > LONG_LOG {
            pools.shorten_log();
        }
        Ok(())
    }
}

/// The options of every connection of the site.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(MOST_ROWS)
        .foreign_keys(true)
        .pragma("temp_store", "MEMORY") // no temporary files on a full disk
        .pragma("trusted_schema", "OFF") // a tampered file's views and triggers stay harmless
        .pragma("cell_size_check", "ON")
}

/// The options of the connection that writes.
fn writer_options(path: &Path) -> SqliteConnectOptions {
    options(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // There is one fsync per commit. If a power cut undid a log-out, it would log the user
        // in again. Hashing limits log-ins far more than fsync does.
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864") // otherwise the WAL keeps its peak size
        .pragma("cache_size", WRITER_CACHE)
        .statement_cache_capacity(256) // a statement of many rows has a text for each power of two
}

/// The pool of the connection that writes.
fn writer_pool(witness: &Arc<Witness>) -> SqlitePoolOptions {
    let witness = witness.clone();
    // On a full disk SQLite rolls back by itself. The library's own roll-back then fails, and
    // the library would take the transaction for an open one from then on.
    let pool = pool(1, WRITER_TIMEOUT).after_connect(move |db, _| {
        let witness = witness.clone();
        Box::pin(async move { witness.attend(db).await })
    });
    pool.after_release(|db, _| {
        Box::pin(async move {
            if db.is_in_transaction() {
                db.ping().await?; // waits for the roll-back, which is only queued
            }
            Ok(!db.is_in_transaction())
        })
    })
}

/// Opens the file as a program does that changes nothing: the journal's mode and the file's rights
/// are not touched.
#[cfg(feature = "cli")]
pub async fn connect_to_look(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).pragma("trusted_schema", "OFF");
    SqliteConnection::connect_with(&options).await
}

/// Opens the file and closes it to others until the result is dropped. Every program that has used
/// the file holds a shared lock on it until it closes the file. In this mode SQLite takes the
/// exclusive lock, and keeps it.
#[cfg(feature = "cli")]
pub async fn hold(path: &Path) -> Result<(Lease, Arc<Leases>), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON");
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    let leases = Leases::new(pool, Duration::MAX);
    let mut lease = leases.take().await?;
    lease.may_begin();
    // Without a write-ahead log, SQLite locks the file only when something is written.
    sqlx::query("BEGIN EXCLUSIVE").execute(lease.db()).await?;
    Ok((lease, leases))
}

/// Connects, however long it takes: SQLite first reads what a crash has left in the log, from a
/// disk that may be busy. SQLite refuses at once, whatever the time-out, if another process uses
/// the file while this one switches it to WAL, for example when several start on an empty file.
/// Then this tries again for [`BUSY_TIMEOUT`].
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let start = Instant::now();
    loop {
        match SqliteConnection::connect_with(options).await {
            Err(error) if is_busy(&error) && start.elapsed() < BUSY_TIMEOUT => {
                sleep(BETWEEN_TRIES).await;
            }
            done => return done,
        }
    }
}

/// Opens the first connections of a pool. A pool is as impatient here as with a visitor, and several
/// instances that start at once on a busy disk wait longer for each other. So this tries again for
/// [`START_PATIENCE`].
async fn fill(
    pool: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    let start = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::PoolTimedOut) if start.elapsed() < START_PATIENCE => {}
            done => return done,
        }
    }
}

/// Returns whether another connection holds a lock. The last byte of the code says so; the other
/// bytes say which lock it is.
pub fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 5)
}

fn pool(connections: u32, wait: Duration) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(connections.min(2))
        .max_connections(connections)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false) // a local file does not hang up
}

/// Refuses a version of SQLite that can lose committed data in WAL mode (3.7.0 to 3.51.2, see
/// <https://sqlite.org/wal.html#walresetbug>).
async fn check_version(pool: &SqlitePool) -> Result<(), OpenError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    match is_fixed(&version) {
        true => Ok(()),
        false => Err(OpenError::new(too_old(&version))),
    }
}

/// Returns the error for such a version, with the fix. Nobody chooses the version: it comes with
/// the crate that builds SQLite in, and an older lock file or another crate of the application
/// holds that crate back.
fn too_old(version: &str) -> String {
    format!(
        "SQLite {version} can lose committed data (WAL reset); rocket-login needs libsqlite3-sys 0.37 or \
         later: run `cargo update -p libsqlite3-sys`; sqlx 0.8 and sea-orm 1 hold it back"
    )
}

fn is_fixed(version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    match parts[..] {
        [3, 44, patch, ..] => patch >= 6,
        [3, 50, patch, ..] => patch >= 7,
        [3, 51, patch, ..] => patch >= 3,
        [3, minor, ..] => minor >= 52,
        [major, ..] => major > 3,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_fixed, too_old};

    #[test]
    fn an_sqlite_that_can_lose_commits_is_recognised() {
        for fixed in ["3.44.6", "3.50.7", "3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_fixed(fixed), "{fixed}");
        }

        for affected in ["3.7.0", "3.40.1", "3.44.5", "3.45.9", "3.50.6", "3.51.2", "", "x"] {
            assert!(!is_fixed(affected), "{affected}");
        }
    }

    #[test]
    fn the_error_for_an_old_sqlite_names_the_crate_and_the_command() {
        let refused = too_old("3.46.0");
        for part in ["SQLite 3.46.0", "libsqlite3-sys 0.37", "cargo update -p libsqlite3-sys"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert!(!refused.contains('\n') && !refused.contains("  "), "{refused}");
    }
}
