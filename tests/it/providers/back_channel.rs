//! Log-out by the provider, through the back channel.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BOB, Site};
use crate::factors::confirmed;
use crate::servers::liar::{CLIENT, DISCOVERY, Fault, KEYS, Liar, Signing};
use crate::support::{Answer, Visitor, header};

const PATH: &str = "/login/with/test/logout";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Sends a logout token, as a provider does: without a cookie and from no page.
async fn send(site: &Site, token: &str) -> Answer {
    site.visitor().post(PATH, &[("logout_token", token)]).await
}

#[track_caller]
fn assert_taken(answer: &Answer) {
    answer.assert_status(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.set_cookie("session").is_none());
}

/// Returns visitors of one identity, each with the provider's name of their session.
async fn two(site: &Site) -> [(Visitor<'_>, String); 2] {
    let one = (site.came().await, site.liar.sid());
    let other = (site.came().await, site.liar.sid());
    [one, other]
}

#[rocket::async_test]
async fn a_sid_ends_the_sessions_that_began_with_it_and_no_others() {
    let site = Site::new().await;
    let [(one, sid), (other, _)] = two(&site).await;
    site.liar.is("1002", BOB);
    let bob = site.came().await;
    assert_taken(&send(&site, &site.liar.log_out_token(&json!({ "sid": sid }))).await);
    assert!(!one.is_logged_in().await);
    assert!(other.is_logged_in().await && bob.is_logged_in().await);
    assert_eq!(site.sessions().await, 2);
    // Nothing is left to end, and that is right too.
    assert_taken(&send(&site, &site.liar.log_out_token(&json!({ "sid": sid }))).await);
    let unknown = site.liar.log_out_token(&json!({ "sid": "nobody's" }));
    assert_taken(&send(&site, &unknown).await);
    assert_eq!(site.sessions().await, 2);
}

#[rocket::async_test]
async fn a_sub_ends_the_sessions_that_began_by_that_identity_and_no_others() {
    let site = Site::new().await;
    let bob = confirmed(&site, BOB).await;
    let [(one, _), (other, _)] = two(&site).await;
    one.post("/account/password", &[("new_password", "wooden battery horse")]).await;
    let other = match other.is_logged_in().await {
        true => other,
        false => site.came().await,
    };
    let by_password = site.visitor();
    by_password.log_in_with(super::ADA, "wooden battery horse").await.assert_redirect("/account");
    site.connect(&bob).await.assert_status(422);

    let nobody = site.liar.log_out_token(&json!({ "sub": "1002" }));
    assert_taken(&send(&site, &nobody).await);
    assert!(one.is_logged_in().await && other.is_logged_in().await);
    assert_taken(&send(&site, &site.liar.log_out_token(&json!({ "sub": "1001" }))).await);
    assert!(!one.is_logged_in().await && !other.is_logged_in().await);
    assert!(by_password.is_logged_in().await && bob.is_logged_in().await);
}

#[rocket::async_test]
async fn a_sid_with_a_sub_ends_the_sessions_of_both_together() {
    let site = Site::new().await;
    let [(one, sid), (other, _)] = two(&site).await;
    let wrong = site.liar.log_out_token(&json!({ "sid": sid, "sub": "1002" }));
    send(&site, &wrong).await;
    assert!(one.is_logged_in().await, "the session is of somebody else");
    let right = site.liar.log_out_token(&json!({ "sid": sid, "sub": "1001" }));
    assert_taken(&send(&site, &right).await);
    assert!(!one.is_logged_in().await && other.is_logged_in().await);
}

#[rocket::async_test]
async fn the_sid_of_one_provider_ends_no_session_of_another() {
    let (site, other) = (Site::new().await, Liar::start());
    let site = site.restarted(|f| super::with_provider(f, "other", &other)).await;
    other.follow(&site.clock);
    let ada = site.came().await;
    let (sid, claims) = (site.liar.sid(), json!({ "sid": site.liar.sid() }));
    let path = "/login/with/other/logout";
    let fields = [("logout_token", &*other.log_out_token(&claims))];
    assert_taken(&site.visitor().post(path, &fields).await);
    let fields = [("logout_token", &*other.log_out_token(&json!({ "sub": "1001" })))];
    assert_taken(&site.visitor().post(path, &fields).await);
    // A token of the one at the other's address is refused.
    let fields = [("logout_token", &*site.liar.log_out_token(&claims))];
    site.visitor().post(path, &fields).await.assert_status(400);
    assert!(ada.is_logged_in().await);
    assert_taken(&send(&site, &site.liar.log_out_token(&json!({ "sid": sid }))).await);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_logout_token_counts_once() {
    let site = Site::new().await;
    let ada = site.came().await;
    let token = site.liar.log_out_token(&json!({ "sub": "1001" }));
    let twin = site.twin(|f| super::with_provider(f, "test", &site.liar)).await;
    assert_taken(&send(&site, &token).await);
    assert!(!ada.is_logged_in().await);
    let ada = site.came().await;
    send(&site, &token).await.assert_status(400);
    // On every instance.
    twin.visitor().post(PATH, &[("logout_token", &token)]).await.assert_status(400);
    assert!(ada.is_logged_in().await);
    // Even just before it expires.
    site.advance(119);
    send(&site, &token).await.assert_status(400);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_out_reaches_every_instance_within_a_second() {
    let site = Site::with(|f| f.merge(("session.cache", true))).await;
    let configure = |f| super::with_provider(f, "test", &site.liar).merge(("session.cache", true));
    let twin = site.twin(configure).await;
    let there = twin.visitor();
    let back = site.liar.answer(&super::leads_to(&there.get("/login/with/test").await));
    there.get(&back).await.assert_redirect("/account");
    assert!(there.is_logged_in().await && there.is_logged_in().await);
    let token = site.liar.log_out_token(&json!({ "sid": site.liar.sid() }));
    assert_taken(&send(&site, &token).await);
    let told = Instant::now();
    while there.is_logged_in().await {
        assert!(told.elapsed() < Duration::from_secs(1));
    }
}

#[rocket::async_test]
async fn a_session_with_a_new_token_is_still_one_of_the_providers() {
    let site = Site::new().await;
    let ada = site.came().await;
    let sid = site.liar.sid();
    ada.post("/account/password", &[("new_password", "wooden battery horse")]).await;
    ada.post("/reauthenticate", &[("password", "wooden battery horse")]).await.assert_status(303);
    assert!(ada.is_logged_in().await);
    assert_taken(&send(&site, &site.liar.log_out_token(&json!({ "sid": sid }))).await);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_out_meets_a_log_in_that_waits_for_its_second_step() {
    let site = Site::new().await;
    let ada = site.came().await;
    let phone = crate::factors::add_app(&site, &ada).await;
    let visitor = site.visitor();
    site.log_in(&visitor).await.assert_redirect("/login/factor");
    let token = site.liar.log_out_token(&json!({ "sid": site.liar.sid() }));
    assert_taken(&send(&site, &token).await);
    visitor.post("/login/factor", &[("code", &phone.code(&site))]).await.assert_redirect("/login");
    assert!(!visitor.is_logged_in().await && ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_token_without_an_end_is_good_for_two_minutes() {
    let site = Site::new().await;
    let ada = site.came().await;
    let now = site.clock.now();
    let late = site.liar.log_out_token(&json!({ "sub": "1001", "exp": null, "iat": now - 200 }));
    send(&site, &late).await.assert_status(400);
    assert!(ada.is_logged_in().await);
    let fresh = site.liar.log_out_token(&json!({ "sub": "1001", "exp": null, "iat": now - 110 }));
    assert_taken(&send(&site, &fresh).await);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn an_issuer_may_leave_the_type_out() {
    let site = Site::new().await;
    let ada = site.came().await;
    let now = site.clock.now();
    let claims = json!({
        "iss": site.liar.issuer(), "aud": [CLIENT], "iat": now, "exp": now + 60, "jti": "one",
        "sub": "1001", "events": { EVENT: {} },
    });
    assert_taken(&send(&site, &site.liar.signed(&json!({ "typ": null }), &claims)).await);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_logout_token_that_does_not_hold_ends_nothing() {
    let site = Site::new().await;
    let ada = site.came().await;
    let now = site.clock.now();
    let with = |claims: Value| {
        let mut whole = json!({ "sub": "1001" });
        for (name, value) in claims.as_object().unwrap() {
            whole[name] = value.clone();
        }
        site.liar.log_out_token(&whole)
    };
    let usual = json!({
        "iss": site.liar.issuer(), "aud": CLIENT, "iat": now, "exp": now + 120, "jti": "usual",
        "sub": "1001", "events": { EVENT: {} },
    });
    let mut tokens = vec![
        ("empty", String::new()),
        ("no token", "not.a.token".into()),
        ("an id token", site.liar.id_token()),
        ("type of an id token", site.liar.signed(&json!({ "typ": "JWT" }), &usual)),
        ("type", site.liar.signed(&json!({ "typ": "at+jwt" }), &usual)),
        ("long", "a".repeat(300_000)),
    ];
    for (name, claims) in [
        ("issuer", json!({ "iss": "https://evil.example" })),
        ("no issuer", json!({ "iss": null })),
        ("audience", json!({ "aud": "another" })),
        ("no audience", json!({ "aud": null })),
        ("expired", json!({ "exp": now - 61 })),
        ("future", json!({ "iat": now + 86400, "exp": now + 86500 })),
        ("old", json!({ "iat": now - 86400 })),
        ("no time", json!({ "iat": null })),
        ("no events", json!({ "events": null })),
        ("events", json!({ "events": { "http://example.org/event": {} } })),
        ("events as a list", json!({ "events": [EVENT] })),
        ("nonce", json!({ "nonce": "n" })),
        ("no jti", json!({ "jti": null })),
        ("empty jti", json!({ "jti": "" })),
        ("nobody", json!({ "sub": null })),
    ] {
        tokens.push((name, with(claims)));
    }
    for signing in Signing::FALSE {
        site.liar.signs(signing);
        tokens.push(("signature", with(json!({}))));
    }
    site.liar.is_honest();
    for (name, token) in tokens {
        let answer = send(&site, &token).await;
        let is_refused = answer.status.code == 400 || answer.status.code == 413;
        assert!(is_refused, "{name}: {}", answer.status);
        let cache = answer.header("cache-control");
        assert!(cache == Some("no-store") || answer.status.code == 413, "{name}: {cache:?}");
        assert!(ada.is_logged_in().await, "{name}");
    }
    let twice = format!("logout_token={}&logout_token=a", with(json!({})));
    let answer = site.visitor().post_raw(PATH, &twice).await;
    assert!([200, 400, 422].contains(&answer.status.code), "{}", answer.status);
    site.visitor().post(PATH, &[]).await.assert_status(400);
    site.visitor().get(PATH).await.assert_status(405);
}

#[rocket::async_test]
async fn a_logout_token_is_taken_although_it_comes_from_elsewhere() {
    let site = Site::new().await;
    let ada = site.came().await;
    let token = site.liar.log_out_token(&json!({ "sub": "1001" }));
    // A browser that another site makes send it is refused, as with every form.
    let request = site.client.post(PATH).header(header("Sec-Fetch-Site", "cross-site"));
    let request = request.header(rocket::http::ContentType::Form);
    let body = format!("logout_token={token}");
    site.visitor().send(request.body(body)).await.assert_status(403);
    assert!(ada.is_logged_in().await);
    assert_taken(&send(&site, &token).await);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_out_is_refused_while_the_keys_cannot_be_had() {
    let site = Site::new().await;
    let session = site.came().await.session_cookie();
    // It knows nothing of the provider yet.
    let site = site.restarted(|f| f).await;
    for path in [DISCOVERY, KEYS] {
        site.liar.fails(path, Fault::Closed);
    }
    let token = site.liar.log_out_token(&json!({ "sub": "1001" }));
    let answer = send(&site, &token).await;
    assert!([400, 503].contains(&answer.status.code), "{}", answer.status);
    let ada = site.visitor();
    ada.set_cookie("session", session);
    assert!(ada.is_logged_in().await);
    // It may come again: it was not counted.
    site.liar.is_honest();
    site.advance(61);
    assert_taken(&send(&site, &token).await);
    assert!(!ada.is_logged_in().await);
}
