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
    /// Every account
    List {
        /// For scripts; instants in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Make an account; its password comes from a prompt, or from the first line of standard input
    Add {
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// One account
    Show {
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// For scripts; instants in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Log the account out everywhere and let nobody log in to it
    Disable {
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Take `disable` back
    Enable {
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Delete the account and everything stored about it
    Delete {
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Forget the account's failed log-ins
    Unlock {
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Print a link to a new password, good once
    Reset {
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
                report(operator.disable(&email).await?, &email, "is disabled and logged out")
            }
            UserCommand::Enable { email } => {
                report(operator.enable(&email).await?, &email, "may log in again")
            }
            UserCommand::Delete { email } => {
                report(operator.delete(&email).await?, &email, "is deleted")
            }
            UserCommand::Unlock { email } => {
                report(operator.unlock(&email).await?, &email, "has no failed log-ins any more")
            }
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
        true => output::print(format_args!("{email} has an account")),
        false => {
            Err(format!("{email} has an account already, or was the address of one lately").into())
        }
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
    let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
    match password == again {
        true => Ok(password),
        false => Err("the two are not the same".into()),
    }
}

fn report(is_done: bool, email: &Email, what: &str) -> Done {
    match is_done {
        true => output::print(format_args!("{email} {what}")),
        false => Err(no_account(email)),
    }
}

const COLUMNS: [&str; 6] =
    ["E-mail address", "Member since", "Confirmed", "Disabled", "Sessions", "Failed log-ins"];

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
