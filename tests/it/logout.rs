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
async fn logging_out_clears_what_the_browser_kept() {
    let app = TestApp::new().await;
    let answer = app.registered("ada@example.org").await.log_out().await;
    assert_eq!(answer.header("clear-site-data"), Some(r#""storage""#));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[rocket::async_test]
async fn logging_out_twice_or_as_nobody_works_alike() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    visitor.log_out().await.assert_redirect("/");
    visitor.log_out().await.assert_redirect("/");
}

#[rocket::async_test]
async fn a_link_to_the_log_out_page_changes_nothing() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let page = ada.get("/logout").await;
    page.assert_status(200).assert_text(r#"<button type="submit">Log out</button>"#);
    ada.send(app.client.head("/logout")).await.assert_status(200);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn only_the_session_that_logs_out_ends() {
    let app = TestApp::new().await;
    let one = app.registered("ada@example.org").await;
    let other = app.visitor();
    other.log_in("ada@example.org").await.assert_status(303);
    one.log_out().await.assert_redirect("/");
    assert!(!one.is_logged_in().await);
    assert!(other.is_logged_in().await);
}
