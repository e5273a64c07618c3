//! Opens a connection to PostgreSQL.

use rocket::tokio::time::timeout;
use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};
use sqlx::{Connection, Decode, Executor, Row, Type};

use crate::config::PostgresConfig;
use crate::db::deadline::SERVER_PATIENCE;
use crate::db::lock_number::lock_number;
use crate::db::open_error::OpenError;
use crate::db::server;

/// The limits after which the server itself gives up, in case this process is gone: for a
/// statement, for a wait for a row, and for a transaction that nobody continues.
const LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "3s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// Begins a transaction as our statements need it, whatever the server's default is: after a wait
/// for a lock, they read what its last holder has left.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How many statements a connection keeps prepared: ours, and as many of an application's.
const STATEMENTS: usize = 500;

/// The oldest version that this was written for: PostgreSQL 13.
const OLDEST_VERSION: i32 = 130_000;

/// Returns the options with which a connection is opened.
pub fn options(config: &PostgresConfig) -> PgConnectOptions {
    let mut options = config.options.clone();
    if options.get_application_name().is_none() {
        options = options.application_name("rocket-login");
    }
    match config.named_statements {
        true => options.options(LIMITS).statement_cache_capacity(STATEMENTS),
        // A pooler accepts none of these. The operator sets them on the role instead.
        false => options.statement_cache_capacity(0).extra_float_digits(None),
    }
}

/// Opens one connection, and tries this only once.
///
/// # Errors
///
/// Returns an error if the server does not answer, does not let us in, is too old, or must not be
/// used ([`server::settle()`]).
pub async fn connect(config: &PostgresConfig) -> Result<PgConnection, OpenError> {
    let db = timeout(SERVER_PATIENCE, PgConnection::connect_with(&options(config))).await;
    let mut db = db.map_err(|_| OpenError::database("the server does not answer"))??;
    check_version(&mut db).await?;
    match server::settle(&mut db, !config.named_statements).await? {
        Some(problem) => Err(OpenError::database(problem)),
        None => Ok(db),
    }
}

async fn check_version(db: &mut PgConnection) -> Result<(), OpenError> {
    let version = "SELECT current_setting('server_version_num')::int";
    match one::<i32>(db, version).await? >= OLDEST_VERSION {
        true => Ok(()),
        false => Err(OpenError::database("the server is older than PostgreSQL 13")),
    }
}

/// Returns the lock of the sites in one schema of a database, as arguments of a function that
/// locks.
pub fn site_lock() -> String {
    format!("{}, hashtext(coalesce(current_schema(), ''))", lock_number("site") as i32)
}

/// Returns the one value that `sql` selects, without preparing the statement.
pub async fn one<T>(db: &mut PgConnection, sql: &'static str) -> Result<T, sqlx::Error>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    db.fetch_one(sql).await?.try_get(0)
}
