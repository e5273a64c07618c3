//! Makes every connection to PostgreSQL fit for us, however its server, database and role are set
//! up.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use sqlx_core::migrate::{MigrateError, Migrator};

use super::tables::TABLES;
use crate::program;

/// Selects the reason why a connection must not be used, or `NULL` if it may be used.
///
/// * A standby lags behind: it would still accept a session that was ended.
/// * Other encodings than these cannot store most letters: a form would be refused because of one
///   letter in it. `SQL_ASCII` keeps the bytes that it is given.
/// * A session in the role of a replica does not check foreign keys: a deleted account would leave
///   its links and its mails behind.
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

/// The settings that a role or a database may have changed, with our value. If there is a third
/// value, only that one is replaced: stricter ones stay.
///
/// * A power cut must not undo an acknowledged log-out.
/// * We close the connections that wait in the pool ourselves, and the one that listens waits long.
/// * A policy that hides rows must be an error: otherwise everybody would seem to be logged out.
/// * Single statements run in the way that ours are written for, and bytes come in the format that
///   the library reads.
const SETTINGS: [(&str, &str, Option<&str>); 7] = [
    ("synchronous_commit", "on", Some("off")),
    ("idle_session_timeout", "0", None), // since PostgreSQL 14
    ("row_security", "off", None),
    ("default_transaction_isolation", "read committed", None),
    ("default_transaction_deferrable", "off", None),
    ("standard_conforming_strings", "on", None),
    ("bytea_output", "hex", None),
];

/// Applies our settings to a new connection, in one round trip. `Some` is the reason why the
/// connection must not be used. If the connection `is_shared`, its settings stay as they are: a
/// pooler hands it to others after us.
///
/// # Errors
///
/// Returns an error if the server fails.
pub async fn settle(db: &mut PgConnection, is_shared: bool) -> Result<Option<String>, sqlx::Error> {
    let sql = match is_shared {
        true => format!("SELECT {UNFIT}"),
        false => {
            format!("SELECT {UNFIT}, (SELECT count(made.set_config) FROM ({}) AS made)", set(false))
        }
    };
    db.fetch_one(AssertSqlSafe(sql)).await?.try_get(0)
}

/// Calls [`settle()`] for a pool, which drops the connection if this returns an error.
///
/// # Errors
///
/// Returns an error if the server fails, or if the connection must not be used.
pub async fn settle_or_drop(db: &mut PgConnection, is_shared: bool) -> Result<(), sqlx::Error> {
    match settle(db, is_shared).await? {
        Some(problem) => Err(sqlx::Error::Configuration(problem.into())),
        None => Ok(()),
    }
}

/// Returns a statement that applies our settings, only for the transaction if it `is_local`.
pub fn set(is_local: bool) -> String {
    let values: Vec<String> = SETTINGS
        .iter()
        .map(|(name, value, from)| {
            let from = from.map_or("NULL".to_owned(), |from| format!("'{from}'"));
            format!("('{name}', '{value}', {from})")
        })
        .collect();
    // Settings that the server does not know yet are skipped.
    format!(
        "SELECT set_config(name, value, {is_local})
         FROM (VALUES {}) AS ours (name, value, replaced)
         WHERE current_setting(name, TRUE) = coalesce(replaced, current_setting(name, TRUE))",
        values.join(", ")
    )
}

/// Selects the schemas of the search path that have the table of migrations, in the order of the
/// path, and whether new tables are created there.
const MIGRATED: &str = "
    SELECT quote_ident(nspname), nspname = current_schema()
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relname = '_sqlx_migrations' AND nspname = ANY (current_schemas(FALSE))
          AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY array_position(current_schemas(FALSE), nspname)";

/// Refuses to create the tables in one schema while they exist in another one that is searched
/// later. This happens if somebody has created a schema with the role's name, or has changed
/// `search_path`. The site would start without its accounts.
///
/// # Errors
///
/// Returns an error if the tables are in such a schema, or if the server fails.
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
/// Returns an error if there is such a table, or if the server fails.
pub async fn check_rows(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let ours: Vec<_> =
        TABLES.iter().map(|table| format!("to_regclass('{}')", table.name)).collect();
    let sql = format!(
        "SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
         WHERE row_security_active(oid) AND oid IN ({})",
        ours.join(", ")
    );
    let guarded: Option<String> = db.fetch_one(AssertSqlSafe(sql)).await?.try_get(0)?;
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

/// Adds the fix to the error of a migration that this role is not allowed to apply.
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
            format!("{cause}; run `{} migrate` as the role that owns the tables", program::name())
                .into(),
        ),
        _ => error,
    }
}
