//! The program and its clients.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::servers::program::built;
use crate::servers::{Running, clean, free_port, signal, status_line};

/// The cheapest hashing, for tests that need many writes.
pub const CHEAP: (&str, &str) = ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}");

/// No throttle, for tests in which one machine acts as many clients.
pub const UNTHROTTLED: (&str, &str) = ("ROCKET_THROTTLE", "{enabled=false}");

/// A trusted proxy, so that each client can have its own address.
pub const BEHIND_PROXY: (&str, &str) = ("ROCKET_SITE", "{trusted_proxies=[\"127.0.0.1\"]}");

/// A running program, with its database at `data/login.db` in its folder.
pub struct Site {
    running: Running,
    port: u16,
    dir: PathBuf,
}

/// A command for the program in `dir`.
pub fn bare(dir: &Path) -> Command {
    in_folder(clean(built("rocket-login")), dir)
}

/// A command for the program in `dir`, after a shell has run `script`.
pub fn after(script: &str, dir: &Path) -> Command {
    let mut shell = clean("sh");
    shell.arg("-c").arg(format!("{script}; exec \"$0\"")).arg(built("rocket-login"));
    in_folder(shell, dir)
}

fn in_folder(mut command: Command, dir: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.current_dir(dir).env_clear().env("PATH", path).env("ROCKET_CLI_COLORS", "false");
    command.env("ROCKET_SECRET_KEY", "dGhlIGtleSBvZiB0aGUgdG9ydHVyZSB0ZXN0cyEhISE=");
    command.stdin(Stdio::null());
    command
}

impl Site {
    pub fn start(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = bare(dir);
        command.envs(variables.iter().copied());
        Site::start_by(command, dir)
    }

    /// Starts the site by `command`, with its output in the file `log`.
    pub fn start_by(mut command: Command, dir: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Site::start_silently(command, dir)
    }

    /// Starts the site by `command`, which has set its output.
    pub fn start_silently(mut command: Command, dir: &Path) -> Self {
        let port = free_port();
        command.env("ROCKET_PORT", port.to_string());
        let mut site = Site { running: Running::spawn(command), port, dir: dir.to_owned() };
        let start = Instant::now();
        while !site.browser().try_get("/healthz").is_ok_and(|answer| answer.status == 200) {
            let has_ended = site.running.has_ended();
            assert!(!has_ended && start.elapsed() < Duration::from_secs(20), "{}", site.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        site
    }

    pub fn id(&self) -> u32 {
        self.running.id()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn database(&self) -> PathBuf {
        self.dir.join("data/login.db")
    }

    /// Returns everything that the site has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub fn browser(&self) -> Browser {
        Browser { port: self.port, cookies: BTreeMap::new(), address: None }
    }

    /// Signs `name` up, and returns the browser.
    pub fn registered(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        browser.register(name).assert(303);
        browser
    }

    pub fn is_ready(&self) -> bool {
        self.browser().get("/readyz").status == 200
    }

    /// Waits for at most five seconds until the site says that it is not ready. Returns the time.
    pub fn until_not_ready(&self) -> Duration {
        let start = Instant::now();
        while self.is_ready() {
            assert!(start.elapsed() < Duration::from_secs(5), "the site is still ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        start.elapsed()
    }

    /// Asserts that a log-in, a sign-up and a log-out of `ada` are refused. Returns the time of
    /// the slowest.
    pub fn assert_no_write_is_acknowledged(&self, ada: &Browser) -> Duration {
        let mut slowest = Duration::ZERO;
        for write in [
            self.browser().log_in("ada"),
            self.browser().register(&format!("bob{}", unique())),
            ada.clone().log_out(),
        ] {
            write.assert(503).assert_plain();
            assert!(write.header("retry-after").is_some(), "{}", write.text);
            // The answer changes nothing in the browser, except the address that the next form shows.
            for cookie in write.headers("set-cookie") {
                assert!(cookie.starts_with("__Host-session-email="), "{cookie}");
            }
            assert_eq!(write.header("clear-site-data"), None);
            slowest = slowest.max(write.took);
        }
        slowest
    }

    /// Asserts that the site still runs and that nothing has panicked.
    pub fn assert_alive(&mut self) {
        assert!(!self.running.has_ended(), "{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
        self.browser().get("/healthz").assert(200);
    }

    /// Kills the site with `kill -9`, which also happens when it is dropped.
    pub fn kill(self) {}

    pub fn terminate(&self) {
        signal("TERM", self.id());
    }

    /// Waits until the site ends, and returns its exit code.
    pub fn wait(self) -> Option<i32> {
        self.status().code()
    }

    /// Waits until the site ends, and returns its status, which tells the signal as well.
    pub fn status(mut self) -> ExitStatus {
        self.running.wait()
    }

    /// Returns a line of `/proc/…/status` in KiB, as `VmRSS` or `VmHWM`.
    pub fn kib(&self, name: &str) -> u64 {
        status_line(self.id(), name).trim_end_matches(" kB").parse().unwrap()
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }
}

/// Returns another number each time.
fn unique() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}

/// A browser, which keeps cookies and opens a connection for each request.
#[derive(Clone)]
pub struct Browser {
    port: u16,
    cookies: BTreeMap<String, String>,
    address: Option<String>,
}

impl Browser {
    /// Gives this browser another address. The site must trust its proxy.
    pub fn at(mut self, address: String) -> Self {
        self.address = Some(address);
        self
    }

    /// Lets this browser use a restarted site.
    pub fn of(mut self, site: &Site) -> Self {
        self.port = site.port;
        self
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    pub fn try_get(&mut self, path: &str) -> io::Result<Answer> {
        self.ask(&format!("GET {path}"), "")
    }

    pub fn try_post(&mut self, path: &str, form: &str) -> io::Result<Answer> {
        self.ask(&format!("POST {path}"), form)
    }

    pub fn register(&mut self, name: &str) -> Answer {
        self.try_post("/register", &form(name)).unwrap()
    }

    pub fn log_in(&mut self, name: &str) -> Answer {
        self.try_post("/login", &form(name)).unwrap()
    }

    pub fn log_out(&mut self) -> Answer {
        self.try_post("/logout", "").unwrap()
    }

    pub fn is_logged_in(&mut self) -> bool {
        let answer = self.get("/account");
        assert!(matches!(answer.status, 200 | 303), "{}", answer.text);
        answer.status == 200
    }

    /// Sends a request without waiting for the answer.
    pub fn send(&self, head: &str, body: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut fields = String::new();
        if !cookies.is_empty() {
            fields.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        if let Some(address) = &self.address {
            fields.push_str(&format!("X-Forwarded-For: {address}\r\n"));
        }
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        Ok(stream)
    }

    fn ask(&mut self, head: &str, body: &str) -> io::Result<Answer> {
        let start = Instant::now();
        let mut text = String::new();
        self.send(head, body)?.read_to_string(&mut text)?;
        let answer = Answer::parse(text, start.elapsed())?;
        for line in answer.headers("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            assert!(!line.contains("Max-Age=-"), "{line}");
            match line.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Ok(answer)
    }
}

/// Returns the form of `name@example.org` with the right password.
pub fn form(name: &str) -> String {
    crate::support::form(&format!("{name}@example.org"))
}

pub struct Answer {
    pub status: u16,
    pub text: String,
    pub took: Duration,
}

impl Answer {
    /// Parses an answer. Returns an error if it was cut off.
    pub fn parse(text: String, took: Duration) -> io::Result<Self> {
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.filter(|_| text.contains("\r\n\r\n"));
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Answer { status, text, took })
    }

    #[track_caller]
    pub fn assert(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts that the answer reveals no internal error.
    #[track_caller]
    pub fn assert_plain(&self) -> &Self {
        for inside in ["SQLite", "sqlite", "disk", "malformed", "readonly", "locked", "panicked"] {
            assert!(!self.text.contains(inside), "{}", self.text);
        }
        self
    }

    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().filter_map(move |line| {
            let (this, value) = line.split_once(": ")?;
            this.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Waits for at most ten seconds until `done` returns true. Returns the time.
pub fn until(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}
