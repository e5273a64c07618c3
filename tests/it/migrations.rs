//! The migrations and the schema.

use rocket::futures::future::join_all;
use rocket_login::config::DatabaseConfig;
use rocket_login::db::Pool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::database::{self, pick};
use crate::support::TestApp;

/// Reads the migrations as `sqlx migrate run` does.
async fn migrator() -> Migrator {
    Migrator::new(std::path::Path::new("migrations")).await.unwrap()
}

#[rocket::async_test]
async fn a_second_start_applies_no_migration_again() {
    let app = TestApp::new().await;
    let applied = app.count("SELECT count(*) FROM _sqlx_migrations").await;
    let app = app.restarted(|figment| figment).await;
    assert_eq!(app.count("SELECT count(*) FROM _sqlx_migrations").await, applied);
}

#[rocket::async_test]
async fn sqlx_migrate_can_run_after_the_site() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    migrator().await.run(&mut app.db().await).await.unwrap();
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn sqlx_migrate_can_run_before_the_site() {
    let app = TestApp::new().await;
    let path = app.dir.path().join("login.db");
    let app = app
        .restarted_after(async || {
            std::fs::remove_file(&path).unwrap();
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let mut db = SqliteConnection::connect_with(&options).await.unwrap();
            migrator().await.run(&mut db).await.unwrap();
            db.close().await.unwrap();
        })
        .await;
    assert!(app.registered("ada@example.org").await.is_logged_in().await);
}

#[rocket::async_test]
async fn several_sites_can_start_on_an_empty_file_at_once() {
    let dir = tempfile::TempDir::new().unwrap();
    let starts = (0..5).map(|_| {
        rocket::custom(crate::support::figment(&dir)).attach(rocket_login::stage()).ignite()
    });
    for ignited in join_all(starts).await {
        ignited.expect("every site starts");
    }
}

#[rocket::async_test]
async fn an_applications_own_migrations_are_ignored() {
    let app = TestApp::new().await;
    app.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1, 'notes', TRUE, x'00', 0)",
    )
    .await;
    let app = app.restarted(|figment| figment).await;
    app.visitor().get("/").await.assert_status(200);
}

#[rocket::async_test]
async fn every_table_is_strict() {
    let app = TestApp::new().await;
    let loose = "SELECT count(*) FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table' AND NOT strict
           AND name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations'";
    assert_eq!(app.count(loose).await, 0);
}

#[rocket::async_test]
async fn the_email_column_is_unique_regardless_of_case() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    let insert =
        "INSERT INTO users (email, password_hash, created_at) VALUES ('ADA@Example.ORG', '', 0)";
    let error = sqlx::query(insert).execute(&mut app.db().await).await.unwrap_err();
    let name = pick("UNIQUE constraint failed: users.email", "\"users_email_key\"");
    assert!(error.to_string().contains(name), "{error}");
}

#[rocket::async_test]
async fn every_look_up_has_an_index() {
    let app = TestApp::new().await;
    for sql in [
        "EXPLAIN QUERY PLAN SELECT * FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.id = x'00' AND s.expires_at > 0",
        "EXPLAIN QUERY PLAN SELECT * FROM users WHERE lower(email) = 'a'",
        "EXPLAIN QUERY PLAN SELECT * FROM login_tokens WHERE lower(email) = 'a'",
        "EXPLAIN QUERY PLAN DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= 0 ORDER BY expires_at LIMIT 100)",
        "EXPLAIN QUERY PLAN DELETE FROM sessions WHERE user_id = 1",
        "EXPLAIN QUERY PLAN SELECT count(*) FROM sessions WHERE user_id = 1 AND generation = 0",
        "EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE user_id = 1 AND expires_at > 0 AND generation >= (SELECT session_generation FROM users WHERE id = 1)",
        "EXPLAIN QUERY PLAN SELECT id FROM users WHERE has_ended_sessions LIMIT 100",
        "EXPLAIN QUERY PLAN SELECT u.id, (SELECT count(*) FROM sessions s WHERE s.user_id = u.id AND s.expires_at > 0 AND s.generation >= u.session_generation), (SELECT count(*) FROM login_events e WHERE e.user_id = u.id AND e.kind = 'log_in_failed' AND e.id > coalesce((SELECT max(id) FROM login_events WHERE user_id = u.id AND kind IN ('logged_in', 'unlocked')), 0)) FROM users u WHERE lower(u.email) >= 'a' AND lower(u.email) < 'b' AND (u.disabled_at IS NOT NULL OR NOT 1) ORDER BY lower(u.email) LIMIT 51",
        "EXPLAIN QUERY PLAN SELECT u.password_changed_at, (SELECT count(*) FROM sessions s WHERE s.user_id = u.id AND s.expires_at > 0 AND s.generation >= u.session_generation AND u.disabled_at IS NULL), (SELECT count(*) FROM login_muted_notices m WHERE m.user_id = u.id) FROM users u WHERE u.id = 1",
        "EXPLAIN QUERY PLAN SELECT kind FROM login_events WHERE user_id = 1 AND id <= 9 ORDER BY id DESC LIMIT 100",
        "EXPLAIN QUERY PLAN UPDATE users SET has_ended_sessions = FALSE WHERE id IN (1, 2) AND NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = users.id AND generation < session_generation)",
        "EXPLAIN QUERY PLAN WITH ended AS (SELECT id, session_generation FROM users WHERE has_ended_sessions) SELECT s.id FROM ended CROSS JOIN sessions s WHERE s.user_id = ended.id AND s.generation < ended.session_generation LIMIT 100",
    ] {
        for row in sqlx::query(sql).fetch_all(&mut app.db().await).await.unwrap() {
            let step: String = row.get("detail");
            // This partial index holds only the users to sweep.
            let is_short = step.contains("users_has_ended_sessions_idx");
            assert!(!step.starts_with("SCAN") || is_short, "{sql}: {step}");
            // A page of accounts is read in the order of the index.
            let is_page = sql.contains("FROM users u WHERE lower");
            assert!(!is_page || !step.contains("TEMP B-TREE"), "{sql}: {step}");
        }
    }
}

#[rocket::async_test]
async fn an_export_looks_its_sessions_up_by_family() {
    let app = TestApp::new().await;
    let plan = "EXPLAIN QUERY PLAN SELECT data FROM sessions WHERE expires_at > 0 AND family IN (x'01', x'02')
                AND (user_id IS NULL OR generation >= (SELECT session_generation FROM users
                     WHERE users.id = sessions.user_id AND users.disabled_at IS NULL))";
    let steps = sqlx::query(plan).fetch_all(&mut app.db().await).await.unwrap();
    let step: String = steps[0].get("detail");
    assert!(step.ends_with("(family=?)"), "{step}");
}

#[rocket::async_test]
async fn the_file_has_a_write_ahead_log_and_incremental_vacuum() {
    let app = TestApp::new().await;
    let mut db = app.db().await;
    let mode: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut db).await.unwrap().get(0);
    assert_eq!(mode, "wal");
    let vacuum: i64 = sqlx::query("PRAGMA auto_vacuum").fetch_one(&mut db).await.unwrap().get(0);
    assert_eq!(vacuum, 2);
}

#[cfg(unix)]
#[rocket::async_test]
async fn only_the_owner_can_read_the_database_file() {
    use std::os::unix::fs::PermissionsExt;

    let app = TestApp::with(|figment| {
        let url: String = figment.extract_inner("databases.login.url").unwrap();
        figment.merge(("databases.login.url", url.replace("login.db", "new/login.db")))
    })
    .await;
    let mode =
        |name: &str| app.dir.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("new"), 0o700);
    assert_eq!(mode("new/login.db"), 0o600);
    assert_eq!(mode("new/login.db-wal"), 0o600);
}

#[cfg(unix)]
#[rocket::async_test]
async fn a_file_made_by_another_tool_loses_read_permission_for_others() {
    use std::os::unix::fs::PermissionsExt;

    let app = TestApp::new().await;
    let path = app.dir.path().join("login.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let app = app.restarted(|figment| figment).await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    app.visitor().get("/readyz").await.assert_status(200);
}

#[rocket::async_test]
async fn an_applications_table_of_the_same_name_stops_the_start_with_a_fix() {
    sqlx::any::install_default_drivers();
    for table in ["users", "sessions", "login_events"] {
        let dir = tempfile::TempDir::new().unwrap();
        let url = database::url(&dir);
        let made = format!("{url}{}", pick("?mode=rwc", ""));
        let mut theirs = AnyConnection::connect(&made).await.unwrap();
        let table_of_theirs = format!("CREATE TABLE {table} (name TEXT)");
        sqlx::query(AssertSqlSafe(table_of_theirs)).execute(&mut theirs).await.unwrap();

        let db = Pool::open(&DatabaseConfig::parse(&url).unwrap()).await.unwrap();
        for _ in 0..2 {
            let refused = db.migrate().await.unwrap_err().to_string();
            let fix = pick("another file", "CREATE SCHEMA login");
            assert!(refused.contains(table) && refused.contains(fix), "{refused}");
            assert!(!refused.contains(['\n', '\t']), "{refused}");
        }

        // No migration has created a table, not even an earlier one.
        let tables = pick(database::TABLES[0], database::TABLES[1]);
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut theirs).await.unwrap();
        assert_eq!(tables, [table]);
    }
}
