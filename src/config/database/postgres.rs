//! The connection to PostgreSQL.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
#[cfg(feature = "cli")]
use sqlx::postgres::PgSslMode;

use super::{BUILT, max_connections, named_statements};
use crate::config::percent;

/// The connection to PostgreSQL.
#[derive(Clone)]
#[non_exhaustive]
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

impl PostgresConfig {
    /// Reads the connection from its URL.
    ///
    /// # Errors
    ///
    /// Returns the problem and its fix if the URL cannot be read, or has an unknown parameter. The
    /// URL may hold a password, so the problem does not repeat it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let refuse = |problem: &str| Err(format!("{problem}; {}", BUILT.fix()));
        if let Some(problem) = percent::problem(url) {
            return Err(problem);
        }
        // The library ignores unknown parameters: with a mistyped `sslmode` it would connect
        // without checking the certificate.
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let mut keys = url::form_urlencoded::parse(query.as_bytes());
        if let Some((key, _)) = keys.find(|(key, _)| !is_parameter(key)) {
            let known = PARAMETERS.join(", ");
            // If there is an @, it may be the rest of a password.
            return match query.contains('@') {
                true => refuse(&format!("has an unknown parameter, not one of {known}")),
                false => {
                    refuse(&format!("has the unknown parameter \"{key}\", not one of {known}"))
                }
            };
        }
        match PgConnectOptions::from_str(url) {
            Ok(options) => Ok(PostgresConfig::new(options)),
            Err(_) => refuse("cannot be read"),
        }
    }

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

    /// Sets how the server is used: the values of the table beside the URL.
    pub(super) fn set_use(&mut self, max_connections: u32, named_statements: bool) {
        (self.max_connections, self.named_statements) = (max_connections, named_statements);
    }

    /// Returns the server and the database for messages, without user and password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether somebody on the network could read or change the traffic to the server.
    #[cfg(feature = "cli")]
    pub(crate) fn is_open_to_network(&self) -> bool {
        let is_verified =
            matches!(self.options.get_ssl_mode(), PgSslMode::VerifyFull | PgSslMode::VerifyCa);
        let host = self.options.get_host();
        let is_local = self.options.get_socket().is_some()
            || host.starts_with('/')
            || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
        !is_local && !is_verified
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
