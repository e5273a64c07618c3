//! A database for each test: a file, or one of PostgreSQL's if `TEST_POSTGRES` is set.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rocket::tokio::runtime::Runtime;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::servers::program;

/// The databases made so far, with the folders of their tests.
static MADE: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

/// The folder of PostgreSQL's socket, or `None` if the tests run on SQLite.
pub fn socket() -> Option<String> {
    std::env::var("TEST_POSTGRES").ok()
}

/// The address of the database of the test whose folder is `dir`.
pub fn url(dir: &TempDir) -> String {
    match socket() {
        Some(socket) => postgres_url(&socket, &of_test(&socket, dir.path())),
        None => format!("sqlite:{}", dir.path().join("login.db").display()),
    }
}

/// `program` in the folder `dir`, with only the database configured.
pub fn command(program: impl AsRef<Path>, dir: &TempDir) -> Command {
    let mut command = program::command(program, dir);
    if socket().is_some() {
        command.env("ROCKET_DATABASES", format!("{{login={{url=\"{}\"}}}}", url(dir)));
    }
    command
}

/// The address of the database `name` at the server whose socket is in `socket`.
pub fn postgres_url(socket: &str, name: &str) -> String {
    format!("postgres://postgres@localhost/{name}?host={socket}")
}

/// Makes the database of `dir` unless it exists, and drops the databases of
/// finished tests.
fn of_test(socket: &str, dir: &Path) -> String {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, name)) = made.iter().find(|(of, _)| of == dir) {
        return name.clone();
    }

    let name: String = dir.file_name().unwrap().to_string_lossy().replace('.', "_");
    let mut statements = vec![format!("CREATE DATABASE \"{name}\"")];
    made.retain(|(of, name)| {
        if !of.exists() {
            statements.push(format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
        }
        of.exists()
    });
    made.push((dir.to_owned(), name.clone()));
    run(&postgres_url(socket, "postgres"), statements);
    name
}

/// Runs statements on a thread of its own, because a test's thread may belong to a runtime.
fn run(url: &str, statements: Vec<String>) {
    let url = url.to_owned();
    let done = std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async {
            let mut db = PgConnection::connect(&url).await.unwrap();
            for statement in statements {
                db.execute(AssertSqlSafe(statement)).await.unwrap();
            }
        });
    });
    done.join().unwrap();
}

/// Returns the text for the database that the tests run on.
pub fn pick(sqlite: &'static str, postgres: &'static str) -> &'static str {
    if socket().is_some() { postgres } else { sqlite }
}

/// An SQL expression for `bytes` random bytes.
pub fn random(bytes: usize) -> String {
    match socket() {
        Some(_) => format!("substr(sha256(gen_random_uuid()::text::bytea), 1, {bytes})"),
        None => format!("randomblob({bytes})"),
    }
}

/// Queries for the names of all tables except the database's own.
pub const TABLES: [&str; 2] = [
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
];

/// A trigger `name` that makes every `act` on `table` fail as a full disk would.
pub fn failing(name: &str, act: &str, table: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(match socket() {
        Some(_) => format!(
            "CREATE FUNCTION {name}_disk() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE ''disk is full''; END';
             CREATE TRIGGER {name}_disk BEFORE {act} ON {table}
             FOR EACH ROW EXECUTE FUNCTION {name}_disk()"
        ),
        None => format!(
            "CREATE TRIGGER {name}_disk BEFORE {act} ON {table}
             BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        ),
    })
}
