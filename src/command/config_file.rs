//! The option `--config`, which names the configuration file.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::{Done, Failed};
use crate::config::FILE_VARIABLE;

/// Makes `file` the configuration of the program, if there is one.
///
/// Rocket reads the file that the variable `ROCKET_CONFIG` names, also where an application calls
/// `rocket::build()`. A program cannot safely change its own variables. So this one starts again in
/// its own place, with the variable.
///
/// # Errors
///
/// Returns an error if there is no such file, or if the program cannot start again.
pub fn select(file: Option<&Path>) -> Done {
    let Some(file) = file else { return Ok(()) };
    let path = std::path::absolute(file)?;
    // A file that exists is checked when it is read.
    if matches!(path.try_exists(), Ok(false)) {
        let path = path.display();
        return Err(
            format!("--config: there is no file {path}; name the site's Rocket.toml").into()
        );
    }
    if env::var_os(FILE_VARIABLE).is_some_and(|named| named == path) {
        return Ok(());
    }

    let mut arguments = env::args_os();
    let called = arguments.next().unwrap_or_default();
    let mut again = Command::new(env::current_exe()?);
    again.args(arguments).env(FILE_VARIABLE, path);
    Err(start_again(again, called))
}

/// Replaces this program by `again`, which is `called` so, and returns only if that fails.
#[cfg(unix)]
fn start_again(mut again: Command, called: OsString) -> Failed {
    use std::os::unix::process::CommandExt;
    again.arg0(called).exec().into()
}

/// Runs `again` until it ends, and ends with its exit code. It returns only if that fails.
#[cfg(not(unix))]
fn start_again(mut again: Command, _called: OsString) -> Failed {
    match again.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error.into(),
    }
}
