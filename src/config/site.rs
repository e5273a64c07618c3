//! The tables `site` and `accounts`.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rocket::figment::value::magic::RelativePathBuf;
#[cfg(feature = "pages")]
use serde::Serialize;
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::{ConfigError, check_duration};

/// The longest name of a site, in characters. A longer one would not fit in a page's header.
const LONGEST_NAME: usize = 64;

/// What messages to visitors call the operator. [`SiteConfig::name_support()`] replaces it.
#[cfg(feature = "pages")]
const OPERATOR: &str = "the operator of this site";

/// The table `site`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SiteConfig {
    /// `name` (the host in `url`): what pages and mails call the site, 1 to 64 characters.
    pub name: Option<String>,
    /// `support` (none): an email address, or a web address such as `https://example.org/help`,
    /// where visitors get help. Pages and mails that tell them to ask the operator name it.
    pub support: Option<String>,
    /// `terms` (none): the page with the terms of use, which visitors agree to when they sign up:
    /// a path of this site such as `/terms`, or a web address.
    pub terms: Option<String>,
    /// `privacy` (none): the page with the privacy policy, written like `terms`.
    pub privacy: Option<String>,
    /// `icon` (ours): a file with an icon of the site's own, SVG or PNG, at most 256 KiB. It is read
    /// at the launch. A path in a file is relative to the folder of that file.
    #[serde(deserialize_with = "file")]
    pub icon: Option<PathBuf>,
    /// `trusted_origins` (none): origins that the cross-site check lets through, as in
    /// `https://app.example.org`.
    pub trusted_origins: Vec<String>,
    /// `trusted_proxies` (none): addresses or networks of proxies whose `X-Forwarded-For` is
    /// believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// `url` (in debug `http://localhost:` and the port): the address that links in mails begin
    /// with, as in `https://example.org`. The request's `Host` is never used, because anybody
    /// who asks for a mail could choose it (password reset poisoning).
    pub url: Option<String>,
    /// `drain` (0, at most a minute): how long the site continues after SIGTERM while `/readyz`
    /// already says no, so that a load balancer notices. Only the command `serve` uses it, of our
    /// program and of one that calls [`command::run()`](crate::command::run()). A supervisor that
    /// kills the process must wait longer: this time, plus `shutdown.grace`, plus some seconds.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub drain: Duration,
    /// `headers` (`ours`): which security headers the application's own routes get.
    pub headers: HeadersConfig,
    /// `hsts_subdomains` (true): whether browsers keep to https for the subdomains of the host too.
    pub hsts_subdomains: bool,
}

impl Default for SiteConfig {
    fn default() -> Self {
        SiteConfig {
            name: None,
            support: None,
            terms: None,
            privacy: None,
            icon: None,
            trusted_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            url: None,
            drain: Duration::ZERO,
            headers: HeadersConfig::Ours,
            hsts_subdomains: true,
        }
    }
}

/// Whose security headers the responses of the application's own routes get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HeadersConfig {
    /// All of ours.
    #[default]
    Ours,
    /// None of ours.
    Own,
}

impl SiteConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(ConfigError::new(
                "site.name",
                "is not a name; write 1 to 64 characters, with no blank at either end and no \
                 control character",
            ));
        }

        self.check_links()?;
        let wrong = self.trusted_origins.iter().find(|origin| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            rest.is_none_or(|host| host.is_empty() || host.contains(['/', '*', ' ', '@']))
        });

        if let Some(origin) = wrong {
            return Err(ConfigError::new(
                "site.trusted_origins",
                format!(
                    "holds {}; write scheme and host, as in \"https://example.org\"",
                    shown(origin)
                ),
            ));
        }

        if self.drain > Duration::from_secs(60) {
            return Err(ConfigError::new("site.drain", "is out of range; write at most \"1m\""));
        }

        match self.url.as_deref().filter(|url| !is_origin(url)) {
            None => Ok(()),
            Some(url) => Err(ConfigError::new(
                "site.url",
                format!("is {}; write scheme and host, as in \"https://example.org\"", shown(url)),
            )),
        }
    }

    fn check_links(&self) -> Result<(), ConfigError> {
        if let Some(support) = self.support.as_deref().filter(|text| !is_support(text)) {
            return Err(ConfigError::new(
                "site.support",
                format!(
                    "is {}; write an email address or a web address, as in \"help@example.org\" or \
                     \"https://example.org/help\"",
                    shown_link(support)
                ),
            ));
        }

        for (key, value) in [("site.terms", &self.terms), ("site.privacy", &self.privacy)] {
            if let Some(link) = value.as_deref().filter(|text| !is_page(text)) {
                return Err(ConfigError::new(
                    key,
                    format!(
                        "is {}; write a path of this site or a web address, as in \"/{name}\" or \
                         \"https://example.org/{name}\"",
                        shown_link(link),
                        name = key.trim_start_matches("site."),
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Returns the message `text` to a visitor. Where it says "the operator of this site", the
    /// message names the support address, if there is one.
    #[cfg(feature = "pages")]
    pub(crate) fn name_support(&self, text: &str) -> String {
        match &self.support {
            Some(support) => text.replace(OPERATOR, &format!("support at {support}")),
            None => text.to_owned(),
        }
    }

    /// Returns the link to `support`.
    #[cfg(feature = "pages")]
    pub(crate) fn support_link(&self) -> Option<SupportLink> {
        let text = self.support.clone()?;
        let scheme = if text.contains("://") { "" } else { "mailto:" };
        Some(SupportLink { href: format!("{scheme}{text}"), text })
    }
}

/// The link to `site.support`, for templates.
#[cfg(feature = "pages")]
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SupportLink {
    pub href: String,
    pub text: String,
}

/// Returns whether `text` is an email address or a web address.
fn is_support(text: &str) -> bool {
    // Other characters before the @ would have to be encoded in a link.
    let is_plain = |c: char| c.is_alphanumeric() || "._+-".contains(c);
    let is_mail_address = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && name.chars().all(is_plain) && Host::parse(domain).is_ok()
    });
    is_mail_address || is_web_address(text)
}

/// Returns whether `text` is a path of this site or a web address.
fn is_page(text: &str) -> bool {
    // Browsers take a backslash for a slash, and two slashes for the start of another site.
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    is_path && !has_blank(text) || is_web_address(text)
}

fn is_web_address(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    // The `url` crate ignores some blanks, and browsers show a user and a password to everybody.
    let is_plain = |url: Url| url.username().is_empty() && url.password().is_none();
    is_web && !has_blank(text) && Url::parse(text).is_ok_and(is_plain)
}

fn has_blank(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Returns the value of a link for a message, without a password that stands in it.
fn shown_link(text: &str) -> String {
    if text.contains("://") { shown(text) } else { format!("{text:?}") }
}

/// Returns whether `text` can stand in a title and in a subject.
fn is_name(text: &str) -> bool {
    // A line end would start another header of a mail (header injection).
    let is_plain = text.trim() == text && !text.contains(char::is_control);
    is_plain && (1..=LONGEST_NAME).contains(&text.chars().count())
}

/// Returns an address for a message. One with an @ may hold a password, and is not quoted.
fn shown(url: &str) -> String {
    match url.contains('@') {
        true => "an address with a user".into(),
        false => format!("\"{url}\""),
    }
}

/// Returns whether `text` is a scheme, a host and perhaps a port, and nothing else.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

/// The table `accounts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AccountsConfig {
    /// `registration` (`open`): who may sign up, and when they are logged in.
    pub registration: Registration,
    /// `reset_lifetime` (1 hour): how long a mailed link to a new password works.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub reset_lifetime: Duration,
    /// `verify_lifetime` (24 hours): how long a mailed link that confirms an address works.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub verify_lifetime: Duration,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        AccountsConfig {
            registration: Registration::Open,
            reset_lifetime: Duration::from_secs(60 * 60),
            verify_lifetime: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl AccountsConfig {
    /// Returns whether anybody may sign up.
    pub fn is_open(&self) -> bool {
        self.registration != Registration::Closed
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
        check_duration("accounts.reset_lifetime", self.reset_lifetime, LONGEST)?;
        check_duration("accounts.verify_lifetime", self.verify_lifetime, LONGEST)
    }
}

/// The rule for new accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Registration {
    /// Anybody may sign up, and is logged in at once.
    #[default]
    Open,
    /// Anybody may sign up, but must follow a mailed link before they are logged in.
    Confirm,
    /// Nobody may sign up.
    Closed,
}

/// Reads addresses (`10.0.0.1`) and networks (`10.0.0.0/8`).
pub(super) fn networks<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(de)?
        .into_iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse().map(|host: std::net::IpAddr| IpNet::from(host)))
                .map_err(|_| {
                    serde::de::Error::custom(format!(
                        "\"{text}\" is not an address or a network; write one, as in \"10.0.0.0/8\""
                    ))
                })
        })
        .collect()
}

/// Reads the path of a file. In a configuration file it is relative to the folder of that file.
fn file<'de, D: Deserializer<'de>>(de: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<RelativePathBuf>::deserialize(de)?;
    Ok(path.map(|path| path.relative()))
}
