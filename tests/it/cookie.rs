//! The attributes of the session cookie when it is set and when it is removed.

use rocket::figment::Figment;

use crate::support::{Answer, TestApp};

const SECURE: &str = "__Host-session";

/// Returns the answers that set and that remove the cookie.
async fn set_and_removed(app: &TestApp) -> (Answer, Answer) {
    let visitor = app.visitor();
    let set = visitor.register("ada@example.org").await;
    set.assert_status(303);
    (set, visitor.log_out().await)
}

#[rocket::async_test]
async fn in_debug_the_cookie_is_named_session_and_works_over_http() {
    let (set, removed) = set_and_removed(&TestApp::new().await).await;
    assert_eq!(set.cookie_attributes("session"), ["HttpOnly", "Path=/", "SameSite=Lax"]);
    assert_eq!(
        removed.cookie_attributes("session"),
        [
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "HttpOnly",
            "Max-Age=0",
            "Path=/",
            "SameSite=Lax"
        ]
    );
    assert!(removed.set_cookie("session").unwrap().starts_with("session=;"));
}

#[rocket::async_test]
async fn in_release_the_cookie_is_bound_to_this_host_and_to_https() {
    let (set, removed) = set_and_removed(&TestApp::release().await).await;
    assert_eq!(set.cookie_attributes(SECURE), ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
    assert_eq!(
        removed.cookie_attributes(SECURE),
        [
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "HttpOnly",
            "Max-Age=0",
            "Path=/",
            "SameSite=Lax",
            "Secure"
        ]
    );
    assert!(set.set_cookie("session").is_none());
}

#[rocket::async_test]
async fn the_flash_cookie_has_the_same_attributes_and_is_deleted_once_shown() {
    let app = TestApp::release().await;
    let visitor = app.visitor();
    let set = visitor.register("ada@example.org").await;
    assert_eq!(
        set.cookie_attributes("__Host-session-flash"),
        ["HttpOnly", "Max-Age=60", "Path=/", "SameSite=Lax", "Secure"]
    );
    let shown = visitor.get("/account").await;
    shown.assert_text("Welcome!");
    assert!(shown.cookie_attributes("__Host-session-flash").contains(&"Secure"));
    visitor.get("/account").await.assert_no_text("Welcome!");
}

#[rocket::async_test]
async fn the_cookie_has_no_max_age_unless_the_user_is_remembered() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let plain = ada.log_in("ada@example.org").await;
    let has_life = |answer: &Answer| {
        let line = answer.set_cookie("session").unwrap();
        line.contains("Max-Age") || line.contains("Expires")
    };
    assert!(!has_life(&plain));

    let remembered = ada.log_in_remembered("ada@example.org").await;
    assert!(remembered.cookie_attributes("session").contains(&"Max-Age=1209600"));
}

#[rocket::async_test]
async fn a_remembered_cookie_lives_exactly_as_long_as_its_row() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    ada.log_in_remembered("ada@example.org").await;
    for days in 1..30 {
        app.advance(24 * 60 * 60);
        let answer = ada.get("/account").await;
        let expires_at = app.count("SELECT expires_at FROM sessions").await;
        let left = format!("Max-Age={}", expires_at - app.clock.now());
        let attributes = answer.cookie_attributes("session");
        assert!(attributes.contains(&left.as_str()), "day {days}: {left} {attributes:?}");
    }
}

#[rocket::async_test]
async fn an_unremembered_cookie_is_not_sent_again() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    ada.get("/").await;
    app.advance(60 * 60);
    assert_eq!(ada.get("/account").await.header("set-cookie"), None);
}

#[rocket::async_test]
async fn the_cookies_attributes_are_configurable() {
    let configure = |figment: Figment| {
        figment
            .select("release")
            .merge(("session.cookie_name", "__Secure-sid"))
            .merge(("session.cookie_path", "/app"))
            .merge(("session.cookie_domain", "example.org"))
            .merge(("session.same_site", "none"))
            .merge(("session.partitioned", true))
    };
    let (set, removed) = set_and_removed(&TestApp::with(configure).await).await;
    let expected =
        ["Domain=example.org", "HttpOnly", "Partitioned", "Path=/app", "SameSite=None", "Secure"];
    assert_eq!(set.cookie_attributes("__Secure-sid"), expected);
    let removal = removed.cookie_attributes("__Secure-sid");
    assert!(expected.iter().all(|attribute| removal.contains(attribute)), "{removal:?}");
}

#[rocket::async_test]
async fn same_site_may_be_strict() {
    let app = TestApp::with(|figment| figment.merge(("session.same_site", "strict"))).await;
    let (set, _) = set_and_removed(&app).await;
    assert!(set.cookie_attributes("session").contains(&"SameSite=Strict"));
}

#[rocket::async_test]
async fn the_cookie_is_opaque_and_short() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    assert!(ada.session_cookie().len() < 200);
    assert!(!ada.session_cookie().contains("ada"));
}

#[rocket::async_test]
async fn a_response_that_sets_the_cookie_is_not_cached() {
    let app = TestApp::new().await;
    let set = app.visitor().register("ada@example.org").await;
    assert_eq!(set.header("cache-control"), Some("no-store"));
}
