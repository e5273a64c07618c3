//! A provider that does not answer, answers badly or slowly, or changes its keys.

use std::time::{Duration, Instant};

use rocket::futures::future::join_all;
use serde_json::{Value, json};

use super::{ADA, Site, assert_flow_ended, leads_to};
use crate::servers::liar::{DISCOVERY, Fault, KEYS, Liar, Part, Signing, TOKEN, USER_INFO};
use crate::support::{Answer, TestApp};

const START: &str = "/login/with/test";

/// A little more than the site gives a provider.
const LIMIT: Duration = Duration::from_secs(8);

/// Asserts that the page says that the provider is down, and that it names the other ways in and
/// nothing of the provider's inside.
#[track_caller]
fn assert_down(site: &Site, answer: &Answer) {
    answer.assert_status(503).assert_text("Test").assert_text("/login");
    answer.assert_no_text("127.0.0.1").assert_no_text(site.liar.issuer());
    assert_ne!(answer.header("cache-control"), None);
}

/// The ways to answer badly that need no wait.
fn faults(liar: &Liar) -> Vec<Fault> {
    vec![
        Fault::Huge,
        Fault::HugeUnannounced,
        Fault::Redirect("http://169.254.169.254/latest/meta-data/".into()),
        Fault::Redirect(format!("{}/elsewhere", liar.issuer())),
        Fault::Html,
        Fault::Status(500),
        Fault::Status(404),
        Fault::Cut,
        Fault::Closed,
    ]
}

#[rocket::async_test]
async fn a_provider_that_is_down_is_one_way_in_less() {
    let count = faults(&Liar::start()).len();
    for number in 0..count {
        let site = Site::new().await;
        let fault = faults(&site.liar).swap_remove(number);
        site.liar.fails_everywhere(&fault);
        let (visitor, before) = (site.visitor(), site.state().await);
        let answer = visitor.get(START).await;
        assert_eq!(answer.status.code, 503, "{fault:?}: {}", answer.body);
        assert_down(&site, &answer);
        assert!(super::flow_cookies(&answer).iter().all(|(_, is_set)| !is_set));
        assert_eq!(site.state().await, before);
        assert_eq!(site.liar.count("/elsewhere"), 0, "a redirect was followed");
        // The others go on, and so does this one once it is back.
        site.registered("grace@example.org").await;
        site.visitor().get("/login").await.assert_text(START);
        site.liar.is_honest();
        site.advance(61);
        site.came().await;
    }
}

#[rocket::async_test]
async fn a_provider_that_fails_on_the_way_back_logs_nobody_in() {
    let count = faults(&Liar::start()).len();
    for path in [KEYS, TOKEN, USER_INFO] {
        for number in 0..count {
            let site = Site::new().await;
            let fault = faults(&site.liar).swap_remove(number);
            site.liar.tells_email_at_user_info();
            let (visitor, before) = (site.visitor(), site.state().await);
            let back = site.go(&visitor, START).await;
            site.liar.fails(path, fault.clone());
            // The keys may be known since the beginning.
            let answer = site.come_back(&visitor, &back).await;
            if path == KEYS && site.liar.count(KEYS) == 1 && answer.status.code == 303 {
                continue;
            }
            // It has answered, and not said who that is.
            let is_answer = path != KEYS && matches!(fault, Fault::Status(404));
            if !is_answer || answer.status.code != 422 {
                assert_eq!(answer.status.code, 503, "{path} {fault:?}: {}", answer.body);
                assert_down(&site, &answer);
            }
            assert_flow_ended(&answer);
            assert_eq!(site.state().await, before, "{path} {fault:?}");
            assert_eq!(site.liar.count("/elsewhere"), 0, "a redirect was followed");
            site.liar.is_honest();
            site.advance(61);
            site.log_in(&visitor).await.assert_redirect("/account");
        }
    }
}

/// Returns how long a visitor waits for a provider that is slow at `path`, on the way there or back.
async fn wait(site: &Site, path: &str, fault: Fault) -> (Duration, u16) {
    site.liar.tells_email_at_user_info();
    let visitor = site.visitor();
    let answer = match path {
        DISCOVERY => {
            site.liar.fails(path, fault);
            let start = Instant::now();
            let answer = visitor.get(START).await;
            return (start.elapsed(), answer.status.code);
        }
        _ => site.go(&visitor, START).await,
    };
    site.liar.fails(path, fault);
    let start = Instant::now();
    let answer = site.come_back(&visitor, &answer).await;
    (start.elapsed(), answer.status.code)
}

#[rocket::async_test]
async fn nobody_waits_for_longer_than_five_seconds() {
    let mut sites = Vec::new();
    for path in [DISCOVERY, TOKEN, USER_INFO] {
        for fault in [Fault::Silent, Fault::Drip] {
            sites.push((Site::new().await, path, fault));
        }
    }
    // A new site holds its thread up, so all of them exist before the first visitor waits.
    let waits = sites
        .iter()
        .map(async |(site, path, fault)| (path, fault, wait(site, path, fault.clone()).await));
    for (path, fault, (waited, status)) in join_all(waits).await {
        assert_eq!(status, 503, "{path} {fault:?}");
        assert!(waited < LIMIT, "{path} {fault:?}: {waited:?}");
    }
}

#[rocket::async_test]
async fn a_silent_provider_holds_nobody_else_up() {
    let site = Site::new().await;
    site.registered(ADA).await;
    site.liar.fails(DISCOVERY, Fault::Silent);
    let visitors: Vec<_> = (0..100).map(|_| site.visitor()).collect();
    let start = Instant::now();
    let stuck = join_all(visitors.iter().map(|visitor| visitor.get(START)));
    let others = async {
        let visitor = site.visitor();
        visitor.log_in(ADA).await.assert_redirect("/account");
        visitor.get("/account").await.assert_status(200);
        start.elapsed()
    };
    let (stuck, waited) = rocket::futures::future::join(stuck, others).await;
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    assert!(start.elapsed() < LIMIT * 2, "{:?}", start.elapsed());
    assert!(stuck.iter().all(|answer| answer.status.code == 503));
    // One fetch was enough for all.
    assert!(site.liar.count(DISCOVERY) < 10, "{}", site.liar.count(DISCOVERY));
}

#[rocket::async_test]
async fn a_dead_provider_is_asked_again_only_after_a_while() {
    let site = Site::new().await;
    site.liar.fails(DISCOVERY, Fault::Closed);
    for _ in 0..5 {
        site.visitor().get(START).await.assert_status(503);
    }
    assert!(site.liar.count(DISCOVERY) <= 2, "{}", site.liar.count(DISCOVERY));
    site.liar.is_honest();
    site.advance(61);
    site.came().await;
}

#[rocket::async_test]
async fn metadata_are_renewed_and_the_old_ones_serve_while_the_provider_is_down() {
    let site = Site::new().await;
    site.came().await;
    site.advance(25 * 60 * 60);
    site.liar.fails(DISCOVERY, Fault::Status(500));
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    site.liar.is_honest();
    let before = site.liar.count(DISCOVERY);
    // It is asked again in the background, or at the next use.
    for _ in 0..100 {
        site.advance(25 * 60 * 60);
        site.log_in(&site.visitor()).await.assert_redirect("/account");
        if site.liar.count(DISCOVERY) > before {
            return;
        }
    }
    panic!("the metadata are never renewed");
}

#[rocket::async_test]
async fn a_new_key_is_fetched_when_it_is_needed() {
    let site = Site::new().await;
    site.came().await;
    assert_eq!(site.liar.count(KEYS), 1);
    site.liar.rotates();
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    assert_eq!(site.liar.count(KEYS), 2);
    // Under way, too, and at the back channel.
    site.advance(61);
    let ada = site.visitor();
    let back = site.go(&ada, START).await;
    site.liar.rotates();
    site.come_back(&ada, &back).await.assert_redirect("/account");
    site.advance(61);
    site.liar.rotates();
    let token = site.liar.log_out_token(&json!({ "sid": site.liar.sid() }));
    let fields = [("logout_token", &*token)];
    site.visitor().post("/login/with/test/logout", &fields).await.assert_status(200);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn unknown_keys_are_asked_for_at_most_once_a_minute() {
    let site = Site::new().await;
    site.came().await;
    let first = site.liar.count(KEYS);
    for signing in [Signing::UnknownKid, Signing::OtherKey] {
        site.advance(61);
        let before = site.liar.count(KEYS);
        site.liar.signs(signing);
        for _ in 0..5 {
            site.log_in(&site.visitor()).await.assert_status(422);
            let token = site.liar.log_out_token(&json!({ "sub": "1001" }));
            let fields = [("logout_token", &*token)];
            site.visitor().post("/login/with/test/logout", &fields).await.assert_status(400);
        }
        assert!(site.liar.count(KEYS) <= before + 1, "{signing:?}");
    }
    assert!(site.liar.count(KEYS) > first);
    // Within that minute a good key that is known serves.
    site.liar.is_honest();
    site.log_in(&site.visitor()).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_key_of_the_same_name_does_not_hide_the_right_one() {
    let site = Site::new().await;
    site.liar.doubles_kid();
    site.came().await;
}

#[rocket::async_test]
async fn each_algorithm_that_is_allowed_works() {
    let site = Site::new().await;
    for signing in [Signing::Rs256, Signing::Es256, Signing::EdDsa, Signing::WithoutKid] {
        site.liar.signs(signing);
        let answer = site.log_in(&site.visitor()).await;
        assert_eq!(answer.status.code, 303, "{signing:?}: {}", answer.body);
    }
    assert_eq!((site.users().await, site.liar.count(KEYS)), (1, 1));
}

#[rocket::async_test]
async fn a_client_authenticates_in_the_way_that_the_provider_wants() {
    for methods in [
        Some(json!(["client_secret_post"])),
        Some(json!(["client_secret_basic"])),
        Some(json!(["private_key_jwt", "client_secret_post"])),
        None,
    ] {
        let site = Site::new().await;
        let name = "token_endpoint_auth_methods_supported";
        match methods {
            Some(methods) => site.liar.says(Part::Metadata, name, methods),
            None => site.liar.omits(Part::Metadata, name),
        }
        site.came().await;
    }
}

#[rocket::async_test]
async fn a_provider_may_have_neither_user_info_nor_a_log_out_of_its_own() {
    let site = Site::new().await;
    for name in [
        "userinfo_endpoint",
        "end_session_endpoint",
        "authorization_response_iss_parameter_supported",
        "code_challenge_methods_supported",
        "id_token_signing_alg_values_supported",
    ] {
        site.liar.omits(Part::Metadata, name);
    }
    site.liar.omits(Part::Answer, "iss");
    site.came().await;
}

#[rocket::async_test]
async fn metadata_that_lie_are_not_used() {
    let other = |path: &str| json!(format!("http://169.254.169.254{path}"));
    for (name, value) in [
        ("issuer", Some(json!("https://evil.example"))),
        ("issuer", Some(json!("SELF/"))),
        ("issuer", None),
        ("authorization_endpoint", None),
        ("authorization_endpoint", Some(json!("javascript:alert(1)"))),
        ("authorization_endpoint", Some(json!(7))),
        ("token_endpoint", None),
        ("token_endpoint", Some(other("/token"))),
        ("token_endpoint", Some(json!("http://10.0.0.1/token"))),
        ("token_endpoint", Some(json!("http://[fe80::1]/token"))),
        ("token_endpoint", Some(json!("http://example.org/token"))),
        ("token_endpoint", Some(json!("file:///etc/passwd"))),
        ("token_endpoint", Some(json!("ftp://example.org/token"))),
        ("jwks_uri", None),
        ("jwks_uri", Some(other("/keys"))),
        ("jwks_uri", Some(json!("https://192.168.1.1/keys"))),
        ("userinfo_endpoint", Some(other("/userinfo"))),
    ] {
        let site = Site::new().await;
        match &value {
            Some(Value::String(text)) => {
                let text = text.replace("SELF", site.liar.issuer());
                site.liar.says(Part::Metadata, name, text);
            }
            Some(value) => site.liar.says(Part::Metadata, name, value.clone()),
            None => site.liar.omits(Part::Metadata, name),
        }
        site.liar.tells_email_at_user_info();
        let before = site.state().await;
        let visitor = site.visitor();
        let mut answer = visitor.get(START).await;
        if answer.status.code == 303 {
            // The address is refused when it is needed.
            let back = site.liar.answer(&leads_to(&answer));
            answer = site.come_back(&visitor, &back).await;
        }
        let is_refused = [422, 503].contains(&answer.status.code);
        assert!(is_refused, "{name} {value:?}: {} {:?}", answer.status, answer.header("location"));
        assert_eq!(site.state().await, before, "{name} {value:?}");
    }
}

#[rocket::async_test]
async fn keys_that_are_none_are_not_used() {
    for keys in [json!([]), json!("none"), json!(null), json!([7, null]), json!([{ "kty": "EC" }])]
    {
        let site = Site::new().await;
        let visitor = site.visitor();
        site.liar.says(Part::Keys, "keys", keys.clone());
        let mut answer = visitor.get(START).await;
        if answer.status.code == 303 {
            let back = site.liar.answer(&leads_to(&answer));
            answer = site.come_back(&visitor, &back).await;
        }
        assert!([422, 503].contains(&answer.status.code), "{keys}: {}", answer.status);
        assert_eq!((site.users().await, site.sessions().await), (0, 0));
        site.liar.is_honest();
        site.advance(61);
        site.came().await;
    }
}

#[rocket::async_test]
async fn a_start_does_not_need_the_provider() {
    let liar = Liar::start();
    let figment = |f| super::with_provider(f, "test", &liar);
    liar.fails_everywhere(&Fault::Closed);
    let app = TestApp::with(figment).await;
    app.visitor().get("/readyz").await.assert_status(200);
    assert_eq!(liar.count_all(), 0);
}
