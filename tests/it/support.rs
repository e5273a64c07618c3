//! A site per test, and visitors who make requests to it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rocket::figment::Figment;
use rocket::http::{ContentType, Cookie, Header, Status};
use rocket::local::asynchronous::{Client, LocalRequest};
use rocket::{Build, Rocket};
use rocket_login::Clock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tempfile::TempDir;

/// A password that the policy takes.
pub const PASSWORD: &str = "correct horse battery";

/// 2026-01-01, 00:00 UTC: where each test's clock starts.
pub const START: i64 = 1_767_225_600;

/// A site with a database and a clock of its own.
pub struct TestApp {
    pub client: Client,
    pub clock: Clock,
    pub dir: TempDir,
}

impl TestApp {
    /// In the debug profile, with a password hash that costs nothing.
    pub async fn new() -> Self {
        Self::with(|figment| figment).await
    }

    /// The same with further configuration.
    pub async fn with(configure: impl FnOnce(Figment) -> Figment) -> Self {
        Self::built(configure, |rocket| rocket).await
    }

    /// The same in the release profile.
    pub async fn release() -> Self {
        Self::with(|figment| figment.select("release")).await
    }

    /// The same with an application's own routes.
    pub async fn built(
        configure: impl FnOnce(Figment) -> Figment,
        build: impl FnOnce(Rocket<Build>) -> Rocket<Build>,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::manual(START);
        let client = launch(configure(figment(&dir)), &clock, build).await;
        TestApp { client, clock, dir }
    }

    /// Stops the site and starts it again on the same database.
    pub async fn restarted(self, configure: impl FnOnce(Figment) -> Figment) -> Self {
        let TestApp { client, clock, dir } = self;
        client.terminate().await;
        let client = launch(configure(figment(&dir)), &clock, |rocket| rocket).await;
        TestApp { client, clock, dir }
    }

    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { app: self, cookies: Mutex::default() }
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

    /// A connection of its own, as another program would open it.
    pub async fn db(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("login.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.db().await).await.unwrap();
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(&mut self.db().await).await.unwrap().get(0)
    }

    pub async fn sessions(&self) -> i64 {
        self.count("SELECT count(*) FROM sessions").await
    }

    pub async fn users(&self) -> i64 {
        self.count("SELECT count(*) FROM users").await
    }
}

/// The configuration of a test's site.
pub fn figment(dir: &TempDir) -> Figment {
    let url = format!("sqlite:{}", dir.path().join("login.db").display());
    Figment::from(rocket::Config::debug_default())
        .select("debug")
        .merge(("databases.login.url", url))
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
    let rocket = rocket::custom(figment).manage(clock.clone()).attach(rocket_login::stage());
    Client::untracked(build(rocket)).await.expect("the site starts")
}

/// Somebody with a browser: keeps cookies, follows nothing.
pub struct Visitor<'a> {
    pub app: &'a TestApp,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl<'a> Visitor<'a> {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.app.client.get(path.to_owned())).await
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        self.post_raw(path, body.join("&")).await
    }

    pub async fn post_raw(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = self.app.client.post(path.to_owned()).header(ContentType::Form);
        self.send(request.body(body)).await
    }

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

    pub async fn log_out(&self) -> Answer {
        self.post("/logout", &[]).await
    }

    /// Whether the account page is shown rather than the way to the log-in.
    pub async fn is_logged_in(&self) -> bool {
        let answer = self.get("/account").await;
        match answer.status {
            Status::Ok => true,
            Status::SeeOther => {
                answer.assert_redirect("/login?next=%2Faccount");
                false
            }
            other => panic!("/account answered {other}"),
        }
    }

    /// Sends `request` with this visitor's cookies, and keeps those it sets.
    pub async fn send(&self, request: LocalRequest<'a>) -> Answer {
        let cookies = self.cookies.lock().unwrap().clone();
        let response = request.cookies(cookies.into_iter().map(Cookie::from)).dispatch().await;
        for cookie in response.cookies().iter() {
            let mut kept = self.cookies.lock().unwrap();
            match cookie.max_age() {
                Some(age) if age.is_zero() => kept.remove(cookie.name()),
                _ => kept.insert(cookie.name().into(), cookie.value().into()),
            };
        }

        let headers = response.headers().iter();
        Answer {
            status: response.status(),
            headers: headers.map(|h| (h.name().to_string(), h.value().to_owned())).collect(),
            body: response.into_string().await.unwrap_or_default(),
        }
    }

    /// The cookie `session`, opened by nobody.
    pub fn session_cookie(&self) -> String {
        self.cookies.lock().unwrap().get("session").expect("a session cookie").clone()
    }

    pub fn has_cookie(&self, name: &str) -> bool {
        self.cookies.lock().unwrap().contains_key(name)
    }

    pub fn set_cookie(&self, name: &str, value: impl Into<String>) {
        self.cookies.lock().unwrap().insert(name.into(), value.into());
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: Status,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none() || name == "set-cookie", "{name} was sent twice");
        value
    }

    /// The `Set-Cookie` line of the cookie `name`.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"))
            .find_map(|(_, line)| line.starts_with(&format!("{name}=")).then_some(line.as_str()))
    }

    /// The attributes of the cookie `name`, without name and value, sorted.
    pub fn cookie_attributes(&self, name: &str) -> Vec<&str> {
        let line = self.set_cookie(name).unwrap_or_else(|| panic!("{name} is not set"));
        let mut attributes: Vec<_> = line.split("; ").skip(1).collect();
        attributes.sort_unstable();
        attributes
    }

    pub fn is_json(&self) -> bool {
        self.header("content-type") == Some("application/problem+json")
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.code, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub fn assert_redirect(&self, to: &str) -> &Self {
        assert_eq!(self.status, Status::SeeOther, "{}", self.body);
        assert_eq!(self.header("location"), Some(to));
        self
    }

    #[track_caller]
    pub fn assert_text(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no {text:?} in\n{}", self.body);
        self
    }

    #[track_caller]
    pub fn assert_no_text(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} is in\n{}", self.body);
        self
    }
}

/// Percent-encodes all but letters and digits.
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
