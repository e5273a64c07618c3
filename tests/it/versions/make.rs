//! Makes the databases of this version, for `tests/versions`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rocket::figment::Figment;
use rocket_login::auth::Operator;
use rocket_login::{Email, RoleName};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::{Kept, KeptBrowser, Request, VERSIONS};
use crate::database;
use crate::servers::Cluster;
use crate::support::{PASSWORD, TestApp, Visitor};

const KEY: &str = "VGhlIGtleSBvZiBhIGRhdGFiYXNlIG9mIGEgdGVzdC4=";
const NEW: &str = "another horse battery";
const ADA: &str = "ada@example.org";
const HERE: &str = "192.0.2.1";
const THERE: &str = "198.51.100.7";

type Field<'a> = (&'a str, &'a str);
type Pair<'a> = (&'a str, i64);

const WITH_PASSWORD: Field<'_> = ("password", PASSWORD);

/// Every cookie that a browser may have.
const COOKIES: [&str; 6] = [
    "session",
    "session-device",
    "session-sign-up",
    "session-done",
    "session-email",
    "session-flash",
];

/// The configuration of the site, without its address.
fn configured(figment: Figment, url: Option<&str>) -> Figment {
    // No mail server is there, so all mails wait.
    let figment = figment.merge(("secret_key", KEY)).merge(("mail.url", "smtp://127.0.0.1:9"));
    let figment = figment.merge(("mail.from", "no-reply@example.org"));
    match url {
        Some(url) => figment.merge(("databases.login.url", url)),
        None => figment,
    }
}

#[rocket::async_test]
#[ignore = "writes the databases of this version: tests/versions/README.md"]
async fn make() {
    assert!(database::socket().is_none());
    let folder = Path::new(VERSIONS).join(env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(&folder).unwrap();

    let (kept, dir) = made(None).await;
    write(&folder.join("sqlite.json"), &kept);
    let (file, url) = (folder.join("login.db"), database::url(&dir));
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    // Without the pages of rows that were deleted.
    sqlx::raw_sql("VACUUM").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    fs::copy(dir.path().join("login.db"), file).unwrap();

    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE site");
    let (kept, _dir) = made(Some(&cluster.url("site"))).await;
    write(&folder.join("postgres.json"), &kept);
    fs::write(folder.join("login.sql"), cluster.dump("site")).unwrap();
}

fn write(path: &Path, kept: &Kept) {
    fs::write(path, serde_json::to_string_pretty(kept).unwrap() + "\n").unwrap();
}

/// Makes everything that a database of this version may hold, and stops the site. The site stays
/// as it is returned, because its folder is in use by its database.
async fn made(url: Option<&str>) -> (Kept, TempDir) {
    let mut making = Making::default();
    let app = TestApp::with(|figment| configured(figment, url)).await;
    making.sessions(&app).await;
    making.accounts(&app).await;
    making.links(&app).await;

    let confirm = ("accounts.registration", "confirm");
    let app = app.restarted(|figment| configured(figment, url).merge(confirm)).await;
    making.sign_up(&app).await;
    let app = app.restarted(|figment| configured(figment, url)).await;
    making.throttled(&app).await;

    let mut mails: Vec<String> = app.mails().await.into_iter().map(|mail| mail.recipient).collect();
    mails.sort();
    let (secret_key, at) = (KEY.to_owned(), app.clock.now());
    let Making { browsers, requests } = making;
    let TestApp { client, dir, .. } = app;
    client.terminate().await;
    (Kept { secret_key, at, browsers, requests, mails }, dir)
}

/// The parts outside the database so far.
#[derive(Default)]
struct Making {
    browsers: BTreeMap<String, KeptBrowser>,
    requests: Vec<Request>,
}

impl Making {
    /// Keeps the browser `name`, in which `email` is logged in.
    fn keep(&mut self, name: &str, browser: &Visitor<'_>, email: Option<&str>, state: &[Pair]) {
        let cookies = COOKIES.iter().filter_map(|name| Some((name, browser.cookie(name)?)));
        let cookies = cookies.map(|(name, value)| (name.to_string(), value)).collect();
        let state = state.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
        let kept = KeptBrowser { cookies, email: email.map(str::to_owned), state };
        assert!(self.browsers.insert(name.to_owned(), kept).is_none());
    }

    /// Keeps a form that `browser` would send next. An answer with a `location` is a redirect.
    fn next(&mut self, browser: Option<&str>, path: &str, fields: &[Field], location: &str) {
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let status = if location.is_empty() { 422 } else { 303 };
        self.requests.push(Request {
            browser: browser.map(str::to_owned),
            from: HERE.to_owned(),
            path: path.to_owned(),
            fields: fields.collect(),
            status,
            location: location.to_owned(),
        });
    }

    /// Several sessions of one account, of which some have ended, and a visitor's.
    async fn sessions(&mut self, app: &TestApp) {
        let ended = app.registered(ADA).await;
        let lost = app.visitor();
        lost.log_in_remembered(ADA).await.assert_redirect("/account");
        app.advance(60);
        let laptop = app.visitor();
        laptop.log_in(ADA).await.assert_redirect("/account");
        laptop.post("/account/sessions/revoke-others", &[]).await;
        set(&laptop, "views", 3).await;
        app.advance(3600);
        let phone = app.visitor();
        phone.log_in_remembered(ADA).await.assert_redirect("/account");
        set(&phone, "views", 40).await;
        let out = app.visitor();
        out.log_in(ADA).await.assert_redirect("/account");
        self.keep("logged out", &out, None, &[]);
        out.log_out().await.assert_redirect("/");
        let visitor = app.visitor();
        set(&visitor, "cart", 2).await;

        self.keep("ended", &ended, None, &[]);
        self.keep("ended, remembered", &lost, None, &[]);
        self.keep("laptop", &laptop, Some(ADA), &[("views", 3)]);
        self.keep("phone", &phone, Some(ADA), &[("views", 40)]);
        self.keep("visitor", &visitor, None, &[("cart", 2)]);
    }

    /// Accounts in several states.
    async fn accounts(&mut self, app: &TestApp) {
        let operator = Operator::of(app.client.rocket()).unwrap();
        let user = async |email| operator.find_by_email(&Email::parse(email).unwrap()).await;
        let user = async |email| user(email).await.unwrap().unwrap().user;

        let disabled = app.registered("disabled@example.org").await;
        operator.disable(&user("disabled@example.org").await).await.unwrap();
        self.keep("disabled", &disabled, None, &[]);
        self.next(None, "/login", &[("email", "disabled@example.org"), WITH_PASSWORD], "");

        let admin = app.registered("admin@example.org").await;
        for role in ["admin", "editor"] {
            let role = RoleName::parse(role).unwrap();
            operator.grant(&user("admin@example.org").await, &role).await.unwrap();
        }
        admin.post("/account/notices", &[("failures", "on")]).await;
        self.keep("admin", &admin, Some("admin@example.org"), &[]);
        self.next(None, "/login", &[("email", "admin@example.org"), WITH_PASSWORD], "/account");

        let changed = app.registered("changed@example.org").await;
        let fields = [("current_password", PASSWORD), ("new_password", NEW)];
        changed.post("/account/password", &fields).await.assert_redirect("/account");
        self.keep("changed", &changed, Some("changed@example.org"), &[]);
        let fields = [("email", "changed@example.org"), ("password", NEW)];
        self.next(None, "/login", &fields, "/account");
    }

    /// A link of each purpose, and one that was used a moment ago.
    async fn links(&mut self, app: &TestApp) {
        let used = app.registered("used@example.org").await;
        let link = app.link("used@example.org", "/verify/").await;
        used.post(&link, &[]).await.assert_redirect("/account");
        self.keep("used", &used, Some("used@example.org"), &[]);
        self.next(Some("used"), &link, &[], "/account");

        let new = app.registered("new@example.org").await;
        self.keep("new", &new, Some("new@example.org"), &[]);
        let link = app.link("new@example.org", "/verify/").await;
        self.next(Some("new"), &link, &[], "/account");

        let moving = app.registered("moving@example.org").await;
        let fields = [("email", "moved@example.org"), ("current_password", PASSWORD)];
        moving.post("/account/email", &fields).await.assert_redirect("/account");
        self.keep("moving", &moving, Some("moving@example.org"), &[]);
        let link = app.link("moved@example.org", "/verify/").await;
        self.next(Some("moving"), &link, &[], "/account");

        app.registered("forgetful@example.org").await;
        app.visitor().post("/reset", &[("email", "forgetful@example.org")]).await;
        let link = app.link("forgetful@example.org", "/reset/").await;
        self.next(None, &link, &[("new_password", NEW)], "/login");
        let fields = [("email", "forgetful@example.org"), ("password", NEW)];
        self.next(None, "/login", &fields, "/account");

        app.registered("robbed@example.org").await;
        let thief = app.visitor();
        thief.log_in("robbed@example.org").await.assert_redirect("/account");
        self.keep("thief", &thief, Some("robbed@example.org"), &[]);
        let link = app.link("robbed@example.org", "/not-me/").await;
        self.next(None, &link, &[], "/login");
        let fields = [("email", "robbed@example.org"), WITH_PASSWORD];
        self.next(None, "/login", &fields, "");
    }

    /// A sign-up that waits for its confirmation.
    async fn sign_up(&mut self, app: &TestApp) {
        let waiting = app.visitor();
        waiting.register("waiting@example.org").await.assert_redirect("/register/sent");
        self.keep("waiting", &waiting, None, &[]);
        let link = app.link("waiting@example.org", "/verify/").await;
        self.next(Some("waiting"), &link, &[], "/login");
        let fields = [("email", "waiting@example.org"), WITH_PASSWORD];
        self.next(Some("waiting"), "/login", &fields, "/account");
    }

    /// An account that may not be tried from one address for a while.
    async fn throttled(&mut self, app: &TestApp) {
        app.registered("guessed@example.org").await;
        let wrong = "email=guessed%40example.org&password=wrong+horse+battery";
        for _ in 0..10 {
            app.visitor().post_from(app, THERE, "/login", wrong).await.assert_status(422);
        }
        let fields = [("email", "guessed@example.org"), WITH_PASSWORD];
        self.next(None, "/login", &fields, "/account");
        self.next(None, "/login", &fields, "");
        let refused = self.requests.last_mut().unwrap();
        (refused.from, refused.status) = (THERE.to_owned(), 429);
    }
}

/// Stores a value in the session, as an application does.
async fn set(browser: &Visitor<'_>, key: &str, value: i64) {
    browser.with_session(async |session| session.set(key, value).await.unwrap()).await;
}
