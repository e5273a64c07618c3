//! A site for each test, and visitors who send requests to it.

use std::ops::Deref;
use std::time::Duration;

use cookie::{CookieJar, Key};
use rocket::figment::Figment;
use rocket::http::{ContentType, Header, Status};
use rocket::local::asynchronous::Client;
use rocket::tokio;
use rocket::{Build, Rocket};
use rocket_login::testing::{self, Browser, Mail};
use rocket_login::{Clock, Stage};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row, SqlSafeStr};
use tempfile::TempDir;

pub use rocket_login::testing::Answer;

use crate::database::{self, pick};
use crate::versions::next;

/// A password that the policy accepts.
pub const PASSWORD: &str = "correct horse battery";

/// 2026-01-01, 00:00 UTC: where each test's clock starts.
pub const START: i64 = 1_767_225_600;

/// A site with its own database and clock.
pub struct TestApp {
    pub client: Client,
    pub clock: Clock,
    pub dir: TempDir,
}

impl TestApp {
    /// Starts a site in the debug profile with a cheap password hash.
    pub async fn new() -> Self {
        Self::with(|figment| figment).await
    }

    /// Starts a site whose configuration `configure` changes.
    pub async fn with(configure: impl FnOnce(Figment) -> Figment) -> Self {
        Self::built(configure, |rocket| rocket).await
    }

    /// Starts a site in the release profile.
    pub async fn release() -> Self {
        Self::with(|figment| figment.select("release")).await
    }

    /// Starts a site to which `build` adds an application's own routes.
    pub async fn built(
        configure: impl FnOnce(Figment) -> Figment,
        build: impl FnOnce(Rocket<Build>) -> Rocket<Build>,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::manual(START);
        let client = launch(configure(figment(&dir)), &clock, build).await;
        TestApp { client, clock, dir }
    }

    /// Starts a site whose clock is the system's, because another program sends it times.
    pub async fn in_real_time(configure: impl FnOnce(Figment) -> Figment) -> Self {
        let (dir, clock) = (TempDir::new().unwrap(), Clock::system());
        let client = launch(configure(figment(&dir)), &clock, |rocket| rocket).await;
        TestApp { client, clock, dir }
    }

    /// Starts a site as `stage` says.
    pub async fn staged(configure: impl FnOnce(Figment) -> Figment, stage: Stage) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::manual(START);
        let client = launch_stage(configure(figment(&dir)), &clock, stage).await;
        TestApp { client, clock, dir }
    }

    /// Stops the site and starts it again on the same database, as `stage` says.
    pub async fn restaged(self, configure: impl FnOnce(Figment) -> Figment, stage: Stage) -> Self {
        let TestApp { client, clock, dir } = self;
        client.terminate().await;
        let client = launch_stage(configure(figment(&dir)), &clock, stage).await;
        TestApp { client, clock, dir }
    }

    /// Stops the site and starts it again on the same database.
    pub async fn restarted(self, configure: impl FnOnce(Figment) -> Figment) -> Self {
        let TestApp { client, clock, dir } = self;
        client.terminate().await;
        let client = launch(configure(figment(&dir)), &clock, |rocket| rocket).await;
        TestApp { client, clock, dir }
    }

    /// Starts another site on this database with this clock.
    pub async fn twin(&self, configure: impl FnOnce(Figment) -> Figment) -> Twin {
        let client = launch(configure(figment(&self.dir)), &self.clock, |rocket| rocket).await;
        Twin { client, clock: self.clock.clone() }
    }

    /// Stops the site, runs `act`, and starts the site again.
    pub async fn restarted_after(self, act: impl AsyncFnOnce()) -> Self {
        let TestApp { client, clock, dir } = self;
        client.terminate().await;
        act().await;
        let client = launch(figment(&dir), &clock, |rocket| rocket).await;
        TestApp { client, clock, dir }
    }

    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { browser: Browser::new(&self.client) }
    }

    /// A visitor who has signed up as `email`.
    pub async fn registered(&self, email: &str) -> Visitor<'_> {
        let visitor = self.visitor();
        visitor.register(email).await.assert_redirect("/account");
        visitor
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Opens a separate connection, as another program would.
    pub async fn db(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&database::url(&self.dir)).await.unwrap()
    }

    pub async fn execute(&self, sql: impl SqlSafeStr) {
        sqlx::raw_sql(sql).execute(&mut self.db().await).await.unwrap();
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        let row = sqlx::query(sql).fetch_one(&mut self.db().await).await.unwrap();
        row.try_get(0).unwrap_or_else(|_| row.get::<bool, _>(0).into())
    }

    /// Returns the text that the query `sql` selects.
    pub async fn text(&self, sql: &'static str) -> String {
        sqlx::query(sql).fetch_one(&mut self.db().await).await.unwrap().get(0)
    }

    /// Waits for a background task: until the query `sql` returns 1.
    pub async fn until(&self, sql: &'static str) {
        self.until_after(0, sql).await;
    }

    /// Waits for a background task that waits for the clock: moves the clock by `seconds`
    /// until the query `sql` returns 1.
    pub async fn until_after(&self, seconds: u64, sql: &'static str) {
        let is_so = async {
            while self.count(sql).await != 1 {
                self.advance(seconds);
                // Looking more often would slow down what it waits for, on a busy machine.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), is_so).await.expect(sql);
    }

    /// Returns the mails of the site, the newest first.
    pub async fn mails(&self) -> Vec<Mail> {
        testing::mails(&self.client).await
    }

    /// Returns the subjects of the mails to `email` up to " at ", the oldest first.
    pub async fn subjects(&self, email: &str) -> Vec<String> {
        let mails = self.mails().await.into_iter().rev().filter(|mail| mail.recipient == email);
        mails.map(|mail| mail.subject.split(" at ").next().unwrap().to_owned()).collect()
    }

    /// Returns the link to `path` in the newest mail to `email` that has one.
    pub async fn link(&self, email: &str, path: &str) -> String {
        let mails = self.mails().await;
        let mut mails = mails.iter().filter(|mail| mail.recipient == email);
        let mail = mails.find(|mail| mail.text.contains(path)).expect("a mail with such a link");
        mail.link(path)
    }

    /// Counts the sessions without the ended ones that the sweep has yet to delete.
    pub async fn sessions(&self) -> i64 {
        self.count(
            "SELECT count(*) FROM sessions LEFT JOIN users ON users.id = user_id
             WHERE generation = coalesce(session_generation, 0)",
        )
        .await
    }

    pub async fn users(&self) -> i64 {
        self.count("SELECT count(*) FROM users").await
    }
}

/// A second site on the database of another one.
pub struct Twin {
    client: Client,
    clock: Clock,
}

impl Twin {
    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { browser: Browser::new(&self.client) }
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Sends a form of a new visitor from the client address `from`.
    pub async fn post_from(&self, from: &str, path: &str, body: &str) -> Answer {
        self.visitor().post_to(&self.client, from, path, body).await
    }
}

/// The configuration of a test's site.
pub fn figment(dir: &TempDir) -> Figment {
    Figment::from(rocket::Config::debug_default())
        .select("debug")
        .merge(("databases.login.url", database::url(dir)))
        // A test that changes a row itself expects to see the change at once, but
        // PostgreSQL's notification comes a moment later.
        .merge(("session.cache", database::socket().is_none()))
        .merge(("secret_key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
        .merge(("log_level", "off"))
        .merge(("ident", false))
        .merge(("password.memory_kib", 8))
        .merge(("password.iterations", 1))
        .merge(("password.concurrent_hashes", 2))
}

async fn launch(
    figment: Figment,
    clock: &Clock,
    build: impl FnOnce(Rocket<Build>) -> Rocket<Build>,
) -> Client {
    let stage = match std::env::var_os(next::VARIABLE) {
        Some(_) => rocket_login::stage().migrations(next::migrations()),
        None => rocket_login::stage(),
    };
    let rocket = rocket::custom(figment).manage(clock.clone()).attach(stage);
    Client::untracked(build(rocket)).await.expect("the site starts")
}

async fn launch_stage(figment: Figment, clock: &Clock, stage: Stage) -> Client {
    let rocket = rocket::custom(figment).attach(stage.clock(clock.clone()));
    Client::untracked(rocket).await.expect("the site starts")
}

/// A person with a browser and an address.
pub struct Visitor<'a> {
    browser: Browser<'a>,
}

impl<'a> Deref for Visitor<'a> {
    type Target = Browser<'a>;

    fn deref(&self) -> &Self::Target {
        &self.browser
    }
}

impl<'a> Visitor<'a> {
    /// Sends a form from the client address `from`, as in `192.0.2.1`.
    pub async fn post_from(&self, app: &'a TestApp, from: &str, path: &str, body: &str) -> Answer {
        self.post_to(&app.client, from, path, body).await
    }

    async fn post_to(&self, site: &'a Client, from: &str, path: &str, body: &str) -> Answer {
        let from = if from.contains(':') { format!("[{from}]:99") } else { format!("{from}:99") };
        let request = site.post(path.to_owned()).header(ContentType::Form);
        self.send(request.remote(from.parse().unwrap()).body(body)).await
    }
}

impl Visitor<'_> {
    pub async fn register(&self, email: &str) -> Answer {
        self.post("/register", &[("email", email), ("password", PASSWORD)]).await
    }

    pub async fn log_in(&self, email: &str) -> Answer {
        self.post("/login", &[("email", email), ("password", PASSWORD)]).await
    }

    pub async fn log_in_remembered(&self, email: &str) -> Answer {
        let fields = [("email", email), ("password", PASSWORD), ("remember", "on")];
        self.post("/login", &fields).await
    }

    pub async fn log_in_with(&self, email: &str, password: &str) -> Answer {
        self.post("/login", &[("email", email), ("password", password)]).await
    }

    pub async fn log_out(&self) -> Answer {
        self.post("/logout", &[]).await
    }

    /// Uses the session, and waits until that is written. A page does not wait for it, and a browser
    /// for half a second, which is not enough on a busy machine.
    pub async fn use_session(&self) {
        self.with_session(async |session| session.touch().await.unwrap()).await;
    }

    /// Returns true if the account page is shown, and false if it redirects to the log-in.
    pub async fn is_logged_in(&self) -> bool {
        let answer = self.get("/account").await;
        match answer.status {
            Status::Ok => true,
            Status::SeeOther => {
                answer.assert_redirect("/login?next=%2Faccount");
                false
            }
            // The session has ended while the request ran.
            Status::Conflict => false,
            other => panic!("/account answered {other}"),
        }
    }

    /// The sealed value of the cookie `session`.
    pub fn session_cookie(&self) -> String {
        self.cookie("session").expect("a session cookie")
    }

    pub fn has_cookie(&self, name: &str) -> bool {
        self.cookie(name).is_some()
    }
}

/// The key with which the tests' sites seal cookies.
pub fn cookie_key() -> Key {
    Key::derive_from(&(0..32).collect::<Vec<u8>>())
}

/// Seals `value` as the cookie `name`, as the tests' sites do.
pub fn sealed(name: &'static str, value: &str) -> String {
    let mut jar = CookieJar::new();
    jar.private_mut(&cookie_key()).add((name, value.to_owned()));
    jar.get(name).unwrap().value().to_owned()
}

/// Adds `count` sessions to the account of `email`, each used a second after the one before.
pub async fn many_sessions(app: &TestApp, email: &str, count: u32) {
    let (id, family, no) = (database::random(32), database::random(32), pick("0", "FALSE"));
    app.execute(AssertSqlSafe(format!(
        "WITH RECURSIVE numbers (n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
         INSERT INTO sessions (id, family, user_id, data, remember, created_at, last_seen_at,
                               expires_at, authenticated_at, user_agent, generation)
         SELECT {id}, {family}, u.id, '{{\"number\":' || n || '}}', {no}, {START}, {START} + n,
                {START} + 100000, {START}, 'Robot ' || n, u.session_generation
         FROM numbers, users u WHERE u.email = '{email}'"
    )))
    .await;
}

/// Percent-encodes everything except letters and digits.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

pub fn header(name: &'static str, value: &'static str) -> Header<'static> {
    Header::new(name, value)
}
