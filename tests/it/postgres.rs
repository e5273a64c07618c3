//! The site on PostgreSQL: the whole suite, several instances on one database,
//! and a failing server.

use std::process::Command;
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::tokio;
use rocket::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use rocket::tokio::net::{TcpListener, UnixStream};
use rocket::tokio::sync::watch;
use rocket::tokio::time::{sleep, timeout};
use rocket_login::sql::{self, Lock};
use rocket_login::{Database, Db, sqlx};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tempfile::TempDir;

use crate::servers::{
    Cluster, Running, Stop, clean, find, has, is_installed, is_installed_with, unprivileged, write,
};
use crate::support::{Answer, PASSWORD, TestApp, Visitor};
use crate::{factors, passkeys};

const ADA: &str = "ada@example.org";

/// The tests that also run on PostgreSQL: all that concern stored data.
const SUITE: [&str; 24] = [
    "account::",
    "alike::",
    "certified::",
    "cookbook::",
    "embedding::",
    "factors::",
    "hooks::",
    "life::",
    "login::",
    "logout::",
    "mail::",
    "operator::",
    "outage::",
    "passkeys::",
    "programs::",
    "protected::",
    "providers::",
    "register::",
    "roles::",
    "session::",
    "state::",
    "streams::",
    "throttle::",
    "without_password::",
];

/// The modules whose tests want an empty database.
const ON_EMPTY: [&str; 4] = ["commands::", "examples::", "migrations::", "versions::open::"];

/// The tests among them that concern SQLite's file, its PRAGMAs or its plans.
pub const OF_SQLITE: [&str; 28] = [
    "account::verify::the_database_holds_no_link_token_in_clear_text",
    "commands::check_examines_the_database_its_clock_and_its_backup",
    "commands::check_names_each_unsafe_setting",
    // The tests' server is no safe one.
    "commands::check_asks_each_provider_and_says_what_to_register",
    "commands::check_names_a_file_with_a_providers_secret_that_others_can_read",
    "embedding::an_application_can_keep_its_own_tables_beside_ours",
    "embedding::the_sessions_stage_sends_retry_after_with_503",
    "migrations::an_export_looks_its_sessions_up_by_family",
    "migrations::a_file_made_by_another_tool_loses_read_permission_for_others",
    "migrations::an_applications_own_migrations_are_ignored",
    "migrations::every_look_up_has_an_index",
    "migrations::every_table_is_strict",
    "migrations::only_the_owner_can_read_the_database_file",
    "migrations::sqlx_migrate_can_run_after_the_site",
    "migrations::sqlx_migrate_can_run_before_the_site",
    "migrations::the_file_has_a_write_ahead_log_and_incremental_vacuum",
    "outage::a_missing_database_file_stops_writes",
    "outage::a_missing_log_stops_writes",
    "outage::one_readiness_check_answers_all_requests_within_a_second",
    "outage::a_locked_file_stops_writes_but_not_reads",
    "outage::a_replaced_or_ruined_database_file_is_not_ready",
    "outage::a_rollback_by_sqlite_itself_affects_no_later_write",
    "outage::a_write_transaction_holds_the_lock_from_its_start",
    "refusals::a_result_guard_distinguishes_a_refusal_from_an_outage",
    "session::a_sweep_survives_a_locked_file",
    "state::an_unreadable_row_is_deleted_and_the_visitor_starts_a_new_session",
    "state::a_write_without_a_change_does_not_reach_the_database",
    "throttle::the_throttle_table_holds_no_plain_address_and_is_swept",
];

#[rocket::async_test]
async fn the_suite_passes_on_postgresql() {
    if !is_installed() {
        return;
    }

    let cluster = Cluster::start();
    let on_empty = passed(&cluster, &ON_EMPTY);
    // Every new database is a copy of this one. Otherwise each test would run all migrations.
    let url = cluster.url("template1");
    let site = TestApp::with(|figment| figment.merge(("databases.login.url", url))).await;
    site.client.terminate().await;
    let is_left = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'template1'";
    until_of(&cluster, ("postgres", is_left), 60).await;
    let passed = on_empty + passed(&cluster, &SUITE);
    assert!(passed > 500, "{passed}");
}

/// Runs the tests of these modules on databases of the cluster, and returns how many passed.
fn passed(cluster: &Cluster, modules: &[&str]) -> usize {
    let mut suite = clean(std::env::current_exe().unwrap());
    suite.env("TEST_POSTGRES", cluster.socket()).args(modules);
    for name in OF_SQLITE {
        suite.args(["--skip", name]);
    }
    let done = Running::output(suite, "");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let passed = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    passed.unwrap().parse().unwrap()
}

/// Starts an instance on the database `site` of the cluster.
async fn instance(cluster: &Cluster) -> TestApp {
    instance_with(cluster, |figment| figment).await
}

async fn instance_with(cluster: &Cluster, configure: impl FnOnce(Figment) -> Figment) -> TestApp {
    let url = cluster.url("site");
    // Without the cache, the changes of another instance are seen at once. tests/it/kept.rs
    // tests the cache.
    let figment = |figment: Figment| figment.merge(("session.cache", false));
    TestApp::with(|f| configure(figment(f).merge(("databases.login.url", url)))).await
}

/// Starts a cluster with an empty database, if PostgreSQL is installed.
pub fn cluster() -> Option<Cluster> {
    is_installed().then(|| with_database(Cluster::start()))
}

fn with_database(cluster: Cluster) -> Cluster {
    cluster.sql("postgres", "CREATE DATABASE site");
    cluster
}

/// Waits until the query `sql` is true in the database `site`, for `seconds` at most.
pub async fn until(cluster: &Cluster, seconds: u64, sql: &str) {
    until_of(cluster, ("site", sql), seconds).await;
}

async fn until_of(cluster: &Cluster, (database, sql): (&str, &str), seconds: u64) {
    let is_so = async {
        while cluster.sql(database, sql) != "t" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(seconds), is_so).await.expect(sql);
}

/// Returns a visitor of `app` with the session of `other`, as behind a load balancer.
pub fn same_browser<'a>(app: &'a TestApp, other: &Visitor<'_>) -> Visitor<'a> {
    let visitor = app.visitor();
    visitor.set_cookie("session", other.session_cookie());
    visitor
}

#[rocket::async_test]
async fn ten_simultaneous_starts_apply_each_migration_once() {
    let Some(cluster) = cluster() else { return };
    let starts = join_all((0..10).map(|_| instance(&cluster))).await;
    let applied = cluster.sql("site", "SELECT count(*) FROM _sqlx_migrations WHERE success");
    let files = std::fs::read_dir("migrations/postgres").unwrap().count();
    assert_eq!(applied, files.to_string());
    starts[3].registered(ADA).await;
    starts[7].visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn sqlx_migrate_can_run_before_and_after_the_site_on_postgresql() {
    let Some(cluster) = cluster() else { return };
    let migrator = Migrator::new(std::path::Path::new("migrations/postgres")).await.unwrap();
    let mut db = PgConnection::connect(&cluster.url("site")).await.unwrap();
    migrator.run(&mut db).await.unwrap();
    let app = instance(&cluster).await;
    app.registered(ADA).await;
    migrator.run(&mut db).await.unwrap();
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn sqlx_cli_itself_migrates_an_empty_database() {
    let is_there = find("sqlx").is_some_and(|sqlx| {
        let mut info = Command::new(sqlx);
        info.args(["migrate", "info", "--database-url", "postgres://127.0.0.1:1/none"]);
        !String::from_utf8_lossy(&info.output().unwrap().stderr).contains("no driver")
    });
    let Some(cluster) = cluster().filter(|_| has(is_there, "sqlx-cli for PostgreSQL")) else {
        return;
    };
    let migrate = || {
        let mut migrate = Command::new("sqlx");
        migrate.args(["migrate", "run", "--source", "migrations/postgres", "--database-url"]);
        let done = migrate.arg(cluster.url("site")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    migrate();
    let app = instance(&cluster).await;
    app.registered(ADA).await;
    migrate();
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_schema_separates_our_tables_from_others_of_the_same_name() {
    let Some(cluster) = cluster() else { return };
    let sql = |sql: &str| cluster.sql("site", sql);
    sql("CREATE TABLE users (name TEXT); CREATE TABLE sessions (name TEXT); CREATE SCHEMA login");
    let url = format!("{}&options=-c%20search_path%3Dlogin", cluster.url("site"));
    let app = TestApp::with(|f| {
        f.merge(("databases.login.url", url.clone())).merge(("session.cache", true))
    })
    .await;
    let ada = app.registered(ADA).await;
    let in_public = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
                     WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(sql(in_public), "sessions users");
    assert_eq!(sql("SELECT count(*) FROM public.users"), "0");

    // The application's tables refer to ours.
    sql("CREATE TABLE notes (user_id BIGINT REFERENCES login.users (id) ON DELETE CASCADE);
         INSERT INTO notes SELECT id FROM login.users");
    // Another program's change is noticed although its search path is another one.
    assert!(ada.is_logged_in().await);
    sleep(Duration::from_millis(500)).await;
    assert!(ada.is_logged_in().await);
    sql("DELETE FROM login.sessions");
    let start = Instant::now();
    while ada.is_logged_in().await {
        assert!(start.elapsed() < Duration::from_secs(2), "the session is still alive");
        sleep(Duration::from_millis(20)).await;
    }

    // The site starts again, and deleting an account deletes all rows that refer to it.
    let figment = |f: Figment| f.merge(("databases.login.url", url.clone()));
    let app = app.restarted(figment).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    sql("DELETE FROM login.users");
    assert_eq!(sql("SELECT count(*) FROM notes"), "0");
}

#[rocket::async_test]
async fn both_databases_have_the_same_tables_and_columns() {
    let Some(cluster) = cluster() else { return };
    let _app = instance(&cluster).await;
    let postgres = cluster.sql(
        "site",
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'public' ORDER BY 1",
    );
    let mut postgres: Vec<&str> = postgres.lines().collect();
    postgres.sort_unstable();

    let app = TestApp::new().await;
    let dir = app.dir.path().join("login.db").display().to_string();
    let mut db = sqlx::SqliteConnection::connect(&dir).await.unwrap();
    let mut sqlite: Vec<String> = sqlx::query_scalar(
        "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    sqlite.sort_unstable();
    assert_eq!(sqlite, postgres);
    let names = |dir: &str| {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = files.filter(|name| name != "postgres").collect();
        names.sort();
        names
    };
    assert_eq!(names("migrations"), names("migrations/postgres"));
}

#[rocket::async_test]
async fn every_look_up_has_an_index_on_postgresql() {
    let Some(cluster) = cluster() else { return };
    let _app = instance(&cluster).await;
    let mut db = PgConnection::connect(&cluster.url("site")).await.unwrap();
    sqlx::query("SET enable_seqscan = off").execute(&mut db).await.unwrap();
    for sql in [
        "SELECT * FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.id = '' AND s.expires_at > 0",
        "SELECT * FROM users WHERE lower(email) = 'a'",
        "SELECT * FROM login_tokens WHERE lower(email) = 'a'",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= 0 ORDER BY expires_at LIMIT 100)",
        "DELETE FROM sessions WHERE user_id = 1",
        "SELECT count(*) FROM sessions WHERE user_id = 1 AND generation = 0",
        "SELECT id FROM users WHERE has_ended_sessions LIMIT 100",
        "UPDATE users SET has_ended_sessions = FALSE WHERE id IN (1, 2) AND NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = users.id AND generation < session_generation)",
        "WITH ended AS (SELECT id, session_generation FROM users WHERE has_ended_sessions) SELECT s.id FROM ended CROSS JOIN sessions s WHERE s.user_id = ended.id AND s.generation < ended.session_generation LIMIT 100 FOR UPDATE SKIP LOCKED",
        "DELETE FROM login_events WHERE user_id IS NULL AND kind = 'a' AND id <= 1",
        "DELETE FROM login_throttle WHERE account = ''",
    ] {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN {sql}")));
        for row in plan.fetch_all(&mut db).await.unwrap() {
            let step: String = row.get(0);
            assert!(!step.contains("Seq Scan"), "{sql}: {step}");
        }
    }
}

#[rocket::async_test]
async fn each_connection_has_time_limits_at_the_server() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let db: &rocket_login::Db = rocket_login::Database::fetch(app.client.rocket()).unwrap();
    let mut reader = db.read().await.unwrap();
    for (setting, value) in [
        ("statement_timeout", "3s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "rocket-login"),
    ] {
        let row = sqlx::query("SELECT current_setting($1)").bind(setting);
        let row = row.fetch_one(reader.postgres().unwrap()).await.unwrap();
        assert_eq!(row.get::<String, _>(0), value);
    }
}

#[rocket::async_test]
async fn a_session_that_ends_on_one_instance_has_ended_on_all() {
    let Some(cluster) = cluster() else { return };
    let apps = [instance(&cluster).await, instance(&cluster).await, instance(&cluster).await];
    let ada = apps[0].registered(ADA).await;
    for app in &apps {
        assert!(same_browser(app, &ada).is_logged_in().await);
    }
    let elsewhere = [same_browser(&apps[1], &ada), same_browser(&apps[2], &ada)];
    ada.log_out().await.assert_redirect("/");
    for visitor in &elsewhere {
        assert!(!visitor.is_logged_in().await);
    }

    // A new password on one instance ends the sessions on the others.
    let (phone, laptop) = (apps[1].visitor(), apps[2].visitor());
    phone.log_in(ADA).await.assert_redirect("/account");
    laptop.log_in(ADA).await.assert_redirect("/account");
    let fields = [("current_password", PASSWORD), ("new_password", "another horse battery")];
    laptop.post("/account/password", &fields).await.assert_redirect("/account");
    assert!(!phone.is_logged_in().await);
    assert!(laptop.is_logged_in().await);
}

#[rocket::async_test]
async fn attempts_on_several_instances_are_counted_together() {
    let Some(cluster) = cluster() else { return };
    let apps = [instance(&cluster).await, instance(&cluster).await, instance(&cluster).await];
    apps[0].registered(ADA).await;
    let guess = async |app: &TestApp| {
        let body = "email=ada%40example.org&password=wrong+horse+battery";
        app.visitor().post_from(app, "192.0.2.1", "/login", body).await.status.code
    };
    // Ten guesses are free, and forty more may be in progress, on all instances together.
    let guesses = join_all((0..240).map(|number| guess(&apps[number % 3]))).await;
    assert!(guesses.iter().all(|status| matches!(status, 422 | 429)), "{guesses:?}");
    let looked_at = guesses.iter().filter(|status| **status == 422).count();
    assert!((10..=50).contains(&looked_at), "{looked_at}");
    for app in &apps {
        assert_eq!(guess(app).await, 429);
    }
}

#[rocket::async_test]
async fn of_many_uses_of_a_second_factor_on_two_instances_one_logs_in() {
    let Some(cluster) = cluster() else { return };
    let configure = |f: Figment| f.merge(("throttle.enabled", false));
    let apps = [instance_with(&cluster, configure).await, instance_with(&cluster, configure).await];
    let phone = passkeys::phone();
    let ada = factors::confirmed(&apps[0], ADA).await;
    let app = factors::add_app(&apps[0], &ada).await;
    apps[1].advance(30);
    passkeys::add(&ada, &phone, "").await.assert_redirect("/account/security");
    let is_in = |answer: &&Answer| answer.header("location") == Some("/account");

    for code in [app.code(&apps[0]), app.codes[0].clone()] {
        assert_eq!(factors::count_logged_in(&[&apps[0], &apps[1]], &code).await, 1);
    }

    let question = passkeys::options(&apps[0].visitor(), "/login/passkey").await;
    let credential = phone.get(&question);
    let fields = [("credential", credential.as_str())];
    let visitors: Vec<_> = (0..64).map(|number| apps[number % 2].visitor()).collect();
    let uses = visitors.iter().map(|visitor| visitor.post("/login/passkey", &fields));
    assert_eq!(join_all(uses).await.iter().filter(is_in).count(), 1);
}

#[rocket::async_test]
async fn simultaneous_sweeps_delete_each_row_once() {
    let Some(cluster) = cluster() else { return };
    let apps = [instance(&cluster).await, instance(&cluster).await, instance(&cluster).await];
    cluster.sql(
        "site",
        "INSERT INTO sessions (id, family, created_at, last_seen_at, expires_at)
         SELECT sha256(i::text::bytea), sha256(i::text::bytea), 0, 0, 1 FROM generate_series(1, 1500) i",
    );
    let sweeps = apps.iter().map(async |app| {
        let db: &rocket_login::Db = rocket_login::Database::fetch(app.client.rocket()).unwrap();
        rocket_login::testing::sweep(db, &app.clock).await.unwrap()
    });
    let swept: u64 = join_all(sweeps).await.iter().sum();
    // An instance that finds another one sweeping leaves the sweep to it. The sites' own sweeps at
    // their starts may be late, and delete some as well.
    let left: u64 = cluster.sql("site", "SELECT count(*) FROM sessions").parse().unwrap();
    assert!(swept + left <= 1_500, "{swept} + {left}");
    let db: &rocket_login::Db = rocket_login::Database::fetch(apps[0].client.rocket()).unwrap();
    assert!(rocket_login::testing::sweep(db, &apps[0].clock).await.unwrap() <= left);
    until(&cluster, 45, "SELECT count(*) = 0 FROM sessions").await;
}

#[rocket::async_test]
async fn the_operators_commands_work_on_postgresql_beside_the_site() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    let dir = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        command.env("ROCKET_DATABASES", format!("{{login={{url=\"{}\"}}}}", cluster.url("site")));
        let done = command.args(arguments).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(&["user", "list"]);
    assert!(code == Some(0) && said.contains(ADA), "{said}");
    assert_eq!(run(&["session", "revoke", "--all"]).0, Some(0));
    assert!(!ada.is_logged_in().await);

    // `check` finds what is unsafe about the server: a superuser, and `fsync` off.
    let (code, said) = run(&["check", "--offline"]);
    assert!(code == Some(1) && said.contains("logs in as a superuser"), "{said}");
    assert!(said.contains("set fsync to on"), "{said}");
}

#[rocket::async_test]
async fn a_link_used_on_several_instances_at_once_works_once() {
    let Some(cluster) = cluster() else { return };
    let apps = [instance(&cluster).await, instance(&cluster).await, instance(&cluster).await];
    for round in 0..5 {
        let email = format!("ada{round}@example.org");
        apps[0].registered(&email).await;
        apps[1].visitor().post("/reset", &[("email", &email)]).await.assert_status(200);
        let link = apps[2].link(&email, "/reset/").await;
        let uses = join_all((0..9).map(async |number| {
            let password = format!("password number {number}");
            let visitor = apps[number % 3].visitor();
            let answer = visitor.post(&link, &[("new_password", &password)]).await;
            assert!(matches!(answer.status.code, 303 | 404), "{}", answer.status);
            answer.status.code == 303
        }))
        .await;
        assert_eq!(uses.iter().filter(|won| **won).count(), 1, "{uses:?}");
    }
}

#[rocket::async_test]
async fn only_one_of_several_instances_signs_an_address_up() {
    let Some(cluster) = cluster() else { return };
    let apps = [instance(&cluster).await, instance(&cluster).await, instance(&cluster).await];
    for round in 0..5 {
        let email = format!("ada{round}@example.org");
        let sign_ups = (0..9).map(|number| {
            let visitor = apps[number % 3].visitor();
            let email = if number % 2 == 0 { email.clone() } else { email.to_uppercase() };
            // If all had one password, the others would be log-ins.
            let password = format!("password number {number}");
            async move {
                let fields = [("email", &*email), ("password", &*password)];
                visitor.post("/register", &fields).await.status.code
            }
        });
        let statuses = join_all(sign_ups).await;
        assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 422).count(), 8, "{statuses:?}");
    }
}

#[rocket::async_test]
async fn a_wrong_server_address_stops_the_start_with_one_line() {
    let Some(cluster) = cluster() else { return };
    let dir = TempDir::new().unwrap();
    for (url, problem) in [
        (cluster.url("nowhere"), "/nowhere: the server has no such database; create it with"),
        ("postgres://ada:hunter2@127.0.0.1:9/site".into(), "Connection refused"),
    ] {
        let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}"));
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.starts_with("Error: databases.login.url: ") && said.contains(problem),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// Sends requests while `outage` returns true. Returns the status and the duration of each
/// one.
async fn asked_during(
    app: &TestApp,
    ada: &Visitor<'_>,
    mut outage: impl FnMut() -> bool,
) -> Vec<(u16, Duration)> {
    let mut answers = Vec::new();
    while outage() {
        let start = Instant::now();
        let reading = same_browser(app, ada);
        // This page always reads the database.
        let answer = reading.get("/account/sessions").await;
        answers.push((answer.status.code, start.elapsed()));
        match answer.status.code {
            503 => {
                assert!(answer.header("retry-after").is_some());
                // An outage logs nobody out.
                assert_eq!(answer.header("set-cookie"), None);
            }
            status => assert_eq!(status, 200),
        }
        sleep(Duration::from_millis(20)).await;
    }
    answers
}

/// Asserts that everything works again without a restart of the site, and nothing is lost.
async fn assert_recovered(app: &TestApp, ada: &Visitor<'_>) {
    let start = Instant::now();
    while app.visitor().get("/readyz").await.status.code != 200 {
        app.advance(1);
        assert!(start.elapsed() < Duration::from_secs(15), "the site is not ready");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(ada.is_logged_in().await);
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

/// The longest time that an answer may take: the time limits of the pool and of a
/// statement, and some for the machine.
const LONGEST: Duration = Duration::from_millis(4_500);

#[rocket::async_test]
async fn a_restart_of_postgresql_fails_only_the_requests_during_it() {
    let Some(mut cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    for how in [Stop::Fast, Stop::Immediate] {
        cluster.stop(how);
        let down = Instant::now();
        let answers = asked_during(&app, &ada, || down.elapsed() < Duration::from_secs(4)).await;
        assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
        assert!(answers.iter().all(|(_, took)| *took < LONGEST), "{answers:?}");
        app.advance(1);
        app.visitor().get("/readyz").await.assert_status(503);
        app.visitor().get("/healthz").await.assert_status(200);
        cluster.resume();
        assert_recovered(&app, &ada).await;
    }
}

#[rocket::async_test]
async fn a_frozen_server_delays_no_request_for_long() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    cluster.freeze(true);
    let frozen = Instant::now();
    let answers = asked_during(&app, &ada, || frozen.elapsed() < Duration::from_secs(6)).await;
    cluster.freeze(false);
    assert!(answers.len() > 1, "{answers:?}");
    assert!(answers.iter().all(|(_, took)| *took < LONGEST), "{answers:?}");
    assert_recovered(&app, &ada).await;
}

#[rocket::async_test]
async fn killed_connections_are_replaced() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    for _ in 0..5 {
        join_all((0..8).map(|_| ada.get("/account/sessions"))).await;
        cluster.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'site'",
        );
        let mut once = 0;
        // Each connection fails at most once.
        let answers = asked_during(&app, &ada, || {
            once += 1;
            once <= 20
        })
        .await;
        let failed = answers.iter().filter(|(status, _)| *status == 503).count();
        assert!(failed <= 9, "{answers:?}");
        assert_eq!(answers.last().unwrap().0, 200);
    }
    assert_recovered(&app, &ada).await;
}

#[rocket::async_test]
async fn a_read_only_server_refuses_writes_and_logs_nobody_out() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    let set = |value: &str| {
        let sql = format!("ALTER DATABASE site SET default_transaction_read_only = {value}");
        cluster.sql("postgres", &sql);
        cluster.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'site'",
        );
    };
    set("on");
    sleep(Duration::from_millis(1_100)).await;
    assert!(ada.is_logged_in().await);
    app.visitor().get("/readyz").await.assert_status(503);
    let refused = app.visitor().log_in(ADA).await;
    refused.assert_status(503);
    assert!(refused.header("retry-after").is_some());
    let refused = ada.log_out().await;
    refused.assert_status(503);
    assert!(ada.has_cookie("session"));
    set("off");
    sleep(Duration::from_millis(1_100)).await;
    assert_recovered(&app, &ada).await;
}

#[rocket::async_test]
async fn a_server_that_has_become_a_standby_is_not_used() {
    let Some(mut cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    cluster.stop(Stop::Fast);
    // A standby might still have a session that has since ended on the new primary.
    let signal = cluster.data().join("standby.signal");
    write(&signal, "");
    cluster.resume();
    // The first request may fail only because of its old connection, so send ten.
    for _ in 0..10 {
        ada.get("/account").await.assert_status(503);
    }
    app.visitor().get("/readyz").await.assert_status(503);
    let dir = TempDir::new().unwrap();
    let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    command.env("ROCKET_DATABASES", format!("{{login={{url=\"{}\"}}}}", cluster.url("site")));
    let said = command.arg("migrate").output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("the server is a standby; name the primary"), "{said}");
    cluster.stop(Stop::Fast);
    std::fs::remove_file(signal).unwrap();
    cluster.resume();
    assert_recovered(&app, &ada).await;
}

#[rocket::async_test]
async fn parallel_sign_ups_by_mail_leave_one_link_per_address() {
    let Some(cluster) = cluster() else { return };
    let confirm = |f: Figment| f.merge(("accounts.registration", "confirm"));
    let apps = [instance_with(&cluster, confirm).await, instance_with(&cluster, confirm).await];
    for round in 0..10 {
        let email = format!("ada{round}@example.org");
        let sign_ups = (0..8).map(|number| {
            let (visitor, email) = (apps[number % 2].visitor(), email.clone());
            // If all had one password, the others would be log-ins.
            let password = format!("password number {number}");
            async move {
                let fields = [("email", &*email), ("password", &*password)];
                visitor.post("/register", &fields).await.status.code
            }
        });
        let statuses = join_all(sign_ups).await;
        assert!(statuses.iter().all(|status| *status == 303), "{statuses:?}");
        let links = "SELECT count(*) FROM login_tokens WHERE lower(email) = ";
        assert_eq!(cluster.sql("site", &format!("{links}'{email}'")), "1");
    }
}

#[rocket::async_test]
async fn a_lock_is_taken_in_a_write_transaction_and_nowhere_else() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    app.registered(ADA).await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    let ada = |lock| sql::query_scalar("SELECT id FROM users WHERE id = 1 $lock").locking(lock);
    let is_found = async |lock, db: &mut rocket_login::Connection| {
        let found: Option<i64> = ada(lock).fetch_optional(db).await.unwrap();
        found.is_some()
    };

    let mut reader = db.read().await.unwrap();
    assert!(is_found(Lock::Update, &mut reader).await);
    let (mut one, mut other) = (db.write().await.unwrap(), db.write().await.unwrap());
    assert!(is_found(Lock::NoKeyUpdate, &mut one).await);
    assert!(is_found(Lock::NoKeyUpdate, &mut reader).await);
    assert!(is_found(Lock::KeyShare, &mut other).await);
    assert!(!is_found(Lock::NoKeyUpdateSkipLocked, &mut other).await);
    assert!(!is_found(Lock::UpdateSkipLocked, &mut other).await);
    one.commit().await.unwrap();
    assert!(is_found(Lock::UpdateSkipLocked, &mut other).await);
}

#[rocket::async_test]
async fn the_sweep_deletes_ended_sessions_of_a_user_who_is_locked() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in(ADA).await.assert_redirect("/account");
    ada.post("/account/sessions/revoke-others", &[]).await.assert_redirect("/account/sessions");

    let db = Db::fetch(app.client.rocket()).unwrap();
    let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("SELECT * FROM users FOR NO KEY UPDATE").fetch_all(&mut *tx).await.unwrap();
    // The site's own sweep at its start may be late, and delete the row as well.
    assert!(rocket_login::testing::sweep(db, &app.clock).await.unwrap() <= 1);
    until(&cluster, 45, "SELECT count(*) = 1 FROM sessions").await;
}

#[rocket::async_test]
async fn a_row_locked_by_another_program_is_not_awaited_for_long() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("SELECT * FROM users FOR UPDATE").fetch_all(&mut *tx).await.unwrap();
    let start = Instant::now();
    app.visitor().log_in(ADA).await.assert_status(503);
    assert!(start.elapsed() < LONGEST, "{:?}", start.elapsed());
    assert!(ada.is_logged_in().await);
    tx.rollback().await.unwrap();
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_servers_certificate_is_checked() {
    if !is_installed() {
        return;
    }

    let keys = crate::servers::folder();
    let path = |name: &str| keys.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(path("server.crt"), &made.cert.pem());
    write(path("other.crt"), &other.cert.pem());
    write(path("server.key"), &made.signing_key.serialize_pem());
    // The server refuses a key that others can read.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path("server.key"), mode).unwrap();
    let port = crate::servers::free_port();
    let cluster = with_database(Cluster::with(&[
        "fsync=off",
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
        "ssl=on",
        &format!("ssl_cert_file={}", path("server.crt")),
        &format!("ssl_key_file={}", path("server.key")),
    ]));

    let dir = TempDir::new().unwrap();
    let migrate = |parameters: &str| {
        let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        let url = format!("postgres://postgres@localhost:{port}/site?{parameters}");
        command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}")).arg("migrate");
        let done = command.output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let root = |name: &str| format!("sslrootcert={}", path(name));
    for mode in ["verify-full", "verify-ca"] {
        let (done, said) = migrate(&format!("sslmode={mode}&{}", root("server.crt")));
        assert!(done, "{mode}: {said}");
        let (done, said) = migrate(&format!("sslmode={mode}&{}", root("other.crt")));
        assert!(!done && said.lines().count() == 1, "{mode}: {said}");
    }
    for mode in ["require", "prefer", "disable"] {
        let (done, said) = migrate(&format!("sslmode={mode}"));
        assert!(done, "{mode}: {said}");
    }
    drop(cluster);
}

/// Starts a pooler in front of the database `site`, and returns it with its address.
pub async fn pooler(cluster: &Cluster, mode: &str) -> (Running, String) {
    let socket = cluster.socket().display();
    let settings = cluster.socket().join("pgbouncer.ini");
    let ini = format!(
        "[databases]\nsite = host='{socket}' dbname=site user=postgres\n[pgbouncer]\n\
         unix_socket_dir = {socket}\nlisten_port = 6432\nauth_type = any\n\
         pool_mode = {mode}\ndefault_pool_size = 3\n"
    );
    write(&settings, &ini);
    let mut pooler = unprivileged(clean(find("pgbouncer").unwrap()));
    pooler.arg("-q").arg(&settings);
    let mut pooler = Running::start(pooler);
    while !cluster.socket().join(".s.PGSQL.6432").exists() {
        assert!(!pooler.has_ended(), "the pooler has ended");
        sleep(Duration::from_millis(10)).await;
    }
    (pooler, format!("postgres://postgres@localhost:6432/site?host={socket}"))
}

#[rocket::async_test]
async fn the_site_works_behind_a_transaction_pooler() {
    if !is_installed_with("pgbouncer") {
        return;
    }

    let cluster = with_database(Cluster::start());
    let (_pooler, url) = pooler(&cluster, "transaction").await;
    let behind = |f: Figment| {
        f.merge(("databases.login.url", url)).merge(("databases.login.named_statements", false))
    };
    let app = TestApp::with(behind).await;
    let ada = app.registered(ADA).await;
    // More requests at once than the pooler or the site has connections.
    for _ in 0..5 {
        let visitors: Vec<_> = (0..20).map(|_| app.visitor()).collect();
        let log_ins = join_all(visitors.iter().map(|visitor| visitor.log_in(ADA))).await;
        assert!(log_ins.iter().all(|answer| answer.status.code == 303));
        let pages = join_all((0..50).map(|_| ada.get("/account"))).await;
        assert!(pages.iter().all(|answer| answer.status.code == 200));
        join_all(visitors.iter().map(|visitor| visitor.log_out())).await;
    }
    assert_eq!(cluster.sql("site", "SELECT count(*) FROM sessions"), "1");
}

/// Makes the file of a stopped site with rows in every table. Returns its folder and Ada's
/// session cookie.
async fn lived_in() -> (TempDir, String) {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.with_session(async |session| session.set("basket", "tea\u{0}\u{1f375}").await.unwrap())
        .await;
    for number in 0..5 {
        app.registered(&format!("user{number}@example.org")).await;
    }
    app.visitor().log_in_with(ADA, "wrong horse battery").await.assert_status(422);
    app.visitor().post("/reset", &[("email", "user1@example.org")]).await.assert_status(200);
    let notices = ada.post("/account/notices", &[("new_device", "on")]).await;
    notices.assert_redirect("/account/notices");
    app.execute(
        "INSERT INTO login_identities (id, user_id, issuer, subject, provider, created_at)
         VALUES (7, 1, 'https://provider.example', '1001', 'acme', 1)",
    )
    .await;
    app.execute("UPDATE sessions SET identity_id = 7, provider_sid = 'sid' WHERE user_id = 1")
        .await;
    // The copy must not give the number of a deleted user to another one.
    app.execute("PRAGMA foreign_keys = ON; DELETE FROM users WHERE id = 6").await;
    let cookie = ada.session_cookie();
    (stop(app).await, cookie)
}

/// Stops a site and keeps its folder.
async fn stop(app: TestApp) -> TempDir {
    let TestApp { client, dir, .. } = app;
    client.terminate().await;
    dir
}

fn copy(from: &str, to: &str) -> (bool, String) {
    run_copy(&[from, to], &[])
}

fn run_copy([from, to]: &[&str; 2], more: &[&str]) -> (bool, String) {
    let dir = TempDir::new().unwrap();
    let done = crate::servers::program::command(env!("CARGO_BIN_EXE_rocket-login"), &dir)
        .args(["copy", "--from", from, "--to", to])
        .args(more)
        .env("ROCKET_PROFILE", "debug")
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

fn file(dir: &TempDir) -> String {
    format!("sqlite:{}", dir.path().join("login.db").display())
}

#[rocket::async_test]
async fn users_stay_logged_in_after_a_copy_to_postgresql_and_back() {
    let Some(cluster) = cluster() else { return };
    let (old, cookie) = lived_in().await;
    let (done, said) = copy(&file(&old), &cluster.url("site"));
    assert!(done, "{said}");
    for line in ["users: 5 rows, the same in both", "sessions: 5 rows", "set databases.login.url"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(cluster.sql("site", "SELECT count(*) FROM login_muted_notices") != "0");
    let begun = "SELECT i.subject || s.provider_sid FROM login_identities i, sessions s
                 WHERE s.identity_id = i.id";
    assert_eq!(cluster.sql("site", begun), "1001sid");

    let moved = instance(&cluster).await;
    let ada = moved.visitor();
    ada.set_cookie("session", cookie.clone());
    assert!(ada.is_logged_in().await);
    ada.with_session(async |session| {
        let basket = session.get::<String>("basket").unwrap();
        assert_eq!(basket.as_deref(), Some("tea\u{0}\u{1f375}"));
    })
    .await;
    let link = moved.link("user1@example.org", "/reset/").await;
    moved.visitor().get(&link).await.assert_status(200);
    moved.registered("new@example.org").await;
    assert_eq!(cluster.sql("site", "SELECT max(id) FROM users"), "7");

    // Copy it back into a file.
    let dir = TempDir::new().unwrap();
    let back = format!("sqlite:{}", dir.path().join("back.db").display());
    let (done, said) = copy(&cluster.url("site"), &back);
    assert!(!done && said.contains("is in use by rocket-login (pid "), "{said}");
    assert!(!dir.path().join("back.db").exists());
    stop(moved).await;
    let (done, said) = copy(&cluster.url("site"), &back);
    assert!(done, "{said}");
    let home = TestApp::with(|f| f.merge(("databases.login.url", back))).await;
    let ada = home.visitor();
    ada.set_cookie("session", cookie);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn the_next_copy_completes_a_killed_one() {
    let Some(cluster) = cluster() else { return };
    let (old, _) = lived_in().await;
    let mut db = sqlx::SqliteConnection::connect(&file(&old)).await.unwrap();
    let insert = sqlx::raw_sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO sessions (id, family, created_at, last_seen_at, expires_at)
         SELECT randomblob(32), randomblob(32), i, i, 2000000000 FROM n",
    );
    insert.execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let dir = TempDir::new().unwrap();
    let mut killed = crate::servers::program::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    killed.args(["copy", "--from", &file(&old), "--to", &cluster.url("site")]);
    let killed = Running::start(killed);
    let copied = || -> u32 {
        let tables =
            cluster.sql("site", "SELECT count(*) FROM pg_tables WHERE tablename = 'sessions'");
        if tables == "0" {
            0
        } else {
            cluster.sql("site", "SELECT count(*) FROM sessions").parse().unwrap()
        }
    };
    while copied() < 2_000 {
        sleep(Duration::from_millis(5)).await;
    }
    drop(killed);
    let before = copied();
    assert!(before < 60_000, "the copy was too fast to be killed");
    let (done, said) = copy(&file(&old), &cluster.url("site"));
    assert!(done && said.contains("sessions: 60005 rows"), "{said}");

    // A third copy has nothing left to do and doubles nothing.
    let (done, said) = copy(&file(&old), &cluster.url("site"));
    assert!(done && said.contains("sessions: 60005 rows"), "{said}");
}

#[rocket::async_test]
async fn a_copy_never_merges_two_sites() {
    let Some(cluster) = cluster() else { return };
    let (old, _) = lived_in().await;
    let other = instance(&cluster).await;
    other.registered("somebody@example.org").await;
    let (done, said) = copy(&file(&old), &cluster.url("site"));
    assert!(!done && said.contains("--to: users has other rows already"), "{said}");
    assert_eq!(
        cluster.sql("site", "SELECT string_agg(email, ',') FROM users"),
        "somebody@example.org"
    );

    let (done, said) = copy(&file(&old), "postgres://ada:hunter2@localhost:x/y");
    assert!(!done && said.contains("--to: cannot be read") && !said.contains("hunter2"), "{said}");
    let (done, said) = copy("sqlite:nowhere.db", &cluster.url("site"));
    assert!(!done && said.contains("--from: there is no rocket-login database at "), "{said}");
    let (done, said) = copy(&file(&old), &file(&old));
    assert!(!done && said.contains("are the same"), "{said}");
}

#[rocket::async_test]
async fn no_site_can_start_on_a_server_while_it_is_copied() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    app.registered(ADA).await;
    // A site without requests also holds its lock.
    let sessions =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'";
    assert_ne!(cluster.sql("site", sessions), "0");
    stop(app).await;

    // Block the target, so that the copy waits to migrate it.
    cluster.sql("postgres", "CREATE DATABASE other");
    let mut held = PgConnection::connect(&cluster.url("other")).await.unwrap();
    let hold = sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
             installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL,
             checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL);
         BEGIN; LOCK TABLE _sqlx_migrations IN SHARE MODE",
    );
    hold.execute(&mut held).await.unwrap();
    let dir = TempDir::new().unwrap();
    let mut copying = crate::servers::program::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    copying.args(["copy", "--from", &cluster.url("site"), "--to", &cluster.url("other")]);
    let copying = Running::start(copying);
    let locked = "SELECT count(*) FROM pg_locks
                  WHERE mode = 'ShareLock' AND granted AND relation = 'users'::regclass";
    let start = Instant::now();
    while cluster.sql("site", locked) == "0" {
        assert!(start.elapsed() < Duration::from_secs(20), "the copy locks nothing");
        sleep(Duration::from_millis(10)).await;
    }
    let write = "SET lock_timeout = '50ms'; DELETE FROM sessions";
    assert!(cluster.try_sql("site", write).unwrap_err().contains("lock timeout"));
    let config = rocket_login::config::DatabaseConfig::parse(&cluster.url("site")).unwrap();
    let refused = rocket_login::db::Pool::open(&config).await.unwrap_err().to_string();
    assert!(refused.contains("is being copied to another"), "{refused}");
    drop(copying);
    drop(held);
    while cluster.sql("site", locked) != "0" {
        assert!(start.elapsed() < Duration::from_secs(60), "the table stays locked");
        sleep(Duration::from_millis(10)).await;
    }
    instance(&cluster).await.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_copy_from_postgresql_names_the_tables_that_it_leaves_behind() {
    let Some(cluster) = cluster() else { return };
    stop(instance(&cluster).await).await;
    for sql in [
        "CREATE TABLE notes (id bigint)",
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.users (id bigint)",
        "ALTER TABLE users ADD COLUMN nickname text",
        "CREATE VIEW addresses AS SELECT email FROM users",
    ] {
        cluster.sql("site", sql);
    }
    let dir = TempDir::new().unwrap();
    let to = format!("sqlite:{}", dir.path().join("back.db").display());
    let (done, said) = copy(&cluster.url("site"), &to);
    let left = "notes, users.nickname, shop.users";
    assert!(!done && said.contains(&format!("--from: {left}: not part of this program")), "{said}");
    let (done, said) = run_copy(&[&cluster.url("site"), &to], &["--leave-other-tables"]);
    assert!(done && said.contains(&format!("left behind: {left}\n")), "{said}");
}

#[rocket::async_test]
async fn a_connection_that_receives_nothing_any_more_is_discarded() {
    let Some(cluster) = cluster() else { return };
    let (wire, app) = instance_behind_wire(&cluster, 2).await;
    let ada = app.registered(ADA).await;
    // This page reads a table each time. The account page reads nothing while the session is
    // in the cache, so it may need no connection at all.
    let ask = || ada.get("/account/sessions");
    join_all((0..8).map(|_| ask())).await;
    // The connections stay open, but nothing arrives any more, as behind a firewall that has
    // forgotten them. If the pool had only one open then, and the task that looks at the triggers
    // has taken it, no request meets it. So there are several tries.
    let mut is_met = false;
    for _ in 0..5 {
        wire.cut();
        let answers = join_all((0..8).map(|_| ask())).await;
        is_met |= answers.iter().any(|answer| answer.status.code == 503);
        if is_met {
            break;
        }
    }
    assert!(is_met);
    assert_not_drained(&ada).await;
    assert_recovered(&app, &ada).await;
}

#[rocket::async_test]
async fn a_transaction_that_never_begins_does_not_keep_its_connection() {
    let Some(cluster) = cluster() else { return };
    let (wire, app) = instance_behind_wire(&cluster, 2).await;
    let ada = app.registered(ADA).await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    // Both connections are there, and have just been used.
    drop(join_all([db.write(), db.write()]).await);
    sleep(Duration::from_millis(100)).await;
    wire.cut();
    let writes = join_all([db.write(), db.write()]).await;
    assert!(writes.iter().all(Result::is_err));
    assert_not_drained(&ada).await;
    assert_recovered(&app, &ada).await;
}

#[rocket::async_test]
async fn a_transaction_that_begins_too_late_is_left_open_on_no_connection() {
    let Some(cluster) = cluster() else { return };
    let (wire, app) = instance_behind_wire(&cluster, 1).await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    drop(db.write().await.unwrap());
    sleep(Duration::from_millis(100)).await;
    wire.slow_down(Duration::from_millis(400));
    // The caller waits no longer, as when the browser has gone.
    let begun = timeout(Duration::from_millis(200), db.write()).await;
    assert!(begun.is_err());
    wire.slow_down(Duration::ZERO);
    let mut reader = db.read().await.unwrap();
    let status = "SELECT now() = statement_timestamp()";
    for _ in 0..3 {
        let row = reader.postgres().unwrap().fetch_one(status).await.unwrap();
        assert!(row.get::<bool, _>(0), "an older transaction is open");
    }
}

/// Starts an instance whose connections, of which it has so many, all go through a wire.
async fn instance_behind_wire(cluster: &Cluster, max_connections: u32) -> (Wire, TestApp) {
    let wire = Wire::to(cluster).await;
    let behind = |f: Figment| {
        f.merge(("databases.login.url", wire.url()))
            .merge(("databases.login.max_connections", max_connections))
    };
    let app = instance_with(cluster, behind).await;
    (wire, app)
}

/// Asserts that lost connections are replaced. The page reads a table each time.
async fn assert_not_drained(ada: &Visitor<'_>) {
    let start = Instant::now();
    while ada.get("/account/sessions").await.status.code != 200 {
        assert!(start.elapsed() < Duration::from_secs(15), "the pool is drained");
    }
}

#[rocket::async_test]
async fn an_abandoned_readiness_check_leaves_no_transaction_open() {
    let Some(cluster) = cluster() else { return };
    let wire = Wire::to(&cluster).await;
    let app = TestApp::with(|f| f.merge(("databases.login.url", wire.url()))).await;
    app.visitor().get("/readyz").await.assert_status(200);
    // Wait until the connection is back in the pool, so that no new one is opened.
    sleep(Duration::from_millis(200)).await;
    wire.slow_down(Duration::from_millis(400));
    app.advance(1);
    app.visitor().get("/readyz").await.assert_status(503);
    wire.slow_down(Duration::ZERO);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let start = Instant::now();
    while cluster.sql("site", open) != "0" {
        assert!(start.elapsed() < Duration::from_secs(5), "a transaction is open");
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(cluster.sql("site", open), "0");
}

/// A proxy between the site and the server that can be slowed down and cut.
struct Wire {
    port: u16,
    state: watch::Sender<(u32, Duration)>,
}

impl Wire {
    async fn to(cluster: &Cluster) -> Self {
        let socket = cluster.socket().join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, state) = watch::channel((0, Duration::ZERO));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = UnixStream::connect(&socket).await.unwrap();
                let (near, far) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near.0, far.1, state.clone()));
                tokio::spawn(carry(far.0, near.1, state.clone()));
            }
        });
        Wire { port, state: sender }
    }

    /// The address of the site's database through the wire.
    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/site?sslmode=disable", self.port)
    }

    fn slow_down(&self, delay: Duration) {
        self.state.send_modify(|state| state.1 = delay);
    }

    /// Silences the present connections without closing them. New ones work.
    fn cut(&self) {
        self.state.send_modify(|state| state.0 += 1);
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<(u32, Duration)>,
) {
    let before = state.borrow().0;
    let mut bytes = [0; 16_384];
    loop {
        let cut = async { state.wait_for(|(cuts, _)| *cuts > before).await.is_ok() };
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            _ = cut => std::future::pending().await,
        };
        let Ok(length @ 1..) = read else { return };
        let delay = state.borrow().1;
        sleep(delay).await;
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

/// Runs in its own process, because a process has only one metrics recorder.
#[cfg(feature = "prometheus")]
#[test]
fn the_metrics_count_the_connections() {
    if !is_installed() {
        return;
    }

    let cluster = Cluster::start();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args([
        "--exact",
        "embedding::the_metrics_count_what_happened_to_sessions_and_at_providers",
    ]);
    let done = test.env("TEST_POSTGRES", cluster.socket()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
