//! Says what has started: where it answers, what it uses, and what a developer can try.

use std::net::{IpAddr, SocketAddr};

use rocket::fairing::{Fairing, Info, Kind};
use rocket::figment::Profile;
use rocket::{Orbit, Rocket};

use super::logger;
use crate::base::Base;
use crate::config::{self, Config};
use crate::program;

/// The fairing that says it, once the site listens.
#[derive(Debug)]
pub struct Start {
    pub base: Base,
    pub config: Config,
    /// `false` if the key was generated for this start, which only the debug profile allows.
    pub has_key: bool,
}

#[rocket::async_trait]
impl Fairing for Start {
    fn info(&self) -> Info {
        Info { name: "Start", kind: Kind::Liftoff }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let rockets = rocket.config();
        // The port may be one that the system has chosen.
        let scheme = if rockets.tls_enabled() { "https" } else { "http" };
        let lines = match self.config.debug {
            true => {
                let host = reachable(rockets.address, rockets.port);
                self.for_developer(&format!("{scheme}://{host}"))
            }
            false => {
                let socket = SocketAddr::new(rockets.address, rockets.port);
                vec![self.for_operator(&format!("{scheme}://{socket}"), &rockets.profile)]
            }
        };
        if !self.has_key {
            let fix = config::key_fix();
            log::warn!("secret_key is missing, so a restart logs everybody out; {fix}");
        }
        for line in lines {
            log::info!(target: logger::START, "{line}");
        }
    }
}

impl Start {
    fn for_developer(&self, url: &str) -> Vec<String> {
        let mailbox = format!("{url}{}", self.base.join("/dev/mailbox"));
        let mail = match self.mail_server() {
            Some(server) => format!("sent by {server}, and shown at {mailbox}"),
            None => format!("shown at {mailbox}"),
        };
        let try_it = match self.config.accounts.is_open() {
            true => format!(
                "Sign up at {url}{}, then open the mailbox for the link.",
                self.base.join("/register")
            ),
            false => format!(
                "Nobody may sign up. Create an account with `{} user add EMAIL`.",
                program::name()
            ),
        };
        vec![
            format!("{}, profile debug", name()),
            format!("  Address:  {url}"),
            format!("  Database: {}", self.config.database),
            format!("  Emails:   {mail}"),
            format!("{try_it} Ctrl-C stops the site."),
        ]
    }

    /// One line, for a log in which each line stands by itself.
    fn for_operator(&self, url: &str, profile: &Profile) -> String {
        let site = self.config.site.url.as_deref().unwrap_or("none");
        let mail = self.mail_server().unwrap_or_else(|| "none".into());
        format!(
            "{}, profile {profile}, database {}, site.url {site}, mail {mail}, listening on {url}",
            name(),
            self.config.database
        )
    }

    /// Returns host and port of the mail server, without user and password.
    fn mail_server(&self) -> Option<String> {
        let server = self.config.mail.server().ok()??;
        Some(match server.host.contains(':') {
            true => format!("[{}]:{}", server.host, server.port),
            false => format!("{}:{}", server.host, server.port),
        })
    }
}

/// Returns the host that a browser on this machine can open. It is a name where there is one: browsers
/// have no passkeys for an IP address.
fn reachable(listens: IpAddr, port: u16) -> String {
    match listens {
        address if address.is_loopback() || address.is_unspecified() => format!("localhost:{port}"),
        address => SocketAddr::new(address, port).to_string(),
    }
}

/// Returns the name of the program, with its version.
fn name() -> String {
    format!("{} {}", program::name(), program::version())
}
