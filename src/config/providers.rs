//! The table `providers`: others that users can log in with.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::Deserializer;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{Config, ConfigError};

/// The longest name, in characters. It stands in paths and in events.
const LONGEST_NAME: usize = 32;

/// The longest label, in characters. It stands on a button.
const LONGEST_LABEL: usize = 64;

/// Names that write themselves in another way than with a capital.
const LABELS: [(&str, &str); 2] = [("github", "GitHub"), ("gitlab", "GitLab")];

/// The end of the address of a provider's metadata, which people copy in place of the issuer.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The table `providers.NAME`: one provider that users can log in with.
///
/// Its `Debug` output does not show the secret.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// `kind` (`oidc`): what the provider speaks, OpenID Connect or what GitHub has in its place.
    pub kind: ProviderKind,
    /// `issuer` (required, except for GitHub): the provider's address, exactly as its metadata say it.
    pub issuer: Option<String>,
    /// `client_id` (required): the name of this site at the provider.
    pub client_id: String,
    /// `client_secret` (required for GitHub): the password of this site at the provider. Without it
    /// the site is a public client.
    pub client_secret: Option<ClientSecret>,
    /// `label` (the name, with a capital): the provider's name on the pages.
    pub label: Option<String>,
    /// `scopes` (`openid` and `email`; for GitHub `user:email`): what the provider is asked for.
    pub scopes: Option<Vec<String>>,
    /// `strong` (`false`): a log-in with this provider counts as two factors.
    pub strong: bool,
    /// `url` (`https://github.com`, for GitHub only): the address of GitHub.
    pub url: Option<String>,
    /// `api` (`https://api.github.com`, for GitHub only): the address of GitHub's API.
    pub api: Option<String>,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProviderKind {
    /// OpenID Connect.
    #[default]
    Oidc,
    /// GitHub's OAuth 2, which has no id tokens.
    GitHub,
}

/// The password of this site at a provider. Its `Debug` output does not show it.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Returns the secret itself, to send it to the provider.
    #[cfg_attr(not(feature = "providers"), expect(dead_code, reason = "nobody is asked"))]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ClientSecret {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Ok(ClientSecret(Zeroizing::new(String::deserialize(de)?)))
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

/// One key of one provider, as a mistake names it.
struct Keys<'n>(&'n str);

impl Keys<'_> {
    fn refuse(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(format!("providers.{}.{key}", self.0), problem)
    }
}

impl ProviderConfig {
    /// Returns the address that stands for the provider: its issuer, or the address of GitHub without
    /// a slash at its end. It is empty if `issuer` is missing.
    pub fn issuer(&self) -> &str {
        match self.kind {
            ProviderKind::Oidc => self.issuer.as_deref().unwrap_or_default(),
            ProviderKind::GitHub => {
                self.url.as_deref().unwrap_or("https://github.com").trim_end_matches('/')
            }
        }
    }

    /// Returns the address of GitHub's API, without a slash at its end.
    pub fn api(&self) -> &str {
        self.api.as_deref().unwrap_or("https://api.github.com").trim_end_matches('/')
    }

    /// Returns the provider's name on the pages. `name` is its name in the configuration.
    pub fn label(&self, name: &str) -> String {
        if let Some(label) = &self.label {
            return label.trim().to_owned();
        }
        if let Some((_, label)) = LABELS.iter().find(|(known, _)| *known == name) {
            return (*label).to_owned();
        }
        let mut letters = name.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }

    /// Returns what the provider is asked for.
    pub fn scopes(&self) -> Vec<&str> {
        match (&self.scopes, self.kind) {
            (Some(scopes), _) => scopes.iter().map(String::as_str).collect(),
            (None, ProviderKind::Oidc) => vec!["openid", "email"],
            (None, ProviderKind::GitHub) => vec!["user:email"],
        }
    }

    fn check(&self, name: &str, debug: bool) -> Result<(), ConfigError> {
        let keys = Keys(name);
        match self.kind {
            ProviderKind::Oidc => self.check_oidc(&keys, debug)?,
            ProviderKind::GitHub => self.check_github(&keys, debug)?,
        }
        if self.client_id.is_empty() {
            let problem = "is missing; write the name that the provider has given this site";
            return Err(keys.refuse("client_id", problem));
        }
        if !is_printable(&self.client_id) {
            let problem = "has other characters than ASCII letters, digits and signs; copy it anew";
            return Err(keys.refuse("client_id", problem));
        }
        let secret = self.client_secret.as_ref().map(|secret| secret.0.as_str());
        if secret.is_some_and(|secret| secret.is_empty() || !is_printable(secret)) {
            let problem = "is empty, or has other characters than ASCII letters, digits and signs; \
                           copy it anew";
            return Err(keys.refuse("client_secret", problem));
        }
        self.check_shown(&keys)
    }

    fn check_oidc(&self, keys: &Keys, debug: bool) -> Result<(), ConfigError> {
        for (key, value) in [("url", &self.url), ("api", &self.api)] {
            if value.is_some() {
                let problem = "is for kind = \"github\" only; write issuer, or remove it";
                return Err(keys.refuse(key, problem));
            }
        }
        let Some(issuer) = &self.issuer else {
            let problem = "is missing; write the provider's address, as in \
                           \"https://accounts.google.com\"";
            return Err(keys.refuse("issuer", problem));
        };
        if issuer.ends_with(WELL_KNOWN) {
            let problem = format!("is the address of the metadata; write it without {WELL_KNOWN}");
            return Err(keys.refuse("issuer", problem));
        }
        check_address(issuer, debug).map_err(|problem| {
            keys.refuse("issuer", format!("{problem}, as in \"https://accounts.google.com\""))
        })?;
        if !self.scopes().contains(&"openid") {
            let problem = "lacks \"openid\", without which a provider says nobody's name; write \
                           [\"openid\", \"email\"]";
            return Err(keys.refuse("scopes", problem));
        }
        Ok(())
    }

    fn check_github(&self, keys: &Keys, debug: bool) -> Result<(), ConfigError> {
        if self.issuer.is_some() {
            let problem = "is not for kind = \"github\"; write url, or remove it";
            return Err(keys.refuse("issuer", problem));
        }
        for (key, value) in [("url", self.issuer()), ("api", self.api())] {
            check_address(value, debug).map_err(|problem| {
                keys.refuse(key, format!("{problem}, as in \"https://github.example.org\""))
            })?;
        }
        if self.client_secret.is_none() {
            let problem = "is missing; write the secret that GitHub has given this site";
            return Err(keys.refuse("client_secret", problem));
        }
        Ok(())
    }

    fn check_shown(&self, keys: &Keys) -> Result<(), ConfigError> {
        if let Some(label) = self.label.as_deref().map(str::trim)
            && (label.is_empty()
                || label.chars().count() > LONGEST_LABEL
                || label.chars().any(char::is_control))
        {
            let problem = format!("is not a name for a button; write 1 to {LONGEST_LABEL} letters");
            return Err(keys.refuse("label", problem));
        }
        let is_scope = |scope: &&str| {
            !scope.is_empty()
                && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        match self.scopes().iter().all(is_scope) {
            true => Ok(()),
            false => Err(keys.refuse(
                "scopes",
                "has an entry that is not a scope; write one word in each, as in \"email\"",
            )),
        }
    }
}

/// Returns an error unless `text` is an address that a provider can have: https, with a host, and
/// nothing behind the path. The error has no text that the operator wrote, because an address with a
/// user may hold a password.
fn check_address(text: &str, debug: bool) -> Result<(), &'static str> {
    if !is_printable(text) || text.contains(['\\', ' ']) {
        return Err("is not a web address; write one");
    }
    let Ok(url) = Url::parse(text) else { return Err("is not a web address; write one") };
    let is_local = debug && url.scheme() == "http" && is_loopback(&url);
    if url.host().is_none() || (url.scheme() != "https" && !is_local) {
        return Err(
            "is not https, without which anybody on the way could log in as anybody; write \
                    an address",
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user before the host; write the address without");
    }
    match url.query().is_some() || url.fragment().is_some() {
        true => Err("has a ? or a #; write the address without"),
        false => Ok(()),
    }
}

/// Returns whether the host of `url` is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_part)
        // It would be a path of the callback.
        && name != "callback"
}

impl Config {
    /// Checks the table `providers`.
    pub(super) fn check_providers(&self) -> Result<(), ConfigError> {
        self.check_providers_of(cfg!(feature = "providers"))
    }

    fn check_providers_of(&self, has_providers: bool) -> Result<(), ConfigError> {
        if self.providers.is_empty() {
            return Ok(());
        }
        if !has_providers {
            return Err(ConfigError::new(
                "providers",
                "names providers, and this program was built without them; add the feature \
                 \"providers\" of rocket-login, or remove the table",
            ));
        }
        let mut clients = BTreeSet::new();
        for (name, provider) in &self.providers {
            if !is_name(name) {
                return Err(ConfigError::new(
                    format!("providers.{name}"),
                    "is not a name for a provider; write up to 32 small letters, digits and hyphens, \
                     a letter first, and not \"callback\"",
                ));
            }
            provider.check(name, self.debug)?;
            if !clients.insert((provider.issuer(), &provider.client_id)) {
                return Err(ConfigError::new(
                    format!("providers.{name}"),
                    "has the address and the client_id of another provider; remove one of the two",
                ));
            }
        }
        match self.site.url {
            Some(_) => Ok(()),
            None => Err(ConfigError::new(
                "site.url",
                "is missing; write the address that providers send the browser back to, as in \
                 \"https://example.org\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    #[test]
    fn a_program_without_providers_refuses_their_table() {
        let figment = rocket::figment::Figment::from(rocket::Config::debug_default());
        let url = if cfg!(feature = "sqlite") { "sqlite:a.db" } else { "postgres://localhost/a" };
        let figment = figment.merge(defaults()).merge(("databases.login.url", url));
        let figment = figment.select(rocket::Config::DEBUG_PROFILE);
        let mut config = Config::from_figment(&figment).unwrap();
        assert!(config.check_providers_of(false).is_ok());
        config.providers.insert("acme".into(), ProviderConfig::default());
        let error = config.check_providers_of(false).unwrap_err().to_string();
        assert!(error.starts_with("providers: names providers, and this program"), "{error}");
        assert!(error.contains("feature \"providers\""), "{error}");
    }

    #[test]
    fn a_label_is_the_name_with_a_capital() {
        let config = ProviderConfig::default();
        for (name, label) in [("acme", "Acme"), ("github", "GitHub"), ("my-corp", "My-corp")] {
            assert_eq!(config.label(name), label);
        }
        let config = ProviderConfig { label: Some(" Our Keycloak ".into()), ..config };
        assert_eq!(config.label("acme"), "Our Keycloak");
    }
}
