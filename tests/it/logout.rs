//! Logging out.

use crate::support::TestApp;

#[rocket::async_test]
async fn logging_out_ends_the_session_on_the_server() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let cookie = ada.session_cookie();
    ada.log_out().await.assert_redirect("/");
    assert_eq!(app.sessions().await, 0);
    assert!(!ada.has_cookie("session"));
    ada.get("/").await.assert_text("You are logged out.").assert_no_text("ada@");

    ada.set_cookie("session", cookie);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn logging_out_clears_the_browsers_storage() {
    let app = TestApp::new().await;
    let answer = app.registered("ada@example.org").await.log_out().await;
    assert_eq!(answer.header("clear-site-data"), Some(r#""storage""#));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[rocket::async_test]
async fn logging_out_without_a_session_succeeds() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    visitor.log_out().await.assert_redirect("/");
    visitor.log_out().await.assert_redirect("/");
}

#[rocket::async_test]
async fn opening_the_log_out_page_logs_nobody_out() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let page = ada.get("/logout").await;
    page.assert_status(200).assert_text(r#"<button type="submit">Log out</button>"#);
    ada.send(app.client.head("/logout")).await.assert_status(200);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn logging_out_ends_only_this_session() {
    let app = TestApp::new().await;
    let one = app.registered("ada@example.org").await;
    let other = app.visitor();
    other.log_in("ada@example.org").await.assert_status(303);
    one.log_out().await.assert_redirect("/");
    assert!(!one.is_logged_in().await);
    assert!(other.is_logged_in().await);
}
