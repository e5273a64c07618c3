//! The command line: it reads the arguments and runs a command.

mod account;
mod check;
mod copy;
mod output;
mod secret_key;
mod session;
mod table;

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rocket::Rocket;
use rocket::error::ErrorKind;
use rocket::figment::Figment;
use rocket_db_pools::Pool as _;

use crate::auth::Operator;
use crate::config::{self, Config, DatabaseConfig};
use crate::db::Pool;
use crate::db::schema::{self, Refusal, Schema};
use crate::drain;
use crate::user::Email;

/// The advice if the database is missing.
const ELSEWHERE: &str = "run the command in the site's folder, or with the site's ROCKET_CONFIG \
     (sudo drops variables: sudo --preserve-env=ROCKET_CONFIG,ROCKET_PROFILE,ROCKET_DATABASES), \
     or create a database with `rocket-login migrate`";

/// Runs and manages a site with sign-up, log-in and sessions.
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
    /// Create the database or bring it up to date, then exit
    Migrate,
    /// Print a new key for ROCKET_SECRET_KEY
    SecretKey,
    /// Check this deployment and print each problem with its fix; exit code 1 if there is one
    Check(check::Check),
    /// Copy the site to another database; users stay logged in
    Copy(copy::Copy),
    /// List and change accounts; the running site sees a change at once
    #[command(subcommand)]
    User(account::UserCommand),
    /// List and end sessions; the running site sees a change at once
    #[command(subcommand)]
    Session(session::SessionCommand),
}

/// Runs the command line. The exit code is 0, 1 if the command failed, or 2 for wrong usage.
pub fn main() -> ExitCode {
    let done = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command.unwrap_or(Command::Serve)),
        Err(usage) if usage.use_stderr() => {
            let _ = usage.print();
            return ExitCode::from(2);
        }
        Err(help) => output::written(help.print().and_then(|()| stdout().flush())),
    };

    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(format_args!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Done {
    // This command needs no configuration: the key may be for a file that does not exist yet.
    if let Command::SecretKey = command {
        return secret_key::print();
    }

    // We read the configuration before Rocket's runtime does, which panics if it cannot read a
    // value.
    let figment = config::read()?;
    match command {
        Command::Serve => rocket::execute(serve(figment)),
        Command::Migrate => rocket::execute(migrate(&figment)),
        Command::SecretKey => secret_key::print(),
        Command::Check(check) => rocket::execute(check.run(&figment)),
        Command::Copy(copy) => rocket::execute(copy.run()),
        Command::User(command) => rocket::execute(command.run(&figment)),
        Command::Session(command) => rocket::execute(command.run(&figment)),
    }
}

/// The reason why a command failed, in one line.
type Failed = Box<dyn std::error::Error + Send + Sync>;

type Done = Result<(), Failed>;

async fn serve(figment: Figment) -> Done {
    config::check_top_level(&figment)?;
    let config = Config::from_figment(&figment)?;
    prepare(&config.database).await?;

    let (figment, drain) = drain::prepare(figment, config.site.drain);
    let place = rocket::Config::try_from(&figment).map(|rocket| (rocket.address, rocket.port))?;
    let rocket = rocket::custom(figment).attach(crate::stage());
    let launched = match drain {
        Some(drain) => rocket.attach(drain).launch().await,
        None => rocket.launch().await,
    };
    let _: Rocket<_> = launched.map_err(|error| launch_failed(error, place.into()))?;
    Ok(())
}

/// Returns why the site did not start. Rocket does not say which port is taken.
fn launch_failed(error: rocket::Error, place: SocketAddr) -> Failed {
    match error.kind() {
        ErrorKind::Bind(problem) => format!(
            "cannot listen on {place}: {problem}; stop the other program, or set ROCKET_ADDRESS or \
             ROCKET_PORT"
        )
        .into(),
        _ => error.into(),
    }
}

async fn migrate(figment: &Figment) -> Done {
    // Only the database is read: an operator who migrates need not have the secret key.
    let database = DatabaseConfig::from_figment(figment)?;
    prepare(&database).await?;
    output::print(format_args!("{database} is up to date"))
}

/// Creates the database if it does not exist, and brings it up to date.
async fn prepare(database: &DatabaseConfig) -> Done {
    let db = Pool::open(database).await?;
    let migrated = db.migrate().await;
    db.close().await;
    Ok(migrated?)
}

/// Runs `act` as the operator on the configured database. The database must exist and be up to
/// date: only `serve` and `migrate` create a database or change its schema.
async fn operate(figment: &Figment, act: impl AsyncFnOnce(&Operator, &Config) -> Done) -> Done {
    config::check_top_level(figment)?;
    let config = Config::of_command(figment)?;
    // A command writes its security log to standard error, because only the site writes to its own
    // log.
    log::set_logger(&Lines).map(|()| log::set_max_level(log::LevelFilter::Warn))?;
    schema::look(&config.database).await?.check(&config.database).map_err(advise)?;
    let db = Pool::open(&config.database).await?;
    output::say_database(&config.database);
    let done = act(&Operator::new(db.clone(), config.clone()), &config).await;
    db.close().await;
    done
}

/// Returns the refusal with advice. If the database is missing, the command was probably started in
/// another folder, or without the site's variables.
fn advise(refusal: Refusal) -> String {
    match refusal.schema {
        Schema::Absent => format!("{refusal}; {ELSEWHERE}"),
        _ => refusal.to_string(),
    }
}

/// The logger of a command, which prints this crate's warnings.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("rocket_login")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            output::say(record.args());
        }
    }

    fn flush(&self) {}
}

/// Returns the error for an address without an account.
fn no_account(email: &Email) -> Failed {
    format!("{email} has no account").into()
}
