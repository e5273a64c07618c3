//! The command `check`, which looks for what is unsafe in this deployment.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use rocket::figment::{Figment, Source};
use rocket_db_pools::Pool as _;
use serde::Serialize;

use super::output::Ended;
use super::{Done, Failed, Target, advise, output, table};
#[cfg(feature = "providers")]
use crate::base::Base;
use crate::clock::Clock;
use crate::config::{Config, DatabaseConfig, PasskeysOff, PostgresConfig};
use crate::cookies::SealedCookies;
use crate::db::{self, Connection, Migrations, Pool, schema};
use crate::factor::Sealer;
use crate::factor::seals::Seals;
use crate::history;
use crate::mail::Smtp;
#[cfg(feature = "providers")]
use crate::provider::Providers;
use crate::sql;

/// How long the site may take to answer.
const SITE_PATIENCE: Duration = Duration::from_secs(10);

/// The greatest age of a backup: a day, and two hours to make it.
const BACKUP_AGE: Duration = Duration::from_secs(26 * 60 * 60);

#[derive(Debug, Args)]
pub struct Check {
    /// Do not contact the site, the mail server or a provider
    #[arg(long)]
    offline: bool,
    /// A backup, or a folder of backups; the newest must be less than 26 hours old
    #[arg(long, value_name = "PATH")]
    backup: Option<PathBuf>,
    /// Print only problems
    #[arg(long)]
    quiet: bool,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What a check has found: that all is fine, or one problem.
#[derive(Debug, Serialize)]
struct Finding {
    /// The name of the check, which stays as it is: scripts know it.
    check: &'static str,
    ok: bool,
    message: String,
}

/// The findings, in the order of the checks.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Adds the problems that `check` has found. Without any it adds that all is `fine`.
    fn add(
        &mut self,
        check: &'static str,
        problems: impl IntoIterator<Item = String>,
        fine: impl Into<String>,
    ) {
        let before = self.0.len();
        let problem = |message| Finding { check, ok: false, message };
        self.0.extend(problems.into_iter().map(problem));
        if self.0.len() == before {
            self.0.push(Finding { check, ok: true, message: fine.into() });
        }
    }
}

impl Check {
    /// Prints one line for each check that finds nothing, and for each problem, with the fix. It
    /// fails if there is a problem.
    pub async fn run(self, target: &Target) -> Done {
        let (figment, own) = (&target.figment, target.stage.own_migrations());
        let config = Config::from_figment(figment)?;
        output::say_database(&config.database);

        let is_postgres = matches!(config.database, DatabaseConfig::Postgres(_));
        let mut found = Findings::default();
        found.add("settings", config.warnings(), "no setting is risky");
        profile(&config, figment, &mut found);
        passkeys(&config, &mut found);
        secrets(&config, figment, is_postgres, &mut found);
        database(&config, own, &mut found).await;
        if let Some(path) = &self.backup {
            backup(path, is_postgres, &mut found);
        }
        if !self.offline {
            site(&config, &mut found).await;
            mail(&config, &mut found).await;
        }
        #[cfg(feature = "providers")]
        providers(&config, &target.stage.base()?, self.offline, &mut found).await;
        self.print(found.0)
    }

    fn print(&self, found: Vec<Finding>) -> Done {
        let problems = found.iter().filter(|finding| !finding.ok).count();
        let is_shown = |finding: &Finding| !self.quiet || !finding.ok;
        let shown: Vec<Finding> = found.into_iter().filter(is_shown).collect();
        if self.json {
            table::print_json(&shown)?;
        } else {
            for Finding { ok, message, .. } in &shown {
                output::print(format_args!("{}: {message}", if *ok { "ok" } else { "problem" }))?;
            }
        }
        match problems {
            0 if self.quiet || self.json => Ok(()),
            0 => output::print("no problems found"),
            1 => Err(Ended { code: 1, said: "1 problem found".into() }.into()),
            _ => Err(Ended { code: 1, said: format!("{problems} problems found") }.into()),
        }
    }
}

fn profile(config: &Config, figment: &Figment, found: &mut Findings) {
    let is_debug = config.debug.then(|| {
        "the profile is debug, which is for development; set ROCKET_PROFILE=release".to_owned()
    });
    found.add("profile", is_debug, format!("the profile is {}", figment.profile()));
    if config.debug {
        return;
    }

    let address: Option<std::net::IpAddr> = figment.extract_inner("address").ok();
    let is_local = address.is_none_or(|address| address.is_loopback());
    let trusted = &config.site.trusted_proxies;
    let proxy = if trusted.iter().any(|network| network.prefix_len() == 0) {
        Some(
            "site.trusted_proxies trusts everybody: anybody can fake their IP address; write the \
             proxy's address",
        )
    } else if is_local && trusted.is_empty() {
        Some(
            "site.trusted_proxies is empty: all visitors who come through the proxy seem to have \
             one IP address, and share its limits; write [\"127.0.0.1\"]",
        )
    } else {
        None
    };
    found.add("proxy", proxy.map(str::to_owned), "visitors cannot fake their IP address");
    let open = (!is_local).then(|| {
        "address lets other machines connect: visitors can bypass the proxy and use http; \
         write \"127.0.0.1\", or let only the proxy connect"
            .to_owned()
    });
    found.add("address", open, "other machines cannot connect past the proxy");
    match &config.site.url {
        Some(url) => found.add("url", None, format!("site.url is {url}")),
        None => {
            let problem = "site.url is not set, so https cannot be checked; write \"https://…\"";
            found.add("url", [problem.to_owned()], "");
        }
    }
}

/// Adds why browsers cannot use passkeys at the address of the site.
fn passkeys(config: &Config, found: &mut Findings) {
    let problem = match config.passkey_site() {
        Ok(_) | Err(PasskeysOff::NotBuilt) => None,
        Err(_) if !config.factors.passkeys => None,
        Err(PasskeysOff::NoUrl) => Some(
            "factors.passkeys: passkeys are off, because site.url is not set; write it, or write \
             false here",
        ),
        Err(PasskeysOff::IpAddress) => Some(
            "factors.passkeys: passkeys are off, because site.url has an IP address; write a name \
             there, or write false here",
        ),
    };
    found.add("passkeys", problem.map(str::to_owned), "the address of the site suits passkeys");
}

/// Adds the files that hold a secret and that others can read. Only on Unix it can tell who can.
fn secrets(config: &Config, figment: &Figment, is_postgres: bool, found: &mut Findings) {
    if cfg!(unix) {
        // The URL of PostgreSQL may contain a password.
        let url = is_postgres.then_some("databases.login.url");
        let clients = config.providers.keys();
        let clients = clients.map(|name| config.key(&format!("providers.{name}.client_secret")));
        let keys = ["secret_key"].into_iter().chain(url).map(str::to_owned).chain(clients);
        let open = keys.filter_map(|key| key_file(figment, &key));
        found.add("secrets", open, "others on this machine cannot read a file with a secret");
    }
}

/// Returns the problem if others can read the file that holds the secret `key`.
fn key_file(figment: &Figment, key: &str) -> Option<String> {
    let metadata = figment.find_metadata(key)?;
    let Some(Source::File(path)) = &metadata.source else { return None };
    is_open(path).then(|| {
        let path = path.display();
        format!("{key}: {path} can be read by others on this machine; chmod 600 {path}")
    })
}

async fn database(config: &Config, own: &Migrations, found: &mut Findings) {
    let database = &config.database;
    match database {
        DatabaseConfig::Sqlite(path) if cfg!(unix) && path.exists() => {
            found.add("access", file(path), "others on this machine cannot read the database");
        }
        DatabaseConfig::Sqlite(_) => {}
        DatabaseConfig::Postgres(postgres) => {
            found.add("access", server(postgres), "others cannot read the traffic to the server");
        }
    }
    if let Err(error) = look(config, own, found).await {
        found.add("database", [error.to_string()], "");
    }
}

fn file(path: &Path) -> Option<String> {
    is_open(path).then(|| {
        let path = path.display();
        format!(
            "databases.login.url: {path} can be read by others on this machine; chmod 600 {path}*"
        )
    })
}

fn server(config: &PostgresConfig) -> Option<String> {
    config.is_open_to_network().then(|| {
        "databases.login.url: anybody on the network can read and change the traffic to the \
         server; add ?sslmode=verify-full"
            .into()
    })
}

/// Adds what the database itself shows. Opening it refuses an unsafe SQLite.
async fn look(config: &Config, own: &Migrations, found: &mut Findings) -> Result<(), Failed> {
    let database = &config.database;
    let schema = schema::look(database, own).await?.check(database).err();
    let is_current = schema.is_none();
    let problem = schema.map(|refusal| format!("databases.login.url: {}", advise(refusal)));
    found.add("schema", problem, "the database is up to date");
    if !is_current {
        return Ok(());
    }

    let db = Pool::open(database).await?;
    let is_sound = db.is_sound().await?;
    let mut reader = db.read().await?;
    let server = match reader.is_postgres() {
        true => settings(&mut reader, found).await?,
        false => {
            let damage = format!("databases.login.url: {database} is damaged; restore a backup");
            found.add("integrity", (!is_sound).then_some(damage), "the database is sound");
            None
        }
    };

    // A clock was ahead: sessions from that time would live longer than they should.
    let latest = history::latest_event(&mut reader).await?;
    let behind = (latest > Clock::system().now() + 5 * 60).then(|| {
        "the clock is behind the newest entry in the database; set it with NTP (timedatectl)".into()
    });
    found.add("clock", server.into_iter().chain(behind), "the clock fits the database");
    found.add("apps", apps(config, &mut reader).await?, "every authenticator app can be used");
    found.add("database", None, format!("{database} answers"));
    drop(reader);
    db.close().await;
    Ok(())
}

/// Returns the problems of apps that were sealed with another key than the current one.
async fn apps(config: &Config, db: &mut Connection) -> Result<Vec<String>, Failed> {
    let sealer = Sealer::new(&SealedCookies::new(config));
    let seals = Seals::look(db, &sealer).await?;
    let lost = (seals.lost > 0).then(|| seals.to_string());
    let outdated = (seals.outdated > 0).then(|| {
        format!(
            "session.previous_keys: {} authenticator apps are still sealed with an earlier key; \
             start the site, which seals them anew, before you remove that key",
            seals.outdated
        )
    });
    Ok(lost.into_iter().chain(outdated).collect())
}

/// Adds the problems in the settings that an operator can choose in PostgreSQL. Returns the one of
/// the server's clock.
async fn settings(db: &mut Connection, found: &mut Findings) -> Result<Option<String>, Failed> {
    let (fsync, is_superuser, now): (String, String, i64) = sql::query_as(
        "SELECT current_setting('fsync'), current_setting('is_superuser'),
                extract(epoch FROM now())::bigint",
    )
    .fetch_one(db)
    .await?;
    let fsync = (fsync == "off").then(|| {
        "databases.login.url: the server reports a commit before it is on disk, so a power cut \
         can undo a log-out; set fsync to on"
            .to_owned()
    });
    found.add("durability", fsync, "the server has a commit on disk before it reports it");
    let superuser = (is_superuser == "on").then(|| {
        "databases.login.url: the site logs in as a superuser; give it a role of its own that \
         owns the database"
            .to_owned()
    });
    found.add("role", superuser, "the site's role is not a superuser");
    let differs = (now - Clock::system().now()).abs() > 5;
    Ok(differs.then(|| {
        "the clocks here and on the database server differ: sessions end at the wrong time, and \
         mails may be sent twice; set both with NTP (timedatectl)"
            .into()
    }))
}

/// Adds the newest backup at `path`, a file or a folder.
fn backup(path: &Path, is_postgres: bool, found: &mut Findings) {
    let place = path.display();
    let problem = match newest_backup(path, is_postgres) {
        Ok(Some(newest)) => backup_problem(&newest),
        Ok(None) => Some(format!("backup: there is none at {place}; make one every day")),
        Err(error) => Some(format!("backup: {place} cannot be read: {error}")),
    };
    found.add("backup", problem, format!("the newest backup at {place} is less than 26 hours old"));
}

/// Returns the newest backup at `path`, if there is one. A backup of PostgreSQL may be any file.
fn newest_backup(path: &Path, is_postgres: bool) -> io::Result<Option<PathBuf>> {
    let is_backup = |path: &PathBuf| path.is_file() && (is_postgres || db::is_database(path));
    if !path.is_dir() {
        return Ok(Some(path.to_owned()).filter(is_backup));
    }
    let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let files: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    Ok(files.into_iter().filter(is_backup).max_by_key(|path| modified(path)))
}

fn backup_problem(newest: &Path) -> Option<String> {
    let age = modified(newest).and_then(|at| SystemTime::now().duration_since(at).ok());
    let path = newest.display();
    if age.is_some_and(|age| age > BACKUP_AGE) {
        let hours = age.unwrap_or_default().as_secs() / 3600;
        return Some(format!("backup: {path} is {hours} hours old; make one every day"));
    }
    is_open(newest)
        .then(|| format!("backup: {path} can be read by others on this machine; chmod 600 {path}"))
}

/// Asks the site as a visitor would, through the proxy, and adds what that shows.
async fn site(config: &Config, found: &mut Findings) {
    let Some(url) = config.site.url.clone().filter(|_| !config.debug) else { return };
    let fine = format!("the site answers at {url}, with its headers");
    let asked = rocket::tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(SITE_PATIENCE)).build().into();
        let answer = agent.get(format!("{url}/healthz")).call();
        answer.map(|answer| answer.headers().clone())
    });
    let problem = match asked.await {
        Ok(Ok(headers)) => {
            let is_ours = headers.contains_key("Content-Security-Policy");
            let is_strict = headers.contains_key("Strict-Transport-Security");
            (!is_ours || !is_strict).then(|| {
                "site.url: the answer there is not from this site in its release profile, or the \
                 proxy drops its headers"
                    .to_owned()
            })
        }
        Ok(Err(error)) => {
            let error = error.to_string();
            let error = error.strip_prefix("io: ").unwrap_or(&error);
            Some(format!("site.url: the site does not answer there: {error}"))
        }
        Err(error) => Some(format!("site.url: {error}")),
    };
    found.add("site", problem, fine);
}

/// Does every step for a mail to a stranger, except for the mail itself, and adds what that shows.
async fn mail(config: &Config, found: &mut Findings) {
    let problem = match Smtp::of(config) {
        Ok(None) => return,
        Ok(Some(smtp)) => {
            let error = smtp.test().await.err();
            error.map(|error| format!("mail.url: the server cannot be used: {error}"))
        }
        Err(error) => Some(error.to_string()),
    };
    found.add("mail", problem, "the mail server takes the site's mails");
}

/// Adds where each provider has to lead the browser back to, and what happens when it is asked.
#[cfg(feature = "providers")]
async fn providers(config: &Config, base: &Base, offline: bool, found: &mut Findings) {
    let origin = config.site.url.as_deref().unwrap_or_default().trim_end_matches('/');
    let all = Providers::new(config);
    if all.is_empty() {
        found.add("providers", None, "no provider is configured");
    }
    for provider in all.iter() {
        let name = provider.name();
        let path = base.join(format_args!("/login/with/{name}/callback"));
        let register = format!("the address to register there is {origin}{path}");
        let key = config.key(&format!("providers.{name}"));
        let answer = if offline { None } else { Some(provider.check().await) };
        let (problem, fine) = match answer {
            None => (None, format!("{key} was not asked; {register}")),
            Some(Ok(())) => (None, format!("{key} answers; {register}")),
            Some(Err(reason)) => {
                (Some(format!("{key} cannot be used: {reason}; {register}")), String::new())
            }
        };
        found.add("providers", problem, fine);
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// Returns whether others on this machine can read the file.
#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}
