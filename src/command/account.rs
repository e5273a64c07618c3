//! The commands `user …`, which show and change accounts.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Done, Target, Telling, find, operate, output, table, terminal};
use crate::auth::{
    Account, AccountSearch, AddError, ConnectedIdentity, DisconnectError, NewAccount, Operator,
    RemoveFactorError,
};
use crate::clock::{Timestamp, in_utc};
use crate::config::Config;
use crate::factor::Factor;
use crate::password::NewPassword;
use crate::user::{Email, RoleName};

/// How many accounts `--json` reads at a time.
const PIECE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List accounts in the order of their addresses
    List(List),
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
        /// Do not ask on a terminal whether to delete it
        #[arg(long)]
        yes: bool,
    },
    /// Clear the account's failed log-ins
    Unlock {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
    /// Give the account a role
    Grant {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// The role: a lower-case letter, then lower-case letters, digits and hyphens
        #[arg(value_parser = RoleName::parse)]
        role: RoleName,
    },
    /// Take a role from the account
    Revoke {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// The role
        #[arg(value_parser = RoleName::parse)]
        role: RoleName,
    },
    /// List what the account has beside its password: second factors and accounts at providers
    Factors {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Print JSON, for scripts; times are in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// List the accounts at providers, such as Google, that log in to the account
    Providers {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Print JSON, for scripts; times are in seconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Remove a second factor that its owner has lost, end the sessions and tell the owner by mail
    ///
    /// It disconnects accounts at providers too, such as one that somebody else has
    /// taken over.
    ///
    /// Make sure first that it is the owner who asks, and not somebody who has only
    /// found out the password: ask back at a number or an address that you have known
    /// for long, or ask for what only the owner can know.
    #[command(verbatim_doc_comment)]
    RemoveFactor {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// The id, as `user factors` prints it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Remove all factors and the recovery codes, and disconnect all providers
        #[arg(long)]
        all: bool,
    },
    /// Print a reset link, which works once
    Reset {
        /// The account's email address
        #[arg(value_parser = Email::parse)]
        email: Email,
    },
}

/// Which accounts are listed.
#[derive(Debug, Args)]
pub struct List {
    /// Only accounts whose address starts with this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only accounts that are disabled
    #[arg(long)]
    disabled: bool,
    /// Only accounts whose address is not confirmed
    #[arg(long)]
    unverified: bool,
    /// Only accounts that have this role
    #[arg(long, value_name = "NAME", value_parser = RoleName::parse)]
    role: Option<RoleName>,
    /// Only accounts that come after this address
    #[arg(long, value_name = "ADDRESS", value_parser = Email::parse)]
    after: Option<Email>,
    /// At most this many accounts, up to 1,000 [default: 50, or all with --json]
    #[arg(long, value_name = "NUMBER", value_parser = parse_limit)]
    limit: Option<u32>,
    /// Print JSON, for scripts; times are in seconds since 1970
    #[arg(long)]
    json: bool,
}

fn parse_limit(text: &str) -> Result<u32, &'static str> {
    let limit = text.parse().ok().filter(|limit| (1..=1_000).contains(limit));
    limit.ok_or("write a number from 1 to 1,000")
}

impl List {
    async fn run(self, operator: &Operator<'_>) -> Done {
        let mut search = AccountSearch::new();
        search = self.search.iter().fold(search, |search, text| search.starting_with(text));
        search = self.after.iter().fold(search, AccountSearch::after);
        search = self.role.iter().fold(search, AccountSearch::role);
        search = if self.disabled { search.disabled() } else { search };
        search = if self.unverified { search.unverified() } else { search };
        search = self.limit.into_iter().fold(search, AccountSearch::limit);
        match (self.json, self.limit) {
            (true, None) => print_all(operator, search.limit(PIECE)).await,
            (true, Some(_)) => table::print_json(&operator.list(&search).await?.accounts),
            (false, _) => {
                let page = operator.list(&search).await?;
                table::print(&page.accounts, COLUMNS, row)?;
                if let Some(next) = page.next {
                    output::say(format_args!("there are more accounts: add --after {next}"));
                }
                Ok(())
            }
        }
    }
}

/// Prints all accounts that `search` selects as one JSON array, a page at a time.
async fn print_all(operator: &Operator<'_>, mut search: AccountSearch) -> Done {
    let mut array = table::JsonArray::begin();
    loop {
        let page = operator.list(&search).await?;
        page.accounts.iter().try_for_each(|account| array.add(account))?;
        match page.next {
            Some(next) => search = search.after(&next),
            None => return array.end(),
        }
    }
}

impl UserCommand {
    pub async fn run(self, target: &Target) -> Done {
        let tells = matches!(self, UserCommand::RemoveFactor { .. });
        let how = if tells { Telling::Owner } else { Telling::Nobody };
        operate(target, (Config::of_command, how), async |operator, config| match self {
            UserCommand::List(list) => list.run(operator).await,
            UserCommand::Add { email } => add(operator, config, email).await,
            UserCommand::Show { email, json } => {
                let found = find(operator, &email).await?;
                match json {
                    true => table::print_json(&found),
                    false => table::print(&[found], COLUMNS, row),
                }
            }
            UserCommand::Disable { email } => {
                operator.disable(&find(operator, &email).await?.user).await?;
                output::print(format_args!("Disabled {email} and ended its sessions"))
            }
            UserCommand::Enable { email } => {
                operator.enable(&find(operator, &email).await?.user).await?;
                output::print(format_args!("Enabled {email}"))
            }
            UserCommand::Delete { email, yes } => {
                let found = find(operator, &email).await?;
                terminal::confirm(
                    yes,
                    format_args!("Delete {email} and all its data? This can't be undone."),
                )?;
                operator.delete(&found.user).await?;
                output::print(format_args!("Deleted {email}"))
            }
            UserCommand::Unlock { email } => {
                operator.unlock(&find(operator, &email).await?.user).await?;
                output::print(format_args!("Unlocked {email}: its failed log-ins are cleared"))
            }
            UserCommand::Grant { email, role } => {
                operator.grant(&find(operator, &email).await?.user, &role).await?;
                output::print(format_args!("{email} has the role {role}"))
            }
            UserCommand::Revoke { email, role } => {
                operator.revoke(&find(operator, &email).await?.user, &role).await?;
                output::print(format_args!("{email} does not have the role {role}"))
            }
            UserCommand::Factors { email, json } => factors(operator, &email, json).await,
            UserCommand::Providers { email, json } => providers(operator, &email, json).await,
            UserCommand::RemoveFactor { email, id, .. } => {
                remove_factor(operator, &email, id.as_deref()).await
            }
            UserCommand::Reset { email } => reset(operator, &email).await,
        })
        .await
    }
}

async fn add(operator: &Operator<'_>, config: &Config, email: Email) -> Done {
    let password =
        NewPassword::parse(&terminal::read_password()?, &config.password, &[email.as_str()])?;
    match operator.add(NewAccount::new(email.clone()).password(password).verified()).await {
        Ok(_) => output::print(format_args!("Created {email}")),
        Err(AddError::EmailTaken | AddError::EmailReserved) => {
            Err(format!("{email} already has an account, or had one until recently").into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn reset(operator: &Operator<'_>, email: &Email) -> Done {
    let found = operator.find_by_email(email).await?;
    let Some(account) = found.filter(|account| account.disabled_at.is_none()) else {
        return Err(format!("{email} has no account, or it is disabled").into());
    };
    output::print(operator.reset_link(&account.user).await?)
}

/// What somebody can give beside the password, for a list.
#[derive(Serialize)]
struct Listed {
    id: String,
    kind: &'static str,
    name: String,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
}

/// The id under which the recovery codes are listed and removed.
const CODES: &str = "codes";

/// What precedes the id of an account at a provider, which could be a factor's too.
const PROVIDER: &str = "provider-";

async fn factors(operator: &Operator<'_>, email: &Email, json: bool) -> Done {
    let user = find(operator, email).await?.user;
    let found = operator.factors(&user).await?;
    let mut listed: Vec<Listed> = Vec::new();
    for Factor { id, kind, name, created_at, last_used_at, .. } in found.factors {
        let (id, kind) = (id.to_string(), kind.name());
        listed.push(Listed { id, kind, name, created_at, last_used_at });
    }
    if let Some(codes) = found.codes {
        let (name, created_at) = (format!("{} left", codes.left), codes.created_at);
        let (id, kind) = (CODES.into(), "recovery_codes");
        listed.push(Listed { id, kind, name, created_at, last_used_at: None });
    }
    for ConnectedIdentity { id, label, created_at, last_used_at, .. } in found.identities {
        let (id, name) = (format!("{PROVIDER}{id}"), label);
        listed.push(Listed { id, kind: "provider", name, created_at, last_used_at });
    }
    if json {
        return table::print_json(&listed);
    }
    table::print(&listed, ["Id", "Kind", "Name", "Added", "Last used"], |one| {
        let last_used = one.last_used_at.map_or_else(|| "never".into(), in_utc);
        [one.id.clone(), one.kind.into(), one.name.clone(), in_utc(one.created_at), last_used]
    })
}

/// An account at a provider, for a list.
#[derive(Serialize)]
struct ListedIdentity {
    id: String,
    provider: String,
    issuer: String,
    subject: String,
    email: Option<String>,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    is_offered: bool,
}

async fn providers(operator: &Operator<'_>, email: &Email, json: bool) -> Done {
    let user = find(operator, email).await?.user;
    let found = operator.factors(&user).await?.identities;
    if json {
        let listed = found.into_iter().map(|identity| ListedIdentity {
            id: format!("{PROVIDER}{}", identity.id),
            provider: identity.provider,
            issuer: identity.issuer,
            subject: identity.subject,
            email: identity.email,
            created_at: identity.created_at,
            last_used_at: identity.last_used_at,
            is_offered: identity.is_offered,
        });
        return table::print_json(&listed.collect::<Vec<_>>());
    }
    table::print(&found, IDENTITY_COLUMNS, |identity| {
        [
            format!("{PROVIDER}{}", identity.id),
            identity.provider.clone(),
            identity.label.clone(),
            identity.issuer.clone(),
            identity.subject.clone(),
            identity.email.clone().unwrap_or_else(|| "none".into()),
            in_utc(identity.created_at),
            identity.last_used_at.map_or_else(|| "never".into(), in_utc),
            if identity.is_offered { "yes" } else { "no" }.into(),
        ]
    })
}

const IDENTITY_COLUMNS: [&str; 9] = [
    "Id",
    "Provider",
    "Name",
    "Issuer",
    "Subject",
    "Email address",
    "Connected",
    "Last used",
    "Offered",
];

/// Removes the factor or the account at a provider `id`, or all of them.
async fn remove_factor(operator: &Operator<'_>, email: &Email, id: Option<&str>) -> Done {
    let user = find(operator, email).await?.user;
    let Some(id) = id else {
        let removed = operator.remove_all_factors(&user).await?;
        let factors = if removed == 1 { "factor" } else { "factors" };
        return output::print(format_args!(
            "Removed {removed} {factors} and the recovery codes of {email}, and ended its sessions"
        ));
    };
    if let Some(number) = id.strip_prefix(PROVIDER) {
        let number = number.parse().map_err(|_| DisconnectError::NotConnected)?;
        operator.disconnect_provider(&user, number).await?;
    } else if id == CODES {
        operator.void_recovery_codes(&user).await?;
    } else {
        let number = id.parse().map_err(|_| RemoveFactorError::NoSuchFactor)?;
        operator.remove_factor(&user, number).await?;
    }
    output::print(format_args!("Removed {id} of {email}, and ended its sessions"))
}

const COLUMNS: [&str; 7] = [
    "Email address",
    "Member since",
    "Confirmed",
    "Disabled",
    "Roles",
    "Sessions",
    "Failed log-ins",
];

fn row(Account { user, disabled_at, sessions, failed_log_ins, .. }: &Account) -> [String; 7] {
    let or_no = |at: Option<i64>| at.map_or_else(|| "no".into(), in_utc);
    [
        user.email.to_string(),
        in_utc(user.created_at),
        or_no(user.verified_at),
        or_no(*disabled_at),
        user.roles.to_string(),
        sessions.to_string(),
        failed_log_ins.to_string(),
    ]
}
