//! Passkeys: at the log-in, as the second step, and in the settings.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rocket::figment::Figment;
use rocket::http::Accept;
use rocket::{Rocket, get, routes};
use rocket_login::StrongLogin;
use rocket_login::testing::Authenticator;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::factors::{ADA, confirmed, half_way};
use crate::support::{Answer, PASSWORD, TestApp, Visitor};

const ORIGIN: &str = "http://localhost:8000";

pub fn phone() -> Authenticator {
    Authenticator::new(ORIGIN)
}

/// Returns the options that the site sends for `path`.
pub async fn options(visitor: &Visitor<'_>, path: &str) -> String {
    let answer = visitor.post(&format!("{path}/options"), &[]).await;
    answer.assert_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.body
}

/// Adds a passkey to the account of the visitor, and returns the answer.
pub async fn add(visitor: &Visitor<'_>, phone: &Authenticator, name: &str) -> Answer {
    let credential = phone.create(&options(visitor, "/account/passkeys").await);
    visitor.post("/account/passkeys", &[("credential", &credential), ("name", name)]).await
}

/// Returns a visitor who has confirmed the address and added a passkey.
pub async fn with_passkey<'a>(app: &'a TestApp, phone: &Authenticator) -> Visitor<'a> {
    let ada = confirmed(app, ADA).await;
    add(&ada, phone, "").await.assert_status(200).assert_text("Your recovery codes");
    ada
}

pub async fn log_in(visitor: &Visitor<'_>, phone: &Authenticator) -> Answer {
    let credential = phone.get(&options(visitor, "/login/passkey").await);
    visitor.post("/login/passkey", &[("credential", &credential)]).await
}

#[get("/payroll")]
fn payroll(user: StrongLogin<'_>) -> String {
    user.email.to_string()
}

#[rocket::async_test]
async fn a_passkey_logs_in_alone_and_counts_as_two_factors() {
    let build = |rocket: Rocket<rocket::Build>| rocket.mount("/", routes![payroll]);
    let app = TestApp::built(|f| f, build).await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    ada.get("/payroll").await.assert_text(ADA);
    let browser = app.visitor();
    let page = browser.get("/login").await;
    page.assert_text("autocomplete=\"username webauthn\"").assert_text("Log in with a passkey");
    let asked: Value = serde_json::from_str(&options(&browser, "/login/passkey").await).unwrap();
    assert_eq!(asked["rpId"], "localhost");
    assert_eq!(asked["userVerification"], "required");
    assert_eq!(asked["allowCredentials"], Value::Array(Vec::new()));

    log_in(&browser, &phone).await.assert_redirect("/account");
    browser.get("/payroll").await.assert_text(ADA);
    browser.get("/account/delete").await.assert_status(200);
    browser.get("/account/security").await.assert_text("Last used").assert_text("On one device");
}

#[rocket::async_test]
async fn an_answer_of_a_passkey_logs_in_once() {
    let app = TestApp::with(|f| f.merge(("throttle.enabled", false))).await;
    let phone = phone();
    with_passkey(&app, &phone).await;
    let credential = phone.get(&options(&app.visitor(), "/login/passkey").await);
    let visitors: Vec<_> = (0..64).map(|_| app.visitor()).collect();
    let fields = [("credential", credential.as_str())];
    let uses = visitors.iter().map(|visitor| visitor.post("/login/passkey", &fields));
    let answers = rocket::futures::future::join_all(uses).await;
    let is_in = |answer: &&Answer| answer.header("location") == Some("/account");
    assert_eq!(answers.iter().filter(is_in).count(), 1);
    let refused = answers.iter().find(|answer| answer.status.code == 422).unwrap();
    refused.assert_text("This passkey didn");
}

#[rocket::async_test]
async fn an_answer_to_another_question_logs_nobody_in() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    let browser = half_way(&app, ADA).await;
    let at_reauthentication = options(&ada, "/reauthenticate/passkey").await;
    let at_second_step = options(&browser, "/login/factor/passkey").await;
    for question in [at_reauthentication, at_second_step] {
        let fields = [("credential", &*phone.get(&question))];
        app.visitor().post("/login/passkey", &fields).await.assert_status(422);
    }
    let late = options(&browser, "/login/passkey").await;
    app.advance(6 * 60);
    let fields = [("credential", &*phone.get(&late))];
    app.visitor().post("/login/passkey", &fields).await.assert_status(422);
    // What the site did not ask is answered by nobody.
    let own = late.replacen("\"challenge\":\"", "\"challenge\":\"AAAA", 1);
    let fields = [("credential", &*phone.get(&own))];
    app.visitor().post("/login/passkey", &fields).await.assert_status(422);
}

#[rocket::async_test]
async fn a_passkey_of_another_site_or_without_verification_does_not_log_in_alone() {
    let app = TestApp::new().await;
    let key = phone().without_verification();
    with_passkey(&app, &key).await;
    let browser = app.visitor();
    log_in(&browser, &key).await.assert_status(422);
    // As a second step it is enough.
    let half = half_way(&app, ADA).await;
    let credential = key.get(&options(&half, "/login/factor/passkey").await);
    let fields = [("credential", &*credential), ("next", "/account/sessions")];
    half.post("/login/factor/passkey", &fields).await.assert_redirect("/account/sessions");

    let elsewhere = Authenticator::new("http://localhost:8001");
    let answer = add(&half, &elsewhere, "").await;
    answer.assert_status(422).assert_text("This passkey didn");
    for broken in ["", "{}", "[]", "null", "\u{0}"] {
        let fields = [("credential", broken)];
        app.visitor().post("/login/passkey", &fields).await.assert_status(422);
    }
}

#[rocket::async_test]
async fn a_stranger_with_the_password_cannot_use_a_passkey_of_their_own() {
    let app = TestApp::new().await;
    let (phone, thiefs) = (phone(), self::phone());
    with_passkey(&app, &phone).await;
    let bob = confirmed(&app, "bob@example.org").await;
    add(&bob, &thiefs, "").await.assert_status(200);
    let half = half_way(&app, ADA).await;
    let asked = options(&half, "/login/factor/passkey").await;
    let mut asked: Value = serde_json::from_str(&asked).unwrap();
    asked["allowCredentials"] = Value::Array(Vec::new());
    let fields = [("credential", &*thiefs.get(&asked.to_string()))];
    half.post("/login/factor/passkey", &fields).await.assert_status(422);
    assert!(!half.is_logged_in().await);
}

#[rocket::async_test]
async fn passkeys_are_named_renamed_and_removed() {
    let app = TestApp::new().await;
    let (one, other) = (phone(), phone().synced());
    let ada = with_passkey(&app, &one).await;
    add(&ada, &other, " Ada's phone ").await.assert_redirect("/account/security");
    let page = ada.get("/account/security").await;
    page.assert_text("Security key").assert_text("Ada&#x27;s phone").assert_text("Synced");
    let asked: Value = serde_json::from_str(&options(&ada, "/account/passkeys").await).unwrap();
    assert_eq!(asked["excludeCredentials"].as_array().unwrap().len(), 2);

    let request = app.client.get("/account/security").header(Accept::JSON);
    let ways: Value = serde_json::from_str(&ada.send(request).await.body).unwrap();
    let id = ways["factors"][1]["id"].as_str().unwrap().to_owned();
    let rename = format!("/account/passkeys/{id}/rename");
    ada.post(&rename, &[("name", "Tablet")]).await.assert_redirect("/account/security");
    ada.get("/account/security").await.assert_text("Tablet");
    for wrong in ["", " ", "a\u{7}", &"a".repeat(65)] {
        ada.post(&rename, &[("name", wrong)]).await.assert_status(422);
    }
    let bob = confirmed(&app, "bob@example.org").await;
    bob.post(&rename, &[("name", "Mine")]).await.assert_status(404);
    bob.post(&format!("/account/passkeys/{id}/remove"), &[]).await.assert_status(404);
    let remove = format!("/account/passkeys/{id}/remove");
    ada.post(&remove, &[]).await.assert_redirect("/account/security");
    log_in(&app.visitor(), &other).await.assert_status(422);
    log_in(&app.visitor(), &one).await.assert_redirect("/account");
    ada.get("/account/activity").await.assert_text("Second step removed");
}

#[rocket::async_test]
async fn a_passkey_confirms_who_one_is_and_stands_in_for_a_code() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    app.advance(11 * 60);
    let to = "/reauthenticate?next=%2Faccount%2Fdelete";
    ada.get("/account/delete").await.assert_redirect(to);
    ada.get(to).await.assert_text("Use a passkey");
    let credential = phone.get(&options(&ada, "/reauthenticate/passkey").await);
    let fields = [("credential", &*credential), ("next", "/account/delete")];
    ada.post("/reauthenticate", &fields).await.assert_redirect("/account/delete");
    ada.get("/account/delete").await.assert_status(200);

    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    let visitor = app.visitor();
    let credential = phone.get(&options(&visitor, &format!("{link}/passkey")).await);
    let fields = [("new_password", "wooden battery horse"), ("credential", &*credential)];
    visitor.post(&link, &fields).await.assert_redirect("/login");
    log_in(&visitor, &phone).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_key_that_checks_nobody_confirms_a_visitor_beside_the_password_only() {
    let app = TestApp::new().await;
    let key = phone().without_verification();
    let ada = with_passkey(&app, &key).await;
    app.advance(11 * 60);
    let answer = async || key.get(&options(&ada, "/reauthenticate/passkey").await);
    let alone = answer().await;
    let page = ada.post("/reauthenticate", &[("credential", &alone)]).await;
    page.assert_status(422).assert_text("id=\"password-error\"");
    ada.get("/account/delete").await.assert_status(303);
    let with_wrong = [("credential", &*answer().await), ("password", "wrong horse battery")];
    ada.post("/reauthenticate", &with_wrong).await.assert_status(422);
    let with_password = [("credential", &*answer().await), ("password", PASSWORD)];
    ada.post("/reauthenticate", &with_password).await.assert_status(303);
    ada.get("/account/delete").await.assert_status(200);
}

#[rocket::async_test]
async fn a_counter_that_does_not_grow_is_told_and_locks_nobody_out() {
    let app = TestApp::new().await;
    let phone = phone().copied();
    let ada = with_passkey(&app, &phone).await;
    log_in(&app.visitor(), &phone).await.assert_redirect("/account");
    log_in(&app.visitor(), &phone).await.assert_redirect("/account");
    assert!(app.subjects(ADA).await.contains(&"A passkey may have been copied".into()));
    ada.get("/account/activity").await.assert_text("A passkey may have been copied");
}

#[rocket::async_test]
async fn an_account_may_have_an_app_and_passkeys() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    let request = app.client.get("/account/app").header(Accept::JSON);
    let offer: Value = serde_json::from_str(&ada.send(request).await.body).unwrap();
    let (secret, sealed) = (offer["secret"].as_str().unwrap(), offer["sealed"].as_str().unwrap());
    let code = rocket_login::testing::app_code(secret, app.clock.now());
    let fields = [("secret", sealed), ("code", &*code)];
    // The account has its codes already.
    ada.post("/account/app", &fields).await.assert_redirect("/account/security");
    let half = half_way(&app, ADA).await;
    half.get("/login/factor").await.assert_text("Use a passkey").assert_text("one-time-code");
    app.advance(30);
    let code = rocket_login::testing::app_code(secret, app.clock.now());
    half.post("/login/factor", &[("code", &*code)]).await.assert_redirect("/account");
    // Without the app, the passkey is the second step.
    ada.post("/account/app/remove", &[]).await.assert_redirect("/account/security");
    half_way(&app, ADA).await;
}

#[rocket::async_test]
async fn a_passkey_needs_a_confirmed_address_and_a_recent_log_in() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    add(&ada, &phone(), "").await.assert_status(422).assert_text("Confirm your email address");
    app.advance(11 * 60);
    let answer = ada.post("/account/passkeys/options", &[]).await;
    answer.assert_redirect("/reauthenticate?next=%2Faccount%2Fsecurity");
    let request = app.client.post("/account/passkeys/options").header(Accept::JSON);
    let answer = ada.send(request).await;
    answer.assert_status(403).assert_text("reauthentication_required");
}

#[rocket::async_test]
async fn a_site_at_an_ip_address_has_no_passkeys() {
    let at_number = |f: Figment| f.merge(("site.url", "http://192.0.2.1:8000"));
    let app = TestApp::with(at_number).await;
    let visitor = app.visitor();
    visitor.get("/login").await.assert_no_text("passkey").assert_no_text("webauthn");
    visitor.post("/login/passkey/options", &[]).await.assert_status(404);
    visitor.get("/.well-known/passkey-endpoints").await.assert_status(404);
    let ada = confirmed(&app, ADA).await;
    ada.get("/account/security").await.assert_no_text("asskey");
}

#[rocket::async_test]
async fn passkeys_that_are_off_are_not_offered_and_go_on_working() {
    let app = TestApp::new().await;
    let phone = phone();
    drop(with_passkey(&app, &phone).await);
    let app = app.restarted(|f| f.merge(("factors.passkeys", false))).await;
    let browser = app.visitor();
    browser.get("/login").await.assert_no_text("passkey");
    log_in(&browser, &phone).await.assert_redirect("/account");
    browser.get("/account/security").await.assert_text("passkey").assert_no_text("Add a passkey");
    browser.post("/account/passkeys/options", &[]).await.assert_status(404);
}

#[rocket::async_test]
async fn a_start_that_would_lose_passkeys_is_refused() {
    let app = TestApp::new().await;
    let phone = phone();
    drop(with_passkey(&app, &phone).await);
    let figment = crate::support::figment(&app.dir).merge(("site.url", "http://example.org"));
    let rocket = rocket::custom(figment).attach(rocket_login::stage());
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::FailedFairings(_)), "{error:?}");
    for (key, value) in [("factors.rp_id", "example.org"), ("factors.rp_id", "127.0.0.1")] {
        let figment = crate::support::figment(&app.dir).merge((key, value));
        let error = rocket_login::config::Config::from_figment(&figment).unwrap_err();
        assert!(error.to_string().starts_with("factors.rp_id: "), "{error}");
    }
}

#[rocket::async_test]
async fn the_sites_addresses_for_passkeys_are_at_the_root() {
    let related = |f: Figment| f.merge(("factors.related_origins", vec!["https://example.com"]));
    let app = TestApp::with(related).await;
    let endpoints = app.visitor().get("/.well-known/passkey-endpoints").await;
    let endpoints: Value = serde_json::from_str(&endpoints.body).unwrap();
    assert_eq!(endpoints["enroll"], format!("{ORIGIN}/account/security"));
    assert_eq!(endpoints["manage"], endpoints["enroll"]);
    let origins = app.visitor().get("/.well-known/webauthn").await;
    assert_eq!(origins.body, r#"{"origins":["https://example.com"]}"#);
    let app = TestApp::new().await;
    app.visitor().get("/.well-known/webauthn").await.assert_status(404);
}

#[rocket::async_test]
async fn a_credential_in_json_may_be_an_object() {
    let app = TestApp::new().await;
    let phone = phone();
    with_passkey(&app, &phone).await;
    let browser = app.visitor();
    let credential = phone.get(&options(&browser, "/login/passkey").await);
    let body = format!(r#"{{"credential":{credential},"remember":true}}"#);
    let json = rocket::http::ContentType::JSON;
    let request = app.client.post("/login/passkey").header(json).header(Accept::JSON).body(body);
    browser.send(request).await.assert_status(200).assert_text("/account");
}

#[rocket::async_test]
async fn a_flood_of_questions_writes_nothing() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    for _ in 0..200 {
        options(&visitor, "/login/passkey").await;
    }
    assert_eq!(app.count("SELECT count(*) FROM login_challenges").await, 0);
    assert_eq!(app.sessions().await, 0);
}

#[rocket::async_test]
async fn an_address_that_has_failed_too_often_gets_no_question() {
    let app = TestApp::with(|f| f.merge(("throttle.address_failures", 20))).await;
    let ask = async |from: &str| {
        let visitor = app.visitor();
        visitor.post_from(&app, from, "/login/passkey/options", "").await
    };
    for number in 0..20 {
        ask("192.0.2.1").await.assert_status(200);
        let body = format!("email=nobody{number}%40example.org&password=wrong+horse+battery");
        let failed = app.visitor().post_from(&app, "192.0.2.1", "/login", &body).await;
        failed.assert_status(422);
    }
    let refused = ask("192.0.2.1").await;
    refused.assert_status(429);
    assert!(refused.header("retry-after").is_some());
    ask("192.0.2.2").await.assert_status(200);
    app.advance(10 * 60);
    ask("192.0.2.1").await.assert_status(200);
}

#[rocket::async_test]
async fn nobody_registers_the_passkey_of_somebody_else() {
    let app = TestApp::new().await;
    let phone = phone();
    with_passkey(&app, &phone).await;
    let eve = confirmed(&app, "eve@example.org").await;
    let made = self::phone().create(&options(&eve, "/account/passkeys").await);
    // The key of another account gets the id that the browser of this one has made.
    let id: Value = serde_json::from_str(&made).unwrap();
    let id = BASE64_URL_SAFE_NO_PAD.decode(id["id"].as_str().unwrap()).unwrap();
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{}{hex}'", crate::database::pick("X'", "'\\x"));
    app.execute(AssertSqlSafe(format!("UPDATE login_factors SET credential = {bytes}"))).await;
    let answer = eve.post("/account/passkeys", &[("credential", &made), ("name", "")]).await;
    answer.assert_status(422).assert_text("already in use");
    assert_eq!(app.count("SELECT count(*) FROM login_factors").await, 1);
}

#[rocket::async_test]
async fn the_browser_is_told_which_passkeys_the_site_knows() {
    let app = TestApp::new().await;
    let (one, other) = (phone(), phone());
    let known = async |visitor: &Visitor<'_>| visitor.get("/account/passkeys/known").await;
    let bob = confirmed(&app, "bob@example.org").await;
    assert_eq!(known(&bob).await.assert_status(200).body, "null");
    let to_login = "/login?next=%2Faccount%2Fpasskeys%2Fknown";
    app.visitor().get("/account/passkeys/known").await.assert_redirect(to_login);

    let ada = with_passkey(&app, &one).await;
    add(&ada, &other, "Tablet").await.assert_redirect("/account/security");
    let told: Value = serde_json::from_str(&known(&ada).await.body).unwrap();
    assert_eq!((&told["rpId"], &told["name"]), (&"localhost".into(), &ADA.into()));
    assert_eq!(told["allAcceptedCredentialIds"].as_array().unwrap().len(), 2);
    let asked: Value = serde_json::from_str(&options(&ada, "/account/passkeys").await).unwrap();
    assert_eq!(told["userId"], asked["user"]["id"]);
    for page in ["/account", "/account/security"] {
        ada.get(page).await.assert_text("signal.js").assert_text("/account/passkeys/known");
    }

    let id = app.count("SELECT max(id) FROM login_factors").await;
    ada.post(&format!("/account/passkeys/{id}/remove"), &[]).await.assert_status(303);
    let told: Value = serde_json::from_str(&known(&ada).await.body).unwrap();
    assert_eq!(told["allAcceptedCredentialIds"].as_array().unwrap().len(), 1);

    // A week later no account has it any more, and a browser that still has it is told at a log-in.
    let refused = log_in(&app.visitor(), &other).await;
    refused.assert_status(422).assert_text("This passkey didn").assert_no_text("data-unknown");
    app.advance(8 * 24 * 60 * 60);
    // The site's own sweep deletes it, which may be late.
    app.until_after(60 * 60, "SELECT count(*) = 1 FROM login_factors").await;
    let refused = log_in(&app.visitor(), &other).await;
    refused.assert_status(422).assert_text("This passkey didn").assert_text("data-unknown=");
    let wrong = app.visitor().post("/login/passkey", &[("credential", "{}")]).await;
    wrong.assert_status(422).assert_no_text("data-unknown");
}

#[rocket::async_test]
async fn a_passkey_is_offered_after_a_log_in_until_the_user_declines_for_good() {
    let app = TestApp::new().await;
    const OFFER: &str = "add a passkey</a>";
    let unconfirmed = app.registered("bob@example.org").await;
    unconfirmed.get("/account").await.assert_no_text(OFFER);
    let ada = confirmed(&app, ADA).await;
    ada.get("/account").await.assert_text(OFFER);
    ada.post("/account/passkeys/decline", &[]).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("We won").assert_text("Security");
    let elsewhere = app.visitor();
    elsewhere.log_in(ADA).await.assert_redirect("/account");
    elsewhere.get("/account").await.assert_no_text(OFFER);

    let carol = confirmed(&app, "carol@example.org").await;
    add(&carol, &phone(), "").await.assert_status(200);
    carol.get("/account").await.assert_no_text(OFFER);
}

#[rocket::async_test]
async fn this_was_not_me_removes_the_passkey_that_a_thief_has_added() {
    let app = TestApp::new().await;
    let (owners, thiefs) = (phone(), phone());
    let ada = with_passkey(&app, &owners).await;
    app.advance(60);
    add(&ada, &thiefs, "").await.assert_redirect("/account/security");
    let link = app.link(ADA, "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    log_in(&app.visitor(), &thiefs).await.assert_status(422);
    log_in(&app.visitor(), &owners).await.assert_redirect("/account");
}
