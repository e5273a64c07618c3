//! Prints the output of commands.
//!
//! `println!` and `eprintln!` panic if they cannot write: in `user list | head -1`, or on a full
//! disk.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write, stderr, stdout};

use super::Done;
use crate::config::DatabaseConfig;

/// The end of a command that did not fail and did not succeed either. Its line is printed as it is,
/// without "Error:".
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: u8,
    pub said: String,
}

impl Ended {
    /// Returns the end of a command that somebody ended with Ctrl-C. The exit code is the one that a
    /// shell gives to it.
    pub fn interrupted() -> Self {
        Ended { code: 130, said: "interrupted; nothing was changed".into() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for Ended {}

/// Prints `text` and a line end on standard output.
///
/// It is not a failure if nobody reads any further: `head` has got what it wanted.
///
/// # Errors
///
/// Returns an error if the text cannot be written. The command's changes stay done.
pub fn print(text: impl Display) -> Done {
    let mut out = stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints `text` like [`print()`], without a line end. Standard output may keep it for a while.
///
/// # Errors
///
/// Returns an error in the case of [`print()`].
pub fn print_part(text: impl Display) -> Done {
    written(write!(stdout().lock(), "{text}"))
}

/// Handles the result of writing to standard output.
///
/// # Errors
///
/// Returns an error in the case of [`print()`].
pub fn written(result: io::Result<()>) -> Done {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
            "cannot write to standard output: {error}; the command's changes stay done"
        )
        .into()),
        _ => Ok(()),
    }
}

/// Prints `text` as a line on standard error. If that fails, nobody is left to be told.
pub fn say(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// Prints on standard error which database a command uses, so that the output of `--json` stays
/// JSON.
pub fn say_database(database: &DatabaseConfig) {
    say(format_args!("database: {database}"));
}
