//! Finds out how far a database is migrated, without changing anything in it.
//!
//! Commands look before they act: a command that created a missing database, or migrated one under
//! a running site, would do harm and report success.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use sqlx::{Connection, Executor};
use sqlx_core::migrate::Migrator;

use super::applied::{APPLIED, Applied, of_connection, read};
use super::open_error::OpenError;
use super::{migrations, postgres, sqlite};
use crate::config::{DatabaseConfig, PostgresConfig};

/// The beginning of the description of each of our migrations, from 2026-11-29 on. An application
/// keeps its own migrations in the same table, under any numbers, so this tells the migrations of a
/// later program from them.
const OURS: &str = "rocket login ";

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
}

/// The reason why a command does not act on a database, in one line.
#[derive(Debug)]
pub struct Refusal {
    pub schema: Schema,
    problem: String,
}

/// Looks at the database that `config` names.
///
/// # Errors
///
/// Returns an error if the database cannot be read.
pub async fn look(config: &DatabaseConfig) -> Result<Schema, OpenError> {
    let (ours, applied) = match config {
        DatabaseConfig::Sqlite(path) => (&migrations::SQLITE, of_file(path).await?),
        DatabaseConfig::Postgres(config) => (&migrations::POSTGRES, of_server(config).await?),
    };
    Ok(compare(ours, &applied))
}

impl Schema {
    /// Refuses a database that is not up to date. `config` names it.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] if a migration is missing, or if another program has migrated the
    /// database.
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
                "{config} lacks {count} of this program's migrations; run `rocket-login migrate`, \
                 or start the site with this program"
            ),
            Schema::Ahead => format!("{config} was migrated by a newer program; use that one"),
            Schema::Altered(version) => format!(
                "{config} was migrated by another program: its migration {version} differs from \
                 ours; use that program"
            ),
        };
        Err(Refusal { schema: self, problem })
    }
}

fn compare(ours: &Migrator, applied: &[Applied]) -> Schema {
    let of_ours = |version: i64| ours.iter().find(|migration| migration.version == version);
    let altered = applied.iter().find(|applied| {
        of_ours(applied.version).is_some_and(|ours| *ours.checksum != *applied.checksum)
    });
    if let Some(altered) = altered {
        return Schema::Altered(altered.version);
    }
    let is_newer = |applied: &Applied| {
        of_ours(applied.version).is_none() && applied.description.starts_with(OURS)
    };
    if applied.iter().any(is_newer) {
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

async fn of_file(path: &Path) -> Result<Vec<Applied>, OpenError> {
    let cannot = |error: &dyn fmt::Display| {
        OpenError::database(format!("cannot open {}: {error}", path.display()))
    };
    match path.metadata() {
        Ok(metadata) if metadata.len() == 0 => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(&error)),
    }

    let read = async {
        let mut db = sqlite::connect_to_look(path).await?;
        let has_table = "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'";
        let applied = match db.fetch_optional(has_table).await? {
            Some(_) => read(&db.fetch_all(APPLIED).await?)?,
            None => Vec::new(),
        };
        db.close().await?;
        Ok::<_, sqlx::Error>(applied)
    };
    read.await.map_err(|error| cannot(&error))
}

async fn of_server(config: &PostgresConfig) -> Result<Vec<Applied>, OpenError> {
    let mut db = postgres::connect(config).await?;
    let applied = of_connection(&mut db).await?;
    db.close().await?;
    Ok(applied)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
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
