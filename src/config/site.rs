//! The tables `site` and `accounts`.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, check_duration};

/// The table `site`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteConfig {
    /// `trusted_origins` (none): origins that the cross-site check lets through, as in
    /// `https://app.example.org`.
    pub trusted_origins: Vec<String>,
    /// `trusted_proxies` (none): addresses or networks of proxies whose `X-Forwarded-For` is
    /// believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// `url` (in debug `http://127.0.0.1:` and the port): the address that links in mails begin
    /// with, as in `https://example.org`. The request's `Host` is never used, because anybody
    /// who asks for a mail could choose it (password reset poisoning).
    pub url: Option<String>,
    /// `drain` (0, at most a minute): how long the site continues after SIGTERM while `/readyz`
    /// already says no, so that a load balancer notices. Only `rocket-login serve` uses it. A
    /// supervisor that kills the process must wait longer: this time, plus `shutdown.grace`, plus
    /// some seconds.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub drain: Duration,
}

impl SiteConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
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
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

/// The table `accounts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
                    serde::de::Error::custom(format!("\"{text}\" is not an address or a network"))
                })
        })
        .collect()
}
