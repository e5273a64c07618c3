//! The error of a database that could not be opened.

use std::fmt;
use std::io::{self, ErrorKind};

use sqlx::error::DatabaseError;

use crate::config::{ConfigError, DATABASE_URL, DatabaseConfig};

/// The reason why the database could not be opened, in one line.
#[derive(Debug, Clone)]
pub struct OpenError(Reason);

#[derive(Debug, Clone)]
enum Reason {
    /// The whole line.
    Line(String),
    /// The problem with the database that is configured, and the fix.
    Database(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Line(line) => f.write_str(line),
            Reason::Database(problem) => write!(f, "{DATABASE_URL}: {problem}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    pub(crate) fn new(line: String) -> Self {
        OpenError(Reason::Line(line))
    }

    pub(crate) fn database(problem: impl fmt::Display) -> Self {
        OpenError(Reason::Database(problem.to_string()))
    }

    /// Says which database could not be opened: the file, or the server without user and password.
    pub(crate) fn of(self, config: &DatabaseConfig) -> Self {
        match self.0 {
            Reason::Database(problem) => {
                OpenError::new(format!("{DATABASE_URL}: cannot open {config}: {problem}"))
            }
            line @ Reason::Line(_) => OpenError(line),
        }
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        OpenError::database(match &error {
            sqlx::Error::Database(refused) => of_refusal(&**refused),
            sqlx::Error::Io(error) => of_network(error),
            sqlx::Error::Tls(error) => format!(
                "no encrypted connection: {error}; correct sslmode or sslrootcert in the URL"
            ),
            // It is one of ours, which says everything.
            sqlx::Error::Configuration(problem) => problem.to_string(),
            error => error.to_string(),
        })
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        OpenError::new(error.to_string())
    }
}

/// The file or its folder could not be created.
impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        let fix = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => RIGHTS,
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                "a file has the name of its folder: move that file away, or name another folder"
            }
            ErrorKind::IsADirectory => "name a file in that folder",
            ErrorKind::StorageFull => FULL,
            _ => "name a file that this program may create and write",
        };
        OpenError::database(format!("{error}; {fix}"))
    }
}

const RIGHTS: &str =
    "the user that runs this program must be allowed to write the file and its folder";
const FULL: &str = "make room on the disk and start again";

fn of_refusal(refused: &dyn DatabaseError) -> String {
    with_fix(refused).unwrap_or_else(|| refused.message().to_owned())
}

/// Returns what the database said, and the fix. `None` means that no fix is known. The codes are
/// SQLite's numbers and PostgreSQL's five characters.
pub fn with_fix(refused: &dyn DatabaseError) -> Option<String> {
    let code = refused.code().unwrap_or_default();
    // The last byte of SQLite's code says the kind.
    let fix = match code.parse::<i32>().map_or(0, |code| code & 0xff) {
        _ if code.len() == 5 => return of_server(&code).map(str::to_owned),
        5 | 6 => "another program has locked it: end that program, or wait until it is done",
        8 | 14 => RIGHTS,
        11 => "it is damaged: restore a backup",
        13 => FULL,
        26 => "name an SQLite database, or a file that does not exist yet",
        _ => return None,
    };
    Some(format!("{}; {fix}", refused.message()))
}

/// Returns whether `code` means that PostgreSQL has given up a statement because somebody else held
/// a lock.
pub fn is_held(code: &str) -> bool {
    // lock_not_available, deadlock_detected
    matches!(code, "55P03" | "40P01")
}

/// Returns the problem with the server and the fix. The server's own message may name the user.
fn of_server(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "the server refuses the password; correct it in the URL or in PGPASSWORD",
        "28000" => {
            "the server does not let this user in; correct the user in the URL, or allow the \
             connection in the server's pg_hba.conf"
        }
        "3D000" => {
            "the server has no such database; create it with `createdb`, or correct the name in \
             the URL"
        }
        code if is_held(code) => {
            "another program, such as a backup, uses a table that must be changed; end it \
             (pg_stat_activity lists it), or start again when it is done"
        }
        "53300" => {
            "the server has no free connection; raise its max_connections, or lower \
             databases.login.max_connections"
        }
        _ => return None,
    })
}

/// Returns why there is no connection to the server, and the fix.
fn of_network(error: &io::Error) -> String {
    let fix = match error.kind() {
        ErrorKind::ConnectionRefused => {
            "no server listens there: start PostgreSQL, or correct host and port in the URL"
        }
        ErrorKind::NotFound => {
            "there is no such socket: start PostgreSQL, or correct host in the URL"
        }
        // The standard library has no kind for it.
        _ if error.to_string().contains("lookup address") => {
            "the host is unknown: correct it in the URL"
        }
        _ => "correct host and port in the URL, and look whether a firewall is in the way",
    };
    format!("{error}; {fix}")
}
