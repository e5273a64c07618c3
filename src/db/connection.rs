//! A connection to either database, and a transaction on it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rocket::tokio::time::Instant;
use sqlx::pool::PoolConnection;

use super::calls;
use super::deadline::{at_least, within};
use super::on_sqlite::OnSqlite;
use super::sqlite::{Lease, Writer};
use super::watch::{Effects, RowKey, Watch};
use crate::error::Error;
#[cfg(feature = "sqlite")]
use crate::sql::SqliteConnection;
use crate::sql::{How, PgConnection, Postgres};

/// A connection to either database, for [statements](crate::sql).
pub struct Connection {
    inner: Inner,
    /// On PostgreSQL, `true` if statements are prepared once for a connection.
    is_named: bool,
    /// When PostgreSQL must be done. A server that hangs says nothing, and the library would wait
    /// for as long as it does.
    pub(super) deadline: Option<Instant>,
    /// What the statements so far have said that they change.
    effects: Effects,
}

enum Inner {
    Sqlite(Lease),
    SqliteWrite(Writer),
    Postgres(PoolConnection<Postgres>),
    /// A transaction that only reads. Reading needs one behind a pooler: outside a transaction the
    /// two steps of a statement may go to different servers.
    PostgresRead(sqlx::Transaction<'static, Postgres>),
    PostgresWrite(sqlx::Transaction<'static, Postgres>),
}

/// A write transaction. It is rolled back if it is dropped without a commit.
#[must_use = "nothing has happened before it is committed"]
pub struct Transaction {
    pub(super) connection: Connection,
    watch: Arc<Watch>,
}

/// The connection that runs a statement.
pub(crate) enum Backend<'c> {
    Sqlite(OnSqlite<'c>),
    Postgres(&'c mut PgConnection, How),
}

impl Connection {
    fn new(inner: Inner, is_named: bool, deadline: Option<Instant>) -> Self {
        Connection { inner, is_named, deadline, effects: Effects::default() }
    }

    pub(super) fn sqlite_reader(db: Lease) -> Self {
        Connection::new(Inner::Sqlite(db), true, None)
    }

    pub(super) fn postgres_reader(db: PoolConnection<Postgres>, deadline: Instant) -> Self {
        Connection::new(Inner::Postgres(db), true, Some(deadline))
    }

    pub(super) fn postgres_snapshot(
        tx: sqlx::Transaction<'static, Postgres>,
        deadline: Instant,
    ) -> Self {
        Connection::new(Inner::PostgresRead(tx), false, Some(deadline))
    }

    /// Wraps a transaction for reading that holds its locks for as long as it takes.
    #[cfg(feature = "cli")]
    pub(super) fn postgres_held(tx: sqlx::Transaction<'static, Postgres>) -> Self {
        Connection::new(Inner::PostgresRead(tx), true, None)
    }

    /// Returns the connection itself if it is to SQLite. `None` means that it is to PostgreSQL.
    /// There is no time limit for what is done with it, here and with
    /// [`postgres()`](Self::postgres()).
    ///
    /// An update hook of yours takes the place of ours, which tells whether a transaction has
    /// changed sessions. From then on each commit makes every session be read again.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sqlx};
    /// # async fn example(db: &Db) -> Result<(), Error> {
    /// let mut tx = db.write().await?;
    /// if let Some(sqlite) = tx.sqlite() {
    ///     sqlx::query("PRAGMA user_version = 7").execute(sqlite).await?;
    /// }
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "sqlite")]
    pub fn sqlite(&mut self) -> Option<&mut SqliteConnection> {
        if let Inner::Sqlite(lease) = &mut self.inner {
            // The next user of the connection must not read in a transaction that this one leaves
            // open.
            lease.may_begin();
        }
        match self.backend() {
            Backend::Sqlite(sqlite) => Some(sqlite.db),
            Backend::Postgres(..) => None,
        }
    }

    /// Returns the connection itself if it is to PostgreSQL. `None` means that it is to SQLite. If
    /// `databases.login.named_statements` is `false`, a statement on it must say
    /// `persistent(false)`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sqlx};
    /// # async fn example(db: &Db) -> Result<(), Error> {
    /// let mut tx = db.write().await?;
    /// if let Some(postgres) = tx.postgres() {
    ///     sqlx::query("SET LOCAL work_mem = '64MB'").persistent(false).execute(postgres).await?;
    /// }
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "postgres")]
    pub fn postgres(&mut self) -> Option<&mut PgConnection> {
        match self.backend() {
            Backend::Postgres(db, _) => Some(db),
            Backend::Sqlite(_) => None,
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        !matches!(self.inner, Inner::Sqlite(_) | Inner::SqliteWrite(_))
    }

    /// Says that the session `id` changes with the commit.
    pub(crate) fn changed(&mut self, id: impl Into<RowKey>) {
        self.effects.add(id);
    }

    /// Says that any session may change with the commit.
    pub(crate) fn changed_all(&mut self) {
        self.effects.add_all();
    }

    pub(crate) async fn run<R>(
        &mut self,
        act: impl AsyncFnOnce(Backend<'_>) -> Result<R, sqlx::Error>,
    ) -> Result<R, sqlx::Error> {
        let deadline = match self.inner {
            // A reader that has much to read holds nothing else up.
            Inner::Postgres(_) => self.deadline.map(at_least),
            _ => self.deadline,
        };
        calls::note();
        let done = within(deadline, act(self.backend())).await;
        if let (Ok(_), Inner::Sqlite(lease)) = (&done, &mut self.inner) {
            lease.went_well();
        }
        done
    }

    pub(super) fn backend(&mut self) -> Backend<'_> {
        let Connection { inner, is_named, effects, .. } = self;
        let is_named = *is_named;
        match inner {
            Inner::Sqlite(lease) => Backend::Sqlite(OnSqlite { db: lease.db(), effects }),
            Inner::SqliteWrite(writer) => Backend::Sqlite(OnSqlite { db: writer.db(), effects }),
            Inner::Postgres(db) => Backend::Postgres(db, How { is_write: false, is_named }),
            Inner::PostgresRead(tx) => Backend::Postgres(tx, How { is_write: false, is_named }),
            Inner::PostgresWrite(tx) => Backend::Postgres(tx, How { is_write: true, is_named }),
        }
    }
}

impl Transaction {
    pub(super) fn sqlite_writer(writer: Writer, watch: Arc<Watch>) -> Self {
        Transaction { connection: Connection::new(Inner::SqliteWrite(writer), true, None), watch }
    }

    pub(super) fn postgres_writer(
        tx: sqlx::Transaction<'static, Postgres>,
        is_named: bool,
        deadline: Instant,
        watch: Arc<Watch>,
    ) -> Self {
        let connection = Connection::new(Inner::PostgresWrite(tx), is_named, Some(deadline));
        Transaction { connection, watch }
    }

    /// Commits the transaction.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db, id: i64) -> Result<(), Error> {
    /// let mut tx = db.write().await?;
    /// sql::query("DELETE FROM notes WHERE id = $1").bind(id).execute(&mut tx).await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails. Nothing has happened then, unless PostgreSQL went
    /// away before it could say that it has.
    pub async fn commit(self) -> Result<(), Error> {
        let Transaction { connection, watch } = self;
        let Connection { inner, deadline, effects, .. } = connection;
        calls::note();
        match inner {
            // In a box: every request that may write has room for it, and few requests do.
            Inner::SqliteWrite(writer) => {
                Box::pin(writer.commit(watch.begin_commit(effects))).await?;
            }
            Inner::PostgresRead(tx) | Inner::PostgresWrite(tx) => {
                let commit = watch.begin_commit(effects);
                // A commit that is given up a moment too early would be reported as failed although
                // it has happened.
                within(deadline.map(at_least), tx.commit()).await?;
                commit.done();
            }
            Inner::Sqlite(_) | Inner::Postgres(_) => {}
        }
        Ok(())
    }

    /// Says that statements of yours in this transaction change rows of `sessions` or `users`: what
    /// was read of any session before the commit is not used after it, here. Other instances hear
    /// of it from the database, as they do without this call.
    ///
    /// Without it the change is noticed too: on SQLite with the commit, and on PostgreSQL some
    /// milliseconds after it.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db, id: i64) -> Result<(), Error> {
    /// let mut tx = db.write().await?;
    /// tx.changes_sessions();
    /// sql::query("UPDATE users SET disabled_at = 1 WHERE id = $1").bind(id).execute(&mut tx).await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn changes_sessions(&mut self) {
        self.connection.changed_all();
    }

    /// Returns the name under which this instance hears of what it changes itself.
    pub(crate) fn name(&self) -> String {
        self.watch.name()
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.connection).finish()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_postgres() { "PostgreSQL" } else { "SQLite" };
        f.debug_tuple("Connection").field(&kind).finish()
    }
}
