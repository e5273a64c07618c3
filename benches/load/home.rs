//! The folder of a site, its database, and the programs that run on it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use cookie::{Cookie, CookieJar};
use rocket::tokio::runtime::Runtime;
use rocket_login::config::SecretKey;
use rocket_login::sqlx::sqlite::SqliteConnectOptions;
use rocket_login::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::servers::program::{Program, built, command};
use crate::servers::{Cluster, status_line};

/// The password field of both users.
pub const PASSWORD: &str = "password=correct+horse+battery";

const COOKIE: &str = "__Host-session=";

/// The secret key of every site.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    let made = command(built("rocket-login"), &dir).arg("secret-key").output().unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// One site's folder. Its database is in it, or in a cluster.
pub struct Home<'c> {
    dir: TempDir,
    postgres: Option<(&'c Cluster, String)>,
}

impl<'c> Home<'c> {
    /// Makes a folder with SQLite, or a new database in `cluster`.
    pub fn new(cluster: Option<&'c Cluster>) -> Self {
        let dir = TempDir::new().unwrap();
        let postgres = cluster.map(|cluster| {
            let random = dir.path().file_name().unwrap().to_string_lossy().to_lowercase();
            let name = format!("bench_{}", random.replace(|c: char| !c.is_alphanumeric(), ""));
            cluster.sql("postgres", &format!("CREATE DATABASE {name}"));
            (cluster, name)
        });
        Home { dir, postgres }
    }

    /// The name of its database system for the table.
    pub fn kind(&self) -> &'static str {
        if self.postgres.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    /// Starts `program` on it with the default configuration except for `variables`.
    pub fn start(&self, program: &str, variables: &[(&str, &str)]) -> Program {
        let mut command = command(built(program), &self.dir);
        command.env("ROCKET_PROFILE", "release").env("ROCKET_SECRET_KEY", KEY.as_str());
        // One account gets thousands of sessions.
        command.env("ROCKET_SESSION", "{account_limit=10000}");
        if let Some((cluster, name)) = &self.postgres {
            let url = cluster.url(name);
            command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}"));
        }
        Program::start(command, variables)
    }

    /// Returns the time from the start of `rocket-login` until it is ready.
    pub fn start_up(&self) -> Duration {
        let start = Instant::now();
        let mut site = self.start("rocket-login", &[]);
        while !site.request("GET /readyz", None, "").starts_with("HTTP/1.1 200") {
            std::thread::sleep(Duration::from_millis(1));
        }
        let taken = start.elapsed();
        site.terminate();
        taken
    }

    /// Runs `statements` in its database.
    pub fn execute(&self, statements: String) {
        match &self.postgres {
            Some((cluster, name)) => drop(cluster.sql(name, &statements)),
            None => RUNTIME.block_on(async {
                let mut db = self.sqlite().await;
                sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut db).await.unwrap();
                db.close().await.unwrap();
            }),
        }
    }

    /// Returns the number that `query` selects.
    pub fn number(&self, query: &str) -> i64 {
        match &self.postgres {
            Some((cluster, name)) => cluster.sql(name, query).parse().unwrap(),
            None => RUNTIME.block_on(async {
                let mut db = self.sqlite().await;
                let query = sqlx::query_scalar(AssertSqlSafe(query));
                query.fetch_one(&mut db).await.unwrap()
            }),
        }
    }

    /// Waits until SQLite's file is on the disk.
    pub fn sync(&self) {
        File::open(self.file()).unwrap().sync_all().unwrap();
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("data/login.db")
    }

    async fn sqlite(&self) -> SqliteConnection {
        let file = self.file();
        let options = SqliteConnectOptions::new().filename(file);
        options.busy_timeout(Duration::from_secs(60)).connect().await.unwrap()
    }
}

/// Makes the account `name`@example.org.
pub fn register(site: &Program, name: &str) {
    let form = format!("{PASSWORD}&email={name}%40example.org");
    let answer = site.request("POST /register", None, &form);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
}

/// Logs the account `name`@example.org in, and returns the cookie.
pub fn log_in(site: &Program, name: &str) -> String {
    let form = format!("{PASSWORD}&email={name}%40example.org");
    cookie(&site.request("POST /login", None, &form))
}

/// Logs the account `name`@example.org in like a browser, which sees the next page too, and returns
/// all cookies that it has then.
pub fn log_in_like_a_browser(site: &Program, name: &str) -> String {
    let form = format!("{PASSWORD}&email={name}%40example.org");
    let mut kept: Vec<(String, String)> = Vec::new();
    for (head, body) in [("GET /login", ""), ("POST /login", form.as_str()), ("GET /account", "")] {
        let answer = site.request(head, Some(&header(&kept)), body);
        assert!(!answer.starts_with("HTTP/1.1 4"), "{answer}");
        for line in answer.lines().filter_map(|line| line.strip_prefix("set-cookie: ")) {
            let (cookie, attributes) = line.split_once(';').unwrap();
            let (name, value) = cookie.split_once('=').unwrap();
            kept.retain(|(other, _)| other != name);
            if !attributes.contains("Max-Age=0") {
                kept.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    header(&kept)
}

fn header(cookies: &[(String, String)]) -> String {
    let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// Makes `count` session cookies, and returns them with the ids of their rows in hexadecimal
/// digits. The rows are not there yet.
pub fn seal(count: usize) -> (Vec<String>, Vec<String>) {
    let key: SecretKey = serde_json::from_value(KEY.as_str().into()).unwrap();
    let name = COOKIE.trim_end_matches('=');
    let made = (0..count).map(|_| {
        let mut token = [0; 32];
        getrandom::fill(&mut token).unwrap();
        let mut jar = CookieJar::new();
        let value = BASE64_URL_SAFE_NO_PAD.encode(token);
        jar.private_mut(key.key()).add(Cookie::new(name, value));
        let sealed = jar.get(name).unwrap().encoded().to_string();
        let id: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        (sealed, id)
    });
    made.unzip()
}

/// Returns the session cookie that `answer` sets.
pub fn cookie(answer: &str) -> String {
    let mut set = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let line = set.find(|line| line.starts_with(COOKIE)).unwrap_or_else(|| panic!("{answer}"));
    line.split(';').next().unwrap().to_owned()
}

/// A persistent connection for consecutive requests.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn of(site: &Program) -> Self {
        Client(BufReader::new(site.connect()))
    }

    /// Requests a page, and returns the time that it took.
    pub fn get(&mut self, path: &str, cookie: Option<&str>) -> Duration {
        let start = Instant::now();
        let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n");
        self.0.get_mut().write_all(head.as_bytes()).unwrap();

        let (mut length, mut line) = (0, String::new());
        self.0.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line.trim() != "" {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
            self.0.read_line(&mut line).unwrap();
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        start.elapsed()
    }
}

/// Returns a line of `/proc/<id>/status` in MiB.
pub fn memory(site: &Program, key: &str) -> f64 {
    let kib: f64 = status_line(site.id(), key).trim_end_matches(" kB").parse().unwrap();
    kib / 1024.0
}

/// The time in seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}
