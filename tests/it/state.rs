//! The state that an application keeps in a session.

use std::borrow::Cow;

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::http::Status;
use rocket::response::stream::TextStream;
use rocket::tokio::{self, sync::Notify};
use rocket::{Build, Rocket, State, delete, get, post, routes};
use rocket_login::testing::Browser;
use rocket_login::{Error, Key, Session};
use serde::{Deserialize, Serialize};

use crate::database;
use crate::support::{TestApp, header};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Basket {
    items: Vec<String>,
    total: f64,
}

#[get("/peek")]
fn peek(session: &Session) -> String {
    format!("{:?} {}", session.keys(), session.contains("a"))
}

#[post("/set/<key>/<value>")]
async fn set(session: &Session, key: &str, value: &str) -> Result<(), Error> {
    session.set(key, value).await
}

#[get("/get/<key>")]
fn get(session: &Session, key: &str) -> Result<Option<String>, Error> {
    session.get(key)
}

#[post("/count")]
async fn count(session: &Session) -> Result<String, Error> {
    Ok(session.update("count", |count| count.unwrap_or(0) + 1).await?.to_string())
}

#[post("/set-and-fail/<status>")]
async fn set_and_fail(session: &Session, status: u16) -> Result<(), Status> {
    session.set("a", "b").await.unwrap();
    Err(Status::new(status))
}

#[post("/set-and-panic")]
async fn set_and_panic(session: &Session) -> &'static str {
    session.set("a", "b").await.unwrap();
    panic!("after the write");
}

#[post("/two-at-once")]
async fn two_at_once(session: &Session) -> Result<(), Error> {
    let (one, two) = tokio::join!(session.set("a", 1), session.set("b", 2));
    one.and(two)
}

#[get("/late-regenerate")]
fn late_regenerate<'r>(session: &'r Session) -> TextStream![String + 'r] {
    TextStream! {
        yield "the head is sent; ".into();
        yield format!("{:?}", session.regenerate().await.map_err(|error| error.to_string()));
    }
}

#[get("/late")]
fn late<'r>(session: &'r Session) -> TextStream![String + 'r] {
    TextStream! {
        yield "the head is sent; ".into();
        yield format!("{:?}", session.set("a", "b").await.map_err(|error| error.to_string()));
    }
}

/// Loads the session and waits for the test before it writes.
#[post("/slow")]
async fn slow(session: &Session, gate: &State<Gate>) -> Result<(), Error> {
    gate.loaded.notify_one();
    gate.go_on.notified().await;
    session.set("slow", true).await
}

#[delete("/")]
async fn destroy(session: &Session) -> Result<(), Error> {
    session.destroy().await
}

#[derive(Default)]
struct Gate {
    loaded: Notify,
    go_on: Notify,
}

fn application(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.manage(Gate::default()).mount(
        "/s",
        routes![
            late_regenerate,
            peek,
            set,
            get,
            count,
            set_and_fail,
            set_and_panic,
            two_at_once,
            late,
            slow,
            destroy
        ],
    )
}

async fn app() -> TestApp {
    TestApp::built(|figment| figment, application).await
}

#[rocket::async_test]
async fn the_first_write_creates_the_row_and_sets_the_cookie() {
    let app = app().await;
    let visitor = app.visitor();
    let read = visitor.get("/s/peek").await;
    read.assert_text("[] false");
    assert_eq!((read.header("set-cookie"), app.sessions().await), (None, 0));

    let written = visitor.post("/s/set/a/b", &[]).await;
    written.assert_status(200);
    assert!(written.set_cookie("session").is_some());
    assert_eq!(app.sessions().await, 1);
    visitor.get("/s/get/a").await.assert_status(200).assert_text("b");

    // The session exists now, so further writes set no cookie.
    let again = visitor.post("/s/set/a/c", &[]).await;
    assert_eq!((again.set_cookie("session"), app.sessions().await), (None, 1));
    visitor.get("/s/get/a").await.assert_text("c");
}

#[rocket::async_test]
async fn row_and_cookie_come_together_even_if_the_request_fails() {
    let app = app().await;
    for (number, path) in
        ["set-and-fail/400", "set-and-fail/404", "set-and-fail/500", "set-and-panic"]
            .iter()
            .enumerate()
    {
        let visitor = app.visitor();
        let answer = visitor.post(&format!("/s/{path}"), &[]).await;
        assert!(answer.status.code >= 400);
        assert!(answer.set_cookie("session").is_some(), "{path}");
        assert_eq!(app.sessions().await, number as i64 + 1);
        visitor.get("/s/get/a").await.assert_text("b");
    }
}

#[rocket::async_test]
async fn two_writes_of_one_request_make_one_session() {
    let app = app().await;
    let visitor = app.visitor();
    visitor.post("/s/two-at-once", &[]).await.assert_status(200);
    assert_eq!(app.sessions().await, 1);
    visitor.get("/s/peek").await.assert_text(r#"["a", "b"] true"#);
}

#[rocket::async_test]
async fn a_session_cannot_start_in_the_middle_of_a_response() {
    let app = app().await;
    let visitor = app.visitor();
    let late = visitor.get("/s/late").await;
    late.assert_text("a cookie cannot be set once the response has begun");
    assert_eq!(app.sessions().await, 0);

    // An existing session can be written to.
    visitor.post("/s/set/x/y", &[]).await.assert_status(200);
    visitor.get("/s/late").await.assert_text("Ok(())");
    visitor.get("/s/get/a").await.assert_text("b");
    // But its token can no longer be replaced.
    let late = visitor.get("/s/late-regenerate").await;
    late.assert_text("a cookie cannot be set once the response has begun");
    visitor.get("/s/get/a").await.assert_text("b");
}

#[rocket::async_test]
async fn values_keep_their_type() {
    let app = app().await;
    let visitor = app.visitor();
    visitor
        .with_session(async |session| {
            let basket = Basket { items: vec!["tea".into(), "a \"ü\" 🦀".into()], total: 12.5 };
            session.set("basket", &basket).await.unwrap();
            session.set("count", u64::MAX).await.unwrap();
            session.set("none", None::<String>).await.unwrap();
            assert_eq!(session.get::<Basket>("basket").unwrap(), Some(basket));
        })
        .await;
    visitor
        .with_session(async |session| {
            assert_eq!(session.get::<Basket>("basket").unwrap().unwrap().total, 12.5);
            assert_eq!(session.get::<u64>("count").unwrap(), Some(u64::MAX));
            assert_eq!(session.get::<Option<String>>("none").unwrap(), Some(None));
            assert_eq!(session.get::<u64>("nothing").unwrap(), None);

            let error = session.get::<String>("count").unwrap_err();
            assert!(error.is_value(), "{error}");
            assert!(session.take::<String>("count").await.unwrap_err().is_value());
            assert!(
                session
                    .update("count", |_: Option<String>| "x".into())
                    .await
                    .unwrap_err()
                    .is_value()
            );
            assert!(session.contains("count"));
        })
        .await;
}

const VIEWS: Key<u32> = Key::new("views");
const NAME: Key<String> = Key::new("name");

#[rocket::async_test]
async fn a_key_with_a_type_names_the_same_value_as_a_string() {
    let app = app().await;
    app.visitor()
        .with_session(async |session| {
            assert!(!session.contains(VIEWS));
            session.set(VIEWS, 1).await.unwrap();
            session.set(NAME, "Ada".into()).await.unwrap();
            let views = session.update(VIEWS, |views| views.unwrap_or_default() + 1).await;
            // The type comes from the key alone.
            assert_eq!(views.unwrap().checked_add(1), Some(3));
            assert_eq!(session.get(VIEWS).unwrap().unwrap().checked_add(1), Some(3));
            assert_eq!(session.get::<u64>("views").unwrap(), Some(2));
            assert_eq!(session.get(NAME).unwrap().as_deref(), Some("Ada"));
            assert_eq!((VIEWS.name(), format!("{NAME:?}")), ("views", "Key(\"name\")".into()));

            session.set("views", "many").await.unwrap();
            assert!(session.get(VIEWS).unwrap_err().is_value());
            assert!(session.take(VIEWS).await.unwrap_err().is_value());
            session.remove(VIEWS).await.unwrap();
            assert!(!session.contains("views"));
            assert_eq!(session.take(NAME).await.unwrap().unwrap().len(), 3);
            assert_eq!(session.keys(), [""; 0]);
        })
        .await;
}

#[rocket::async_test]
async fn any_string_is_a_key_of_any_type() {
    let app = app().await;
    app.visitor()
        .with_session(async |session| {
            let (owned, boxed) = (String::from("a"), Box::<str>::from("a"));
            let shared = Cow::Borrowed("a");
            session.set(&owned, 1).await.unwrap();
            let value: Option<u8> = session.get(&owned).unwrap();
            let again: Option<i64> = session.get(&boxed).unwrap();
            let third: Option<f32> = session.get(&shared).unwrap();
            assert_eq!((value, again, third), (Some(1), Some(1), Some(1.0)));
            let sum = session.update(&"a", |value: Option<u8>| value.unwrap_or(0) + 1).await;
            assert_eq!(sum.unwrap(), 2);
            session.remove(owned.as_str()).await.unwrap();
            assert!(!session.contains(&boxed));
        })
        .await;
}

#[rocket::async_test]
async fn an_error_does_not_reveal_the_value() {
    let app = app().await;
    app.visitor()
        .with_session(async |session| {
            session.set("pin", "hunter2").await.unwrap();
            for error in [
                session.get::<u64>("pin").unwrap_err(),
                session.get::<Basket>("pin").unwrap_err(),
                session.take::<bool>("pin").await.unwrap_err(),
            ] {
                let source = std::error::Error::source(&error).map(|error| error.to_string());
                let said = format!("{error} {error:?} {source:?}");
                assert!(said.contains("pin") && !said.contains("hunter2"), "{said}");
            }
        })
        .await;
}

#[rocket::async_test]
async fn a_value_that_could_not_be_read_back_is_refused() {
    let app = app().await;
    let visitor = app.visitor();
    let nested = |depth: usize| -> serde_json::Value {
        (0..depth).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]))
    };
    visitor
        .with_session(async |session| {
            session.set("deep", nested(126)).await.unwrap();
            assert!(session.set("deep", nested(127)).await.unwrap_err().is_value());
            session.set("float", 31.245_270_191_439_438).await.unwrap();
        })
        .await;
    visitor
        .with_session(async |session| {
            session.set("another", 1).await.unwrap();
            session.reload().await.unwrap();
            assert_eq!(session.get("float").unwrap(), Some(31.245_270_191_439_438));
            assert!(session.contains("deep"));
        })
        .await;
}

#[rocket::async_test]
async fn a_session_above_a_lowered_limit_can_shrink_log_in_and_log_out() {
    let app = app().await;
    let ada = app.registered("ada@example.org").await;
    ada.post(&format!("/s/set/a/{}", "x".repeat(200)), &[]).await.assert_status(200);
    ada.post("/s/set/b/y", &[]).await.assert_status(200);
    let cookie = ada.session_cookie();

    let url = database::url(&app.dir);
    let limited =
        move |f: Figment| f.merge(("session.state_limit", 100)).merge(("databases.login.url", url));
    let small = TestApp::built(limited, application).await;
    let ada = small.visitor();
    ada.set_cookie("session", cookie);
    ada.post("/s/set/c/z", &[]).await.assert_status(413);
    ada.with_session(async |session| session.remove("b").await.unwrap()).await;
    ada.log_in("ada@example.org").await.assert_status(303);
    ada.get("/s/peek").await.assert_text("[] false");
    ada.log_out().await.assert_status(303);
}

#[rocket::async_test]
async fn a_double_click_on_log_in_keeps_the_basket() {
    let app = app().await;
    app.registered("ada@example.org").await.log_out().await;
    let visitor = app.visitor();
    visitor.post("/s/set/basket/tea", &[]).await.assert_status(200);
    // Open the connections first, because that takes a while and both must begin at once.
    tokio::join!(visitor.get("/account"), visitor.get("/account"));
    let (one, two) =
        tokio::join!(visitor.log_in("ada@example.org"), visitor.log_in("ada@example.org"));
    one.assert_status(303);
    two.assert_status(303);
    visitor.get("/s/get/basket").await.assert_text("tea");
}

#[rocket::async_test]
async fn values_are_removed_taken_and_cleared() {
    let app = app().await;
    let visitor = app.visitor();
    visitor
        .with_session(async |session| {
            for key in ["a", "b", "c", "d"] {
                session.set(key, key).await.unwrap();
            }
            session.remove("a").await.unwrap();
            session.remove("nothing").await.unwrap();
            assert_eq!(session.take::<String>("b").await.unwrap().as_deref(), Some("b"));
            assert_eq!(session.take::<String>("b").await.unwrap(), None);
            assert_eq!(session.keys(), ["c", "d"]);
            session.clear().await.unwrap();
            assert_eq!(session.keys(), [""; 0]);
        })
        .await;
    // The session itself goes on.
    assert_eq!(app.sessions().await, 1);
    visitor.get("/s/peek").await.assert_text("[] false");
}

#[rocket::async_test]
async fn only_one_of_several_parallel_takes_gets_the_value() {
    let app = app().await;
    let visitor = app.visitor();
    visitor.post("/s/set/ticket/one", &[]).await.assert_status(200);
    let takes = (0..20).map(async |_| {
        visitor.with_session(async |session| session.take::<String>("ticket").await.unwrap()).await
    });
    let won = join_all(takes).await.into_iter().flatten().count();
    assert_eq!(won, 1);
}

#[rocket::async_test]
async fn a_write_without_a_change_does_not_reach_the_database() {
    let app = app().await;
    let visitor = app.visitor();
    visitor.post("/s/set/a/b", &[]).await;
    let mut db = app.db().await;
    let mut version = async || -> i64 {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut db).await.unwrap()
    };
    let before = version().await;
    visitor.post("/s/set/a/b", &[]).await.assert_status(200);
    visitor.get("/s/get/a").await.assert_status(200);
    assert_eq!(version().await, before);
    visitor.post("/s/set/a/c", &[]).await.assert_status(200);
    assert_ne!(version().await, before);
}

#[rocket::async_test]
async fn sixty_four_parallel_requests_lose_no_update_in_two_hundred_rounds() {
    let app = app().await;
    let visitor = app.visitor();
    visitor.post("/s/set/begun/yes", &[]).await.assert_status(200);
    for round in 0..200 {
        let requests = (0..64).map(async |number| match number % 4 {
            0 => visitor.post(&format!("/s/set/key{number}/{round}"), &[]).await,
            1 => visitor.get("/s/peek").await,
            _ => visitor.post("/s/count", &[]).await,
        });
        for answer in join_all(requests).await {
            answer.assert_status(200);
            assert_eq!(answer.header("set-cookie"), None);
        }
    }

    visitor
        .with_session(async |session| {
            assert_eq!(session.get::<u64>("count").unwrap(), Some(32 * 200));
            for number in (0..64).step_by(4) {
                let value: Option<String> = session.get(&format!("key{number}")).unwrap();
                assert_eq!(value.as_deref(), Some("199"));
            }
        })
        .await;
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn a_slow_write_never_restores_an_ended_session() {
    let app = app().await;
    let gate: &Gate = app.client.rocket().state().unwrap();
    for round in 0..100 {
        let visitor = Browser::new(&app.client);
        // Alternate between a visitor's session and a user's.
        match round % 2 {
            0 => drop(visitor.post("/s/set/a/b", &[]).await),
            _ => visitor.sign_in("ada@example.org").await,
        }
        let cookie = visitor.cookie("session").unwrap();
        let thief = Browser::new(&app.client);
        thief.set_cookie("session", cookie);

        let writer = visitor.post("/s/slow", &[]);
        let end = async {
            gate.loaded.notified().await;
            let request = app.client.delete("/s");
            let ended = match round % 2 {
                0 => thief.send(request).await.status.code,
                _ => thief.post("/logout", &[]).await.status.code,
            };
            gate.go_on.notify_one();
            ended
        };
        let (written, ended) = tokio::join!(writer, end);
        assert!(ended == 200 || ended == 303);
        written.assert_status(409).assert_text("Your session has ended");
        assert_eq!(written.set_cookie("session"), None);

        visitor.get("/account").await.assert_status(303);
        visitor.get("/s/peek").await.assert_text("[] false");
        assert_eq!(app.sessions().await, 0);
    }
}

#[rocket::async_test]
async fn a_write_above_the_state_limit_is_refused_entirely() {
    let limited = |figment: Figment| figment.merge(("session.state_limit", 100));
    let app = TestApp::built(limited, application).await;
    let visitor = app.visitor();
    visitor.post(&format!("/s/set/a/{}", "x".repeat(100)), &[]).await.assert_status(413);
    assert_eq!(app.sessions().await, 0);

    visitor.post(&format!("/s/set/a/{}", "x".repeat(80)), &[]).await.assert_status(200);
    visitor.post("/s/set/b/twelve-more", &[]).await.assert_status(413);
    visitor.get("/s/peek").await.assert_text(r#"["a"] true"#);
    visitor
        .with_session(async |session| {
            let error = session.set("b", "twelve-more").await.unwrap_err();
            assert!(error.is_too_large(), "{error}");
        })
        .await;
}

#[rocket::async_test]
async fn the_default_limit_is_64_kibibytes() {
    let app = app().await;
    app.visitor()
        .with_session(async |session| {
            // {"a":"…"} is eight bytes more than the value.
            session.set("a", "x".repeat(65_536 - 8)).await.unwrap();
            assert!(session.set("a", "x".repeat(65_536 - 7)).await.unwrap_err().is_too_large());
        })
        .await;
}

#[rocket::async_test]
async fn the_visitor_limit_bounds_new_sessions_per_network_and_hour() {
    let limited = |figment: Figment| figment.merge(("session.visitor_limit", 3));
    let app = TestApp::built(limited, application).await;
    let begin = async |address: &str| {
        let request = app.client.post("/s/count").remote(format!("{address}:1").parse().unwrap());
        app.visitor().send(request).await.status.code
    };

    for _ in 0..3 {
        assert_eq!(begin("192.0.2.1").await, 200);
    }
    assert_eq!(begin("192.0.2.1").await, 429);
    assert_eq!(begin("192.0.2.2").await, 200);

    // One subscriber has a whole IPv6 network of 64 bits.
    for last in 1..4 {
        assert_eq!(begin(&format!("[2001:db8::{last}]")).await, 200);
    }
    assert_eq!(begin("[2001:db8::ffff:1]").await, 429);
    assert_eq!(begin("[2001:db8:0:1::1]").await, 200);

    app.advance(60 * 60);
    assert_eq!(begin("192.0.2.1").await, 200);
}

#[rocket::async_test]
async fn a_user_is_not_counted_as_a_visitor() {
    let limited = |figment: Figment| figment.merge(("session.visitor_limit", 0));
    let app = TestApp::built(limited, application).await;
    let ada = app.registered("ada@example.org").await;
    ada.post("/s/count", &[]).await.assert_status(200).assert_text("1");
    let request = app.client.post("/s/count").remote("192.0.2.1:1".parse().unwrap());
    let refused = app.visitor().send(request).await;
    refused.assert_status(429).assert_text("Too many attempts");
    assert_eq!(refused.header("retry-after"), Some("600"));
    // Clients without an address, as on a Unix socket, are not counted as one client.
    app.visitor().post("/s/count", &[]).await.assert_status(200);
}

#[rocket::async_test]
async fn an_unreadable_row_is_deleted_and_the_visitor_starts_a_new_session() {
    let app = app().await;
    let ada = app.registered("ada@example.org").await;
    app.execute("PRAGMA ignore_check_constraints = ON; UPDATE sessions SET data = '[broken'").await;
    let answer = ada.get("/s/peek").await;
    answer.assert_status(200).assert_text("[] false");
    assert!(answer.cookie_attributes("session").contains(&"Max-Age=0"));
    assert_eq!(app.sessions().await, 0);
    ada.post("/s/count", &[]).await.assert_status(200).assert_text("1");
}

#[rocket::async_test]
async fn a_failed_write_is_never_reported_as_a_success() {
    let app = app().await;
    let visitor = app.visitor();
    visitor.post("/s/set/a/b", &[]).await;
    app.execute(database::failing("full", "UPDATE", "sessions")).await;
    let failed = visitor.post("/s/set/a/c", &[]).await;
    failed.assert_status(503).assert_no_text("disk is full");
    assert_eq!(failed.header("set-cookie"), None);
    assert!(failed.header("retry-after").is_some());
    visitor.get("/s/get/a").await.assert_text("b");

    app.execute(database::failing("full_too", "INSERT", "sessions")).await;
    let failed = app.visitor().post("/s/set/a/c", &[]).await;
    failed.assert_status(503);
    assert_eq!(failed.header("set-cookie"), None);
}

#[rocket::async_test]
async fn a_visitors_state_is_kept_at_log_in() {
    let app = app().await;
    let ada = app.visitor();
    ada.post("/s/set/a/b", &[]).await;
    ada.register("ada@example.org").await.assert_status(303);
    ada.get("/s/get/a").await.assert_text("b");
    // The state stays when this user logs in again.
    ada.post("/s/set/a/c", &[]).await;
    ada.log_in("ada@example.org").await.assert_status(303);
    ada.get("/s/get/a").await.assert_text("c");
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn another_users_state_is_dropped_at_log_in() {
    let app = app().await;
    app.registered("bob@example.org").await.log_out().await;
    let visitor = app.registered("ada@example.org").await;
    visitor.post("/s/set/a/b", &[]).await;
    visitor.log_in("bob@example.org").await.assert_status(303);
    visitor.get("/s/peek").await.assert_text("[] false");
}

#[rocket::async_test]
async fn the_state_is_dropped_at_log_in_if_so_configured() {
    let configure = |figment: Figment| figment.merge(("session.keep_state", false));
    let app = TestApp::built(configure, application).await;
    let ada = app.visitor();
    ada.post("/s/set/a/b", &[]).await;
    ada.register("ada@example.org").await;
    ada.get("/s/peek").await.assert_text("[] false");
}

#[rocket::async_test]
async fn visitor_keys_survive_log_out_and_the_log_in_of_another_user() {
    let configure = |figment: Figment| figment.merge(("session.visitor_keys", ["language"]));
    let app = TestApp::built(configure, application).await;
    app.registered("bob@example.org").await.log_out().await;
    let visitor = app.registered("ada@example.org").await;
    visitor.post("/s/set/language/cy", &[]).await;
    visitor.post("/s/set/secret/x", &[]).await;
    let adas = visitor.session_cookie();
    let out = visitor.log_out().await;
    out.assert_redirect("/");
    assert!(!visitor.is_logged_in().await);
    visitor.get("/s/peek").await.assert_text(r#"["language"]"#);
    visitor.get("/s/get/language").await.assert_text("cy");

    // The visitor's session has a new token.
    assert_ne!(visitor.session_cookie(), adas);
    visitor.set_cookie("session", adas);
    visitor.get("/s/peek").await.assert_text("[] false");

    let visitor = app.visitor();
    visitor.log_in("ada@example.org").await;
    visitor.post("/s/set/language/cy", &[]).await;
    visitor.post("/s/set/secret/x", &[]).await;
    visitor.log_in("bob@example.org").await;
    visitor.get("/s/peek").await.assert_text(r#"["language"]"#);
}

#[rocket::async_test]
async fn log_out_drops_the_state() {
    let app = app().await;
    let ada = app.registered("ada@example.org").await;
    ada.post("/s/set/a/b", &[]).await;
    ada.log_out().await;
    assert_eq!(app.sessions().await, 0);
    ada.get("/s/peek").await.assert_text("[] false");
}

#[rocket::async_test]
async fn a_cross_site_request_writes_nothing() {
    let app = app().await;
    let request = app.client.post("/s/count").header(header("Sec-Fetch-Site", "cross-site"));
    app.visitor().send(request).await.assert_status(403);
    assert_eq!(app.sessions().await, 0);
}
