//! The commands `user …`, which show and change accounts.

use std::io::{IsTerminal, stdin};

use clap::Subcommand;
use rocket::figment::Figment;
use zeroize::Zeroizing;

use super::{Done, Failed, no_account, operate, output, table};
use crate::auth::{Operator, Overview};
use crate::clock::in_utc;
use crate::config::Config;
use crate::password::{Hasher, NewPassword};
use crate::user::Email;

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List all accounts
    List {
        /// Print JSON, for scripts; times are in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Create an account; its password comes from a prompt, or from the first line of standard input
    Add {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Show one account
    Show {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Print JSON, for scripts; times are in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Log the account out everywhere and refuse its log-ins
    Disable {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Undo `disable`
    Enable {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Delete the account and all its data
    Delete {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Clear the account's failed log-ins
    Unlock {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Print a reset link, which works once
    Reset {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
}

impl UserCommand {
    pub async fn run(self, figment: &Figment) -> Done {
        operate(figment, async |operator, config| match self {
            UserCommand::List { json } => table::print(json, &operator.list().await?, COLUMNS, row),
            UserCommand::Add { email } => add(operator, config, &email).await,
            UserCommand::Show { email, json } => {
                let found = operator.show(&email).await?.ok_or_else(|| no_account(&email))?;
                match json {
                    true => table::print_json(&found),
                    false => table::print(false, &[found], COLUMNS, row),
                }
            }
            UserCommand::Disable { email } => {
                report(operator.disable(&email).await?, &email, "was disabled and logged out")
            }
            UserCommand::Enable { email } => {
                report(operator.enable(&email).await?, &email, "can log in again")
            }
            UserCommand::Delete { email } => {
                report(operator.delete(&email).await?, &email, "was deleted")
            }
            UserCommand::Unlock { email } => report(
                operator.unlock(&email).await?,
                &email,
                "was unlocked: its failed log-ins were cleared",
            ),
            UserCommand::Reset { email } => {
                let link = operator.reset(&email).await?;
                let none = || format!("{email} has no account, or it is disabled");
                output::print(link.ok_or_else(none)?)
            }
        })
        .await
    }
}

async fn add(operator: &Operator, config: &Config, email: &Email) -> Done {
    let password = NewPassword::parse(&read_password()?, &config.password, &[email.as_str()])?;
    let hash = Hasher::start(&config.password)?.hash(password.into()).await?;
    match operator.add(email, &hash).await? {
        true => output::print(format_args!("{email} was created")),
        false => Err(format!("{email} already has an account, or had one until recently").into()),
    }
}

/// Reads a password: twice and without an echo from a terminal, or one line from anything else. It
/// is never an argument, because every user of the machine can see those.
fn read_password() -> Result<Zeroizing<String>, Failed> {
    if !stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        stdin().read_line(&mut line)?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }

    let password = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    let again = Zeroizing::new(rpassword::prompt_password("Repeat password: ")?);
    match password == again {
        true => Ok(password),
        false => Err("the passwords don't match".into()),
    }
}

fn report(is_done: bool, email: &Email, what: &str) -> Done {
    match is_done {
        true => output::print(format_args!("{email} {what}")),
        false => Err(no_account(email)),
    }
}

const COLUMNS: [&str; 6] =
    ["Email address", "Member since", "Confirmed", "Disabled", "Sessions", "Failed log-ins"];

fn row(account: &Overview) -> [String; 6] {
    let or_no = |at: Option<i64>| at.map_or_else(|| "no".into(), in_utc);
    [
        account.email.to_string(),
        in_utc(account.created_at),
        or_no(account.verified_at),
        or_no(account.disabled_at),
        account.sessions.to_string(),
        account.failed_log_ins.to_string(),
    ]
}
