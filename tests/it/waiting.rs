//! A form that was not checked, after too many attempts or while the site is busy, is shown again
//! with what was typed and with the time to wait.

use rocket::http::{Accept, ContentType};
use rocket::{get, routes};
use rocket_login::Error;

use crate::database;
use crate::support::{Answer, PASSWORD, TestApp, Visitor, header};

const ADA: &str = "ada@example.org";
const HERE: &str = "192.0.2.1";

/// A password that no page may show.
const WRONG: &str = "wrong horse battery";

/// The fields of every form with a password or an address. Each form reads its own.
const TYPED: &str = "email=new%40example.org&password=wrong+horse+battery&next=%2Fnotes\
     &current_password=wrong+horse+battery&new_password=wrong+horse+battery";

/// A visitor who is logged in as Ada, with failures of their own.
async fn logged_in(app: &TestApp) -> Visitor<'_> {
    let visitor = app.visitor();
    visitor.log_in(ADA).await.assert_redirect("/account");
    visitor
}

/// Sends the form until it is throttled.
async fn throttled<'a>(app: &'a TestApp, visitor: &Visitor<'a>, path: &str) -> Answer {
    for _ in 0..40 {
        let answer = visitor.post_from(app, HERE, path, TYPED).await;
        if answer.status.code == 429 {
            return answer;
        }
    }
    panic!("{path} is not throttled");
}

/// Asserts that `page` has the form of `path`, with what was typed, but without the password.
fn assert_form(page: &Answer, path: &str) {
    page.assert_text(&format!(r#"action="{path}""#))
        .assert_text("<title>Error: ")
        .assert_no_text(WRONG)
        // No field is wrong, and a screen reader says the reason at the field with the focus.
        .assert_no_text("aria-invalid")
        .assert_text(r#"aria-describedby="form-error"#)
        .assert_text(r#"id="form-error" role="alert""#);
    if page.body.contains(r#"name="email""#) {
        page.assert_text(r#"value="new@example.org""#);
    }
}

#[rocket::async_test]
async fn a_throttled_form_keeps_what_was_typed_and_says_how_long_to_wait() {
    let app = TestApp::with(|f| {
        f.merge(("throttle.sign_ups", 1))
            .merge(("throttle.failures", 1))
            .merge(("throttle.mails", 1))
            .merge(("throttle.address_failures", 600))
    })
    .await;
    let ada = app.registered(ADA).await;
    let verify = app.link(ADA, "/verify/").await;
    for (visitor, path) in [
        (app.visitor(), "/login"),
        (app.visitor(), "/register"),
        (app.visitor(), "/reset"),
        (app.visitor(), verify.as_str()),
        (logged_in(&app).await, "/reauthenticate"),
        (logged_in(&app).await, "/account/password"),
        (logged_in(&app).await, "/account/email"),
        (logged_in(&app).await, "/account/delete"),
    ] {
        let page = throttled(&app, &visitor, path).await;
        assert_form(&page, path);
        let seconds: i64 = page.header("retry-after").unwrap().parse().unwrap();
        page.assert_text(&format!(r#"data-seconds="{seconds}""#));
        let (_, rest) = page.body.split_once("Too many attempts. Try again in <span ").unwrap();
        let words = rest.split(['<', '>']).nth(1).unwrap();
        let number = words.split(' ').next().unwrap();
        assert!(number.parse::<i64>().is_ok() && rest.contains("</span>.</p>"), "{rest}");
        page.assert_text("/static/wait.js?v=");

        // A program gets what it got before.
        let request = app.client.post(path.to_owned()).header(ContentType::Form);
        let request = request.header(Accept::JSON).remote("192.0.2.1:99".parse().unwrap());
        let problem = visitor.send(request.body(TYPED)).await;
        problem.assert_status(429).assert_text(r#""code":"throttled""#);
        problem.assert_no_text("errors").assert_no_text("detail");
        assert!(problem.is_json() && problem.header("retry-after").is_some(), "{path}");
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_form_that_the_site_is_too_busy_for_is_shown_again() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let verify = app.link(ADA, "/verify/").await;
    ada.post("/reset", &[("email", ADA)]).await;
    let reset = app.link(ADA, "/reset/").await;
    app.execute("ALTER TABLE login_events RENAME TO away").await;
    app.execute("ALTER TABLE login_throttle RENAME TO away_too").await;
    for (visitor, path) in [
        (&app.visitor(), "/login"),
        (&app.visitor(), "/register"),
        (&app.visitor(), "/reset"),
        (&app.visitor(), verify.as_str()),
        (&app.visitor(), reset.as_str()),
        (&ada, "/reauthenticate"),
        (&ada, "/account/password"),
        (&ada, "/account/email"),
        (&ada, "/account/delete"),
    ] {
        let page = visitor.post(path, &fields()).await;
        page.assert_status(503).assert_no_text("login_throttle").assert_no_text("no such table");
        assert_eq!(page.header("retry-after"), Some("5"), "{path}");
        assert_form(&page, path);
        page.assert_text(
            "We&#x27;re busy at the moment. Try again in <span class=\"wait\" data-seconds=\"5\"",
        );

        let request = app.client.post(path.to_owned()).header(ContentType::Form);
        let problem = visitor.send(request.header(Accept::JSON).body(TYPED)).await;
        problem.assert_status(503).assert_text(r#""code":"unavailable""#);
    }
}

fn fields() -> [(&'static str, &'static str); 5] {
    [
        ("email", "new@example.org"),
        ("password", WRONG),
        ("next", "/notes"),
        ("current_password", WRONG),
        ("new_password", WRONG),
    ]
}

#[rocket::async_test]
async fn the_next_page_and_the_ticked_box_survive_the_wait() {
    let app = TestApp::with(|f| f.merge(("throttle.failures", 1))).await;
    let visitor = app.visitor();
    let typed = "email=ada%40example.org&password=x&remember=on&next=%2Fnotes%3Fpage%3D2";
    visitor.post_from(&app, HERE, "/login", typed).await.assert_status(422);
    let page = visitor.post_from(&app, HERE, "/login", typed).await;
    page.assert_status(429).assert_text(r#"value="on" checked"#);
    let body = &page.body;
    assert!(body.contains(r#"name="next" value="/notes?page=2""#), "{body}");
}

#[rocket::async_test]
async fn a_disabled_account_is_an_error_of_no_field() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.execute("UPDATE users SET disabled_at = 1").await;
    for path in ["/login", "/register"] {
        let page = app.visitor().post(path, &[("email", ADA), ("password", PASSWORD)]).await;
        page.assert_status(422).assert_text("This account is disabled.");
        page.assert_no_text("aria-invalid").assert_text(r#"aria-describedby="form-error"#);
    }
    let page = app.visitor().post("/login", &[("email", ADA), ("password", WRONG)]).await;
    assert_eq!(page.body.matches("aria-invalid").count(), 2);
}

#[get("/notes")]
fn notes() -> Error {
    Error::other("a mistake")
}

#[rocket::async_test]
async fn the_page_of_an_outage_offers_to_try_the_same_page_again() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![notes])).await;
    let ada = app.registered(ADA).await;
    let again = |path: &str| format!(r#"<a class="button" href="{path}">Try again</a>"#);
    app.visitor().get("/notes?a=1&b=%22").await.assert_status(500).assert_text("Try again");

    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    for path in ["/account", "/account/sessions?page=2", "/login?next=%2Fnotes"] {
        let page = ada.get(path).await;
        let shown = &page.body;
        assert!(page.status.code == 503 && shown.contains(&again(path)), "{path}: {shown}");
        page.assert_text(">Front page</a>");
    }
    // A form leads to its page, which is one or more steps up.
    let handle = "A".repeat(43);
    for (path, form) in [
        ("/login", "/login"),
        ("/account/password", "/account/password"),
        (&format!("/account/sessions/{handle}/revoke"), "/account/sessions"),
        (&format!("/reset/{handle}"), &format!("/reset/{handle}")),
    ] {
        let page = ada.post(path, &[("email", ADA)]).await;
        let shown = &page.body;
        assert!(page.status.code == 503 && shown.contains(&again(form)), "{path}: {shown}");
    }
    app.execute("ALTER TABLE elsewhere RENAME TO sessions").await;
    ada.get("/account").await.assert_status(200);
}

#[rocket::async_test]
async fn no_request_puts_another_site_behind_try_again() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    for path in ["/account?next=//evil.example", "/login?next=//evil.example"] {
        let page = ada.get(path).await;
        page.assert_status(503).assert_no_text("href=\"http");
        page.assert_no_text("href=\"//");
    }
    let request = app.client.get("/account").header(header("X-Forwarded-Host", "evil.example"));
    ada.send(request).await.assert_status(503).assert_no_text("evil");
}

#[rocket::async_test]
async fn an_outage_in_the_middle_of_a_sign_up_keeps_the_address() {
    let app = TestApp::new().await;
    app.execute(database::failing("full", "INSERT", "sessions")).await;
    let page = app.visitor().post("/register", &[("email", ADA), ("password", PASSWORD)]).await;
    page.assert_status(503).assert_text(r#"value="ada@example.org""#);
    page.assert_no_text(PASSWORD).assert_no_text("disk is full");
    assert_eq!(page.header("set-cookie"), None);
    assert_eq!(app.users().await, 0);
}
