//! If the database does not answer, pages are 503, the cookie stays, and nothing is
//! reported as done.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use rocket::futures::future::join_all;
use rocket::{get, routes};
use rocket_db_pools::Database;
use rocket_login::{Db, Session, User};
use sqlx::Connection;

use crate::database;
use crate::support::TestApp;

#[get("/optional")]
fn optional(session: &Session) -> &'static str {
    if session.user().is_some() { "somebody" } else { "nobody" }
}

#[get("/private")]
fn private(_user: &User) -> &'static str {
    "private"
}

#[rocket::async_test]
async fn a_database_outage_is_503_and_never_an_anonymous_page() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![optional, private])).await;
    let ada = app.registered("ada@example.org").await;
    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    for path in ["/", "/account", "/optional", "/private", "/login"] {
        let answer = ada.get(path).await;
        answer.assert_status(503).assert_no_text("data breach").assert_no_text("no such table");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
        assert!(answer.header("retry-after").is_some());
    }

    app.execute("ALTER TABLE elsewhere RENAME TO sessions").await;
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn pages_without_a_session_work_during_an_outage() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    app.visitor().get("/").await.assert_status(200);
    app.visitor().get("/login").await.assert_status(200);
    ada.get("/healthz").await.assert_status(200);
    ada.get("/static/style.css").await.assert_status(200);
}

#[rocket::async_test]
async fn a_log_out_that_cannot_be_stored_is_not_reported_as_done() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    app.execute(database::failing("full", "DELETE", "sessions")).await;
    let answer = ada.log_out().await;
    answer.assert_status(503).assert_no_text("disk is full");
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("clear-site-data"), None);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_in_that_cannot_be_stored_changes_nothing() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let before = ada.session_cookie();
    app.execute(database::failing("full", "INSERT", "sessions")).await;
    ada.log_in("ada@example.org").await.assert_status(503);
    assert_eq!(ada.session_cookie(), before);
    assert!(ada.is_logged_in().await);

    app.visitor().register("bob@example.org").await.assert_status(503);
    assert_eq!(app.users().await, 1);
}

#[rocket::async_test]
async fn a_missing_database_file_stops_writes() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    ada.get("/readyz").await.assert_status(200).assert_text("ok");
    fs::rename(app.dir.path().join("login.db"), app.dir.path().join("moved.db")).unwrap();
    app.advance(1);
    ada.get("/readyz").await.assert_status(503);
    ada.get("/healthz").await.assert_status(200);
    app.visitor().register("bob@example.org").await.assert_status(503);
    ada.log_out().await.assert_status(503);

    fs::rename(app.dir.path().join("moved.db"), app.dir.path().join("login.db")).unwrap();
    app.advance(1);
    ada.get("/readyz").await.assert_status(200);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn one_readiness_check_answers_all_requests_within_a_second() {
    let app = TestApp::new().await;
    let ask = || async { app.visitor().get("/readyz").await.status.code };
    let ask_often = || join_all((0..50).map(|_| ask()));
    assert_eq!(ask().await, 200);
    // From here on every check fails and takes half a second.
    let db = Db::fetch(app.client.rocket()).unwrap();
    let writer = db.write().await.unwrap();
    assert_eq!(ask_often().await, [200; 50], "a check ran before the second was over");
    app.advance(1);
    assert_eq!(ask_often().await, [503; 50]);

    // A failure is shared as well.
    drop(writer);
    assert_eq!(ask_often().await, [503; 50]);
    app.advance(1);
    assert_eq!(ask_often().await, [200; 50]);
}

#[rocket::async_test]
async fn a_missing_log_stops_writes() {
    for name in ["login.db-wal", "login.db-shm"] {
        let app = TestApp::new().await;
        let ada = app.registered("ada@example.org").await;
        let (log, kept) = (app.dir.path().join(name), app.dir.path().join("kept"));
        fs::rename(&log, &kept).unwrap();
        ada.get("/readyz").await.assert_status(503);
        ada.log_out().await.assert_status(503);
        fs::rename(&kept, &log).unwrap();
        app.advance(1);
        ada.get("/readyz").await.assert_status(200);
        ada.log_out().await.assert_redirect("/");
    }
}

#[rocket::async_test]
async fn a_rollback_by_sqlite_itself_affects_no_later_write() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    // SQLite also does this when the disk is full.
    let full = "CREATE TRIGGER full BEFORE DELETE ON sessions
                BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END";
    app.execute(full).await;
    ada.log_out().await.assert_status(503);
    app.execute("DROP TRIGGER full").await;
    ada.log_out().await.assert_redirect("/");
    app.visitor().get("/readyz").await.assert_status(200);
}

#[rocket::async_test]
async fn a_replaced_or_ruined_database_file_is_not_ready() {
    let app = TestApp::new().await;
    let (path, copy) = (app.dir.path().join("login.db"), app.dir.path().join("copy.db"));
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    app.visitor().get("/readyz").await.assert_status(503);
    // The new file is not opened either: a new connection to it would crash the
    // older ones, and the process with them.
    for _ in 0..20 {
        app.visitor().log_in("ada@example.org").await.assert_status(503);
        app.advance(1);
        app.visitor().get("/readyz").await.assert_status(503);
    }

    let app = TestApp::new().await;
    let mut file =
        fs::OpenOptions::new().write(true).open(app.dir.path().join("login.db")).unwrap();
    file.write_all(&[7; 100]).unwrap();
    app.visitor().get("/readyz").await.assert_status(503);

    // Everything except the first page is ruined.
    let app = TestApp::new().await;
    app.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let path = app.dir.path().join("login.db");
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![7; path.metadata().unwrap().len() as usize - 4096]).unwrap();
    app.visitor().get("/readyz").await.assert_status(503);
}

#[rocket::async_test]
async fn a_locked_file_stops_writes_but_not_reads() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    app.advance(60);
    let mut other = app.db().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    // The page wants to write its last-seen time and does not wait for it.
    let start = Instant::now();
    assert!(ada.is_logged_in().await);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    ada.get("/readyz").await.assert_status(503);

    lock.rollback().await.unwrap();
    ada.log_out().await.assert_redirect("/");
}

#[rocket::async_test]
async fn a_write_transaction_holds_the_lock_from_its_start() {
    let app = TestApp::new().await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    let tx = db.write().await.unwrap();
    let mut other = app.db().await;
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut other).await.unwrap();
    let error = other.begin_with("BEGIN IMMEDIATE").await.map(drop).unwrap_err();
    assert!(error.to_string().contains("locked"), "{error}");
    drop(tx);
}
