//! Statements that run on either database, with the same text, values and rows.
//!
//! They are for an application's own tables, beside ours. The calls and the errors have the names
//! that they have in [`sqlx`]. [`Connection::sqlite()`](crate::Connection::sqlite()) and
//! [`Connection::postgres()`](crate::Connection::postgres()) lead to everything else that it can
//! do.
//!
//! # Examples
//!
//! ```rust
//! use rocket_login::{Db, Error, sql};
//!
//! async fn notes(db: &Db, user_id: i64) -> Result<Vec<String>, Error> {
//!     let notes = sql::query_scalar("SELECT text FROM notes WHERE user_id = $1")
//!         .bind(user_id)
//!         .fetch_all(&mut db.read().await?)
//!         .await?;
//!     Ok(notes)
//! }
//! ```
//!
//! # Texts and values
//!
//! Write values as `$1`, `$2`. Cast a value that is not of one of the four kinds of [`Value`], such
//! as PostgreSQL's `sum()` of integers. Write `$lock` where a [`Lock`] belongs, which PostgreSQL
//! needs: there, others write while a transaction of yours is open.
//!
//! # Our tables
//!
//! Sessions are kept in memory with their users. A change of `sessions` or `users` by a statement of
//! yours is noticed: on SQLite with the commit, and on PostgreSQL some milliseconds after it, as a
//! change by another program is. Call
//! [`Transaction::changes_sessions()`](crate::Transaction::changes_sessions()) if the next request
//! must see it on PostgreSQL too. Your own tables may have any name.
//!
//! One kind of trigger of your own goes unnoticed on PostgreSQL: one (`BEFORE UPDATE`) that gives a
//! session another state than the one that is being stored. Set `session.cache = false` if you have
//! one.

mod drivers;
mod lock;
mod row;

use std::borrow::Cow;
use std::marker::PhantomData;

use sqlx::{Arguments, AssertSqlSafe, Decode, FromRow, SqlSafeStr, SqlStr, Type};

pub(crate) use drivers::{PgArguments, PgConnection, PgRow, Postgres};
pub(crate) use drivers::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
pub use lock::Lock;
pub(crate) use row::row;

/// Makes a statement that is run for its effect.
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
pub fn query<'q>(text: &'static str) -> Query<'q, (), Whole> {
    Query::new(text.into())
}

/// Makes a statement as [`query()`] does, from a text that is made at run time. Nothing in the text
/// may come from outside (SQL injection).
pub(crate) fn query_made<'q>(text: String) -> Query<'q, (), Whole> {
    Query::new(text.into())
}

/// Makes a statement as [`query_as()`] does, from a text that is made at run time. Nothing in the
/// text may come from outside.
pub(crate) fn query_as_made<'q, T>(text: String) -> Query<'q, T, Whole> {
    Query::new(text.into())
}

/// Makes a statement whose rows are read as `T`: a tuple, or a struct that implements
/// [`sqlx::FromRow`]. To derive it, depend on sqlx with its feature `derive`, which is on by default.
///
/// # Examples
///
/// ```rust
/// # use rocket_login::{Db, Error, sql};
/// # async fn example(db: &Db) -> Result<(), Error> {
/// let select = sql::query_as("SELECT id, text FROM notes ORDER BY id");
/// let notes: Vec<(i64, String)> = select.fetch_all(&mut db.read().await?).await?;
/// # Ok(()) }
/// ```
pub fn query_as<'q, T>(text: &'static str) -> Query<'q, T, Whole> {
    Query::new(text.into())
}

/// Makes a statement of whose rows only the first column is read, as `T`.
///
/// # Examples
///
/// ```rust
/// # use rocket_login::{Db, Error, sql};
/// # async fn example(db: &Db) -> Result<(), Error> {
/// let select = sql::query_scalar("SELECT count(*) FROM notes");
/// let count: i64 = select.fetch_one(&mut db.read().await?).await?;
/// # Ok(()) }
/// ```
pub fn query_scalar<'q, T>(text: &'static str) -> Query<'q, T, First> {
    Query::new(text.into())
}

/// A statement with its values.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is run"]
pub struct Query<'q, T, R> {
    pub(crate) text: Cow<'static, str>,
    pub(crate) values: Vec<Value<'q>>,
    pub(crate) promises: Promises,
    lock: Option<Lock>,
    read: PhantomData<fn(R) -> T>,
}

/// What a caller promises of a statement of ours.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Promises {
    /// The caller says which sessions it changes.
    pub is_declared: bool,
    /// Each row that it counts or returns differs from the row before.
    pub is_sure: bool,
}

/// A value of a statement, which [`Query::bind()`] makes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Value<'q> {
    /// A number, `BIGINT` in PostgreSQL.
    Integer(Option<i64>),
    /// `BOOLEAN` in PostgreSQL, 0 or 1 in SQLite.
    Boolean(Option<bool>),
    /// Text. PostgreSQL refuses a text that contains NUL.
    Text(Option<Cow<'q, str>>),
    /// Bytes: `BYTEA` in PostgreSQL, `BLOB` in SQLite.
    Bytes(Option<Cow<'q, [u8]>>),
}

type PostgresQuery<'a> = sqlx::query::Query<'a, Postgres, PgArguments>;

/// How a statement is run on PostgreSQL.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// The statement is run in a write transaction.
    pub is_write: bool,
    /// The statement is prepared under a name, for the next time. A pooler would look for the name
    /// at another server.
    pub is_named: bool,
}

/// Reads a whole row.
#[derive(Debug)]
pub struct Whole;

/// Reads the first column of a row.
#[derive(Debug)]
pub struct First;

/// Reads a `T` from a row of either database.
pub trait Read<T> {
    /// Reads a row of SQLite's.
    ///
    /// # Errors
    ///
    /// Returns an error if the row cannot be read as a `T`.
    fn of_sqlite(row: &SqliteRow) -> Result<T, sqlx::Error>;

    /// Reads a row of PostgreSQL's.
    ///
    /// # Errors
    ///
    /// Returns an error if the row cannot be read as a `T`.
    fn of_postgres(row: &PgRow) -> Result<T, sqlx::Error>;
}

impl<T> Read<T> for Whole
where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>,
{
    fn of_sqlite(row: &SqliteRow) -> Result<T, sqlx::Error> {
        T::from_row(row)
    }

    fn of_postgres(row: &PgRow) -> Result<T, sqlx::Error> {
        T::from_row(row)
    }
}

impl<T> Read<T> for First
where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    fn of_sqlite(row: &SqliteRow) -> Result<T, sqlx::Error> {
        sqlx::Row::try_get(row, 0)
    }

    fn of_postgres(row: &PgRow) -> Result<T, sqlx::Error> {
        sqlx::Row::try_get(row, 0)
    }
}

impl<'q, T, R> Query<'q, T, R> {
    fn new(text: Cow<'static, str>) -> Self {
        let (values, promises, lock) = (Vec::new(), Promises::default(), None);
        Query { text, values, promises, lock, read: PhantomData }
    }

    /// Binds the next value: first `$1`, then `$2`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::sql;
    /// let select = sql::query_scalar::<i64>("SELECT id FROM notes WHERE user_id = $1 AND text = $2")
    ///     .bind(7)
    ///     .bind("Buy milk");
    /// # drop(select);
    /// ```
    pub fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds the values of [`places_for()`].
    pub(crate) fn bind_each<V: Copy + Into<Value<'q>>>(self, values: &[V]) -> Self {
        padded(values).fold(self, |query, value| query.bind(*value))
    }

    /// Locks the rows that the statement finds, until the transaction ends. The text must have
    /// `$lock` where the lock belongs: at its end, or at the end of the subquery that finds them.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # use rocket_login::sql::Lock;
    /// # async fn example(db: &Db) -> Result<(), Error> {
    /// let mut tx = db.write().await?;
    /// // Several instances clear up at once, and none waits for another.
    /// sql::query("DELETE FROM notes WHERE id IN (SELECT id FROM notes WHERE is_old $lock)")
    ///     .locking(Lock::UpdateSkipLocked)
    ///     .execute(&mut tx)
    ///     .await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn locking(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Promises that the caller says which sessions it changes
    /// ([`Connection::changed()`](crate::Connection::changed)), or that no kept session shows it. A
    /// row of `sessions` or `users` that changes without this promise makes every session count as
    /// changed.
    pub(crate) fn declared(mut self) -> Self {
        self.promises.is_declared = true;
        self
    }

    /// Promises that each row that the statement returns or counts differs from the row before, so
    /// SQLite writes it. Without this promise a commit has to ask SQLite whose it is.
    pub(crate) fn surely(mut self) -> Self {
        self.promises.is_sure = true;
        self
    }

    pub(crate) fn for_postgres<'a>(self, how: How) -> Result<PostgresQuery<'a>, sqlx::Error> {
        let text = sql_str(lock::placed(self.text, self.lock, how.is_write)?);
        Ok(sqlx::query_with(text, postgres(self.values)?).persistent(how.is_named))
    }

    /// Returns the text for SQLite, and its values.
    pub(crate) fn for_sqlite(self) -> Result<(Cow<'static, str>, Vec<Value<'q>>), sqlx::Error> {
        Ok((lock::placed(self.text, self.lock, false)?, self.values))
    }
}

/// Returns placeholders for `count` values after the first `before`, as in `$1, $2`.
pub(crate) fn places(before: usize, count: usize) -> String {
    let places: Vec<_> = (1..=count).map(|number| format!("${}", before + number)).collect();
    places.join(", ")
}

/// Returns placeholders for `rows` rows of `columns` values each, as in `($1, $2), ($3, $4)`.
pub(crate) fn places_of_rows(rows: usize, columns: usize) -> String {
    let rows: Vec<_> =
        (0..rows).map(|row| format!("({})", places(row * columns, columns))).collect();
    rows.join(", ")
}

/// Returns placeholders for `values`, after the first `before`. [`Query::bind_each()`] binds them.
pub(crate) fn places_for<T>(before: usize, values: &[T]) -> String {
    places(before, rounded(values.len()))
}

/// Rounds up the number of values in a statement, so that there are few different texts to prepare.
pub(crate) fn rounded(count: usize) -> usize {
    count.next_power_of_two()
}

/// Repeats the last value until the rounded number is reached, which changes nothing.
pub(crate) fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let missing = rounded(values.len()) - values.len();
    values.iter().chain(values.last().into_iter().cycle().take(missing))
}

pub(crate) fn sql_str(text: Cow<'static, str>) -> SqlStr {
    match text {
        Cow::Borrowed(text) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    }
}

pub(crate) fn sqlite(values: Vec<Value<'_>>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Integer(value) => arguments.add(value),
            Value::Boolean(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn postgres(values: Vec<Value<'_>>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Integer(value) => arguments.add(value),
            Value::Boolean(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

macro_rules! value {
    ($($type:ty => |$value:ident| $make:expr;)*) => {$(
        impl<'q> From<$type> for Value<'q> {
            fn from($value: $type) -> Self {
                $make
            }
        }
    )*};
}

value! {
    i64 => |value| Value::Integer(Some(value));
    i32 => |value| Value::Integer(Some(value.into()));
    u32 => |value| Value::Integer(Some(value.into()));
    Option<i64> => |value| Value::Integer(value);
    bool => |value| Value::Boolean(Some(value));
    Option<bool> => |value| Value::Boolean(value);
    &'q str => |value| Value::Text(Some(value.into()));
    &'q String => |value| Value::Text(Some(value.into()));
    String => |value| Value::Text(Some(value.into()));
    Option<&'q str> => |value| Value::Text(value.map(Cow::from));
    Option<String> => |value| Value::Text(value.map(Cow::from));
    &'q [u8] => |value| Value::Bytes(Some(value.into()));
    Vec<u8> => |value| Value::Bytes(Some(value.into()));
    Option<&'q [u8]> => |value| Value::Bytes(value.map(Cow::from));
    Option<Vec<u8>> => |value| Value::Bytes(value.map(Cow::from));
}
