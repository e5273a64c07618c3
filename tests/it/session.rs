//! The lifetime of a session, and the validity of its cookie.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rocket::figment::Figment;
use rocket_db_pools::Database;
use rocket_login::Db;
use rocket_login::testing::sweep;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::database::{self, pick};
use crate::support::{TestApp, Visitor, sealed};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

async fn remembered<'a>(app: &'a TestApp, email: &str) -> Visitor<'a> {
    let visitor = app.registered(email).await;
    visitor.log_in_remembered(email).await.assert_status(303);
    visitor
}

#[rocket::async_test]
async fn a_visitor_who_only_reads_has_neither_cookie_nor_row() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    for path in ["/", "/login", "/register", "/logout", "/account", "/healthz", "/nowhere"] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    visitor.log_in("nobody@example.org").await.assert_status(422);
    visitor.register("no address").await.assert_status(422);
    visitor.log_out().await.assert_status(303);
    assert_eq!(app.sessions().await, 0);
}

#[rocket::async_test]
async fn a_session_ends_when_unused_for_two_hours() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    app.advance(2 * HOUR - 1);
    assert!(ada.is_logged_in().await);
    app.advance(2 * HOUR - 1);
    assert!(ada.is_logged_in().await);
    app.advance(2 * HOUR);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_session_ends_after_a_day_even_if_it_is_used() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    for _ in 0..23 {
        app.advance(HOUR);
        assert!(ada.is_logged_in().await);
        ada.use_session().await;
    }
    app.advance(HOUR - 1);
    assert!(ada.is_logged_in().await);
    app.advance(1);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_remembered_user_stays_logged_in_for_two_weeks_without_a_visit() {
    let app = TestApp::new().await;
    let ada = remembered(&app, "ada@example.org").await;
    app.advance(14 * DAY - 1);
    assert!(ada.is_logged_in().await);
    app.advance(14 * DAY);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_remembered_user_must_log_in_again_after_thirty_days() {
    let app = TestApp::new().await;
    let ada = remembered(&app, "ada@example.org").await;
    for _ in 0..29 {
        app.advance(DAY);
        assert!(ada.is_logged_in().await);
    }
    app.advance(DAY);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn the_timeouts_are_configurable() {
    let configure = |figment: Figment| {
        figment.merge(("session.idle_timeout", 10)).merge(("session.absolute_timeout", "15s"))
    };
    let app = TestApp::with(configure).await;
    let ada = app.registered("ada@example.org").await;
    app.advance(9);
    assert!(ada.is_logged_in().await);
    // The page does not wait for this write, which may take a moment.
    app.until("SELECT last_seen_at = created_at + 9 FROM sessions").await;
    app.advance(5);
    assert!(ada.is_logged_in().await);
    app.advance(1);
    assert!(!ada.is_logged_in().await);

    ada.log_in("ada@example.org").await;
    app.advance(10);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn reading_writes_the_last_seen_time_once_a_minute() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let last_seen = async || app.count("SELECT last_seen_at FROM sessions").await;
    let start = last_seen().await;
    app.advance(MINUTE - 1);
    ada.get("/account").await;
    assert_eq!(last_seen().await, start);
    app.advance(1);
    ada.get("/account").await;
    assert_eq!(last_seen().await, start + 60);
}

#[rocket::async_test]
async fn a_replaced_or_logged_out_cookie_is_void() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let mut old = vec![ada.session_cookie()];
    ada.log_in("ada@example.org").await;
    old.push(ada.session_cookie());
    ada.log_out().await;
    ada.log_in_remembered("ada@example.org").await;
    for cookie in old {
        let thief = app.visitor();
        thief.set_cookie("session", cookie);
        assert!(!thief.is_logged_in().await);
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_session_planted_before_the_log_in_does_not_become_the_users() {
    let app = TestApp::new().await;
    let eve = app.registered("eve@example.org").await;
    app.registered("ada@example.org").await.log_out().await;

    let planted = eve.session_cookie();
    let ada = app.visitor();
    ada.set_cookie("session", planted.clone());
    ada.log_in("ada@example.org").await.assert_status(303);
    assert_ne!(ada.session_cookie(), planted);
    // The log-in has ended the planted session.
    assert!(!eve.is_logged_in().await);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_cookie_that_we_did_not_seal_makes_an_anonymous_visitor() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let good = ada.session_cookie();
    let elsewhere = TestApp::with(|figment| figment.merge(("secret_key", "07".repeat(32)))).await;
    let foreign = elsewhere.registered("ada@example.org").await.session_cookie();
    let unsealed = "A".repeat(43);
    let mut bad = vec![
        String::new(),
        "x".into(),
        unsealed,
        foreign,
        good[1..].into(),
        good[..good.len() - 4].into(),
        format!("{good}AAAA"),
        good.to_lowercase(),
        "A".repeat(8 * 1024),
        "\0\r\n".into(),
        "%".into(),
        "ü".into(),
    ];
    // Change each character once.
    bad.extend((0..good.len()).map(|position| {
        let mut changed = good.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        String::from_utf8(changed).unwrap()
    }));
    // The low bits of the last character may be padding, which does not change the value.
    bad.retain(|cookie| *cookie != good);

    for cookie in bad {
        let visitor = app.visitor();
        visitor.set_cookie("session", cookie.clone());
        let answer = visitor.get("/").await;
        answer.assert_status(200).assert_no_text("ada@");
        assert_eq!(answer.header("set-cookie"), None, "{cookie}");
        visitor.get("/account").await.assert_redirect("/login?next=%2Faccount");
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn our_session_cookie_is_not_accepted_under_another_name() {
    let app = TestApp::new().await;
    let ada = app.visitor();
    let registered = ada.register("ada@example.org").await;
    assert!(registered.set_cookie("session-flash").is_some());
    let session = ada.session_cookie();

    // A sealed cookie is bound to its name.
    let visitor = app.visitor();
    visitor.set_cookie("session-flash", session);
    visitor.get("/").await.assert_no_text("class=\"message\"");
}

#[rocket::async_test]
async fn a_token_that_the_server_did_not_issue_is_never_adopted() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await.log_out().await;
    // The token has the right form and is sealed, so only the table shows that it is invalid.
    let chosen = sealed("session", &"A".repeat(43));
    let visitor = app.visitor();
    visitor.set_cookie("session", chosen.clone());
    assert!(!visitor.is_logged_in().await);
    visitor.log_in("ada@example.org").await.assert_status(303);
    assert_ne!(visitor.session_cookie(), chosen);
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn the_session_table_holds_nothing_that_logs_in() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let id: Vec<u8> =
        sqlx::query("SELECT id FROM sessions").fetch_one(&mut app.db().await).await.unwrap().get(0);
    assert_eq!(id.len(), 32);
    // The id does not help even a thief who can seal cookies as we do.
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    for value in [hex, BASE64_URL_SAFE_NO_PAD.encode(&id)] {
        let thief = app.visitor();
        thief.set_cookie("session", sealed("session", &value));
        assert!(!thief.is_logged_in().await);
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_session_row_records_its_user_address_and_browser() {
    let app = TestApp::new().await;
    let agent = format!("Browser/1.0\u{7}{}", "x".repeat(500));
    let request = app
        .client
        .post("/register")
        .header(rocket::http::ContentType::Form)
        .header(rocket::http::Header::new("User-Agent", agent))
        .header(rocket::http::Header::new("X-Forwarded-For", "6.6.6.6"))
        .header(rocket::http::Header::new("X-Real-IP", "6.6.6.6"))
        .remote("[2001:db8::7]:4711".parse().unwrap())
        .body("email=ada%40example.org&password=correct+horse+battery");
    app.visitor().send(request).await.assert_status(303);

    let row = sqlx::query(
        "SELECT s.user_id - u.id, ip_address, user_agent, authenticated_at, data FROM sessions s, users u",
    )
    .fetch_one(&mut app.db().await)
    .await
    .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
    assert_eq!(row.get::<String, _>(1), "2001:db8::7");
    assert_eq!(row.get::<String, _>(2), format!("Browser/1.0{}", "x".repeat(244)));
    assert_eq!(row.get::<i64, _>(3), app.clock.now());
    assert_eq!(row.get::<String, _>(4), "{}");
}

#[rocket::async_test]
async fn only_a_trusted_proxy_can_state_the_clients_address() {
    let trusting =
        |figment: Figment| figment.merge(("site.trusted_proxies", ["10.0.0.0/8", "::1"]));
    for (remote, forwarded, expected) in [
        ("10.0.0.1:1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1:1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1:1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("[::1]:1", "2001:db8::9", "2001:db8::9"),
        ("[::ffff:10.0.0.1]:1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1:1", "6.6.6.6, 203.0.113.9:51234", "203.0.113.9"),
        ("10.0.0.1:1", "6.6.6.6, [2001:db8::9]:443", "2001:db8::9"),
        // An unknown address is stored as empty. With the proxy's address, all clients would be one.
        ("10.0.0.1:1", "6.6.6.6, nonsense", ""),
        ("10.0.0.1:1", "", ""),
        ("192.0.2.1:1", "203.0.113.9", "192.0.2.1"),
    ] {
        let app = TestApp::with(trusting).await;
        let request = app
            .client
            .post("/register")
            .header(rocket::http::ContentType::Form)
            .header(rocket::http::Header::new("X-Forwarded-For", forwarded))
            .remote(remote.parse().unwrap())
            .body("email=ada%40example.org&password=correct+horse+battery");
        app.visitor().send(request).await.assert_status(303);
        let row =
            sqlx::query("SELECT ip_address FROM sessions").fetch_one(&mut app.db().await).await;
        assert_eq!(row.unwrap().get::<String, _>(0), expected, "{remote} {forwarded}");
    }
}

#[rocket::async_test]
async fn a_previous_secret_key_still_opens_a_cookie_which_is_then_resealed() {
    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    let app = TestApp::new().await;
    let old = app.registered("ada@example.org").await.session_cookie();

    let rotated = |figment: Figment| {
        figment.merge(("secret_key", NEW)).merge(("session.previous_keys", [OLD]))
    };
    let app = app.restarted(rotated).await;
    let ada = app.visitor();
    ada.set_cookie("session", old.clone());
    assert!(ada.is_logged_in().await);
    let new = ada.session_cookie();
    assert_ne!(new, old);

    let app = app.restarted(|figment| figment.merge(("secret_key", NEW))).await;
    let ada = app.visitor();
    ada.set_cookie("session", new);
    assert!(ada.is_logged_in().await);
    ada.set_cookie("session", old);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn the_sweep_deletes_expired_sessions_only() {
    let app = TestApp::new().await;
    let random = database::random(32);
    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
         INSERT INTO sessions (id, family, created_at, last_seen_at, expires_at)
         SELECT {random}, {random}, 0, 0, 1767225700 FROM n"
    );
    app.execute(AssertSqlSafe(insert)).await;
    let ada = app.registered("ada@example.org").await;
    app.advance(100);

    let db = Db::fetch(app.client.rocket()).unwrap();
    // The site's own sweep at its start may be late, and delete some of them. On PostgreSQL this one
    // then leaves the rest to it.
    assert!(sweep(db, &app.clock).await.unwrap() <= 250);
    app.until("SELECT count(*) = 1 FROM sessions").await;
    assert_eq!(sweep(db, &app.clock).await.unwrap(), 0);
    assert!(ada.is_logged_in().await);

    app.advance(2 * HOUR);
    assert!(sweep(db, &app.clock).await.unwrap() <= 1);
    app.until("SELECT count(*) = 0 FROM sessions").await;
}

#[rocket::async_test]
async fn the_tests_seal_cookies_as_the_site_does() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let visitor = app.visitor();
    visitor.set_cookie("session-flash", sealed("session-flash", "from the test"));
    visitor.get("/").await.assert_text("from the test");
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_sweep_survives_a_locked_file() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    let db = Db::fetch(app.client.rocket()).unwrap();
    let mut other = app.db().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    // The session expires only now, because the site's own sweep could be late and come first.
    app.advance(DAY);
    assert!(sweep(db, &app.clock).await.is_err());
    assert_eq!(app.sessions().await, 1);
    lock.rollback().await.unwrap();
    // This sweep or the site's own one deletes the session.
    sweep(db, &app.clock).await.unwrap();
    assert_eq!(app.sessions().await, 0);
}

#[rocket::async_test]
async fn the_sweep_runs_by_itself() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    app.advance(DAY);
    let app = app.restarted(|figment| figment).await;
    for _ in 0..100 {
        if app.sessions().await == 0 {
            return;
        }
        rocket::tokio::task::yield_now().await;
        app.visitor().get("/healthz").await;
    }
    panic!("the expired session is still there");
}

#[rocket::async_test]
async fn deleting_all_rows_logs_everybody_out() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let bob = app.registered("bob@example.org").await;
    app.execute("DELETE FROM sessions").await;
    assert!(!ada.is_logged_in().await);
    assert!(!bob.is_logged_in().await);
}

#[rocket::async_test]
async fn deleting_a_user_by_sql_deletes_their_sessions() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    app.execute(pick("PRAGMA foreign_keys = ON; DELETE FROM users", "DELETE FROM users")).await;
    assert_eq!(app.sessions().await, 0);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn disabling_a_user_by_sql_logs_them_out_at_once() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered("ada@example.org").await, app.registered("b@x.org").await);
    assert!(ada.is_logged_in().await && bob.is_logged_in().await);
    app.execute("UPDATE users SET disabled_at = 1 WHERE email = 'ada@example.org'").await;
    assert!(!ada.is_logged_in().await);
    assert!(bob.is_logged_in().await);
    // No write finds the session, so its end is not extended.
    app.advance(90);
    assert!(!ada.is_logged_in().await);
    let seen = "SELECT count(*) FROM sessions WHERE last_seen_at > created_at AND user_id = 1";
    assert_eq!(app.count(seen).await, 0);
}
