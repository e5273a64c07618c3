//! The migrations of `migrations/` and of `migrations/postgres/`, embedded.
//!
//! Not by `sqlx::migrate!`: its feature makes cargo count SQLite in applications
//! that left it out.

use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use sqlx_core::migrate::{Migration, MigrationType, Migrator};
use sqlx_core::sql_str::SqlSafeStr;

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/migrations");

pub static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(&FILES));

pub static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| Migrator {
    locking: false, // ours is held by a transaction, which a pooler lets through
    ..migrator(FILES.get_dir("postgres").expect("the directory is embedded"))
});

/// Like `sqlx migrate run` reads a directory: version, description and checksum
/// must be the same, since either may apply them.
///
/// Versions of an application's own migrations in the same database are left
/// to the application.
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
