//! Showing once more who one is, by the provider.

use rocket::http::Accept;
use rocket::{get, routes};
use rocket_login::StrongLogin;
use serde_json::json;

use super::{ADA, BOB, Site, assert_flow_ended, leads_to};
use crate::factors::{add_app, confirmed};
use crate::servers::liar::Part;
use crate::support::Visitor;

const AGAIN: &str = "/reauthenticate/with/test?next=%2Faccount%2Fdelete";

#[get("/payroll")]
fn payroll(user: StrongLogin<'_>) -> String {
    user.email.to_string()
}

/// Returns `true` if the log-in of the visitor is recent.
async fn is_recent(visitor: &Visitor<'_>) -> bool {
    let answer = visitor.get("/account/delete").await;
    if answer.status.code == 303 {
        answer.assert_redirect("/reauthenticate?next=%2Faccount%2Fdelete");
    }
    answer.status.code == 200
}

/// Returns a visitor who has signed up with the provider, some time ago.
async fn came_long_ago(site: &Site) -> Visitor<'_> {
    let ada = site.came().await;
    site.advance(11 * 60);
    assert!(!is_recent(&ada).await);
    ada
}

#[rocket::async_test]
async fn a_new_log_in_at_the_provider_is_a_recent_one() {
    let site = Site::new().await;
    let ada = came_long_ago(&site).await;
    let old = ada.session_cookie();
    let page = ada.get("/reauthenticate?next=%2Faccount%2Fdelete").await;
    assert!(super::unescaped(&page.body).contains(AGAIN), "{}", page.body);

    let back = site.go(&ada, AGAIN).await;
    let asked = site.liar.asked();
    assert_eq!((asked["prompt"].as_str(), asked["max_age"].as_str()), ("login", "0"));
    let answer = site.come_back(&ada, &back).await;
    answer.assert_redirect("/account/delete");
    assert_flow_ended(&answer);
    assert!(is_recent(&ada).await);
    let stolen = site.visitor();
    stolen.set_cookie("session", old);
    assert!(!stolen.is_logged_in().await);
    assert_eq!(site.sessions().await, 1);
}

#[rocket::async_test]
async fn another_identity_confirms_nobody() {
    let site = Site::new().await;
    let ada = came_long_ago(&site).await;
    for (subject, email) in [("1002", ADA), ("1002", BOB)] {
        site.liar.is(subject, email);
        let before = site.state().await;
        let back = site.go(&ada, AGAIN).await;
        let answer = site.come_back(&ada, &back).await;
        answer.assert_status(422);
        assert_flow_ended(&answer);
        assert!(!is_recent(&ada).await);
        ada.get("/account").await.assert_text(ADA);
        assert_eq!(site.state().await, before);
    }
    // Nor does an identity that has an account, which is not this one.
    let bob = site.visitor();
    site.liar.is("1002", BOB);
    site.log_in(&bob).await.assert_redirect("/account");
    let back = site.go(&ada, AGAIN).await;
    site.come_back(&ada, &back).await.assert_status(422);
    assert!(!is_recent(&ada).await);
    ada.get("/account").await.assert_text(ADA);
}

#[rocket::async_test]
async fn an_old_log_in_at_the_provider_is_not_a_new_one() {
    let site = Site::new().await;
    let ada = came_long_ago(&site).await;
    for old in [json!(site.clock.now() - 3600), json!(0), json!(site.clock.now() - 11 * 60)] {
        site.liar.says(Part::Claims, "auth_time", old.clone());
        let back = site.go(&ada, AGAIN).await;
        let answer = site.come_back(&ada, &back).await;
        assert_eq!(answer.status.code, 422, "{old}: {}", answer.body);
        assert!(!is_recent(&ada).await, "{old}");
    }
    // A provider that does not say when it was is believed.
    site.liar.omits(Part::Claims, "auth_time");
    let back = site.go(&ada, AGAIN).await;
    site.come_back(&ada, &back).await.assert_redirect("/account/delete");
    assert!(is_recent(&ada).await);
}

#[rocket::async_test]
async fn the_answer_to_a_log_in_is_no_new_log_in() {
    let site = Site::new().await;
    let ada = came_long_ago(&site).await;
    let before = site.sessions().await;
    // A log-in may rest on an old session at the provider, but it is a log-in here.
    site.log_in(&ada).await.assert_redirect("/account");
    assert_eq!(site.sessions().await, before);
    // The answer of a re-authentication makes no session for somebody who is logged out.
    let back = site.go(&ada, AGAIN).await;
    ada.log_out().await.assert_redirect("/");
    site.come_back(&ada, &back).await;
    assert!(!ada.is_logged_in().await);
    assert_eq!(site.sessions().await, 0);
}

#[rocket::async_test]
async fn only_the_session_that_began_a_reauthentication_ends_it() {
    let site = Site::new().await;
    let ada = came_long_ago(&site).await;
    let back = site.go(&ada, AGAIN).await;
    let bob = confirmed(&site, BOB).await;
    site.advance(11 * 60);
    site.come_back(&bob, &back).await.assert_status(422);
    assert!(!is_recent(&bob).await);

    let back = site.go(&ada, AGAIN).await;
    ada.log_in(BOB).await.assert_redirect("/account");
    site.come_back(&ada, &back).await.assert_status(422);
    ada.get("/account").await.assert_text(BOB);
}

#[rocket::async_test]
async fn a_provider_that_is_not_the_users_own_confirms_nobody() {
    let site = Site::new().await;
    let bob = confirmed(&site, BOB).await;
    site.advance(11 * 60);
    let page = bob.get("/reauthenticate?next=%2Faccount%2Fdelete").await;
    page.assert_status(200).assert_no_text("/reauthenticate/with/");
    let answer = bob.get(AGAIN).await;
    if answer.status.code == 303 {
        let back = site.liar.answer(&leads_to(&answer));
        site.come_back(&bob, &back).await.assert_status(422);
    }
    assert!(!is_recent(&bob).await);
    assert_eq!(site.identities().await, 0);
    let visitor = site.visitor();
    let answer = visitor.get(AGAIN).await;
    assert!(answer.header("location").unwrap().starts_with("/login?next="));
}

#[rocket::async_test]
async fn the_provider_alone_does_not_stand_in_for_a_second_factor() {
    let liar = crate::servers::liar::Liar::start();
    let build = |rocket: rocket::Rocket<rocket::Build>| rocket.mount("/", routes![payroll]);
    let app =
        crate::support::TestApp::built(|f| super::with_provider(f, "test", &liar), build).await;
    liar.follow(&app.clock);
    let site = Site { app, liar };
    let ada = site.came().await;
    let phone = add_app(&site, &ada).await;
    site.advance(11 * 60);
    let back = site.go(&ada, AGAIN).await;
    let answer = site.come_back(&ada, &back).await;
    assert!(!is_recent(&ada).await);
    let to = leads_to(&answer);
    assert!(to.starts_with("/reauthenticate"), "{to}");
    // The code is what is missing, and a wrong one does not do.
    let fields = [("code", "000000"), ("next", "/account/delete")];
    ada.post("/reauthenticate", &fields).await.assert_status(422);
    assert!(!is_recent(&ada).await);
    let code = phone.code(&site);
    let fields = [("code", &*code), ("next", "/account/delete")];
    ada.post("/reauthenticate", &fields).await.assert_redirect("/account/delete");
    assert!(is_recent(&ada).await);
    ada.get("/payroll").await.assert_text(ADA);
}

#[rocket::async_test]
async fn what_the_provider_has_confirmed_waits_ten_minutes_for_the_code_and_counts_once() {
    let site = Site::new().await;
    let ada = site.came().await;
    let phone = add_app(&site, &ada).await;
    site.advance(11 * 60);
    let give = async || {
        let code = phone.code(&site);
        let fields = [("code", &*code), ("next", "/account/delete")];
        ada.post("/reauthenticate", &fields).await.status.code
    };
    let back = site.go(&ada, AGAIN).await;
    site.come_back(&ada, &back).await;
    site.advance(10 * 60 + 1);
    assert_eq!(give().await, 422, "too late");
    assert!(!is_recent(&ada).await);

    let back = site.go(&ada, AGAIN).await;
    site.come_back(&ada, &back).await;
    site.advance(60);
    assert_eq!(give().await, 303);
    assert!(is_recent(&ada).await);
    site.advance(11 * 60);
    assert_eq!(give().await, 422, "used up");

    // And in no other session of the user.
    let back = site.go(&ada, AGAIN).await;
    site.come_back(&ada, &back).await;
    let other = site.visitor();
    site.log_in(&other).await.assert_redirect("/login/factor");
    other.post("/login/factor", &[("code", &phone.code(&site))]).await.assert_redirect("/account");
    site.advance(11 * 60);
    let back = site.go(&ada, AGAIN).await;
    site.come_back(&ada, &back).await;
    let fields = [("code", &*phone.code(&site)), ("next", "/account/delete")];
    other.post("/reauthenticate", &fields).await.assert_status(422);
    assert!(!is_recent(&other).await);
}

#[rocket::async_test]
async fn a_code_without_the_provider_is_not_enough() {
    let site = Site::new().await;
    let ada = site.came().await;
    let phone = add_app(&site, &ada).await;
    site.advance(11 * 60);
    let code = phone.code(&site);
    let fields = [("code", &*code), ("next", "/account/delete")];
    ada.post("/reauthenticate", &fields).await.assert_status(422);
    assert!(!is_recent(&ada).await);
}

#[rocket::async_test]
async fn a_program_is_led_to_no_provider_without_a_session() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let request = site.client.get(AGAIN).header(Accept::JSON);
    visitor.send(request).await.assert_status(401);
    assert_eq!(site.liar.count_all(), 0);
}
