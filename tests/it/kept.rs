//! Sessions that were read are kept until they change, and writes that come together
//! share a commit.

use std::process::Command;
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::{Build, Rocket, get, post, routes};
use rocket_login::{Error, Session};
use sqlx::{Connection, PgConnection};

use crate::servers::{Cluster, Stop, is_installed};
use crate::support::{TestApp, Visitor};

const ADA: &str = "ada@example.org";

#[post("/count")]
async fn count(session: &Session) -> Result<String, Error> {
    Ok(session.update("count", |count| count.unwrap_or(0) + 1).await?.to_string())
}

#[post("/fill/<size>")]
async fn fill(session: &Session, size: usize) -> Result<(), Error> {
    session.set("much", "x".repeat(size)).await
}

#[get("/counted")]
fn counted(session: &Session) -> Result<String, Error> {
    Ok(session.get::<u32>("count")?.unwrap_or(0).to_string())
}

fn pages(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.mount("/", routes![count, fill, counted])
}

/// How many commits SQLite's log has seen: a counter in the header of its index. Read
/// by another process, since closing the file here would drop SQLite's locks.
fn commits(app: &TestApp) -> u32 {
    let shm = app.dir.path().join("login.db-shm");
    let header = Command::new("cat").arg(shm).output().unwrap().stdout;
    u32::from_ne_bytes(header[8..12].try_into().unwrap())
}

#[cfg(unix)]
#[rocket::async_test]
async fn a_page_asks_the_database_only_for_what_has_changed() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    assert!(ada.is_logged_in().await);

    // Without its file the database answers nothing.
    let (path, moved) = (app.dir.path().join("login.db"), app.dir.path().join("moved.db"));
    std::fs::rename(&path, &moved).unwrap();
    assert!(ada.is_logged_in().await);
    bob.get("/account").await.assert_status(503);
    std::fs::rename(&moved, &path).unwrap();

    // Somebody else changes something: it is read anew.
    app.execute("UPDATE users SET email = 'bea@example.org' WHERE email = 'ada@example.org'").await;
    ada.get("/account").await.assert_text("bea@example.org");
    app.execute("DELETE FROM sessions").await;
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn what_is_kept_expires_by_the_clock() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    assert!(ada.is_logged_in().await);
    app.advance(3 * 60 * 60);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn without_the_cache_everything_is_read() {
    let app = TestApp::with(|f: Figment| f.merge(("session.cache", false))).await;
    let ada = app.registered(ADA).await;
    assert!(ada.is_logged_in().await);
    std::fs::rename(app.dir.path().join("login.db"), app.dir.path().join("moved.db")).unwrap();
    ada.get("/account").await.assert_status(503);
}

#[cfg(unix)]
#[rocket::async_test]
async fn writes_that_come_together_share_a_commit() {
    let app = TestApp::built(|f| f, pages).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    // While somebody else has the lock, they gather.
    let mut other = app.db().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let before = commits(&app);
    let writes = async {
        let writes = (0..20).map(|n| if n % 2 == 0 { &ada } else { &bob }.post("/count", &[]));
        join_all(writes).await
    };
    let release = async {
        rocket::tokio::time::sleep(Duration::from_millis(300)).await;
        lock.rollback().await.unwrap();
    };
    let (answers, ()) = rocket::tokio::join!(writes, release);
    let mut counts: Vec<u32> = answers.iter().map(|a| a.body.parse().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=10).flat_map(|n| [n, n]).collect::<Vec<_>>());
    let commits = commits(&app) - before;
    assert!((1..=3).contains(&commits), "{commits} commits");
    ada.get("/counted").await.assert_text("10");
    bob.get("/counted").await.assert_text("10");
}

#[rocket::async_test]
async fn one_that_may_not_be_written_disturbs_no_other() {
    let app = TestApp::built(|f| f, pages).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    // Ended elsewhere, which her request does not know yet.
    let gone = app.registered("gone@example.org").await;
    for round in 0..5 {
        let all = join_all([
            ada.post("/count", &[]),
            gone.post("/count", &[]),
            ada.post("/fill/100000", &[]),
            bob.post("/count", &[]),
        ]);
        let end = async {
            if round == 4 {
                app.execute("DELETE FROM sessions WHERE user_id = (SELECT max(id) FROM users)")
                    .await;
            }
        };
        let (answers, ()) = rocket::tokio::join!(all, end);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.code).collect();
        assert_eq!((statuses[0], statuses[2], statuses[3]), (200, 413, 200), "{statuses:?}");
        assert!([200, 409].contains(&statuses[1]), "{statuses:?}");
    }
    ada.get("/counted").await.assert_text("5");
    bob.get("/counted").await.assert_text("5");
    assert!(!gone.is_logged_in().await);
}

/// An instance that keeps what it has read.
async fn instance(cluster: &Cluster) -> TestApp {
    let url = cluster.url("site");
    TestApp::built(|f| f.merge(("databases.login.url", url)), pages).await
}

fn cluster() -> Option<Cluster> {
    is_installed().then(|| {
        let cluster = Cluster::start();
        cluster.sql("postgres", "CREATE DATABASE site");
        cluster
    })
}

/// A visitor of `app` with the session of `other`, as behind a balancer.
fn same_browser<'a>(app: &'a TestApp, other: &Visitor<'_>) -> Visitor<'a> {
    let visitor = app.visitor();
    visitor.set_cookie("session", other.session_cookie());
    visitor
}

/// Waits until the visitor's pages come while nobody can read the table.
async fn until_kept(cluster: &Cluster, visitor: &Visitor<'_>) {
    let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
    let start = Instant::now();
    loop {
        assert!(visitor.is_logged_in().await);
        let mut tx = other.begin().await.unwrap();
        sqlx::raw_sql("LOCK TABLE sessions").execute(&mut *tx).await.unwrap();
        let answer = visitor.get("/account").await;
        tx.rollback().await.unwrap();
        if answer.status.code == 200 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "nothing is kept");
    }
}

/// How long the visitor's session is still taken for one.
async fn until_dead(visitor: &Visitor<'_>) -> Duration {
    let start = Instant::now();
    while visitor.is_logged_in().await {
        assert!(start.elapsed() < Duration::from_secs(1), "an ended session is used");
    }
    start.elapsed()
}

#[rocket::async_test]
async fn what_ends_on_another_instance_is_dead_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (instance(&cluster).await, instance(&cluster).await);
    for act in 0..4 {
        let ada = match act {
            0 => one.registered(ADA).await,
            _ => {
                let ada = one.visitor();
                ada.log_in(ADA).await.assert_redirect("/account");
                ada
            }
        };
        let there = same_browser(&two, &ada);
        until_kept(&cluster, &ada).await;
        until_kept(&cluster, &there).await;
        match act {
            0 => drop(ada.log_out().await),
            1 => drop(cluster.sql("site", "DELETE FROM sessions")),
            2 => drop(cluster.sql("site", "TRUNCATE sessions")),
            _ => drop(cluster.sql("site", "UPDATE sessions SET expires_at = 1")),
        }
        // Where it was ended, at once.
        assert!(act > 0 || !ada.is_logged_in().await);
        until_dead(&there).await;
        until_dead(&ada).await;
    }
}

#[rocket::async_test]
async fn what_is_written_on_another_instance_is_seen_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (instance(&cluster).await, instance(&cluster).await);
    let ada = one.registered(ADA).await;
    let there = same_browser(&two, &ada);
    until_kept(&cluster, &there).await;
    for n in 1..=10 {
        ada.post("/count", &[]).await.assert_text(&n.to_string());
        ada.get("/counted").await.assert_text(&n.to_string());
        let start = Instant::now();
        while there.get("/counted").await.body != n.to_string() {
            assert!(start.elapsed() < Duration::from_secs(1), "an old state is shown");
        }
        // A write sees everything, whatever is kept.
    }
    there.post("/count", &[]).await.assert_text("11");
    cluster.sql("site", "UPDATE users SET email = 'bea@example.org'");
    let start = Instant::now();
    while !there.get("/account").await.body.contains("bea@example.org") {
        assert!(start.elapsed() < Duration::from_secs(1), "an old address is shown");
    }
}

/// Waits until the server is asked again.
async fn until_answered(visitor: &Visitor<'_>) {
    let start = Instant::now();
    while visitor.get("/account").await.status.code == 503 {
        assert!(start.elapsed() < Duration::from_secs(15), "it does not come back");
    }
}

#[rocket::async_test]
async fn nothing_is_believed_when_postgresql_is_silent_or_gone() {
    let Some(mut cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    until_kept(&cluster, &ada).await;
    cluster.freeze(true);
    let start = Instant::now();
    let mut shown = Duration::ZERO;
    while ada.get("/account").await.status.code == 200 {
        shown = start.elapsed();
    }
    cluster.freeze(false);
    assert!(shown < Duration::from_secs(1), "{shown:?}");
    until_answered(&ada).await;

    // What ended meanwhile stays ended.
    until_kept(&cluster, &ada).await;
    cluster.stop(Stop::Fast);
    cluster.resume();
    cluster.sql("site", "DELETE FROM sessions");
    until_answered(&ada).await;
    assert!(!ada.is_logged_in().await);
}
