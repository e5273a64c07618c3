//! A client that may get no answer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::program::try_send;

/// The time limit for an answer, longer than any time limit of the site.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends one request and returns the answer. `None` means no answer or an incomplete one.
pub fn ask(port: u16, head: &str, cookie: Option<&str>, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    try_send(&mut stream, head, cookie, body).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Returns the value of the first header `name`, which must be in lower case.
pub fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| *found == name).map(|(_, value)| value)
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// A client that sends many requests over one connection, and opens another if it is lost.
pub struct Client {
    port: u16,
    stream: Option<TcpStream>,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Client { port, stream: None }
    }

    /// Connects if necessary. Returns true if there is a connection.
    pub fn connect(&mut self) -> bool {
        if self.stream.is_none() {
            self.stream = TcpStream::connect(("127.0.0.1", self.port)).ok();
        }
        let is_set = self.stream.as_ref().map(|stream| {
            stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_nodelay(true))
        });
        is_set.is_some_and(|set| set.is_ok())
    }

    /// Sends one request and returns the answer. `None` means no answer or an incomplete one.
    /// The site may have received the request anyway.
    pub fn ask(&mut self, head: &str, cookie: Option<&str>, body: &str) -> Option<String> {
        if !self.connect() {
            return None;
        }
        let mut stream = self.stream.take()?;
        let answer = exchange(&mut stream, head, cookie, body).ok()?;
        if header(&answer, "connection") != Some("close") {
            self.stream = Some(stream);
        }
        Some(answer)
    }
}

fn exchange(
    stream: &mut TcpStream,
    head: &str,
    cookie: Option<&str>,
    body: &str,
) -> std::io::Result<String> {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\n{cookie}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;

    let (mut answer, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&answer[..end + 4]);
            let length = header(&text, "content-length").and_then(|length| length.parse().ok());
            if answer.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&chunk[..length]),
        }
    }
}

/// A generator that returns equal numbers for equal seeds (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
