//! An application starts, changes and ends a session.

use rocket::figment::Figment;
use rocket::tokio::{self, sync::Notify};
use rocket::{Build, Rocket, State, get, post, routes};
use rocket_db_pools::Database;
use rocket_login::config::DatabaseConfig;
use rocket_login::db::Pool;
use rocket_login::testing::{Browser, conformance};
use rocket_login::{Db, Session};

use crate::database;
use crate::support::{START, TestApp};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// Returns a visitor whose session holds `a`.
async fn visitor(app: &TestApp) -> Browser<'_> {
    let visitor = Browser::new(&app.client);
    visitor.with_session(async |session| session.set("a", 1).await.unwrap()).await;
    visitor
}

/// Returns another browser with the session cookie of `browser`.
fn twin<'a>(app: &'a TestApp, browser: &Browser<'_>) -> Browser<'a> {
    let twin = Browser::new(&app.client);
    twin.set_cookie("session", browser.cookie("session").unwrap());
    twin
}

async fn a(browser: &Browser<'_>) -> Option<i64> {
    browser.with_session(async |session| session.get("a").unwrap()).await
}

#[rocket::async_test]
async fn the_store_passes_the_conformance_suite() {
    let app = TestApp::new().await;
    let url = DatabaseConfig::parse(&database::url(&app.dir)).unwrap();
    let other = Pool::open(&url).await.unwrap();
    conformance(Db::fetch(app.client.rocket()).unwrap(), &other).await;
}

#[rocket::async_test]
async fn regenerate_gives_a_new_token_and_keeps_everything_else() {
    let app = TestApp::new().await;
    let ada = Browser::new(&app.client);
    ada.sign_in("ada@example.org").await;
    ada.with_session(async |session| session.set("a", 1).await.unwrap()).await;
    let thief = twin(&app, &ada);
    app.advance(HOUR);

    let old = ada.cookie("session");
    let row = "SELECT created_at FROM sessions";
    let created = app.count(row).await;
    ada.with_session(async |session| {
        let handle = session.handle();
        session.regenerate().await.unwrap();
        assert_eq!(session.handle(), handle);
        // The session goes on under its new id.
        session.set("b", 2).await.unwrap();
    })
    .await;
    assert_ne!(ada.cookie("session"), old);
    assert_eq!((a(&ada).await, app.count(row).await), (Some(1), created));
    ada.get("/account").await.assert_status(200);
    thief.get("/account").await.assert_status(303);
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn only_one_of_two_simultaneous_regenerations_succeeds() {
    let app = TestApp::new().await;
    let visitor = visitor(&app).await;
    let other = twin(&app, &visitor);
    let loaded = tokio::sync::Barrier::new(2);
    let regenerate = async |browser: &Browser<'_>| {
        browser
            .with_session(async |session| {
                loaded.wait().await;
                session.regenerate().await
            })
            .await
    };
    let (one, two) = tokio::join!(regenerate(&visitor), regenerate(&other));
    assert!(one.is_ok() != two.is_ok());
    assert!(one.err().or(two.err()).unwrap().is_ended());
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn a_log_out_finds_the_session_under_its_new_token() {
    let app = TestApp::new().await;
    let ada = Browser::new(&app.client);
    ada.sign_in("ada@example.org").await;
    let other = twin(&app, &ada);
    // One request has loaded the session when another one gives it a new token.
    ada.with_session(async |session| {
        other.with_session(async |session| session.regenerate().await.unwrap()).await;
        session.destroy().await.unwrap();
    })
    .await;
    assert_eq!(app.sessions().await, 0);
    other.get("/account").await.assert_status(303);
}

#[post("/regenerate")]
async fn regenerate(session: &Session) {
    session.regenerate().await.unwrap();
}

#[rocket::async_test]
async fn a_regenerated_cookie_lives_exactly_as_long_as_its_row() {
    let app = TestApp::built(|f| f, |r| r.mount("/", routes![regenerate])).await;
    let ada = app.registered("ada@example.org").await;
    ada.log_in_remembered("ada@example.org").await;
    app.advance(59);
    let answer = ada.post("/regenerate", &[]).await;
    let left = app.count("SELECT expires_at FROM sessions").await - app.clock.now();
    let expected = format!("Max-Age={left}");
    assert!(answer.cookie_attributes("session").contains(&expected.as_str()), "{expected}");
}

/// Tells a test that a request has begun, and lets the request go on.
#[derive(Default)]
struct Gate {
    begun: Notify,
    go_on: Notify,
}

#[get("/slow")]
async fn slow(_session: &Session, gate: &State<Gate>) {
    gate.begun.notify_one();
    gate.go_on.notified().await;
}

#[rocket::async_test]
async fn a_slow_response_does_not_restore_a_replaced_token() {
    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

    // The key is rotated, so each response seals its token again.
    let old = TestApp::new().await;
    let cookie = old.registered("ada@example.org").await.session_cookie();
    let url = database::url(&old.dir);
    let rotated = |f: Figment| {
        f.merge(("secret_key", NEW))
            .merge(("session.previous_keys", [OLD]))
            .merge(("databases.login.url", url))
    };
    let build = |r: Rocket<Build>| r.manage(Gate::default()).mount("/", routes![slow]);
    let app = TestApp::built(rotated, build).await;
    let gate: &Gate = app.client.rocket().state().unwrap();
    let ada = app.visitor();
    ada.set_cookie("session", cookie);
    let log_in = async {
        gate.begun.notified().await;
        ada.log_in("ada@example.org").await.assert_status(303);
        gate.go_on.notify_one();
    };
    let (slow, ()) = tokio::join!(ada.get("/slow"), log_in);
    assert_eq!(slow.assert_status(200).set_cookie("session"), None);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn destroy_ends_the_session_in_every_browser_with_its_cookie() {
    let app = TestApp::new().await;
    let visitor = visitor(&app).await;
    let other = twin(&app, &visitor);
    visitor.with_session(async |session| session.destroy().await.unwrap()).await;
    assert_eq!(visitor.cookie("session"), None);
    assert_eq!((a(&other).await, app.sessions().await), (None, 0));

    // A value that is set afterwards starts another session.
    visitor
        .with_session(async |session| {
            session.set("a", 2).await.unwrap();
            session.destroy().await.unwrap();
            assert!(!session.contains("a"));
            session.set("a", 3).await.unwrap();
        })
        .await;
    assert_eq!((a(&visitor).await, app.sessions().await), (Some(3), 1));
}

#[rocket::async_test]
async fn every_act_fails_if_the_session_has_ended_in_the_meantime() {
    let app = TestApp::new().await;
    let visitor = visitor(&app).await;
    let other = twin(&app, &visitor);
    visitor
        .with_session(async |session: &Session| {
            other.with_session(async |session| session.destroy().await.unwrap()).await;
            let results = [
                session.set("b", 1).await,
                session.remove("a").await,
                session.clear().await,
                session.update("a", |a: Option<i64>| a.unwrap_or(0)).await.map(drop),
                session.take::<i64>("a").await.map(drop),
                session.reload().await,
                session.touch().await,
                session.set_remember(true).await,
                session.regenerate().await,
            ];
            for (number, result) in results.into_iter().enumerate() {
                let error = result.unwrap_err();
                assert!(error.is_ended(), "{number}: {error}");
                assert_eq!(error.status().code, 409);
            }
            // Ending an ended session is not an error.
            session.destroy().await.unwrap();
        })
        .await;
    assert_eq!(app.sessions().await, 0);
}

#[rocket::async_test]
async fn reload_sees_what_others_have_written() {
    let app = TestApp::new().await;
    let visitor = visitor(&app).await;
    let other = twin(&app, &visitor);
    visitor
        .with_session(async |session| {
            other.with_session(async |session| session.set("a", 2).await.unwrap()).await;
            assert_eq!(session.get("a").unwrap(), Some(1));
            session.reload().await.unwrap();
            assert_eq!(session.get("a").unwrap(), Some(2));
        })
        .await;
}

#[rocket::async_test]
async fn touch_extends_the_idle_timeout_at_once() {
    let app = TestApp::new().await;
    let visitor = visitor(&app).await;
    app.advance(30);
    visitor
        .with_session(async |session| {
            // It is too soon for the automatic write.
            assert_eq!(session.expires_at(), Some(START + 2 * HOUR as i64));
            session.touch().await.unwrap();
            assert_eq!(session.expires_at(), Some(START + 30 + 2 * HOUR as i64));
        })
        .await;
    assert_eq!(app.count("SELECT expires_at FROM sessions").await, START + 30 + 2 * HOUR as i64);
}

#[rocket::async_test]
async fn remembering_can_be_switched_on_and_off() {
    let app = TestApp::new().await;
    let ada = Browser::new(&app.client);
    ada.sign_in("ada@example.org").await;
    ada.with_session(async |session| {
        session.set_remember(true).await.unwrap();
        assert_eq!(session.expires_at(), Some(START + 14 * DAY as i64));
    })
    .await;
    app.advance(13 * DAY);
    ada.get("/account").await.assert_status(200);

    // The absolute timeout counts from the log-in, so its 24 hours are over.
    ada.with_session(async |session| session.set_remember(false).await.unwrap()).await;
    ada.get("/account").await.assert_status(303);
}

#[rocket::async_test]
async fn a_session_knows_whether_it_is_new() {
    let app = TestApp::new().await;
    let visitor = Browser::new(&app.client);
    visitor
        .with_session(async |session| {
            assert!(!session.is_new());
            assert_eq!((session.expires_at(), session.handle()), (None, None));
            session.set("a", 1).await.unwrap();
            assert!(session.is_new());
        })
        .await;
    visitor.with_session(async |session| assert!(!session.is_new())).await;
}

#[rocket::async_test]
async fn every_act_without_a_session_succeeds_and_does_nothing() {
    let app = TestApp::new().await;
    let visitor = Browser::new(&app.client);
    visitor
        .with_session(async |session| {
            session.regenerate().await.unwrap();
            session.reload().await.unwrap();
            session.touch().await.unwrap();
            session.set_remember(true).await.unwrap();
            session.remove("a").await.unwrap();
            session.clear().await.unwrap();
            assert_eq!(session.take::<i64>("a").await.unwrap(), None);
            session.destroy().await.unwrap();
        })
        .await;
    assert_eq!((visitor.cookie("session"), app.sessions().await), (None, 0));
}

#[rocket::async_test]
async fn the_handle_is_stable_and_not_a_secret() {
    let app = TestApp::new().await;
    let visitor = visitor(&app).await;
    let handle = async || visitor.with_session(async |session| session.handle().unwrap()).await;
    let first = handle().await;
    assert_eq!(first.len(), 16);
    assert_eq!(handle().await, first);

    let thief = Browser::new(&app.client);
    thief.set_cookie("session", first.clone());
    assert_eq!(a(&thief).await, None);
    let ids = "SELECT id FROM sessions UNION SELECT family FROM sessions";
    let ids: Vec<Vec<u8>> = sqlx::query_scalar(ids).fetch_all(&mut app.db().await).await.unwrap();
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(!ids.is_empty() && ids.iter().all(|id| !hex(id).contains(&first)));
}

#[rocket::async_test]
async fn a_session_prints_neither_token_nor_state() {
    let app = TestApp::new().await;
    let visitor = Browser::new(&app.client);
    visitor
        .with_session(async |session| {
            session.set("secret", "hunter2").await.unwrap();
            let printed = format!("{session:?}");
            let handle = session.handle().unwrap();
            assert_eq!(printed, format!("Session {{ handle: Some({handle:?}), .. }}"));
        })
        .await;
}

#[rocket::async_test]
async fn sign_in_logs_a_test_browser_in_without_the_form() {
    let app = TestApp::new().await;
    let ada = Browser::new(&app.client);
    ada.sign_in("ada@example.org").await;
    ada.get("/account").await.assert_status(200).assert_text("ada@example.org");
    // Like a log-in, it can be repeated, also as another user.
    ada.sign_in("ADA@example.org").await;
    ada.sign_in("bob@example.org").await;
    ada.get("/account").await.assert_text("bob@example.org");
    assert_eq!((app.users().await, app.sessions().await), (2, 1));
}
