//! What the command line does.

mod account;
mod check;
mod copy;
mod secret_key;
mod session;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rocket::Rocket;
use rocket_db_pools::Pool;

use crate::auth::Operator;
use crate::config::{self, Config, ConfigError, DatabaseConfig};
use crate::db::Pools;
use crate::drain;
use crate::user::Email;

/// Sign-up, login and sessions, as a site.
#[derive(Debug, Parser)]
#[command(name = "rocket-login", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the site (the default)
    Serve,
    /// Bring the database up to date, and do nothing else
    Migrate,
    /// Print a new key for ROCKET_SECRET_KEY
    SecretKey,
    /// Print what is unsafe in this deployment; exit code 1 if anything is
    Check(check::Check),
    /// Move the site to another database; people stay logged in
    Copy(copy::Copy),
    /// Look at accounts and change them; the running site sees it at once
    #[command(subcommand)]
    User(account::UserCommand),
    /// Look at sessions and end them; the running site sees it at once
    #[command(subcommand)]
    Session(session::SessionCommand),
}

/// Runs the command line: exit code 0, 1 when it failed, 2 on wrong usage.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Command::Serve) {
        Command::Serve => rocket::execute(serve()),
        Command::Migrate => rocket::execute(migrate()),
        Command::SecretKey => secret_key::print(),
        Command::Check(check) => rocket::execute(check.run()),
        Command::Copy(copy) => rocket::execute(copy.run()),
        Command::User(command) => rocket::execute(command.run()),
        Command::Session(command) => rocket::execute(command.run()),
    };

    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed, in one line.
type Failed = Box<dyn std::error::Error + Send + Sync>;

type Done = Result<(), Failed>;

async fn serve() -> Done {
    let figment = crate::figment();
    // Before Rocket looks: it says the same in many lines.
    config::check_top_level(&figment)?;
    let config = Config::from_figment(&figment)?;
    rocket::Config::try_from(&figment).map_err(ConfigError::from)?;
    prepare(&config.database).await?;

    let (figment, drain) = drain::prepare(figment, config.site.drain);
    let rocket = rocket::custom(figment).attach(crate::stage());
    let _: Rocket<_> = match drain {
        Some(drain) => rocket.attach(drain).launch().await?,
        None => rocket.launch().await?,
    };
    Ok(())
}

async fn migrate() -> Done {
    // Only the database: whoever migrates need not hold the secret key.
    let database = DatabaseConfig::from_figment(&crate::figment())?;
    prepare(&database).await?;
    println!("{database} is up to date");
    Ok(())
}

/// Makes the database if it is not there, and brings it up to date.
async fn prepare(database: &DatabaseConfig) -> Done {
    let db = Pools::open(database).await?;
    let migrated = db.migrate().await;
    db.close().await;
    Ok(migrated?)
}

/// Runs `act` as the operator, on the configured database.
async fn operate(act: impl AsyncFnOnce(&Operator, &Config) -> Done) -> Done {
    let figment = crate::figment();
    config::check_top_level(&figment)?;
    let config = Config::of_command(&figment)?;
    // The security log of a command is on standard error: that of the site is
    // the site's alone.
    log::set_logger(&Lines).map(|()| log::set_max_level(log::LevelFilter::Warn))?;
    let db = Pools::open(&config.database).await?;
    db.migrate().await?;
    let done = act(&Operator::new(db.clone(), config.clone()), &config).await;
    db.close().await;
    done
}

/// A log of our own warnings.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("rocket_login")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// The line for an address without an account.
fn no_account(email: &Email) -> Failed {
    format!("{email} has no account").into()
}
