//! Reads and checks the keys of `Rocket.toml`: one struct for each table.
//!
//! An unknown key, a value out of range or an unsafe combination stops the start with one line that
//! names the key and the fix.

mod database;
mod duration;
mod factors;
mod keys;
mod mail;
mod mistake;
mod nearest;
mod password;
mod percent;
mod providers;
#[cfg(feature = "cli")]
mod read;
mod session;
mod site;
mod tables;
mod throttle;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rocket::figment::providers::{Env, Format, Serialized, Toml};
use rocket::figment::value::{Dict, Value};
use rocket::figment::{Figment, Profile};

use crate::program;

pub(crate) use database::URL as DATABASE_URL;
#[cfg(not(feature = "sqlite"))]
pub(crate) use database::without_sqlite;
pub use database::{DatabaseConfig, PostgresConfig};
pub use factors::FactorsConfig;
#[cfg(feature = "pages")]
pub(crate) use factors::PasskeysOff;
pub use keys::SecretKey;
#[cfg(feature = "mail")]
pub(crate) use mail::ascii_address;
#[cfg(feature = "pages")]
pub(crate) use mail::ascii_domain;
pub use mail::{MailConfig, MailServer, MailTls};
pub use password::{PasswordConfig, Pepper};
#[cfg(feature = "providers")]
pub(crate) use providers::is_loopback;
pub use providers::{ClientSecret, ProviderConfig, ProviderKind};
#[cfg(feature = "cli")]
pub(crate) use read::{FILE_VARIABLE, check_rocket, read};
#[cfg(feature = "pages")]
pub(crate) use session::HIGHEST_ACCOUNT_LIMIT;
pub use session::{SameSite, SessionConfig};
#[cfg(feature = "pages")]
pub(crate) use site::SupportLink;
pub use site::{AccountsConfig, HeadersConfig, Registration, SiteConfig};
use tables::{Place, TABLES, Tables, UNDER};
pub use throttle::ThrottleConfig;

/// The whole configuration, checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// `true` in the `debug` profile, which prefers convenience. Any other profile must meet the
    /// requirements of a public site.
    pub debug: bool,
    /// The table `databases.login`: the database that holds this crate's tables.
    pub database: DatabaseConfig,
    /// `secret_key`: the key that seals cookies. A debug run without one generates it at the start.
    pub secret_key: SecretKey,
    /// The table `session`.
    pub session: SessionConfig,
    /// The table `accounts`.
    pub accounts: AccountsConfig,
    /// The table `password`.
    pub password: PasswordConfig,
    /// The table `throttle`.
    pub throttle: ThrottleConfig,
    /// The table `factors`.
    pub factors: FactorsConfig,
    /// The table `providers`: others that users can log in with, by their names.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The table `site`.
    pub site: SiteConfig,
    /// The table `mail`.
    pub mail: MailConfig,
    /// `true` if Rocket logs the path of each request (`log_level`).
    pub(crate) logs_paths: bool,
    place: Place,
}

/// A reason why the configuration cannot be used, in one line: the key, the problem and the fix.
#[derive(Debug, Clone)]
pub struct ConfigError {
    key: String,
    problem: String,
}

impl ConfigError {
    /// Creates an error about `key`. `problem` continues the sentence that begins with the key, and
    /// also says the fix.
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        ConfigError { key: key.into(), problem: problem.into() }
    }

    /// Adds the profile to the error of a missing key, if only other profiles have a table: the name
    /// of the profile may be mistyped.
    fn with_profile(mut self, figment: &Figment) -> Self {
        let is_own = |profile: &&Profile| {
            let all = [Profile::Default, Profile::Global, rocket::Config::DEBUG_PROFILE];
            !all.contains(profile)
        };
        let others: Vec<_> = figment.profiles().filter(is_own).map(ToString::to_string).collect();
        let selected = figment.profile().to_string();
        if self.problem.starts_with("is missing")
            && !others.is_empty()
            && !others.contains(&selected)
        {
            self.problem += &format!(
                "; the profile is {selected}, and Rocket.toml has a table only for {}",
                others.join(", ")
            );
        }
        self
    }

    /// Adds a second fix to the error of an unknown key in one of our tables: in an application,
    /// the table may be its own.
    pub(crate) fn of_application(mut self) -> Self {
        let table = self.key.split('.').next().unwrap_or_default();
        if TABLES.contains(&table) && self.problem.starts_with("is not a key") {
            self.problem += &format!(
                "; if [default.{table}] is a table of your application, write ours as \
                 [default.{UNDER}.{table}]"
            );
        }
        self
    }
}

impl ConfigError {
    /// Returns the problem and the fix, without the key.
    #[cfg(feature = "cli")]
    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem.replace('\n', " "))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks all tables of this crate in `figment`.
    ///
    /// # Errors
    ///
    /// Returns an error if one of these tables has an unknown key, if a value is out of range, or
    /// if a combination is unsafe.
    pub fn from_figment(figment: &Figment) -> Result<Self, ConfigError> {
        Self::from_tables(Tables::read(figment)?, figment)
    }

    /// Reads the configuration like [`from_figment()`](Config::from_figment()), but needs no
    /// `secret_key`: a command seals nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn of_command(figment: &Figment) -> Result<Self, ConfigError> {
        let tables = Tables::read(figment)?;
        Self::from_tables(Tables { secret_key: Some(SecretKey::generate()), ..tables }, figment)
    }

    fn from_tables(tables: Tables, figment: &Figment) -> Result<Self, ConfigError> {
        let place = tables.place.clone();
        Self::checked(tables, figment).map_err(|error| place.of_error(error.with_profile(figment)))
    }

    fn checked(mut tables: Tables, figment: &Figment) -> Result<Self, ConfigError> {
        tables.accounts.check()?;
        tables.password.check()?;
        tables.site.check()?;
        tables.mail.check()?;
        tables.throttle.check()?;
        tables.factors.check()?;
        let debug = *figment.profile() == rocket::Config::DEBUG_PROFILE;
        if debug && tables.site.url.is_none() {
            let port: u16 = figment.extract_inner("port").unwrap_or(8000);
            tables.site.url = Some(format!("http://localhost:{port}"));
        }

        let config = tables.check(figment)?;
        config.check_passkeys()?;
        config.check_providers()?;
        if config.has_mail() && config.site.url.is_none() {
            return Err(ConfigError::new(
                "site.url",
                "is missing; write the address that links in mails begin with, as in \
                 \"https://example.org\"",
            ));
        }
        // A confirmation that never arrives would lock everybody out.
        if config.accounts.registration == Registration::Confirm && !config.has_mail() {
            return Err(ConfigError::new(
                "accounts.registration",
                "is \"confirm\", which needs mail; set mail.url, or write \"open\" or \"closed\"",
            ));
        }
        Ok(config)
    }

    /// Returns the site's name: `site.name`, or else the host in `site.url`. It is empty if neither
    /// is known, which happens only outside the debug profile and without mail.
    pub fn site_name(&self) -> &str {
        self.site.name.as_deref().unwrap_or_else(|| self.site_host())
    }

    /// Returns what somebody tries first who guesses the password of the account of `email`. The
    /// check of a new password and the strength meter take it from here, so that they agree.
    #[cfg(feature = "pages")]
    pub(crate) fn password_context<'c>(&'c self, email: &'c str) -> [&'c str; 3] {
        [email, self.site_name(), self.site_host()]
    }

    /// Returns the host in `site.url`, without the port. It is empty if the address is not known.
    pub(crate) fn site_host(&self) -> &str {
        let url = self.site.url.as_deref().unwrap_or_default();
        let host = url.split_once("://").map_or("", |(_, host)| host);
        // A colon in brackets is a part of an IPv6 address.
        match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => host,
        }
    }

    /// Returns whether mails can be sent: through `mail.url`, or to the dev mailbox.
    pub fn has_mail(&self) -> bool {
        self.debug || self.mail.url.is_some()
    }

    /// Reads and checks only what sessions use: the table `session`, `site.trusted_proxies`, the
    /// database and the `secret_key`. Other tables are ignored, because an application may use
    /// `site`, `mail` and so on for something else.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`from_figment()`](Config::from_figment()), limited to
    /// these keys.
    pub fn of_sessions(figment: &Figment) -> Result<Self, ConfigError> {
        Self::from_session_tables(Tables::of_sessions(figment)?, figment)
    }

    /// Reads the configuration like [`of_sessions()`](Config::of_sessions()), but needs no
    /// `secret_key`, for a command on sessions.
    #[cfg(feature = "cli")]
    pub(crate) fn of_session_command(figment: &Figment) -> Result<Self, ConfigError> {
        let tables = Tables::of_sessions(figment)?;
        let secret_key = Some(SecretKey::generate());
        Self::from_session_tables(Tables { secret_key, ..tables }, figment)
    }

    fn from_session_tables(tables: Tables, figment: &Figment) -> Result<Self, ConfigError> {
        let place = tables.place.clone();
        tables.check(figment).map_err(|error| place.of_error(error.with_profile(figment)))
    }

    /// Returns the warnings that belong in the log at the start: one line for each risky but
    /// permitted setting.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.session.warnings(self.debug).collect();
        warnings.extend(self.throttle.warning(self.debug));
        warnings.extend(self.factors.warning(self.has_mail()));
        warnings.extend(self.mail_warnings());
        if !self.debug {
            warnings.extend(self.password.warning());
        }
        self.place.of_lines(warnings)
    }

    /// Returns `key` as it stands in the file.
    #[cfg(feature = "cli")]
    pub(crate) fn key(&self, key: &str) -> String {
        self.place.of_key(key)
    }

    /// Returns the warnings about the table `session` alone.
    pub(crate) fn session_warnings(&self) -> Vec<String> {
        self.place.of_lines(self.session.warnings(self.debug).collect())
    }

    fn mail_warnings(&self) -> impl Iterator<Item = String> {
        let off = (!self.has_mail()).then(|| {
            "mail.url is not set: users cannot reset a password or change their address, and get no \
             notifications; set mail.url, mail.from and site.url"
                .to_owned()
        });
        let open = self.site.url.as_ref().filter(|url| !self.debug && url.starts_with("http:"));
        let open = open.map(|_| {
            "site.url is http: anybody on the network can use the links in mails; write https"
                .into()
        });
        let paths = (self.logs_paths && self.has_mail() && !self.debug).then(|| {
            "log_level is normal or above: the log contains the paths of all requests, including \
             those of mailed links; write critical"
                .into()
        });
        off.into_iter().chain(open).chain(paths)
    }
}

/// Returns the values that every configuration begins with, also that of an embedding application.
pub fn defaults() -> Figment {
    let url = database::DEFAULT_URL.map(|url| Serialized::default(DATABASE_URL, url));
    url.map_or_else(Figment::new, Figment::from)
}

/// Returns the site's configuration: Rocket's defaults, then the site's own, then `Rocket.toml`,
/// then `ROCKET_…`. A later source overrides an earlier one.
pub fn site() -> Figment {
    Figment::from(rocket::Config::default())
        .merge(defaults())
        // No version banner, and no header that lets visitors choose their own address.
        .merge(Serialized::default("ident", false))
        .merge(Serialized::default("ip_header", false))
        // Forms have four short fields. Multipart is refused, but its size is limited anyway.
        .merge(Serialized::default("limits.form", "16KiB"))
        .merge(Serialized::default("limits.data-form", "16KiB"))
        // Time for what is in progress: 5 s for a body, 2 s for a worker, 2 s for the writer.
        // During development, Ctrl-C should not wait that long for a browser's idle connection.
        .merge(Serialized::default("shutdown.grace", 10))
        .merge(Serialized::default("shutdown.grace", 3).profile(rocket::Config::DEBUG_PROFILE))
        .merge(Serialized::default("shutdown.mercy", 1))
        .merge(Toml::file(Env::var_or("ROCKET_CONFIG", "Rocket.toml")).nested())
        .merge(Env::prefixed("ROCKET_").ignore(&["PROFILE"]).global())
        .select(Profile::from_env_or("ROCKET_PROFILE", rocket::Config::DEFAULT_PROFILE))
}

/// Refuses top-level keys that neither Rocket nor this crate knows.
///
/// This is for the site only: an application that embeds the crate has keys of its own.
///
/// # Errors
///
/// Returns an error about the first unknown key.
pub fn check_top_level(figment: &Figment) -> Result<(), ConfigError> {
    const ROCKET: [&str; 16] = [
        "profile",
        "config",
        "address",
        "port",
        "workers",
        "max_blocking",
        "keep_alive",
        "ident",
        "ip_header",
        "limits",
        "secret_key",
        "temp_dir",
        "log_level",
        "shutdown",
        "cli_colors",
        "template_dir",
    ];

    // This build of Rocket has no TLS, and would serve plain http.
    if figment.contains("tls") {
        return Err(ConfigError::new("tls", "is not supported; serve https at the proxy"));
    }

    let keys = figment.extract::<Dict>()?;
    let known: Vec<_> = ROCKET.into_iter().chain(["databases", UNDER]).chain(TABLES).collect();
    if let Some((key, value)) = keys.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        let problem = match place_of(key) {
            Some((table, part)) => {
                let is_variable = figment
                    .find_metadata(key)
                    .is_some_and(|metadata| metadata.name.contains("environment"));
                match is_variable {
                    true => format!("is not a key; write {}", as_variable(&table, part, value)),
                    false => format!("is not a key; write {part} under [default.{table}]"),
                }
            }
            None => mistake::unknown(key, &known),
        };
        return Err(ConfigError::new(key, problem));
    }

    match keys
        .get("databases")
        .and_then(Value::as_dict)
        .and_then(|databases| databases.keys().find(|name| *name != "login"))
    {
        None => Ok(()),
        Some(name) => Err(ConfigError::new(
            format!("databases.{name}"),
            "is not a key; the key here is login",
        )),
    }
}

/// Returns the table and the rest of `key` if it begins with the table's name, as from the variable
/// `ROCKET_SESSION_SECURE` or `ROCKET_LOGIN_SESSION_SECURE`.
fn place_of(key: &str) -> Option<(String, &str)> {
    let of_table = |key| {
        let part = |table: &'static str| part_of(key, table).map(|part| (table, part));
        TABLES.into_iter().find_map(part)
    };
    let (table, part) = match part_of(key, UNDER).and_then(of_table) {
        Some((table, part)) => (format!("{UNDER}.{table}"), part),
        None => of_table(key).map(|(table, part)| (table.to_owned(), part))?,
    };
    // Each provider is a table in this one. Its name has no underscore.
    match part.split_once('_') {
        Some((name, part)) if table.ends_with("providers") => {
            Some((format!("{table}.{name}"), part))
        }
        _ => Some((table, part)),
    }
}

/// Returns the environment variable that sets the key `part` of `table` to `value`. The value is
/// shown only if it is no secret.
fn as_variable(table: &str, part: &str, value: &Value) -> String {
    let path: Vec<String> = table.split('.').chain([part]).map(str::to_owned).collect();
    let shown = match value {
        Value::String(_, text) if !text.contains(['@', '"', '\'']) => Some(format!("\"{text}\"")),
        Value::Bool(_, value) => Some(value.to_string()),
        Value::Num(_, number) => number.to_i128().map(|number| number.to_string()),
        _ => None,
    };
    let shown = shown.filter(|_| mistake::is_shown(&path)).unwrap_or_else(|| "…".into());
    let (variable, keys) =
        path.split_first().map_or(("", &path[..]), |(first, keys)| (first, keys));
    let inner = |value: String, key: &String| format!("{{{key}={value}}}");
    let value = keys.iter().rev().fold(shown, inner);
    format!("ROCKET_{}='{value}'", variable.to_uppercase())
}

/// Returns the rest of `key` if it begins with the name of `table`.
fn part_of<'k>(key: &'k str, table: &str) -> Option<&'k str> {
    key.strip_prefix(table)?.strip_prefix('_')
}

/// Refuses `[session]` and the like at the top of `Rocket.toml`: Rocket reads it as a *profile* of
/// that name, which nothing would ever use.
fn refuse_misplaced_tables(figment: &Figment) -> Result<(), ConfigError> {
    let misplaced = TABLES
        .iter()
        .chain(&["databases", UNDER])
        .find(|table| figment.profiles().any(|profile| *profile == **table));

    match misplaced {
        None => Ok(()),
        Some(table) => Err(ConfigError::new(
            *table,
            format!("stands outside a profile; write [default.{table}] in Rocket.toml"),
        )),
    }
}

/// Returns how to set a key.
pub(crate) fn key_fix() -> String {
    format!("set ROCKET_SECRET_KEY to what `{} secret-key` prints", program::name())
}

fn secret_key(configured: Option<SecretKey>, debug: bool) -> Result<SecretKey, ConfigError> {
    let fix = key_fix();
    match configured.filter(|key| !key.is_zero()) {
        Some(key) if key.is_published() && !debug => {
            Err(ConfigError::new("secret_key", format!("is published in documentation; {fix}")))
        }
        Some(key) => Ok(key),
        // Logins end with the process, as Rocket's private cookies do.
        None if debug => Ok(SecretKey::generate()),
        None => Err(ConfigError::new("secret_key", format!("is missing; {fix}"))),
    }
}

/// Returns an error unless `value` is at least one second and at most `longest`.
fn check_duration(key: &str, value: Duration, longest: Duration) -> Result<(), ConfigError> {
    if !value.is_zero() && value <= longest {
        return Ok(());
    }

    let days = longest.as_secs() / (24 * 60 * 60);
    Err(ConfigError::new(
        key,
        format!("is out of range; write a duration from \"1s\" to \"{days}d\""),
    ))
}

/// Returns an error unless `value` is in `range`.
fn check_range<T: PartialOrd + fmt::Display>(
    key: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), ConfigError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(ConfigError::new(
            key,
            format!("is {value}; write a number from {} to {}", range.start(), range.end()),
        )),
    }
}
