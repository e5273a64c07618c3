//! The way to the provider and back.

use rocket::futures::future::join;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{ADA, BOB, Site, assert_flow_ended, code_of, flow_cookies, leads_to};
use crate::factors::{add_app, confirmed};
use crate::servers::liar::{AUTHORIZE, DISCOVERY, KEYS, Liar, Part, TOKEN};
use crate::support::{TestApp, Visitor};

const START: &str = "/login/with/test";

/// Returns a browser with the cookies of `visitor` that matter here.
fn copy<'a>(app: &'a TestApp, visitor: &Visitor<'_>, flows: &[(String, bool)]) -> Visitor<'a> {
    let copy = app.visitor();
    let flows = flows.iter().map(|(name, _)| name.as_str());
    for name in flows.chain(["session", "session-device", "login"]) {
        if let Some(value) = visitor.cookie(name) {
            copy.set_cookie(name, value);
        }
    }
    copy
}

/// Replaces the parameter `name` of a path by `value`, or takes it away.
fn changed(path: &str, name: &str, value: Option<&str>) -> String {
    let (path, query) = path.split_once('?').unwrap();
    let others = query.split('&').filter(|field| !field.starts_with(&format!("{name}=")));
    let mut fields: Vec<_> = others.map(str::to_owned).collect();
    fields.extend(value.map(|value| format!("{name}={value}")));
    format!("{path}?{}", fields.join("&"))
}

#[rocket::async_test]
async fn the_way_to_the_provider_carries_what_protects_the_way_back() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let answer = visitor.get(START).await;
    answer.assert_status(303);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let cookies = flow_cookies(&answer);
    assert_eq!(cookies.len(), 1);
    let (name, _) = &cookies[0];
    assert_eq!(name.len(), "login-flow-".len() + 8);
    let attributes = answer.cookie_attributes(name);
    assert!(attributes.contains(&"HttpOnly") && attributes.contains(&"SameSite=Lax"));
    assert!(
        attributes.contains(&"Path=/") && attributes.contains(&"Max-Age=600"),
        "{attributes:?}"
    );
    assert_eq!((site.sessions().await, site.users().await), (0, 0));
    assert!(!visitor.has_cookie("session"));

    site.liar.answer(answer.header("location").unwrap());
    let asked = site.liar.asked();
    assert_eq!(asked["redirect_uri"], "http://localhost:8000/login/with/test/callback");
    assert_eq!(asked["scope"].split(' ').collect::<Vec<_>>(), ["openid", "email"]);
    assert!(!asked.contains_key("prompt") && !asked.contains_key("max_age"));
    // Each time everything is new.
    site.liar.answer(&leads_to(&visitor.get(START).await));
    let again = site.liar.asked();
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(asked[name], again[name], "{name}");
    }
}

#[rocket::async_test]
async fn metadata_are_fetched_at_the_first_use_and_kept() {
    let site = Site::new().await;
    site.visitor().get("/login").await.assert_status(200);
    assert_eq!(site.liar.count_all(), 0);
    site.came().await;
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    let counts = [DISCOVERY, KEYS, TOKEN, AUTHORIZE].map(|path| site.liar.count(path));
    assert_eq!(counts, [1, 1, 2, 0]);
}

#[rocket::async_test]
async fn the_page_that_was_asked_for_comes_after_the_log_in() {
    let site = Site::new().await;
    for (next, to) in [
        ("%2Faccount%2Fsessions%3Fpage%3D1", "/account/sessions?page=1"),
        ("%2F%2Fevil.example", "/account"),
        ("%2F%5Cevil.example", "/account"),
        ("https%3A%2F%2Fevil.example%2F", "/account"),
        ("%2Fa%0D%0ASet-Cookie%3A+x", "/account"),
        ("javascript%3Aalert(1)", "/account"),
        ("", "/account"),
    ] {
        let visitor = site.visitor();
        let back = site.go(&visitor, &format!("{START}?next={next}")).await;
        site.come_back(&visitor, &back).await.assert_redirect(to);
        // Nor does the provider decide it.
        let back = site.go(&visitor, START).await;
        let back = format!("{back}&next=%2Faccount%2Fdelete");
        site.come_back(&visitor, &back).await.assert_redirect("/account");
    }
}

#[rocket::async_test]
async fn remember_me_goes_along() {
    let site = Site::new().await;
    for (query, is_remembered) in [("", false), ("?remember=on", true), ("?remember=true", true)] {
        let visitor = site.visitor();
        let back = site.go(&visitor, &format!("{START}{query}")).await;
        let answer = site.come_back(&visitor, &back).await;
        answer.assert_redirect("/account");
        let attributes = answer.cookie_attributes("session");
        let has = attributes.iter().any(|attribute| attribute.starts_with("Max-Age="));
        assert_eq!(has, is_remembered, "{query}: {attributes:?}");
    }
}

#[rocket::async_test]
async fn an_answer_for_another_browser_logs_nobody_in() {
    let site = Site::new().await;
    let (visitor, thief) = (site.visitor(), site.visitor());
    let before = site.state().await;
    // The thief's own answer is handed to somebody else (log-in CSRF).
    let back = site.go(&thief, START).await;
    let answer = site.come_back(&visitor, &back).await;
    answer.assert_status(422);
    assert!(flow_cookies(&answer).is_empty());
    // Somebody with a flow of their own is in no other place.
    let own = site.go(&visitor, START).await;
    site.come_back(&visitor, &back).await.assert_status(422);
    assert_eq!((site.state().await, site.liar.count(TOKEN)), (before, 0));
    // Nothing of it has used up the two flows.
    site.come_back(&thief, &back).await.assert_redirect("/account");
    site.come_back(&visitor, &own).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn an_answer_with_a_wrong_state_or_without_one_logs_nobody_in() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let before = site.state().await;
    let back = site.go(&visitor, START).await;
    let long = "a".repeat(5000);
    for state in [None, Some(""), Some("AAAA"), Some("%00"), Some("%FF"), Some(&*long)] {
        let wrong = changed(&back, "state", state);
        site.come_back(&visitor, &wrong).await.assert_status(422);
    }
    site.come_back(&visitor, "/login/with/test/callback").await.assert_status(422);
    assert_eq!((site.state().await, site.liar.count(TOKEN)), (before, 0));
    site.come_back(&visitor, &back).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn an_answer_without_a_code_logs_nobody_in_and_ends_the_flow() {
    let site = Site::new().await;
    let visitor = site.visitor();
    for code in [None, Some(""), Some("unknown"), Some("%00")] {
        let back = changed(&site.go(&visitor, START).await, "code", code);
        let answer = site.come_back(&visitor, &back).await;
        assert_eq!(answer.status.code, 422, "{code:?}: {}", answer.body);
        assert_flow_ended(&answer);
    }
    assert_eq!((site.users().await, site.sessions().await), (0, 0));
}

#[rocket::async_test]
async fn a_changed_flow_cookie_is_none() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let answer = visitor.get(START).await;
    let back = site.liar.answer(&leads_to(&answer));
    let (name, _) = &flow_cookies(&answer)[0];
    let good = visitor.cookie(name).unwrap();
    let other = site.visitor();
    let begun = other.get(START).await;
    let foreign = other.cookie(&flow_cookies(&begun)[0].0).unwrap();
    for bad in ["", "AAAA", &good[1..], &foreign] {
        let visitor = site.visitor();
        visitor.set_cookie(name, bad);
        site.come_back(&visitor, &back).await.assert_status(422);
    }
    assert_eq!(site.liar.count(TOKEN), 0);
    site.come_back(&visitor, &back).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_same_answer_logs_in_once() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let answer = visitor.get(START).await;
    let back = site.liar.answer(&leads_to(&answer));
    let before = copy(&site, &visitor, &flow_cookies(&answer));
    site.come_back(&visitor, &back).await.assert_redirect("/account");
    let session = visitor.session_cookie();
    // The button "back", and a reload.
    let again = site.come_back(&visitor, &back).await;
    assert!([303, 422].contains(&again.status.code), "{}", again.status);
    assert_eq!(visitor.session_cookie(), session);
    assert!(visitor.is_logged_in().await);
    // A copy of the cookie is worth no more: the provider gives nothing for the code.
    let again = site.come_back(&before, &back).await;
    assert_eq!(again.status.code, 422, "{}", again.body);
    assert!(!before.is_logged_in().await);
    assert_eq!((site.users().await, site.sessions().await), (1, 1));
}

#[rocket::async_test]
async fn the_same_answer_twice_at_once_logs_in_once() {
    for is_known in [false, true] {
        let site = Site::new().await;
        if is_known {
            site.came().await.log_out().await.assert_redirect("/");
        }
        let visitor = site.visitor();
        let answer = visitor.get(START).await;
        let back = site.liar.answer(&leads_to(&answer));
        let twin = copy(&site, &visitor, &flow_cookies(&answer));
        let (one, other) =
            join(site.come_back(&visitor, &back), site.come_back(&twin, &back)).await;
        let statuses = [one.status.code, other.status.code];
        assert!(statuses.iter().all(|status| [303, 422].contains(status)), "{statuses:?}");
        let logged_in = [visitor.is_logged_in().await, twin.is_logged_in().await];
        assert_eq!(logged_in.iter().filter(|is| **is).count(), 1, "{statuses:?}");
        assert_eq!((site.users().await, site.sessions().await), (1, 1), "{statuses:?}");
    }
}

#[rocket::async_test]
async fn a_new_person_in_two_tabs_at_once_gets_one_account() {
    let site = Site::new().await;
    let (one, other) = (site.visitor(), site.visitor());
    let backs = [site.go(&one, START).await, site.go(&other, START).await];
    let (first, second) =
        join(site.come_back(&one, &backs[0]), site.come_back(&other, &backs[1])).await;
    let statuses = [first.status.code, second.status.code];
    assert!(statuses.iter().all(|status| [303, 422].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&303), "{statuses:?}");
    assert_eq!((site.users().await, site.identities().await), (1, 1));
}

#[rocket::async_test]
async fn on_two_instances_an_answer_logs_in_once() {
    let site = Site::new().await;
    let twin = site.twin(|f| super::with_provider(f, "test", &site.liar)).await;
    let visitor = site.visitor();
    let answer = visitor.get(START).await;
    let back = site.liar.answer(&leads_to(&answer));
    // The other instance has not begun the flow, and can end it.
    let there = twin.visitor();
    for (name, _) in flow_cookies(&answer) {
        there.set_cookie(&name, visitor.cookie(&name).unwrap());
    }
    let (one, other) = join(site.come_back(&visitor, &back), there.get(&back)).await;
    let statuses = [one.status.code, other.status.code];
    assert!(statuses.iter().all(|status| [303, 422].contains(status)), "{statuses:?}");
    assert_eq!((site.users().await, site.sessions().await), (1, 1), "{statuses:?}");
}

#[rocket::async_test]
async fn the_answer_of_one_provider_is_worth_nothing_at_another() {
    let (site, other) = (Site::new().await, Liar::start());
    let site = site.restarted(|f| super::with_provider(f, "other", &other)).await;
    other.follow(&site.clock);
    let (visitor, before) = (site.visitor(), site.state().await);
    // The other provider would get the code of the first one (mix-up).
    let back = site.go(&visitor, START).await;
    let mixed = back.replace("/login/with/test/", "/login/with/other/");
    let answer = site.come_back(&visitor, &mixed).await;
    answer.assert_status(422);
    assert_flow_ended(&answer);
    assert_eq!(site.state().await, before);
    assert_eq!((site.liar.count(TOKEN), other.count(TOKEN)), (0, 0));
    site.come_back(&visitor, &back).await.assert_status(422);

    // The state of a flow with one, with the code and the name of the other.
    let back = site.go(&visitor, START).await;
    let started = visitor.get("/login/with/other").await;
    let foreign = other.answer(&leads_to(&started));
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let mixed = changed(&foreign, "state", Some(state)).replace("/with/other/", "/with/test/");
    site.come_back(&visitor, &mixed).await.assert_status(422);
    assert_eq!((site.liar.count(TOKEN), other.count(TOKEN)), (0, 0));
    assert_eq!(site.state().await, before);
}

#[rocket::async_test]
async fn a_flow_lives_for_ten_minutes() {
    let site = Site::new().await;
    let (one, other) = (site.visitor(), site.visitor());
    let backs = [site.go(&one, START).await, site.go(&other, START).await];
    site.advance(9 * 60 + 59);
    site.come_back(&one, &backs[0]).await.assert_redirect("/account");
    site.advance(1);
    let answer = site.come_back(&other, &backs[1]).await;
    answer.assert_status(422);
    assert_flow_ended(&answer);
    assert!(!other.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_out_meanwhile_does_not_matter_to_a_log_in() {
    let site = Site::new().await;
    let ada = site.came().await;
    let back = site.go(&ada, START).await;
    ada.log_out().await.assert_redirect("/");
    let answer = site.come_back(&ada, &back).await;
    assert!([303, 422].contains(&answer.status.code), "{}", answer.status);
    let is_in = answer.status.code == 303;
    assert_eq!(ada.is_logged_in().await, is_in);
    // An old answer logs nobody in again.
    ada.log_out().await.assert_redirect("/");
    site.come_back(&ada, &back).await.assert_status(422);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_browser_has_at_most_five_flows_and_two_tabs_do_not_disturb_each_other() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let (mut backs, mut names) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let answer = visitor.get(START).await;
        backs.push(site.liar.answer(&leads_to(&answer)));
        let begun = flow_cookies(&answer).into_iter().filter(|(_, is_set)| *is_set);
        names.extend(begun.map(|(name, _)| name));
        site.advance(1);
    }
    assert_eq!(names.len(), 7);
    let left = names.iter().filter(|name| visitor.has_cookie(name)).count();
    assert_eq!(left, 5);
    for back in &backs[..2] {
        site.come_back(&visitor, back).await.assert_status(422);
    }
    for back in &backs[2..] {
        site.come_back(&visitor, back).await.assert_redirect("/account");
    }
    assert!(!names.iter().any(|name| visitor.has_cookie(name)));
}

#[rocket::async_test]
async fn a_no_of_the_provider_changes_nothing_and_is_not_repeated_on_the_page() {
    let site = Site::new().await;
    let (visitor, before) = (site.visitor(), site.state().await);
    for error in ["access_denied", "login_required", "server_error", "<script>alert(1)</script>"] {
        let back = site.liar.deny(&leads_to(&visitor.get(START).await), error);
        let back = format!("{back}&error_description=%3Cscript%3Ealert(2)%3C%2Fscript%3E");
        let answer = site.come_back(&visitor, &back).await;
        answer.assert_no_text("alert(").assert_text("/login");
        let is_right = match error {
            "server_error" => [422, 503].contains(&answer.status.code),
            _ => answer.status.code == 422,
        };
        assert!(is_right, "{error}: {}", answer.status);
        assert_flow_ended(&answer);
    }
    assert_eq!((site.state().await, site.liar.count(TOKEN)), (before, 0));
}

#[rocket::async_test]
async fn a_no_and_a_code_together_are_a_no() {
    let site = Site::new().await;
    let visitor = site.visitor();
    site.liar.says(Part::Answer, "error", "access_denied");
    site.log_in(&visitor).await.assert_status(422);
    assert_eq!((site.liar.count(TOKEN), site.users().await), (0, 0));
}

#[rocket::async_test]
async fn a_parameter_that_comes_twice_logs_nobody_in_wrongly() {
    let site = Site::new().await;
    let (one, other) = (site.visitor(), site.visitor());
    let back = site.go(&one, START).await;
    let foreign = site.go(&other, START).await;
    let code = foreign.split("code=").nth(1).unwrap().split('&').next().unwrap();
    // The code of another flow has another verifier and another nonce.
    let answer = site.come_back(&one, &format!("{back}&code={code}")).await;
    assert!([303, 400, 422].contains(&answer.status.code), "{}", answer.status);
    site.liar.is("1002", BOB);
    if answer.status.code == 303 {
        one.get("/account").await.assert_text(ADA);
    }
    let mixed = changed(&site.go(&one, START).await, "code", Some(code));
    site.come_back(&one, &mixed).await.assert_status(422);
}

#[rocket::async_test]
async fn with_strict_cookies_a_page_leads_on_after_the_log_in() {
    let site = Site::with(|f| f.merge(("session.same_site", "strict"))).await;
    let visitor = site.visitor();
    let begun = visitor.get(&format!("{START}?next=%2Faccount%2Fsessions")).await;
    let (name, _) = &flow_cookies(&begun)[0];
    assert!(begun.cookie_attributes(name).contains(&"SameSite=Lax"));
    let back = site.liar.answer(&leads_to(&begun));
    let answer = site.come_back(&visitor, &back).await;
    // The browser keeps its strict cookies back from a request to which another site leads, so the
    // page leads to the same address once more.
    answer.assert_status(200).assert_text("http-equiv=\"refresh\"");
    let answer = visitor.get(&leads_to(&answer)).await;
    answer.assert_redirect("/account/sessions");
    assert!(answer.cookie_attributes("session").contains(&"SameSite=Strict"));
    visitor.get("/account/sessions").await.assert_status(200);
}

#[rocket::async_test]
async fn with_strict_cookies_a_user_connects_a_provider_all_the_same() {
    let site = Site::with(|f| f.merge(("session.same_site", "strict"))).await;
    let ada = confirmed(&site, ADA).await;
    let back = site.go(&ada, "/account/providers/test/link").await;
    // The browser does not send the strict cookie to a page that another site leads to.
    let without = site.visitor();
    let name = flow_name(&back);
    without.set_cookie(&name, ada.cookie(&name).unwrap());
    let mut answer = site.come_back(&without, &back).await;
    let mut visitor = &without;
    // A page of ours leads on to where the cookie is sent.
    for _ in 0..2 {
        if site.identities().await == 1 {
            break;
        }
        let next = leads_to(&answer);
        visitor = &ada;
        answer = visitor.get(&next).await;
    }
    assert_eq!(leads_to(&answer), "/account/security");
    assert_eq!(site.identities().await, 1);
    assert!(visitor.is_logged_in().await);
}

/// Returns the name of the cookie of the flow to which `back` belongs.
fn flow_name(back: &str) -> String {
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let digest = Sha256::digest(state);
    let hash: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("login-flow-{hash}")
}

#[rocket::async_test]
async fn a_second_factor_is_asked_for_after_the_provider() {
    let site = Site::new().await;
    let ada = site.came().await;
    let phone = add_app(&site, &ada).await;
    let visitor = site.visitor();
    let back = site.go(&visitor, &format!("{START}?next=%2Faccount%2Fsessions")).await;
    let answer = site.come_back(&visitor, &back).await;
    answer.assert_redirect("/login/factor?next=%2Faccount%2Fsessions");
    assert!(!visitor.is_logged_in().await);
    visitor.post("/login/factor", &[("code", "000000")]).await.assert_status(422);
    let code = phone.code(&site);
    let fields = [("code", &*code), ("next", "/account/sessions")];
    visitor.post("/login/factor", &fields).await.assert_redirect("/account/sessions");
    assert!(visitor.is_logged_in().await);
    // And its session is known as one of the provider's.
    let token = site.liar.log_out_token(&json!({ "sid": site.liar.sid() }));
    let fields = [("logout_token", &*token)];
    site.visitor().post("/login/with/test/logout", &fields).await.assert_status(200);
    assert!(!visitor.is_logged_in().await && ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_in_that_waits_for_its_second_step_ends_with_the_provider() {
    let site = Site::new().await;
    let ada = site.came().await;
    let phone = add_app(&site, &ada).await;
    let code = phone.code(&site);
    let visitor = site.visitor();
    site.log_in(&visitor).await.assert_redirect("/login/factor");
    ada.post("/account/password", &[("new_password", "wooden battery horse")]).await;
    // The new password ends what waits.
    visitor.post("/login/factor", &[("code", &code)]).await.assert_redirect("/login");

    site.log_in(&visitor).await.assert_redirect("/login/factor");
    ada.post("/account/providers/test/unlink", &[]).await.assert_redirect("/account/security");
    visitor.post("/login/factor", &[("code", &phone.code(&site))]).await;
    assert!(!visitor.is_logged_in().await, "the provider was disconnected meanwhile");
}

#[rocket::async_test]
async fn a_strong_provider_counts_as_two_factors() {
    let site = Site::with(|f| f.merge(("providers.test.strong", true))).await;
    let ada = site.came().await;
    add_app(&site, &ada).await;
    let visitor = site.visitor();
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.get("/account/delete").await.assert_status(200);
}

#[rocket::async_test]
async fn a_program_is_told_why_with_a_code() {
    let site = Site::new().await;
    let visitor = site.visitor();
    let answer = super::json(&site, &visitor, "/login/with/test/callback?code=a&state=b").await;
    answer.assert_status(422);
    let expired = code_of(&answer);
    site.liar.says(Part::Claims, "nonce", "another");
    let back = site.go(&visitor, START).await;
    let answer = super::json(&site, &visitor, &back).await;
    answer.assert_status(422);
    let refused = code_of(&answer);
    site.liar.is_honest();
    site.registered(ADA).await;
    let back = site.go(&visitor, START).await;
    let answer = super::json(&site, &visitor, &back).await;
    answer.assert_status(422);
    let known = code_of(&answer);
    let back = site.liar.deny(&leads_to(&visitor.get(START).await), "access_denied");
    let denied = code_of(&super::json(&site, &visitor, &back).await);
    let codes = [expired, refused, known, denied];
    for (number, code) in codes.iter().enumerate() {
        assert!(!code.is_empty() && !codes[..number].contains(code), "{codes:?}");
    }
    let unknown = super::json(&site, &visitor, "/login/with/nowhere").await;
    unknown.assert_status(404);
    code_of(&unknown);
}

#[rocket::async_test]
async fn names_that_are_not_configured_are_not_found() {
    let site = Site::new().await;
    let visitor = site.visitor();
    for name in ["nowhere", "TEST", "test%20", "callback", "..", "test%2F"] {
        let path = format!("/login/with/{name}");
        visitor.get(&path).await.assert_status(404);
        visitor.get(&format!("{path}/callback")).await.assert_status(404);
    }
    assert_eq!(site.liar.count_all(), 0);
}
