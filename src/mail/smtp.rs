//! The conversation with the mail server (RFC 5321).
//!
//! It is held here rather than by `lettre`, which makes the mail and encrypts the
//! connection. What a server answers is bounded and need not be text; the step that failed
//! says whom it concerns, the mail or all of them; and it is known whether the server may
//! have taken the mail.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
#[expect(deprecated, reason = "there is no other way to its TLS without its conversation")]
use lettre::transport::smtp::client::AsyncNetworkStream as Stream;
use lettre::transport::smtp::client::TlsParameters;
use lettre::{Address, Message};
use rocket::futures::{AsyncReadExt, AsyncWriteExt};
use rocket::tokio::net::{TcpStream, lookup_host};
use rocket::tokio::{self, time::timeout};
use url::{Host, Url};

use crate::background;
use crate::config::{ConfigError, MailServer, MailTls};

/// How long each of the server's addresses may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take from there to the first mail. Servers that let clients wait for
/// their greeting, against spam, do so for half of it at most.
const HELLO_PATIENCE: Duration = Duration::from_secs(60);

/// How long the server may take to answer for a mail that it has got in whole (RFC 5321,
/// section 4.5.3.2.6). A client that gives up earlier sends twice what is then accepted.
const TAKING_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long a farewell may take: nothing depends on it.
const QUIT_PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer, in bytes. A line has 512 (RFC 5321, section 4.5.3.1.5), and the
/// longest answer, the one to EHLO, has some twenty of them.
const LONGEST_ANSWER: usize = 32 * 1024;

/// How much of an answer is told, in characters.
const LONGEST_TEXT: usize = 300;

/// Whom [`Smtp::test`] names as a recipient. The domain is nobody's (RFC 2606).
const STRANGER: &str = "postmaster@example.com";

/// The mail server, and the connections to it that wait for the next mail.
pub struct Smtp {
    server: MailServer,
    tls: Option<TlsParameters>,
    /// What we call ourselves; without it, the address that we come from.
    name: Option<String>,
    kept: Mutex<Vec<Connection>>,
}

/// Why a mail was not sent.
#[derive(Debug)]
pub enum Failure {
    /// It never will be.
    Hopeless(String),
    /// The server does not take this mail now. It may take others.
    Refused(String),
    /// The server has got this mail, and has not said whether it takes it.
    Unanswered(String),
    /// The server does not answer, or does not let us in: no mail would fare better.
    Unreachable(String),
}

impl Smtp {
    /// Nothing is connected yet. `name`: see [`name`].
    ///
    /// # Errors
    ///
    /// When TLS cannot be used, as without any certificate on this machine.
    pub fn new(server: MailServer, name: Option<String>) -> Result<Self, ConfigError> {
        let tls = match server.tls {
            MailTls::None => None,
            // An attacker who could show a false certificate could as well take the offer of TLS
            // away. To insist on a true one would only keep mails from a server on this
            // machine, which has one that it has made itself.
            MailTls::Opportunistic => Some(
                TlsParameters::builder(server.host.clone())
                    .dangerous_accept_invalid_certs(true)
                    .dangerous_accept_invalid_hostnames(true)
                    .build(),
            ),
            MailTls::StartTls | MailTls::Implicit => Some(TlsParameters::new(server.host.clone())),
        };
        let tls = tls
            .transpose()
            .map_err(|error| ConfigError::new("mail.url", format!("cannot use TLS: {error}")))?;
        Ok(Smtp { server, tls, name, kept: Mutex::default() })
    }

    /// Hands `message` over. The server may take as long as `patience` for each step
    /// before it has the message in whole, and ten minutes for the answer to that.
    pub async fn send(&self, message: &Message, patience: Duration) -> Result<(), Failure> {
        let (from, to) = match (message.envelope().from(), message.envelope().to()) {
            (Some(from), [to]) => (from, to),
            _ => return Err(Failure::Hopeless("it is not from one address to one".into())),
        };

        let begun = self.begin(from, patience).await;
        let mut connection = begun.map_err(Failure::Unreachable)?;
        connection.hand_over(to, &message.formatted(), patience).await?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(())
    }

    /// Ends the connections that wait for a next mail, in the background.
    pub fn rest(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        for mut connection in kept {
            tokio::spawn(async move { connection.ask("QUIT", QUIT_PATIENCE).await.map(drop) });
        }
    }

    /// Does all that is done for a mail from `from` to a stranger, up to the mail itself,
    /// of which nothing is sent.
    ///
    /// # Errors
    ///
    /// What stands in the way of every mail. A recipient that the server doubts for its own
    /// sake, or puts off, is no error.
    pub async fn test(&self, from: &Address) -> Result<(), String> {
        let steps = async {
            let mut connection = self.begin(from, HELLO_PATIENCE).await?;
            let answer = connection.ask(&format!("RCPT TO:<{STRANGER}>"), HELLO_PATIENCE).await?;
            if answer.refuses_strangers() {
                return Err(format!("it takes no mail to {STRANGER}: {}", answer.text()));
            }
            let _ = connection.ask("QUIT", QUIT_PATIENCE).await;
            Ok(())
        };
        let done = background::round("mail check", steps).await;
        done.unwrap_or_else(|| Err("what it answers cannot be read".into()))
    }

    /// A connection on which a mail from `from` has begun.
    async fn begin(&self, from: &Address, patience: Duration) -> Result<Connection, String> {
        // One that was kept may be closed by now, or have carried as many as it may.
        while let Some(mut kept) = self.take() {
            if kept.mail_from(from, patience).await.is_ok() {
                return Ok(kept);
            }
        }

        let greeted = timeout(HELLO_PATIENCE, self.connect()).await;
        let mut connection =
            greeted.unwrap_or_else(|_| Err("it takes too long to let us in".into()))?;
        connection.mail_from(from, patience).await?;
        Ok(connection)
    }

    fn take(&self) -> Option<Connection> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Connects, greets, encrypts and logs in, as configured.
    async fn connect(&self) -> Result<Connection, String> {
        let stream = self.dial().await?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => literal(stream.local_addr().map_err(|error| error.to_string())?.ip()),
        };

        let mut connection = Connection::new(stream);
        if let (Some(tls), MailTls::Implicit) = (&self.tls, self.server.tls) {
            connection.encrypt(tls).await?;
        }
        connection.answer().await?.expect(2, "the greeting")?;
        connection.hello(&name).await?;
        let is_offered = connection.offer("STARTTLS").is_some();
        match (&self.tls, self.server.tls) {
            (_, MailTls::StartTls) if !is_offered => return Err("it offers no STARTTLS".into()),
            (Some(tls), MailTls::StartTls | MailTls::Opportunistic) if is_offered => {
                connection.say("STARTTLS").await?.expect(2, "STARTTLS")?;
                connection.encrypt(tls).await?;
                connection.hello(&name).await?;
            }
            _ => {}
        }
        if let Some((user, password)) = &self.server.credentials {
            let entered = connection.log_in(user, password).await;
            entered.map_err(|error| without_password(&error, user, password))?;
        }
        Ok(connection)
    }

    async fn dial(&self) -> Result<TcpStream, String> {
        let addresses = lookup_host((self.server.host.as_str(), self.server.port)).await;
        let mut failure = "its name has no address".to_owned();
        for address in addresses.map_err(|error| error.to_string())? {
            match timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error.to_string(),
                Err(_) => failure = "it does not answer".to_owned(),
            }
        }
        Err(failure)
    }
}

/// What the site calls itself towards the server: the host of its address, `origin`, a name
/// that strangers can look up. The machine's own name is often none, or not for strangers.
/// `None`: that is no such name either (RFC 5321, section 4.1.4).
pub fn name(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let Some(Host::Domain(name)) = url.host() else { return None };
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let has_edges = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len()) && label.bytes().all(is_inside) && has_edges
    };
    let is_full = name.contains('.') && !name.ends_with(".localhost");
    (is_full && name.split('.').all(is_label)).then(|| name.to_owned())
}

/// An address in place of a name (RFC 5321, section 4.1.3).
fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// Some servers repeat the command that they do not know, the log-in included.
fn without_password(text: &str, user: &str, password: &str) -> String {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let secrets = [encode(&plain(user, password)), encode(password), password.to_owned()];
    secrets.iter().fold(text.to_owned(), |text, secret| match secret.is_empty() {
        true => text,
        false => text.replace(secret, "…"),
    })
}

/// What AUTH PLAIN sends (RFC 4616).
fn plain(user: &str, password: &str) -> String {
    format!("\0{user}\0{password}")
}

/// A connection to the server. It is of no more use after a failure.
struct Connection {
    stream: Stream,
    /// What has arrived, and is in no answer yet.
    unread: Vec<u8>,
    /// What the server can do, as it answers EHLO.
    offers: Vec<String>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        let stream = Stream::use_existing_tokio1(Box::new(stream));
        Connection { stream, unread: Vec::new(), offers: Vec::new() }
    }

    async fn encrypt(&mut self, tls: &TlsParameters) -> Result<(), String> {
        // It would be taken for an answer that came encrypted (CVE-2011-0411).
        if !self.unread.is_empty() {
            return Err("it goes on in clear after STARTTLS".into());
        }
        self.stream.upgrade_tls(tls.clone()).await.map_err(|error| error.to_string())
    }

    async fn hello(&mut self, name: &str) -> Result<(), String> {
        let answer = self.say(&format!("EHLO {name}")).await?.expect(2, "EHLO")?;
        self.offers = answer.lines.into_iter().skip(1).collect();
        Ok(())
    }

    /// What follows `keyword` among the server's offers.
    fn offer(&self, keyword: &str) -> Option<Vec<&str>> {
        self.offers.iter().find_map(|line| {
            // "AUTH=LOGIN" is what old clients of one vendor understood.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            words.next()?.eq_ignore_ascii_case(keyword).then(|| words.collect())
        })
    }

    async fn log_in(&mut self, user: &str, password: &str) -> Result<(), String> {
        let offered = self.offer("AUTH").unwrap_or_default();
        let offers = |name: &str| offered.iter().any(|word| word.eq_ignore_ascii_case(name));
        let (is_plain, is_login) = (offers("PLAIN"), offers("LOGIN"));

        let answer = if is_plain {
            let response = BASE64_STANDARD.encode(plain(user, password));
            self.say(&format!("AUTH PLAIN {response}")).await?
        } else if is_login {
            self.say("AUTH LOGIN").await?.expect(3, "AUTH LOGIN")?;
            self.say(&BASE64_STANDARD.encode(user)).await?.expect(3, "the user")?;
            self.say(&BASE64_STANDARD.encode(password)).await?
        } else {
            return Err("it offers no log-in by PLAIN or LOGIN".into());
        };
        answer.expect(2, "the log-in").map(drop)
    }

    async fn mail_from(&mut self, from: &Address, patience: Duration) -> Result<(), String> {
        let answer = self.ask(&format!("MAIL FROM:<{from}>"), patience).await?;
        answer.expect(2, "the sender").map(drop)
    }

    /// The rest of a mail that has begun: from here on a refusal is of this mail.
    async fn hand_over(
        &mut self,
        to: &Address,
        message: &[u8],
        patience: Duration,
    ) -> Result<(), Failure> {
        let recipient = self.ask(&format!("RCPT TO:<{to}>"), patience).await;
        recipient.map_err(Failure::Refused)?.accept(2)?;
        self.ask("DATA", patience).await.map_err(Failure::Refused)?.accept(3)?;

        let written = timeout(patience, self.write(&stuffed(message))).await;
        written.unwrap_or_else(|_| Err(TOO_LONG.into())).map_err(Failure::Refused)?;
        // With this line the mail is the server's, whether or not it says so.
        let taken = self.ask(".", TAKING_PATIENCE).await;
        taken.map_err(Failure::Unanswered)?.accept(2)
    }

    /// Sends a command, and waits for the answer for as long as `patience`.
    async fn ask(&mut self, command: &str, patience: Duration) -> Result<Answer, String> {
        let answer = timeout(patience, self.say(command)).await;
        answer.unwrap_or_else(|_| Err(TOO_LONG.into()))
    }

    async fn say(&mut self, command: &str) -> Result<Answer, String> {
        // It would be two commands.
        if command.contains(char::is_control) {
            return Err("there is a control character in the command".into());
        }
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.answer().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| error.to_string())
    }

    async fn answer(&mut self) -> Result<Answer, String> {
        let (mut code, mut lines, mut left) = (None, Vec::new(), LONGEST_ANSWER);
        loop {
            let line = self.line(&mut left).await?;
            let (number, is_last, text) = parse(&line).ok_or("what it answers is no SMTP")?;
            if *code.get_or_insert(number) != number {
                return Err("its answer has several codes".into());
            }
            lines.push(text);
            if is_last {
                return Ok(Answer { code: number, lines });
            }
        }
    }

    /// The next line; `left` is how long it may be.
    async fn line(&mut self, left: &mut usize) -> Result<Vec<u8>, String> {
        loop {
            let end = self.unread.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(self.unread.len(), |end| end + 1);
            let rest = left.checked_sub(length).ok_or("its answer is too long")?;
            if end.is_some() {
                *left = rest;
                return Ok(self.unread.drain(..length).collect());
            }

            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await.map_err(|error| error.to_string())? {
                0 => return Err("it closed the connection".into()),
                length => self.unread.extend_from_slice(&chunk[..length]),
            }
        }
    }
}

const TOO_LONG: &str = "it takes too long to answer";

/// Code, whether it is the last line, and text, which need not be UTF-8.
fn parse(line: &[u8]) -> Option<(u16, bool, String)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (code, rest) = line.split_at_checked(3)?;
    let code = match code {
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => str::from_utf8(code).ok()?.parse().ok()?,
        _ => return None,
    };
    let (is_last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return None,
    };
    Some((code, is_last, String::from_utf8_lossy(text).replace(char::is_control, " ")))
}

/// The message with lines that begin with a point made longer by one (RFC 5321, section
/// 4.5.2), and a line end at its end.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed
}

/// An answer of the server.
struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    /// Itself, if its code begins with `digit`; otherwise what was said to `step`.
    fn expect(self, digit: u16, step: &str) -> Result<Self, String> {
        match self.code / 100 == digit {
            true => Ok(self),
            false => Err(format!("to {step} it answers {}", self.text())),
        }
    }

    /// As above, for a step of one mail.
    fn accept(&self, digit: u16) -> Result<(), Failure> {
        match self.code / 100 == digit {
            true => Ok(()),
            // Any other refusal may be of us rather than of the address, and pass.
            false if self.code >= 500 && self.is_about_the_address() => {
                Err(Failure::Hopeless(self.text()))
            }
            false => Err(Failure::Refused(self.text())),
        }
    }

    /// For people to read.
    fn text(&self) -> String {
        let text = format!("{} {}", self.code, self.lines.join(" "));
        text.trim_end().chars().take(LONGEST_TEXT).collect()
    }

    /// The status that the answer begins with (RFC 3463), or a word like any other.
    fn status(&self) -> &str {
        self.lines.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default()
    }

    /// Whether the address is none, or its mailbox is not there (RFC 3463, section 3.2 and 3.3).
    fn is_about_the_address(&self) -> bool {
        matches!(self.status(), "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1")
    }

    /// Whether it is us who may not send, as far as can be told: neither the address is
    /// meant, nor is the recipient put off for a while.
    fn refuses_strangers(&self) -> bool {
        let is_put_off = matches!(self.code, 421 | 450..=452);
        let has_status = self.status().starts_with(['4', '5']) && self.status().contains('.');
        let names_us = has_status || self.text().to_ascii_lowercase().contains("relay");
        self.code >= 400 && !is_put_off && !self.is_about_the_address() && names_us
    }
}

/// Neither user nor password.
impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        let (code, _, text) = parse(text.as_bytes()).unwrap();
        Answer { code, lines: vec![text] }
    }

    #[test]
    fn only_the_status_itself_says_that_an_address_is_none() {
        let is_hopeless = |text: &str| matches!(answer(text).accept(2), Err(Failure::Hopeless(_)));
        assert!(is_hopeless("550 5.1.1 no such mailbox"));
        assert!(!is_hopeless("450 5.1.1 no such mailbox"));
        assert!(!is_hopeless("554 5.7.1 [45.1.1.3] blocked"));
        assert!(!is_hopeless("550 no such mailbox 5.1.1"));
        assert!(!is_hopeless("550"));
    }

    #[test]
    fn an_answer_is_told_without_control_characters_and_not_at_length() {
        let told = answer(&format!("550 \x1b[2J\rmails wait {}", "x".repeat(1000))).text();
        assert_eq!(told.chars().count(), LONGEST_TEXT);
        assert!(!told.contains(char::is_control), "{told:?}");
    }

    #[test]
    fn the_password_is_not_told_whoever_repeats_it() {
        for repeated in ["AUTH PLAIN AHNpdGUAczNjcmV0", "czNjcmV0", "s3cret"] {
            let told = without_password(&format!("500 {repeated}?"), "site", "s3cret");
            assert!(!told.contains(repeated.rsplit(' ').next().unwrap()), "{told}");
        }
        assert_eq!(without_password("500 x", "site", ""), "500 x");
    }

    #[test]
    fn the_name_is_one_that_strangers_can_look_up() {
        assert_eq!(name("https://example.org"), Some("example.org".into()));
        assert_eq!(
            name("https://a.xn--bcher-kva.example:8443"),
            Some("a.xn--bcher-kva.example".into())
        );
        for origin in [
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "http://localhost",
            "http://app.localhost",
            "https://intranet",
            "https://my_site.example.org",
            "https://-x.example.org",
        ] {
            assert_eq!(name(origin), None, "{origin}");
        }
        assert_eq!(literal("::ffff:192.0.2.1".parse().unwrap()), "[192.0.2.1]");
        assert_eq!(literal("2001:db8::1".parse().unwrap()), "[IPv6:2001:db8::1]");
    }

    #[test]
    fn a_line_that_begins_with_a_point_ends_no_mail() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b"), b"a\r\n..\r\n...b\r\n");
    }

    #[test]
    fn only_a_refusal_of_us_is_found_by_the_test() {
        for text in [
            "454 4.7.1 <x>: Relay access denied",
            "550 relay not permitted",
            "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname",
            "553 5.7.1 <x>: Sender address rejected: not owned by user",
            "530 5.7.0 Authentication required",
        ] {
            assert!(answer(text).refuses_strangers(), "{text}");
        }
        for text in [
            "250 2.1.5 Ok",
            "450 4.2.0 <x>: Recipient address rejected: Greylisted",
            "451 4.7.1 Try again later",
            "556 5.1.10 <x>: Recipient address rejected: Domain does not accept mail (nullMX)",
            "550 Unrouteable address",
        ] {
            assert!(!answer(text).refuses_strangers(), "{text}");
        }
    }
}
