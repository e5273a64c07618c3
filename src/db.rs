//! The database: one writer and several readers over one SQLite file.
//!
//! No caller holds a connection while a body is read, a password hashed or a
//! template rendered: [`Db::read`] and [`Db::write`] are taken in the handler,
//! late, and given back with the last statement.

mod file;
mod in_flight;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocket::fairing::{self, AdHoc};
use rocket::figment::Figment;
use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::timeout;
use rocket::{Build, Rocket};
use rocket_db_pools::{Database, Pool};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};

use crate::clock::Timestamp;
use crate::config::{ConfigError, sqlite_path};
use crate::error::Error;
use file::FileIdentity;
use in_flight::InFlight;

pub use file::is_database;
pub use in_flight::fairing as in_flight;

/// Longest wait for the one writer. Its queue is first come, first served.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for a reader.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait for a lock that another process holds: a backup, `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the shutdown lets requests in flight finish before the database
/// closes under them. Shorter than the site's `shutdown.grace`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// A healthy database answers a probe far sooner.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The migrations of `migrations/`, embedded.
///
/// Versions of an application's own migrations in the same database are left
/// to the application.
static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!();
    migrations.ignore_missing = true;
    migrations
};

/// The database, as managed state and as the request guard `&Db`.
///
/// Take `&Db`, not `Connection<Db>`, in a route with a body: guards run before
/// the body is read, and a slow body would hold the connection (four slow
/// clients then stop the site).
#[derive(Database)]
#[database("login")]
pub struct Db(Pools);

/// The pool behind [`Db`]: one connection that writes, several that read.
///
/// One writer, because several wait for each other's lock unfairly (p99 of 142
/// ms against 48 ms), and apart from the readers, so that a locked file stops
/// writes only.
#[derive(Clone)]
pub struct Pools {
    write: SqlitePool,
    read: SqlitePool,
    file: Arc<FileIdentity>,
    in_flight: InFlight,
}

impl Pools {
    /// A connection for reading: single statements, never a transaction that
    /// stays open across an await (it would keep the WAL from being reset).
    ///
    /// # Errors
    ///
    /// When no reader is free within a second, or the file is no longer the one
    /// that was opened.
    pub async fn read(&self) -> Result<PoolConnection<Sqlite>, Error> {
        self.check_file()?;
        Ok(self.read.acquire().await?)
    }

    /// A write transaction. Dropped without a commit, it is rolled back.
    ///
    /// There is one writer: commit or drop it before anything else that writes,
    /// such as [`Session::set()`](crate::Session::set()), or that waits in vain.
    ///
    /// It takes the write lock at once (`BEGIN IMMEDIATE`): a transaction that
    /// reads first and then writes fails with "locked" whatever the time-out.
    ///
    /// # Errors
    ///
    /// When the writer is not free within two seconds, the file is locked by
    /// another process, or the file is no longer the one that was opened.
    pub async fn write(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        self.check_file()?;
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Keeps the database open at the shutdown, as a request in flight does,
    /// until it is dropped.
    pub(crate) fn keep_open(&self) -> impl Drop + use<> {
        self.in_flight.enter()
    }

    /// Whether the database would serve a request now: the file is in place
    /// and reads as a database, and the writer gets the write lock.
    pub async fn is_ready(&self) -> bool {
        let options = self.read.connect_options();
        let path = options.get_filename().to_owned();
        let probe = async {
            self.check_file()?;
            let is_database = spawn_blocking(move || file::is_database(&path)).await;
            if !is_database.unwrap_or(false) {
                return Err(Error::file_gone());
            }

            // A connection of its own: the readers would go on with the pages
            // they have cached.
            let mut fresh = SqliteConnection::connect_with(&options).await?;
            sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(&mut fresh).await?;
            sqlx::query("SELECT 1 FROM sessions LIMIT 1").fetch_optional(&mut fresh).await?;
            fresh.close().await?;
            self.write().await?.rollback().await?;
            Ok::<_, Error>(())
        };

        matches!(timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(())))
    }

    /// Refuses a file that is not the one that was opened.
    ///
    /// SQLite goes on writing to a file that was deleted, and everything
    /// acknowledged from then on would be lost at the next start. And a new
    /// connection to a file that was put in its place shortens the `-shm` file
    /// that the older ones have mapped: the process dies of it (SIGBUS).
    fn check_file(&self) -> Result<(), Error> {
        match self.file.is_in_place() {
            true => Ok(()),
            false => Err(Error::file_gone()),
        }
    }

    /// Opens the file at `path`, made with its directory if it is missing.
    ///
    /// # Errors
    ///
    /// When the file cannot be made or opened, or SQLite is too old.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        file::create(path).map_err(|error| {
            OpenError(format!("databases.login.url: cannot open {}: {error}", path.display()))
        })?;

        // The writer first: it switches the file to WAL before readers come.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("temp_store", "MEMORY") // no temporary files on a full disk
            .pragma("trusted_schema", "OFF") // a tampered file's views and triggers stay harmless
            .pragma("cell_size_check", "ON");
        let writer = options
            .clone()
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            // One fsync per commit. A log-out that a power cut undoes would
            // log somebody back in, and hashing limits log-ins far below fsync.
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", "67108864") // or the WAL keeps its peak size for good
            .pragma("cache_size", "-65536")
            .optimize_on_close(true, None);
        let reader = options.pragma("query_only", "ON").pragma("cache_size", "-16384");

        let write = pool(1, WRITER_TIMEOUT).connect_with(writer).await?;
        check_version(&write).await?;
        let readers = std::thread::available_parallelism().map_or(4, |n| 2 * n.get() as u32);
        let read = pool(readers.clamp(4, 16), READER_TIMEOUT).connect_with(reader).await?;
        let file = Arc::new(FileIdentity::of(path));
        Ok(Pools { write, read, file, in_flight: InFlight::default() })
    }

    /// Applies what is missing of the embedded migrations, all in one
    /// transaction: a second process that starts meanwhile waits for it.
    ///
    /// # Errors
    ///
    /// When a migration fails or was changed after it was applied.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        let migrate = async {
            let mut tx = self.write.begin_with("BEGIN IMMEDIATE").await?;
            MIGRATIONS.run_direct(None, &mut *tx, false).await?;
            tx.commit().await?;
            Ok::<_, sqlx::migrate::MigrateError>(())
        };

        migrate.await.map_err(|error| OpenError(format!("cannot migrate the database: {error}")))
    }
}

/// Whether SQLite finds nothing wrong with the file's structure.
pub async fn is_sound(db: &mut SqliteConnection) -> Result<bool, Error> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(db).await?;
    Ok(found == "ok")
}

/// When something last happened, by the clock of then. 0: never.
pub async fn latest_event(db: &mut SqliteConnection) -> Result<Timestamp, Error> {
    let latest = sqlx::query_scalar(
        "SELECT max(coalesce((SELECT max(created_at) FROM login_events), 0),
                    coalesce((SELECT max(created_at) FROM users), 0))",
    )
    .fetch_one(db)
    .await?;
    Ok(latest)
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

/// Refuses an SQLite that can lose committed data in WAL mode (3.7.0 to
/// 3.51.2, see <https://sqlite.org/wal.html#walresetbug>).
async fn check_version(pool: &SqlitePool) -> Result<(), OpenError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    match is_fixed(&version) {
        true => Ok(()),
        false => Err(OpenError(format!(
            "SQLite {version} can lose committed data (WAL reset); build with 3.51.3 or later"
        ))),
    }
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

/// Why the database could not be opened, in one line.
#[derive(Debug)]
pub struct OpenError(String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        OpenError(format!("databases.login.url: {error}"))
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        OpenError(error.to_string())
    }
}

#[rocket::async_trait]
impl Pool for Pools {
    type Connection = PoolConnection<Sqlite>;
    type Error = OpenError;

    async fn init(figment: &Figment) -> Result<Self, OpenError> {
        let url: String = figment.extract_inner("url").map_err(ConfigError::from)?;
        Pools::open(&sqlite_path(&url)?).await
    }

    async fn get(&self) -> Result<Self::Connection, OpenError> {
        self.check_file().map_err(|error| OpenError(error.to_string()))?;
        Ok(self.read.acquire().await?)
    }

    /// Rocket calls this first at shutdown, while requests are still being
    /// answered; they keep their database until they are done.
    async fn close(&self) {
        self.in_flight.wait_for_none(CLOSE_TIMEOUT).await;
        let close = async { (self.read.close().await, self.write.close().await) };
        if timeout(PROBE_TIMEOUT, close).await.is_err() {
            log::warn!("the database is closed with a statement under way");
        }
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("read", &self.read).field("write", &self.write).finish()
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Db").field(&self.0).finish()
    }
}

/// Migrates at ignition; a failure stops the launch.
pub fn migrations() -> AdHoc {
    AdHoc::try_on_ignite("Migrations", migrate)
}

async fn migrate(rocket: Rocket<Build>) -> fairing::Result {
    match Db::fetch(&rocket) {
        Some(db) => match db.migrate().await {
            Ok(()) => Ok(rocket),
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        },
        None => Err(rocket),
    }
}

#[cfg(test)]
mod tests {
    use super::is_fixed;

    #[test]
    fn an_sqlite_that_can_lose_commits_is_told_from_a_fixed_one() {
        for fixed in ["3.44.6", "3.50.7", "3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_fixed(fixed), "{fixed}");
        }

        for affected in ["3.7.0", "3.40.1", "3.44.5", "3.45.9", "3.50.6", "3.51.2", "", "x"] {
            assert!(!is_fixed(affected), "{affected}");
        }
    }
}
