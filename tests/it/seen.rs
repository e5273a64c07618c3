//! Look-ups that come together are one statement, and no page waits for its last-seen time.

use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::http::{Cookie, Status};
use rocket::{Build, Rocket, get, post, routes};
use rocket_db_pools::Database;
use rocket_login::testing::{self, count_calls};
use rocket_login::{Db, Error, Session};

use crate::database::pick;
use crate::support::{TestApp, Visitor};

/// Sessions that come at once.
const MANY: usize = 40;

#[post("/begin")]
async fn begin(session: &Session) -> Result<(), Error> {
    session.set("seen", true).await
}

#[get("/seen")]
fn seen(session: &Session) -> Result<String, Error> {
    Ok(session.get::<bool>("seen")?.unwrap_or(false).to_string())
}

fn pages(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.mount("/", routes![begin, seen])
}

/// A site that keeps no session in memory, and visitors with sessions.
async fn uncached() -> TestApp {
    TestApp::built(|f: Figment| f.merge(("session.cache", false)), pages).await
}

async fn visitors(app: &TestApp) -> Vec<Visitor<'_>> {
    let mut visitors = Vec::new();
    for _ in 0..MANY {
        let visitor = app.visitor();
        visitor.post("/begin", &[]).await.assert_status(200);
        visitors.push(visitor);
    }
    visitors
}

#[rocket::async_test]
async fn look_ups_that_come_together_are_one_statement() {
    let app = uncached().await;
    let visitors = visitors(&app).await;
    // On a busy machine, some may not wait so long.
    let mut fewest = MANY as u64;
    for _ in 0..10 {
        let together = join_all(visitors.iter().map(|visitor| visitor.get("/seen")));
        let (answers, calls) = count_calls(together).await;
        answers.iter().for_each(|answer| assert_eq!(answer.body, "true"));
        fewest = fewest.min(calls);
    }
    // Those that ask alone count, and those that share a statement do not.
    assert!(fewest < MANY as u64 / 4, "{fewest} of {MANY} have asked alone");
    assert_eq!(count_calls(visitors[0].get("/seen")).await.1, 1);
}

#[rocket::async_test]
async fn a_look_up_together_finds_what_was_changed_before_it_and_nothing_that_has_ended() {
    let app = uncached().await;
    let visitors = visitors(&app).await;
    app.execute("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions ORDER BY id LIMIT 10)")
        .await;
    let answers = join_all(visitors.iter().map(|visitor| visitor.get("/seen"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.body == "true").count(), MANY - 10);
    assert!(answers.iter().all(|answer| answer.status == Status::Ok));
    app.advance(3 * 60 * 60);
    let answers = join_all(visitors.iter().map(|visitor| visitor.get("/seen"))).await;
    assert!(answers.iter().all(|answer| answer.body == "false"));
}

#[rocket::async_test]
async fn a_broken_row_disturbs_no_look_up_of_others() {
    let app = uncached().await;
    let visitors = visitors(&app).await;
    // No program of ours writes such a row.
    app.execute(pick(
        "UPDATE sessions SET family = x'00' WHERE id = (SELECT id FROM sessions LIMIT 1)",
        "UPDATE sessions SET family = '\\x00' WHERE id = (SELECT id FROM sessions LIMIT 1)",
    ))
    .await;
    let answers = join_all(visitors.iter().map(|visitor| visitor.get("/seen"))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(Status::Ok), count(Status::ServiceUnavailable)), (MANY - 1, 1));
}

/// Sends a request without the help of a browser, which would wait for the last-seen time.
async fn look(app: &TestApp, visitor: &Visitor<'_>) {
    let cookie = Cookie::new("session", visitor.session_cookie());
    let answer = app.client.get("/seen").cookie(cookie).dispatch().await;
    assert_eq!(answer.status(), Status::Ok);
}

const SEEN: &str = "SELECT count(*) FROM sessions WHERE last_seen_at = created_at + 60";

#[rocket::async_test]
async fn a_page_does_not_wait_for_its_last_seen_time() {
    let app = TestApp::built(|figment| figment, pages).await;
    let visitors = visitors(&app).await;
    app.advance(60);
    let writer = Db::fetch(app.client.rocket()).unwrap().write().await.unwrap();
    let start = Instant::now();
    for visitor in &visitors {
        look(&app, visitor).await;
    }
    assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
    drop(writer);
    testing::settle(&app.client).await;
    assert_eq!(app.count(SEEN).await, MANY as i64);
}

#[rocket::async_test]
async fn last_seen_times_that_wait_are_written_at_the_shutdown() {
    let app = TestApp::built(|figment| figment, pages).await;
    let visitors = visitors(&app).await;
    app.advance(60);
    for visitor in &visitors {
        look(&app, visitor).await;
    }
    drop(visitors);
    let app = app.restarted(|figment| figment).await;
    assert_eq!(app.count(SEEN).await, MANY as i64);
}

#[rocket::async_test]
async fn a_touched_session_is_not_looked_up_again() {
    let app = TestApp::built(|figment| figment, pages).await;
    let visitors = visitors(&app).await;
    app.advance(60);
    for visitor in &visitors {
        assert_eq!(visitor.get("/seen").await.body, "true");
    }
    assert_eq!(app.count(SEEN).await, MANY as i64);
    let together = join_all(visitors.iter().map(|visitor| visitor.get("/seen")));
    assert_eq!(count_calls(together).await.1, 0);
}
