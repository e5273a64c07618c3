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
//! Write values as `$1`, `$2`. The content of a comment `/*pg … */` is only for PostgreSQL, in a
//! write transaction: `SELECT … /*pg FOR UPDATE*/` locks the row there, while the one writer of
//! SQLite has locked the whole file. Cast a value that is not of one of the four kinds of
//! [`Value`], such as PostgreSQL's `sum()` of integers.
//!
//! If a statement names `sessions` or `users`, everything that was cached of them is read again.
//! Two kinds of triggers of your own go unnoticed: on SQLite, one that changes these tables; on
//! PostgreSQL, one (`BEFORE UPDATE`) that gives a session another state than the one that is being
//! stored. Set `session.cache = false` if you have one.

mod drivers;

use std::borrow::Cow;
use std::marker::PhantomData;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::{Arguments, AssertSqlSafe, Decode, FromRow, SqlSafeStr, SqlStr, Type};

pub(crate) use drivers::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};

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

/// Makes a statement as [`query_scalar()`] does, from a text that is made at run time. Nothing in
/// the text may come from outside.
pub(crate) fn query_scalar_made<'q, T>(text: String) -> Query<'q, T, First> {
    Query::new(text.into())
}

/// Makes a statement as [`query_as()`] does, from a text that is made at run time. Nothing in the
/// text may come from outside.
pub(crate) fn query_as_made<'q, T>(text: String) -> Query<'q, T, Whole> {
    Query::new(text.into())
}

/// Makes a statement whose rows are read as `T`: a tuple, or a struct that derives
/// [`sqlx::FromRow`].
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
    pub(crate) is_declared: bool,
    pub(crate) is_sure: bool,
    read: PhantomData<fn(R) -> T>,
}

/// A value of a statement, which [`Query::bind()`] makes.
#[derive(Debug, Clone)]
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
        Query { text, values: Vec::new(), is_declared: false, is_sure: false, read: PhantomData }
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

    /// Promises that the caller reports the changed sessions through `Connection::effects()`.
    /// Otherwise every session counts as changed.
    pub(crate) fn declared(mut self) -> Self {
        self.is_declared = true;
        self
    }

    /// Promises that each row that the statement returns or counts differs from the row before.
    pub(crate) fn surely(mut self) -> Self {
        self.is_sure = true;
        self
    }

    /// Returns the statement with values that it owns, to be run for its effect.
    pub(crate) fn into_owned(self) -> Query<'static, (), Whole> {
        let Query { text, values, is_declared, is_sure, .. } = self;
        let values = values.into_iter().map(Value::into_owned).collect();
        Query { text, values, is_declared, is_sure, read: PhantomData }
    }

    pub(crate) fn for_postgres<'a>(self, how: How) -> Result<PostgresQuery<'a>, sqlx::Error> {
        let query = sqlx::query_with(text(self.text, how.is_write), postgres(self.values)?);
        Ok(query.persistent(how.is_named))
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

/// Returns the text as the database gets it.
pub(crate) fn text(text: Cow<'static, str>, is_postgres_write: bool) -> SqlStr {
    let text = match is_postgres_write && text.contains("/*pg ") {
        true => Cow::Owned(with_comments(&text)),
        false => text,
    };
    match text {
        Cow::Borrowed(text) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    }
}

/// Makes the comments for PostgreSQL part of the text, and leaves the others.
fn with_comments(text: &str) -> String {
    let mut parts = text.split("/*pg ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |made, part| made + &part.replacen("*/", "", 1))
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

impl Value<'_> {
    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Integer(value) => Value::Integer(value),
            Value::Boolean(value) => Value::Boolean(value),
            Value::Text(value) => Value::Text(value.map(|value| value.into_owned().into())),
            Value::Bytes(value) => Value::Bytes(value.map(|value| value.into_owned().into())),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_for_postgresql_alone_is_used_only_in_its_write_transactions() {
        const LOCKING: &str = "SELECT 1 FROM users WHERE id = $1 /*pg FOR UPDATE*/";

        assert_eq!(
            text(LOCKING.into(), true).as_str(),
            "SELECT 1 FROM users WHERE id = $1 FOR UPDATE"
        );
        assert_eq!(text(LOCKING.into(), false).as_str(), LOCKING);
        const OTHER: &str = "SELECT /* why */ 1 /*pg FOR UPDATE*/ -- */";
        assert_eq!(text(OTHER.into(), true).as_str(), "SELECT /* why */ 1 FOR UPDATE -- */");
        assert_eq!(text("SELECT 1".into(), true).as_str(), "SELECT 1");
    }
}
