//! Our tables, and where they stand: at the top, or under `login`.

use std::collections::BTreeMap;

use ipnet::IpNet;
use rocket::config::LogLevel;
use rocket::figment::value::Value;
use rocket::figment::{self, Figment};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{
    AccountsConfig, Config, ConfigError, DatabaseConfig, FactorsConfig, MailConfig, PasswordConfig,
    ProviderConfig, SecretKey, SessionConfig, SiteConfig, ThrottleConfig,
};

/// Names the tables of `Rocket.toml` that belong to this crate.
pub const TABLES: [&str; 8] =
    ["session", "accounts", "password", "throttle", "factors", "providers", "site", "mail"];

/// The table under which an application may keep ours.
pub const UNDER: &str = "login";

/// Our tables as they were read, before they are checked.
#[derive(Default)]
pub struct Tables {
    pub session: SessionConfig,
    pub accounts: AccountsConfig,
    pub password: PasswordConfig,
    pub throttle: ThrottleConfig,
    pub factors: FactorsConfig,
    pub providers: BTreeMap<String, ProviderConfig>,
    pub site: SiteConfig,
    pub mail: MailConfig,
    pub secret_key: Option<SecretKey>,
    pub place: Place,
}

impl Tables {
    /// Reads all tables of `figment`.
    ///
    /// # Errors
    ///
    /// Returns an error if a table has an unknown key or a value of another type.
    pub fn read(figment: &Figment) -> Result<Self, ConfigError> {
        let place = Place::of(figment)?;
        Ok(Tables {
            session: place.table(figment, "session")?,
            accounts: place.table(figment, "accounts")?,
            password: place.table(figment, "password")?,
            throttle: place.table(figment, "throttle")?,
            factors: place.table(figment, "factors")?,
            providers: place.table(figment, "providers")?,
            site: place.table(figment, "site")?,
            mail: place.table(figment, "mail")?,
            secret_key: found(figment, "secret_key")?,
            place,
        })
    }

    /// Reads only what sessions use. The application may have a `site` of its own, in which only
    /// `trusted_proxies` is ours.
    ///
    /// # Errors
    ///
    /// Returns an error if one of these keys has a value of another type, or if the table `session`
    /// has an unknown key.
    pub fn of_sessions(figment: &Figment) -> Result<Self, ConfigError> {
        #[derive(Default, Deserialize)]
        struct Site {
            #[serde(default, deserialize_with = "super::site::networks")]
            trusted_proxies: Vec<IpNet>,
        }

        let place = Place::of(figment)?;
        let site = match place.is_under("site") {
            true => place.table(figment, "site")?,
            false if figment.contains("site.trusted_proxies") => {
                let Site { trusted_proxies } = found(figment, "site")?.unwrap_or_default();
                SiteConfig { trusted_proxies, ..Default::default() }
            }
            false => SiteConfig::default(),
        };
        Ok(Tables {
            session: place.table(figment, "session")?,
            secret_key: found(figment, "secret_key")?,
            site,
            place,
            ..Default::default()
        })
    }

    /// Checks what all of them need, and reads the database.
    ///
    /// # Errors
    ///
    /// Returns an error if a value is out of range, if the database is not named, or if there is no
    /// suitable key.
    pub fn check(self, figment: &Figment) -> Result<Config, ConfigError> {
        super::refuse_misplaced_tables(figment)?;
        let debug = *figment.profile() == rocket::Config::DEBUG_PROFILE;
        self.session.check(debug)?;
        Ok(Config {
            debug,
            database: DatabaseConfig::from_figment(figment)?,
            secret_key: super::secret_key(self.secret_key, debug)?,
            session: self.session,
            accounts: self.accounts,
            password: self.password,
            throttle: self.throttle,
            factors: self.factors,
            providers: self.providers,
            site: self.site,
            mail: self.mail,
            place: self.place,
            logs_paths: matches!(
                figment.extract_inner("log_level"),
                Ok(LogLevel::Normal | LogLevel::Debug)
            ),
        })
    }
}

/// Which of our tables stand under `login`. The table of that name at the top is then the
/// application's, and we do not read it.
#[derive(Debug, Clone, Default)]
pub struct Place(Vec<&'static str>);

impl Place {
    /// Looks at `figment`.
    ///
    /// # Errors
    ///
    /// Returns an error if `login` is not a table, or has one that is not ours.
    fn of(figment: &Figment) -> Result<Self, ConfigError> {
        let under = match found::<Value>(figment, UNDER)? {
            None => return Ok(Place::default()),
            Some(Value::Dict(_, under)) => under,
            // The value may be a secret in the wrong place.
            Some(_) => {
                let problem = "is not a table; write one, as in {mail={url=\"…\"}}";
                return Err(ConfigError::new(UNDER, problem));
            }
        };
        match under.keys().find(|key| !TABLES.contains(&key.as_str())) {
            None => Ok(Place(TABLES.into_iter().filter(|key| under.contains_key(*key)).collect())),
            Some(key) => Err(ConfigError::new(
                format!("{UNDER}.{key}"),
                format!("is not a table of ours; they are {}", TABLES.join(", ")),
            )),
        }
    }

    fn is_under(&self, table: &str) -> bool {
        self.0.contains(&table)
    }

    fn table<T: Default + DeserializeOwned>(
        &self,
        figment: &Figment,
        table: &str,
    ) -> Result<T, ConfigError> {
        Ok(found(figment, &self.of_key(table))?.unwrap_or_default())
    }

    /// Returns `key`, or a line that begins with it, as it stands in the file.
    pub fn of_key(&self, key: &str) -> String {
        let table = key.split(['.', ' ', ':']).next().unwrap_or_default();
        match self.is_under(table) {
            true => format!("{UNDER}.{key}"),
            false => key.to_owned(),
        }
    }

    pub fn of_error(&self, error: ConfigError) -> ConfigError {
        ConfigError { key: self.of_key(&error.key), ..error }
    }

    pub fn of_lines(&self, lines: Vec<String>) -> Vec<String> {
        lines.iter().map(|line| self.of_key(line)).collect()
    }
}

/// Reads the value at `key`. `None` means that there is none.
fn found<T: DeserializeOwned>(figment: &Figment, key: &str) -> Result<Option<T>, ConfigError> {
    match figment.find_value(key) {
        Ok(_) => figment.extract_inner(key).map(Some).map_err(|error| at(key, error)),
        Err(error) if error.missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the error of `extract_inner(key)`. Figment adds the key to the end of the path, and not
/// to its start.
fn at(key: &str, error: figment::Error) -> ConfigError {
    let first = error.into_iter().next().map(|mut first| {
        let added = key.split('.').count().min(first.path.len());
        first.path.rotate_right(added);
        first
    });
    first.map_or_else(|| ConfigError::new(key, "cannot be read"), ConfigError::from)
}
