//! The list of a user's devices, and the ways to end a session from another device.

use rocket::futures::future::join_all;
use rocket::http::{ContentType, Header};
use rocket_db_pools::Database;
use rocket_login::Db;
use rocket_login::testing::count_calls;
use rocket_login::testing::sweep;

use crate::support::{PASSWORD, TestApp, Visitor, many_sessions};

const ADA: &str = "ada@example.org";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

async fn log_in_from<'a>(app: &'a TestApp, agent: &'static str, address: &str) -> Visitor<'a> {
    let visitor = app.visitor();
    let request = app.client.post("/login").header(ContentType::Form);
    let request = request
        .header(Header::new("User-Agent", agent))
        .remote(format!("{address}:1234").parse().unwrap())
        .body(format!("email={ADA}&password={PASSWORD}"));
    visitor.send(request).await.assert_redirect("/account");
    visitor
}

async fn handle(visitor: &Visitor<'_>) -> String {
    visitor.with_session(async |session| session.handle().unwrap()).await
}

#[rocket::async_test]
async fn the_page_lists_each_device_with_its_address_and_times() {
    let app = TestApp::new().await;
    app.registered(ADA).await.log_out().await;
    let firefox = log_in_from(&app, FIREFOX, "192.0.2.1").await;
    app.advance(90 * 60);
    let _iphone = log_in_from(&app, IPHONE, "[2001:db8::7]").await;
    let page = firefox.get("/account/sessions").await;
    page.assert_status(200)
        .assert_text("Firefox on Linux <span class=\"badge\">this device</span>")
        .assert_text("Safari on iPhone</h2>")
        .assert_text("192.0.2.1")
        .assert_text("2001:db8::7")
        .assert_text("Logged in <time datetime=\"2026-01-01T00:00:00Z\">1 January 2026, 00:00 UTC")
        .assert_text("Last seen <time datetime=\"2026-01-01T01:30:00Z\">1 January 2026, 01:30 UTC");
    assert_eq!(page.body.matches("this device").count(), 1);
    assert_eq!(page.body.matches("/revoke\"").count(), 1);
}

#[rocket::async_test]
async fn the_user_agent_header_is_escaped() {
    let app = TestApp::new().await;
    app.registered(ADA).await.log_out().await;
    let visitor = log_in_from(&app, "<script>alert(1)</script> Firefox/1", "192.0.2.1").await;
    for path in ["/account/sessions", "/account/activity"] {
        visitor.get(path).await.assert_status(200).assert_no_text("<script>alert");
    }
}

#[rocket::async_test]
async fn a_revoked_device_is_logged_out_at_its_next_request() {
    let app = TestApp::new().await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in_remembered(ADA).await;
    let path = format!("/account/sessions/{}/revoke", handle(&phone).await);
    ada.post(&path, &[]).await.assert_redirect("/account/sessions");
    ada.get("/account/sessions").await.assert_text("That device was logged out.");
    assert!(!phone.is_logged_in().await);
    assert!(ada.is_logged_in().await);
    app.advance(10 * 60);
    ada.log_in(ADA).await;
    ada.post(&path, &[]).await.assert_status(404);
}

#[rocket::async_test]
async fn users_can_end_only_their_own_sessions() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    let path = format!("/account/sessions/{}/revoke", handle(&bob).await);
    ada.post(&path, &[]).await.assert_status(404);
    for id in ["x", "0000000000000000", "%00", "..%2frevoke-others"] {
        ada.post(&format!("/account/sessions/{id}/revoke"), &[]).await.assert_status(404);
    }
    assert!(bob.is_logged_in().await);
    ada.get("/account/sessions").await.assert_no_text(&handle(&bob).await);
}

#[rocket::async_test]
async fn ending_other_sessions_keeps_this_one_and_those_of_other_users() {
    let app = TestApp::new().await;
    let (ada, phone, tablet) = (app.registered(ADA).await, app.visitor(), app.visitor());
    phone.log_in(ADA).await;
    tablet.log_in_remembered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    let guest = app.visitor();
    guest.with_session(async |session| session.set("a", 1).await.unwrap()).await;

    ada.post("/account/sessions/revoke-others", &[]).await.assert_redirect("/account/sessions");
    ada.get("/account/sessions").await.assert_text("2 other devices were logged out.");
    assert!(bob.is_logged_in().await);
    assert!(!phone.is_logged_in().await && !tablet.is_logged_in().await);
    assert_eq!(app.sessions().await, 3);
    ada.post("/account/sessions/revoke-others", &[]).await;
    ada.get("/account/sessions").await.assert_text("No other device was logged in.");

    // Ending no session costs nobody a look-up.
    assert_eq!(app.count("SELECT max(session_generation) FROM users").await, 1);

    // The sweep deletes the rows of the ended sessions.
    let db = Db::fetch(app.client.rocket()).unwrap();
    sweep(db, &app.clock).await.unwrap();
    // On PostgreSQL the site's own sweep may be at it instead.
    app.until("SELECT count(*) = 3 FROM sessions").await;
    app.until("SELECT count(*) = 0 FROM users WHERE has_ended_sessions").await;
    assert!(ada.is_logged_in().await && bob.is_logged_in().await);
}

#[rocket::async_test]
async fn a_session_can_end_itself() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let path = format!("/account/sessions/{}/revoke", handle(&ada).await);
    ada.post(&path, &[]).await.assert_redirect("/account/sessions");
    assert!(!ada.has_cookie("session"));
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn an_expired_session_is_not_listed() {
    let app = TestApp::new().await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in(ADA).await;
    app.advance(60 * 60);
    ada.get("/account").await;
    app.advance(61 * 60);
    let page = ada.get("/account/sessions").await;
    assert_eq!(page.body.matches("Logged in").count(), 1);
}

#[rocket::async_test]
async fn an_applications_own_page_can_list_and_end_sessions() {
    use rocket::{get, routes};
    use rocket_login::{Auth, Error, User};

    #[get("/devices")]
    async fn devices(user: &User, auth: Auth<'_>) -> Result<String, Error> {
        let page = auth.sessions(user, 1).await?;
        let ended = auth.end_other_sessions(user).await?;
        Ok(format!("{} {ended} {}", page.total, page.sessions[0].is_current))
    }

    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![devices])).await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in(ADA).await;
    ada.get("/devices").await.assert_text("2 1 true");
    assert!(!phone.is_logged_in().await);
}

fn at_most_three(figment: rocket::figment::Figment) -> rocket::figment::Figment {
    figment.merge(("session.account_limit", 3)).merge(("session.cache", true))
}

#[rocket::async_test]
async fn a_log_in_beyond_the_limit_ends_the_least_recently_used_session() {
    let app = TestApp::with(at_most_three).await;
    let bob = app.registered("bob@example.org").await;
    let first = app.registered(ADA).await;
    app.advance(60);
    let second = app.visitor();
    second.log_in_remembered(ADA).await;
    app.advance(60);
    let third = app.visitor();
    third.log_in(ADA).await;

    // The second session is now in the cache, and the first is no longer the oldest.
    assert!(second.is_logged_in().await);
    app.advance(2 * 60);
    for visitor in [&third, &first] {
        assert!(visitor.is_logged_in().await);
    }
    app.advance(60);
    let fourth = app.visitor();
    fourth.log_in(ADA).await.assert_redirect("/account");
    assert!(!second.is_logged_in().await, "a remembered session does not count");
    for visitor in [&first, &third, &fourth, &bob] {
        assert!(visitor.is_logged_in().await);
    }
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE user_id = 2").await, 3);

    // A browser that logs in again replaces its own session, so no other session ends.
    fourth.log_in(ADA).await;
    for visitor in [&first, &third, &fourth] {
        assert!(visitor.is_logged_in().await);
    }
}

#[rocket::async_test]
async fn simultaneous_log_ins_keep_to_the_session_limit() {
    let app = TestApp::with(at_most_three).await;
    app.registered(ADA).await.log_out().await;
    let visitors: Vec<_> = (0..12).map(|_| app.visitor()).collect();
    let answers = join_all(visitors.iter().map(|visitor| visitor.log_in(ADA))).await;
    assert!(answers.iter().all(|answer| answer.status.code == 303));
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 3);
    let mut alive = 0;
    for visitor in &visitors {
        alive += u32::from(visitor.is_logged_in().await);
    }
    assert_eq!(alive, 3);
}

#[rocket::async_test]
async fn each_log_in_ends_up_to_a_hundred_sessions_beyond_the_limit() {
    let app = TestApp::with(at_most_three).await;
    let ada = app.registered(ADA).await;
    many_sessions(&app, ADA, 250).await;
    app.advance(60);
    for left in [152, 53, 3, 3] {
        app.visitor().log_in(ADA).await.assert_redirect("/account");
        assert_eq!(app.count("SELECT count(*) FROM sessions").await, left);
    }
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn the_pages_show_each_session_once_with_the_current_one_first() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.get("/account/sessions").await.assert_no_text("Page 1");
    many_sessions(&app, ADA, 120).await;

    let mut shown = Vec::new();
    for number in 1..=3 {
        let page = ada.get(&format!("/account/sessions?page={number}")).await;
        page.assert_status(200).assert_text(&format!("Page {number} of 3"));
        assert_eq!(page.body.contains("this device"), number == 1);
        assert_eq!(page.body.contains(&format!("page={}\" rel=\"prev\"", number - 1)), number > 1);
        assert_eq!(page.body.contains(&format!("page={}\" rel=\"next\"", number + 1)), number < 3);
        let ids = page.body.split("/account/sessions/").skip(1);
        let ids = ids.filter_map(|rest| rest.split_once("/revoke\"").map(|(id, _)| id.to_owned()));
        let ids: Vec<_> = ids.filter(|id| id.len() == 16).collect();
        assert_eq!(ids.len(), [49, 50, 21][number - 1]);
        shown.extend(ids);
    }
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), 120);

    // A session on the last page can be ended as well.
    let path = format!("/account/sessions/{}/revoke", shown[0]);
    ada.post(&path, &[]).await.assert_redirect("/account/sessions");
    assert_eq!(app.sessions().await, 120);

    for (text, number) in
        [("99999999999999999999", 3), ("4", 3), ("0", 1), ("-1", 1), ("x", 1), ("", 1)]
    {
        let page = ada.get(&format!("/account/sessions?page={text}")).await;
        page.assert_status(200).assert_text(&format!("Page {number} of 3"));
    }
}

#[rocket::async_test]
async fn listing_5000_devices_takes_as_many_calls_as_listing_one() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let (few, of_few) = count_calls(ada.get("/account/sessions")).await;
    many_sessions(&app, ADA, 5000).await;
    let (many, of_many) = count_calls(ada.get("/account/sessions")).await;
    assert_eq!(of_few, of_many);
    assert!(many.body.len() < few.body.len() + 50 * 1000, "{}", many.body.len());
}
