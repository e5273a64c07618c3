//! Finds out how far a database is migrated, without changing anything in it.
//!
//! Commands look before they act: a command that created a missing database, or migrated one under
//! a running site, would do harm and report success.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use sqlx::Connection;
use sqlx_core::migrate::Migrator;

use super::applied::{self, Applied};
use super::migrations;
use super::open_error::OpenError;
use super::own_migrations::Migrations;
use super::{postgres, sqlite};
use crate::config::DatabaseConfig;
use crate::program;

/// The state of our tables in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// There are none. The file may be missing or empty.
    Absent,
    /// This many of our migrations are missing.
    Behind(usize),
    /// The database has everything that this program needs.
    Current,
    /// A later program has migrated the database.
    Ahead,
    /// The migration of ours with this version was applied with another text.
    Altered(i64),
    /// A migration of an application has a version of ours. The text is its version and
    /// description.
    Taken(String),
    /// Our tables are as this program needs them, and this many migrations of the application are
    /// missing.
    OwnBehind(usize),
    /// Our tables are as this program needs them, and the migrations of the application do not fit
    /// those that have run. The text says why.
    OwnAltered(String),
}

/// The reason why a command does not act on a database, in one line.
#[derive(Debug)]
pub struct Refusal {
    pub schema: Schema,
    problem: String,
}

/// Looks at the database that `config` names. `own` are the migrations of the application.
///
/// # Errors
///
/// Returns an error if the database cannot be read.
pub async fn look(config: &DatabaseConfig, own: &Migrations) -> Result<Schema, OpenError> {
    let (ours, own) = match config {
        DatabaseConfig::Sqlite(_) => (&migrations::SQLITE, own.sqlite()),
        DatabaseConfig::Postgres(_) => (&migrations::POSTGRES, own.postgres()),
    };
    let schema = compare(ours, &applied(config, applied::TABLE).await?);
    if schema != Schema::Current || own.is_empty() {
        return Ok(schema);
    }
    Ok(match own.pending(&applied(config, own.table()).await?) {
        Ok(pending) if pending.is_empty() => Schema::Current,
        Ok(pending) => Schema::OwnBehind(pending.len()),
        Err(error) => Schema::OwnAltered(error.to_string()),
    })
}

/// Returns what was applied, as `table` has it. Without the table, nothing was.
async fn applied(config: &DatabaseConfig, table: &str) -> Result<Vec<Applied>, OpenError> {
    let applied = match config {
        DatabaseConfig::Sqlite(path) => of_file(path, table).await,
        DatabaseConfig::Postgres(config) => postgres::look(config, table).await,
    };
    applied.map_err(|error| error.of(config))
}

impl Schema {
    /// Refuses a database that is not up to date. `config` names it.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] if a migration of ours or of the application is missing, or if another
    /// program has migrated the database.
    pub fn check(self, config: &DatabaseConfig) -> Result<(), Refusal> {
        let problem = match &self {
            Schema::Current => return Ok(()),
            Schema::Absent => match config {
                DatabaseConfig::Sqlite(_) => {
                    format!("there is no rocket-login database at {config}")
                }
                DatabaseConfig::Postgres(_) => format!("{config} has no rocket-login tables"),
            },
            Schema::Behind(count) => format!(
                "{config} lacks {count} of this program's migrations; run `{} migrate`, or start \
                 the site with this program",
                program::name()
            ),
            Schema::Ahead => format!("{config} was migrated by a newer program; use that one"),
            Schema::Altered(version) => format!(
                "{config} was migrated by another program: its migration {version} differs from \
                 ours; use that program"
            ),
            Schema::Taken(taken) => format!("{config}: {}", migrations::taken(taken)),
            Schema::OwnBehind(count) => format!(
                "{config} lacks {count} of the application's migrations; run `{} migrate`, or start \
                 the site with this program",
                program::name()
            ),
            Schema::OwnAltered(problem) => format!("{config}: {problem}"),
        };
        Err(Refusal { schema: self, problem })
    }
}

fn compare(ours: &Migrator, applied: &[Applied]) -> Schema {
    if let Some(taken) = applied::taken(applied, ours) {
        return Schema::Taken(taken.to_string());
    }
    let of_ours = |version: i64| ours.iter().find(|migration| migration.version == version);
    let altered = applied.iter().find(|applied| {
        of_ours(applied.version).is_some_and(|ours| *ours.checksum != *applied.checksum)
    });
    if let Some(altered) = altered {
        return Schema::Altered(altered.version);
    }
    if applied::is_newer(applied, ours) {
        return Schema::Ahead;
    }

    let is_applied = |version| applied.iter().any(|applied| applied.version == version);
    let missing = ours.iter().filter(|migration| !is_applied(migration.version)).count();
    match missing {
        0 => Schema::Current,
        missing if missing == ours.iter().count() => Schema::Absent,
        missing => Schema::Behind(missing),
    }
}

async fn of_file(path: &Path, table: &str) -> Result<Vec<Applied>, OpenError> {
    match path.metadata() {
        Ok(metadata) if metadata.len() == 0 => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    }

    let read = async {
        let mut db = sqlite::connect_to_look(path).await?;
        // The name of an application's table may have a schema or quotes, so it is not looked up.
        let applied = match applied::of_sqlite(&mut db, table).await {
            Err(error) if applied::said(&error).starts_with("no such table") => Vec::new(),
            applied => applied?,
        };
        db.close().await?;
        Ok::<_, sqlx::Error>(applied)
    };
    Ok(read.await?)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::super::migrations::OURS;
    use super::*;

    fn all() -> Vec<Applied> {
        let of = |migration: &sqlx_core::migrate::Migration| Applied {
            version: migration.version,
            description: migration.description.to_string(),
            checksum: migration.checksum.to_vec(),
        };
        migrations::SQLITE.iter().map(of).collect()
    }

    fn compared(applied: &[Applied]) -> Schema {
        compare(&migrations::SQLITE, applied)
    }

    #[test]
    fn an_older_a_newer_and_a_foreign_database_are_told_apart() {
        assert_eq!(compared(&[]), Schema::Absent);
        assert_eq!(compared(&all()), Schema::Current);
        let mut applied = all();
        applied.pop();
        assert_eq!(compared(&applied), Schema::Behind(1));

        let with = |version: i64, description: &str| {
            let (description, checksum) = (description.to_owned(), vec![1]);
            let mut applied = all();
            applied.push(Applied { version, description, checksum });
            applied
        };
        assert_eq!(compared(&with(20991231000001, "rocket login roles")), Schema::Ahead);
        // An application's own migrations, with and without ours.
        assert_eq!(compared(&with(20991231000001, "notes")), Schema::Current);
        assert_eq!(compared(&with(1, "login history")), Schema::Current);
        let notes = with(1, "notes").pop().unwrap();
        assert_eq!(compared(&[notes]), Schema::Absent);

        let mut applied = all();
        applied[1].checksum = vec![1];
        assert_eq!(compared(&applied), Schema::Altered(applied[1].version));
    }

    /// This program recognises the migrations of a later version by their names.
    #[test]
    fn new_migrations_are_named_after_this_crate() {
        const NAMED_FROM: i64 = 20261129000000;
        for migration in migrations::SQLITE.iter().chain(migrations::POSTGRES.iter()) {
            let is_named = migration.description.starts_with(OURS);
            assert!(migration.version < NAMED_FROM || is_named, "{}", migration.version);
        }
    }
}
