//! Gives SQLite several statements together.
//!
//! Each time SQLite gets something, two threads wake each other. While passwords are hashed on all
//! processors, this takes a tenth of a millisecond, a hundred times as long as most statements. So
//! a statement that nobody waits for goes with the next one.

use rocket::futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, SqlSafeStr, SqlStr};

use super::watch::Effects;
use crate::sql::{self, Query, SqliteArguments, SqliteConnection, SqliteRow, Value, Whole};

/// The statements that run before the next one, in the same transaction.
#[derive(Debug, Default)]
pub struct Deferred {
    statements: Vec<Query<'static, (), Whole>>,
    /// Some of them may not have run. What comes after them must not run either, above all not the
    /// commit.
    is_lost: bool,
}

/// A connection to SQLite, and what runs on it before the next statement.
pub struct WithDeferred<'c> {
    pub db: &'c mut SqliteConnection,
    pub deferred: &'c mut Deferred,
    pub effects: &'c mut Effects,
}

/// The results of a statement.
#[derive(Default)]
pub struct Results {
    pub rows: Vec<SqliteRow>,
    /// How many rows the statement has changed.
    pub affected: u64,
}

impl Deferred {
    /// Adds `statement`, which must not return rows.
    pub fn add(&mut self, statement: Query<'static, (), Whole>) {
        self.statements.push(statement);
    }

    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && !self.is_lost
    }

    /// Takes the statements. They count as lost until it is known that they have run.
    fn take(&mut self) -> Result<Vec<Query<'static, (), Whole>>, sqlx::Error> {
        if self.is_lost {
            return Err(sqlx::Error::Protocol("a statement before this one has failed".into()));
        }
        let statements = std::mem::take(&mut self.statements);
        self.is_lost = !statements.is_empty();
        Ok(statements)
    }
}

impl WithDeferred<'_> {
    /// Runs `last` after everything that was deferred.
    pub async fn run<T, R>(self, last: Query<'_, T, R>) -> Result<Results, sqlx::Error> {
        let WithDeferred { db, deferred, effects } = self;
        let before = deferred.take()?;
        let count = before.len();
        let promises = before.iter().map(|query| query.promises).chain([last.promises]);
        let mut promises = promises.collect::<Vec<_>>().into_iter();
        let (text, values) = joined(before, last)?;

        let (mut results, mut over) = (Results::default(), 0);
        let mut stream = db.fetch_many(sqlx::query_with(text, values));
        while let Some(result) = stream.try_next().await? {
            match result {
                // A statement that changes nothing reports what the one before has changed.
                Either::Left(done) => {
                    results.affected = done.rows_affected();
                    effects.note(promises.next().unwrap_or_default(), results.affected);
                    over += 1;
                    deferred.is_lost = over < count;
                }
                Either::Right(row) => results.rows.push(row),
            }
        }
        Ok(results)
    }

    /// Runs `last` and returns its first row. If nothing was deferred, and it changes nothing of
    /// sessions, the other rows are not looked for.
    pub async fn first<T, R>(
        self,
        last: Query<'_, T, R>,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        if !self.deferred.is_empty() || last.promises.is_declared {
            return Ok(self.run(last).await?.rows.into_iter().next());
        }
        let (promises, (text, values)) = (last.promises, joined(Vec::new(), last)?);
        let row = self.db.fetch_optional(sqlx::query_with(text, values)).await?;
        self.effects.note(promises, row.is_some().into());
        Ok(row)
    }
}

/// Joins the statements into one text, with the values of all. The library runs it statement by
/// statement, and finds the values by their numbers.
fn joined<T, R>(
    before: Vec<Query<'static, (), Whole>>,
    last: Query<'_, T, R>,
) -> Result<(SqlStr, SqliteArguments), sqlx::Error> {
    if before.is_empty() {
        let (text, values) = last.for_sqlite()?;
        return Ok((sql::sql_str(text), sql::sqlite(values)?));
    }
    let (mut text, mut values) = (String::new(), Vec::<Value<'_>>::new());
    for query in before {
        let (next, bound) = query.for_sqlite()?;
        add_numbered_from(values.len(), &next, &mut text);
        text += "\n;\n";
        values.extend(bound);
    }
    let (next, bound) = last.for_sqlite()?;
    add_numbered_from(values.len(), &next, &mut text);
    values.extend(bound);
    Ok((AssertSqlSafe(text).into_sql_str(), sql::sqlite(values)?))
}

/// Appends `text` to `to`, and numbers its placeholders, such as `$1`, after the first `before`.
fn add_numbered_from(before: usize, text: &str, to: &mut String) {
    let mut parts = text.split('$');
    *to += parts.next().unwrap_or_default();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        *to += "$";
        match number.parse::<usize>() {
            Ok(number) => *to += &(before + number).to_string(),
            Err(_) => *to += number,
        }
        *to += rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_renumbered_after_the_previous_ones() {
        let numbered_from = |before, text: &str| {
            let mut made = String::new();
            add_numbered_from(before, text, &mut made);
            made
        };
        let text = "UPDATE t SET a = $1, b = $12 WHERE c = '$.x' AND a <> $1";
        let moved = "UPDATE t SET a = $4, b = $15 WHERE c = '$.x' AND a <> $4";
        assert_eq!(numbered_from(3, text), moved);
        assert_eq!(numbered_from(0, text), text);
        assert_eq!(numbered_from(7, "SELECT 1"), "SELECT 1");
    }
}
