//! A real mail server, if there is one to start.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use rocket::tokio::{self, time};
use serde_json::Value;

/// aiosmtpd, killed when dropped.
pub struct SmtpServer {
    child: Child,
    pub port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl SmtpServer {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(python().expect("asked for before"));
        let command = command.arg("tests/smtp/server.py").args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");

        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let (said, log) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
        let server =
            SmtpServer { child, port: first["port"].as_u64().unwrap() as u16, lines: said.clone() };
        std::thread::spawn(move || {
            let _running = log;
            for line in lines.map_while(Result::ok) {
                said.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        server
    }

    /// What it has said under `key` so far.
    pub fn said(&self, key: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.get(key).is_some()).cloned().collect()
    }

    /// The mails that have arrived.
    pub fn mails(&self) -> Vec<Value> {
        self.said("text")
    }

    /// Waits until it has said so much under `key`.
    pub async fn until(&self, key: &str, count: usize) -> Vec<Value> {
        let waiting = async {
            while self.said(key).len() < count {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Longer than a mail is lent to a sender that was killed meanwhile.
        let waited = time::timeout(Duration::from_secs(100), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.lines.lock().unwrap());
        self.said(key)
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the tests with a mail server can run. In CI they must; elsewhere
/// one line says that they did not.
pub fn is_installed() -> bool {
    static REPORTED: Once = Once::new();

    if python().is_some() {
        return true;
    }

    let line = "NOT RUN: mail tests, for want of aiosmtpd (./check --install)\n";
    assert!(std::env::var_os("CI").is_none(), "{line}");
    // Past the test harness, which keeps what a passing test prints to itself.
    REPORTED.call_once(|| std::io::stderr().write_all(line.as_bytes()).unwrap());
    false
}

/// The tests' own Python, or the system's, if it has aiosmtpd.
fn python() -> Option<&'static str> {
    let own = "tests/smtp/venv/bin/python";
    let candidates = [own, "python3"].into_iter().filter(|p| *p != own || Path::new(p).is_file());
    candidates.into_iter().find(|python| {
        let mut command = Command::new(python);
        let status = command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    })
}

/// Lets background tasks run until nothing more is expected of them: as long
/// as a mail takes that does come.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
