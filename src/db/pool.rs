//! A pool over either database.

use std::sync::Arc;
use std::time::Duration;

use rocket::figment::Figment;
use rocket::tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Transaction};
use super::deadline::SERVER_PATIENCE;
use super::in_flight::InFlight;
use super::migrations;
use super::open_error::OpenError;
use super::own_migrations::Migrations;
use super::postgres::PostgresPool;
use super::readiness::Readiness;
use super::sqlite::SqlitePools;
use super::watch::{RowKey, Watch};
use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::error::Error;
use crate::sql;

/// How long the shutdown waits for requests in flight to finish before it closes the database under
/// them. It is shorter than the site's `shutdown.grace`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// The pause between two transactions of work that can wait.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the database may take to close: SQLite's log is written back first.
const CLOSING: Duration = Duration::from_secs(3);

/// How long a probe may take. A healthy database answers far sooner.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The pool behind [`Db`](super::Db).
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// The file or the server, for messages.
    name: String,
    in_flight: InFlight,
    watch: Arc<Watch>,
    readiness: Readiness,
}

#[derive(Debug)]
enum Engine {
    Sqlite(SqlitePools),
    Postgres(PostgresPool),
}

impl Pool {
    /// Takes a connection for reading. Run single statements on it, never a transaction that stays
    /// open across an await: that would keep SQLite's log from being reset.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db) -> Result<i64, Error> {
    /// let count = sql::query_scalar("SELECT count(*) FROM notes")
    ///     .fetch_one(&mut db.read().await?)
    ///     .await?;
    /// # Ok(count) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if no reader is free within one second, or three on PostgreSQL, or if the
    /// file is no longer the one that was opened.
    pub async fn read(&self) -> Result<Connection, Error> {
        match &self.0.engine {
            Engine::Sqlite(pools) => pools.read().await.map(Connection::sqlite_reader),
            Engine::Postgres(pool) => {
                let deadline = Instant::now() + SERVER_PATIENCE;
                match pool.has_named_statements() {
                    true => Ok(Connection::postgres_reader(pool.read().await?, deadline)),
                    false => Ok(Connection::postgres_snapshot(pool.write().await?, deadline)),
                }
            }
        }
    }

    /// Begins a write transaction. It is rolled back if it is dropped without a commit.
    ///
    /// SQLite has one writer. Commit or drop the transaction before anything else that writes, such
    /// as [`Session::set()`](crate::Session::set()), which would otherwise wait in vain. On SQLite
    /// the transaction takes the write lock at once (`BEGIN IMMEDIATE`).
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db, user_id: i64, text: &str) -> Result<(), Error> {
    /// let mut tx = db.write().await?;
    /// sql::query("INSERT INTO notes (user_id, text) VALUES ($1, $2)")
    ///     .bind(user_id)
    ///     .bind(text)
    ///     .execute(&mut tx)
    ///     .await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// On SQLite, returns an error if the writer is not free within two seconds, if another process
    /// locks the file for three, or if the file is no longer the one that was opened. On
    /// PostgreSQL, returns an error if no connection is free within three seconds, in which the
    /// whole transaction must be done.
    pub async fn write(&self) -> Result<Transaction, Error> {
        match &self.0.engine {
            Engine::Sqlite(pools) => {
                Ok(Transaction::sqlite_writer(pools.write().await?, self.0.watch.clone()))
            }
            Engine::Postgres(pool) => {
                let deadline = Instant::now() + SERVER_PATIENCE;
                let is_named = pool.has_named_statements();
                let (tx, watch) = (pool.write().await?, self.0.watch.clone());
                Ok(Transaction::postgres_writer(tx, is_named, deadline, watch))
            }
        }
    }

    /// Returns the version of the session `id`. While it stays equal, so does what is stored of the
    /// session. `None` means that this cannot be told now.
    pub(crate) fn known(&self, id: impl Into<RowKey>) -> Option<u64> {
        self.0.watch.known(id.into())
    }

    /// Returns the version of the session `id` before a commit that changes it. After the commit it
    /// is one more, if nothing else has changed.
    pub(crate) fn version_of(&self, id: impl Into<RowKey>) -> u64 {
        self.0.watch.version_of(id.into())
    }

    /// Keeps the database open at the shutdown until the result is dropped, as a request in flight
    /// does.
    pub(crate) fn keep_open(&self) -> impl Drop + use<> {
        self.0.in_flight.enter()
    }

    /// Returns whether the database can serve a request that reads and writes.
    ///
    /// One look at the database serves all who ask within a second, so this does not see what has
    /// happened since then. A look takes half a second at most.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket::{get, http::Status};
    /// use rocket_login::Db;
    ///
    /// #[get("/ready")]
    /// async fn ready(db: &Db) -> Status {
    ///     match db.is_ready().await {
    ///         true => Status::NoContent,
    ///         false => Status::ServiceUnavailable,
    ///     }
    /// }
    /// ```
    pub async fn is_ready(&self) -> bool {
        self.is_ready_by(&Clock::system()).await
    }

    /// Returns what [`is_ready()`](Self::is_ready()) does, by the application's clock.
    pub(crate) async fn is_ready_by(&self, clock: &Clock) -> bool {
        let probe = async {
            match &self.0.engine {
                Engine::Sqlite(pools) => pools.probe().await,
                Engine::Postgres(pool) => pool.probe().await,
            }
        };
        let look = async { matches!(timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(()))) };
        self.0.readiness.ask(clock, look).await
    }

    /// Returns whether the database finds nothing wrong with what it has stored. PostgreSQL is not
    /// asked.
    #[cfg(feature = "cli")]
    pub(crate) async fn is_sound(&self) -> Result<bool, Error> {
        match &self.0.engine {
            Engine::Sqlite(pools) => pools.is_sound().await,
            Engine::Postgres(_) => Ok(true),
        }
    }

    /// Opens the database. A file of SQLite's is created if it is missing. A process must not have
    /// a file open twice at a time: closing it once drops the locks of the other (POSIX).
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be created or opened, if the server does not let us in,
    /// if either is too old, or if `config` names a file and the feature `sqlite` is off.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, OpenError> {
        let opened = match config {
            DatabaseConfig::Sqlite(path) => SqlitePools::open(path)
                .await
                .map(|pools| (pools.watch().clone(), Engine::Sqlite(pools))),
            DatabaseConfig::Postgres(config) => {
                PostgresPool::open(config).await.map(|pool| (pool.watch(), Engine::Postgres(pool)))
            }
        };
        let (watch, engine) = opened.map_err(|error| error.of(config))?;
        let (in_flight, readiness) = Default::default();
        let name = config.to_string();
        Ok(Pool(Arc::new(Inner { engine, name, in_flight, watch, readiness })))
    }

    /// Applies the missing embedded migrations, all in one transaction. Another process that starts
    /// meanwhile waits for it.
    ///
    /// # Errors
    ///
    /// Returns an error if a migration fails, if one was changed after it was applied, or if the
    /// application has a table with one of our names; that error names the fix. Nothing has changed
    /// then.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        self.migrate_with(&Migrations::new()).await
    }

    /// Applies our migrations like [`migrate()`](Pool::migrate()), and then those of the application,
    /// in the same transaction.
    ///
    /// # Errors
    ///
    /// Returns the errors of `migrate()`, and an error if a migration of the application fails, was
    /// changed after it was applied, has the version of another one, or asks to run outside a
    /// transaction; or if the database has one that is not in `own`. Nothing has changed then.
    pub async fn migrate_with(&self, own: &Migrations) -> Result<(), OpenError> {
        let (migrated, is_postgres) = match &self.0.engine {
            Engine::Sqlite(pools) => {
                (pools.migrate(&migrations::SQLITE, own.sqlite()).await, false)
            }
            Engine::Postgres(pool) => {
                (pool.migrate(&migrations::POSTGRES, own.postgres()).await, true)
            }
        };
        migrated.map_err(|failure| failure.line(&self.0.name, is_postgres))
    }

    /// Gives back the space of deleted rows, a little at a time, and returns how long the longest
    /// of its transactions took. PostgreSQL does this by itself.
    pub(crate) async fn tidy(&self) -> Result<Duration, Error> {
        let mut longest = Duration::ZERO;
        if matches!(self.0.engine, Engine::Postgres(_)) {
            return Ok(longest);
        }
        for _ in 0..10 {
            self.stand_back().await;
            let (mut tx, start) = (self.write().await?, Instant::now());
            sql::query("PRAGMA incremental_vacuum(20)").execute(&mut tx).await?;
            tx.commit().await?;
            longest = longest.max(start.elapsed());
        }
        Ok(longest)
    }

    /// Lets others use the writer and the disk, between two transactions of work that can wait.
    pub(crate) async fn stand_back(&self) {
        sleep(PAUSE).await;
        if let Engine::Sqlite(pools) = &self.0.engine {
            pools.wait_for_disk().await;
        }
    }
}

#[rocket::async_trait]
impl rocket_db_pools::Pool for Pool {
    type Connection = Connection;
    type Error = OpenError;

    async fn init(figment: &Figment) -> Result<Self, OpenError> {
        Pool::open(&DatabaseConfig::of_table(figment)?).await
    }

    async fn get(&self) -> Result<Self::Connection, OpenError> {
        self.read().await.map_err(|error| OpenError::new(error.to_string()))
    }

    /// Closes the database as soon as no request is in flight. Rocket calls this first at the
    /// shutdown, while requests are still being answered; they keep their database until they are
    /// done.
    async fn close(&self) {
        self.0.in_flight.wait_for_none(CLOSE_TIMEOUT).await;
        let close = async {
            match &self.0.engine {
                Engine::Sqlite(pools) => pools.close().await,
                Engine::Postgres(pool) => pool.close().await,
            }
        };
        if timeout(CLOSING, close).await.is_err() {
            log::warn!("the database was closed while a statement was running");
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use rocket_db_pools::Pool as _;
    use sqlx::{Connection as _, SqliteConnection};
    use tempfile::TempDir;

    use super::*;

    /// Opens a database with a table of unique numbers.
    async fn numbers() -> (TempDir, Pool) {
        let dir = TempDir::new().unwrap();
        let config = DatabaseConfig::Sqlite(dir.path().join("x.db"));
        let db = Pool::open(&config).await.unwrap();
        let mut tx = db.write().await.unwrap();
        sql::query("CREATE TABLE t (n INTEGER PRIMARY KEY)").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        (dir, db)
    }

    fn insert<'q>(number: i64) -> sql::Query<'q, (), sql::Whole> {
        sql::query("INSERT INTO t VALUES ($1)").bind(number)
    }

    async fn store(mut tx: Transaction, number: i64) {
        insert(number).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn all(db: &mut Connection) -> Vec<i64> {
        sql::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(db).await.unwrap()
    }

    async fn stored(db: &Pool) -> Vec<i64> {
        all(&mut db.read().await.unwrap()).await
    }

    /// Every request that may ask the database has room for these futures, and 1,000 may wait at a time.
    #[rocket::async_test]
    async fn what_a_request_takes_for_the_database_has_less_than_two_kibibytes() {
        let (_dir, db) = numbers().await;
        let tx = db.write().await.unwrap();
        let sizes = [size_of_val(&db.read()), size_of_val(&db.write()), size_of_val(&tx.commit())];
        assert!(sizes.iter().all(|size| *size < 2048), "{sizes:?}");
    }

    #[rocket::async_test]
    async fn a_write_that_cannot_begin_fails_and_frees_the_writer() {
        let (dir, db) = numbers().await;
        let url = format!("sqlite:{}", dir.path().join("x.db").display());
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        assert!(db.write().await.is_err());
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        assert!(stored(&db).await.is_empty());
        store(db.write().await.unwrap(), 1).await;
        assert_eq!(stored(&db).await, [1]);
    }

    #[rocket::async_test]
    async fn a_write_dropped_at_any_moment_is_rolled_back_and_frees_the_writer() {
        let (_dir, db) = numbers().await;
        for (number, patience) in (0..200).map(|number| (number, Duration::from_micros(number))) {
            let write = async {
                let mut tx = db.write().await.unwrap();
                insert(1).execute(&mut tx).await.unwrap();
                all(&mut tx).await;
                insert(2).execute(&mut tx).await.unwrap();
                drop(tx);
            };
            let _ = timeout(5 * patience, write).await;

            store(db.write().await.unwrap(), number as i64 + 10).await;
            assert_eq!(stored(&db).await.len() as u64, number + 1);
        }
        assert_eq!(stored(&db).await[0], 10);
    }

    #[rocket::async_test]
    async fn a_failed_statement_loses_no_connection() {
        let (_dir, db) = numbers().await;
        for _ in 0..100 {
            let mut reader = db.read().await.unwrap();
            sql::query("SELECT n FROM nowhere").execute(&mut reader).await.unwrap_err();
            let mut tx = db.write().await.unwrap();
            sql::query("DELETE FROM nowhere").execute(&mut tx).await.unwrap_err();
        }
        store(db.write().await.unwrap(), 1).await;
        assert_eq!(stored(&db).await, [1]);
    }

    #[rocket::async_test]
    async fn a_transaction_left_open_by_a_reader_does_not_affect_the_next_one() {
        let (_dir, db) = numbers().await;
        let mut reader = db.read().await.unwrap();
        sqlx::query("BEGIN").execute(reader.sqlite().unwrap()).await.unwrap();
        assert!(all(&mut reader).await.is_empty());
        drop(reader);
        store(db.write().await.unwrap(), 1).await;
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(db.read().await.unwrap());
            assert_eq!(all(readers.last_mut().unwrap()).await, [1]);
        }
    }

    #[test]
    fn the_pools_can_be_dropped_outside_a_runtime() {
        let runtime = rocket::tokio::runtime::Runtime::new().unwrap();
        let (_dir, db) = runtime.block_on(numbers());
        assert!(runtime.block_on(stored(&db)).is_empty());
        drop(runtime);
        drop(db);
    }

    #[rocket::async_test]
    async fn an_applications_write_causes_no_look_up_and_hides_no_other_commit() {
        let (dir, db) = numbers().await;
        store(db.write().await.unwrap(), 1).await;
        let id = [7; 32];
        let version = async || {
            sleep(Duration::from_millis(5)).await;
            db.known(id).expect("it is known")
        };
        let before = version().await;
        for statement in [
            "UPDATE t SET n = n",
            "UPDATE t SET n = n + 1",
            "INSERT INTO t VALUES (7)",
            "INSERT INTO t VALUES (7) ON CONFLICT DO UPDATE SET n = 7",
            "DELETE FROM t WHERE n = 7",
            "DELETE FROM t WHERE n = 7",
        ] {
            let mut tx = db.write().await.unwrap();
            sql::query(statement).execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            let mut tx = db.write().await.unwrap();
            sql::query("UPDATE t SET n = n").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(version().await, before, "{statement}");
        }

        // Another program's commit, as close to one of ours as possible.
        let path = dir.path().join("x.db").display().to_string();
        let mut other = SqliteConnection::connect(&path).await.unwrap();
        for _ in 0..100 {
            let before = version().await;
            let ours = async {
                let mut tx = db.write().await.unwrap();
                sql::query("UPDATE t SET n = n").execute(&mut tx).await.unwrap();
                tx.commit().await.unwrap();
            };
            let others = sqlx::query("UPDATE t SET n = n + 1").execute(&mut other);
            let ((), others) = rocket::tokio::join!(ours, others);
            assert!(others.is_ok());
            assert_ne!(version().await, before, "the other program's commit was not noticed");
        }
    }

    #[rocket::async_test]
    async fn closing_waits_for_the_current_write_and_lets_no_other_begin() {
        let (dir, db) = numbers().await;
        let mut tx = db.write().await.unwrap();
        insert(1).execute(&mut tx).await.unwrap();
        let mut reader = db.read().await.unwrap();
        let closing = {
            let db = db.clone();
            rocket::tokio::spawn(async move { db.close().await })
        };
        while db.write().await.is_ok() {}
        assert!(db.read().await.is_err() && db.write().await.is_err());
        assert!(all(&mut reader).await.is_empty());
        tx.commit().await.unwrap();
        assert_eq!(all(&mut reader).await, [1]);
        drop(reader);
        closing.await.unwrap();
        // The last connection to close has written the log back.
        assert!(!dir.path().join("x.db-wal").exists());
    }

    #[rocket::async_test]
    async fn closing_always_writes_the_log_back() {
        // Without care, the last two connections close simultaneously once in fifty times.
        for _ in 0..200 {
            let (dir, db) = numbers().await;
            let mut readers = Vec::new();
            for _ in 0..4 {
                readers.push(db.read().await.unwrap());
            }
            drop(readers);
            store(db.write().await.unwrap(), 1).await;
            db.close().await;
            assert!(!dir.path().join("x.db-wal").exists());
        }
    }
}
