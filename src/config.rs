//! Reads and checks the keys of `Rocket.toml`: one struct for each table.
//!
//! An unknown key, a value out of range or an unsafe combination stops the start with one line that
//! names the key and the fix.

mod database;
mod duration;
mod keys;
mod mail;
mod mistake;
mod password;
mod percent;
mod read;
mod session;
mod site;
mod throttle;

use std::fmt;
use std::time::Duration;

use rocket::config::LogLevel;
use rocket::figment::providers::{Env, Format, Serialized, Toml};
use rocket::figment::value::{Dict, Value};
use rocket::figment::{Figment, Profile};
use serde::Deserialize;

#[cfg(not(feature = "sqlite"))]
pub(crate) use database::without_sqlite;
pub use database::{DatabaseConfig, PostgresConfig};
pub use keys::SecretKey;
pub use mail::{MailConfig, MailServer, MailTls};
pub(crate) use mail::{ascii_address, ascii_domain};
pub use password::{PasswordConfig, Pepper};
pub(crate) use read::read;
pub(crate) use session::HIGHEST_ACCOUNT_LIMIT;
pub use session::{SameSite, SessionConfig};
pub use site::{AccountsConfig, Registration, SiteConfig};
pub use throttle::ThrottleConfig;

/// Names the top-level tables of `Rocket.toml` that belong to this crate.
const TABLES: [&str; 6] = ["session", "accounts", "password", "throttle", "site", "mail"];

/// The whole configuration, checked.
#[derive(Debug, Clone)]
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
    /// The table `site`.
    pub site: SiteConfig,
    /// The table `mail`.
    pub mail: MailConfig,
    /// `true` if Rocket logs the path of each request (`log_level`).
    pub(crate) logs_paths: bool,
}

/// A reason why the configuration cannot be used, in one line: the key, the problem and the fix.
#[derive(Debug)]
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
}

impl ConfigError {
    /// Returns the problem and the fix, without the key.
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tables {
    session: SessionConfig,
    accounts: AccountsConfig,
    password: PasswordConfig,
    throttle: ThrottleConfig,
    site: SiteConfig,
    mail: MailConfig,
    secret_key: Option<SecretKey>,
}

impl Tables {
    fn check(self, figment: &Figment) -> Result<Config, ConfigError> {
        refuse_misplaced_tables(figment)?;
        let debug = *figment.profile() == rocket::Config::DEBUG_PROFILE;
        self.session.check(debug)?;
        Ok(Config {
            debug,
            database: DatabaseConfig::from_figment(figment)?,
            secret_key: secret_key(self.secret_key, debug)?,
            session: self.session,
            accounts: self.accounts,
            password: self.password,
            throttle: self.throttle,
            site: self.site,
            mail: self.mail,
            logs_paths: matches!(
                figment.extract_inner("log_level"),
                Ok(LogLevel::Normal | LogLevel::Debug)
            ),
        })
    }
}

impl Config {
    /// Reads and checks all tables of this crate in `figment`.
    ///
    /// # Errors
    ///
    /// Returns an error if one of these tables has an unknown key, if a value is out of range, or
    /// if a combination is unsafe.
    pub fn from_figment(figment: &Figment) -> Result<Self, ConfigError> {
        Self::from_tables(figment.extract()?, figment)
    }

    /// Reads the configuration like [`from_figment()`](Config::from_figment()), but needs no
    /// `secret_key`: a command seals nothing.
    pub(crate) fn of_command(figment: &Figment) -> Result<Self, ConfigError> {
        let tables: Tables = figment.extract()?;
        Self::from_tables(Tables { secret_key: Some(SecretKey::generate()), ..tables }, figment)
    }

    fn from_tables(mut tables: Tables, figment: &Figment) -> Result<Self, ConfigError> {
        tables.accounts.check()?;
        tables.password.check()?;
        tables.site.check()?;
        tables.mail.check()?;
        tables.throttle.check()?;
        let debug = *figment.profile() == rocket::Config::DEBUG_PROFILE;
        if debug && tables.site.url.is_none() {
            let port: u16 = figment.extract_inner("port").unwrap_or(8000);
            tables.site.url = Some(format!("http://127.0.0.1:{port}"));
        }

        let config = tables.check(figment)?;
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

    /// Returns the host in `site.url`, which is the site's name. It is empty if the address is not
    /// known.
    pub(crate) fn site_name(&self) -> &str {
        let url = self.site.url.as_deref().unwrap_or_default();
        url.split_once("://").map_or("", |(_, host)| host)
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
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Site {
            #[serde(deserialize_with = "site::networks")]
            trusted_proxies: Vec<ipnet::IpNet>,
        }

        #[derive(Deserialize)]
        struct Used {
            #[serde(default)]
            session: SessionConfig,
            #[serde(default)]
            site: Site,
            secret_key: Option<SecretKey>,
        }

        let used: Used = figment.extract()?;
        let site = SiteConfig { trusted_proxies: used.site.trusted_proxies, ..Default::default() };
        let tables = Tables {
            session: used.session,
            site,
            secret_key: used.secret_key,
            ..Default::default()
        };
        tables.check(figment)
    }

    /// Returns the warnings that belong in the log at the start: one line for each risky but
    /// permitted setting.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.session.warnings(self.debug).collect();
        warnings.extend(self.throttle.warning(self.debug));
        warnings.extend(self.mail_warnings());
        if !self.debug {
            warnings.extend(self.password.warning());
        }
        warnings
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
    let url = database::DEFAULT_URL.map(|url| Serialized::default("databases.login.url", url));
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
    let is_known = |key: &str| key == "databases" || ROCKET.contains(&key) || TABLES.contains(&key);
    if let Some(key) = keys.keys().find(|key| !is_known(key)) {
        let problem = match TABLES.iter().find_map(|table| Some((table, part_of(key, table)?))) {
            Some((table, part)) => format!("is not a key; write {part} under [default.{table}]"),
            None => format!(
                "is not a key; the keys are {}, databases, {}",
                ROCKET.join(", "),
                TABLES.join(", ")
            ),
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

/// Returns the rest of `key` if it begins with the name of `table`, as from the variable
/// `ROCKET_SESSION_SECURE`.
fn part_of<'k>(key: &'k str, table: &str) -> Option<&'k str> {
    key.strip_prefix(table)?.strip_prefix('_')
}

/// Refuses `[session]` and the like at the top of `Rocket.toml`: Rocket reads it as a *profile* of
/// that name, which nothing would ever use.
fn refuse_misplaced_tables(figment: &Figment) -> Result<(), ConfigError> {
    let misplaced = TABLES
        .iter()
        .chain(&["databases"])
        .find(|table| figment.profiles().any(|profile| *profile == **table));

    match misplaced {
        None => Ok(()),
        Some(table) => Err(ConfigError::new(
            *table,
            format!("stands outside a profile; write [default.{table}] in Rocket.toml"),
        )),
    }
}

fn secret_key(configured: Option<SecretKey>, debug: bool) -> Result<SecretKey, ConfigError> {
    const FIX: &str = "set ROCKET_SECRET_KEY to what `rocket-login secret-key` prints";
    match configured.filter(|key| !key.is_zero()) {
        Some(key) if key.is_published() && !debug => {
            Err(ConfigError::new("secret_key", format!("is published in documentation; {FIX}")))
        }
        Some(key) => Ok(key),
        // Logins end with the process, as Rocket's private cookies do.
        None if debug => Ok(SecretKey::generate()),
        None => Err(ConfigError::new("secret_key", format!("is missing; {FIX}"))),
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
