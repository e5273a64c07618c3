//! The tables `site`, `accounts`, `throttle` and `mail`.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::ConfigError;
use super::session::optional_duration;

/// The table `site`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteConfig {
    /// `trusted_origins` (none): origins exempt from the cross-site check, as
    /// in `https://app.example.org`.
    pub trusted_origins: Vec<String>,
    /// `trusted_proxies` (none): addresses or networks whose
    /// `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// `url`: what links in mails are built from.
    pub url: Option<String>,
}

impl SiteConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = self.trusted_origins.iter().find(|origin| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            rest.is_none_or(|host| host.is_empty() || host.contains(['/', '*', ' ', '@']))
        });

        match wrong {
            None => Ok(()),
            Some(origin) => Err(ConfigError::new(
                "site.trusted_origins",
                format!("holds \"{origin}\"; write scheme and host, as in \"https://example.org\""),
            )),
        }
    }
}

/// The table `accounts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// `registration` (`open`): who may sign up.
    pub registration: Registration,
    /// `reset_lifetime` (1 hour): of a mailed link.
    #[serde(deserialize_with = "optional_duration")]
    pub reset_lifetime: Option<Duration>,
    /// `verify_lifetime` (24 hours): of a mailed link.
    #[serde(deserialize_with = "optional_duration")]
    pub verify_lifetime: Option<Duration>,
}

impl AccountsConfig {
    /// Whether anybody may sign up.
    pub fn is_open(&self) -> bool {
        self.registration != Registration::Closed
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.registration {
            // A confirmation that never arrives would lock everybody out.
            Registration::Confirm => Err(ConfigError::new(
                "accounts.registration",
                "is \"confirm\", which needs mail, and this version sends none; write \"open\" \
                 or \"closed\"",
            )),
            Registration::Open | Registration::Closed => Ok(()),
        }
    }
}

/// Who may sign up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody, and is logged in at once.
    #[default]
    Open,
    /// Anybody, but is logged in only after a mailed link.
    Confirm,
    /// Nobody.
    Closed,
}

/// The table `throttle`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleConfig {
    /// `enabled`: whether attempts are slowed down.
    pub enabled: Option<bool>,
}

/// The table `mail`. The URL may hold a password, so it does not print itself.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// `url`: the mail server.
    pub url: Option<String>,
    /// `from`: the sender's address.
    pub from: Option<String>,
}

impl fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailConfig").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Addresses (`10.0.0.1`) and networks (`10.0.0.0/8`) alike.
pub(super) fn networks<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(de)?
        .into_iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse().map(|host: std::net::IpAddr| IpNet::from(host)))
                .map_err(|_| {
                    serde::de::Error::custom(format!("\"{text}\" is no address or network"))
                })
        })
        .collect()
}
