//! The commands `session …`, which show and end sessions.

use clap::Subcommand;
use rocket::figment::Figment;

use super::{Done, no_account, operate, output, table};
use crate::auth::UserSession;
use crate::clock::in_utc;
use crate::user::Email;

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
    /// End an account's sessions, or everybody's with --all
    #[command(override_usage = "rocket-login session revoke <EMAIL>\n       \
                                rocket-login session revoke --all")]
    Revoke {
        /// The account's email address
        #[arg(value_parser = Email::parse, required_unless_present = "all")]
        email: Option<Email>,
        /// End all sessions, including those of visitors who are not logged in
        #[arg(long, conflicts_with = "email")]
        all: bool,
    },
}

impl SessionCommand {
    pub async fn run(self, figment: &Figment) -> Done {
        operate(figment, async |operator, _| match self {
            SessionCommand::List { email, json } => {
                let sessions = operator.sessions(&email).await?;
                let sessions = sessions.ok_or_else(|| no_account(&email))?;
                table::print(json, &sessions, COLUMNS, row)
            }
            SessionCommand::Revoke { email: Some(email), .. } => {
                let ended = operator.end_sessions(&email).await?;
                let ended = ended.ok_or_else(|| no_account(&email))?;
                output::print(format_args!("sessions ended: {ended}"))
            }
            SessionCommand::Revoke { email: None, .. } => {
                let ended = operator.end_all_sessions().await?;
                output::print(format_args!("sessions ended: {ended}"))
            }
        })
        .await
    }
}

const COLUMNS: [&str; 5] = ["Device", "IP address", "Logged in", "Last seen", "Expires"];

fn row(session: &UserSession) -> [String; 5] {
    [
        session.device.clone(),
        session.ip_address.clone(),
        in_utc(session.created_at),
        in_utc(session.last_seen_at),
        in_utc(session.expires_at),
    ]
}
