//! The migrations of an application, which run after ours.

use std::collections::HashSet;
use std::fmt;

use sqlx::SqlSafeStr;
use sqlx_core::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::applied::{self, Applied};
use super::migrations::{self, OURS};
use super::open_error::OpenError;
use crate::error::Error;

/// The migrations of an application, for [`Stage::migrations()`](crate::Stage::migrations()).
///
/// They are statements for the tables of the application, which are in the database of the
/// accounts. Each has a version, and they run in the order of their versions.
///
/// * A migration runs once. The table `_sqlx_migrations` says which ones have run.
/// * The missing ones run in one transaction, at the launch, after ours. If one fails, nothing has
///   changed.
/// * If several instances start at once, one runs them and the others wait.
/// * The text of a migration must not change after it has run. Add another migration instead.
///
/// # Examples
///
/// ```rust
/// # #[cfg(feature = "pages")] {
/// use rocket_login::{Migrations, stage};
///
/// let notes = "CREATE TABLE notes (
///     user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
///     text    TEXT   NOT NULL
/// )";
/// let index = "CREATE INDEX notes_user_id_idx ON notes (user_id)";
/// let migrations = Migrations::new().add(1, "notes", notes).add(2, "notes of users", index);
/// let stage = stage().migrations(migrations);
/// # }
/// ```
///
/// An application that uses sqlx 0.9 passes `sqlx::migrate!()`, which reads the folder
/// `migrations`. Without sqlx's macros, [`Migrator::new()`] reads a folder at the launch:
///
/// ```rust,no_run
/// use std::path::Path;
///
/// use rocket_login::db::Migrator;
/// # #[cfg(feature = "pages")]
/// use rocket_login::stage;
///
/// # #[cfg(feature = "pages")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stage = stage().migrations(Migrator::new(Path::new("migrations")).await?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Migrations {
    sqlite: Migrator,
    postgres: Migrator,
}

impl Migrations {
    /// Creates a set without a migration.
    pub fn new() -> Self {
        Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT }
    }

    /// Takes one set for each database. The one for the database in `databases.login.url` runs.
    pub fn of_each(sqlite: Migrator, postgres: Migrator) -> Self {
        Migrations { sqlite, postgres }
    }

    /// Adds a migration with one text for SQLite and PostgreSQL. The text may have several
    /// statements.
    ///
    /// `version` is a number of the application's own choice that is not used by us: 1, 2 and so
    /// on, or a date and a time as in `20261231120000`.
    pub fn add(self, version: i64, description: &'static str, sql: &'static str) -> Self {
        self.add_each(version, description, sql, sql)
    }

    /// Adds a migration like [`add()`](Migrations::add()), with a text for each database.
    pub fn add_each(
        self,
        version: i64,
        description: &'static str,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> Self {
        let migration = |sql: &'static str| {
            let (kind, sql) = (MigrationType::Simple, sql.into_sql_str());
            Migration::new(version, description.into(), kind, sql, false)
        };
        Migrations {
            sqlite: with(self.sqlite, migration(sqlite)),
            postgres: with(self.postgres, migration(postgres)),
        }
    }

    /// Ignores migrations that have run and are not in this set. Otherwise they stop the launch:
    /// usually a newer program has run them.
    ///
    /// Call this if another application keeps its migrations in the same table.
    pub fn ignore_missing(mut self) -> Self {
        self.sqlite.ignore_missing = true;
        self.postgres.ignore_missing = true;
        self
    }

    /// Returns whether there is no migration for either database.
    pub(crate) fn is_empty(&self) -> bool {
        self.sqlite().is_empty() && self.postgres().is_empty()
    }

    pub(super) fn sqlite(&self) -> Own<'_> {
        Own { migrator: &self.sqlite, ours: &migrations::SQLITE }
    }

    pub(super) fn postgres(&self) -> Own<'_> {
        Own { migrator: &self.postgres, ours: &migrations::POSTGRES }
    }
}

impl Default for Migrations {
    fn default() -> Self {
        Migrations::new()
    }
}

/// The set runs on either database.
impl From<Migrator> for Migrations {
    fn from(migrator: Migrator) -> Self {
        let copy = Migrator {
            migrations: migrator.migrations.clone(),
            table_name: migrator.table_name.clone(),
            create_schemas: migrator.create_schemas.clone(),
            ..migrator
        };
        Migrations { sqlite: copy, postgres: migrator }
    }
}

fn with(migrator: Migrator, migration: Migration) -> Migrator {
    let mut migrations = migrator.migrations.into_owned();
    migrations.push(migration);
    migrations.sort();
    Migrator { migrations: migrations.into(), ..migrator }
}

/// The reason why a migration of the application was not applied.
#[derive(Debug)]
pub struct NotApplied(String);

impl fmt::Display for NotApplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage::migrations: {}", self.0.replace('\n', " "))
    }
}

/// The reason why migrations were not applied. Nothing has changed then.
#[derive(Debug)]
pub enum Failure {
    Ours(Error),
    /// A migration of the application has the version of one of ours.
    Taken(String),
    Own(NotApplied),
    /// Another program held a table that a migration of the application changes.
    OwnBusy(NotApplied),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Ours(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Failure::Ours(error.into())
    }
}

impl From<NotApplied> for Failure {
    fn from(error: NotApplied) -> Self {
        Failure::Own(error)
    }
}

impl Failure {
    /// Returns whether another program was in the way, so that the next attempt may succeed.
    #[cfg(feature = "postgres")]
    pub fn is_busy(&self) -> bool {
        match self {
            Failure::Ours(error) => migrations::is_busy(error),
            Failure::OwnBusy(_) => true,
            Failure::Taken(_) | Failure::Own(_) => false,
        }
    }

    /// Returns the line that stops the start. `name` is that of the database.
    pub fn line(self, name: &str, is_postgres: bool) -> OpenError {
        match self {
            Failure::Ours(error) => migrations::failed(&error, name, is_postgres),
            Failure::Taken(taken) => OpenError::new(migrations::taken(&taken)),
            Failure::Own(error) | Failure::OwnBusy(error) => OpenError::new(error.to_string()),
        }
    }
}

/// The application's migrations for the database that is used.
#[derive(Debug, Clone, Copy)]
pub struct Own<'m> {
    migrator: &'m Migrator,
    ours: &'m Migrator,
}

impl Own<'_> {
    /// Returns the name of the table that says which of them have run.
    pub fn table(&self) -> &str {
        &self.migrator.table_name
    }

    pub fn is_empty(&self) -> bool {
        self.migrator.iter().next().is_none()
    }

    /// Returns the migrations that have not run.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot run on a database on which the migrations `applied` have
    /// run.
    pub fn pending(&self, applied: &[Applied]) -> Result<Vec<&Migration>, NotApplied> {
        self.check_versions()?;
        let ups = self.ups();
        for one in applied {
            match ups.iter().find(|migration| migration.version == one.version) {
                Some(migration) if *migration.checksum != *one.checksum => {
                    return Err(NotApplied(format!(
                        "{} has run with another text; restore that text, and add another \
                         migration for the change",
                        name(migration)
                    )));
                }
                None if self.is_lost(one) => {
                    return Err(NotApplied(format!(
                        "the database has {} ({}), which this program does not have; start the \
                         newer program, or call ignore_missing()",
                        one.version, one.description
                    )));
                }
                _ => {}
            }
        }

        let has_run = |version| applied.iter().any(|one| one.version == version);
        let pending: Vec<_> =
            ups.into_iter().filter(|migration| !has_run(migration.version)).collect();
        match pending.iter().find(|migration| migration.no_tx) {
            Some(migration) => Err(NotApplied(format!(
                "{} cannot run in a transaction; run it before the start, with `sqlx migrate run`",
                name(migration)
            ))),
            None => Ok(pending),
        }
    }

    fn ups(&self) -> Vec<&Migration> {
        let migrations = self.migrator.iter();
        migrations.filter(|migration| !migration.migration_type.is_down_migration()).collect()
    }

    /// Refuses versions and descriptions that would be taken for ours, and a version that stands
    /// twice.
    fn check_versions(&self) -> Result<(), NotApplied> {
        let mut versions = HashSet::new();
        for migration in self.ups() {
            if !versions.insert(migration.version) {
                return Err(NotApplied(format!(
                    "{} has the version of another one; write another number",
                    name(migration)
                )));
            }
            let shares_table = self.table() == self.ours.table_name;
            if shares_table && self.ours.version_exists(migration.version) {
                return Err(NotApplied(format!(
                    "{} has a version of rocket-login's; write another number",
                    name(migration)
                )));
            }
            if shares_table && migration.description.starts_with(OURS) {
                return Err(NotApplied(format!(
                    "{} is named like one of rocket-login's; write a description that does not \
                     begin with \"{}\"",
                    name(migration),
                    OURS.trim_end()
                )));
            }
        }
        Ok(())
    }

    /// Returns whether `applied` is one of the application's and missing in this program.
    fn is_lost(&self, applied: &Applied) -> bool {
        let is_of_ours = self.table() == self.ours.table_name
            && (self.ours.version_exists(applied.version) || applied.description.starts_with(OURS));
        !self.migrator.ignore_missing && !is_of_ours
    }

    /// Runs what is pending, in the open transaction of `db`.
    ///
    /// # Errors
    ///
    /// Returns an error if a statement fails.
    pub async fn run<C: Migrate>(&self, db: &mut C) -> Result<(), Failure> {
        let migrator = Migrator {
            migrations: self.migrator.migrations.clone(),
            table_name: self.migrator.table_name.clone(),
            create_schemas: self.migrator.create_schemas.clone(),
            ignore_missing: true, // ours are in the same table
            locking: false,       // the transaction holds our own lock
            no_tx: false,
        };
        let done = migrator.run_direct(None, db, false).await;
        done.map_err(|error| match &error {
            MigrateError::ExecuteMigration(cause, version) => {
                let migration = self.ups().into_iter().find(|one| one.version == *version);
                let name = migration.map_or_else(|| version.to_string(), name);
                let line = NotApplied(format!("{name}: {}", applied::said(cause)));
                match cause.as_database_error().is_some_and(migrations::is_held) {
                    true => Failure::OwnBusy(line),
                    false => Failure::Own(line),
                }
            }
            error => Failure::Own(NotApplied(error.to_string())),
        })
    }
}

fn name(migration: &Migration) -> String {
    format!("{} ({})", migration.version, migration.description)
}
