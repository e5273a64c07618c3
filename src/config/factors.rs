//! The table `factors`: second factors.

use std::time::Duration;

use serde::Deserialize;
use url::{Host, Url};

use super::{Config, ConfigError, check_duration};

/// The longest time for which a device may skip the second factor.
const LONGEST_TRUST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The table `factors`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FactorsConfig {
    /// `app` (`true`): users can add an app that shows codes. Without it, one that exists goes on
    /// working, and can be removed.
    pub app: bool,
    /// `passkeys` (`true`): users can add passkeys. Without it, those that exist go on working, and can
    /// be removed.
    pub passkeys: bool,
    /// `required` (`false`): an account without a second factor reaches only the pages on which it
    /// gets one.
    pub required: bool,
    /// `trusted_for` (0, never): how long a device may skip the second factor, if its user has asked
    /// for it. At most 30 days.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub trusted_for: Duration,
    /// `rp_id` (the host of `site.url`): the domain that passkeys belong to. It is that host, or a
    /// domain above it. All passkeys are lost if it changes.
    pub rp_id: Option<String>,
    /// `related_origins` (none): other sites that use the passkeys of this one, as in
    /// `https://example.com`.
    pub related_origins: Vec<String>,
}

impl Default for FactorsConfig {
    fn default() -> Self {
        FactorsConfig {
            app: true,
            passkeys: true,
            required: false,
            trusted_for: Duration::ZERO,
            rp_id: None,
            related_origins: Vec::new(),
        }
    }
}

/// The site as passkeys know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasskeySite {
    /// The domain that passkeys belong to.
    pub rp_id: String,
    /// The origins that may use them, this site's first.
    pub origins: Vec<String>,
}

/// Why a site has no passkeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasskeysOff {
    /// The program was built without them.
    NotBuilt,
    /// Nobody has said where the site is.
    NoUrl,
    /// Browsers have passkeys for names only.
    IpAddress,
}

impl FactorsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.required && !self.app && !self.passkeys {
            return Err(ConfigError::new(
                "factors.required",
                "is true, but factors.app and factors.passkeys are false, so nobody could get a \
                 second factor; write true for one of them",
            ));
        }
        match self.trusted_for.is_zero() {
            true => Ok(()),
            false => check_duration("factors.trusted_for", self.trusted_for, LONGEST_TRUST),
        }
    }

    /// Returns a warning if nobody can meet `required`: a factor needs a confirmed address.
    pub(super) fn warning(&self, has_mail: bool) -> Option<String> {
        (self.required && !has_mail).then(|| {
            "factors.required is true, but mail.url is not set: an account whose address is not \
             confirmed can never get a second factor; set mail.url"
                .to_owned()
        })
    }
}

impl Config {
    /// Returns whether users can add passkeys, and log in with one alone.
    #[cfg(feature = "pages")]
    pub(crate) fn offers_passkeys(&self) -> bool {
        self.factors.passkeys && self.passkey_site().is_ok()
    }

    /// Returns the site as passkeys know it, or why it has none.
    pub(crate) fn passkey_site(&self) -> Result<PasskeySite, PasskeysOff> {
        if !cfg!(feature = "passkeys") {
            return Err(PasskeysOff::NotBuilt);
        }
        let url = self.site.url.as_deref().and_then(|url| Url::parse(url).ok());
        let url = url.ok_or(PasskeysOff::NoUrl)?;
        let Some(Host::Domain(host)) = url.host() else { return Err(PasskeysOff::IpAddress) };
        let rp_id = self.factors.rp_id.clone().unwrap_or_else(|| host.to_owned());
        let related = self.factors.related_origins.iter().cloned();
        let origins = [url.origin().ascii_serialization()].into_iter().chain(related).collect();
        Ok(PasskeySite { rp_id, origins })
    }

    /// Checks the keys about passkeys against the address of the site.
    pub(super) fn check_passkeys(&self) -> Result<(), ConfigError> {
        if let Some(rp_id) = &self.factors.rp_id {
            let host = self.site_host();
            let is_above =
                host.strip_suffix(rp_id.as_str()).is_some_and(|rest| rest.ends_with('.'));
            let is_name = matches!(Host::parse(rp_id), Ok(Host::Domain(name)) if name == *rp_id);
            if !is_name || (host != rp_id && !is_above) {
                let host = if host.is_empty() { "the host in site.url" } else { host };
                return Err(ConfigError::new(
                    "factors.rp_id",
                    format!("is not the site's domain; write {host}, or a domain above it"),
                ));
            }
        }
        if self.factors.required && !self.factors.app && self.passkey_site().is_err() {
            return Err(ConfigError::new(
                "factors.required",
                "is true, but factors.app is false, and passkeys need a name in site.url, so nobody \
                 could get a second factor; write true for factors.app",
            ));
        }
        let is_origin = |text: &String| {
            let url = Url::parse(text).ok();
            url.is_some_and(|url| {
                let is_safe = url.scheme() == "https" || self.debug && url.scheme() == "http";
                is_safe && url.origin().ascii_serialization() == *text
            })
        };
        match self.factors.related_origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(()),
            Some(other) => Err(ConfigError::new(
                "factors.related_origins",
                format!(
                    "has {other:?}, which is no origin; write it as in \"https://example.com\""
                ),
            )),
        }
    }
}
