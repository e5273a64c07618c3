//! Log-in with a certified provider, npm's `oidc-provider`. Its clock is the system's, so the sites
//! have this one too.

use rocket::figment::Figment;
use serde_json::{Value, json};

use crate::servers::oidc::{Listener, OidcServer, Person, is_installed};
use crate::support::{Answer, TestApp, Visitor};

/// The site's own address. Nothing listens there: the tests carry each callback to the site.
const SITE: &str = "http://localhost:8000";
const ADA: &str = "ada@example.org";
const LOG_IN: &str = "/login/with/certified";
const LINK: &str = "/account/providers/certified/link";
const UNLINK: &str = "/account/providers/certified/unlink";

/// Starts a provider whose settings `change` changes, and a site that knows it.
async fn site_with(change: impl FnOnce(&mut Value)) -> Option<(OidcServer, TestApp)> {
    if !is_installed() {
        return None;
    }
    let server = OidcServer::with(SITE, change);
    let app = TestApp::in_real_time(|figment| configured(&server, figment)).await;
    Some((server, app))
}

async fn site() -> Option<(OidcServer, TestApp)> {
    site_with(|_| {}).await
}

fn configured(server: &OidcServer, figment: Figment) -> Figment {
    figment.merge(("site.url", SITE)).merge(("providers", server.configured()))
}

/// Returns the address at the provider to which an answer leads. After a form it is a page with a
/// link, because browsers stop redirects that follow a form.
fn leads_to(answer: &Answer) -> String {
    let link = || answer.body.split('"').find(|text| text.starts_with("http://127.0.0.1:"));
    let address = answer.header("location").or_else(link);
    address.unwrap_or_else(|| panic!("{}", answer.body)).replace("&amp;", "&")
}

/// Returns the address at the provider to which `path` leads.
async fn begun(visitor: &Visitor<'_>, path: &str) -> String {
    leads_to(&visitor.get(path).await)
}

/// Brings the answer of the provider to the site.
async fn back(visitor: &Visitor<'_>, url: &str) -> Answer {
    let path = url.strip_prefix(SITE).unwrap_or_else(|| panic!("{url} is not at the site"));
    visitor.get(path).await
}

/// Goes from `path` to the provider and back. Returns the answer of the callback, and what the
/// provider has asked.
async fn walk(
    visitor: &Visitor<'_>,
    person: &mut Person,
    path: &str,
) -> (Answer, Vec<&'static str>) {
    let led = person.visit(&begun(visitor, path).await);
    (back(visitor, &led.to).await, led.asked)
}

#[test]
fn the_certified_provider_has_what_these_tests_are_about() {
    if !is_installed() {
        return;
    }
    let server = OidcServer::start(SITE);
    let metadata = server.document("/.well-known/openid-configuration");
    assert_eq!(metadata["issuer"], json!(server.issuer()));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    for feature in [
        "authorization_response_iss_parameter_supported",
        "backchannel_logout_supported",
        "backchannel_logout_session_supported",
    ] {
        assert_eq!(metadata[feature], json!(true), "{feature}");
    }
    let end = json!(format!("{}/session/end", server.issuer()));
    assert_eq!(metadata["end_session_endpoint"], end);
    let keys = server.document("/jwks");
    let algorithms: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|k| &k["alg"]).collect();
    assert_eq!(json!(algorithms), json!(["RS256", "ES256", "EdDSA"]));
}

#[rocket::async_test]
async fn a_visitor_signs_up_with_a_certified_provider_and_logs_in_again() {
    let Some((_server, app)) = site().await else { return };
    let (visitor, mut ada) = (app.visitor(), Person::new("ada"));
    let (answer, asked) = walk(&visitor, &mut ada, LOG_IN).await;
    answer.assert_redirect("/account");
    assert_eq!(asked, ["login", "consent"]);
    visitor.get("/account").await.assert_text(ADA);
    let confirmed = "SELECT count(*) FROM users WHERE verified_at IS NOT NULL";
    assert_eq!(app.count(confirmed).await, 1);

    visitor.log_out().await.assert_redirect("/");
    assert!(!visitor.is_logged_in().await);
    let path = format!("{LOG_IN}?next=%2Faccount%2Fsessions");
    let (answer, asked) = walk(&visitor, &mut ada, &path).await;
    answer.assert_redirect("/account/sessions");
    assert!(asked.is_empty(), "the provider still knows them: {asked:?}");
    assert_eq!(app.users().await, 1);

    let (answer, _) = walk(&app.visitor(), &mut Person::new("bob"), LOG_IN).await;
    answer.assert_redirect("/account");
    assert_eq!(app.users().await, 2);
}

#[rocket::async_test]
async fn each_algorithm_is_verified_and_the_address_is_found_in_the_token_or_at_userinfo() {
    for (algorithm, in_id_token) in
        [("RS256", true), ("RS256", false), ("ES256", true), ("ES256", false), ("EdDSA", false)]
    {
        let change = |settings: &mut Value| {
            settings["in_id_token"] = in_id_token.into();
            settings["client"]["id_token_signed_response_alg"] = algorithm.into();
        };
        let Some((_server, app)) = site_with(change).await else { return };
        let visitor = app.visitor();
        let (answer, _) = walk(&visitor, &mut Person::new("ada"), LOG_IN).await;
        answer.assert_redirect("/account");
        visitor.get("/account").await.assert_text(ADA);
    }
}

#[rocket::async_test]
async fn an_address_that_the_provider_has_not_verified_makes_no_account() {
    let change = |settings: &mut Value| {
        settings["accounts"]["eve"] = json!({ "email_verified": false });
    };
    let Some((_server, app)) = site_with(change).await else { return };
    let visitor = app.visitor();
    let (answer, _) = walk(&visitor, &mut Person::new("eve"), LOG_IN).await;
    answer.assert_status(422);
    assert!(!visitor.is_logged_in().await);
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn a_known_address_is_connected_only_by_the_user_and_disconnected_again() {
    let Some((_server, app)) = site().await else { return };
    let mut person = Person::new("ada");
    app.registered(ADA).await;
    let ada = app.visitor();
    let (answer, _) = walk(&ada, &mut person, LOG_IN).await;
    answer.assert_status(422).assert_text("/login?next=");
    assert!(!ada.is_logged_in().await);
    assert_eq!(app.count("SELECT count(*) FROM login_identities").await, 0);

    ada.log_in(ADA).await.assert_redirect("/account");
    let (answer, _) = walk(&ada, &mut person, LINK).await;
    answer.assert_redirect("/account/security");
    ada.log_out().await;
    let (answer, _) = walk(&ada, &mut person, LOG_IN).await;
    answer.assert_redirect("/account");
    assert_eq!(app.users().await, 1);

    // It takes nobody else's account in.
    let bob = app.registered("bob@example.org").await;
    let (answer, _) = walk(&bob, &mut person, LINK).await;
    answer.assert_status(422);

    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    let (answer, _) = walk(&app.visitor(), &mut person, LOG_IN).await;
    answer.assert_status(422);
}

#[rocket::async_test]
async fn a_code_is_good_once_and_only_in_the_browser_that_began() {
    let Some((_server, app)) = site().await else { return };
    let (visitor, mut ada) = (app.visitor(), Person::new("ada"));
    let start = visitor.get(LOG_IN).await;
    let mut cookies = start.headers.iter().filter_map(|(_, line)| line.split_once('='));
    let (name, _) = cookies.find(|(name, _)| name.starts_with("login-flow-")).expect("a cookie");
    let kept = visitor.cookie(name).unwrap();
    let led = ada.visit(start.header("location").unwrap());

    // A link that leads a victim into the attacker's account (log-in CSRF).
    let victim = app.visitor();
    back(&victim, &led.to).await.assert_status(422);
    assert!(!victim.is_logged_in().await);

    back(&visitor, &led.to).await.assert_redirect("/account");
    assert!(!visitor.has_cookie(name));
    let sessions = app.sessions().await;
    let again = app.visitor();
    for cookie in [None, Some(kept)] {
        if let Some(cookie) = cookie {
            again.set_cookie(name, cookie);
        }
        back(&again, &led.to).await.assert_status(422);
        assert!(!again.is_logged_in().await);
    }
    assert_eq!(app.sessions().await, sessions);
    assert!(visitor.is_logged_in().await);
}

#[rocket::async_test]
async fn a_visitor_who_cancels_at_the_provider_may_try_again() {
    let Some((_server, app)) = site().await else { return };
    let (visitor, mut ada) = (app.visitor(), Person::new("ada"));
    let led = ada.refuse(&begun(&visitor, LOG_IN).await);
    assert!(led.to.contains("error=access_denied"), "{led:?}");
    back(&visitor, &led.to).await.assert_status(422).assert_text(LOG_IN);
    let (answer, _) = walk(&visitor, &mut ada, LOG_IN).await;
    answer.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_provider_asks_again_before_a_sensitive_act() {
    let Some((_server, app)) = site().await else { return };
    let (visitor, mut ada) = (app.visitor(), Person::new("ada"));
    walk(&visitor, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    let to_deletion = "/reauthenticate?next=%2Faccount%2Fdelete";
    let again = "/reauthenticate/with/certified?next=%2Faccount%2Fdelete";
    let make_old = "UPDATE sessions SET authenticated_at = authenticated_at - 3000";

    app.execute(make_old).await;
    visitor.get("/account/delete").await.assert_redirect(to_deletion);
    // Somebody else at the same screen does not become Ada.
    let (answer, _) = walk(&visitor, &mut Person::new("bob"), again).await;
    answer.assert_status(422);
    visitor.get("/account/delete").await.assert_redirect(to_deletion);

    let (answer, asked) = walk(&visitor, &mut ada, again).await;
    assert_eq!(asked.first(), Some(&"login"));
    answer.assert_redirect("/account/delete");
    visitor.get("/account/delete").await.assert_status(200);
    assert_eq!(app.users().await, 1);
}

#[rocket::async_test]
async fn the_provider_ends_the_sessions_that_began_with_it() {
    let listener = Listener::start();
    let change = |settings: &mut Value| {
        settings["client"]["backchannel_logout_uri"] = listener.url.as_str().into();
    };
    let Some((server, app)) = site_with(change).await else { return };
    let (one, mut ada) = (app.visitor(), Person::new("ada"));
    walk(&one, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    // Another browser is another session at the provider.
    let (other, mut elsewhere) = (app.visitor(), Person::new("ada"));
    walk(&other, &mut elsewhere, LOG_IN).await.0.assert_redirect("/account");

    log_out_at(&server, &mut ada);
    let token = listener.next();
    let path = format!("{LOG_IN}/logout");
    let answer = app.visitor().post_raw(&path, &token).await;
    answer.assert_status(200);
    assert!(answer.header("cache-control").unwrap().contains("no-store"));
    assert!(!one.is_logged_in().await);
    assert!(other.is_logged_in().await);

    // The token is good once.
    walk(&one, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    app.visitor().post_raw(&path, &token).await.assert_status(400);
    assert!(one.is_logged_in().await);
}

#[rocket::async_test]
async fn a_log_out_token_without_a_session_ends_all_that_began_with_the_identity() {
    let listener = Listener::start();
    let change = |settings: &mut Value| {
        settings["client"]["backchannel_logout_uri"] = listener.url.as_str().into();
        settings["client"]["backchannel_logout_session_required"] = false.into();
    };
    let Some((server, app)) = site_with(change).await else { return };
    let (one, other, bob) = (app.visitor(), app.visitor(), app.visitor());
    let mut ada = Person::new("ada");
    walk(&one, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    walk(&other, &mut Person::new("ada"), LOG_IN).await.0.assert_redirect("/account");
    walk(&bob, &mut Person::new("bob"), LOG_IN).await.0.assert_redirect("/account");
    log_out_at(&server, &mut ada);
    let path = format!("{LOG_IN}/logout");
    app.visitor().post_raw(&path, listener.next()).await.assert_status(200);
    assert!(!listener.has_more());
    for visitor in [&one, &other] {
        assert!(!visitor.is_logged_in().await);
    }
    assert!(bob.is_logged_in().await);
}

/// Logs out at the provider alone.
fn log_out_at(server: &OidcServer, person: &mut Person) {
    let back = format!("{SITE}/login");
    let end = format!("{}/session/end?client_id=site", server.issuer());
    let led = person.visit(&format!("{end}&post_logout_redirect_uri={back}"));
    assert_eq!((led.asked, led.to), (vec!["logout"], back));
}

#[rocket::async_test]
async fn one_press_logs_out_here_and_at_the_provider() {
    let Some((_server, app)) = site().await else { return };
    let (visitor, mut ada) = (app.visitor(), Person::new("ada"));
    walk(&visitor, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    visitor.get("/logout").await.assert_text("the certified one");
    let answer = visitor.post("/logout", &[("provider", "true")]).await;
    assert!(!visitor.is_logged_in().await);
    answer.assert_status(200);
    let led = ada.visit(&leads_to(&answer));
    assert_eq!((led.asked, led.to), (vec!["logout"], format!("{SITE}/login")));
    let (_, asked) = walk(&visitor, &mut ada, LOG_IN).await;
    assert_eq!(asked.first(), Some(&"login"));
}

#[rocket::async_test]
async fn a_provider_that_is_down_and_returns_with_new_keys_stops_nobody_for_long() {
    let Some((mut server, app)) = site().await else { return };
    let (visitor, mut ada) = (app.visitor(), Person::new("ada"));
    walk(&visitor, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    visitor.log_out().await;

    let led = ada.visit(&begun(&visitor, LOG_IN).await);
    server.stop();
    back(&visitor, &led.to).await.assert_status(503);
    visitor.get("/login").await.assert_status(200).assert_text(LOG_IN);

    // It has forgotten its sessions, and signs with keys that the site has never seen.
    server.start_again();
    walk(&visitor, &mut ada, LOG_IN).await.0.assert_redirect("/account");
    assert_eq!(app.users().await, 1);
}

#[rocket::async_test]
async fn a_provider_that_has_never_answered_is_tried_again() {
    let Some((mut server, app)) = site().await else { return };
    server.stop();
    let visitor = app.visitor();
    visitor.get(LOG_IN).await.assert_status(503).assert_text("/login");
    assert_eq!(app.sessions().await, 0);
}
