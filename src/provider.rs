//! Providers that users log in with: OpenID Connect, and GitHub.
//!
//! This is the part of a relying party in [OpenID Connect Core 1.0][core]: it leads the browser to a
//! provider, exchanges the code that comes back, and verifies who that is. It knows neither the
//! database nor accounts, and gets the time from its caller, who does four things besides:
//!
//!   * It draws `state`, `nonce` and `verifier` for each flow, keeps them in the browser that began
//!     it, and accepts them once. Otherwise an attacker could end a flow in a stranger's browser.
//!   * It compares `state` before it calls [`Provider::brought()`].
//!   * It knows users by issuer and subject, never by address.
//!   * It remembers the `jti` of a logout token for as long as the token is good.
//!
//! [core]: https://openid.net/specs/openid-connect-core-1_0.html

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use crate::clock::Timestamp;
use crate::config::{Config, ProviderConfig, ProviderKind};
use github::GitHub;
use http::{Budget, Http, PATIENCE};
use oauth::Client;
use oidc::{Oidc, Source};

mod cache;
mod github;
mod http;
mod keys;
mod metadata;
mod oauth;
mod oidc;
#[cfg(test)]
mod tests;
mod token;

/// The longest email address, in bytes (RFC 5321).
const LONGEST_EMAIL: usize = 254;

/// All providers of the site, in the order of their names.
#[derive(Debug)]
pub struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// Takes the providers of `config`, which was checked.
    pub fn new(config: &Config) -> Self {
        let providers = config.providers.iter();
        Providers(
            providers.filter_map(|(name, one)| Provider::new(name, one)).map(Arc::new).collect(),
        )
    }

    /// Returns the provider with this name. `None` means that there is none.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.iter().find(|provider| provider.name() == name)
    }

    /// Returns all providers, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.iter()
    }

    /// Returns the first provider with this issuer. `None` means that there is none.
    pub fn of_issuer(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.iter().find(|provider| provider.issuer() == issuer)
    }

    /// Returns whether there is no provider.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One provider, with what is kept of its metadata and keys.
pub struct Provider {
    name: String,
    label: String,
    is_strong: bool,
    mark: Mark,
    protocol: Protocol,
    /// How long all calls for one request may take together.
    patience: Duration,
}

enum Protocol {
    Oidc(Oidc),
    GitHub(GitHub),
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Takes a provider of the configuration. `None` means that its address is none, which the check of
    /// the configuration has ruled out.
    fn new(name: &str, config: &ProviderConfig) -> Option<Self> {
        let client = Client {
            id: config.client_id.clone(),
            secret: config.client_secret.clone(),
            scope: config.scopes().join(" "),
        };
        let home = Url::parse(config.issuer()).ok()?;
        let mark = Mark::of(config.kind, home.host_str().unwrap_or_default());
        let protocol = match config.kind {
            ProviderKind::Oidc => {
                let discovery = metadata::discovery(config.issuer())?;
                let source = Source {
                    name: name.to_owned(),
                    issuer: config.issuer().to_owned(),
                    is_local: home.scheme() == "http",
                    http: Http::new(&home, Some(&discovery)),
                    discovery,
                };
                Protocol::Oidc(Oidc::new(client, source, mark == Mark::Google))
            }
            ProviderKind::GitHub => Protocol::GitHub(GitHub {
                client,
                url: config.issuer().to_owned(),
                api: config.api().to_owned(),
                http: Http::new(&home, None),
            }),
        };
        Some(Provider {
            name: name.to_owned(),
            label: config.label(name),
            is_strong: config.strong,
            mark,
            protocol,
            patience: PATIENCE,
        })
    }

    /// Returns the name, as in the paths.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name on the pages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns whether a log-in with it counts as two factors.
    pub fn is_strong(&self) -> bool {
        self.is_strong
    }

    /// Returns the issuer. For GitHub this is its address, without a slash at the end.
    pub fn issuer(&self) -> &str {
        match &self.protocol {
            Protocol::Oidc(oidc) => &oidc.source.issuer,
            Protocol::GitHub(github) => &github.url,
        }
    }

    /// Returns which mark the button shows.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Returns whether it can be asked to log the user in again.
    pub fn can_reauthenticate(&self) -> bool {
        matches!(self.protocol, Protocol::Oidc(_))
    }

    /// Returns the address to lead the browser to.
    ///
    /// # Errors
    ///
    /// Returns `Down` if its metadata are not known and cannot be had within five seconds, and
    /// `Refused` if it cannot be asked to log the user in again.
    pub async fn lead(&self, ask: Ask<'_>, now: Timestamp) -> Result<String, ProviderFailure> {
        let url = match &self.protocol {
            Protocol::Oidc(oidc) => oidc.lead(ask, now, self.budget()).await,
            Protocol::GitHub(github) => github.lead(ask),
        };
        url.map(String::from).map_err(|trouble| self.told(trouble))
    }

    /// Exchanges the code that has come back, and returns who that is. All of it takes five seconds at
    /// most.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`ProviderFailure`].
    pub async fn brought(
        &self,
        kept: Kept<'_>,
        answer: Answer<'_>,
        now: Timestamp,
    ) -> Result<Brought, ProviderFailure> {
        let brought = match &self.protocol {
            Protocol::Oidc(oidc) => oidc.brought(kept, answer, now, self.budget()).await,
            Protocol::GitHub(github) => github.brought(kept, answer, self.budget()).await,
        };
        brought.map_err(|trouble| self.told(trouble))
    }

    /// Verifies a logout token of the back channel.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`ProviderFailure`].
    pub async fn log_out_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<LoggedOut, ProviderFailure> {
        let logged_out = match &self.protocol {
            Protocol::Oidc(oidc) => oidc.log_out_token(token, now, self.budget()).await,
            Protocol::GitHub(_) => Err(Trouble::refused("GitHub sends no logout tokens")),
        };
        logged_out.map_err(|trouble| self.told(trouble))
    }

    /// Returns where the browser ends the provider's own session, and comes back to `back`. `None`
    /// means that there is no such address, or that the metadata cannot be had within five seconds.
    pub async fn end_session(&self, back: &str, now: Timestamp) -> Option<String> {
        let Protocol::Oidc(oidc) = &self.protocol else { return None };
        let metadata = oidc.metadata(now, self.budget()).await;
        let metadata = metadata.map_err(|trouble| self.told(trouble)).ok()?;
        let mut url = metadata.end_session.clone()?;
        url.query_pairs_mut()
            .append_pair("client_id", &oidc.client.id)
            .append_pair("post_logout_redirect_uri", back);
        Some(url.into())
    }

    /// Asks the provider for its metadata and keys now, whatever is kept of them.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, as the rest of a sentence that begins with the provider.
    #[cfg(any(feature = "cli", test))]
    pub async fn check(&self) -> Result<(), String> {
        let budget = self.budget();
        let checked = match &self.protocol {
            Protocol::Oidc(oidc) => match oidc.source.metadata(budget).await {
                Ok(metadata) => oidc.source.keys(&metadata, budget).await.map(|_| ()),
                Err(trouble) => Err(trouble),
            },
            Protocol::GitHub(github) => github.check(budget).await,
        };
        checked.map_err(|trouble| trouble.to_string())
    }

    fn budget(&self) -> Budget {
        Budget::of(self.patience)
    }

    /// Writes `trouble` to the log, and returns what the visitor may know of it.
    fn told(&self, trouble: Trouble) -> ProviderFailure {
        warn(&self.name, &trouble);
        match trouble {
            Trouble::Down(_) | Trouble::Known => ProviderFailure::Down,
            Trouble::Refused(reason, _) => ProviderFailure::Refused(reason),
            Trouble::Denied => ProviderFailure::Denied,
        }
    }
}

/// Why a provider has not said who somebody is, in more detail than its visitors may know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// It does not answer, or nothing that can be used. The text says what.
    Down(String),
    /// It was down a moment ago, which is in the log, and was not asked again.
    Known,
    /// Its answer does not hold: why, and the beginning of what it says itself.
    Refused(&'static str, String),
    /// The visitor or the provider has said no.
    Denied,
}

impl Trouble {
    fn refused(reason: &'static str) -> Self {
        Trouble::Refused(reason, String::new())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Down(reason) => f.write_str(reason),
            Trouble::Known => f.write_str("it did not answer a moment ago"),
            Trouble::Refused(reason, said) if said.is_empty() => f.write_str(reason),
            Trouble::Refused(reason, said) => write!(f, "{reason}: it says {said:?}"),
            Trouble::Denied => f.write_str("the log-in was not permitted"),
        }
    }
}

/// Writes a failure of the provider `name` to the log. What was written a moment ago, and what a
/// visitor has decided, is not written.
fn warn(name: &str, trouble: &Trouble) {
    match trouble {
        Trouble::Down(_) => log::warn!("providers.{name}: {trouble}"),
        Trouble::Refused(..) => log::warn!("providers.{name}: refused: {trouble}"),
        Trouble::Known | Trouble::Denied => {}
    }
}

/// Returns an email address as it was sent. `None` means that there is none, or a longer one than
/// there are.
fn email(sent: &str) -> Option<String> {
    let email = sent.trim();
    (!email.is_empty() && email.len() <= LONGEST_EMAIL).then(|| email.to_owned())
}

/// Which mark a button shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Mark {
    Google,
    Microsoft,
    Apple,
    GitHub,
    GitLab,
    None,
}

impl Mark {
    fn of(kind: ProviderKind, host: &str) -> Self {
        let is_of = |domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        match kind {
            ProviderKind::GitHub => Mark::GitHub,
            _ if host == "accounts.google.com" => Mark::Google,
            _ if is_of("login.microsoftonline.com") || is_of("sts.windows.net") => Mark::Microsoft,
            _ if host == "appleid.apple.com" || host == "account.apple.com" => Mark::Apple,
            _ if host == "gitlab.com" || host.starts_with("gitlab.") => Mark::GitLab,
            _ => Mark::None,
        }
    }
}

/// What the browser is led to the provider with.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The address that the provider sends the browser back to.
    pub callback: &'a str,
    pub state: &'a str,
    pub nonce: &'a str,
    /// The secret of PKCE. Only its hash goes through the browser.
    pub verifier: &'a str,
    /// The user is asked to log in again, although the provider knows them.
    pub is_again: bool,
}

/// What was kept of an [`Ask`].
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    pub callback: &'a str,
    pub nonce: &'a str,
    pub verifier: &'a str,
    pub is_again: bool,
}

/// What the provider has sent with the browser. The caller has checked the state.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    pub code: Option<&'a str>,
    pub iss: Option<&'a str>,
    pub error: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// Returns the code.
    ///
    /// # Errors
    ///
    /// Returns an error if the provider has sent an error instead, or nothing.
    fn code(self) -> Result<&'a str, Trouble> {
        match (self.error, self.code) {
            (Some("access_denied"), _) => Err(Trouble::Denied),
            (Some(error), _) => {
                let said = http::excerpt(error);
                Err(Trouble::Refused("the provider has sent an error instead of a code", said))
            }
            (None, Some(code)) if !code.is_empty() => Ok(code),
            (None, _) => Err(Trouble::refused("there is no code in the answer")),
        }
    }
}

/// The user who has come back from the provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Brought {
    pub issuer: String,
    pub subject: String,
    /// The email address as it was sent, trimmed, at most 254 bytes.
    pub email: Option<String>,
    /// The provider says that the address is the user's.
    pub is_verified: bool,
    /// The provider's name for its session.
    pub sid: Option<String>,
    /// The user has logged in again: `auth_time` proves it, or was not sent.
    pub is_again: bool,
}

/// What a logout token ends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoggedOut {
    pub issuer: String,
    pub subject: Option<String>,
    pub sid: Option<String>,
    /// The token's name. It must be accepted only once.
    pub jti: String,
    /// Until when `jti` must be remembered.
    pub expires_at: Timestamp,
}

/// Why there is no answer that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFailure {
    /// The provider does not answer, or answers with something unusable.
    Down,
    /// It has answered, and the answer does not hold. The reason is for the log, and holds nothing
    /// that was sent.
    Refused(&'static str),
    /// The visitor or the provider has said no.
    Denied,
}
