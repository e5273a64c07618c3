//! What commands print.
//!
//! `println!` and `eprintln!` panic where nothing can be written: in `user list | head
//! -1`, or on a full disk.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stderr, stdout};

use super::Done;
use crate::config::DatabaseConfig;

/// Prints `text` and the end of a line on standard output.
///
/// Where nobody reads any further, that is no failure: `head` has what it wanted.
///
/// # Errors
///
/// When it cannot be written. What the command has done by then stays done.
pub fn print(text: impl Display) -> Done {
    let mut out = stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// What came of writing to standard output.
///
/// # Errors
///
/// As [`print()`].
pub fn written(result: io::Result<()>) -> Done {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
            "standard output cannot be written: {error}; what the command did stays done"
        )
        .into()),
        _ => Ok(()),
    }
}

/// Says `text` in a line of its own on standard error. Where that cannot be written,
/// there is nobody left to be told.
pub fn say(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// Says which database a command acts on. On standard error: `--json` stays JSON.
pub fn say_database(database: &DatabaseConfig) {
    say(format_args!("database: {database}"));
}
