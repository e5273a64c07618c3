//! The table `mail`: the server that mails go through.

use std::fmt;

use lettre::Address;
use lettre::message::Mailbox;
use serde::Deserialize;
use url::{Host, Url};

use super::{ConfigError, percent};

/// The table `mail`. The URL may hold a password, so it does not print itself.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// `url` (none): `smtp://user:password@host:port`, with STARTTLS (where it is offered,
    /// if the host is this machine), or `smtps://…`. `?tls=none` does without.
    pub url: Option<String>,
    /// `from` (none; required with `url`): the sender, as in
    /// `Example <no-reply@example.org>`. A domain outside ASCII goes out as `xn--…`.
    pub from: Option<String>,
}

/// A mail server, and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct MailServer {
    /// A name or an address.
    pub host: String,
    /// 587 for `smtp`, 465 for `smtps`, unless given.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// How a connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Not at all.
    None,
    /// By STARTTLS where the server offers it, whatever certificate it shows: against
    /// those who listen, not against those who can take the offer away.
    Opportunistic,
    /// By STARTTLS, or nothing is sent.
    StartTls,
    /// From the first byte.
    Implicit,
}

impl MailConfig {
    /// The server that `url` names, if there is one.
    ///
    /// # Errors
    ///
    /// When it names none, or one that would get a password in clear.
    pub fn server(&self) -> Result<Option<MailServer>, ConfigError> {
        self.url.as_deref().map(server).transpose()
    }

    /// The sender.
    ///
    /// # Errors
    ///
    /// When `from` is missing or no address.
    pub fn sender(&self) -> Result<Mailbox, ConfigError> {
        const KEY: &str = "mail.from";
        let Some(from) = &self.from else {
            return Err(ConfigError::new(
                KEY,
                "is missing; write the sender, as in \"Example <no-reply@example.org>\"",
            ));
        };

        let mailbox: Mailbox = from.parse().map_err(|_| {
            // Somebody may have written the URL here, with its password.
            let shown =
                if from.contains("://") { "no address".into() } else { format!("{from:?}") };
            ConfigError::new(
                KEY,
                format!("is {shown}; write an address, as in \"Example <no-reply@example.org>\""),
            )
        })?;
        match ascii_address(&mailbox.email) {
            Some(email) => Ok(Mailbox::new(mailbox.name, email)),
            None => Err(ConfigError::new(
                KEY,
                format!(
                    "is \"{from}\", which few mail servers take for its letters before the @; \
                     write an address with letters of ASCII there"
                ),
            )),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.server()?.is_some() || self.from.is_some() {
            self.sender()?;
        }
        Ok(())
    }
}

fn server(text: &str) -> Result<MailServer, ConfigError> {
    // The URL may hold a password, so it is never repeated.
    let refuse = |problem: &str| {
        Err(ConfigError::new(
            "mail.url",
            format!("{problem}; write \"smtps://user:password@mail.example.org\""),
        ))
    };

    if let Some(problem) = percent::problem(text) {
        return Err(ConfigError::new("mail.url", problem));
    }
    let Ok(url) = Url::parse(text) else { return refuse("is no URL") };
    // The `url` crate leaves the host of a scheme that it does not know as it is, but for
    // letters outside ASCII, which it writes as in a path.
    let Some(host) = url.host_str().and_then(|host| Host::parse(host).ok()) else {
        return refuse("names no host");
    };
    let is_local = match &host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };

    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let (port, tls) = match (url.scheme(), parameters.as_slice()) {
        ("smtps", []) => (465, MailTls::Implicit),
        ("smtp", []) if is_local => (587, MailTls::Opportunistic),
        ("smtp", []) => (587, MailTls::StartTls),
        ("smtp", [(name, value)]) if name == "tls" => match value.as_str() {
            "none" => (587, MailTls::None),
            "opportunistic" => (587, MailTls::Opportunistic),
            "required" => (587, MailTls::StartTls),
            _ => return refuse("has an unknown value of tls: none, opportunistic or required"),
        },
        ("smtp" | "smtps", _) => return refuse("takes no parameter but \"?tls=\""),
        _ => return refuse("has an unknown scheme"),
    };

    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return refuse("has a path");
    }

    let decode = |text: &str| {
        let text = rocket::http::RawStr::new(text);
        text.percent_decode().map(|decoded| decoded.into_owned())
    };
    let credentials = match (decode(url.username()), url.password().map(decode).transpose()) {
        (Ok(user), Ok(None)) if user.is_empty() => None,
        (Ok(user), Ok(Some(password))) => Some((user, password)),
        (Ok(_), Ok(None)) => return refuse("has a user without a password"),
        _ => {
            let problem = format!("has a % that stands for no letter: write {}", percent::ENCODED);
            return Err(ConfigError::new("mail.url", problem));
        }
    };

    let is_open = matches!(tls, MailTls::None | MailTls::Opportunistic);
    if credentials.is_some() && is_open && !is_local {
        return refuse("would send the password in clear");
    }

    let host = host.to_string().trim_matches(['[', ']']).to_owned();
    Ok(MailServer { host, port: url.port().unwrap_or(port), tls, credentials })
}

/// The address as each mail server takes it: the domain in its `xn--` form. `None`: it has
/// letters outside ASCII before the @, which only servers with SMTPUTF8 take.
pub(crate) fn ascii_address(address: &Address) -> Option<Address> {
    if !address.user().is_ascii() {
        return None;
    }
    Address::new(address.user(), ascii_domain(address.domain())?).ok()
}

/// The domain in its `xn--` form. `None`: it is none.
pub(crate) fn ascii_domain(domain: &str) -> Option<String> {
    match domain.is_ascii() {
        true => Some(domain.to_owned()),
        false => Host::parse(domain).ok().map(|host| host.to_string()),
    }
}

impl fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailConfig").field("from", &self.from).finish_non_exhaustive()
    }
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailServer").field("host", &self.host).finish_non_exhaustive()
    }
}
