//! The commands `session …`, which show and end sessions.

use clap::Subcommand;
use rocket::figment::Figment;

use super::{Done, no_account, operate, output, table};
use crate::auth::UserSession;
use crate::clock::in_utc;
use crate::user::Email;

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// The sessions of an account, the last used first, 10,000 at most
    List {
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// For scripts; instants in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// End the sessions of an account, or everybody's
    Revoke {
        #[arg(value_parser = Email::parse, required_unless_present = "all")]
        email: Option<Email>,
        /// Everybody's, visitors' included
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

const COLUMNS: [&str; 5] = ["Device", "Address", "Signed in", "Last seen", "Ends"];

fn row(session: &UserSession) -> [String; 5] {
    [
        session.device.clone(),
        session.ip_address.clone(),
        in_utc(session.created_at),
        in_utc(session.last_seen_at),
        in_utc(session.expires_at),
    ]
}
