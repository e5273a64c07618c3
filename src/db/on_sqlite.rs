//! Runs statements on SQLite.

use rocket::futures::TryStreamExt;
use sqlx::{Either, Executor};

use super::watch::Effects;
use crate::sql::{self, Query, Sqlite, SqliteArguments, SqliteConnection, SqliteRow};

type SqliteQuery<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A connection to SQLite, and what its statements change of sessions.
pub struct OnSqlite<'c> {
    pub db: &'c mut SqliteConnection,
    pub effects: &'c mut Effects,
}

/// The results of a statement.
#[derive(Default)]
pub struct Results {
    pub rows: Vec<SqliteRow>,
    /// How many rows the statement has changed.
    pub affected: u64,
}

impl OnSqlite<'_> {
    /// Runs the statement.
    pub async fn run<T, R>(self, query: Query<'_, T, R>) -> Result<Results, sqlx::Error> {
        let (promises, query) = (query.promises, prepared(query)?);
        let (mut results, mut stream) = (Results::default(), self.db.fetch_many(query));
        while let Some(result) = stream.try_next().await? {
            match result {
                Either::Left(done) => results.affected = done.rows_affected(),
                Either::Right(row) => results.rows.push(row),
            }
        }
        self.effects.note(promises, results.affected);
        Ok(results)
    }

    /// Runs the statement and returns its first row. If it changes nothing of sessions, the other
    /// rows are not looked for.
    pub async fn first<T, R>(
        self,
        query: Query<'_, T, R>,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        if query.promises.is_declared {
            return Ok(self.run(query).await?.rows.into_iter().next());
        }
        let (promises, query) = (query.promises, prepared(query)?);
        let row = self.db.fetch_optional(query).await?;
        self.effects.note(promises, row.is_some().into());
        Ok(row)
    }
}

/// Returns the library's form of the statement.
fn prepared<T, R>(query: Query<'_, T, R>) -> Result<SqliteQuery<'_>, sqlx::Error> {
    let (text, values) = query.for_sqlite()?;
    Ok(sqlx::query_with(sql::sql_str(text), sql::sqlite(values)?))
}
