//! Asks the person at the terminal.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdin};

use zeroize::Zeroizing;

use super::output::Ended;
use super::{Done, Failed};

/// Asks whether to do what cannot be undone, unless `is_confirmed`.
///
/// Without a terminal to read from nobody can answer, and nobody is asked: a script that calls the
/// command wants it done.
///
/// # Errors
///
/// Returns an error if the answer is not "y" or "yes", or if there is somebody to ask, but the
/// question would not be seen.
pub fn confirm(is_confirmed: bool, question: impl Display) -> Done {
    if is_confirmed || !stdin().is_terminal() {
        return Ok(());
    }
    if !stderr().is_terminal() {
        return Err("this cannot be undone, and stderr is no terminal to ask on; add --yes".into());
    }

    let _ = write!(stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    // An answer that cannot be read is not a "yes".
    let _ = stdin().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err("you did not confirm it; nothing was changed".into()),
    }
}

/// Reads a password: twice and without an echo from a terminal, or one line from anything else. It
/// is never an argument, because every user of the machine can see those.
///
/// # Errors
///
/// Returns an error if the password cannot be read, or if the two are different.
pub fn read_password() -> Result<Zeroizing<String>, Failed> {
    if !stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        stdin().read_line(&mut line)?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }

    let interrupted = catch_interrupt()?;
    let password = prompt("Password: ")?;
    let again = prompt("Repeat password: ")?;
    rocket::tokio::spawn(interrupted);
    match password == again {
        true => Ok(password),
        false => Err("the passwords don't match".into()),
    }
}

fn prompt(text: &str) -> Result<Zeroizing<String>, Failed> {
    match rpassword::prompt_password(text) {
        Ok(password) => Ok(Zeroizing::new(password)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(Ended::interrupted().into()),
        Err(error) => Err(format!("cannot read the password: {error}").into()),
    }
}

/// Keeps Ctrl-C from ending the program at a prompt. The future that it returns ends the program
/// after a Ctrl-C, also after one that came before the future runs.
///
/// `rpassword` reads Ctrl-C itself and raises `SIGINT` before it restores the terminal. A program
/// that ended there would leave the terminal without an echo. With this handler `rpassword`
/// restores the terminal and returns an error.
///
/// # Errors
///
/// Returns an error if the system refuses the handler.
#[cfg(unix)]
fn catch_interrupt() -> std::io::Result<impl Future<Output = ()>> {
    use rocket::tokio::signal::unix::{SignalKind, signal};
    let mut signals = signal(SignalKind::interrupt())?;
    Ok(async move {
        signals.recv().await;
        std::process::exit(Ended::interrupted().code.into());
    })
}

#[cfg(not(unix))]
fn catch_interrupt() -> std::io::Result<impl Future<Output = ()>> {
    Ok(std::future::ready(()))
}
