//! Statements that SQLite is given together.
//!
//! Each time it is given something, two threads wake each other: while passwords are
//! hashed on all processors that takes a tenth of a millisecond, a hundred times as long as
//! most statements. So what nobody waits for goes with what comes next.

use rocket::futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, SqlSafeStr, SqlStr};

use super::effect::writes;
use super::versions::Effects;
use crate::sql::{self, Query, SqliteArguments, SqliteConnection, SqliteRow, Value, Whole};

/// What is run before the next statement, in the same transaction.
#[derive(Debug, Default)]
pub struct Deferred {
    statements: Vec<Query<'static, (), Whole>>,
    /// Some of it may not have been run: what comes after it must not be either, the
    /// commit above all.
    is_lost: bool,
}

/// A connection to SQLite, and what it is given before the next statement.
pub struct WithDeferred<'c> {
    pub db: &'c mut SqliteConnection,
    pub deferred: &'c mut Deferred,
    pub effects: &'c mut Effects,
}

/// What came of a statement.
#[derive(Default)]
pub struct Results {
    pub rows: Vec<SqliteRow>,
    /// How many rows it has changed.
    pub affected: u64,
}

impl Deferred {
    /// `statement` returns no rows.
    pub fn add(&mut self, statement: Query<'static, (), Whole>) {
        self.statements.push(statement);
    }

    fn is_empty(&self) -> bool {
        self.statements.is_empty() && !self.is_lost
    }

    /// They count as lost until it is known that they have been run.
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
    /// Runs it behind everything that was deferred.
    pub async fn run<T, R>(self, last: Query<'_, T, R>) -> Result<Results, sqlx::Error> {
        let WithDeferred { db, deferred, effects } = self;
        let before = deferred.take()?;
        let count = before.len();
        let written: Vec<_> = before.iter().map(writes).chain([writes(&last)]).collect();
        let (text, values) = joined(before, last)?;

        let (mut results, mut over) = (Results::default(), 0);
        let mut stream = db.fetch_many(sqlx::query_with(text, values));
        while let Some(result) = stream.try_next().await? {
            match result {
                // One that changes nothing says what the one before has changed.
                Either::Left(done) => {
                    results.affected = done.rows_affected();
                    if results.affected > 0 {
                        effects.note_written(written.get(over).copied().unwrap_or_default());
                    }
                    over += 1;
                    deferred.is_lost = over < count;
                }
                Either::Right(row) => results.rows.push(row),
            }
        }
        Ok(results)
    }

    /// The same for the first row. Where nothing was deferred, the others are not looked for.
    pub async fn first<T, R>(
        self,
        last: Query<'_, T, R>,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        if !self.deferred.is_empty() {
            return Ok(self.run(last).await?.rows.into_iter().next());
        }
        let (written, (text, values)) = (writes(&last), joined(Vec::new(), last)?);
        let row = self.db.fetch_optional(sqlx::query_with(text, values)).await?;
        if row.is_some() {
            self.effects.note_written(written);
        }
        Ok(row)
    }
}

/// One text, with the values of all. The library runs it statement by statement, and finds
/// the values by their numbers.
fn joined<T, R>(
    before: Vec<Query<'static, (), Whole>>,
    last: Query<'_, T, R>,
) -> Result<(SqlStr, SqliteArguments), sqlx::Error> {
    if before.is_empty() {
        return Ok((sql::text(last.text, false), sql::sqlite(last.values)?));
    }
    let (mut text, mut values) = (String::new(), Vec::<Value<'_>>::new());
    for query in before {
        add_numbered_from(values.len(), &query.text, &mut text);
        text += "\n;\n";
        values.extend(query.values);
    }
    add_numbered_from(values.len(), &last.text, &mut text);
    values.extend(last.values);
    Ok((AssertSqlSafe(text).into_sql_str(), sql::sqlite(values)?))
}

/// The text with its places for values, as `$1`, after the first `before`.
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
