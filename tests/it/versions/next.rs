//! What the next version might add to the schema: as much as the rules allow.

use rocket_login::Migrations;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// The variable with which the tests of a suite run on the schema of the next version.
pub const VARIABLE: &str = "TEST_NEXT_SCHEMA";

const VERSION: i64 = 20991231000001;

/// Columns for all tables, an index and a table.
macro_rules! columns {
    ($after:literal) => {
        concat!(
            "ALTER TABLE users ADD COLUMN nickname TEXT;
             ALTER TABLE users ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE sessions ADD COLUMN nickname TEXT;
             ALTER TABLE sessions ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_tokens ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_mails ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_devices ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_events ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_muted_notices ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_throttle ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_done ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_factors ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_recovery_codes ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_challenges ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_pending ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE login_identities ADD COLUMN score INTEGER NOT NULL DEFAULT 0;
             CREATE INDEX IF NOT EXISTS sessions_score_idx ON sessions (score);
             CREATE TABLE login_providers (
                 user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
                 kind    TEXT   NOT NULL
             );
             CREATE INDEX login_providers_user_id_idx ON login_providers (user_id);",
            $after
        )
    };
}

pub const SQLITE: &str = columns!("");

pub const POSTGRES: &str = columns!(
    "DROP TRIGGER login_user_changed ON users;
     CREATE TRIGGER login_user_changed AFTER UPDATE ON users FOR EACH ROW
     WHEN (OLD.id <> NEW.id OR OLD.email <> NEW.email OR OLD.created_at <> NEW.created_at
           OR OLD.verified_at IS DISTINCT FROM NEW.verified_at
           OR OLD.disabled_at IS DISTINCT FROM NEW.disabled_at
           OR OLD.session_generation <> NEW.session_generation OR OLD.roles <> NEW.roles
           OR OLD.has_factor <> NEW.has_factor
           OR OLD.nickname IS DISTINCT FROM NEW.nickname)
     EXECUTE FUNCTION login_sessions_unclear();
     ALTER TABLE users ENABLE ALWAYS TRIGGER login_user_changed;"
);

/// Returns the migration of the next version. It runs as an application's.
pub fn migrations() -> Migrations {
    Migrations::new().add_each(VERSION, "next", SQLITE, POSTGRES)
}

/// Names the migration as ours are named, so that this program finds a newer version's.
pub async fn call_ours(url: &str) {
    sqlx::any::install_default_drivers();
    let mut db = sqlx::AnyConnection::connect(url).await.unwrap();
    let name = "UPDATE _sqlx_migrations SET description = 'rocket login next' WHERE version = ";
    let named = db.execute(AssertSqlSafe(format!("{name}{VERSION}"))).await.unwrap();
    assert_eq!(named.rows_affected(), 1);
    db.close().await.unwrap();
}
