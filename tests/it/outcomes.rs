//! What an act returns, and what a program and an application's own page make of it.

use std::fs;
use std::path::{Path, PathBuf};

use rocket::http::{Accept, ContentType, Header, Status};
use rocket::{FromForm, get, post, routes};
use rocket_login::auth::{
    ChangePasswordError, EndSessionError, LinkError, LogInAsError, LogInError, ReauthenticateError,
    RegisterError, Registered, ResetError,
};
use rocket_login::testing::{Answer, count_calls};
use rocket_login::web::{FieldErrors, Posted, Problem, SecretPath, prefers_json};
use rocket_login::{Auth, Email, Error, Password, RecentLogin, Session, User};
use serde_json::Value;

use crate::support::{PASSWORD, TestApp, encode, header};

const ADA: &str = "ada@example.org";
const NEW_DEVICE: &str = "Log-in from a new device";
const WRONG: &str = "wrong horse battery";

fn problem(answer: &Answer) -> Value {
    assert!(answer.is_json(), "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// The status, the code and the codes of the fields.
fn codes(answer: &Answer) -> (u16, String, Vec<String>) {
    let problem = problem(answer);
    assert_eq!(problem["status"], answer.status.code);
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    assert_eq!(problem["errors"].is_null(), errors.is_empty());
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    let field = |error: &Value| {
        assert!(!text(error, "message").is_empty());
        format!("{}: {}", text(error, "field"), text(error, "code"))
    };
    let code = problem["code"].as_str().unwrap().to_owned();
    (answer.status.code, code, errors.iter().map(field).collect())
}

fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

#[rocket::async_test]
async fn a_program_gets_a_code_for_each_refused_field() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for (path, fields, code, errors) in [
        (
            "/login",
            vec![],
            "invalid_form",
            vec!["email: email_missing", "password: password_missing"],
        ),
        (
            "/login",
            vec![("email", ADA), ("password", WRONG)],
            "wrong_password",
            vec!["form: wrong_password"],
        ),
        (
            "/register",
            vec![("email", "ada"), ("password", "short")],
            "invalid_form",
            vec!["email: email_malformed", "password: password_too_short"],
        ),
        (
            "/register",
            vec![("email", ADA), ("password", "another horse battery")],
            "invalid_form",
            vec!["email: email_taken"],
        ),
        (
            "/account/email",
            vec![("email", ADA)],
            "invalid_form",
            vec!["email: email_unchanged", "current_password: password_missing"],
        ),
        (
            "/account/password",
            vec![("current_password", PASSWORD), ("new_password", PASSWORD)],
            "invalid_form",
            vec!["new_password: password_unchanged"],
        ),
        (
            "/reauthenticate",
            vec![("password", WRONG)],
            "invalid_form",
            vec!["password: wrong_password"],
        ),
        ("/account/delete", vec![], "invalid_form", vec!["current_password: password_missing"]),
    ] {
        let request = app.client.post(path).header(ContentType::Form).header(Accept::JSON);
        let answer = ada.send(request.body(form(&fields))).await;
        let errors = errors.into_iter().map(str::to_owned).collect();
        assert_eq!(codes(&answer), (422, code.to_owned(), errors), "{path}");
    }
}

#[rocket::async_test]
async fn a_program_gets_a_code_with_every_status() {
    let app = TestApp::with(|f| f.merge(("accounts.registration", "closed"))).await;
    let ada = app.visitor();
    ada.sign_in(ADA).await;
    let cross_site = header("Sec-Fetch-Site", "cross-site");
    let dead = format!("/reset/{}", "A".repeat(43));
    for (request, status, code) in [
        (app.client.get("/nowhere"), 404, "not_found"),
        (app.client.get("/account/notices/x"), 404, "not_found"),
        (app.client.post("/account"), 405, "method_not_allowed"),
        (app.client.post("/logout").header(cross_site), 403, "cross_site"),
        (app.client.post("/login").header(ContentType::Plain), 415, "unsupported_media_type"),
        (app.client.post("/account/sessions/0/revoke"), 404, "no_such_session"),
        (app.client.get("/register"), 403, "closed"),
        (app.client.get(&dead), 404, "dead_link"),
        (app.client.post(&dead).header(ContentType::Form), 404, "dead_link"),
    ] {
        let answer = ada.send(request.header(Accept::JSON)).await;
        assert_eq!(codes(&answer), (status, code.into(), vec![]), "{}", answer.body);
        let has_message = problem(&answer)["detail"].is_string();
        assert_eq!(
            has_message,
            ["no_such_session", "closed", "dead_link"].contains(&code),
            "{code}"
        );
    }

    let visitor = app.visitor();
    let answer = visitor.send(app.client.get("/account").header(Accept::JSON)).await;
    assert_eq!(codes(&answer).1, "log_in_required");
    app.advance(60 * 60);
    let answer = ada.send(app.client.get("/account/delete").header(Accept::JSON)).await;
    assert_eq!(codes(&answer), (403, "reauthentication_required".into(), vec![]));
    let moved = app.dir.path().join("moved.db");
    if crate::database::socket().is_none() {
        fs::rename(app.dir.path().join("login.db"), moved).unwrap();
        let answer = ada.send(app.client.get("/account/sessions").header(Accept::JSON)).await;
        assert_eq!(codes(&answer), (503, "unavailable".into(), vec![]));
    }
}

#[rocket::async_test]
async fn a_throttled_attempt_says_when_to_come_back() {
    let app = TestApp::new().await;
    app.registered(ADA).await.log_out().await;
    let email = Email::parse(ADA).unwrap();
    let stranger = app.visitor();
    for _ in 0..100 {
        let attempt = stranger
            .with_auth(async |auth| auth.log_in(Some(&email), Password::typed(WRONG), false).await)
            .await;
        match attempt {
            Err(LogInError::WrongPassword) => continue,
            Err(LogInError::Failed(error)) => {
                assert!(error.is_throttled());
                assert!(error.retry_after().unwrap().as_secs() > 0);
                assert_eq!((error.code(), error.status()), ("throttled", Status::TooManyRequests));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("a hundred wrong passwords were looked at");
}

// An application's own pages: public items alone.

#[derive(FromForm)]
struct Credentials {
    email: String,
    password: String,
}

#[post("/own/log-in", data = "<form>")]
async fn own_log_in(auth: Auth<'_>, form: Posted<Credentials>) -> Result<String, LogInError> {
    let Posted(Credentials { email, password }) = form;
    let email = Email::parse(&email).ok();
    let done = auth.log_in(email.as_ref(), Password::typed(&password), false).await?;
    Ok(done.user().map_or_else(String::new, |user| format!("logged in: {}", user.email)))
}

#[get("/own/reset/<token>")]
async fn own_reset_page(
    _path: SecretPath,
    token: &str,
    auth: Auth<'_>,
) -> Result<String, LinkError> {
    let link = auth.reset_link(token).await?;
    Ok(format!("A new password for {}, {}", link.email(), link.is_spent()))
}

#[derive(FromForm)]
struct Choice {
    new_password: String,
}

#[post("/own/reset/<token>", data = "<form>")]
async fn own_reset(
    _path: SecretPath,
    token: &str,
    auth: Auth<'_>,
    form: Posted<Choice>,
) -> Result<Result<&'static str, ResetError>, LinkError> {
    let link = auth.reset_link(token).await?;
    let new = match auth.new_password(&form.0.new_password, link.email()) {
        Ok(new) => new,
        Err(error) => return Ok(Err(error.into())),
    };
    Ok(link.set(new, "").await.map(|()| "set"))
}

#[post("/own/end/<name>")]
async fn own_end(user: &User, name: &str, auth: Auth<'_>) -> Result<(), EndSessionError> {
    auth.end_session(user, name).await
}

#[post("/own/check", data = "<form>")]
fn own_check(form: Posted<Credentials>) -> Result<(), Problem> {
    let mut errors = FieldErrors::new();
    if let Err(error) = Email::parse(&form.0.email) {
        errors.add("email", error.code(), error);
    }
    let problem = Problem::new(Status::UnprocessableEntity);
    if errors.is_empty() { Ok(()) } else { Err(problem.with_errors(errors)) }
}

#[get("/own/json")]
fn own_json(wants: Wants) -> String {
    wants.0.to_string()
}

struct Wants(bool);

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Wants {
    type Error = ();

    async fn from_request(
        request: &'r rocket::Request<'_>,
    ) -> rocket::request::Outcome<Self, Self::Error> {
        rocket::request::Outcome::Success(Wants(prefers_json(request)))
    }
}

async fn own_pages() -> TestApp {
    let own = routes![
        own_log_in,
        own_reset_page,
        own_reset,
        own_end,
        own_check,
        own_json,
        provider,
        payout,
        conflict
    ];
    TestApp::built(|f| f, |rocket| rocket.mount("/", own)).await
}

#[rocket::async_test]
async fn an_applications_own_log_in_page_is_answered_like_ours() {
    let app = own_pages().await;
    app.registered(ADA).await.log_out().await;
    let visitor = app.visitor();
    let wrong = [("email", ADA), ("password", WRONG)];
    let page = visitor.post("/own/log-in", &wrong).await;
    page.assert_status(422).assert_text("Wrong email address or password.").assert_text("</html>");
    let request = app.client.post("/own/log-in").header(ContentType::Form).header(Accept::JSON);
    let answer = visitor.send(request.body(form(&wrong))).await;
    assert_eq!(codes(&answer), (422, "wrong_password".into(), vec![]));
    assert_eq!(problem(&answer)["detail"], "Wrong email address or password.");

    let right = [("email", ADA), ("password", PASSWORD)];
    assert_eq!(visitor.post("/own/log-in", &right).await.body, format!("logged in: {ADA}"));
    assert!(visitor.is_logged_in().await);
    visitor.post("/own/end/0123", &[]).await.assert_status(404).assert_text("not logged in");

    app.execute("UPDATE users SET disabled_at = 1").await;
    let page = app.visitor().post("/own/log-in", &right).await;
    page.assert_status(422).assert_text("This account is disabled.");
}

/// Logs in, registers and logs out, and says who is logged in after each.
#[post("/own/one-after-the-other")]
async fn own_one_after_the_other(session: &Session, auth: Auth<'_>) -> String {
    let who = || session.user().map_or("nobody".into(), |user| user.email.to_string());
    let first = session.user();
    let mut seen = vec![who()];
    let (ada, bob) = (Email::parse(ADA).unwrap(), Email::parse(BOB).unwrap());
    let done = auth.log_in(Some(&ada), Password::typed(PASSWORD), false).await.unwrap();
    assert_eq!(done.user(), session.user());
    seen.push(who());
    auth.log_in(Some(&ada), Password::typed(WRONG), false).await.unwrap_err();
    session.regenerate().await.unwrap();
    seen.push(who());
    let password = auth.new_password(PASSWORD, &bob).unwrap();
    let registered = auth.register(&bob, password.clone()).await.unwrap();
    assert!(matches!(&registered, Registered::LoggedIn(bob) if Some(bob) == session.user()));
    seen.push(who());
    let again = auth.register(&bob, password).await.unwrap();
    assert!(matches!(&again, Registered::HadAccount(_)) && again.user() == registered.user());
    auth.log_out().await.unwrap();
    seen.push(who());
    // What was asked for before stays.
    assert_eq!(first, None);
    seen.join(", ")
}

#[rocket::async_test]
async fn the_session_has_the_user_of_the_last_log_in_of_the_request() {
    let routes = routes![own_one_after_the_other];
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes)).await;
    app.registered(ADA).await;
    let visitor = app.visitor();
    let answer = visitor.post("/own/one-after-the-other", &[]).await;
    assert_eq!(answer.body, format!("nobody, {ADA}, {ADA}, {BOB}, nobody"));
    assert!(!visitor.is_logged_in().await);
    let events = "SELECT count(*) FROM login_events WHERE kind = 'logged_out'";
    assert_eq!(app.count(events).await, 1);
}

#[rocket::async_test]
async fn an_applications_own_reset_page_counts_dead_links_and_hides_its_path() {
    let app = own_pages().await;
    let ada = app.registered(ADA).await;
    ada.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let path = format!("/own{}", app.link(ADA, "/reset/").await);
    let page = ada.get(&path).await;
    assert_eq!(page.body, "A new password for ada@example.org, false");
    assert_eq!(page.header("referrer-policy"), Some("strict-origin"));

    ada.post(&path, &[("new_password", "short")]).await.assert_status(422);
    let new = [("new_password", "another horse battery")];
    assert_eq!(ada.post(&path, &new).await.body, "set");
    // Twice by this browser: it is told the same, and changes nothing.
    assert_eq!(ada.get(&path).await.body, "A new password for ada@example.org, true");
    assert_eq!(ada.post(&path, &new).await.body, "set");
    let dead = "This link doesn&#x27;t work any more.";
    ada.post(&path, &[("new_password", "third horse battery")])
        .await
        .assert_status(404)
        .assert_text(dead);

    // Somebody else's attempts count, and those who only look do not.
    let refused = "SELECT count(*) FROM login_events WHERE kind = 'link_refused'";
    let before = app.count(refused).await;
    app.visitor().get(&path).await.assert_status(404).assert_text(dead);
    assert_eq!(app.count(refused).await, before);
    app.visitor().post(&path, &new).await.assert_status(404).assert_text(dead);
    assert_eq!(app.count(refused).await, before + 1);
}

#[rocket::async_test]
async fn an_applications_own_check_names_the_fields() {
    let app = own_pages().await;
    let fields = [("email", "ada"), ("password", "")];
    let answer = app.visitor().post("/own/check", &fields).await;
    let errors = vec!["email: email_malformed".to_owned()];
    assert_eq!(codes(&answer), (422, "invalid_form".into(), errors));
    assert_eq!(app.visitor().get("/own/json").await.body, "false");
    let request = app.client.get("/own/json").header(Accept::JSON);
    assert_eq!(app.visitor().send(request).await.body, "true");
}

// A user whom the application has authenticated.

#[post("/own/provider/<id>?<remember>")]
async fn provider(id: i64, remember: bool, auth: Auth<'_>) -> Result<(), LogInAsError> {
    let user = auth.find_user(id).await?.ok_or(LogInAsError::NoSuchUser)?;
    auth.log_in_as(&user, remember).await.map(|_| ())
}

#[rocket::async_test]
async fn a_log_in_without_a_password_does_all_that_a_log_in_does() {
    let app = own_pages().await;
    app.registered(ADA).await.log_out().await;
    let visitor = app.visitor();
    visitor.with_session(async |session| session.set("basket", 3).await.unwrap()).await;
    let planted = visitor.session_cookie();
    let agent =
        Header::new("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0");
    let request = app.client.post("/own/provider/1?remember=false").header(agent.clone());
    visitor.send(request).await.assert_status(200);

    // A new token, the visitor's state, and a session that is not remembered.
    assert_ne!(visitor.session_cookie(), planted);
    let old = app.visitor();
    old.set_cookie("session", planted);
    assert!(!old.is_logged_in().await);
    assert!(visitor.is_logged_in().await);
    let basket = visitor.with_session(async |session: &Session| session.get("basket"));
    assert_eq!(basket.await.unwrap(), Some(3));

    // The event, the device and the notice.
    assert_eq!(app.count("SELECT count(*) FROM login_events WHERE kind = 'logged_in'").await, 1);
    assert!(visitor.has_cookie("session-device"));
    let told = app.subjects(ADA).await;
    assert_eq!(told.iter().filter(|subject| **subject == NEW_DEVICE).count(), 1, "{told:?}");

    // A second time, with "remember me": the device is known.
    visitor.log_out().await;
    let request = app.client.post("/own/provider/1?remember=true").header(agent);
    let answer = visitor.send(request).await;
    let attributes = answer.cookie_attributes("session");
    assert!(attributes.iter().any(|attribute| attribute.starts_with("Max-Age")), "{attributes:?}");
    let told = app.subjects(ADA).await;
    assert_eq!(told.iter().filter(|subject| **subject == NEW_DEVICE).count(), 1, "{told:?}");
    assert_eq!(app.count("SELECT count(*) FROM login_events WHERE kind = 'logged_in'").await, 2);
    // It is a recent log-in.
    visitor.get("/account/delete").await.assert_status(200);
}

#[rocket::async_test]
async fn a_disabled_or_deleted_account_is_not_logged_in_without_a_password() {
    let app = own_pages().await;
    let ada = app.registered(ADA).await;
    app.execute("UPDATE users SET disabled_at = 1").await;
    let visitor = app.visitor();
    let page = visitor.post("/own/provider/1?remember=false", &[]).await;
    page.assert_status(422).assert_text("This account is disabled.");
    assert!(!visitor.is_logged_in().await && !visitor.has_cookie("session-device"));

    app.execute("UPDATE users SET disabled_at = NULL").await;
    ada.log_in(ADA).await;
    let refused = ada
        .with_auth(async |auth| {
            let user = auth.find_user_by_email(&Email::parse("ADA@example.org").unwrap()).await;
            let user = user.unwrap().unwrap();
            auth.delete(&user, Password::typed(PASSWORD)).await.unwrap();
            auth.log_in_as(&user, false).await
        })
        .await;
    assert!(matches!(refused, Err(LogInAsError::NoSuchUser)));
    app.visitor().post("/own/provider/1?remember=false", &[]).await.assert_status(422);
}

#[rocket::async_test]
async fn wrong_passwords_stay_counted_after_a_log_in_without_one() {
    let app = own_pages().await;
    app.registered(ADA).await.log_out().await;
    let stranger = app.visitor();
    let mut wrong = 0;
    while stranger.log_in_with(ADA, WRONG).await.status != Status::TooManyRequests {
        wrong += 1;
        assert!(wrong < 100);
    }
    // The owner is not kept out, and the stranger gets no further guesses.
    app.visitor().post("/own/provider/1?remember=false", &[]).await.assert_status(200);
    stranger.log_in_with(ADA, WRONG).await.assert_status(429);
}

#[rocket::async_test]
async fn ten_log_ins_to_a_disabled_account_tell_its_owner() {
    let app = own_pages().await;
    app.registered(ADA).await;
    app.execute("UPDATE users SET disabled_at = 1").await;
    for attempt in 1..=10 {
        assert_eq!(app.count(FAILED).await, attempt - 1);
        app.visitor().post("/own/provider/1?remember=false", &[]).await.assert_status(422);
    }
    let told = app.subjects(ADA).await;
    assert_eq!(told.iter().filter(|subject| **subject == "Failed log-ins").count(), 1, "{told:?}");
}

// An account that is not the visitor's.

const FAILED: &str = "SELECT count(*) FROM login_events WHERE kind = 'log_in_failed'";
const BOB: &str = "bob@example.org";

/// Does everything with `user` that takes a `&User`, and returns the name and the code of each. The
/// last one deletes the account.
async fn every_act(auth: &Auth<'_>, user: &User) -> Vec<(&'static str, &'static str)> {
    fn code<T, E>(done: Result<T, E>, code: impl Fn(&E) -> &'static str) -> &'static str {
        done.as_ref().err().map_or("done", code)
    }

    let right = || Password::typed(PASSWORD);
    let new = auth.new_password("wooden battery horse", &user.email).unwrap();
    let address = Email::parse("new@example.org").unwrap();
    vec![
        ("notices", code(auth.notices(user).await, Error::code)),
        ("sessions", code(auth.sessions(user, 1).await, Error::code)),
        ("history", code(auth.history(user).await, Error::code)),
        ("export", code(auth.export(user).await, Error::code)),
        ("set_notices", code(auth.set_notices(user, &[]).await, Error::code)),
        ("ask_verification", code(auth.ask_verification(user).await, Error::code)),
        ("end_session", code(auth.end_session(user, "0123").await, EndSessionError::code)),
        ("end_other_sessions", code(auth.end_other_sessions(user).await, Error::code)),
        ("reauthenticate", code(auth.reauthenticate(user, right(), "").await, |e| e.code())),
        ("change_email", code(auth.change_email(user, &address, right()).await, |e| e.code())),
        ("wrong password", {
            let wrong = Password::typed(WRONG);
            code(auth.reauthenticate(user, wrong, "").await, |e| e.code())
        }),
        ("change_password", code(auth.change_password(user, right(), new).await, |e| e.code())),
        ("delete", {
            let new = Password::typed("wooden battery horse");
            code(auth.delete(user, new).await, |e| e.code())
        }),
    ]
}

#[track_caller]
fn assert_refused(acts: &[(&str, &str)]) {
    for (act, code) in acts {
        assert_eq!(*code, "session_ended", "{act}");
    }
}

#[track_caller]
fn assert_done(acts: &[(&str, &str)]) {
    for (act, code) in acts {
        let expected = match *act {
            "end_session" => "no_such_session",
            "wrong password" => "wrong_password",
            _ => "done",
        };
        assert_eq!(*code, expected, "{act}");
    }
}

/// Everything that an act could change or record.
async fn stored(app: &TestApp) -> Vec<i64> {
    let mut counts = vec![app.mails().await.len() as i64];
    for sql in [
        "SELECT count(*) FROM users",
        "SELECT count(*) FROM sessions",
        "SELECT count(*) FROM login_events",
        "SELECT count(*) FROM login_tokens",
        "SELECT count(*) FROM login_throttle",
        "SELECT count(*) FROM login_muted_notices",
    ] {
        counts.push(app.count(sql).await);
    }
    counts
}

async fn found(auth: &Auth<'_>, email: &str) -> User {
    auth.find_user_by_email(&Email::parse(email).unwrap()).await.unwrap().unwrap()
}

#[rocket::async_test]
async fn no_act_has_an_effect_on_the_account_of_somebody_else() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered(BOB).await);
    let second = app.visitor();
    second.log_in(BOB).await;
    for visitor in [&ada, &app.visitor()] {
        let (before, token) = (stored(&app).await, visitor.cookie("session"));
        let acts = visitor.with_auth(async |auth| every_act(&auth, &found(&auth, BOB).await).await);
        assert_refused(&acts.await);
        assert_eq!(stored(&app).await, before);
        // Its password does not make this log-in a recent one.
        assert_eq!(visitor.cookie("session"), token);
    }
    // An address that is confirmed needs no link, and is still not the visitor's.
    app.execute("UPDATE users SET verified_at = 1").await;
    let asked = ada.with_auth(async |auth| auth.ask_verification(&found(&auth, BOB).await).await);
    assert!(asked.await.unwrap_err().is_ended());
    assert!(ada.is_logged_in().await && bob.is_logged_in().await && second.is_logged_in().await);
}

#[rocket::async_test]
async fn after_a_log_in_the_acts_are_for_the_new_user() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.registered(BOB).await;
    for visitor in [&ada, &app.visitor()] {
        visitor
            .with_auth(async |auth| {
                let (ada, bob) = (found(&auth, ADA).await, found(&auth, BOB).await);
                let _ = auth.log_in_as(&bob, false).await.unwrap();
                let before = stored(&app).await;
                assert_refused(&every_act(&auth, &ada).await);
                assert_eq!(stored(&app).await, before);
                assert_done(&every_act(&auth, &bob).await);
                assert_refused(&every_act(&auth, &bob).await);
            })
            .await;
        app.registered(BOB).await;
    }
    assert_eq!(app.users().await, 2);
}

#[rocket::async_test]
async fn after_a_log_in_the_log_out_and_the_links_are_for_the_new_user() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.registered(BOB).await;
    ada.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let path = app.link(ADA, "/reset/").await;
    let token = path.trim_start_matches("/reset/");
    ada.with_auth(async |auth| {
        let _ = auth.log_in_as(&found(&auth, BOB).await, false).await.unwrap();
        // All sessions of Ada's end, and this one is Bob's.
        let link = auth.reset_link(token).await.unwrap();
        let new = auth.new_password("wooden battery horse", link.email()).unwrap();
        link.set(new, "").await.unwrap();
        auth.notices(&found(&auth, BOB).await).await.unwrap();

        auth.log_out().await.unwrap();
        assert!(auth.notices(&found(&auth, BOB).await).await.unwrap_err().is_ended());
        auth.log_out().await.unwrap();
    })
    .await;
    let out = "SELECT count(*) FROM login_events WHERE kind = 'logged_out'";
    let bobs = "SELECT count(*) FROM login_events e JOIN users u ON u.id = e.user_id
                WHERE kind = 'logged_out' AND email = 'bob@example.org'";
    assert_eq!((app.count(out).await, app.count(bobs).await), (1, 1));
}

// The form of the errors.

#[test]
fn a_reason_has_one_name_one_code_and_one_message() {
    let same = [
        (ReauthenticateError::WrongPassword.code(), ReauthenticateError::WrongPassword.to_string()),
        (ChangePasswordError::WrongPassword.code(), ChangePasswordError::WrongPassword.to_string()),
    ];
    assert_eq!(same[0], same[1]);
    assert_eq!(LogInError::WrongPassword.code(), same[0].0);
    assert_eq!(LogInError::Disabled.to_string(), RegisterError::Disabled.to_string());
    assert_eq!(LogInError::Disabled.code(), LogInAsError::Disabled.code());
    assert_eq!(LinkError::DeadLink.code(), ResetError::DeadLink.code());
    assert_eq!(LinkError::DeadLink.status(), Status::NotFound);
    assert_eq!(RegisterError::Closed.status(), Status::Forbidden);
}

fn files(dir: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some()).collect();
    assert!(files.len() > 5, "{dir}");
    files
}

/// An item of `auth` that a page can reach is `pub`, since `auth` has nothing for the crate alone but
/// what its last lines name.
#[test]
fn our_pages_use_nothing_of_the_acts_that_an_application_cannot() {
    let auth = include_str!("../../src/auth.rs");
    let mut ours = Vec::new();
    for line in auth.lines().filter(|line| line.contains("pub(")) {
        let names = line.strip_prefix("pub(crate) use ").expect("a re-export for the crate alone");
        let names = names.rsplit_once("::").unwrap().1;
        let names = names.rsplit_once(" as ").map_or(names, |(_, name)| name);
        let ends = |c: char| !c.is_alphanumeric() && c != '_';
        ours.extend(names.split(ends).filter(|name| !name.is_empty()));
    }
    for file in files("src/auth") {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("pub(crate)") && !text.contains("pub(in"), "{}", file.display());
        assert!(!text.contains("doc(hidden)"), "{}", file.display());
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files("src/pages").into_iter().chain([root.join("src/pages.rs")]) {
        let text = fs::read_to_string(&file).unwrap();
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let used = words.find(|word| ours.contains(word));
        assert_eq!(used, None, "{}", file.display());
        assert!(!text.contains("auth::*"), "{}", file.display());
    }
}

#[test]
fn every_code_is_in_the_table() {
    let documented = include_str!("../../docs/reference.md");
    let code =
        |word: &str| word.len() > 3 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut codes = 0;
    for (text, before) in [
        (include_str!("../../src/auth/refusal.rs"), "reason!(@$part \""),
        (include_str!("../../src/error.rs"), "=> \""),
        (include_str!("../../src/password.rs"), "=> \""),
        (include_str!("../../src/user/email.rs"), "=> \""),
        (include_str!("../../src/web/problem.rs"), "=> \""),
        (include_str!("../../src/web/problem.rs"), "map_or(\""),
        (include_str!("../../src/pages/errors.rs"), "with_code(\""),
        (include_str!("../../src/auth/register.rs"), "FieldErrors::of(\"form\", \""),
    ] {
        let words = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
        for word in words.filter(|word| code(word)) {
            codes += 1;
            assert!(documented.contains(&format!("`{word}`")), "{word} is not in the table");
        }
    }
    assert!(codes > 40, "{codes}");
}

#[rocket::async_test]
async fn an_address_that_the_operator_has_made_odd_breaks_no_page() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.execute("UPDATE users SET email = 'odd<b>x</b>,@'").await;
    for path in ["/account", "/account/sessions", "/account/activity", "/reset"] {
        ada.get(path).await.assert_status(200).assert_no_text("<b>x");
    }
    ada.get("/account/export").await.assert_status(200).assert_text("odd<b>x</b>,@");
    let fields = [("current_password", PASSWORD), ("new_password", "another horse battery")];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    app.visitor().log_in(ADA).await.assert_status(422);
    let fields = [("current_password", "another horse battery")];
    ada.post("/account/delete", &fields).await.assert_redirect("/");
}

/// A guard that asks before [`RecentLogin`] has answered.
struct AsksFirst;

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for AsksFirst {
    type Error = ();

    async fn from_request(
        request: &'r rocket::Request<'_>,
    ) -> rocket::request::Outcome<Self, Self::Error> {
        assert!(!RecentLogin::is_wanted(request));
        rocket::request::Outcome::Success(AsksFirst)
    }
}

#[get("/payout")]
fn payout(_asks: AsksFirst, _user: RecentLogin<'_>) {}

#[get("/conflict")]
fn conflict() -> Status {
    Status::Conflict
}

#[rocket::async_test]
async fn a_conflict_of_the_application_is_no_ended_session() {
    let app = own_pages().await;
    let answer = app.visitor().send(app.client.get("/conflict").header(Accept::JSON)).await;
    assert_eq!(codes(&answer), (409, "conflict".into(), vec![]));
}

#[rocket::async_test]
async fn a_guard_may_ask_before_the_recent_log_in_is_checked() {
    let app = own_pages().await;
    let ada = app.registered(ADA).await;
    ada.get("/payout").await.assert_status(200);
    app.advance(60 * 60);
    ada.get("/payout").await.assert_redirect("/reauthenticate?next=%2Fpayout");
}

#[rocket::async_test]
async fn a_logged_in_user_who_is_asked_again_costs_no_look_up() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.advance(60 * 60);
    ada.use_session().await;
    ada.get("/account").await.assert_status(200);
    let (answer, calls) = count_calls(ada.get("/account/delete")).await;
    answer.assert_redirect("/reauthenticate?next=%2Faccount%2Fdelete");
    assert_eq!(calls, 0, "the session is known");
}
