//! The table `databases.login`: the database that holds this crate's tables.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rocket::figment::Figment;
use rocket::figment::value::{Dict, Value};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

use super::{ConfigError, percent};

const URL: &str = "databases.login.url";

/// The upper bound of `max_connections`: more than any server allows.
const MOST_CONNECTIONS: u32 = 1_000;

/// The keys of the table.
const KEYS: [&str; 3] = ["url", "max_connections", "named_statements"];

/// The fix for a missing or wrong URL.
const FIX: &str = "write \"sqlite:PATH\" or \"postgres://USER@HOST/DATABASE\"";

/// [`FIX`] for a build without the feature `sqlite`.
const FIX_WITHOUT_SQLITE: &str = "write \"postgres://USER@HOST/DATABASE\", or add the feature \
                                   \"sqlite\" of rocket-login";

/// `true` if the database can be a SQLite file.
const HAS_SQLITE: bool = cfg!(feature = "sqlite");

/// The database's URL if none is configured. Without SQLite there is none: a server cannot be
/// guessed.
pub const DEFAULT_URL: Option<&str> = match HAS_SQLITE {
    true => Some("sqlite:data/login.db"),
    false => None,
};

fn refusal(problem: &str, has_sqlite: bool) -> ConfigError {
    let fix = if has_sqlite { FIX } else { FIX_WITHOUT_SQLITE };
    ConfigError::new(URL, format!("{problem}; {fix}"))
}

/// Returns the reason why a file is refused if the feature `sqlite` is off.
pub fn without_sqlite() -> String {
    format!("is SQLite, which this program was built without; {FIX_WITHOUT_SQLITE}")
}

/// The kind of database, which the scheme of `databases.login.url` selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseConfig {
    /// `sqlite:PATH`, the default: one file, for one instance. Needs the feature `sqlite`; without
    /// it there is no default.
    Sqlite(PathBuf),
    /// `postgres://…`: a server, for several instances.
    Postgres(Box<PostgresConfig>),
}

/// The connection to PostgreSQL.
#[derive(Clone)]
pub struct PostgresConfig {
    /// The options from the URL. Its parameters are `sslmode`, `sslrootcert`, `sslcert`, `sslkey`,
    /// `host`, `hostaddr`, `port`, `dbname`, `user`, `password`, `application_name` and `options`.
    /// The `Debug` output of this field shows the password.
    pub options: PgConnectOptions,
    /// `max_connections`: the most connections that this instance opens, from 1 to 1,000. The
    /// default is four for each of Rocket's workers, and 8 for a command.
    pub max_connections: u32,
    /// `named_statements` (`true`): prepares each statement once for a connection. Set it to
    /// `false` behind a pooler in transaction mode.
    pub named_statements: bool,
    /// The server and the database for messages, without user and password.
    name: String,
}

/// The parameters that a `postgres` URL may have.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

fn is_parameter(key: &str) -> bool {
    PARAMETERS.contains(&key) || key == "options" || key.starts_with("options[")
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
                format!("is not a key; the keys here are {}", KEYS.join(", ")),
            ));
        }
        match login.get("url") {
            Some(Value::String(..)) => {}
            Some(_) => return Err(refusal("is not a string", HAS_SQLITE)),
            None => return Err(refusal("is missing", HAS_SQLITE)),
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
            config.max_connections = table.max_connections.clamp(1, MOST_CONNECTIONS);
            config.named_statements = table.named_statements;
        }
        Ok(database)
    }

    /// Reads the database from its URL.
    ///
    /// # Errors
    ///
    /// Returns an error for any other scheme, which must never become a new file of that name, for
    /// a SQLite database without a file, and for SQLite if the feature `sqlite` is off.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        Self::parse_with(url, HAS_SQLITE)
    }

    fn parse_with(url: &str, has_sqlite: bool) -> Result<Self, ConfigError> {
        // The URL may hold a password, so messages repeat only its scheme.
        let refuse = |problem: &str| Err(refusal(problem, has_sqlite));
        let path = match url.split_once(':') {
            Some(("sqlite", _)) if !has_sqlite => {
                return Err(ConfigError::new(URL, without_sqlite()));
            }
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some(("postgres" | "postgresql", _)) => {
                if let Some(problem) = percent::problem(url) {
                    return Err(ConfigError::new(URL, problem));
                }
                // The library ignores unknown parameters: with a mistyped `sslmode` it would
                // connect without checking the certificate.
                let query = url.split_once('?').map_or("", |(_, query)| query);
                let mut keys = url::form_urlencoded::parse(query.as_bytes());
                if let Some((key, _)) = keys.find(|(key, _)| !is_parameter(key)) {
                    let known = PARAMETERS.join(", ");
                    // If there is an @, it may be the rest of a password.
                    return match query.contains('@') {
                        true => refuse(&format!("has an unknown parameter, not one of {known}")),
                        false => refuse(&format!(
                            "has the unknown parameter \"{key}\", not one of {known}"
                        )),
                    };
                }
                return match PgConnectOptions::from_str(url) {
                    Ok(options) => {
                        Ok(DatabaseConfig::Postgres(Box::new(PostgresConfig::new(options))))
                    }
                    Err(_) => refuse("cannot be read"),
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

impl PostgresConfig {
    fn new(options: PgConnectOptions) -> Self {
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        // The server uses the user's name if there is no database in the URL.
        let database = options.get_database().unwrap_or(options.get_username());
        let name = format!("postgres://{host}:{}/{database}", options.get_port());
        let (max_connections, named_statements) = (max_connections(), named_statements());
        PostgresConfig { options, max_connections, named_statements, name }
    }
}

impl PartialEq for PostgresConfig {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.max_connections == other.max_connections
            && self.named_statements == other.named_statements
    }
}

impl Eq for PostgresConfig {}

/// Shows neither user nor password.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("name", &self.name)
            .field("max_connections", &self.max_connections)
            .field("named_statements", &self.named_statements)
            .finish_non_exhaustive()
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
            DatabaseConfig::Postgres(config) => f.write_str(&config.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_sqlite_refuses_a_file_and_names_the_feature() {
        for url in ["sqlite:login.db", "login.db", "mysql://db.example.org/login"] {
            let refused = DatabaseConfig::parse_with(url, false).unwrap_err().to_string();
            assert!(refused.starts_with("databases.login.url: "), "{refused}");
            assert!(refused.contains("postgres://USER@HOST/DATABASE"), "{refused}");
            assert!(refused.contains("the feature \"sqlite\" of rocket-login"), "{refused}");
            assert!(!refused.contains("sqlite:PATH"), "{refused}");
        }
        let server = "postgres://login@db.example.org/login";
        assert!(DatabaseConfig::parse_with(server, false).is_ok());

        let file = DatabaseConfig::parse_with("sqlite:login.db", true);
        assert_eq!(file.unwrap(), DatabaseConfig::Sqlite("login.db".into()));
    }
}
