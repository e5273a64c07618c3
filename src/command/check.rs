//! The command `check`, which finds what is unsafe in this deployment.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use rocket::figment::{Figment, Source};
use rocket_db_pools::Pool as _;
use sqlx::postgres::PgSslMode;

use super::{Done, Failed, advise, output};
use crate::clock::Clock;
use crate::config::{self, Config, DatabaseConfig, PostgresConfig};
use crate::db::{self, Connection, Pool, schema};
use crate::history;
use crate::mail::{self, Smtp};
use crate::sql;

/// How long the site may take to answer.
const SITE_PATIENCE: Duration = Duration::from_secs(10);

/// The greatest age of a backup: a day, and two hours to make it.
const BACKUP_AGE: Duration = Duration::from_secs(26 * 60 * 60);

#[derive(Debug, Args)]
pub struct Check {
    /// Do not contact the site or the mail server
    #[arg(long)]
    offline: bool,
    /// A backup, or a folder of backups; the newest must be less than 26 hours old
    #[arg(long, value_name = "PATH")]
    backup: Option<PathBuf>,
}

impl Check {
    /// Prints one line for each problem, with the fix. It fails if there is one.
    pub async fn run(self, figment: &Figment) -> Done {
        config::check_top_level(figment)?;
        let config = Config::from_figment(figment)?;
        output::say_database(&config.database);

        let is_postgres = matches!(config.database, DatabaseConfig::Postgres(_));
        let mut lines = config.warnings();
        lines.extend(profile(&config, figment));
        lines.extend(key_file(figment, "secret_key"));
        if is_postgres {
            // The URL may contain a password.
            lines.extend(key_file(figment, "databases.login.url"));
        }
        lines.extend(database(&config).await);
        lines.extend(self.backup.as_deref().and_then(|path| backup(path, is_postgres)));
        if !self.offline {
            lines.extend(site(&config).await);
            lines.extend(mail(&config).await);
        }

        for line in &lines {
            output::print(line)?;
        }
        match lines.len() {
            0 => output::print("no problems found"),
            1 => Err("1 problem found".into()),
            found => Err(format!("{found} problems found").into()),
        }
    }
}

fn profile(config: &Config, figment: &Figment) -> Vec<String> {
    if config.debug {
        return vec![
            "the profile is debug, which is for development; set ROCKET_PROFILE=release".into(),
        ];
    }

    let mut lines = Vec::new();
    let address: Option<std::net::IpAddr> = figment.extract_inner("address").ok();
    let is_local = address.is_none_or(|address| address.is_loopback());
    if is_local && config.site.trusted_proxies.is_empty() {
        lines.push(
            "site.trusted_proxies is empty: all visitors who come through the proxy seem to have \
             one IP address, and share its limits; write [\"127.0.0.1\"]"
                .into(),
        );
    }
    if config.site.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        lines.push(
            "site.trusted_proxies trusts everybody: anybody can fake their IP address; write the \
             proxy's address"
                .into(),
        );
    }
    if !is_local {
        lines.push(
            "address lets other machines connect: visitors can bypass the proxy and use http; \
             write \"127.0.0.1\", or let only the proxy connect"
                .into(),
        );
    }
    if config.site.url.is_none() {
        lines.push("site.url is not set, so https cannot be checked; write \"https://…\"".into());
    }
    lines
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

async fn database(config: &Config) -> Vec<String> {
    let mut lines = match &config.database {
        DatabaseConfig::Sqlite(path) => file(path).into_iter().collect(),
        DatabaseConfig::Postgres(postgres) => server(postgres),
    };
    match look(&config.database).await {
        Ok(found) => lines.extend(found),
        Err(error) => lines.push(error.to_string()),
    }
    lines
}

fn file(path: &Path) -> Option<String> {
    is_open(path).then(|| {
        let path = path.display();
        format!(
            "databases.login.url: {path} can be read by others on this machine; chmod 600 {path}*"
        )
    })
}

fn server(config: &PostgresConfig) -> Vec<String> {
    let mut lines = Vec::new();
    let is_verified =
        matches!(config.options.get_ssl_mode(), PgSslMode::VerifyFull | PgSslMode::VerifyCa);
    let host = config.options.get_host();
    let is_local = config.options.get_socket().is_some()
        || host.starts_with('/')
        || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
    if !is_local && !is_verified {
        lines.push(
            "databases.login.url: anybody on the network can read and change the traffic to the \
             server; add ?sslmode=verify-full"
                .into(),
        );
    }
    lines
}

/// Returns the problems that the database itself shows. Opening it refuses an unsafe SQLite.
async fn look(database: &DatabaseConfig) -> Result<Vec<String>, Failed> {
    if let Err(refusal) = schema::look(database).await?.check(database) {
        return Ok(vec![format!("databases.login.url: {}", advise(refusal))]);
    }
    let db = Pool::open(database).await?;
    let mut lines = Vec::new();
    if !db.is_sound().await? {
        lines.push(format!("databases.login.url: {database} is damaged; restore a backup"));
    }
    let mut reader = db.read().await?;
    if reader.is_postgres() {
        lines.extend(settings(&mut reader).await?);
    }

    // A clock was ahead: sessions from that time would live longer than they should.
    let latest = history::latest_event(&mut reader).await?;
    if latest > Clock::system().now() + 5 * 60 {
        lines.push(
            "the clock is behind the newest entry in the database; set it with NTP (timedatectl)"
                .into(),
        );
    }
    drop(reader);
    db.close().await;
    Ok(lines)
}

/// Returns the problems in the settings that an operator can choose in PostgreSQL.
async fn settings(db: &mut Connection) -> Result<Vec<String>, Failed> {
    let (fsync, is_superuser, now): (String, String, i64) = sql::query_as(
        "SELECT current_setting('fsync'), current_setting('is_superuser'),
                extract(epoch FROM now())::bigint",
    )
    .fetch_one(db)
    .await?;
    let mut lines = Vec::new();
    if fsync == "off" {
        lines.push(
            "databases.login.url: the server reports a commit before it is on disk, so a power cut \
             can undo a log-out; set fsync to on"
                .into(),
        );
    }
    if (now - Clock::system().now()).abs() > 5 {
        lines.push(
            "the clocks here and on the database server differ: sessions end at the wrong time, and \
             mails may be sent twice; set both with NTP (timedatectl)"
                .into(),
        );
    }
    if is_superuser == "on" {
        lines.push(
            "databases.login.url: the site logs in as a superuser; give it a role of its own that \
             owns the database"
                .into(),
        );
    }
    Ok(lines)
}

/// Returns the problem of the newest backup, if it has one. A backup of PostgreSQL may be any file.
fn backup(path: &Path, is_postgres: bool) -> Option<String> {
    let is_backup = |path: &Path| path.is_file() && (is_postgres || db::is_database(path));
    let newest = match path.is_dir() {
        true => std::fs::read_dir(path)
            .ok()?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| is_backup(path))
            .max_by_key(|path| modified(path)),
        false => Some(path.to_owned()).filter(|path| is_backup(path)),
    };
    let Some(newest) = newest else {
        return Some(format!("backup: there is none at {}; make one every day", path.display()));
    };

    let age = modified(&newest).and_then(|at| SystemTime::now().duration_since(at).ok());
    if age.is_some_and(|age| age > BACKUP_AGE) {
        let hours = age.unwrap_or_default().as_secs() / 3600;
        return Some(format!(
            "backup: {} is {hours} hours old; make one every day",
            newest.display()
        ));
    }
    is_open(&newest).then(|| {
        let path = newest.display();
        format!("backup: {path} can be read by others on this machine; chmod 600 {path}")
    })
}

/// Asks the site as a visitor would, through the proxy, and returns the problems.
async fn site(config: &Config) -> Vec<String> {
    let Some(url) = config.site.url.clone().filter(|_| !config.debug) else { return Vec::new() };
    let asked = rocket::tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(SITE_PATIENCE)).build().into();
        let answer = agent.get(format!("{url}/healthz")).call();
        answer.map(|answer| answer.headers().clone())
    });
    match asked.await {
        Ok(Ok(headers)) => {
            let is_ours = headers.contains_key("Content-Security-Policy");
            let is_strict = headers.contains_key("Strict-Transport-Security");
            let missing = (!is_ours || !is_strict).then(|| {
                "site.url: the answer there is not from this site in its release profile, or the \
                 proxy drops its headers"
                    .to_owned()
            });
            missing.into_iter().collect()
        }
        Ok(Err(error)) => vec![format!("site.url: the site does not answer there: {error}")],
        Err(error) => vec![format!("site.url: {error}")],
    }
}

/// Does every step for a mail to a stranger, except for the mail itself, and returns the problem.
async fn mail(config: &Config) -> Option<String> {
    let server = config.mail.server().ok().flatten()?;
    let from = config.mail.sender().ok()?;
    let name = config.site.url.as_deref().and_then(mail::name);
    let smtp = match Smtp::new(server, name) {
        Ok(smtp) => smtp,
        Err(error) => return Some(error.to_string()),
    };
    let error = smtp.test(&from.email).await.err()?;
    Some(format!("mail.url: the server cannot be used: {error}"))
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
