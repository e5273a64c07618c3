//! A running site and a real browser for each test.

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::futures::FutureExt;
use rocket::tokio::io::{AsyncReadExt, AsyncWriteExt};
use rocket::tokio::net::TcpStream;
use rocket::tokio::sync::{Semaphore, oneshot};
use rocket::tokio::{self, time};
use rocket::{Build, Rocket};
use rocket_login::{Clock, sqlx};
use serde_json::json;
use sqlx::Connection;
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{Capabilities, ChromeCapabilities};

use crate::servers::{self, Running, clean, find, has};

pub const PASSWORD: &str = "correct horse battery";

/// The time limit for a page, far longer than pages take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A site on its own port.
pub struct Site {
    pub url: String,
    pub clock: Clock,
    database: String,
    _dir: TempDir,
    _balancer: Option<Running>,
}

impl Site {
    /// Starts a site whose configuration `configure` changes.
    pub async fn start_with(configure: impl FnOnce(Figment) -> Figment) -> Self {
        let (dir, clock) = (servers::folder(), Clock::manual(1_767_225_600));
        let figment = Figment::from(rocket::Config::debug_default())
            .select("debug")
            .merge(("password.memory_kib", 8))
            .merge(("password.iterations", 1))
            // Every page has all that it may have at its foot.
            .merge(("site.support", "help@example.org"))
            .merge(("site.terms", "/terms"))
            .merge(("site.privacy", "/privacy"))
            .merge(("factors.trusted_for", "14d"));
        let figment = configure(quiet(figment));
        if let Ok(socket) = std::env::var("TEST_POSTGRES") {
            return Site::start_two(&socket, figment, dir, clock).await;
        }

        let database = format!("sqlite:{}/login.db", dir.path().display());
        let figment = figment.merge(("databases.login.url", &database));
        let rocket = rocket::custom(figment).manage(clock.clone());
        let url = serve(rocket.attach(rocket_login::stage())).await;
        Site { url, clock, database, _dir: dir, _balancer: None }
    }

    /// Runs `statement` on the site's database, as another program would.
    pub async fn execute(&self, statement: &'static str) {
        match self.database.starts_with("sqlite:") {
            true => {
                let mut db = sqlx::SqliteConnection::connect(&self.database).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
            }
            false => {
                let mut db = sqlx::PgConnection::connect(&self.database).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
            }
        }
    }

    /// Starts two instances on one PostgreSQL, and an nginx in front that alternates
    /// between them.
    async fn start_two(socket: &str, figment: Figment, dir: TempDir, clock: Clock) -> Self {
        let name = dir.path().file_name().unwrap().to_string_lossy().replace('.', "_");
        let address = |name: &str| format!("postgres://postgres@localhost/{name}?host={socket}");
        let mut db = sqlx::PgConnection::connect(&address("postgres")).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
        sqlx::raw_sql(create).execute(&mut db).await.unwrap();

        let known = figment.extract_inner::<u16>("port").ok().filter(|port| *port != 0);
        let port = known.unwrap_or_else(servers::free_port);
        let url = format!("http://localhost:{port}");
        let figment = quiet(figment)
            .merge(("databases.login.url", address(&name)))
            .merge(("secret_key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
            .merge(("site.url", &url))
            .merge(("site.trusted_proxies", ["127.0.0.1"]));
        let mut instances = Vec::new();
        for _ in 0..2 {
            let rocket = rocket::custom(figment.clone()).manage(clock.clone());
            instances.push(serve(rocket.attach(rocket_login::stage())).await);
        }

        let mut balancer = balance(dir.path(), port, &instances);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!balancer.has_ended(), "nginx has ended");
        Site { url, clock, database: address(&name), _dir: dir, _balancer: Some(balancer) }
    }

    /// A site that runs at `url` already.
    pub fn at(url: String) -> Self {
        let (clock, database) = (Clock::system(), String::new());
        Site { url, clock, database, _dir: servers::folder(), _balancer: None }
    }

    /// Logs in from a device that is not one of the test's browsers.
    pub async fn log_in(&self, email: &str, agent: &str) {
        let port = self.url.rsplit(':').next().unwrap();
        let body = format!("email={email}&password={}", PASSWORD.replace(' ', "+"));
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: {agent}\r\n\
             Connection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    }
}

/// Starts an nginx that alternates between the instances.
fn balance(dir: &Path, port: u16, instances: &[String]) -> Running {
    let dir = dir.display();
    let servers: Vec<_> =
        instances.iter().map(|url| format!("server {};", &url["http://".len()..])).collect();
    let temporary: Vec<_> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path \"{dir}/{kind}\";"))
        .collect();
    let settings = format!(
        "daemon off; worker_processes 1; pid \"{dir}/nginx.pid\"; error_log \"{dir}/error.log\";
         events {{}}
         http {{
           access_log off; {}
           upstream site {{ {} }}
           server {{
             listen 127.0.0.1:{port};
             location / {{
               proxy_pass http://site;
               proxy_set_header Host $http_host;
               proxy_set_header X-Forwarded-For $remote_addr;
             }}
           }}
         }}",
        temporary.join(" "),
        servers.join(" ")
    );
    let path = format!("{dir}/nginx.conf");
    servers::write(&path, &settings);
    let mut nginx = servers::unprivileged(clean(find("nginx").unwrap()));
    nginx.arg("-e").arg(format!("{dir}/error.log")).arg("-c").arg(path);
    Running::start(nginx)
}

/// Serves `rocket` until the test ends, and returns its address.
pub async fn serve(rocket: Rocket<Build>) -> String {
    let (started, port) = oneshot::channel();
    let started = std::sync::Mutex::new(Some(started));
    let liftoff = AdHoc::on_liftoff("Port", move |rocket| {
        let (port, started) = (rocket.config().port, started.lock().unwrap().take());
        Box::pin(async move { started.unwrap().send(port).unwrap() })
    });

    tokio::spawn(rocket.attach(liftoff).launch());
    format!("http://localhost:{}", port.await.expect("the site starts"))
}

pub fn quiet(figment: Figment) -> Figment {
    figment.merge(("port", 0)).merge(("log_level", "off")).merge(("shutdown.ctrlc", false))
}

/// A browser with its own profile.
pub struct Browser {
    pub driver: WebDriver,
    pub site: String,
    _chromedriver: Chromedriver,
}

struct Chromedriver {
    _running: Running,
    port: u16,
}

impl Chromedriver {
    /// `home` is where the browser keeps what does not belong to the profile, such as reports of
    /// crashes. It would take the folder for temporary files if there were no home.
    fn start(home: &Path) -> Self {
        // Another process may take the free port before chromedriver does.
        for _ in 0..10 {
            let mut command = clean("chromedriver");
            command.arg(format!("--port={}", servers::free_port())).stdout(Stdio::piped());
            command.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
            let mut running = Running::spawn(command);
            let lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
            let port = lines.map_while(Result::ok).find_map(|line| {
                line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
            });
            if let Some(port) = port {
                return Chromedriver { _running: running, port };
            }
        }
        panic!("chromedriver does not start");
    }
}

/// Runs `test` on a new site in a new browser, if Chromium is installed.
pub async fn run(test: impl AsyncFnOnce(&Site, &Browser)) {
    run_with(ChromeCapabilities::new(), test).await;
}

/// Returns a browser in which scripts are off.
pub fn without_scripts() -> ChromeCapabilities {
    let mut caps = ChromeCapabilities::new();
    let preferences = json!({ "profile.managed_default_content_settings.javascript": 2 });
    caps.add_experimental_option("prefs", preferences).unwrap();
    caps
}

/// Runs `test` as [`run`] does, in a browser with the settings `caps`.
pub async fn run_with(caps: ChromeCapabilities, test: impl AsyncFnOnce(&Site, &Browser)) {
    run_on(|figment| figment, caps, test).await;
}

/// Runs `test` as [`run`] does, on a site whose configuration `configure` changes.
pub async fn run_configured(
    configure: impl FnOnce(Figment) -> Figment,
    test: impl AsyncFnOnce(&Site, &Browser),
) {
    run_on(configure, ChromeCapabilities::new(), test).await;
}

/// Runs `test` as [`run`] does, with what the two above can change.
pub async fn run_on(
    configure: impl FnOnce(Figment) -> Figment,
    caps: ChromeCapabilities,
    test: impl AsyncFnOnce(&Site, &Browser),
) {
    if !is_installed() {
        return;
    }

    let (site, profile) = (Site::start_with(configure).await, TempDir::new().unwrap());
    in_browser(&site, profile.path(), caps, async |browser| test(&site, browser).await).await;
}

/// Runs `test` with two browsers that are both logged in as ada@example.org.
pub async fn run_two(test: impl AsyncFnOnce(&Browser, &Browser)) {
    run(async |site, one| {
        one.register("ada@example.org").await;
        let profile = TempDir::new().unwrap();
        in_browser(site, profile.path(), ChromeCapabilities::new(), async |other| {
            other.log_in("ada@example.org").await;
            test(one, other).await;
        })
        .await;
    })
    .await;
}

/// The most browsers at a time, more than there are. A test that measures times takes all places.
const BROWSERS: u32 = 1_000;
static PLACES: Semaphore = Semaphore::const_new(BROWSERS as usize);

/// Opens a browser on `profile` for `test`, always closes it, and fails if the browser
/// has logged a complaint.
pub async fn in_browser(
    site: &Site,
    profile: &Path,
    caps: ChromeCapabilities,
    test: impl AsyncFnOnce(&Browser),
) {
    let _place = PLACES.acquire().await.unwrap();
    open_browser(site, profile, caps, test).await;
}

/// Opens a browser as [`in_browser`] does, while no other test has one.
pub async fn in_only_browser(site: &Site, profile: &Path, test: impl AsyncFnOnce(&Browser)) {
    // A test that opens its second browser would wait forever behind `acquire_many`.
    let _places = loop {
        match PLACES.try_acquire_many(BROWSERS) {
            Ok(places) => break places,
            Err(_) => time::sleep(Duration::from_millis(10)).await,
        }
    };
    open_browser(site, profile, ChromeCapabilities::new(), test).await;
}

async fn open_browser(
    site: &Site,
    profile: &Path,
    mut caps: ChromeCapabilities,
    test: impl AsyncFnOnce(&Browser),
) {
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1000,900",
    ] {
        caps.add_arg(argument).unwrap();
    }
    caps.add_arg(&format!("--user-data-dir={}", profile.display())).unwrap();
    caps.set("goog:loggingPrefs", json!({ "browser": "ALL" })).unwrap();

    let chromedriver = Chromedriver::start(profile);
    let url = format!("http://127.0.0.1:{}", chromedriver.port);
    let driver = WebDriver::new(url, Capabilities::from(caps)).await.expect("a browser starts");
    let browser = Browser { driver, site: site.url.clone(), _chromedriver: chromedriver };

    let ran = AssertUnwindSafe(async {
        test(&browser).await;
        browser.assert_no_complaint().await;
    });
    let ran = time::timeout(Duration::from_secs(600), ran.catch_unwind()).await;
    let _ = browser.driver.clone().quit().await;
    match ran {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => panic!("the browser test takes too long"),
    }
}

impl Browser {
    pub async fn open(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.site)).await.unwrap();
    }

    /// Opens the latest mailed link whose path begins with `start`.
    pub async fn open_mailed(&self, start: &str) {
        self.open("/dev/mailbox").await;
        self.find(&format!("a[href^='{start}']")).await.click().await.unwrap();
    }

    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.unwrap();
        url.as_str().strip_prefix(&self.site).unwrap_or(url.as_str()).to_owned()
    }

    #[track_caller]
    pub fn wait_for_path(&self, path: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let arrived = time::timeout(PATIENCE, async {
                while self.path().await != path {
                    time::sleep(Duration::from_millis(20)).await;
                }
            });
            if arrived.await.is_err() {
                panic!(
                    "at {} instead of {path} ({caller}):\n{}",
                    self.path().await,
                    self.text().await
                );
            }
        }
    }

    /// Waits for an element that `css` selects and returns it.
    pub async fn find(&self, css: &str) -> WebElement {
        let query = self.driver.query(By::Css(css.to_owned()));
        match query.wait(PATIENCE, Duration::from_millis(20)).first().await {
            Ok(element) => element,
            Err(error) => {
                let source = self.driver.source().await.unwrap_or_default();
                panic!("nothing is {css} at {}: {error}\n{source}", self.path().await);
            }
        }
    }

    /// Returns the HTML of the page as the site has sent it, for which `Network.enable` was sent
    /// before. The browser has no copy of a page that must not be stored.
    pub async fn source(&self) -> String {
        let tree = self.devtools("Page.getFrameTree", json!({})).await;
        let id = json!({ "requestId": tree["frameTree"]["frame"]["loaderId"] });
        let answer = self.devtools("Network.getResponseBody", id).await;
        answer["body"].as_str().unwrap().to_owned()
    }

    pub async fn exists(&self, css: &str) -> bool {
        !self.driver.find_all(By::Css(css.to_owned())).await.unwrap().is_empty()
    }

    /// Returns the text of the page that a person can read.
    pub async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }

    /// Waits until one status of the page says `text` to a screen reader, or none does if it is
    /// empty.
    pub async fn until_said(&self, text: &str) {
        let script = "return [...document.querySelectorAll('.unseen[role=status]')]
            .map(status => status.textContent).join('')";
        self.until(script, text, |said| said == text).await;
    }

    /// Waits until a message that begins with `text` is shown in an element that `css` selects.
    pub async fn until_shown(&self, css: &str, text: &str) {
        let script = format!(
            "return [...document.querySelectorAll('{css}:not([hidden])')]
                .map(one => one.textContent.trim()).join('|')"
        );
        self.until(&script, text, |shown| shown.starts_with(text)).await;
    }

    /// Waits until the text that `script` returns is right.
    async fn until(&self, script: &str, wanted: &str, is_right: impl Fn(&str) -> bool) {
        let right = time::timeout(PATIENCE, async {
            while !self.evaluate(script).await.as_str().is_some_and(&is_right) {
                time::sleep(Duration::from_millis(20)).await;
            }
        });
        if right.await.is_err() {
            panic!("{} instead of {wanted}:\n{}", self.evaluate(script).await, self.text().await);
        }
    }

    pub async fn fill(&self, name: &str, value: &str) {
        let input = self.find(&format!("input[name={name}]")).await;
        input.clear().await.unwrap();
        input.send_keys(value).await.unwrap();
    }

    /// Presses the button of the page's own form.
    pub async fn submit(&self) {
        self.find("main form button[type=submit]").await.click().await.unwrap();
    }

    /// Presses "Log out" in the bar.
    pub async fn log_out(&self) {
        self.find("header form button[type=submit]").await.click().await.unwrap();
        self.wait_for_path("/").await;
    }

    pub async fn register(&self, email: &str) {
        self.open("/register").await;
        self.fill("email", email).await;
        self.fill("password", PASSWORD).await;
        self.submit().await;
        self.wait_for_path("/account").await;
    }

    pub async fn log_in(&self, email: &str) {
        self.open("/login").await;
        self.fill("email", email).await;
        self.fill("password", PASSWORD).await;
        self.submit().await;
        self.wait_for_path("/account").await;
    }

    pub async fn is_logged_in(&self) -> bool {
        self.open("/account").await;
        self.path().await == "/account"
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, method: &str, parameters: serde_json::Value) -> serde_json::Value {
        self.driver.cdp().send_raw(method, parameters).await.unwrap()
    }

    pub async fn evaluate(&self, script: &str) -> serde_json::Value {
        self.driver.execute(script, vec![]).await.unwrap().json().clone()
    }

    /// Fails on errors in the console and on violations of the content security
    /// policy. A refused form's 4xx status is not a complaint, nor the 503 of a provider that is
    /// down. Nor is what Chromium says of the fields of a password's form: it looks while the page
    /// is still being built, and has missed a field that was there. The tests with axe look for
    /// this field themselves.
    pub async fn assert_no_complaint(&self) {
        let entries = self.driver.browser_log().await.unwrap();
        let complaints: Vec<_> = entries
            .iter()
            .filter(|entry| entry.level != "INFO")
            .map(|entry| format!("{entry:?}"))
            .filter(|entry| !entry.contains("the server responded with a status of 4"))
            .filter(|entry| !entry.contains("the server responded with a status of 503"))
            .filter(|entry| !entry.contains("[DOM] Password forms should have"))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

/// Returns true if tests with a browser can run. In CI they must. Elsewhere, a line reports
/// that they did not.
pub fn is_installed() -> bool {
    ["chromium", "chromedriver"].into_iter().all(|program| has(find(program).is_some(), program))
}

/// Returns axe-core, if `npm ci` has installed it beside these tests.
pub fn axe() -> Option<String> {
    let file = PathBuf::from("tests/browser/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(file).ok();
    has(axe.is_some(), "axe-core");
    axe
}
