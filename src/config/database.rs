//! The table `databases.login`: the database that holds this crate's tables.

#[cfg_attr(not(feature = "postgres"), path = "database/without_postgres.rs")]
mod postgres;

use std::fmt;
use std::path::PathBuf;

use rocket::figment::Figment;
use rocket::figment::value::{Dict, Value};
use serde::Deserialize;

use super::{ConfigError, mistake};

pub use postgres::PostgresConfig;

/// The key that names the database.
pub const URL: &str = "databases.login.url";

/// The upper bound of `max_connections`: more than any server allows.
const MOST_CONNECTIONS: u32 = 1_000;

/// The keys of the table.
const KEYS: [&str; 3] = ["url", "max_connections", "named_statements"];

/// The databases that a program was built for: features of this crate.
#[derive(Debug, Clone, Copy)]
struct Built {
    sqlite: bool,
    postgres: bool,
}

/// The databases that this program was built for. `build.rs` refuses a program without any.
const BUILT: Built =
    Built { sqlite: cfg!(feature = "sqlite"), postgres: cfg!(feature = "postgres") };

/// The database's URL if none is configured. Without SQLite there is none: a server cannot be
/// guessed.
pub const DEFAULT_URL: Option<&str> = match BUILT.sqlite {
    true => Some("sqlite:data/login.db"),
    false => None,
};

impl Built {
    /// Returns the fix for a missing or wrong URL.
    fn fix(self) -> &'static str {
        match (self.sqlite, self.postgres) {
            (true, false) => {
                "write \"sqlite:PATH\", or add the feature \"postgres\" of rocket-login"
            }
            (false, true) => {
                "write \"postgres://USER@HOST/DATABASE\", or add the feature \"sqlite\" of \
                 rocket-login"
            }
            _ => "write \"sqlite:PATH\" or \"postgres://USER@HOST/DATABASE\"",
        }
    }

    fn refusal(self, problem: &str) -> ConfigError {
        ConfigError::new(URL, format!("{problem}; {}", self.fix()))
    }

    /// Returns why a database is refused that the program was built without.
    fn without(self, database: &str) -> String {
        format!("is {database}, which this program was built without; {}", self.fix())
    }
}

/// Returns the reason why a file is refused if the feature `sqlite` is off.
#[cfg(not(feature = "sqlite"))]
pub fn without_sqlite() -> ConfigError {
    ConfigError::new(URL, BUILT.without("SQLite"))
}

/// The kind of database, which the scheme of `databases.login.url` selects.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseConfig {
    /// `sqlite:PATH`, the default: one file, for one instance. Needs the feature `sqlite`; without
    /// it there is no default.
    Sqlite(PathBuf),
    /// `postgres://…`: a server, for several instances. Needs the feature `postgres`.
    Postgres(Box<PostgresConfig>),
}

#[derive(Deserialize)]
struct Table {
    url: String,
    #[serde(default = "max_connections")]
    max_connections: u32,
    #[serde(default = "named_statements")]
    named_statements: bool,
}

fn max_connections() -> u32 {
    8
}

fn named_statements() -> bool {
    true
}

/// Returns whether `scheme` is one that people write on purpose, and not a secret that contains a
/// colon.
fn is_scheme(scheme: &str) -> bool {
    const KNOWN: [&str; 9] =
        ["sqlite", "sqlite3", "mysql", "mariadb", "mssql", "mongodb", "redis", "file", "https"];
    KNOWN.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

impl DatabaseConfig {
    /// Reads the table `databases.login` of `figment`.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is missing or names no supported database, if a key is unknown
    /// or out of range, or if a key for PostgreSQL is set for a file.
    pub fn from_figment(figment: &Figment) -> Result<Self, ConfigError> {
        let login: Dict = match figment.find_value("databases.login") {
            Ok(Value::Dict(_, login)) => login,
            _ => Dict::new(),
        };

        if let Some(key) = login.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(ConfigError::new(
                format!("databases.login.{key}"),
                mistake::unknown(key, &KEYS),
            ));
        }
        match login.get("url") {
            Some(Value::String(..)) => {}
            Some(_) => return Err(BUILT.refusal("is not a text")),
            None => return Err(BUILT.refusal("is missing")),
        }

        let table = figment.focus("databases.login");
        let database = Self::of_table(&table)?;
        let connections = table.extract_inner("max_connections").unwrap_or(max_connections());
        if !(1..=MOST_CONNECTIONS).contains(&connections) {
            let key = "databases.login.max_connections";
            return Err(ConfigError::new(key, "is out of range; write 1 to 1000"));
        }
        let for_postgres = KEYS[1..].iter().find(|key| login.contains_key(**key));
        match (&database, for_postgres) {
            (DatabaseConfig::Sqlite(_), Some(key)) => Err(ConfigError::new(
                format!("databases.login.{key}"),
                "is for PostgreSQL only; remove it",
            )),
            _ => Ok(database),
        }
    }

    /// Reads the database from `figment`, which is the table itself and may also hold Rocket's own
    /// keys.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`from_figment()`](Self::from_figment()), except for
    /// unknown keys, which it ignores.
    pub fn of_table(figment: &Figment) -> Result<Self, ConfigError> {
        let table: Table = figment.extract().map_err(|error| {
            let ConfigError { key, problem } = ConfigError::from(error);
            ConfigError::new(format!("databases.login.{key}"), problem)
        })?;
        let mut database = Self::parse(&table.url)?;
        if let DatabaseConfig::Postgres(config) = &mut database {
            // Rocket's default follows the number of cores.
            let most = table.max_connections.clamp(1, MOST_CONNECTIONS);
            config.set_use(most, table.named_statements);
        }
        Ok(database)
    }

    /// Reads the database from its URL.
    ///
    /// # Errors
    ///
    /// Returns an error for any other scheme, which must never become a new file of that name, for
    /// a SQLite database without a file, and for a database whose feature, `sqlite` or `postgres`,
    /// is off.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        Self::parse_with(url, BUILT)
    }

    fn parse_with(url: &str, built: Built) -> Result<Self, ConfigError> {
        // The URL may hold a password, so messages repeat only its scheme.
        let refuse = |problem: &str| Err(built.refusal(problem));
        let path = match url.split_once(':') {
            Some(("sqlite", _)) if !built.sqlite => {
                return Err(ConfigError::new(URL, built.without("SQLite")));
            }
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some(("postgres" | "postgresql", _)) if !built.postgres => {
                return Err(ConfigError::new(URL, built.without("PostgreSQL")));
            }
            Some(("postgres" | "postgresql", _)) => {
                return match PostgresConfig::parse(url) {
                    Ok(config) => Ok(DatabaseConfig::Postgres(Box::new(config))),
                    Err(problem) => Err(ConfigError::new(URL, problem)),
                };
            }
            Some((scheme, _)) if is_scheme(scheme) => {
                return refuse(&format!("has the unknown scheme \"{scheme}\""));
            }
            Some(_) => return refuse("has an unknown scheme"),
            None => return refuse("has no scheme"),
        };

        // Each connection to a database in memory would get an empty database of its own.
        if path.is_empty() || path.contains(":memory:") {
            return refuse("needs a file");
        }

        if path.contains('?') {
            return refuse("takes no parameters after \"?\", because the settings are fixed");
        }

        Ok(DatabaseConfig::Sqlite(PathBuf::from(path)))
    }
}

/// Shows the full path of the file, or the server and the database without user and password.
impl fmt::Display for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseConfig::Sqlite(path) => {
                let whole = std::path::absolute(path);
                whole.as_deref().unwrap_or(path).display().fmt(f)
            }
            DatabaseConfig::Postgres(config) => f.write_str(config.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Built = Built { sqlite: true, postgres: true };

    #[test]
    fn a_program_without_sqlite_refuses_a_file_and_names_the_feature() {
        let built = Built { sqlite: false, ..BOTH };
        for url in ["sqlite:login.db", "login.db", "mysql://db.example.org/login"] {
            let refused = DatabaseConfig::parse_with(url, built).unwrap_err().to_string();
            assert!(refused.starts_with("databases.login.url: "), "{refused}");
            assert!(refused.contains("postgres://USER@HOST/DATABASE"), "{refused}");
            assert!(refused.contains("the feature \"sqlite\" of rocket-login"), "{refused}");
            assert!(!refused.contains("sqlite:PATH"), "{refused}");
        }

        let file = DatabaseConfig::parse_with("sqlite:login.db", BOTH);
        assert_eq!(file.unwrap(), DatabaseConfig::Sqlite("login.db".into()));
    }

    #[test]
    fn a_program_without_postgresql_refuses_a_server_and_names_the_feature() {
        let built = Built { postgres: false, ..BOTH };
        let server = "postgres://login:password@db.example.org/login";
        for url in [server, "postgresql://db.example.org/login", "login.db"] {
            let refused = DatabaseConfig::parse_with(url, built).unwrap_err().to_string();
            assert!(refused.starts_with("databases.login.url: "), "{refused}");
            assert!(refused.contains("sqlite:PATH"), "{refused}");
            assert!(refused.contains("the feature \"postgres\" of rocket-login"), "{refused}");
            assert!(!refused.contains("postgres://") && !refused.contains("word@"), "{refused}");
        }
        assert!(DatabaseConfig::parse_with("sqlite:login.db", built).is_ok());
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_program_without_sqlite_accepts_a_server() {
        let built = Built { sqlite: false, ..BOTH };
        let server = "postgres://login@db.example.org/login";
        assert!(DatabaseConfig::parse_with(server, built).is_ok());
    }
}
