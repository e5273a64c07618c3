//! The cache keeps sessions until they change, and simultaneous writes share a commit.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::http::Accept;
use rocket::tokio::{
    self,
    time::{sleep, timeout},
};
use rocket::{Build, Rocket, get, post, routes};
use rocket_db_pools::Database;
use rocket_login::auth::Operator;
use rocket_login::{Db, Email, Error, RoleName, Session};
use sqlx::{Connection, PgConnection};

use crate::postgres::{cluster, same_browser};
use crate::servers::{Cluster, Stop};
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

/// A change function that blocks for a long time, as a change function should not.
#[post("/slow")]
async fn slow(session: &Session) -> Result<(), Error> {
    let slow = |_: Option<u32>| {
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(1_500)));
        0
    };
    session.update("slow", slow).await.map(|_| ())
}

#[get("/counted")]
fn counted(session: &Session) -> Result<String, Error> {
    Ok(session.get::<u32>("count")?.unwrap_or(0).to_string())
}

#[get("/filled")]
fn filled(session: &Session) -> Result<String, Error> {
    Ok(session.get::<String>("much")?.unwrap_or_default().len().to_string())
}

fn pages(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.mount("/", routes![count, fill, counted, filled, slow])
}

/// Returns the number of commits in SQLite's log from the header of its index. Another
/// process reads it, because closing the file here would drop SQLite's locks.
fn commits(app: &TestApp) -> u32 {
    let shm = app.dir.path().join("login.db-shm");
    let header = Command::new("cat").arg(shm).output().unwrap().stdout;
    u32::from_ne_bytes(header[8..12].try_into().unwrap())
}

/// Takes all read connections.
async fn all_readers(app: &TestApp) -> Vec<rocket_login::Connection> {
    let db = Db::fetch(app.client.rocket()).unwrap();
    let mut readers = Vec::new();
    while let Ok(Ok(reader)) = timeout(Duration::from_millis(500), db.read()).await {
        readers.push(reader);
    }
    readers
}

#[cfg(unix)]
#[rocket::async_test]
async fn a_page_reads_a_session_only_if_the_database_has_changed() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    // Take the writer, because nothing is cached while another commit runs, such as that
    // of the sent mail.
    let writer = Db::fetch(app.client.rocket()).unwrap().write().await.unwrap();
    ada.get("/").await.assert_text(ADA);

    // Now no request can read the database.
    let readers = all_readers(&app).await;
    ada.get("/").await.assert_text(ADA);
    bob.get("/").await.assert_status(503);
    drop((readers, writer));

    // After another program's change, the session is read again.
    app.execute("UPDATE users SET email = 'bea@example.org' WHERE email = 'ada@example.org'").await;
    ada.get("/account").await.assert_text("bea@example.org");
    app.execute("DELETE FROM sessions").await;
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_cached_session_expires_by_the_clock() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    assert!(ada.is_logged_in().await);
    app.advance(3 * 60 * 60);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn every_session_is_read_if_the_cache_is_off() {
    let app = TestApp::with(|f: Figment| f.merge(("session.cache", false))).await;
    let ada = app.registered(ADA).await;
    assert!(ada.is_logged_in().await);
    let _readers = all_readers(&app).await;
    ada.get("/account").await.assert_status(503);
}

#[rocket::async_test]
async fn a_session_for_which_the_cache_has_no_room_is_looked_up_again() {
    // A hundred of these sessions are too many for one MiB.
    let app = TestApp::built(|f: Figment| f.merge(("session.cache_size", 1)), pages).await;
    let visitors: Vec<_> = (0..200).map(|_| app.visitor()).collect();
    for visitor in &visitors {
        visitor.post("/fill/7000", &[]).await.assert_status(200);
    }
    let ask = || join_all(visitors.iter().map(|visitor| visitor.get("/filled")));
    assert!(ask().await.iter().all(|answer| answer.body == "7000"));

    let writer = Db::fetch(app.client.rocket()).unwrap().write().await.unwrap();
    let readers = all_readers(&app).await;
    let kept = ask().await.iter().filter(|answer| answer.status.code == 200).count();
    assert!((50..150).contains(&kept), "{kept} are kept");
    drop((readers, writer));
    assert!(ask().await.iter().all(|answer| answer.body == "7000"));
}

#[rocket::async_test]
async fn the_cache_is_not_used_while_the_database_file_is_missing() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    assert!(ada.is_logged_in().await);
    let (path, moved) = (app.dir.path().join("login.db"), app.dir.path().join("moved.db"));
    std::fs::rename(&path, &moved).unwrap();
    sleep(Duration::from_millis(20)).await;
    ada.get("/account").await.assert_status(503);
    std::fs::rename(&moved, &path).unwrap();
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn writes_fail_soon_while_the_file_is_locked() {
    let app = TestApp::built(|f| f, pages).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    let mut other = app.db().await;
    let _lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let start = Instant::now();
    let later = async {
        sleep(Duration::from_millis(50)).await;
        join_all((0..150).map(|_| bob.post("/count", &[]))).await
    };
    let (first, rest) = tokio::join!(ada.post("/count", &[]), later);
    assert!(rest.iter().chain([&first]).all(|answer| answer.status.code == 503));
    // If each round of 64 waited for the lock, the last one would take a dozen seconds.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[rocket::async_test]
async fn a_slow_change_function_blocks_nobody_else() {
    let app = TestApp::built(|f| f, pages).await;
    let ada = app.registered(ADA).await;
    let others = join_all((0..8).map(async |n| app.registered(&format!("u{n}@example.org")).await));
    let others = others.await;
    let mut other = app.db().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    // Another task on the same threads.
    let timer = tokio::spawn(async move {
        let mut worst = Duration::ZERO;
        while !is_over.load(Ordering::SeqCst) {
            let start = Instant::now();
            sleep(Duration::from_millis(5)).await;
            worst = worst.max(start.elapsed());
        }
        worst
    });
    // The first round waits for the lock, and the other writes gather for the next one.
    let writes = async {
        let rest = async {
            sleep(Duration::from_millis(50)).await;
            let slow = ada.post("/slow", &[]);
            tokio::join!(slow, join_all(others[1..].iter().map(|o| o.post("/count", &[]))))
        };
        let release = async {
            sleep(Duration::from_millis(200)).await;
            lock.rollback().await.unwrap();
        };
        let (_, (slow, _), ()) = tokio::join!(others[0].post("/count", &[]), rest, release);
        over.store(true, Ordering::SeqCst);
        slow
    };
    let (slow, worst) = (writes.await, timer.await.unwrap());
    // The slow change fails with its round, so that it does not occupy the writer.
    slow.assert_status(503);
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    ada.post("/count", &[]).await.assert_text("1");
}

#[cfg(unix)]
#[rocket::async_test]
async fn simultaneous_writes_share_a_commit() {
    let app = TestApp::built(|f| f, pages).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    // The writes gather while another program has the lock.
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
    // The registrations' mails make some commits as well.
    assert!((1..=8).contains(&commits), "{commits} commits");
    ada.get("/counted").await.assert_text("10");
    bob.get("/counted").await.assert_text("10");
}

#[rocket::async_test]
async fn a_refused_write_does_not_disturb_the_others_in_its_commit() {
    let app = TestApp::built(|f| f, pages).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    // This session ends elsewhere while its request runs.
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

/// Starts an instance with the cache.
pub async fn instance(cluster: &Cluster) -> TestApp {
    let url = cluster.url("site");
    TestApp::built(|f| f.merge(("databases.login.url", url)), pages).await
}

/// Waits until the visitor's page comes from the cache: while the table cannot be read.
pub async fn until_kept(cluster: &Cluster, visitor: &Visitor<'_>) {
    let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
    let start = Instant::now();
    loop {
        let _ = visitor.get("/").await;
        let mut tx = other.begin().await.unwrap();
        sqlx::raw_sql("LOCK TABLE sessions").execute(&mut *tx).await.unwrap();
        let answer = visitor.get("/").await;
        tx.rollback().await.unwrap();
        if answer.status.code == 200 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "nothing is kept");
    }
}

/// Asks again and again while `is_old` says that an answer is out of date, and returns when the last
/// such question was asked. It must be less than a second after this begins. When an answer comes
/// says nothing: on a busy machine it comes late, from a look at the database that was in time.
pub async fn while_old(what: &str, is_old: impl AsyncFn() -> bool) -> Duration {
    let (start, mut last) = (Instant::now(), Duration::ZERO);
    loop {
        let asked = start.elapsed();
        if !is_old().await {
            return last;
        }
        assert!(asked < Duration::from_secs(1), "{what}, {asked:?} after the change");
        last = asked;
    }
}

/// Waits until the visitor's session is no longer accepted, and returns when the last request began
/// that was accepted.
pub async fn until_dead(visitor: &Visitor<'_>) -> Duration {
    while_old("an ended session is used", async || visitor.is_logged_in().await).await
}

#[rocket::async_test]
async fn a_change_of_roles_is_seen_on_another_instance_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (instance(&cluster).await, instance(&cluster).await);
    let ada = one.registered(ADA).await;
    let operator = Operator::of(two.client.rocket()).unwrap();
    let user = operator.find_by_email(&Email::parse(ADA).unwrap()).await.unwrap().unwrap().user;
    for (change, seen) in [("", "editor"), ("admin", "admin"), ("", "editor"), ("chief", "chief")] {
        until_kept(&cluster, &ada).await;
        match change {
            "" => operator.grant(&user, &RoleName::parse("editor").unwrap()).await.unwrap(),
            // As a replication does it, too.
            roles => {
                let update = format!("UPDATE users SET roles = '{roles}'");
                cluster.sql("site", &format!("SET session_replication_role = replica; {update}"));
            }
        }
        let roles = async || ada.send(one.client.get("/account").header(Accept::JSON)).await.body;
        while_old(&format!("no {seen}"), async || !roles().await.contains(seen)).await;
    }
}

#[rocket::async_test]
async fn a_session_that_ends_on_another_instance_is_dead_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (instance(&cluster).await, instance(&cluster).await);
    for act in 0..5 {
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
            3 => {
                let phone = one.visitor();
                phone.log_in(ADA).await.assert_redirect("/account");
                phone.post("/account/sessions/revoke-others", &[]).await.assert_status(303);
            }
            _ => drop(cluster.sql("site", "UPDATE sessions SET expires_at = 1")),
        }
        // The instance that ended the session refuses it at once.
        assert!(act > 0 || !ada.is_logged_in().await);
        until_dead(&there).await;
        until_dead(&ada).await;
    }
}

#[rocket::async_test]
async fn a_write_on_another_instance_is_seen_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (instance(&cluster).await, instance(&cluster).await);
    let ada = one.registered(ADA).await;
    let there = same_browser(&two, &ada);
    until_kept(&cluster, &there).await;
    for n in 1..=10 {
        ada.post("/count", &[]).await.assert_text(&n.to_string());
        ada.get("/counted").await.assert_text(&n.to_string());
        let n = n.to_string();
        while_old("an old state", async || there.get("/counted").await.body != n).await;
        // A write reads the row itself and not the cache.
    }
    there.post("/count", &[]).await.assert_text("11");
    cluster.sql("site", "UPDATE users SET email = 'bea@example.org'");
    let is_old = async || !there.get("/account").await.body.contains("bea@example.org");
    while_old("an old address", is_old).await;
}

#[rocket::async_test]
async fn an_instance_does_not_read_its_own_write_again() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    until_kept(&cluster, &ada).await;
    ada.post("/count", &[]).await.assert_text("1");
    // The server has sent all notifications by then.
    sleep(Duration::from_millis(300)).await;
    let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE sessions").execute(&mut *tx).await.unwrap();
    assert_eq!(ada.get("/counted").await.body, "1");
    tx.rollback().await.unwrap();
}

#[rocket::async_test]
async fn a_change_by_an_applications_own_trigger_is_seen_as_well() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    cluster.sql(
        "site",
        "CREATE FUNCTION spread() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
             UPDATE sessions SET data = NEW.data WHERE id <> NEW.id;
             RETURN NULL;
         END $$;
         CREATE TRIGGER spread AFTER UPDATE OF data ON sessions FOR EACH ROW
         WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION spread()",
    );
    until_kept(&cluster, &bob).await;
    ada.post("/count", &[]).await.assert_text("1");
    while_old("an old state", async || bob.get("/counted").await.body != "1").await;
}

/// Waits until the site reaches the server again.
async fn until_answered(visitor: &Visitor<'_>) {
    let start = Instant::now();
    while visitor.get("/account").await.status.code == 503 {
        assert!(start.elapsed() < Duration::from_secs(15), "it does not come back");
    }
}

#[rocket::async_test]
async fn the_cache_is_not_used_while_postgresql_is_silent_or_gone() {
    let Some(mut cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let ada = app.registered(ADA).await;
    until_kept(&cluster, &ada).await;
    cluster.freeze(true);
    while_old("a kept session", async || ada.get("/").await.status.code == 200).await;
    cluster.freeze(false);
    until_answered(&ada).await;

    // A session that ended during the outage stays ended.
    until_kept(&cluster, &ada).await;
    cluster.stop(Stop::Fast);
    cluster.resume();
    cluster.sql("site", "DELETE FROM sessions");
    until_answered(&ada).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        ada.get("/").await.assert_no_text(ADA);
    }
}

#[rocket::async_test]
async fn a_session_used_on_two_instances_does_not_time_out() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (instance(&cluster).await, instance(&cluster).await);
    let ada = one.registered(ADA).await;
    let there = same_browser(&two, &ada);
    until_kept(&cluster, &ada).await;
    until_kept(&cluster, &there).await;
    // After a minute, Ada uses the first instance, and from then on only the second one.
    one.advance(90);
    two.advance(90);
    assert!(ada.is_logged_in().await);
    for _ in 0..11 {
        two.advance(10 * 60);
        // The first page notices the other instance's write, and the next one extends the
        // session.
        assert!(there.is_logged_in().await);
        assert!(there.is_logged_in().await);
    }
    two.advance(15 * 60);
    assert!(there.is_logged_in().await, "the session was used a quarter of an hour ago");
}

#[rocket::async_test]
async fn a_locked_row_delays_no_other_write() {
    let Some(cluster) = cluster() else { return };
    let app = instance(&cluster).await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    ada.post("/count", &[]).await.assert_text("1");
    bob.post("/count", &[]).await.assert_text("1");
    let mut other = PgConnection::connect(&cluster.url("site")).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    let hold = "SELECT 1 FROM sessions WHERE user_id = (SELECT min(id) FROM users) FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut *tx).await.unwrap();
    let free = async {
        sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        bob.post("/count", &[]).await.assert_text("2");
        start.elapsed()
    };
    let (held, took) = tokio::join!(ada.post("/count", &[]), free);
    held.assert_status(503);
    assert!(took < Duration::from_secs(1), "{took:?}");
    tx.rollback().await.unwrap();
    ada.post("/count", &[]).await.assert_text("2");
}
