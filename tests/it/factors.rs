//! Second factors: an app for codes, recovery codes, and the state between the two steps.

use rocket::http::{Accept, Header};
use rocket::{get, post, routes};
use rocket_login::auth::LogIn;
use rocket_login::testing::app_code;
use rocket_login::{Auth, Email, Error, RecentLogin, StrongLogin, User};
use serde_json::Value;

use crate::support::{Answer, PASSWORD, START, TestApp, Visitor};

pub const ADA: &str = "ada@example.org";

/// The app on somebody's phone, and the recovery codes on paper.
pub struct Phone {
    secret: String,
    pub codes: Vec<String>,
}

impl Phone {
    /// Returns the code that the app shows now.
    pub fn code(&self, app: &TestApp) -> String {
        app_code(&self.secret, app.clock.now())
    }
}

/// Returns a visitor who has signed up as `email` and confirmed the address.
pub async fn confirmed<'a>(app: &'a TestApp, email: &str) -> Visitor<'a> {
    let visitor = app.registered(email).await;
    let link = app.link(email, "/verify/").await;
    visitor.post(&link, &[]).await.assert_redirect("/account");
    visitor
}

/// Adds an app to the account of the visitor.
pub async fn add_app(app: &TestApp, visitor: &Visitor<'_>) -> Phone {
    let (secret, sealed) = offer(app, visitor).await;
    let code = app_code(&secret, app.clock.now());
    let answer = visitor.post("/account/app", &[("secret", &sealed), ("code", &code)]).await;
    answer.assert_status(200).assert_text("Your recovery codes");
    let codes = codes_of(&answer);
    // The code of this moment is used up.
    app.advance(30);
    Phone { secret, codes }
}

/// Returns the key of a new app and the key sealed for the form.
pub async fn offer(app: &TestApp, visitor: &Visitor<'_>) -> (String, String) {
    let request = app.client.get("/account/app").header(Accept::JSON);
    let answer = visitor.send(request).await;
    answer.assert_status(200);
    let offer: Value = serde_json::from_str(&answer.body).unwrap();
    (offer["secret"].as_str().unwrap().into(), offer["sealed"].as_str().unwrap().into())
}

fn codes_of(answer: &Answer) -> Vec<String> {
    let codes = answer.body.split("<li><code>").skip(1);
    let codes: Vec<String> = codes.map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    assert_eq!(codes.len(), 10);
    codes
}

/// Returns a visitor in another browser who has given the password, and nothing else.
pub async fn half_way<'a>(app: &'a TestApp, email: &str) -> Visitor<'a> {
    let visitor = app.visitor();
    visitor.log_in(email).await.assert_redirect("/login/factor");
    visitor
}

async fn give(visitor: &Visitor<'_>, code: &str) -> Answer {
    visitor.post("/login/factor", &[("code", code)]).await
}

#[rocket::async_test]
async fn an_app_is_on_only_after_a_right_code() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let page = ada.get("/account/app").await;
    page.assert_status(200).assert_text("<svg").assert_text("otpauth://totp/");
    assert!(!page.body.contains("style="), "the content policy refuses it");
    let (secret, sealed) = offer(&app, &ada).await;
    for wrong in ["", "000000", "abc", "12345"] {
        let answer = ada.post("/account/app", &[("secret", &sealed), ("code", wrong)]).await;
        // The same key again, since it was scanned already.
        answer.assert_status(422).assert_text(&sealed);
        app.visitor().log_in(ADA).await.assert_redirect("/account");
    }
    let code = app_code(&secret, app.clock.now());
    let answer = ada.post("/account/app", &[("secret", &sealed), ("code", &code)]).await;
    answer.assert_status(200).assert_text("The second step is on.");
    app.visitor().log_in(ADA).await.assert_redirect("/login/factor");
    ada.get("/account/app").await.assert_redirect("/account/security");
    ada.get("/account/security").await.assert_text("10 left").assert_text(">on<");
}

#[rocket::async_test]
async fn a_log_in_needs_the_code_and_begins_a_new_session() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let browser = app.visitor();
    let fields = [("email", ADA), ("password", PASSWORD), ("next", "/account/sessions")];
    let answer = browser.post("/login", &fields).await;
    answer.assert_redirect("/login/factor?next=%2Faccount%2Fsessions");
    let cookie = answer.set_cookie("login").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert!(cookie.contains("Path=/") && !cookie.contains("Max-Age"), "{cookie}");
    assert!(!browser.has_cookie("session"));
    let page = browser.get("/login/factor?next=%2Faccount%2Fsessions").await;
    page.assert_status(200).assert_text("one-time-code").assert_text("inputmode=\"numeric\"");

    let code = phone.code(&app);
    let fields = [("code", &*code), ("next", "/account/sessions")];
    browser.post("/login/factor", &fields).await.assert_redirect("/account/sessions");
    assert!(browser.is_logged_in().await && !browser.has_cookie("login"));
    browser.get("/login/factor").await.assert_redirect("/login");
}

#[rocket::async_test]
async fn nobody_is_logged_in_between_the_two_steps() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    add_app(&app, &ada).await;
    let mut private = 0;
    for route in app.client.rocket().routes() {
        let path = route.uri.path().replace(['<', '>'], "");
        let visitor = app.visitor();
        let is_private = {
            let answer = visitor.send(app.client.req(route.method, path.clone())).await;
            answer.header("location").is_some_and(|to| to.starts_with("/login"))
        };
        if !is_private || path.starts_with("/login") {
            continue;
        }
        private += 1;
        let half = half_way(&app, ADA).await;
        let answer = half.send(app.client.req(route.method, path.clone())).await;
        answer.assert_status(303);
        let to = answer.header("location").unwrap();
        assert!(to.starts_with("/login"), "{path} leads to {to}");
    }
    assert!(private > 20, "{private}");
}

#[rocket::async_test]
async fn a_code_logs_in_once() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let (secret, sealed) = offer(&app, &ada).await;
    let code = app_code(&secret, app.clock.now());
    ada.post("/account/app", &[("secret", &sealed), ("code", &code)]).await.assert_status(200);
    // The code that has set the app up is used up.
    give(&half_way(&app, ADA).await, &code).await.assert_status(422);
    app.advance(30);
    let code = app_code(&secret, app.clock.now());
    give(&half_way(&app, ADA).await, &code).await.assert_redirect("/account");
    give(&half_way(&app, ADA).await, &code).await.assert_status(422);
    // Nor is one from before it.
    let earlier = app_code(&secret, app.clock.now() - 30);
    give(&half_way(&app, ADA).await, &earlier).await.assert_status(422);
    let later = app_code(&secret, app.clock.now() + 30);
    give(&half_way(&app, ADA).await, &later).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn of_many_uses_of_one_code_at_once_one_logs_in() {
    let app = TestApp::with(|f| f.merge(("throttle.enabled", false))).await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    for code in [phone.code(&app), phone.codes[0].clone()] {
        assert_eq!(count_logged_in(&[&app], &code).await, 1);
    }
}

/// Gives the code 64 times at once, on these instances by turns. Returns how many logged in.
pub async fn count_logged_in(apps: &[&TestApp], code: &str) -> usize {
    let mut waiting = Vec::new();
    for number in 0..64 {
        waiting.push(half_way(apps[number % apps.len()], ADA).await);
    }
    let uses = waiting.iter().map(|one| give(one, code));
    let answers = rocket::futures::future::join_all(uses).await;
    let is_in = |answer: &&Answer| answer.header("location") == Some("/account");
    answers.iter().filter(is_in).count()
}

#[rocket::async_test]
async fn a_recovery_code_logs_in_once_however_it_is_typed() {
    let app = TestApp::with(|f| f.merge(("throttle.mails", 100))).await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let typed = phone.codes[0].to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    let browser = half_way(&app, ADA).await;
    browser.get("/login/factor?recovery=true").await.assert_text("Recovery code");
    give(&browser, &typed).await.assert_redirect("/account");
    browser.get("/account").await.assert_text("9 recovery codes are left");
    give(&half_way(&app, ADA).await, &phone.codes[0]).await.assert_status(422);
    let subjects = app.subjects(ADA).await;
    assert!(subjects.contains(&"Recovery code used".into()), "{subjects:?}");

    for code in &phone.codes[1..8] {
        give(&half_way(&app, ADA).await, code).await.assert_redirect("/account");
    }
    let subjects = app.subjects(ADA).await;
    let few = subjects.iter().filter(|subject| *subject == "Few recovery codes left").count();
    assert_eq!(few, 1, "{subjects:?}");
    browser.get("/account/security").await.assert_text("2 left").assert_text("Make new recovery");
}

#[rocket::async_test]
async fn new_recovery_codes_make_the_earlier_ones_void() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    ada.post("/account/codes", &[]).await.assert_status(422);
    let phone = add_app(&app, &ada).await;
    let answer = ada.post("/account/codes", &[]).await;
    answer.assert_status(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let codes = codes_of(&answer);
    assert!(codes.iter().all(|code| !phone.codes.contains(code)));
    give(&half_way(&app, ADA).await, &phone.codes[0]).await.assert_status(422);
    give(&half_way(&app, ADA).await, &codes[0]).await.assert_redirect("/account");
    assert!(app.subjects(ADA).await.contains(&"New recovery codes".into()));

    let all = codes.join(" ");
    let file = ada.post("/account/codes/download", &[("codes", &all)]).await;
    file.assert_status(200).assert_text(&codes[9]).assert_text(ADA);
    assert_eq!(file.header("cache-control"), Some("no-store"));
    assert!(file.header("content-disposition").unwrap().starts_with("attachment;"));
    assert!(file.header("content-type").unwrap().starts_with("text/plain"));
}

#[rocket::async_test]
async fn the_fifth_wrong_code_leads_back_to_the_password_and_the_owner_is_told() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let browser = half_way(&app, ADA).await;
    for _ in 0..4 {
        give(&browser, "000000").await.assert_status(422).assert_text("Wrong code");
    }
    give(&browser, "000000").await.assert_redirect("/login");
    give(&browser, &phone.code(&app)).await.assert_redirect("/login");
    let missed = || async {
        let subjects = app.subjects(ADA).await;
        subjects.iter().filter(|subject| *subject == "Someone may know your password").count()
    };
    assert_eq!(missed().await, 1);
    // At most once an hour.
    let browser = half_way(&app, ADA).await;
    for _ in 0..5 {
        give(&browser, "000000").await;
    }
    assert_eq!(missed().await, 1);
    ada.get("/account/activity").await.assert_text("Wrong code entered");
}

#[rocket::async_test]
async fn a_right_password_forgets_no_wrong_code() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    for _ in 0..2 {
        let browser = half_way(&app, ADA).await;
        for _ in 0..5 {
            give(&browser, "000000").await;
        }
    }
    let browser = half_way(&app, ADA).await;
    let answer = give(&browser, &phone.code(&app)).await;
    answer.assert_status(429);
    assert!(answer.header("retry-after").is_some());
    // The password alone is never throttled by it, and a device of the owner has a count of its own.
    app.visitor().log_in(ADA).await.assert_redirect("/login/factor");
    ada.log_out().await;
    ada.log_in(ADA).await.assert_redirect("/login/factor");
    give(&ada, &phone.code(&app)).await.assert_redirect("/account");
    // A completed log-in clears the failures.
    app.advance(30);
    give(&half_way(&app, ADA).await, &phone.code(&app)).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn what_changes_the_account_ends_the_log_in_between_its_steps() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    for sql in [
        "UPDATE users SET password_hash = 'another'",
        "UPDATE users SET disabled_at = 1",
        "DELETE FROM login_pending",
    ] {
        let browser = half_way(&app, ADA).await;
        let before = app.text("SELECT password_hash FROM users").await;
        app.execute(sql).await;
        give(&browser, &phone.code(&app)).await.assert_redirect("/login");
        browser.get("/login/factor").await.assert_redirect("/login");
        app.execute(sqlx::AssertSqlSafe(format!(
            "UPDATE users SET disabled_at = NULL, password_hash = '{before}'"
        )))
        .await;
    }
    let browser = half_way(&app, ADA).await;
    ada.post("/account/sessions/revoke-others", &[]).await.assert_redirect("/account/sessions");
    give(&browser, &phone.code(&app)).await.assert_redirect("/login");
    let browser = half_way(&app, ADA).await;
    browser.log_out().await.assert_redirect("/");
    browser.get("/login/factor").await.assert_redirect("/login");
    let browser = half_way(&app, ADA).await;
    app.advance(10 * 60);
    give(&browser, &phone.code(&app)).await.assert_redirect("/login");
}

#[rocket::async_test]
async fn two_browsers_may_both_be_half_way_and_one_browser_once() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let (one, other) = (half_way(&app, ADA).await, half_way(&app, ADA).await);
    one.log_in(ADA).await.assert_redirect("/login/factor");
    assert_eq!(app.count("SELECT count(*) FROM login_pending").await, 2);
    give(&one, &phone.code(&app)).await.assert_redirect("/account");
    app.advance(30);
    give(&other, &phone.code(&app)).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_log_in_that_was_not_completed_is_told_some_minutes_after_its_end() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let told = "SELECT count(*) FROM login_mails WHERE template = 'factor_missed'";
    // The same browser completes a later log-in, so nobody else knows the password.
    let browser = half_way(&app, ADA).await;
    app.advance(5 * 60);
    browser.log_in(ADA).await.assert_redirect("/login/factor");
    give(&browser, &phone.code(&app)).await.assert_redirect("/account");
    assert_eq!(app.count("SELECT count(*) FROM login_pending").await, 0);

    let _stranger = half_way(&app, ADA).await;
    app.advance(10 * 60);
    app.until_after(60, "SELECT count(*) = 0 FROM login_pending").await;
    assert_eq!(app.count(told).await, 1);
}

#[rocket::async_test]
async fn a_reset_asks_for_the_code_and_removes_no_factor() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    let thief = app.visitor();
    thief.get(&link).await.assert_text("one-time-code");
    let new = "wooden battery horse";
    for wrong in ["", "000000"] {
        let fields = [("new_password", new), ("code", wrong)];
        thief.post(&link, &fields).await.assert_status(422);
        assert!(ada.is_logged_in().await);
    }
    let code = phone.code(&app);
    thief.post(&link, &[("new_password", new), ("code", &code)]).await.assert_redirect("/login");
    assert!(!ada.is_logged_in().await);
    app.visitor().log_in_with(ADA, new).await.assert_redirect("/login/factor");
}

#[rocket::async_test]
async fn a_sensitive_act_asks_for_password_and_code() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let other = app.visitor();
    other.log_in(ADA).await.assert_redirect("/account");
    let phone = add_app(&app, &ada).await;
    // The session that has added the app is recent, and the others are not any more.
    ada.get("/account/delete").await.assert_status(200);
    let to = "/reauthenticate?next=%2Faccount%2Fdelete";
    other.get("/account/delete").await.assert_redirect(to);
    other
        .get("/account/password")
        .await
        .assert_redirect("/reauthenticate?next=%2Faccount%2Fpassword");
    other.get(to).await.assert_text("one-time-code");
    let wrong = [("password", PASSWORD), ("code", "000000")];
    other.post("/reauthenticate", &wrong).await.assert_status(422);
    other.post("/reauthenticate", &[("password", PASSWORD)]).await.assert_status(422);
    other.get("/account/delete").await.assert_redirect(to);
    let code = phone.code(&app);
    let right = [("password", PASSWORD), ("code", &*code)];
    other.post("/reauthenticate", &right).await.assert_redirect("/account");
    other.get("/account/delete").await.assert_status(200);
    app.advance(11 * 60);
    other.get("/account/delete").await.assert_redirect(to);
}

#[rocket::async_test]
async fn the_last_factor_takes_the_codes_along_and_its_owner_is_told() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    ada.post("/account/app/remove", &[]).await.assert_redirect("/account/security");
    ada.get("/account/security").await.assert_text("was removed").assert_no_text("Recovery codes");
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    let again = add_app(&app, &ada).await;
    give(&half_way(&app, ADA).await, &phone.codes[0]).await.assert_status(422);
    give(&half_way(&app, ADA).await, &again.codes[0]).await.assert_redirect("/account");
    let subjects = app.subjects(ADA).await;
    for subject in ["Second step added", "Second step removed"] {
        assert!(subjects.contains(&subject.into()), "{subjects:?}");
    }
    ada.get("/account/activity").await.assert_text("Second step removed: authenticator app");
}

#[rocket::async_test]
async fn this_was_not_me_brings_back_the_factor_that_a_thief_has_removed() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    app.advance(60);
    // A thief at the owner's open session.
    ada.post("/account/app/remove", &[]).await.assert_redirect("/account/security");
    app.advance(60);
    let thiefs = add_app(&app, &ada).await;
    let removed = app.mails().await;
    let removed = removed.iter().find(|mail| mail.subject.starts_with("Second step removed"));
    let link = removed.unwrap().link("/not-me/");
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    app.advance(30);
    let reset = app.link(ADA, "/reset/").await;
    let fields = |code: &str| {
        vec![
            ("new_password".to_owned(), "wooden battery horse".to_owned()),
            ("code".into(), code.into()),
        ]
    };
    let post = async |code: &str| {
        let fields = fields(code);
        let fields: Vec<_> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        app.visitor().post(&reset, &fields).await
    };
    post(&thiefs.code(&app)).await.assert_status(422);
    post(&thiefs.codes[0]).await.assert_status(422);
    post(&phone.code(&app)).await.assert_redirect("/login");
}

#[rocket::async_test]
async fn this_was_not_me_removes_the_factor_that_a_thief_has_added() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    add_app(&app, &ada).await;
    let link = app.link(ADA, "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    let reset = app.link(ADA, "/reset/").await;
    let page = app.visitor().get(&reset).await;
    page.assert_status(200).assert_no_text("one-time-code");
    assert_eq!(app.count("SELECT count(*) FROM login_recovery_codes").await, 0);
}

#[rocket::async_test]
async fn a_factor_needs_a_confirmed_address() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.get("/account/security").await.assert_text("Confirm your email address first");
    let (secret, sealed) = offer(&app, &ada).await;
    let code = app_code(&secret, app.clock.now());
    let answer = ada.post("/account/app", &[("secret", &sealed), ("code", &code)]).await;
    answer.assert_status(422).assert_text("Confirm your email address first");
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_key_is_good_for_its_user_alone_and_for_an_hour() {
    let app = TestApp::new().await;
    let (ada, bob) = (confirmed(&app, ADA).await, confirmed(&app, "bob@example.org").await);
    let (secret, sealed) = offer(&app, &ada).await;
    let code = app_code(&secret, app.clock.now());
    let answer = bob.post("/account/app", &[("secret", &sealed), ("code", &code)]).await;
    answer.assert_status(422).assert_text("open for too long").assert_no_text(&sealed);
    for _ in 0..6 {
        app.advance(9 * 60);
        ada.post("/reauthenticate", &[("password", PASSWORD)]).await.assert_redirect("/account");
    }
    app.advance(7 * 60);
    let code = app_code(&secret, app.clock.now());
    let answer = ada.post("/account/app", &[("secret", &sealed), ("code", &code)]).await;
    answer.assert_status(422).assert_text("open for too long");
}

#[rocket::async_test]
async fn a_phone_with_a_wrong_clock_is_told_by_how_much() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let (secret, sealed) = offer(&app, &ada).await;
    let code = app_code(&secret, app.clock.now() - 120);
    let answer = ada.post("/account/app", &[("secret", &sealed), ("code", &code)]).await;
    answer.assert_status(422).assert_text("2 minutes behind");
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_sign_up_with_the_password_of_an_account_asks_for_its_code() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    add_app(&app, &ada).await;
    let browser = app.visitor();
    browser.register(ADA).await.assert_redirect("/login/factor");
    assert!(!browser.is_logged_in().await);
}

#[post("/sso/<email>")]
async fn sso(email: &str, auth: Auth<'_>) -> Result<&'static str, Error> {
    let email = Email::parse(email).unwrap();
    let user = auth.find_user_by_email(&email).await?.unwrap();
    match auth.log_in_as(&user, false).await.unwrap() {
        LogIn::LoggedIn(_) => Ok("in"),
        _ => Ok("half way"),
    }
}

#[rocket::async_test]
async fn what_an_application_has_checked_is_one_factor() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![sso])).await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let visitor = app.visitor();
    visitor.post(&format!("/sso/{ADA}"), &[]).await.assert_text("half way");
    assert!(!visitor.is_logged_in().await);
    give(&visitor, &phone.code(&app)).await.assert_redirect("/account");
    // Without a factor it is enough.
    app.registered("bob@example.org").await;
    let visitor = app.visitor();
    visitor.post("/sso/bob@example.org", &[]).await.assert_text("in");
    assert!(visitor.is_logged_in().await);
}

#[rocket::async_test]
async fn another_log_in_logs_the_present_user_out_before_its_second_step() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let bob = app.registered("bob@example.org").await;
    bob.log_in(ADA).await.assert_redirect("/login/factor");
    assert!(!bob.is_logged_in().await);
    give(&bob, &phone.code(&app)).await.assert_redirect("/account");
    bob.get("/account").await.assert_text(ADA);
}

#[rocket::async_test]
async fn a_trusted_device_skips_the_second_step_until_something_changes() {
    let app = TestApp::with(|f| f.merge(("factors.trusted_for", "14d"))).await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let trust = async |code: &str| {
        ada.log_out().await;
        ada.log_in(ADA).await.assert_redirect("/login/factor");
        let fields = [("code", code), ("trust", "on")];
        ada.post("/login/factor", &fields).await.assert_redirect("/account");
        ada.log_out().await;
        ada.log_in(ADA).await.assert_redirect("/account");
    };
    trust(&phone.code(&app)).await;
    // It was one factor, so a sensitive act asks for both.
    ada.get("/account/delete").await.assert_redirect("/reauthenticate?next=%2Faccount%2Fdelete");
    app.visitor().log_in(ADA).await.assert_redirect("/login/factor");
    app.advance(14 * 24 * 60 * 60);
    ada.log_out().await;
    ada.log_in(ADA).await.assert_redirect("/login/factor");

    app.advance(30);
    trust(&phone.code(&app)).await;
    app.execute("DELETE FROM sessions").await;
    app.advance(30);
    let code = phone.code(&app);
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let reset = app.link(ADA, "/reset/").await;
    let fields = [("new_password", "wooden battery horse"), ("code", &*code)];
    app.visitor().post(&reset, &fields).await.assert_redirect("/login");
    ada.log_in_with(ADA, "wooden battery horse").await.assert_redirect("/login/factor");
}

#[rocket::async_test]
async fn without_trusted_devices_the_box_is_ignored() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    ada.log_out().await;
    ada.log_in(ADA).await.assert_redirect("/login/factor");
    ada.get("/login/factor").await.assert_no_text("name=\"trust\"");
    let code = phone.code(&app);
    ada.post("/login/factor", &[("code", &*code), ("trust", "on")])
        .await
        .assert_redirect("/account");
    ada.log_out().await;
    ada.log_in(ADA).await.assert_redirect("/login/factor");
}

#[get("/report")]
fn report(user: &User) -> String {
    user.email.to_string()
}

#[get("/payroll")]
fn payroll(user: StrongLogin<'_>) -> String {
    user.email.to_string()
}

#[get("/payout")]
fn payout(_strong: StrongLogin<'_>, user: RecentLogin<'_>) -> String {
    user.email.to_string()
}

async fn with_routes(required: bool) -> TestApp {
    let figment = |f: rocket::figment::Figment| f.merge(("factors.required", required));
    TestApp::built(figment, |rocket| rocket.mount("/", routes![report, payroll, payout])).await
}

#[rocket::async_test]
async fn a_required_factor_opens_only_the_pages_on_which_one_gets_it() {
    let app = with_routes(true).await;
    let ada = confirmed(&app, ADA).await;
    for path in ["/report", "/account", "/account/sessions", "/account/export", "/account/password"]
    {
        ada.get(path).await.assert_redirect("/account/security");
        let answer = ada.send(app.client.get(path).header(Accept::JSON)).await;
        answer.assert_status(403).assert_text("factor_required");
    }
    for path in ["/", "/account/security", "/account/app", "/reauthenticate", "/logout"] {
        ada.get(path).await.assert_status(200);
    }
    add_app(&app, &ada).await;
    ada.get("/report").await.assert_text(ADA);
}

#[rocket::async_test]
async fn a_strong_log_in_needs_two_factors_in_this_session() {
    let app = with_routes(false).await;
    let ada = confirmed(&app, ADA).await;
    let other = app.visitor();
    other.log_in(ADA).await.assert_redirect("/account");
    ada.get("/payroll").await.assert_redirect("/account/security");
    let phone = add_app(&app, &ada).await;
    ada.get("/payroll").await.assert_text(ADA);
    other.get("/payroll").await.assert_redirect("/reauthenticate?next=%2Fpayroll");
    let json = other.send(app.client.get("/payroll").header(Accept::JSON)).await;
    json.assert_status(403).assert_text("reauthentication_required");
    app.advance(60 * 60);
    // A new password keeps the session strong.
    ada.get("/payroll").await.assert_text(ADA);
    ada.get("/payout").await.assert_redirect("/reauthenticate?next=%2Fpayout");
    let code = phone.code(&app);
    let right = [("password", PASSWORD), ("code", &*code)];
    ada.post("/reauthenticate", &right).await.assert_redirect("/account");
    ada.get("/payout").await.assert_text(ADA);
    let change = [("current_password", PASSWORD), ("new_password", "wooden battery horse")];
    ada.post("/account/password", &change).await.assert_redirect("/account");
    ada.get("/payroll").await.assert_text(ADA);

    let signed_in = app.visitor();
    signed_in.sign_in(ADA).await;
    signed_in.get("/payroll").await.assert_redirect("/reauthenticate?next=%2Fpayroll");
    signed_in.sign_in_strongly(ADA).await;
    signed_in.get("/payroll").await.assert_text(ADA);
}

#[rocket::async_test]
async fn a_program_goes_through_both_steps_in_json() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let program = app.visitor();
    let post = |path: &'static str, body: String| {
        let json = rocket::http::ContentType::JSON;
        app.client.post(path).header(json).header(Accept::JSON).body(body)
    };
    let log_in = format!(r#"{{"email":"{ADA}","password":"{PASSWORD}"}}"#);
    let answer = program.send(post("/login", log_in)).await;
    answer.assert_status(200).assert_text(r#"{"location":"/login/factor"}"#);
    let answer = program.send(app.client.get("/account").header(Accept::JSON)).await;
    answer.assert_status(401).assert_text("second_factor_required");
    let answer = program.send(post("/login/factor", r#"{"code":"000000"}"#.into())).await;
    answer.assert_status(422).assert_text("wrong_code");
    let code = format!(r#"{{"code":"{}"}}"#, phone.code(&app));
    let answer = program.send(post("/login/factor", code)).await;
    answer.assert_status(200).assert_text(r#"{"location":"/account"}"#);
    let ways = program.send(app.client.get("/account/security").header(Accept::JSON)).await;
    let ways: Value = serde_json::from_str(&ways.body).unwrap();
    assert_eq!(ways["factors"][0]["kind"], "app");
    assert_eq!(ways["recovery_codes"]["left"], 10);
    let stranger = app.client.get("/account").header(Accept::JSON);
    let answer = app.visitor().send(stranger).await;
    answer.assert_status(401).assert_no_text("second_factor_required");
}

#[rocket::async_test]
async fn an_app_is_opened_under_a_previous_key_and_sealed_anew() {
    const OTHER: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    const FIRST: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let before = app.text("SELECT secret FROM login_factors").await;
    assert!(!before.contains(&phone.secret));
    drop(ada);
    let app = app
        .restarted(|f| f.merge(("secret_key", OTHER)).merge(("session.previous_keys", vec![FIRST])))
        .await;
    give(&half_way(&app, ADA).await, &phone.code(&app)).await.assert_redirect("/account");
    app.until("SELECT count(*) = 1 FROM login_factors WHERE last_used_at IS NOT NULL").await;
    assert_ne!(app.text("SELECT secret FROM login_factors").await, before);
    app.advance(30);
    let app = app.restarted(|f| f.merge(("secret_key", OTHER))).await;
    give(&half_way(&app, ADA).await, &phone.code(&app)).await.assert_redirect("/account");

    // A key that is gone takes the app along, and nothing else.
    app.advance(30);
    let app = app.restarted(|f| f).await;
    give(&half_way(&app, ADA).await, &phone.code(&app)).await.assert_status(422);
    give(&half_way(&app, ADA).await, &phone.codes[0]).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn apps_that_are_off_are_not_offered_and_go_on_working() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    drop(ada);
    let app = app.restarted(|f| f.merge(("factors.app", false))).await;
    let bob = confirmed(&app, "bob@example.org").await;
    bob.get("/account/app").await.assert_status(404);
    bob.get("/account/security").await.assert_no_text("uthenticator app");
    let browser = half_way(&app, ADA).await;
    give(&browser, &phone.code(&app)).await.assert_redirect("/account");
    browser.get("/account/security").await.assert_text("Authenticator app");
    browser.post("/account/app/remove", &[]).await.assert_redirect("/account/security");
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_export_has_factors_and_no_secret() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let phone = add_app(&app, &ada).await;
    let export = ada.get("/account/export").await;
    let sealed = app.text("SELECT secret FROM login_factors").await;
    export.assert_no_text(&phone.secret).assert_no_text(&sealed).assert_no_text(&phone.codes[0]);
    let export: Value = serde_json::from_str(&export.body).unwrap();
    assert_eq!(export["factors"][0]["kind"], "app");
    assert_eq!(export["recovery_codes"][0]["left"], 10);
}

#[rocket::async_test]
async fn the_devices_page_says_how_somebody_got_in() {
    let app = TestApp::new().await;
    let ada = confirmed(&app, ADA).await;
    let request = app.client.get("/account/sessions").header(Header::new("User-Agent", "x"));
    ada.send(request).await.assert_no_text("With a second step");
    add_app(&app, &ada).await;
    ada.get("/account/sessions").await.assert_text("With a second step");
    assert!(app.clock.now() > START);
}
