//! The conversation with the mail server (RFC 5321).
//!
//! We hold it ourselves instead of `lettre`, which builds the mail and encrypts the connection, for
//! three reasons. Answers of the server are bounded and need not be text. The step that failed
//! tells whether the problem concerns one mail or all of them. And we know whether the server may
//! have accepted the mail.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use lettre::Address;
use lettre::message::Mailbox;
#[expect(deprecated, reason = "there is no other way to its TLS without its conversation")]
use lettre::transport::smtp::client::AsyncNetworkStream as Stream;
use lettre::transport::smtp::client::TlsParameters;
use rocket::futures::{AsyncReadExt, AsyncWriteExt};
use rocket::tokio::net::{TcpStream, lookup_host};
use rocket::tokio::{self, time::timeout};
use url::{Host, Url};

use super::failure::Failure;
use super::message::message;
use super::outbox::Queued;
use super::templates::Written;
#[cfg(feature = "cli")]
use crate::background;
use crate::config::{Config, ConfigError, MailServer, MailTls};

/// How long each address of the server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the server may take from the connection to the first mail. Servers that delay their
/// greeting as a measure against spam delay it for at most half of this time.
const HELLO_PATIENCE: Duration = Duration::from_secs(60);

/// How long the server may take to answer after it has received a whole mail (RFC 5321, section
/// 4.5.3.2.6). A client that gives up earlier sends a mail twice if the server accepts it later.
const TAKING_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long the farewell may take. Nothing depends on it.
const QUIT_PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer, in bytes. A line has 512 bytes (RFC 5321, section 4.5.3.1.5), and the
/// longest answer, the one to EHLO, has about twenty lines.
const LONGEST_ANSWER: usize = 32 * 1024;

/// The longest part of an answer that is logged or shown, in characters.
const LONGEST_TEXT: usize = 300;

/// The recipient that [`Smtp::test`] names. Nobody owns the domain (RFC 2606).
#[cfg(feature = "cli")]
const STRANGER: &str = "postmaster@example.com";

/// The mail server, and the open connections that wait for the next mail.
pub struct Smtp {
    server: MailServer,
    /// The sender of every mail.
    from: Mailbox,
    tls: Option<TlsParameters>,
    /// The name that we greet the server with. `None` means our own IP address.
    name: Option<String>,
    kept: Mutex<Vec<Connection>>,
}

impl Smtp {
    /// Creates the client, without any connection. `None` means that no server is configured.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration of mail is wrong, or if TLS cannot be used, for
    /// example if there is no certificate on this machine.
    pub fn of(config: &Config) -> Result<Option<Self>, ConfigError> {
        let Some(server) = config.mail.server()? else { return Ok(None) };
        let name = config.site.url.as_deref().and_then(name);
        let mut from = config.mail.sender()?;
        // Without `site.name` the site is called by its host, which spam filters distrust as a
        // sender's name.
        from.name = from.name.or_else(|| config.site.name.clone());
        Smtp::new(server, from, name).map(Some)
    }

    /// Creates the client. `name` is the result of [`name`].
    fn new(server: MailServer, from: Mailbox, name: Option<String>) -> Result<Self, ConfigError> {
        let tls = match server.tls {
            MailTls::None => None,
            // An attacker who can show a false certificate can also remove the offer of TLS. A
            // check of the certificate would only keep mails from a server on this machine, which
            // has made its own.
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
        Ok(Smtp { server, from, tls, name, kept: Mutex::default() })
    }

    /// Hands the mail `queued` over to the server, as it is `written`. The server may take as long
    /// as `patience` for each step before it has the whole mail, and ten minutes for the answer to
    /// it.
    ///
    /// # Errors
    ///
    /// Returns the reason why it was not sent.
    pub async fn send(
        &self,
        queued: &Queued,
        written: Written,
        patience: Duration,
    ) -> Result<(), Failure> {
        let message = message(&self.from, queued, written)?;
        let (from, to) = match (message.envelope().from(), message.envelope().to()) {
            (Some(from), [to]) => (from, to),
            _ => {
                return Err(Failure::Hopeless(
                    "it does not have exactly one sender and one recipient".into(),
                ));
            }
        };

        let begun = self.begin(from, patience).await;
        let mut connection = begun.map_err(Failure::Unreachable)?;
        connection.hand_over(to, &message.formatted(), patience).await?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(())
    }

    /// Closes the connections that wait for a next mail, in the background.
    pub fn rest(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        for mut connection in kept {
            tokio::spawn(async move { connection.ask("QUIT", QUIT_PATIENCE).await.map(drop) });
        }
    }

    /// Does every step for a mail to a stranger, except for the mail itself. Nothing is sent.
    ///
    /// Returns the problem if it concerns every mail. It is not an error if the server doubts only
    /// this recipient, or asks to try later.
    #[cfg(feature = "cli")]
    pub async fn test(&self) -> Result<(), String> {
        let steps = async {
            let mut connection = self.begin(&self.from.email, HELLO_PATIENCE).await?;
            let answer = connection.ask(&format!("RCPT TO:<{STRANGER}>"), HELLO_PATIENCE).await?;
            if answer.refuses_strangers() {
                return Err(format!("it accepts no mail to {STRANGER}: {}", answer.text()));
            }
            let _ = connection.ask("QUIT", QUIT_PATIENCE).await;
            Ok(())
        };
        let done = background::round("mail check", steps).await;
        done.unwrap_or_else(|| Err("its answer cannot be read".into()))
    }

    /// Returns a connection on which a mail from `from` has begun.
    async fn begin(&self, from: &Address, patience: Duration) -> Result<Connection, String> {
        // The server may have closed a kept connection, or it may accept no more mails on it.
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

/// Returns the name that the site greets the server with: the host in its address, `origin`, which
/// strangers can look up. The machine's own name is often missing, or unknown to strangers. `None`
/// means that the host is not such a name either (RFC 5321, section 4.1.4).
fn name(origin: &str) -> Option<String> {
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

/// Returns an address in the form that stands in place of a name (RFC 5321, section 4.1.3).
fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// Returns `text` without the password: some servers repeat a command that they do not know, even
/// the log-in.
fn without_password(text: &str, user: &str, password: &str) -> String {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let secrets = [encode(&plain(user, password)), encode(password), password.to_owned()];
    secrets.iter().fold(text.to_owned(), |text, secret| match secret.is_empty() {
        true => text,
        false => text.replace(secret, "…"),
    })
}

/// Returns the text that AUTH PLAIN sends (RFC 4616).
fn plain(user: &str, password: &str) -> String {
    format!("\0{user}\0{password}")
}

/// A connection to the server. It cannot be used again after a failure.
struct Connection {
    stream: Stream,
    /// Bytes that have arrived, but belong to no answer yet.
    unread: Vec<u8>,
    /// The extensions that the server offers in its answer to EHLO.
    offers: Vec<String>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        let stream = Stream::use_existing_tokio1(Box::new(stream));
        Connection { stream, unread: Vec::new(), offers: Vec::new() }
    }

    async fn encrypt(&mut self, tls: &TlsParameters) -> Result<(), String> {
        // An attacker could have added these bytes, and they would look like an encrypted answer
        // (CVE-2011-0411).
        if !self.unread.is_empty() {
            return Err("it continues in clear after STARTTLS".into());
        }
        self.stream.upgrade_tls(tls.clone()).await.map_err(|error| error.to_string())
    }

    async fn hello(&mut self, name: &str) -> Result<(), String> {
        let answer = self.say(&format!("EHLO {name}")).await?.expect(2, "EHLO")?;
        self.offers = answer.lines.into_iter().skip(1).collect();
        Ok(())
    }

    /// Returns the words after `keyword` in the server's offers.
    fn offer(&self, keyword: &str) -> Option<Vec<&str>> {
        self.offers.iter().find_map(|line| {
            // Old clients of one vendor understood only "AUTH=LOGIN".
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

    /// Sends the rest of a mail that has begun. A refusal from here on concerns only this mail.
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
        // After this line the server has the mail, even if it never says so.
        let taken = self.ask(".", TAKING_PATIENCE).await;
        taken.map_err(Failure::Unanswered)?.accept(2)
    }

    /// Sends a command, and waits for the answer for as long as `patience`.
    async fn ask(&mut self, command: &str, patience: Duration) -> Result<Answer, String> {
        let answer = timeout(patience, self.say(command)).await;
        answer.unwrap_or_else(|_| Err(TOO_LONG.into()))
    }

    async fn say(&mut self, command: &str) -> Result<Answer, String> {
        // With a line end it would be two commands (SMTP injection).
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
            let (number, is_last, text) = parse(&line).ok_or("its answer is not SMTP")?;
            if *code.get_or_insert(number) != number {
                return Err("its answer has several codes".into());
            }
            lines.push(text);
            if is_last {
                return Ok(Answer { code: number, lines });
            }
        }
    }

    /// Reads the next line. `left` is the number of bytes that it may have, and is reduced by its
    /// length.
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

/// Parses a line into the code, whether it is the last line, and the text, which need not be UTF-8.
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

/// Returns the message with a second point in front of each line that begins with one (RFC 5321,
/// section 4.5.2), and with a line end at its end.
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
    /// Returns the answer if its code begins with `digit`. Otherwise it returns an error with the
    /// answer to `step`.
    fn expect(self, digit: u16, step: &str) -> Result<Self, String> {
        match self.code / 100 == digit {
            true => Ok(self),
            false => Err(format!("to {step} it answers {}", self.text())),
        }
    }

    /// Accepts an answer whose code begins with `digit`. Otherwise it returns the failure of one
    /// mail.
    fn accept(&self, digit: u16) -> Result<(), Failure> {
        match self.code / 100 == digit {
            true => Ok(()),
            // Any other refusal may concern us instead of the address, and may pass.
            false if self.code >= 500 && self.is_about_the_address() => {
                Err(Failure::Hopeless(self.text()))
            }
            false => Err(Failure::Refused(self.text())),
        }
    }

    /// Returns the answer as a text for people.
    fn text(&self) -> String {
        let text = format!("{} {}", self.code, self.lines.join(" "));
        text.trim_end().chars().take(LONGEST_TEXT).collect()
    }

    /// Returns the first word of the answer, which is its status if there is one (RFC 3463).
    fn status(&self) -> &str {
        self.lines.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default()
    }

    /// Returns whether the address is wrong or its mailbox does not exist (RFC 3463, sections 3.2
    /// and 3.3).
    fn is_about_the_address(&self) -> bool {
        matches!(self.status(), "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1")
    }

    /// Returns whether the server refuses to send mails for us, as far as the answer shows: it
    /// neither refuses the address nor asks to try later.
    #[cfg(feature = "cli")]
    fn refuses_strangers(&self) -> bool {
        let is_put_off = matches!(self.code, 421 | 450..=452);
        let has_status = self.status().starts_with(['4', '5']) && self.status().contains('.');
        let names_us = has_status || self.text().to_ascii_lowercase().contains("relay");
        self.code >= 400 && !is_put_off && !self.is_about_the_address() && names_us
    }
}

/// Shows neither user nor password.
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
    fn only_the_status_itself_says_that_an_address_does_not_exist() {
        let is_hopeless = |text: &str| matches!(answer(text).accept(2), Err(Failure::Hopeless(_)));
        assert!(is_hopeless("550 5.1.1 no such mailbox"));
        assert!(!is_hopeless("450 5.1.1 no such mailbox"));
        assert!(!is_hopeless("554 5.7.1 [45.1.1.3] blocked"));
        assert!(!is_hopeless("550 no such mailbox 5.1.1"));
        assert!(!is_hopeless("550"));
    }

    #[test]
    fn a_shown_answer_is_short_and_has_no_control_characters() {
        let shown = answer(&format!("550 \x1b[2J\rmails wait {}", "x".repeat(1000))).text();
        assert_eq!(shown.chars().count(), LONGEST_TEXT);
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }

    #[test]
    fn the_password_is_not_shown_if_the_server_repeats_it() {
        for repeated in ["AUTH PLAIN AHNpdGUAczNjcmV0", "czNjcmV0", "s3cret"] {
            let shown = without_password(&format!("500 {repeated}?"), "site", "s3cret");
            assert!(!shown.contains(repeated.rsplit(' ').next().unwrap()), "{shown}");
        }
        assert_eq!(without_password("500 x", "site", ""), "500 x");
    }

    #[test]
    fn the_site_greets_with_a_name_that_strangers_can_look_up() {
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
    fn a_line_that_begins_with_a_point_does_not_end_the_mail() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b"), b"a\r\n..\r\n...b\r\n");
    }

    #[test]
    fn the_test_finds_only_refusals_that_concern_us() {
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
