//! PostgreSQL as hosters set it up: encodings, collations, roles, schemas, and changes that
//! bypass the triggers.

use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use rocket::tokio::net::{TcpListener, UnixStream};
use rocket::tokio::{self, time::sleep};
use rocket_db_pools::Database;
use rocket_login::config::DatabaseConfig;
use rocket_login::db::Pool;
use rocket_login::sqlx;
use rocket_login::{Db, Migrations};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use tempfile::TempDir;

use crate::kept::{instance, until_dead, until_kept, while_old};
use crate::postgres::{cluster, pooler, same_browser, until};
use crate::servers::{Cluster, is_installed, is_installed_with};
use crate::support::{TestApp, Visitor};

const ADA: &str = "ada@example.org";

/// The triggers as the migrations leave them.
const ENABLE: &str = "
    ALTER TABLE sessions ENABLE ALWAYS TRIGGER login_session_changed,
        ENABLE ALWAYS TRIGGER login_sessions_ended, ENABLE ALWAYS TRIGGER login_sessions_unclear,
        ENABLE REPLICA TRIGGER login_session_replicated;
    ALTER TABLE users ENABLE ALWAYS TRIGGER login_user_changed,
        ENABLE ALWAYS TRIGGER login_user_deleted;";

/// The address of the database `name` for the role `role`.
fn url(cluster: &Cluster, role: &str, name: &str) -> String {
    format!("postgres://{role}@localhost/{name}?host={}", cluster.socket().display())
}

/// Starts an instance without the session cache.
async fn site(url: String) -> TestApp {
    TestApp::with(|f| f.merge(("databases.login.url", url)).merge(("session.cache", false))).await
}

/// Runs `migrate` on `url`, which must fail with one line, and returns that line.
fn refusal(url: &str) -> String {
    let dir = TempDir::new().unwrap();
    let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}")).arg("migrate");
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// Asserts that the site works: signs up, uses the session, logs out and in.
async fn assert_works(app: &TestApp, email: &str) {
    let ada = app.registered(email).await;
    assert!(ada.is_logged_in().await);
    ada.with_session(async |session| {
        session.set("basket", "tea \\ 'x' \u{1f375} ß").await.unwrap();
        assert_eq!(session.get::<String>("basket").unwrap().unwrap(), "tea \\ 'x' \u{1f375} ß");
    })
    .await;
    ada.log_out().await.assert_redirect("/");
    assert!(!ada.is_logged_in().await);
    app.visitor().log_in(&email.to_uppercase()).await.assert_redirect("/account");
    assert_taken(app, &email.to_uppercase()).await;
}

/// Asserts that a visitor without the password cannot sign up with `email`.
async fn assert_taken(app: &TestApp, email: &str) {
    let fields = [("email", email), ("password", "another horse battery")];
    app.visitor().post("/register", &fields).await.assert_status(422);
}

/// Makes `change` and asserts that the session ends within a second.
async fn assert_told(cluster: &Cluster, ada: &Visitor<'_>, change: &str) {
    until_kept(cluster, ada).await;
    cluster.sql("site", change);
    while_old(change, async || ada.is_logged_in().await).await;
}

#[rocket::async_test]
async fn a_change_that_bypasses_the_triggers_is_noticed_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let past_triggers = |change: &str| {
        format!(
            "BEGIN; ALTER TABLE sessions DISABLE TRIGGER ALL; ALTER TABLE users DISABLE TRIGGER ALL;
             {change}; ALTER TABLE sessions ENABLE TRIGGER ALL; ALTER TABLE users ENABLE TRIGGER ALL;
             {ENABLE} COMMIT"
        )
    };
    let replica = |change: &str| format!("SET session_replication_role = replica; {change}");
    let changes = [
        "UPDATE users SET disabled_at = 1".into(),
        "UPDATE sessions SET generation = -1".into(),
        replica("UPDATE users SET disabled_at = 1"),
        replica("UPDATE users SET session_generation = session_generation + 1"),
        replica("DELETE FROM sessions"),
        replica("UPDATE sessions SET expires_at = 1"),
        past_triggers("DELETE FROM sessions"),
        past_triggers("UPDATE users SET disabled_at = 1"),
        "DO $do$ DECLARE definition TEXT := pg_get_functiondef('login_sessions_ended'::regproc);
         BEGIN
             CREATE OR REPLACE FUNCTION login_sessions_ended() RETURNS TRIGGER LANGUAGE plpgsql
             AS 'BEGIN RETURN NULL; END';
             DELETE FROM sessions;
             EXECUTE definition;
         END $do$"
            .into(),
        // Foreign keys are not enforced here, so the rows of sessions stay.
        replica("DELETE FROM users"),
    ];
    app.registered(ADA).await;
    for change in changes {
        let ada = app.visitor();
        ada.log_in(ADA).await.assert_redirect("/account");
        assert_told(&cluster, &ada, &change).await;
        cluster.sql("site", "UPDATE users SET disabled_at = NULL");
    }
}

#[rocket::async_test]
async fn the_cache_is_not_used_while_a_trigger_is_disabled() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    for off in [
        "ALTER TABLE sessions DISABLE TRIGGER ALL",
        "ALTER TABLE users DISABLE TRIGGER login_user_changed",
        // As `pg_restore --disable-triggers` leaves them.
        "ALTER TABLE sessions DISABLE TRIGGER ALL; ALTER TABLE sessions ENABLE TRIGGER ALL",
    ] {
        until_kept(&cluster, &ada).await;
        cluster.sql("site", off);
        let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
        let mut tx = other.begin().await.unwrap();
        tx.execute("LOCK TABLE sessions").await.unwrap();
        while_old(off, async || ada.get("/").await.status.code == 200).await;
        tx.rollback().await.unwrap();
        cluster.sql("site", ENABLE);
    }
    until_kept(&cluster, &ada).await;
}

#[rocket::async_test]
async fn a_change_by_logical_replication_ends_the_session_as_well() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::with(&["fsync=off", "listen_addresses=", "wal_level=logical"]);
    for database in ["site", "source"] {
        cluster.sql("postgres", &format!("CREATE DATABASE {database}"));
    }
    let (app, source) = (instance(&cluster).await, site(cluster.url("source")).await);
    cluster.sql("source", "CREATE PUBLICATION logins FOR TABLE users, sessions");
    cluster.sql("source", "SELECT pg_create_logical_replication_slot('logins', 'pgoutput')");
    cluster.sql(
        "site",
        &format!(
            "CREATE SUBSCRIPTION logins CONNECTION 'host=''{}'' dbname=source user=postgres'
             PUBLICATION logins WITH (create_slot = false, copy_data = false)",
            cluster.socket().display()
        ),
    );
    let until_replicated = async |sql: &str| until(&cluster, 20, sql).await;

    let ada = source.registered(ADA).await;
    for (change, is_made) in [
        ("UPDATE users SET disabled_at = 1", "SELECT disabled_at IS NOT NULL FROM users"),
        ("DELETE FROM sessions", "SELECT count(*) = 0 FROM sessions"),
    ] {
        until_replicated("SELECT count(*) = 1 FROM sessions").await;
        let there = same_browser(&app, &ada);
        until_kept(&cluster, &there).await;
        cluster.sql("source", change);
        until_replicated(is_made).await;
        until_dead(&there).await;
        cluster.sql("source", "UPDATE users SET disabled_at = NULL");
        until_replicated("SELECT disabled_at IS NULL FROM users").await;
    }
    // The server cannot stop while it replicates.
    cluster.sql("site", "ALTER SUBSCRIPTION logins DISABLE");
    cluster.sql("site", "ALTER SUBSCRIPTION logins SET (slot_name = NONE)");
    cluster.sql("site", "DROP SUBSCRIPTION logins");
}

/// Starts a proxy to the server that loses notifications, as a pooler does that assigns a
/// connection to each transaction. Returns its port.
async fn deaf(cluster: &Cluster) -> u16 {
    let socket = cluster.socket().join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (mut far, mut far_write) = UnixStream::connect(&socket).await.unwrap().into_split();
            let (mut near_read, mut near) = near.into_split();
            tokio::spawn(async move { copy(&mut near_read, &mut far_write).await });
            tokio::spawn(async move {
                let mut head = [0; 5];
                while far.read_exact(&mut head).await.is_ok() {
                    let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
                    let mut body = vec![0; length - 4];
                    far.read_exact(&mut body).await.unwrap();
                    let is_notification = head[0] == b'A';
                    let message = [&head[..], &body].concat();
                    if !is_notification && near.write_all(&message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[rocket::async_test]
async fn the_cache_is_not_used_if_notifications_do_not_arrive() {
    let Some(cluster) = cluster() else { return };
    let port = deaf(&cluster).await;
    let url = format!("postgres://postgres@127.0.0.1:{port}/site?sslmode=disable");
    let app = TestApp::with(|f| f.merge(("databases.login.url", url))).await;
    let ada = app.registered(ADA).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert!(ada.is_logged_in().await);
    }
    cluster.sql("site", "DELETE FROM sessions");
    assert!(!ada.is_logged_in().await);
}

/// Starts a cluster with a role `site` that owns the database `hosted`.
fn hosted() -> Option<Cluster> {
    let cluster = cluster()?;
    cluster.sql("postgres", "CREATE ROLE site LOGIN");
    cluster.sql("postgres", "CREATE DATABASE hosted OWNER site");
    Some(cluster)
}

#[rocket::async_test]
async fn the_site_works_with_all_kinds_of_role_and_database_settings() {
    let Some(cluster) = hosted() else { return };
    for (number, whose) in ["ROLE site", "DATABASE hosted"].into_iter().enumerate() {
        for setting in [
            "default_transaction_isolation = serializable",
            "default_transaction_deferrable = on",
            "statement_timeout = 1",
            "lock_timeout = 1",
            "idle_in_transaction_session_timeout = 1",
            "idle_session_timeout = 100",
            "TimeZone = 'Asia/Kolkata'",
            "DateStyle = 'German, DMY'",
            "IntervalStyle = sql_standard",
            "bytea_output = escape",
            "standard_conforming_strings = off",
            "synchronous_commit = off",
            "client_min_messages = debug5",
            "client_encoding = LATIN1",
            "extra_float_digits = -15",
            "application_name = other",
            "transform_null_equals = on",
        ] {
            cluster.sql("postgres", &format!("ALTER {whose} SET {setting}"));
        }
        let app = site(url(&cluster, "site", "hosted")).await;
        assert_works(&app, &format!("ada{number}@example.org")).await;

        // Connections that idle in the pool stay open.
        let ada = app.registered(&format!("bob{number}@example.org")).await;
        join_all((0..4).map(|_| ada.get("/account/sessions"))).await;
        sleep(Duration::from_millis(500)).await;
        let pages = join_all((0..4).map(|_| ada.get("/account/sessions"))).await;
        assert!(pages.iter().all(|page| page.status.code == 200));

        // A log-out that was answered is on disk.
        let db = Db::fetch(app.client.rocket()).unwrap();
        for (setting, value) in [
            ("synchronous_commit", "on"),
            ("transaction_isolation", "read committed"),
            ("standard_conforming_strings", "on"),
        ] {
            let sql = format!("SELECT current_setting('{setting}')");
            for connection in [&mut db.read().await.unwrap(), &mut *db.write().await.unwrap()] {
                let row = connection.postgres().unwrap().fetch_one(AssertSqlSafe(sql.clone()));
                assert_eq!(row.await.unwrap().get::<String, _>(0), value, "{setting}");
            }
        }
        cluster.sql("postgres", &format!("ALTER {whose} RESET ALL"));
    }
}

#[rocket::async_test]
async fn a_stricter_synchronous_commit_is_kept() {
    let Some(cluster) = hosted() else { return };
    cluster.sql("postgres", "ALTER ROLE site SET synchronous_commit = remote_apply");
    let app = site(url(&cluster, "site", "hosted")).await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    let mut reader = db.read().await.unwrap();
    let row = reader.postgres().unwrap().fetch_one("SELECT current_setting('synchronous_commit')");
    assert_eq!(row.await.unwrap().get::<String, _>(0), "remote_apply");
}

#[rocket::async_test]
async fn session_replication_role_replica_is_refused_at_the_start() {
    let Some(cluster) = cluster() else { return };
    cluster.sql("postgres", "ALTER ROLE postgres SET session_replication_role = replica");
    let said = refusal(&cluster.url("site"));
    assert!(said.contains("ALTER ROLE postgres RESET session_replication_role"), "{said}");
}

#[rocket::async_test]
async fn a_database_is_refused_if_its_encoding_cannot_hold_every_letter() {
    let Some(cluster) = cluster() else { return };
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII"] {
        cluster.sql(
            "postgres",
            &format!("CREATE DATABASE {encoding} ENCODING '{encoding}' TEMPLATE template0"),
        );
    }
    for encoding in ["latin1", "euc_jp"] {
        let said = refusal(&cluster.url(encoding));
        assert!(said.contains("make one with ENCODING 'UTF8'"), "{said}");
        assert!(said.contains(&encoding.to_uppercase()), "{said}");
    }
    let app = site(cluster.url("sql_ascii")).await;
    assert_works(&app, ADA).await;
}

#[rocket::async_test]
async fn addresses_are_compared_alike_under_every_collation() {
    let Some(cluster) = cluster() else { return };
    // In Turkish the lower case of I is not i.
    cluster.sql(
        "postgres",
        "CREATE DATABASE turkish LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' ENCODING 'UTF8'
         TEMPLATE template0",
    );
    let app = site(cluster.url("turkish")).await;
    assert_works(&app, "ali.istanbul@example.org").await;
    assert_taken(&app, "ALI.ISTANBUL@EXAMPLE.ORG").await;
    let twice = "INSERT INTO users (email, password_hash, created_at)
                 VALUES ('ALI.ISTANBUL@example.org', '', 0)";
    let mut db = PgConnection::connect(&cluster.url("turkish")).await.unwrap();
    let refused = db.execute(twice).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().constraint(), Some("users_email_key"));
}

#[rocket::async_test]
async fn the_site_runs_with_a_role_that_may_only_read_and_write_rows() {
    let Some(cluster) = hosted() else { return };
    let owner = url(&cluster, "site", "hosted");
    cluster.sql("postgres", "CREATE ROLE app LOGIN");
    let user = url(&cluster, "app", "hosted");
    // There are no tables yet, and the role may not create them.
    let said = refusal(&user);
    assert!(said.contains("permission denied for schema public"), "{said}");
    assert!(said.contains("run `rocket-login migrate` as the role that owns the tables"), "{said}");

    drop(site(owner).await);
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app";
    cluster.sql("hosted", grant);
    let app = site(user).await;
    assert_works(&app, ADA).await;
    app.registered("bob@example.org").await;
    app.visitor().log_in_with("bob@example.org", "wrong horse battery").await.assert_status(422);
}

/// Runs our migrations and those of an application.
async fn migrate(url: &str, named_statements: bool, own: &Migrations) -> Result<(), String> {
    let figment = Figment::new()
        .merge(("databases.login.url", url))
        .merge(("databases.login.named_statements", named_statements));
    let db = Pool::open(&DatabaseConfig::from_figment(&figment).unwrap()).await.unwrap();
    let done = db.migrate_with(own).await.map_err(|error| error.to_string());
    rocket_db_pools::Pool::close(&db).await;
    done
}

#[rocket::async_test]
async fn a_role_that_may_only_read_and_write_rows_finds_an_applications_migrations_done() {
    let Some(cluster) = hosted() else { return };
    cluster.sql("postgres", "CREATE ROLE app LOGIN");
    let (owner, user) = (url(&cluster, "site", "hosted"), url(&cluster, "app", "hosted"));
    let notes = || Migrations::new().add(1, "notes", "CREATE TABLE notes (text TEXT)");
    migrate(&owner, true, &notes()).await.unwrap();
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app";
    cluster.sql("hosted", grant);
    migrate(&user, true, &notes()).await.unwrap();
    let more = notes().add(2, "tags", "CREATE TABLE tags (text TEXT)");
    let said = migrate(&user, true, &more).await.unwrap_err();
    assert!(said.starts_with("Stage::migrations: "), "{said}");
    assert!(said.contains("permission denied for schema public"), "{said}");
    migrate(&owner, true, &more).await.unwrap();
    migrate(&user, true, &more).await.unwrap();
}

#[rocket::async_test]
async fn an_applications_migrations_run_behind_a_transaction_pooler() {
    if !is_installed_with("pgbouncer") {
        return;
    }
    let Some(cluster) = cluster() else { return };
    let (_pooler, url) = pooler(&cluster, "transaction").await;
    let notes = || Migrations::new().add(1, "notes", "CREATE TABLE notes (text TEXT)");
    let more = notes().add(2, "tags", "CREATE TABLE tags (text TEXT)");
    for own in [notes(), notes(), more] {
        migrate(&url, false, &own).await.unwrap();
    }
    assert_eq!(cluster.sql("site", "SELECT count(*) FROM tags"), "0");
}

#[rocket::async_test]
async fn an_earlier_schema_in_the_search_path_does_not_hide_the_tables() {
    let Some(cluster) = hosted() else { return };
    let hosted = url(&cluster, "site", "hosted");
    let as_owner = |sql: &str| cluster.sql("hosted", &format!("SET ROLE site; {sql}"));
    cluster.sql("hosted", "GRANT CREATE ON SCHEMA public TO site");
    let app = site(hosted.clone()).await;
    app.registered(ADA).await;

    // The search path `"$user", public` now finds this schema first. The site still uses the
    // tables in `public` if there is nothing to migrate.
    as_owner("CREATE SCHEMA site");
    let app = site(hosted.clone()).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    as_owner("DELETE FROM _sqlx_migrations WHERE version > 20261128000000");
    let said = refusal(&hosted);
    assert!(said.contains("the tables are in the schema public"), "{said}");
    // The refusal stays if the schema has another program's migrations.
    as_owner("CREATE TABLE site._sqlx_migrations AS SELECT * FROM public._sqlx_migrations LIMIT 0");
    let said = refusal(&hosted);
    assert!(said.contains("add ?options=-c%20search_path%3Dpublic to the URL"), "{said}");
    assert_eq!(cluster.sql("hosted", "SELECT to_regclass('site.users')"), "");

    // A site in its own schema sees nothing of the other site.
    as_owner("DROP TABLE site._sqlx_migrations");
    let other = site(format!("{hosted}&options=-c%20search_path%3Dsite")).await;
    assert_works(&other, ADA).await;
    assert_eq!(cluster.sql("hosted", "SELECT count(*) FROM public.users"), "1");
}

#[rocket::async_test]
async fn row_level_security_stops_the_site_and_logs_nobody_out() {
    let Some(cluster) = hosted() else { return };
    let hosted = url(&cluster, "site", "hosted");
    let app = site(hosted.clone()).await;
    let ada = app.registered(ADA).await;
    cluster.sql(
        "hosted",
        "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY; ALTER TABLE sessions FORCE ROW LEVEL SECURITY",
    );
    ada.get("/account").await.assert_status(503);
    let said = refusal(&hosted);
    assert!(said.contains("row level security hides rows of sessions from this role"), "{said}");
    cluster.sql("hosted", "ALTER TABLE sessions DISABLE ROW LEVEL SECURITY");
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn row_level_security_is_found_on_each_of_our_tables() {
    let Some(cluster) = hosted() else { return };
    let hosted = url(&cluster, "site", "hosted");
    drop(site(hosted.clone()).await);
    let tables = cluster.sql(
        "hosted",
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
           AND relname <> '_sqlx_migrations'",
    );
    let tables: Vec<_> = tables.split(' ').collect();
    assert!(tables.contains(&"users") && tables.len() > 8, "{tables:?}");
    for table in &tables {
        let guard = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
        cluster.sql("hosted", &format!("ALTER TABLE {table} {guard}"));
    }
    let said = refusal(&hosted);
    let expected = format!("hides rows of {} from this role", tables.join(", "));
    assert!(said.contains(&expected), "{said}");
}

#[rocket::async_test]
async fn a_pooler_in_statement_mode_is_refused_with_one_line() {
    if !is_installed_with("pgbouncer") {
        return;
    }
    let Some(cluster) = cluster() else { return };
    let (_pooler, url) = pooler(&cluster, "statement").await;
    let dir = TempDir::new().unwrap();
    let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let database = format!("{{login={{url=\"{url}\",named_statements=false}}}}");
    let done = command.env("ROCKET_DATABASES", database).arg("migrate").output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && said.lines().count() == 1, "{said}");
    assert!(said.contains("transaction"), "{said}");
}

#[rocket::async_test]
async fn a_log_out_behind_a_pooler_is_on_disk() {
    if !is_installed_with("pgbouncer") {
        return;
    }
    let Some(cluster) = cluster() else { return };
    cluster.sql("postgres", "ALTER ROLE postgres SET synchronous_commit = off");
    let (_pooler, url) = pooler(&cluster, "transaction").await;
    let behind = |f: Figment| {
        let f = f.merge(("databases.login.url", url.clone()));
        f.merge(("databases.login.named_statements", false))
    };
    let app = TestApp::with(behind).await;
    assert_works(&app, ADA).await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    let mut tx = db.write().await.unwrap();
    let row = tx.postgres().unwrap().fetch_one("SELECT current_setting('synchronous_commit')");
    assert_eq!(row.await.unwrap().get::<String, _>(0), "on");
    tx.commit().await.unwrap();
    // The setting is local to the transaction, because the pooler gives the connection to others.
    let options: PgConnectOptions = url.parse().unwrap();
    let mut other = options.extra_float_digits(None).connect().await.unwrap();
    let row = other.fetch_one("SELECT current_setting('synchronous_commit')").await.unwrap();
    assert_eq!(row.get::<String, _>(0), "off");
}
