//! A real mail server, if one is installed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::tokio::{self, time};
use serde_json::Value;

use crate::servers::{Running, clean, has};

/// A running aiosmtpd, which is killed when dropped.
pub struct SmtpServer {
    _running: Running,
    pub port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl SmtpServer {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = clean(python().expect("asked for before"));
        command.arg("tests/smtp/server.py").args(arguments).stdout(Stdio::piped());
        let mut running = Running::spawn(command);

        let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let (said, log) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
        let port = first["port"].as_u64().unwrap() as u16;
        let server = SmtpServer { _running: running, port, lines: said.clone() };
        std::thread::spawn(move || {
            let _running = log;
            for line in lines.map_while(Result::ok) {
                said.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        server
    }

    /// Returns the lines with `key` that it has printed so far.
    pub fn said(&self, key: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.get(key).is_some()).cloned().collect()
    }

    /// Returns the mails that have arrived.
    pub fn mails(&self) -> Vec<Value> {
        self.said("text")
    }

    /// Waits until it has printed `count` lines with `key`.
    pub async fn until(&self, key: &str, count: usize) -> Vec<Value> {
        let waiting = async {
            while self.said(key).len() < count {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        // This is longer than the lease of a mail by a sender that was killed.
        let waited = time::timeout(Duration::from_secs(100), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.lines.lock().unwrap());
        self.said(key)
    }
}

/// Returns true if tests with a mail server can run. In CI they must. Elsewhere, a line
/// reports that they did not.
pub fn is_installed() -> bool {
    has(python().is_some(), "aiosmtpd")
}

/// Returns the tests' own Python or the system's, if it has aiosmtpd.
fn python() -> Option<&'static str> {
    let own = "tests/smtp/venv/bin/python";
    let candidates = [own, "python3"].into_iter().filter(|p| *p != own || Path::new(p).is_file());
    candidates.into_iter().find(|python| {
        let mut command = Command::new(python);
        let status = command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    })
}

/// Waits for background tasks for as long as a mail takes to arrive, so that an unexpected
/// one would arrive.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
