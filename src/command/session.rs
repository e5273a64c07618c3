//! The commands `session …`, which show and end sessions.

use clap::Subcommand;

use super::{Done, Target, Telling, find, operate, output, table, terminal};
use crate::auth::{EndSessionError, Operator, UserSession};
use crate::clock::in_utc;
use crate::config::Config;
use crate::program;
use crate::user::{Email, User};

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List an account's sessions, the most recently used first, at most 10,000
    List {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Print JSON, for scripts; times are in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// End an account's sessions, one of them with --session, or everybody's with --all
    Revoke {
        /// The account's email address
        #[arg(value_parser = Email::parse, required_unless_present = "all")]
        email: Option<Email>,
        /// End only the session with this handle, which `session list` shows
        #[arg(long, value_name = "HANDLE", conflicts_with = "all")]
        session: Option<String>,
        /// End all sessions, including those of visitors who are not logged in
        #[arg(long, conflicts_with = "email")]
        all: bool,
        /// Do not ask on a terminal whether to end all sessions
        #[arg(long)]
        yes: bool,
    },
}

impl SessionCommand {
    pub async fn run(self, target: &Target) -> Done {
        operate(target, (Config::of_session_command, Telling::Nobody), async |operator, _| {
            match self {
                SessionCommand::List { email, json } => {
                    let account = find(operator, &email).await?;
                    let sessions = operator.sessions(&account.user).await?;
                    match json {
                        true => table::print_json(&sessions),
                        false => table::print(&sessions, COLUMNS, row),
                    }
                }
                SessionCommand::Revoke { email: Some(email), session, .. } => {
                    let user = find(operator, &email).await?.user;
                    let ended = match session {
                        Some(handle) => {
                            end(operator, &user, &handle).await?;
                            1
                        }
                        None => operator.end_sessions(&user).await?,
                    };
                    output::print(format_args!("sessions ended: {ended}"))
                }
                SessionCommand::Revoke { email: None, yes, .. } => {
                    terminal::confirm(yes, "End all sessions? Everybody will be logged out.")?;
                    let ended = operator.end_all_sessions().await?;
                    output::print(format_args!("sessions ended: {ended}"))
                }
            }
        })
        .await
    }
}

async fn end(operator: &Operator<'_>, user: &User, handle: &str) -> Done {
    match operator.end_session(user, handle).await {
        Err(EndSessionError::NoSuchSession) => Err(format!(
            "{} has no session with this handle; `{} session list` shows the handles",
            user.email,
            program::name()
        )
        .into()),
        ended => Ok(ended?),
    }
}

const COLUMNS: [&str; 6] = ["Handle", "Device", "IP address", "Logged in", "Last seen", "Expires"];

fn row(session: &UserSession) -> [String; 6] {
    [
        session.handle.clone(),
        session.device.clone(),
        session.ip_address.clone(),
        in_utc(session.created_at),
        in_utc(session.last_seen_at),
        in_utc(session.expires_at),
    ]
}
