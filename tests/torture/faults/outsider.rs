//! The database as another program sees it.

use std::path::Path;

use rocket::tokio::runtime::{Builder, Runtime};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

/// A separate connection to the database.
pub struct Outsider {
    runtime: Runtime,
    db: SqliteConnection,
}

impl Outsider {
    pub fn open(path: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new().filename(path);
        let db = runtime.block_on(SqliteConnection::connect_with(&options)).unwrap();
        Outsider { runtime, db }
    }

    pub fn run(&mut self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.db);
        self.runtime.block_on(done).unwrap();
    }

    /// Returns the single value of `sql`, an `INTEGER` or a `TEXT`.
    pub fn value(&mut self, sql: &str) -> String {
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.db);
        let row = self.runtime.block_on(row).unwrap();
        match row.try_get::<i64, _>(0) {
            Ok(number) => number.to_string(),
            Err(_) => row.get(0),
        }
    }
}

/// Asserts that the structure of the file is intact.
pub fn assert_sound(path: &Path) {
    assert_eq!(Outsider::open(path).value("PRAGMA integrity_check"), "ok");
}

/// Asserts that no acknowledged account is missing.
pub fn assert_has_all(path: &Path, names: &[String]) {
    let mut db = Outsider::open(path);
    for name in names {
        let count =
            db.value(&format!("SELECT count(*) FROM users WHERE email = '{name}@example.org'"));
        assert_eq!(count, "1", "{name} is lost, of {}", names.len());
    }
}
