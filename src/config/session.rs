//! The table `session`: the cookie, the timeouts and the limits of sessions.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, SecretKey, check_duration, check_range};

/// The longest timeout. A browser forgets any cookie after 400 days (RFC 6265bis, section 5.5).
const LONGEST_TIMEOUT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The upper bound of `session.account_limit`. It keeps the sessions few that are shown, exported
/// and counted at each log-in.
pub(crate) const HIGHEST_ACCOUNT_LIMIT: i64 = 10_000;

/// The upper bound of `session.cache_size`: 64 GiB. It refuses a number that was meant in bytes.
const HIGHEST_CACHE_SIZE: u64 = 64 * 1024;

/// The table `session`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SessionConfig {
    /// `idle_timeout` (2 hours): a session ends if it is not used for this long.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub idle_timeout: Duration,
    /// `absolute_timeout` (24 hours): a session ends after this long, even if it is in use.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub absolute_timeout: Duration,
    /// `remember_idle_timeout` (14 days): the idle timeout with "remember me".
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub remember_idle_timeout: Duration,
    /// `remember_absolute_timeout` (30 days): the absolute timeout with "remember me". The default
    /// is the most that NIST SP 800-63B-4, section 2.1.3, advises.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub remember_absolute_timeout: Duration,
    /// `cookie_name`: the name of the cookie. The default is `__Host-session` for a secure cookie,
    /// and `session` otherwise.
    pub cookie_name: Option<String>,
    /// `cookie_path` (`/`): the paths that the browser sends the cookie to.
    pub cookie_path: String,
    /// `cookie_domain` (none): the domain that gets the cookie, with its subdomains. Without it
    /// only this host gets the cookie.
    pub cookie_domain: Option<String>,
    /// `partitioned` (`false`): sets the cookie attribute `Partitioned`, for a site that is
    /// embedded in another one.
    pub partitioned: bool,
    /// `secure`: the browser sends the cookie over https only. The default is `false` in the debug
    /// profile, and `true` otherwise.
    pub secure: Option<bool>,
    /// `same_site` (`lax`): the cookie attribute `SameSite`. With `lax`, a link in a mail arrives
    /// logged in, and a form on another site does not.
    pub same_site: SameSite,
    /// `previous_keys` (none): earlier values of `secret_key` whose cookies are still accepted.
    pub previous_keys: Vec<SecretKey>,
    /// `keep_state` (`true`): a log-in keeps the state that the visitor, or the user themselves,
    /// had before.
    pub keep_state: bool,
    /// `visitor_keys` (none): the keys of the state that belong to the visitor, such as a language
    /// or a basket. They survive a log-out and another user's log-in.
    pub visitor_keys: Vec<String>,
    /// `state_limit` (65536): the most bytes of state that one session may hold.
    pub state_limit: usize,
    /// `visitor_limit` (1000): the most sessions that visitors from one address (an IPv6 /64) may
    /// begin in an hour.
    pub visitor_limit: i64,
    /// `account_limit` (200): the most sessions that one account may have at a time. A log-in
    /// beyond it ends the session that was not used for the longest time. People have a handful; a
    /// script that logs in each minute and keeps no cookie would have thousands.
    pub account_limit: i64,
    /// `cache` (`true`): keeps each session that was read in memory until it changes. This process
    /// knows about a change by another process within a millisecond on SQLite; on PostgreSQL mostly
    /// within milliseconds, and always within a second.
    pub cache: bool,
    /// `cache_size` (80): the most memory for the sessions that `cache` keeps, in MiB. A session
    /// without values takes about 300 bytes. If there is no room, those that are used least are
    /// read from the database again.
    pub cache_size: u64,
    /// `reauthenticate_after` (10 minutes): the time after which a sensitive act asks for the
    /// password again.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub reauthenticate_after: Duration,
}

/// The cookie attribute `SameSite`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// The browser sends the cookie if a visitor follows a link from another site, but not with a
    /// form there.
    Lax,
    /// The browser never sends the cookie if the request begins on another site.
    Strict,
    /// The browser always sends the cookie. This needs `secure`.
    None,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            idle_timeout: Duration::from_secs(2 * 60 * 60),
            absolute_timeout: Duration::from_secs(24 * 60 * 60),
            remember_idle_timeout: Duration::from_secs(14 * 24 * 60 * 60),
            remember_absolute_timeout: Duration::from_secs(30 * 24 * 60 * 60),
            cookie_name: None,
            cookie_path: "/".into(),
            cookie_domain: None,
            partitioned: false,
            secure: None,
            same_site: SameSite::Lax,
            previous_keys: Vec::new(),
            keep_state: true,
            visitor_keys: Vec::new(),
            state_limit: 64 * 1024,
            visitor_limit: 1000,
            account_limit: 200,
            cache: true,
            cache_size: 80,
            reauthenticate_after: Duration::from_secs(10 * 60),
        }
    }
}

impl SessionConfig {
    /// Returns whether the cookie has the attribute `Secure`.
    pub fn is_secure(&self, debug: bool) -> bool {
        self.secure.unwrap_or(!debug)
    }

    /// Returns the cookie's name. With `__Host-` the browser refuses a cookie of this name from a
    /// sibling domain or over http, so an attacker cannot plant one (session fixation).
    pub fn cookie_name(&self, debug: bool) -> &str {
        match &self.cookie_name {
            Some(name) => name,
            None if self.is_secure(debug) => "__Host-session",
            None => "session",
        }
    }

    pub(super) fn check(&self, debug: bool) -> Result<(), ConfigError> {
        self.check_clocks()?;
        self.check_cookie(debug)?;
        check_range("session.state_limit", self.state_limit, 2..=16 * 1024 * 1024)?;
        check_range("session.visitor_limit", self.visitor_limit, 0..=1_000_000_000)?;
        check_range("session.cache_size", self.cache_size, 1..=HIGHEST_CACHE_SIZE)?;
        let account_limits = 1..=HIGHEST_ACCOUNT_LIMIT;
        check_range("session.account_limit", self.account_limit, account_limits)?;

        // Anybody who knows a key that opens cookies can also seal some.
        let is_open = |key: &SecretKey| key.is_zero() || (key.is_published() && !debug);
        match self.previous_keys.iter().any(is_open) {
            true => Err(ConfigError::new(
                "session.previous_keys",
                "holds a key that is not secret; remove it",
            )),
            false => Ok(()),
        }
    }

    pub(crate) fn warnings(&self, debug: bool) -> impl Iterator<Item = String> {
        let secure = (self.secure == Some(false) && !debug).then(|| {
            "session.secure is false: anybody on the network can read the session cookie; \
             serve https and remove the key"
                .to_owned()
        });
        let path = (self.cookie_path != "/").then(|| {
            format!("session.cookie_path: users are logged in only below {}", self.cookie_path)
        });
        secure.into_iter().chain(path)
    }

    fn check_clocks(&self) -> Result<(), ConfigError> {
        let reauthenticate_after = self.reauthenticate_after;
        check_duration("session.reauthenticate_after", reauthenticate_after, LONGEST_TIMEOUT)?;

        let clocks = [
            ("idle_timeout", self.idle_timeout, "absolute_timeout", self.absolute_timeout),
            (
                "remember_idle_timeout",
                self.remember_idle_timeout,
                "remember_absolute_timeout",
                self.remember_absolute_timeout,
            ),
        ];

        for (idle_key, idle, absolute_key, absolute) in clocks {
            for (key, value) in [(idle_key, idle), (absolute_key, absolute)] {
                check_duration(&format!("session.{key}"), value, LONGEST_TIMEOUT)?;
            }

            if idle > absolute {
                return Err(ConfigError::new(
                    format!("session.{idle_key}"),
                    format!("is longer than session.{absolute_key}; write a shorter one"),
                ));
            }
        }

        Ok(())
    }

    fn check_cookie(&self, debug: bool) -> Result<(), ConfigError> {
        const NAME: &str = "session.cookie_name";
        let (name, secure) = (self.cookie_name(debug), self.is_secure(debug));
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(ConfigError::new(
                NAME,
                "is not a valid cookie name; write letters, digits, - and _",
            ));
        }

        let host = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("__Host-"));
        if host && (self.cookie_domain.is_some() || self.cookie_path != "/") {
            return Err(ConfigError::new(
                NAME,
                format!(
                    "is \"{name}\", which browsers refuse with a domain or a path; remove \
                     session.cookie_domain and session.cookie_path, or write \"__Secure-session\""
                ),
            ));
        }

        let prefixed = name.get(..2).is_some_and(|start| start == "__");
        if prefixed && !secure {
            return Err(ConfigError::new(
                NAME,
                format!("is \"{name}\", which browsers refuse without session.secure = true"),
            ));
        }

        if self.same_site == SameSite::None && !secure {
            return Err(ConfigError::new(
                "session.same_site",
                "is \"none\", which browsers refuse without session.secure = true",
            ));
        }

        if self.partitioned && !secure {
            return Err(ConfigError::new(
                "session.partitioned",
                "is true, which browsers refuse without session.secure = true",
            ));
        }

        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b';');
        if !self.cookie_path.starts_with('/') || !plain(&self.cookie_path) {
            return Err(ConfigError::new("session.cookie_path", "is not a path; write \"/\""));
        }

        if self.cookie_domain.as_deref().is_some_and(|domain| domain.is_empty() || !plain(domain)) {
            return Err(ConfigError::new(
                "session.cookie_domain",
                "is not a domain; write one, as in \"example.org\", or remove the key",
            ));
        }

        Ok(())
    }
}
