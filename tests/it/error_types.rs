//! What an application can rely on for every error of the public API.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use rocket_login::{auth, config, db, password, web};

/// What `?`, `anyhow`, a log line and a task in the background need of an error.
trait Proper: Error + Clone + Send + Sync + 'static {}

impl<T: Error + Clone + Send + Sync + 'static> Proper for T {}

const fn proper<T: Proper>() {}

/// Names the errors. It compiles only if each of them is a proper one.
macro_rules! errors {
    ($($module:ident { $($name:ident),* $(,)? })*) => {
        const ERRORS: &[&str] = &[$($(stringify!($name)),*),*];
        const _: () = { $($(proper::<$module::$name>();)*)* };
    };
}

errors! {
    rocket_login {
        EmailError, Error, RoleNameError,
    }
    auth {
        AccountError, AddAppError, AddError, AddPasskeyError, ChangeEmailError, ChangePasswordError, DeleteError,
        DisconnectError, EndSessionError, GrantError, HookError, LeadError, LinkError, LogInAsError, LogInError,
        PasskeyLogInError, ProviderAnswerError, ProviderLogOutError, ReauthenticateError, RecoveryCodesError, RegisterError, RemoveFactorError,
        RemovePasswordError, RenamePasskeyError, ResetError, ResetLinkError, SecondStepError, VerifyError,
    }
    config { ConfigError }
    db { OpenError }
    password { PasswordError, PasswordHashError }
    web { FieldError, FieldErrors, Problem }
}

/// The public types in `file` whose name says that they are an error.
fn errors_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let name = |line: &str| -> Option<String> {
        let line = line.trim_start();
        let start = ["pub struct ", "pub enum "].iter().find_map(|start| line.strip_prefix(start));
        let name = match start {
            Some(rest) => rest,
            // As `refusals!` makes them.
            None if line.split_once(" {").is_some_and(|(name, _)| name.ends_with("Error")) => line,
            None => return None,
        };
        let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
        let name = &name[..end];
        let is_error = ["Error", "Errors", "Problem"].iter().any(|end| name.ends_with(end));
        (is_error && name.starts_with(char::is_uppercase)).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

fn all_in(directory: &Path) -> BTreeSet<String> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => all_in(&path).into_iter().collect(),
        false => errors_of(&path),
    });
    found.collect()
}

#[test]
fn every_error_can_be_returned_with_a_question_mark_and_sent_to_a_task() {
    let found = all_in(Path::new("src"));
    assert_eq!(found, ERRORS.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn an_error_says_in_its_display_what_was_wrong() {
    let mut errors = web::FieldErrors::of("email", "email_missing", "Enter your email address.");
    errors.add("password", "wrong_password", "Wrong password.");
    assert_eq!(errors.to_string(), "Enter your email address. Wrong password.");
    let problem = web::Problem::new(rocket::http::Status::Conflict);
    assert_eq!(problem.to_string(), "409 Conflict");
    assert_eq!(
        problem.with_detail("The note has changed.").to_string(),
        "409 Conflict: The note has changed."
    );
}
