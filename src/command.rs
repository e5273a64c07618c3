//! The command line of our own program, and of an application's.
//!
//! [`run()`] gives the program of an application the commands that `rocket-login` has. [The
//! reference](crate::_documentation::reference#commands) lists them. Without a command the
//! application serves:
//!
//! ```rust,no_run
//! use std::process::ExitCode;
//!
//! use rocket::{get, routes};
//! use rocket_login::{User, stage_at};
//!
//! #[get("/notes")]
//! fn notes(user: &User) -> String {
//!     format!("Notes of {}", user.email)
//! }
//!
//! fn main() -> ExitCode {
//!     rocket_login::command::run(stage_at("/auth"), |stage| {
//!         rocket::build().attach(stage).mount("/", routes![notes])
//!     })
//! }
//! ```
//!
//! ```console
//! $ notes                                   # serves
//! $ notes user disable ada@example.org
//! ```

mod account;
mod check;
mod config_file;
mod copy;
mod logger;
mod manual;
mod output;
mod secret_key;
mod serve;
mod session;
mod start;
mod table;
mod terminal;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use rocket::fairing::{self, Fairing, Info};
use rocket::figment::Figment;
use rocket::{Build, Rocket};
use rocket_db_pools::Pool as _;

use crate::auth::{Account, OperatedSite, Operator};
use crate::config::{self, Config, ConfigError, DatabaseConfig};
use crate::db::Pool;
use crate::db::schema::{self, Refusal, Schema};
use crate::mail::Mail;
use crate::program;
use crate::sessions::with_defaults;
use crate::stage::Stage;
use crate::user::Email;
use output::Ended;
use serve::serve;

/// Runs and manages a site with sign-up, log-in and sessions
///
/// The configuration is read from Rocket.toml, in this folder or in one above it.
/// --config names another file, and so does the variable ROCKET_CONFIG. If both do,
/// --config counts. Variables such as ROCKET_PORT override what the file says.
/// ROCKET_PROFILE selects the profile: debug, or release for a public site.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// Read the configuration from this file instead of Rocket.toml
    #[arg(long, global = true, value_name = "FILE", display_order = 100)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the site (the default)
    Serve,
    /// Print a new key for ROCKET_SECRET_KEY
    SecretKey,
    #[command(flatten)]
    Act(Act),
    /// Print a script that completes these commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write a page for each command into a folder
    Man {
        /// The folder, as in /usr/local/share/man/man1
        folder: Option<PathBuf>,
    },
}

/// A command that acts on a database.
#[derive(Debug, Subcommand)]
enum Act {
    /// Create the database or bring it up to date, then exit
    Migrate,
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

/// What a command acts on: the site that its configuration and its stage describe.
struct Target {
    figment: Figment,
    stage: Stage,
}

/// Runs the command line of `rocket-login`, whose `serve` serves our own site. The exit code is 0, 1
/// if the command failed, 2 for wrong usage, or 130 after Ctrl-C at a password.
pub fn main() -> ExitCode {
    with_command(|act| {
        // We read the configuration before Rocket's runtime does, which panics if it cannot read a
        // value.
        let target = Target { figment: config::read()?, stage: crate::stage() };
        rocket::execute(async {
            if let Some(act) = act {
                return act.run(&target).await;
            }
            logger::install_for_site();
            config::check_top_level(&target.figment)?;
            let Target { figment, stage } = target;
            let attached = stage.clone();
            serve(figment, &stage, |figment| rocket::custom(figment).attach(attached)).await
        })
    })
}

/// Runs the command line of an application's program. `serve`, and no command at all, launch the
/// application that `build` returns. The other commands act on its database, with its
/// configuration. The exit code is 0, 1 if the command failed, 2 for wrong usage, or 130 after Ctrl-C
/// at a password.
///
/// `stage` has everything that the application says about it, such as its hooks and its migrations:
/// the commands use them too. `build` gets it as an [`AttachStage`] and attaches it. It runs for each
/// command, and commands neither ignite nor launch what it returns. So it should leave what takes
/// time, or has effects outside, to fairings.
///
/// `site.drain` works as in our own program.
///
/// # A logger of your own
///
/// Install it before you call `run()`, as in `env_logger::init()`. Everything that is logged then goes
/// to it. Otherwise we install one before `build` runs: for a command one that prints our lines on
/// standard error, and for the site one that prints on standard output. A second logger is an error,
/// so `env_logger::init()` inside `build` panics.
///
/// The site's logger obeys `log_level` and prints what Rocket's would, with two differences. At the
/// launch it says in a few lines where the site answers, and which database and mail server it uses.
/// And each request has one line. With `log_level = "debug"`, it prints all that Rocket says too.
///
/// # Examples
///
/// See [the module](self), and the example `admin`.
pub fn run(stage: Stage, build: impl FnOnce(AttachStage) -> Rocket<Build> + Send) -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if let Some(name) = Path::new(&called).file_stem().and_then(|name| name.to_str()) {
        program::set(name.to_owned());
    }
    with_command(|act| {
        config::check_rocket()?;
        rocket::execute(async {
            // Otherwise Rocket would install its own.
            match act {
                Some(_) => logger::install_for_command(),
                None => logger::install_for_site(),
            }
            let rocket = build(AttachStage(stage.clone()));
            let figment = with_defaults(&rocket);
            match act {
                Some(act) => act.run(&Target { figment, stage }).await,
                None => serve(figment, &stage, |figment| rocket.configure(figment)).await,
            }
        })
    })
}

/// The stage that [`run()`] passes to `build`, which attaches it.
///
/// It is a fairing and nothing else. The hooks and the migrations of an application belong to the
/// [`Stage`] that `run()` gets, because a stage that `build` changed would be unknown to the commands.
///
/// # Examples
///
/// ```rust,no_run
/// use rocket_login::{Migrations, command, stage};
///
/// let migrations = Migrations::new().add(1, "tags", "CREATE TABLE tags (name TEXT NOT NULL)");
/// command::run(stage().migrations(migrations), |stage| rocket::build().attach(stage));
/// ```
///
/// This does not compile:
///
/// ```rust,compile_fail,E0599
/// use rocket_login::{Migrations, command, stage};
///
/// let migrations = Migrations::new().add(1, "tags", "CREATE TABLE tags (name TEXT NOT NULL)");
/// command::run(stage(), |stage| rocket::build().attach(stage.migrations(migrations)));
/// ```
#[derive(Debug)]
#[must_use = "a stage does nothing until it is attached"]
pub struct AttachStage(Stage);

#[rocket::async_trait]
impl Fairing for AttachStage {
    fn info(&self) -> Info {
        self.0.info()
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        self.0.on_ignite(rocket).await
    }
}

/// Reads the arguments, calls `run` with the command, and returns the exit code. `None` means that
/// the site is to be served.
fn with_command(run: impl FnOnce(Option<Act>) -> Done) -> ExitCode {
    let done = match parse() {
        Ok(arguments) => arguments.run(run),
        Err(wrong) if wrong.use_stderr() => {
            let _ = wrong.print();
            return ExitCode::from(2);
        }
        Err(help) => output::written(help.print().and_then(|()| stdout().flush())),
    };

    let Err(error) = done else { return ExitCode::SUCCESS };
    match error.downcast_ref::<Ended>() {
        Some(ended) => {
            output::say(ended);
            ExitCode::from(ended.code)
        }
        None => {
            output::say(format_args!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Arguments, clap::Error> {
    Arguments::from_arg_matches(&usage().try_get_matches()?)
}

/// Returns the commands and options under the name of the program.
fn usage() -> clap::Command {
    let name = program::name();
    let revoke = format!(
        "{name} session revoke <EMAIL> [--session <HANDLE>]\n       \
         {name} session revoke --all [--yes]"
    );
    Arguments::command()
        .name(name)
        .bin_name(name)
        .version(program::version())
        .mut_subcommand("session", |session| {
            session.mut_subcommand("revoke", |command| command.override_usage(revoke))
        })
}

impl Arguments {
    fn run(self, run: impl FnOnce(Option<Act>) -> Done) -> Done {
        let act = match self.command {
            // These need no configuration: a key may be for a file that does not exist yet.
            Some(Command::SecretKey) => return secret_key::print(),
            Some(Command::Completions { shell }) => {
                return manual::print_completions(usage(), shell);
            }
            Some(Command::Man { folder }) => {
                return manual::print_pages(usage(), folder.as_deref());
            }
            None | Some(Command::Serve) => None,
            Some(Command::Act(act)) => Some(act),
        };
        config_file::select(self.config.as_deref())?;
        run(act)
    }
}

impl Act {
    async fn run(self, target: &Target) -> Done {
        match self {
            Act::Migrate => {
                // Only the database is read: an operator who migrates need not have the secret key.
                let database = DatabaseConfig::from_figment(&target.figment)?;
                migrate(&database, &target.stage).await?;
                output::say_database(&database);
                output::print(format_args!("{database} is up to date"))
            }
            Act::Check(check) => check.run(target).await,
            Act::Copy(copy) => copy.run().await,
            Act::User(command) => command.run(target).await,
            Act::Session(command) => command.run(target).await,
        }
    }
}

/// The reason why a command failed, in one line.
type Failed = Box<dyn std::error::Error + Send + Sync>;

type Done = Result<(), Failed>;

/// Creates the database if it does not exist, and brings it up to date, with the tables of the
/// application too.
async fn migrate(database: &DatabaseConfig, stage: &Stage) -> Done {
    let db = Pool::open(database).await?;
    let migrated = db.migrate_with(stage.own_migrations()).await;
    db.close().await;
    Ok(migrated?)
}

/// Reads the part of the configuration that a command uses.
type ReadConfig = fn(&Figment) -> Result<Config, ConfigError>;

/// The people who are told what a command has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Nobody,
    /// The owner of the account. The running site sends the mail.
    Owner,
}

/// Runs `act` as the operator on the configured database. The database must exist and be up to
/// date: only `serve` and `migrate` create a database or change its schema.
async fn operate(
    target: &Target,
    (read, telling): (ReadConfig, Telling),
    act: impl AsyncFnOnce(&Operator<'_>, &Config) -> Done,
) -> Done {
    let (config, base) = (read(&target.figment)?, target.stage.base()?);
    logger::install_for_command();
    log::set_max_level(log::LevelFilter::Warn);
    let schema = schema::look(&config.database, target.stage.own_migrations()).await?;
    schema.check(&config.database).map_err(advise)?;
    let db = Pool::open(&config.database).await?;
    output::say_database(&config.database);
    let hooks = target.stage.own_hooks();
    let mut site = OperatedSite::new(db.clone(), config.clone(), base.clone(), hooks);
    if telling == Telling::Owner {
        // A mail that waits is sealed with the key of the site.
        match Config::from_figment(&target.figment).map(|config| Mail::new(&config, base)) {
            Ok(Ok(mail)) => site = site.with_mail(mail),
            Ok(Err(error)) => output::say(format_args!("no mail is sent: {error}")),
            Err(error) => output::say(format_args!("no mail is sent: {error}")),
        }
    }
    let done = act(&site.operator(), &config).await;
    db.close().await;
    done
}

/// Returns the refusal with advice. If the database is missing, the command was probably started in
/// another folder, or without the site's variables.
fn advise(refusal: Refusal) -> String {
    match refusal.schema {
        Schema::Absent => format!(
            "{refusal}; run the command in the site's folder, or name the site's Rocket.toml with \
             --config or ROCKET_CONFIG (sudo drops variables: sudo \
             --preserve-env=ROCKET_CONFIG,ROCKET_PROFILE,ROCKET_DATABASES), or create a database \
             with `{} migrate`",
            program::name()
        ),
        _ => refusal.to_string(),
    }
}

/// Returns the account of `email`.
async fn find(operator: &Operator<'_>, email: &Email) -> Result<Account, Failed> {
    let found = operator.find_by_email(email).await?;
    found.ok_or_else(|| format!("{email} has no account").into())
}
