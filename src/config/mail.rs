//! The table `mail`: the server that sends the mails, and the sender's address.

use std::fmt;

#[cfg(feature = "mail")]
use lettre::{Address, message::Mailbox};
use serde::Deserialize;
use url::{Host, Url};

use super::{ConfigError, percent};

/// The table `mail`. Its `Debug` output leaves out the URL, which may hold a password.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MailConfig {
    /// `url` (none): the mail server. `smtp://user:password@host:port` uses STARTTLS, and
    /// `smtps://…` uses TLS from the first byte. If the host is this machine, `smtp://` uses
    /// STARTTLS only if the server offers it. `?tls=none` turns it off.
    pub url: Option<String>,
    /// `from` (none; required with `url`): the sender, as in `Example <no-reply@example.org>`. A
    /// domain with letters outside ASCII is sent in its `xn--…` form.
    pub from: Option<String>,
}

/// A mail server and the way to connect to it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailServer {
    /// The name or the IP address of the server.
    pub host: String,
    /// The port: 587 for `smtp` and 465 for `smtps`, unless the URL has one.
    pub port: u16,
    /// The encryption of the connection.
    pub tls: MailTls,
    /// User and password. `None` means that no log-in is needed.
    pub credentials: Option<(String, String)>,
}

/// The encryption of a connection to the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailTls {
    /// No encryption.
    None,
    /// STARTTLS if the server offers it, with any certificate. It protects against those who only
    /// listen, not against those who can remove the offer.
    Opportunistic,
    /// STARTTLS with a checked certificate. Without it nothing is sent.
    StartTls,
    /// TLS from the first byte, with a checked certificate.
    Implicit,
}

impl MailConfig {
    /// Returns the server that `url` names. `None` means that there is no `url`.
    ///
    /// # Errors
    ///
    /// Returns an error if `url` names no server, or one that would get a password in clear.
    pub fn server(&self) -> Result<Option<MailServer>, ConfigError> {
        self.url.as_deref().map(server).transpose()
    }

    /// Returns the sender.
    ///
    /// # Errors
    ///
    /// Returns an error if `from` is missing or is not an address.
    #[cfg(feature = "mail")]
    pub fn sender(&self) -> Result<Mailbox, ConfigError> {
        const KEY: &str = "mail.from";
        let Some(from) = &self.from else {
            return Err(ConfigError::new(
                KEY,
                "is missing; write the sender, as in \"Example <no-reply@example.org>\"",
            ));
        };

        let mailbox: Mailbox = from.parse().map_err(|_| {
            // The operator may have written the URL here, with its password.
            let shown =
                if from.contains("://") { "not an address".into() } else { format!("{from:?}") };
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
                    "is \"{from}\", which few mail servers accept because of the letters before the \
                     @; use only ASCII letters there"
                ),
            )),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_feature(cfg!(feature = "mail"))?;
        #[cfg(feature = "mail")]
        if self.server()?.is_some() || self.from.is_some() {
            self.sender()?;
        }
        Ok(())
    }

    /// Refuses a mail server if the program cannot send mails.
    fn check_feature(&self, has_mail: bool) -> Result<(), ConfigError> {
        match self.url.is_some() && !has_mail {
            true => Err(ConfigError::new(
                "mail.url",
                "names a mail server, and this program was built without mail; add the feature \
                 \"mail\" of rocket-login, or remove the key",
            )),
            false => Ok(()),
        }
    }
}

fn server(text: &str) -> Result<MailServer, ConfigError> {
    // The URL may hold a password, so no message repeats it.
    let refuse = |problem: &str| {
        Err(ConfigError::new(
            "mail.url",
            format!("{problem}; write \"smtps://user:password@mail.example.org\""),
        ))
    };

    if let Some(problem) = percent::problem(text) {
        return Err(ConfigError::new("mail.url", problem));
    }
    let Ok(url) = Url::parse(text) else { return refuse("is not a URL") };
    // The `url` crate does not parse the host of a scheme that it does not know. It only encodes
    // letters outside ASCII, as it does in a path.
    let Some(host) = url.host_str().and_then(|host| Host::parse(host).ok()) else {
        return refuse("names no host");
    };
    let is_local = match &host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };

    let (port, tls) = match port_and_tls(&url, is_local) {
        Ok(found) => found,
        Err(problem) => return refuse(problem),
    };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return refuse("has a path");
    }

    let credentials = match credentials(&url) {
        Some((user, None)) if user.is_empty() => None,
        Some((user, Some(password))) => Some((user, password)),
        Some((_, None)) => return refuse("has a user without a password"),
        None => {
            let problem = format!("has a % that encodes no character: write {}", percent::ENCODED);
            return Err(ConfigError::new("mail.url", problem));
        }
    };

    let is_open = matches!(tls, MailTls::None | MailTls::Opportunistic);
    if credentials.is_some() && is_open && !is_local {
        return refuse("would send the password unencrypted");
    }

    let host = host.to_string().trim_matches(['[', ']']).to_owned();
    Ok(MailServer { host, port: url.port().unwrap_or(port), tls, credentials })
}

/// Returns the usual port of the server and its encryption, as the scheme and `?tls=` say.
///
/// # Errors
///
/// Returns the problem if one of them is unknown.
fn port_and_tls(url: &Url, is_local: bool) -> Result<(u16, MailTls), &'static str> {
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    match (url.scheme(), parameters.as_slice()) {
        ("smtps", []) => Ok((465, MailTls::Implicit)),
        ("smtp", []) if is_local => Ok((587, MailTls::Opportunistic)),
        ("smtp", []) => Ok((587, MailTls::StartTls)),
        ("smtp", [(name, value)]) if name == "tls" => match value.as_str() {
            "none" => Ok((587, MailTls::None)),
            "opportunistic" => Ok((587, MailTls::Opportunistic)),
            "required" => Ok((587, MailTls::StartTls)),
            _ => Err("has an unknown value of tls, which takes none, opportunistic or required"),
        },
        ("smtp" | "smtps", _) => Err("takes only the parameter \"?tls=\""),
        _ => Err("has an unknown scheme"),
    }
}

/// Returns the user and the password in the URL, decoded. `None` means that one of them cannot be
/// decoded.
fn credentials(url: &Url) -> Option<(String, Option<String>)> {
    let decode = |text: &str| {
        let text = rocket::http::RawStr::new(text);
        text.percent_decode().map(|decoded| decoded.into_owned())
    };
    let user = decode(url.username()).ok()?;
    Some((user, url.password().map(decode).transpose().ok()?))
}

/// Returns the address as every mail server accepts it, with the domain in its `xn--` form. `None`
/// means that the part before the @ has letters outside ASCII, which only servers with SMTPUTF8
/// accept.
#[cfg(feature = "mail")]
pub(crate) fn ascii_address(address: &Address) -> Option<Address> {
    if !address.user().is_ascii() {
        return None;
    }
    Address::new(address.user(), ascii_domain(address.domain())?).ok()
}

/// Returns the domain in its `xn--` form. `None` means that it is not a domain.
#[cfg(feature = "pages")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_mail_refuses_a_server_and_names_the_feature() {
        let url = Some("smtps://ada:secret@mail.example.org".to_owned());
        let mail = MailConfig { url, from: None };
        let refused = mail.check_feature(false).unwrap_err().to_string();
        assert!(refused.starts_with("mail.url: "), "{refused}");
        assert!(refused.contains("the feature \"mail\" of rocket-login"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
        assert!(mail.check_feature(true).is_ok());
        assert!(MailConfig::default().check_feature(false).is_ok());
    }
}
