//! What a connection to PostgreSQL has to be like, whatever its server, database and role were
//! set up for.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use sqlx_core::migrate::{MigrateError, Migrator};

/// Why this connection is not to be used. `NULL`: it is.
///
/// * A standby lags behind: it would still know a session that was ended.
/// * In other encodings than these, most letters cannot be stored: a form would be refused
///   for one letter in it. `SQL_ASCII` keeps what it is given.
/// * A session in the role of a replica does not look at foreign keys: a deleted account
///   would leave its links and its mails behind.
const UNFIT: &str = "
    CASE WHEN pg_is_in_recovery() THEN 'the server is a standby; name the primary'
         WHEN current_setting('server_encoding') NOT IN ('UTF8', 'SQL_ASCII')
         THEN 'the database stores text as ' || current_setting('server_encoding')
              || ', which lacks most letters; make one with ENCODING ''UTF8'' TEMPLATE template0'
         WHEN current_setting('session_replication_role') NOT IN ('origin', 'local')
         THEN 'session_replication_role is ' || current_setting('session_replication_role')
              || ', which switches foreign keys off; run ALTER ROLE ' || quote_ident(session_user)
              || ' RESET session_replication_role'
    END";

/// What a role or a database may have set otherwise, with the value that is ours. Where a
/// third one is given, only that is replaced: stricter ones stay.
///
/// * An acknowledged log-out must not be undone by a power cut.
/// * Connections that wait in the pool are ours to close, and the one that listens waits long.
/// * A policy that hides rows must be an error: otherwise everybody would seem to be logged out.
/// * Single statements run as ours are written for, and bytes come as the library reads them.
const SETTINGS: [(&str, &str, Option<&str>); 7] = [
    ("synchronous_commit", "on", Some("off")),
    ("idle_session_timeout", "0", None), // since PostgreSQL 14
    ("row_security", "off", None),
    ("default_transaction_isolation", "read committed", None),
    ("default_transaction_deferrable", "off", None),
    ("standard_conforming_strings", "on", None),
    ("bytea_output", "hex", None),
];

/// Makes a new connection what it has to be, in one round trip. `Some`: it cannot be made so,
/// and why. What `is_shared` is left as it is: a pooler hands it to others after us.
///
/// # Errors
///
/// When the server fails.
pub async fn settle(db: &mut PgConnection, is_shared: bool) -> Result<Option<String>, sqlx::Error> {
    let sql = match is_shared {
        true => format!("SELECT {UNFIT}"),
        false => {
            format!("SELECT {UNFIT}, (SELECT count(made.set_config) FROM ({}) AS made)", set(false))
        }
    };
    db.fetch_one(AssertSqlSafe(sql)).await?.try_get(0)
}

/// As above for a pool, which drops the connection then.
///
/// # Errors
///
/// As [`settle()`], and when it is not to be used.
pub async fn settle_or_drop(db: &mut PgConnection, is_shared: bool) -> Result<(), sqlx::Error> {
    match settle(db, is_shared).await? {
        Some(problem) => Err(sqlx::Error::Configuration(problem.into())),
        None => Ok(()),
    }
}

/// A statement that makes the settings ours, for the transaction alone if it `is_local`.
pub fn set(is_local: bool) -> String {
    let values: Vec<String> = SETTINGS
        .iter()
        .map(|(name, value, from)| {
            let from = from.map_or("NULL".to_owned(), |from| format!("'{from}'"));
            format!("('{name}', '{value}', {from})")
        })
        .collect();
    // One that the server does not know yet is passed over.
    format!(
        "SELECT set_config(name, value, {is_local})
         FROM (VALUES {}) AS ours (name, value, replaced)
         WHERE current_setting(name, TRUE) = coalesce(replaced, current_setting(name, TRUE))",
        values.join(", ")
    )
}

/// The schemas of the search path that have such a table, the first one first, and whether new
/// tables are made there.
const MIGRATED: &str = "
    SELECT quote_ident(nspname), nspname = current_schema()
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relname = '_sqlx_migrations' AND nspname = ANY (current_schemas(FALSE))
          AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY array_position(current_schemas(FALSE), nspname)";

/// Our tables whose rows a policy may hide from us.
const GUARDED: &str = "
    SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
    WHERE row_security_active(oid) AND oid IN (
        to_regclass('users'), to_regclass('sessions'), to_regclass('login_tokens'),
        to_regclass('login_mails'), to_regclass('login_devices'), to_regclass('login_events'),
        to_regclass('login_muted_notices'), to_regclass('login_throttle'))";

/// Refuses to make the tables in one schema while they are in another one that is searched
/// later: somebody has made a schema of the role's name, or has changed `search_path`. The site
/// would be without its accounts.
///
/// # Errors
///
/// When it is so, or the server fails.
pub async fn check_schema(db: &mut PgConnection, ours: &Migrator) -> Result<(), sqlx::Error> {
    let Some(first) = ours.iter().next() else { return Ok(()) };
    for row in db.fetch_all(MIGRATED).await? {
        let (schema, is_current): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {schema}._sqlx_migrations WHERE version = {})",
            first.version
        );
        if db.fetch_one(AssertSqlSafe(sql)).await?.try_get(0)? {
            let problem = format!(
                "the tables are in the schema {schema}, but search_path names another one before it; \
                 add ?options=-c%20search_path%3D{schema} to the URL"
            );
            return match is_current {
                true => Ok(()),
                false => Err(sqlx::Error::Configuration(problem.into())),
            };
        }
    }
    Ok(())
}

/// Refuses tables of which the server shows us only the rows that a policy lets through.
///
/// # Errors
///
/// When there is one, or the server fails.
pub async fn check_rows(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let guarded: Option<String> = db.fetch_one(GUARDED).await?.try_get(0)?;
    match guarded {
        Some(tables) => {
            let problem = format!(
                "row level security hides rows of {tables} from this role; run ALTER TABLE … \
                 DISABLE ROW LEVEL SECURITY, or let the role own the tables"
            );
            Err(sqlx::Error::Configuration(problem.into()))
        }
        None => Ok(()),
    }
}

/// What to do about a migration that this role is not allowed to make.
pub fn with_fix(error: sqlx::Error) -> sqlx::Error {
    let cause = match &error {
        sqlx::Error::Migrate(migrating) => match &**migrating {
            MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause,
            _ => return error,
        },
        error => error,
    };
    let code = cause.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some("42501") => sqlx::Error::Configuration(
            format!("{cause}; run `rocket-login migrate` as the role that owns the tables").into(),
        ),
        _ => error,
    }
}
