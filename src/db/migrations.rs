//! The migrations of `migrations/` and of `migrations/postgres/`, embedded.
//!
//! This does not use `sqlx::migrate!`, because its feature makes cargo count SQLite in applications
//! that left it out.

use std::iter;
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use sqlx::error::DatabaseError;
use sqlx_core::migrate::{Migration, MigrationType, Migrator};
use sqlx_core::sql_str::SqlSafeStr;

use super::open_error::{self, OpenError};
use crate::error::Error;

/// The beginning of the description of each of our migrations, from 2026-11-29 on. An application
/// keeps its own migrations in the same table, under any numbers, so this tells the migrations of a
/// later program from them.
pub const OURS: &str = "rocket login ";

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/migrations");

pub static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(&FILES));

pub static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| Migrator {
    locking: false, // a transaction holds our own lock, and a pooler lets that through
    ..migrator(FILES.get_dir("postgres").expect("the directory is embedded"))
});

/// Reads a directory as `sqlx migrate run` does. Version, description and checksum must be equal,
/// since either may apply the migrations.
///
/// Versions of an application's own migrations in the same database are left to the application.
fn migrator(directory: &'static Dir) -> Migrator {
    let mut migrations: Vec<Migration> = directory
        .files()
        .map(|file| {
            let name = file.path().file_stem().and_then(|name| name.to_str());
            let (version, description) = name
                .and_then(|name| name.split_once('_'))
                .expect("the file is named VERSION_DESCRIPTION.sql");
            let version = version.parse().expect("the version is a number");
            let sql = file.contents_utf8().expect("the file is text").into_sql_str();
            Migration::new(
                version,
                description.replace('_', " ").into(),
                MigrationType::Simple,
                sql,
                false,
            )
        })
        .collect();
    migrations.sort();

    Migrator { migrations: migrations.into(), ignore_missing: true, ..Migrator::DEFAULT }
}

/// Returns the problem and the fix of an application's migration that has a version of ours.
pub fn taken(migration: &str) -> String {
    format!(
        "the migration {migration} of the application has a version of rocket-login's; give it \
         another one, in the application and in the table _sqlx_migrations"
    )
}

/// Returns the error of migrations that could not be applied to the database `name`. Usually the
/// application has a table with one of our names: then the error names the fix.
pub fn failed(error: &Error, name: &str, is_postgres: bool) -> OpenError {
    let refused = database_error(error);
    let foreign =
        refused.and_then(|refused| if is_postgres { in_schema(refused) } else { in_file(refused) });
    let problem = match (refused, foreign) {
        (Some(refused), Some(fix)) => {
            format!("{}, which rocket-login did not create; {fix}", refused.message())
        }
        (refused, _) => refused.and_then(open_error::with_fix).unwrap_or_else(|| error.to_string()),
    };
    OpenError::database(format!("cannot migrate {name}: {problem}"))
}

fn in_file(refused: &dyn DatabaseError) -> Option<&'static str> {
    // SQLite has no code for this error.
    refused
        .message()
        .ends_with("already exists")
        .then_some("set databases.login.url to another file, for rocket-login's tables alone")
}

fn in_schema(refused: &dyn DatabaseError) -> Option<&'static str> {
    // duplicate_table, duplicate_function, duplicate_object. The text is in the server's language.
    matches!(&*refused.code()?, "42P07" | "42723" | "42710").then_some(
        "run CREATE SCHEMA login, and add the parameter options=-c%20search_path%3Dlogin to \
         databases.login.url, so that our tables have a schema of their own",
    )
}

/// Returns whether migrations were not applied because another program was in the way.
#[cfg(feature = "postgres")]
pub fn is_busy(error: &Error) -> bool {
    database_error(error).is_some_and(is_held)
}

/// Returns whether PostgreSQL has given up a statement because somebody else held a lock.
pub fn is_held(refused: &dyn DatabaseError) -> bool {
    refused.code().is_some_and(|code| open_error::is_held(&code))
}

/// Returns the error of the database itself, however deep it lies.
fn database_error(error: &Error) -> Option<&dyn DatabaseError> {
    let error: &(dyn std::error::Error + 'static) = error;
    iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<sqlx::Error>())
        .find_map(sqlx::Error::as_database_error)
}
