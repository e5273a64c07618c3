//! As much of HTTP as the provider needs, and the ways in which it answers badly.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use url::form_urlencoded;

/// How long a silent server keeps its client waiting.
const SILENCE: Duration = Duration::from_secs(60);

/// The length of an answer that nobody should read to its end.
const HUGE: usize = 10 << 20;

/// A way to answer badly.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Ten megabytes of valid JSON, whose length is announced.
    Huge,
    /// Ten megabytes of valid JSON, whose length the end of the connection tells.
    HugeUnannounced,
    /// No answer for a minute.
    Silent,
    /// The answer, one byte in each second.
    Drip,
    /// A redirect to this address.
    Redirect(String),
    /// The right answer, as `text/html` and inside a page.
    Html,
    /// This status, with a body that is JSON.
    Status(u16),
    /// The first half of the answer.
    Cut,
    /// No answer: the connection is closed.
    Closed,
}

pub struct Request {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub fault: Option<Fault>,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub fn text(status: u16, kind: &str, body: String) -> Self {
        Reply { status, headers: vec![("Content-Type", kind.to_owned())], body, fault: None }
    }

    pub fn redirect(to: String) -> Self {
        Reply { status: 303, headers: vec![("Location", to)], body: String::new(), fault: None }
    }
}

/// Splits a query or a form into its fields.
pub fn fields(encoded: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
}

/// Answers one request of each connection, on a thread of its own, until `is_stopped`.
pub fn serve(
    listener: TcpListener,
    is_stopped: Arc<AtomicBool>,
    handle: Arc<dyn Fn(&Request) -> Reply + Send + Sync>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if is_stopped.load(Ordering::SeqCst) {
                return;
            }
            let handle = handle.clone();
            // It ends with its client, and so with the test.
            thread::spawn(move || {
                if let Some(request) = Request::read(&stream) {
                    let _ = handle(&request).write(stream);
                }
            });
        }
    })
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        stream.set_read_timeout(Some(SILENCE)).ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (path.to_owned(), fields(query));
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let form = fields(&String::from_utf8_lossy(&body));
        Some(Request { method, path, query, headers, form })
    }
}

impl Reply {
    fn write(self, mut stream: TcpStream) -> std::io::Result<()> {
        let Reply { mut status, mut headers, mut body, fault } = self;
        let mut length = Some(body.len());
        match &fault {
            None | Some(Fault::Drip | Fault::Cut) => (),
            Some(Fault::Closed) => return Ok(()),
            Some(Fault::Silent) => {
                // Until the client gives up.
                let _ = stream.read(&mut [0]);
                return Ok(());
            }
            Some(Fault::Huge | Fault::HugeUnannounced) => {
                let padding = "a".repeat(HUGE);
                body = body.replacen('{', &format!("{{\"padding\":\"{padding}\","), 1);
                length = matches!(fault, Some(Fault::Huge)).then_some(body.len());
            }
            Some(Fault::Redirect(to)) => {
                (status, body, length) = (302, String::new(), Some(0));
                headers.push(("Location", to.clone()));
            }
            Some(Fault::Html) => {
                body = format!("<!doctype html><title>Sign in</title><p>{body}");
                length = Some(body.len());
                headers = vec![("Content-Type", "text/html; charset=utf-8".into())];
            }
            Some(Fault::Status(bad)) => status = *bad,
        }
        let length = length.map(|length| format!("Content-Length: {length}\r\n"));
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = length.unwrap_or_default();
        let head =
            format!("HTTP/1.1 {status} Answer\r\nConnection: close\r\n{length}{headers}\r\n");
        stream.write_all(head.as_bytes())?;
        match fault {
            Some(Fault::Drip) => {
                for byte in body.as_bytes() {
                    stream.write_all(&[*byte])?;
                    thread::sleep(Duration::from_secs(1));
                }
                Ok(())
            }
            Some(Fault::Cut) => stream.write_all(&body.as_bytes()[..body.len() / 2]),
            _ => stream.write_all(body.as_bytes()),
        }
    }
}
