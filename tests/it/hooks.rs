//! What an application does together with an act: the hooks, on every way to each act.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::{post, routes};
use rocket_login::auth::{
    AccountError, Actor, AddError, DeleteError, HookError, Hooks, LogInAsError, NewAccount,
    Operator, RegisterError, Registered, SignUp, SignUpOptions, Verified, VerifyError,
};
use rocket_login::testing::{Browser, count_calls};
use rocket_login::web::{FieldErrors, Fields};
use rocket_login::{Email, Error, Migrations, Password, Stage, Transaction, User, sql, stage};
use serde_json::Value;
use sqlx::Row;
use tempfile::TempDir;

use crate::database::pick;
use crate::providers::with_provider;
use crate::servers::liar::Liar;
use crate::support::{Answer, PASSWORD, TestApp, Visitor, encode, figment};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const NEW: &str = "new@example.org";
const OTHER_PASSWORD: &str = "wooden battery horse";

/// What a hook does beside its row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Refuse,
    /// Refuse with a message at this field.
    RefuseAt(&'static str),
    Fail,
    Panic,
    Hang,
}

/// Hooks that write a row each time they run, and then stumble if they are told to.
#[derive(Clone, Default)]
struct Recorder {
    fault: Arc<Mutex<Option<(&'static str, Fault)>>>,
    number: Arc<AtomicI64>,
    /// The sign-ups that the hooks have seen.
    seen: Arc<Mutex<Vec<SignUp>>>,
}

impl Recorder {
    async fn run<E>(&self, tx: &mut Transaction, hook: &'static str, about: &str) -> Result<(), E>
    where
        E: From<Error> + From<sqlx::Error>,
    {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        sql::query("INSERT INTO calls (number, hook, about) VALUES ($1, $2, $3)")
            .bind(number)
            .bind(hook)
            .bind(about)
            .execute(tx)
            .await?;
        match self.fault_of(hook) {
            Some(Fault::Fail) => Err(Error::other("the cellar is full of water").into()),
            Some(Fault::Panic) => panic!("the hook {hook} panics"),
            Some(Fault::Hang) => std::future::pending().await,
            _ => Ok(()),
        }
    }

    fn fault_of(&self, hook: &str) -> Option<Fault> {
        self.fault.lock().unwrap().filter(|(broken, _)| *broken == hook).map(|(_, fault)| fault)
    }

    fn refuse(&self, hook: &str) -> Result<(), HookError> {
        match self.fault_of(hook) {
            Some(Fault::Refuse) => {
                Err(HookError::refused("invitation", "invitation_used", "It is used."))
            }
            Some(Fault::RefuseAt(field)) => Err(HookError::refused(field, "no", "Not there.")),
            _ => Ok(()),
        }
    }

    fn set(&self, fault: Option<(&'static str, Fault)>) {
        *self.fault.lock().unwrap() = fault;
    }
}

#[rocket::async_trait]
impl Hooks for Recorder {
    async fn before_sign_up(
        &self,
        tx: &mut Transaction,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        self.seen.lock().unwrap().push(sign_up.clone());
        self.run::<HookError>(tx, "before_sign_up", &sign_up.email).await?;
        self.refuse("before_sign_up")
    }

    async fn signed_up(
        &self,
        tx: &mut Transaction,
        user: &User,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        assert_eq!(user.email, sign_up.email);
        let stored: i64 = sql::query_scalar("SELECT count(*) FROM users WHERE id = $1")
            .bind(user.id)
            .fetch_one(tx)
            .await?;
        assert_eq!(stored, 1);
        self.run::<HookError>(tx, "signed_up", &user.email).await?;
        self.refuse("signed_up")
    }

    async fn email_verified(&self, tx: &mut Transaction, user: &User) -> Result<(), Error> {
        assert!(user.verified_at.is_some());
        self.run(tx, "email_verified", &user.email).await
    }

    async fn email_changed(
        &self,
        tx: &mut Transaction,
        user: &User,
        former: &Email,
    ) -> Result<(), Error> {
        assert!(user.verified_at.is_some());
        self.run(tx, "email_changed", &format!("{} from {former}", user.email)).await
    }

    async fn logged_in(&self, tx: &mut Transaction, user: &User) -> Result<(), HookError> {
        self.run::<HookError>(tx, "logged_in", &user.email).await?;
        self.refuse("logged_in")
    }

    async fn before_delete(
        &self,
        tx: &mut Transaction,
        user: &User,
        actor: Actor,
    ) -> Result<(), HookError> {
        let about = format!("{} by {actor:?}", user.email);
        self.run::<HookError>(tx, "before_delete", &about).await?;
        self.refuse("before_delete")
    }
}

fn recording(recorder: &Recorder) -> Stage {
    let table = "CREATE TABLE calls (number BIGINT, hook TEXT NOT NULL, about TEXT NOT NULL)";
    stage().hooks(recorder.clone()).migrations(Migrations::new().add(1, "calls", table))
}

async fn site(configure: impl FnOnce(Figment) -> Figment) -> (TestApp, Recorder) {
    let recorder = Recorder::default();
    (TestApp::staged(configure, recording(&recorder)).await, recorder)
}

fn confirm(figment: Figment) -> Figment {
    figment.merge(("accounts.registration", "confirm"))
}

fn closed(figment: Figment) -> Figment {
    figment.merge(("accounts.registration", "closed"))
}

/// Returns the hooks whose rows are there, in order, and deletes the rows.
async fn called(app: &TestApp) -> Vec<String> {
    let mut db = app.db().await;
    let select = "SELECT hook || ' ' || about FROM calls ORDER BY number";
    let rows = sqlx::query(select).fetch_all(&mut db).await.unwrap();
    app.execute("DELETE FROM calls").await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[track_caller]
fn assert_called(called: Vec<String>, hooks: &[&str]) {
    assert_eq!(called, hooks);
}

async fn email_of(app: &TestApp, id: i64) -> User {
    let found = app.visitor().with_auth(async |auth| auth.find_user(id).await).await;
    found.unwrap().unwrap()
}

#[rocket::async_test]
async fn every_way_to_a_sign_up_and_a_log_in_runs_each_hook_once() {
    let (app, _) = site(|f| f).await;
    let of_sign_up = |email: &str| {
        ["before_sign_up", "signed_up", "logged_in"].map(|hook| format!("{hook} {email}")).to_vec()
    };

    let ada = app.registered(ADA).await;
    assert_eq!(called(&app).await, of_sign_up(ADA));
    app.visitor().register(ADA).await.assert_redirect("/account");
    assert_called(called(&app).await, &["logged_in ada@example.org"]);

    let email = Email::parse(BOB).unwrap();
    app.visitor()
        .with_auth(async |auth| {
            let password = auth.new_password(PASSWORD, &email).unwrap();
            let _ = auth.register(&email, password).await.unwrap();
        })
        .await;
    assert_eq!(called(&app).await, of_sign_up(BOB));

    ada.log_out().await.assert_redirect("/");
    assert_called(called(&app).await, &[]);
    ada.log_in(ADA).await.assert_redirect("/account");
    assert_called(called(&app).await, &["logged_in ada@example.org"]);
    app.visitor().log_in_with(ADA, OTHER_PASSWORD).await.assert_status(422);
    ada.post("/reauthenticate", &[("password", PASSWORD)]).await.assert_redirect("/account");
    let fields = [("current_password", PASSWORD), ("new_password", OTHER_PASSWORD)];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    assert_called(called(&app).await, &[]);

    let user = email_of(&app, 1).await;
    app.visitor()
        .with_auth(async |auth| {
            let _ = auth.log_in_as(&user, false).await.unwrap();
        })
        .await;
    assert_called(called(&app).await, &["logged_in ada@example.org"]);

    let cy = app.visitor();
    cy.sign_in("cy@example.org").await;
    assert_eq!(called(&app).await, of_sign_up("cy@example.org"));
    cy.sign_in("cy@example.org").await;
    assert_called(called(&app).await, &["logged_in cy@example.org"]);
}

#[rocket::async_test]
async fn a_sign_up_with_a_provider_runs_the_hooks_of_both_and_may_be_refused() {
    let liar = Liar::start();
    let (app, recorder) = site(|figment| with_provider(figment, "test", &liar)).await;
    liar.follow(&app.clock);
    let come = async || {
        let visitor = app.visitor();
        let begun = visitor.get("/login/with/test").await;
        let back = liar.answer(begun.header("location").unwrap());
        visitor.get(&back).await
    };
    for hook in ["before_sign_up", "signed_up", "logged_in"] {
        recorder.set(Some((hook, Fault::Refuse)));
        come().await.assert_status(422);
        assert_eq!((app.users().await, app.sessions().await), (0, 0), "{hook}");
        assert_called(called(&app).await, &[]);
    }
    recorder.set(None);
    come().await.assert_redirect("/account");
    let hooks = ["before_sign_up", "signed_up", "email_verified", "logged_in"];
    assert_eq!(called(&app).await, hooks.map(|hook| format!("{hook} {ADA}")));
    come().await.assert_redirect("/account");
    assert_called(called(&app).await, &["logged_in ada@example.org"]);
}

#[rocket::async_test]
async fn every_way_to_a_confirmed_or_another_address_runs_its_hook_once() {
    let (app, _) = site(|f| f).await;
    let ada = app.registered(ADA).await;
    let bob = app.registered(BOB).await;
    called(&app).await;

    let link = app.link(ADA, "/verify/").await;
    ada.get(&link).await.assert_status(200);
    assert_called(called(&app).await, &[]);
    ada.post(&link, &[]).await.assert_redirect("/account");
    assert_called(called(&app).await, &["email_verified ada@example.org"]);
    ada.post(&link, &[]).await;
    assert_called(called(&app).await, &[]);

    // A new password by mail confirms the address as well, if it is not confirmed yet.
    for (email, hooks) in [(BOB, &["email_verified bob@example.org"][..]), (ADA, &[])] {
        bob.post("/reset", &[("email", email)]).await.assert_status(200);
        let link = app.link(email, "/reset/").await;
        bob.post(&link, &[("new_password", OTHER_PASSWORD)]).await.assert_redirect("/login");
        assert_called(called(&app).await, hooks);
    }

    ada.log_in_with(ADA, OTHER_PASSWORD).await.assert_redirect("/account");
    called(&app).await;
    let fields = [("email", NEW), ("current_password", OTHER_PASSWORD)];
    ada.post("/account/email", &fields).await.assert_redirect("/account");
    assert_called(called(&app).await, &[]);
    let link = app.link(NEW, "/verify/").await;
    ada.post(&link, &[]).await.assert_redirect("/account");
    assert_called(called(&app).await, &["email_changed new@example.org from ada@example.org"]);

    // The owner takes the address back. Locked again, the account keeps it.
    let link = app.link(ADA, "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    assert_called(called(&app).await, &["email_changed ada@example.org from new@example.org"]);
    let link = app.link(ADA, "/reset/").await;
    bob.post(&link, &[("new_password", PASSWORD)]).await.assert_redirect("/login");
    let link = app.link(ADA, "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    assert_called(called(&app).await, &[]);
}

#[rocket::async_test]
async fn a_sign_up_by_mail_runs_the_hooks_when_its_link_is_used() {
    let (app, recorder) = site(confirm).await;
    let here = app.visitor();
    for (email, is_here, lands) in [(ADA, true, "/login"), (BOB, false, "/login")] {
        let fields =
            [("email", email), ("password", PASSWORD), ("name", "Ada L."), ("next", "/notes")];
        here.post("/register", &fields).await.assert_redirect("/register/sent");
        // It has run, but its row is undone: there is no account yet.
        assert_called(called(&app).await, &[]);
        assert_eq!(recorder.seen.lock().unwrap().len(), 1);

        let link = app.link(email, "/verify/").await;
        let elsewhere = app.visitor();
        let browser = if is_here { &here } else { &elsewhere };
        browser.post(&link, &[]).await.assert_redirect(lands);
        let hooks = ["before_sign_up", "signed_up", "email_verified"];
        assert_eq!(called(&app).await, hooks.map(|hook| format!("{hook} {email}")));

        let seen = std::mem::take(&mut *recorder.seen.lock().unwrap());
        assert_eq!(seen.len(), 2);
        for sign_up in seen {
            assert_eq!(sign_up.fields, Fields::from_iter([("name", "Ada L.")]));
            assert_eq!((sign_up.actor, sign_up.is_invited), (Actor::Visitor, false));
        }
    }
}

#[rocket::async_test]
async fn a_deletion_runs_its_hook_once_and_may_be_refused() {
    let (app, recorder) = site(|f| f).await;
    let ada = app.registered(ADA).await;
    called(&app).await;
    recorder.set(Some(("before_delete", Fault::Refuse)));
    let delete = async || ada.post("/account/delete", &[("current_password", PASSWORD)]).await;
    delete().await.assert_status(422).assert_text("It is used.");
    assert_called(called(&app).await, &[]);
    assert!(ada.is_logged_in().await);
    let user = email_of(&app, 1).await;
    ada.with_auth(async |auth| {
        let refused = auth.delete(&user, Password::typed(PASSWORD)).await.unwrap_err();
        assert_eq!(refused.code(), "invalid_form");
        let DeleteError::Refused(errors) = refused else { panic!("{refused}") };
        assert_eq!(errors.iter().next().unwrap().code, "invitation_used");
    })
    .await;

    recorder.set(None);
    delete().await.assert_redirect("/");
    assert_called(called(&app).await, &["before_delete ada@example.org by Visitor"]);
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn an_operators_acts_run_their_hooks_once_and_leave_nothing_if_one_fails() {
    let (app, recorder) = site(|f| f).await;
    let operator = Operator::of(app.client.rocket()).unwrap();
    let new = || NewAccount::new(Email::parse(ADA).unwrap()).verified();
    for hook in ["before_sign_up", "signed_up", "email_verified"] {
        recorder.set(Some((hook, Fault::Fail)));
        let before = stored(&app).await;
        let failed = operator.add(new()).await.unwrap_err();
        assert!(matches!(failed, AddError::Failed(_)), "{hook}: {failed}");
        assert_eq!(stored(&app).await, before, "{hook}");
    }
    recorder.set(Some(("signed_up", Fault::Refuse)));
    let refused = operator.add(new()).await.unwrap_err();
    assert!(matches!(refused, AddError::Refused(_)), "{refused}");
    recorder.set(None);

    let fields = Fields::from_iter([("name", "Ada")]);
    let ada = operator.add(new().fields(fields.clone())).await.unwrap();
    let hooks = ["before_sign_up", "signed_up", "email_verified"];
    assert_eq!(called(&app).await, hooks.map(|hook| format!("{hook} {ADA}")));
    let seen = recorder.seen.lock().unwrap().pop().unwrap();
    assert_eq!((seen.fields, seen.actor, seen.is_invited), (fields, Actor::Operator, false));

    for fault in [Fault::Fail, Fault::Refuse] {
        recorder.set(Some(("before_delete", fault)));
        let before = stored(&app).await;
        let failed = operator.delete(&ada).await.unwrap_err();
        let is_refused = matches!(failed, AccountError::Refused(_));
        assert_eq!(is_refused, fault == Fault::Refuse, "{failed}");
        assert_eq!(stored(&app).await, before);
    }
    recorder.set(None);
    operator.disable(&ada).await.unwrap();
    operator.enable(&ada).await.unwrap();
    assert_called(called(&app).await, &[]);
    operator.delete(&ada).await.unwrap();
    assert_called(called(&app).await, &["before_delete ada@example.org by Operator"]);
}

/// Everything that an act may leave behind, except what is counted for the throttle, and the event of a
/// log-in that a hook refused.
async fn stored(app: &TestApp) -> Vec<String> {
    let mut db = app.db().await;
    let mut found = Vec::new();
    for rows in [
        "SELECT concat_ws(' ', id, email, password_hash, verified_at, disabled_at) FROM users ORDER BY id",
        pick(
            "SELECT hex(id) || data FROM sessions ORDER BY id",
            "SELECT encode(id, 'hex') || data FROM sessions ORDER BY id",
        ),
        pick(
            "SELECT hex(id) || purpose || email FROM login_tokens ORDER BY id",
            "SELECT encode(id, 'hex') || purpose || email FROM login_tokens ORDER BY id",
        ),
        "SELECT concat_ws(' ', id, recipient, template) FROM login_mails ORDER BY id",
        "SELECT concat_ws(' ', id, kind) FROM login_events WHERE kind <> 'log_in_refused'
         ORDER BY id",
        "SELECT concat_ws(' ', user_id, created_at, last_seen_at) FROM login_devices ORDER BY 1",
        "SELECT concat_ws(' ', user_id, notice) FROM login_muted_notices ORDER BY 1",
        "SELECT act FROM login_done ORDER BY 1",
        "SELECT hook FROM calls ORDER BY 1",
    ] {
        let rows = sqlx::query(rows).fetch_all(&mut db).await.unwrap();
        found.extend(rows.iter().map(|row| row.get::<String, _>(0)));
    }
    found
}

fn cookies(visitor: &Visitor<'_>) -> [Option<String>; 4] {
    ["session", "session-device", "session-sign-up", "session-done"]
        .map(|name| visitor.cookie(name))
}

/// The acts that have hooks: for each the hooks that it runs, and what runs it.
struct Act<'a> {
    hooks: &'static [&'static str],
    visitor: &'a Visitor<'a>,
    path: String,
    fields: Vec<(&'static str, &'static str)>,
}

/// Runs the acts with each of their hooks broken, and asserts that nothing is left. Then it runs them.
async fn assert_all_or_nothing(app: &TestApp, recorder: &Recorder, act: Act<'_>, faults: &[Fault]) {
    let Act { hooks, visitor, path, fields } = act;
    for hook in hooks {
        for fault in faults {
            let may_refuse = !["email_verified", "email_changed"].contains(hook);
            let expected = match fault {
                Fault::Refuse if !may_refuse => continue,
                Fault::Refuse | Fault::RefuseAt(_) => 422,
                Fault::Fail | Fault::Panic => 500,
                Fault::Hang => 503,
            };
            let before = (stored(app).await, cookies(visitor));
            recorder.set(Some((hook, *fault)));
            let answer = visitor.post(&path, &fields).await;
            recorder.set(None);
            let case = format!("{path}: {hook}: {fault:?}: {}", answer.body);
            assert_eq!(answer.status.code, expected, "{case}");
            answer.assert_no_text("cellar");
            assert_eq!((stored(app).await, cookies(visitor)), before, "{case}");
        }
    }
    let answer = visitor.post(&path, &fields).await;
    assert_eq!(answer.status.code, 303, "{path}: {}", answer.body);
}

const OF_SIGN_UP: &[(&str, &str)] = &[("email", ADA), ("password", PASSWORD)];

#[rocket::async_test]
async fn a_hook_that_fails_leaves_nothing_of_the_act() {
    let faults = [Fault::Refuse, Fault::Fail, Fault::Panic];
    let (app, recorder) = site(|f| f.merge(("throttle.enabled", false))).await;
    let (ada, stranger) = (app.visitor(), app.visitor());
    let run = async |hooks, visitor, path: String, fields: &[(&'static str, &'static str)]| {
        let act = Act { hooks, visitor, path, fields: fields.to_vec() };
        assert_all_or_nothing(&app, &recorder, act, &faults).await;
    };

    let signing_up = &["before_sign_up", "signed_up", "logged_in"];
    run(signing_up, &ada, "/register".into(), OF_SIGN_UP).await;
    run(&["logged_in"], &stranger, "/register".into(), OF_SIGN_UP).await;
    run(&["logged_in"], &ada, "/login".into(), OF_SIGN_UP).await;
    let link = app.link(ADA, "/verify/").await;
    run(&["email_verified"], &ada, link, &[]).await;

    let fields = [("email", NEW), ("current_password", PASSWORD)];
    ada.post("/account/email", &fields).await.assert_redirect("/account");
    let link = app.link(NEW, "/verify/").await;
    run(&["email_changed"], &ada, link, &[]).await;
    let link = app.link(ADA, "/not-me/").await;
    run(&["email_changed"], &stranger, link, &[]).await;

    let bob = app.registered(BOB).await;
    bob.post("/reset", &[("email", BOB)]).await.assert_status(200);
    let link = app.link(BOB, "/reset/").await;
    run(&["email_verified"], &bob, link, &[("new_password", OTHER_PASSWORD)]).await;
    bob.log_in_with(BOB, OTHER_PASSWORD).await.assert_redirect("/account");
    let delete = "/account/delete".to_owned();
    run(&["before_delete"], &bob, delete, &[("current_password", OTHER_PASSWORD)]).await;
}

#[rocket::async_test]
async fn a_hook_that_fails_leaves_nothing_of_a_sign_up_by_mail() {
    let faults = [Fault::Refuse, Fault::Fail, Fault::Panic];
    let (app, recorder) = site(confirm).await;
    for is_here in [true, false] {
        let (ada, elsewhere) = (app.visitor(), app.visitor());
        let fields = OF_SIGN_UP.to_vec();
        let path = "/register".to_owned();
        let act = Act { hooks: &["before_sign_up"], visitor: &ada, path, fields };
        assert_all_or_nothing(&app, &recorder, act, &faults).await;

        let visitor = if is_here { &ada } else { &elsewhere };
        let hooks = &["before_sign_up", "signed_up", "email_verified"];
        let act = Act { hooks, visitor, path: app.link(ADA, "/verify/").await, fields: vec![] };
        assert_all_or_nothing(&app, &recorder, act, &faults).await;
        assert_eq!(app.users().await, 1);
        app.execute("DELETE FROM users; DELETE FROM login_mails").await;
    }
}

#[rocket::async_test]
async fn a_hook_that_takes_too_long_is_given_up() {
    let (app, recorder) = site(|f| f).await;
    let path = "/register".to_owned();
    let (visitor, fields) = (&app.visitor(), OF_SIGN_UP.to_vec());
    let act = Act { hooks: &["signed_up"], visitor, path, fields };
    assert_all_or_nothing(&app, &recorder, act, &[Fault::Hang]).await;
}

#[rocket::async_test]
async fn a_log_in_that_a_hook_refuses_counts_as_no_failure() {
    let (app, recorder) = site(|f| f.merge(("throttle.failures", 2))).await;
    let ada = app.registered(ADA).await;
    ada.log_out().await;
    recorder.set(Some(("logged_in", Fault::Refuse)));
    for _ in 0..5 {
        ada.log_in(ADA).await.assert_status(422).assert_text("It is used.");
    }
    let user = email_of(&app, 1).await;
    ada.with_auth(async |auth| {
        let refused = auth.log_in_as(&user, false).await.unwrap_err();
        assert!(matches!(refused, LogInAsError::Refused(_)), "{refused}");
    })
    .await;
    recorder.set(None);
    ada.log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_log_in_that_a_hook_refuses_is_in_the_history() {
    let (app, recorder) = site(|f| f).await;
    let ada = app.registered(ADA).await;
    let user = email_of(&app, 1).await;
    let refused = "SELECT count(*) FROM login_events WHERE kind = 'log_in_refused' AND user_id = 1";
    let try_both = async |fault| {
        recorder.set(Some(("logged_in", fault)));
        let visitor = app.visitor();
        visitor.log_in(ADA).await;
        visitor.with_auth(async |auth| auth.log_in_as(&user, false).await.unwrap_err()).await;
        recorder.set(None);
    };

    try_both(Fault::Refuse).await;
    assert_eq!(app.count(refused).await, 2);
    // A hook that fails has refused nothing.
    try_both(Fault::Fail).await;
    assert_eq!(app.count(refused).await, 2);
    ada.get("/account/activity").await.assert_text("Log-in refused by the site");
}

#[rocket::async_test]
async fn a_field_with_nul_is_refused_before_it_reaches_a_statement() {
    for mode in ["open", "confirm"] {
        let (app, recorder) = site(|f| f.merge(("accounts.registration", mode))).await;
        let ours = format!("email={}&password={}", encode(ADA), encode(PASSWORD));
        for field in ["invitation=%00", "invitation=K7%00QX", "invi%00tation=K7QX"] {
            let answer = app.visitor().post_raw("/register", format!("{ours}&{field}")).await;
            answer.assert_status(422).assert_text("id=\"form-error\"");
            answer.assert_text("This form has a character");
        }
        let request = app.client.post("/register").header(rocket::http::ContentType::JSON);
        let request = request.header(rocket::http::Accept::JSON);
        let body =
            format!(r#"{{"email": "{ADA}", "password": "{PASSWORD}", "invitation": "\u0000"}}"#);
        let answer = app.visitor().send(request.body(body)).await;
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        let error = &problem["errors"][0];
        assert_eq!((answer.status.code, &error["code"]), (422, &"form_unreadable".into()));
        assert!(recorder.seen.lock().unwrap().is_empty());

        let operator = Operator::of(app.client.rocket()).unwrap();
        let fields = Fields::from_iter([("name", "\0")]);
        let account = NewAccount::new(Email::parse(ADA).unwrap()).fields(fields);
        let refused = operator.add(account).await.unwrap_err();
        assert!(matches!(refused, AddError::Refused(_)), "{refused}");
        assert_eq!(app.users().await, 0);
    }
}

#[rocket::async_test]
async fn a_refusal_at_any_field_is_shown_at_the_link_and_at_the_deletion() {
    let (app, recorder) = site(confirm).await;
    let (ada, elsewhere) = (app.visitor(), app.visitor());
    ada.register(ADA).await.assert_redirect("/register/sent");
    let link = app.link(ADA, "/verify/").await;
    let fields = ["form", "email", "password", "current_password", "new_password", "invitation"];
    for field in fields {
        recorder.set(Some(("before_sign_up", Fault::RefuseAt(field))));
        for (browser, proof) in [(&ada, &[][..]), (&elsewhere, &[("password", PASSWORD)])] {
            browser.post(&link, proof).await.assert_status(422).assert_text("Not there.");
        }
    }
    recorder.set(None);
    ada.post(&link, &[]).await.assert_redirect("/login");
    ada.log_in(ADA).await.assert_redirect("/account");
    for field in fields {
        recorder.set(Some(("before_delete", Fault::RefuseAt(field))));
        let answer = ada.post("/account/delete", &[("current_password", PASSWORD)]).await;
        answer.assert_status(422).assert_text("Not there.");
    }
}

#[rocket::async_test]
async fn the_right_password_at_a_link_counts_as_no_failure_if_a_hook_stops_the_sign_up() {
    let (app, recorder) = site(|f| confirm(f).merge(("throttle.failures", 2))).await;
    app.visitor().register(ADA).await.assert_redirect("/register/sent");
    let (link, elsewhere) = (app.link(ADA, "/verify/").await, app.visitor());
    let pending = "SELECT count(*) FROM login_throttle WHERE pending > 0";
    for (fault, status) in [(Fault::Refuse, 422), (Fault::Fail, 500), (Fault::Panic, 500)] {
        recorder.set(Some(("before_sign_up", fault)));
        for _ in 0..4 {
            let answer = elsewhere.post(&link, &[("password", PASSWORD)]).await;
            answer.assert_status(status);
            assert_eq!(app.count(pending).await, 0, "{fault:?}");
        }
    }
    recorder.set(None);
    elsewhere.post(&link, &[("password", PASSWORD)]).await.assert_redirect("/login");
    assert_eq!(app.count(pending).await, 0);
}

#[rocket::async_test]
async fn fields_of_the_application_reach_the_hooks_and_no_password_does() {
    let (app, recorder) = site(|f| f).await;
    let fields = [
        ("email", ADA),
        ("password", PASSWORD),
        ("next", "/notes"),
        ("invitation", " K7QX "),
        ("terms", "on"),
    ];
    app.visitor().post("/register", &fields).await.assert_redirect("/notes");
    let seen = recorder.seen.lock().unwrap().pop().unwrap();
    assert_eq!(seen.fields, Fields::from_iter([("invitation", " K7QX "), ("terms", "on")]));
    assert_eq!((seen.field("invitation"), seen.field("name")), ("K7QX", ""));
    assert_eq!(format!("{:?}", seen.fields), r#"{"invitation", "terms"}"#);

    let request = app.client.post("/register").header(rocket::http::ContentType::JSON);
    let body = format!(r#"{{"email": "{BOB}", "password": "{PASSWORD}", "terms": true}}"#);
    app.visitor().send(request.body(body)).await.assert_status(303);
    let seen = recorder.seen.lock().unwrap().pop().unwrap();
    assert_eq!(seen.fields.iter().count(), 1, "{:?}", seen.fields);
    assert!(!seen.field("terms").is_empty());

    app.visitor().sign_in("cy@example.org").await;
    let seen = recorder.seen.lock().unwrap().pop().unwrap();
    assert_eq!((seen.actor, seen.fields.is_empty()), (Actor::Operator, true));
}

#[rocket::async_test]
async fn a_message_at_a_field_that_the_page_does_not_have_stands_above_the_form() {
    let (app, recorder) = site(|f| f).await;
    recorder.set(Some(("signed_up", Fault::Refuse)));
    let fields = [("email", ADA), ("password", PASSWORD), ("invitation", "K7QX")];
    let answer = app.visitor().post("/register", &fields).await;
    answer.assert_status(422);
    answer.assert_text("<p class=\"alert\" role=\"alert\">It is used.</p>");
    answer.assert_text(&format!("value=\"{ADA}\"")).assert_no_text(PASSWORD);

    let request = app.client.post("/register").header(rocket::http::ContentType::Form);
    let request = request.header(rocket::http::Accept::JSON);
    let body = format!("email={}&password={}", encode(ADA), encode(PASSWORD));
    let answer = app.visitor().send(request.body(body)).await;
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status.code, &problem["code"]), (422, &"invalid_form".into()));
    assert_eq!(
        problem["errors"],
        serde_json::json!([
            {"field": "invitation", "code": "invitation_used", "message": "It is used."}
        ])
    );
}

#[rocket::async_test]
async fn what_a_sign_up_keeps_with_its_link_is_sealed_and_goes_with_it() {
    let (app, _) = site(confirm).await;
    let kept = "SELECT count(*) FROM login_tokens WHERE sign_up IS NOT NULL";
    let readable = "SELECT count(*) FROM login_tokens WHERE sign_up LIKE '%Lovelace%'";
    let fields = |email| [("email", email), ("password", PASSWORD), ("name", "Ada Lovelace")];
    let ada = app.visitor();
    ada.post("/register", &fields(ADA)).await.assert_redirect("/register/sent");
    assert_eq!((app.count(kept).await, app.count(readable).await), (1, 0));
    ada.post(&app.link(ADA, "/verify/").await, &[]).await.assert_redirect("/login");
    assert_eq!(app.count(kept).await, 0);

    // A newer link, and the sweep, end it as well.
    ada.post("/register", &fields(BOB)).await.assert_redirect("/register/sent");
    ada.post("/register", &fields(BOB)).await.assert_redirect("/register/sent");
    assert_eq!(app.count(kept).await, 1);
    app.until_after(3600, "SELECT count(*) = 0 FROM login_tokens").await;
}

#[rocket::async_test]
async fn without_hooks_nothing_of_the_form_is_kept() {
    let app = TestApp::with(confirm).await;
    let fields = [("email", ADA), ("password", PASSWORD), ("name", "Ada Lovelace")];
    app.visitor().post("/register", &fields).await.assert_redirect("/register/sent");
    let kept = "SELECT count(*) FROM login_tokens WHERE sign_up IS NOT NULL";
    assert_eq!(app.count(kept).await, 0);
}

#[rocket::async_test]
async fn a_link_whose_fields_cannot_be_read_any_more_is_dead() {
    let (app, recorder) = site(confirm).await;
    let fields = [("email", ADA), ("password", PASSWORD), ("name", "Ada Lovelace")];
    app.visitor().post("/register", &fields).await.assert_redirect("/register/sent");
    let link = app.link(ADA, "/verify/").await;
    let other_key = "HxEAAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4=";
    let with_key = |f: Figment| confirm(f).merge(("secret_key", other_key));
    let app = app.restaged(with_key, recording(&recorder)).await;
    app.visitor().get(&link).await.assert_status(404);
    app.visitor().post(&link, &[]).await.assert_status(404);
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn a_form_with_too_much_is_refused_before_it_is_stored() {
    for mode in ["open", "confirm"] {
        let (app, _) = site(|f| f.merge(("accounts.registration", mode))).await;
        let about = |length| "x".repeat(length);
        let sign_up = async |length| {
            let about: String = about(length);
            let fields = [("email", ADA), ("password", PASSWORD), ("about", &about)];
            app.visitor().post("/register", &fields).await
        };
        sign_up(8 * 1024).await.assert_status(422).assert_text("This form is too long.");
        assert_eq!(app.count("SELECT count(*) FROM login_tokens").await, 0);
        sign_up(8 * 1024 - "about".len()).await.assert_status(303);
    }
}

async fn register_with(
    visitor: &Visitor<'_>,
    email: &str,
    options: SignUpOptions,
) -> Result<Registered, RegisterError> {
    let email = Email::parse(email).unwrap();
    let act = async |auth: rocket_login::Auth<'_>| {
        let password = auth.new_password(PASSWORD, &email).unwrap();
        auth.register_with(&email, password, options).await
    };
    visitor.with_auth(act).await
}

#[post("/join")]
async fn join(auth: rocket_login::Auth<'_>) -> Result<(), RegisterError> {
    let email = Email::parse(ADA).unwrap();
    let password = auth.new_password(PASSWORD, &email)?;
    let _ = auth.register(&email, password).await?;
    Ok(())
}

#[rocket::async_test]
async fn a_page_of_the_application_passes_a_refusal_on_with_its_fields() {
    let recorder = Recorder::default();
    let (dir, refused) = (TempDir::new().unwrap(), Some(("before_sign_up", Fault::Refuse)));
    let rocket = rocket::custom(figment(&dir)).attach(recording(&recorder));
    let client = Client::untracked(rocket.mount("/", routes![join])).await.unwrap();
    let browser = Browser::new(&client);
    recorder.set(refused);
    browser.post("/join", &[]).await.assert_status(422).assert_text("It is used.");
    let answer = browser.send(client.post("/join").header(rocket::http::Accept::JSON)).await;
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status.code, &problem["code"]), (422, &"invalid_form".into()));
    assert_eq!(problem["detail"], "It is used.");
    let error = &problem["errors"][0];
    assert_eq!(
        (&error["field"], &error["code"]),
        (&"invitation".into(), &"invitation_used".into())
    );
    recorder.set(None);
    browser.post("/join", &[]).await.assert_status(200);
}

#[rocket::async_test]
async fn a_closed_site_signs_up_whom_the_application_invites() {
    let (app, recorder) = site(closed).await;
    let ada = app.visitor();
    ada.register(ADA).await.assert_status(403);
    ada.get("/register").await.assert_status(403);
    ada.get("/login").await.assert_no_text("/register");
    let refused = register_with(&ada, ADA, SignUpOptions::new()).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Closed), "{refused}");
    assert!(recorder.seen.lock().unwrap().is_empty());

    let _ = register_with(&ada, ADA, SignUpOptions::new().invited()).await.unwrap();
    assert!(ada.is_logged_in().await);
    assert!(recorder.seen.lock().unwrap().pop().unwrap().is_invited);
}

#[rocket::async_test]
async fn an_invited_sign_up_by_mail_stays_good_on_a_closed_site_and_no_other_does() {
    let (app, recorder) = site(confirm).await;
    app.visitor().register(BOB).await.assert_redirect("/register/sent");
    let uninvited = app.link(BOB, "/verify/").await;
    let app = app.restaged(closed, recording(&recorder)).await;
    app.visitor().post(&uninvited, &[]).await.assert_status(404);

    let ada = app.visitor();
    let fields = Fields::from_iter([("name", "Ada")]);
    let options = SignUpOptions::new().invited().by_mail().fields(fields.clone());
    let _ = register_with(&ada, ADA, options).await.unwrap();
    assert_eq!(app.users().await, 0);
    assert!(!ada.is_logged_in().await);
    ada.post(&app.link(ADA, "/verify/").await, &[]).await.assert_redirect("/login");
    assert_eq!(app.users().await, 1);
    let seen = recorder.seen.lock().unwrap().pop().unwrap();
    assert_eq!((seen.fields, seen.is_invited), (fields, true));
}

#[rocket::async_test]
async fn a_sign_up_by_mail_on_a_site_without_mail_is_refused() {
    let app = TestApp::release().await;
    let options = SignUpOptions::new().by_mail();
    let refused = register_with(&app.visitor(), ADA, options).await.unwrap_err();
    assert!(matches!(refused, RegisterError::NoMail), "{refused}");
    assert_eq!((refused.code(), refused.status().code), ("no_mail", 403));
}

#[rocket::async_test]
async fn a_refusal_at_the_link_is_shown_and_the_link_stays_good() {
    let (app, recorder) = site(confirm).await;
    let ada = app.visitor();
    ada.register(ADA).await.assert_redirect("/register/sent");
    let link = app.link(ADA, "/verify/").await;
    recorder.set(Some(("before_sign_up", Fault::Refuse)));
    let answer = ada.post(&link, &[]).await;
    answer.assert_status(422).assert_text("It is used.").assert_text("href=\"/register\"");
    let token = link.trim_start_matches("/verify/");
    ada.with_auth(async |auth| {
        let link = auth.verify_link(token).await.unwrap();
        let refused = link.confirm(None).await.unwrap_err();
        assert!(matches!(refused, VerifyError::Refused(_)), "{refused}");
    })
    .await;
    recorder.set(None);
    ada.with_auth(async |auth| {
        let link = auth.verify_link(token).await.unwrap();
        assert!(matches!(link.confirm(None).await.unwrap(), Verified::Confirmed(_)));
    })
    .await;
}

#[rocket::async_test]
async fn with_hooks_a_sign_up_by_mail_takes_as_many_queries_for_every_address() {
    let (app, recorder) = site(|f| confirm(f).merge(("throttle.mails", 100))).await;
    app.visitor().sign_in(ADA).await;
    for fault in [None, Some(("before_sign_up", Fault::Refuse))] {
        recorder.set(fault);
        let mut found = Vec::new();
        for email in [ADA, "free@example.org"].repeat(2) {
            let fields = [("email", email), ("password", PASSWORD), ("name", "Ada")];
            let visitor = app.visitor();
            let (answer, calls) = count_calls(visitor.post("/register", &fields)).await;
            let Answer { status, headers, body, .. } = answer;
            let names: Vec<_> = headers.into_iter().map(|(name, _)| name).collect();
            found.push((status, names, body.replace(email, "EMAIL"), calls));
        }
        assert!(found.iter().all(|one| *one == found[0] && one.3 > 2), "{found:#?}");
    }
}

/// Hooks that use the connection itself, before anything else has run on it.
struct Raw;

#[rocket::async_trait]
impl Hooks for Raw {
    async fn before_sign_up(&self, tx: &mut Transaction, _: &SignUp) -> Result<(), HookError> {
        raw(tx).await
    }

    async fn logged_in(&self, tx: &mut Transaction, _: &User) -> Result<(), HookError> {
        raw(tx).await
    }

    async fn before_delete(
        &self,
        tx: &mut Transaction,
        _: &User,
        _: Actor,
    ) -> Result<(), HookError> {
        raw(tx).await
    }
}

async fn raw(tx: &mut Transaction) -> Result<(), HookError> {
    let insert = "INSERT INTO raw (number) VALUES (1)";
    if let Some(sqlite) = tx.sqlite() {
        sqlx::query(insert).execute(sqlite).await?;
    } else if let Some(postgres) = tx.postgres() {
        sqlx::query(insert).execute(postgres).await?;
    }
    Ok(())
}

#[rocket::async_test]
async fn a_hook_may_use_the_connection_itself() {
    for mode in ["open", "confirm"] {
        let table = Migrations::new().add(1, "raw", "CREATE TABLE raw (number BIGINT)");
        let stage = stage().hooks(Raw).migrations(table);
        let app = TestApp::staged(|f| f.merge(("accounts.registration", mode)), stage).await;
        let ada = app.visitor();
        ada.register(ADA).await.assert_status(303);
        if mode == "confirm" {
            assert_eq!(app.count("SELECT count(*) FROM raw").await, 0);
            ada.post(&app.link(ADA, "/verify/").await, &[]).await.assert_status(303);
        }
        assert!(app.count("SELECT count(*) FROM raw").await > 0);
        ada.log_in(ADA).await.assert_redirect("/account");
        ada.post("/account/delete", &[("current_password", PASSWORD)]).await.assert_redirect("/");
        assert_eq!(app.users().await, 0);
    }
}

/// Hooks that refuse with a message at a field.
struct Refusing(&'static str);

#[rocket::async_trait]
impl Hooks for Refusing {
    async fn before_sign_up(&self, _: &mut Transaction, _: &SignUp) -> Result<(), HookError> {
        let mut errors = FieldErrors::new();
        errors.add("name", "name_taken", format!("{} refuses.", self.0));
        errors.add("form", "full", "No room.");
        Err(errors.into())
    }
}

#[rocket::async_test]
async fn several_hooks_run_in_their_order_until_one_refuses() {
    let recorder = Recorder::default();
    let stage = recording(&recorder).hooks(Refusing("First")).hooks(Refusing("Second"));
    let app = TestApp::staged(|f| f, stage).await;
    let ada = app.visitor();
    let answer = ada.register(ADA).await;
    answer.assert_status(422).assert_text("First refuses.").assert_text("No room.");
    answer.assert_no_text("Second refuses.");
    assert_eq!(recorder.seen.lock().unwrap().len(), 1);
    let refused = register_with(&ada, ADA, SignUpOptions::new()).await.unwrap_err();
    assert_eq!(refused.to_string(), "First refuses. No room.");
    assert_eq!(refused.code(), "full");
}
