//! Sensitive acts ask for the password again.

use rocket::{get, post, routes};
use rocket_login::RecentLogin;

use crate::support::{PASSWORD, TestApp, encode};

const ADA: &str = "ada@example.org";
const TEN_MINUTES: u64 = 10 * 60;

#[rocket::async_test]
async fn a_log_in_is_recent_for_exactly_ten_minutes() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.advance(TEN_MINUTES);
    ada.get("/account/delete").await.assert_status(200);
    app.advance(1);
    ada.get("/account/delete").await.assert_redirect("/reauthenticate?next=%2Faccount%2Fdelete");
    // Neither using the session nor a new token counts as a new log-in.
    ada.with_session(async |session| session.regenerate().await.unwrap()).await;
    ada.get("/account/delete").await.assert_redirect("/reauthenticate?next=%2Faccount%2Fdelete");
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn every_sensitive_act_asks_for_the_password_before_it_changes_anything() {
    let app = TestApp::new().await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in(ADA).await;
    let handle = phone.with_session(async |session| session.handle().unwrap()).await;
    app.advance(TEN_MINUTES + 1);
    let before = app.mails().await.len();

    let revoke = format!("/account/sessions/{handle}/revoke");
    for (path, next) in [
        ("/account/email", "/account/email"),
        ("/account/delete", "/account/delete"),
        ("/account/notices", "/account/notices"),
        (&revoke, "/account/sessions"),
        ("/account/sessions/revoke-others", "/account/sessions"),
    ] {
        let fields = [("email", "b@example.org"), ("current_password", PASSWORD)];
        let expected = format!("/reauthenticate?next={}", encode(next));
        ada.post(path, &fields).await.assert_redirect(&expected);
    }
    for path in ["/account/email", "/account/delete", "/account/notices", "/account/export"] {
        let expected = format!("/reauthenticate?next={}", encode(path));
        ada.get(path).await.assert_redirect(&expected);
    }
    assert_eq!((app.users().await, app.sessions().await), (1, 2));
    assert_eq!(app.mails().await.len(), before);
    assert_eq!(app.count("SELECT count(*) FROM login_muted_notices").await, 0);
}

#[rocket::async_test]
async fn giving_the_password_leads_back_and_renews_the_session_id() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.advance(TEN_MINUTES + 1);
    let form = ada.get("/reauthenticate?next=%2Faccount%2Fdelete").await;
    form.assert_status(200)
        .assert_text(r#"autocomplete="username" value="ada@example.org" readonly"#)
        .assert_text(r#"name="next" value="/account/delete""#)
        .assert_no_text("Sign up");
    let old = ada.session_cookie();
    let fields = [("password", PASSWORD), ("next", "/account/delete")];
    ada.post("/reauthenticate", &fields).await.assert_redirect("/account/delete");
    ada.get("/account/delete").await.assert_status(200);

    let thief = app.visitor();
    thief.set_cookie("session", old);
    assert!(!thief.is_logged_in().await);
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn a_wrong_password_is_refused_and_the_return_path_is_kept() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.advance(TEN_MINUTES + 1);
    for password in ["", "wrong horse battery"] {
        let fields = [("password", password), ("next", "/account/delete")];
        let answer = ada.post("/reauthenticate", &fields).await;
        answer.assert_status(422).assert_text(r#"id="password-error""#);
        answer.assert_text(r#"name="next" value="/account/delete""#).assert_no_text("wrong horse");
    }
    ada.get("/account/delete").await.assert_redirect("/reauthenticate?next=%2Faccount%2Fdelete");
}

#[rocket::async_test]
async fn the_return_path_never_leads_to_another_site() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for next in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let fields = [("password", PASSWORD), ("next", next)];
        ada.post("/reauthenticate", &fields).await.assert_redirect("/account");
    }
}

#[rocket::async_test]
async fn a_visitor_who_is_not_logged_in_is_sent_to_the_log_in() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    visitor.get("/reauthenticate").await.assert_redirect("/login?next=%2Freauthenticate");
    visitor.post("/reauthenticate", &[("password", PASSWORD)]).await.assert_redirect("/login");
    visitor.get("/account/export").await.assert_redirect("/login?next=%2Faccount%2Fexport");
}

#[rocket::async_test]
async fn the_time_limit_is_configurable() {
    let app = TestApp::with(|f| f.merge(("session.reauthenticate_after", "1m"))).await;
    let ada = app.registered(ADA).await;
    app.advance(61);
    ada.get("/account/export").await.assert_redirect("/reauthenticate?next=%2Faccount%2Fexport");
}

#[get("/vault?<shelf>")]
fn vault(user: RecentLogin<'_>, shelf: Option<u8>) -> String {
    format!("{} {shelf:?}", user.email)
}

#[post("/vault/<_box>/open")]
fn open(_user: RecentLogin<'_>, _box: u8) -> &'static str {
    "open"
}

#[rocket::async_test]
async fn an_applications_own_routes_ask_for_the_password_as_well() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![vault, open])).await;
    let ada = app.registered(ADA).await;
    ada.get("/vault?shelf=3").await.assert_text("ada@example.org Some(3)");
    app.advance(TEN_MINUTES + 1);
    ada.get("/vault?shelf=3").await.assert_redirect("/reauthenticate?next=%2Fvault%3Fshelf%3D3");
    ada.post("/vault/7/open", &[]).await.assert_redirect("/reauthenticate?next=%2Fvault");
    let json = app.client.get("/vault").header(rocket::http::Accept::JSON);
    ada.send(json).await.assert_status(403);
}
