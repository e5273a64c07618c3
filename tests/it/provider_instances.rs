//! Log-in with a certified provider on two instances that share one PostgreSQL, as real processes.
//! A balancer would send any request to either of them, so the tests do.

use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::database::command;
use crate::servers::oidc::{HttpBrowser, OidcServer, Person, Reply, is_installed};
use crate::servers::program::Program;
use crate::servers::{self, Cluster};

/// The address of the site, where no balancer listens.
const SITE: &str = "http://localhost:8000";
const LOG_IN: &str = "/login/with/certified";

/// How long a session may live on after the provider has ended it.
const SOON: Duration = Duration::from_secs(1);

struct Instances {
    programs: [Program; 2],
    server: OidcServer,
    cluster: Cluster,
    _dir: TempDir,
}

impl Instances {
    /// Starts two instances and a provider, if what they need is installed.
    fn start() -> Option<Self> {
        if !servers::is_installed() || !is_installed() {
            return None;
        }
        let cluster = Cluster::start();
        cluster.sql("postgres", "CREATE DATABASE site");
        let dir = TempDir::new().unwrap();
        let port = servers::free_port();
        // The provider calls the first instance.
        let server = OidcServer::with(SITE, |settings: &mut Value| {
            let called = format!("http://127.0.0.1:{port}{LOG_IN}/logout");
            settings["client"]["backchannel_logout_uri"] = called.into();
        });
        let ports = [port, servers::free_port()];
        let programs = ports.map(|port| run(&dir, &cluster, &server, port));
        Some(Instances { programs, server, cluster, _dir: dir })
    }

    /// The address of `path` at one of the instances.
    fn at(&self, number: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.programs[number].port())
    }

    /// Begins to log in at the instance `number`, and returns the provider's answer: the path at
    /// the site.
    fn begin(&self, number: usize, browser: &mut HttpBrowser, person: &mut Person) -> String {
        let begun = browser.get(&self.at(number, LOG_IN));
        assert_eq!(begun.status, 303, "{}", begun.body);
        let led = person.visit(&begun.location.unwrap());
        led.to.strip_prefix(SITE).unwrap_or_else(|| panic!("{led:?}")).to_owned()
    }

    /// Logs in at the instance `number`.
    fn log_in(&self, number: usize, person: &mut Person) -> HttpBrowser {
        let mut browser = HttpBrowser::default();
        let path = self.begin(number, &mut browser, person);
        let done = browser.get(&self.at(number, &path));
        assert_eq!(done.status, 303, "{}", done.body);
        browser
    }

    fn is_logged_in(&self, number: usize, browser: &HttpBrowser) -> bool {
        browser.clone().get(&self.at(number, "/account")).status == 200
    }

    fn count(&self, table: &str) -> String {
        self.cluster.sql("site", &format!("SELECT count(*) FROM {table}"))
    }
}

/// Starts an instance on `port`.
fn run(dir: &TempDir, cluster: &Cluster, server: &OidcServer, port: u16) -> Program {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    let url = cluster.url("site");
    command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}"));
    let (port, site) = (port.to_string(), format!("{{url=\"{SITE}\"}}"));
    Program::start(
        command,
        &[
            ("ROCKET_PORT", &port),
            ("ROCKET_SITE", &site),
            ("ROCKET_SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("ROCKET_PROVIDERS", &server.variable()),
        ],
    )
}

#[test]
fn a_log_in_that_one_instance_began_ends_at_the_other() {
    let Some(instances) = Instances::start() else { return };
    let mut ada = Person::new("ada");
    for (begun, ended) in [(0, 1), (1, 0)] {
        let mut browser = HttpBrowser::default();
        let path = instances.begin(begun, &mut browser, &mut ada);
        let done = browser.get(&instances.at(ended, &path));
        assert_eq!(done.status, 303, "{}", done.body);
        for number in [0, 1] {
            assert!(instances.is_logged_in(number, &browser));
        }
    }
    assert_eq!(instances.count("users"), "1");
}

#[test]
fn one_callback_that_comes_twice_logs_in_once() {
    let Some(instances) = Instances::start() else { return };
    let mut ada = Person::new("ada");
    instances.log_in(0, &mut ada);
    let sessions: usize = instances.count("sessions").parse().unwrap();

    let mut browser = HttpBrowser::default();
    let path = instances.begin(0, &mut browser, &mut ada);
    let call = |number: usize| {
        let (mut browser, url) = (browser.clone(), instances.at(number, &path));
        move || {
            let reply = browser.get(&url);
            (reply, browser)
        }
    };
    // At both at once.
    let both: Vec<(Reply, HttpBrowser)> = std::thread::scope(|scope| {
        let calls: Vec<_> = [0, 1].map(|number| scope.spawn(call(number))).into();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let logged_in = both.iter().filter(|(_, browser)| instances.is_logged_in(0, browser)).count();
    assert_eq!(logged_in, 1, "{both:?}");
    // And once more at each, with the cookies of before.
    for number in [0, 1] {
        let (reply, browser) = call(number)();
        assert_eq!(reply.status, 422, "{}", reply.body);
        assert!(!instances.is_logged_in(number, &browser));
    }
    assert_eq!(instances.count("sessions"), (sessions + 1).to_string());
}

#[test]
fn a_log_out_at_the_provider_ends_the_sessions_on_all_instances_within_a_second() {
    let Some(instances) = Instances::start() else { return };
    let (mut ada, mut bob) = (Person::new("ada"), Person::new("bob"));
    let browsers = [0, 1].map(|number| instances.log_in(number, &mut ada));
    let other = instances.log_in(1, &mut bob);
    for browser in &browsers {
        assert!(instances.is_logged_in(0, browser) && instances.is_logged_in(1, browser));
    }

    let end = format!("{}/session/end?client_id=site", instances.server.issuer());
    let start = Instant::now();
    ada.visit(&format!("{end}&post_logout_redirect_uri={SITE}/login"));
    let is_over = || {
        let alive = |number| browsers.iter().any(|one| instances.is_logged_in(number, one));
        !alive(0) && !alive(1)
    };
    while !is_over() {
        assert!(start.elapsed() < SOON, "{}", instances.server.complaints());
    }
    assert!(instances.is_logged_in(0, &other) && instances.is_logged_in(1, &other));
}

#[test]
fn each_instance_finds_a_providers_new_keys() {
    let Some(mut instances) = Instances::start() else { return };
    let mut ada = Person::new("ada");
    for number in [0, 1] {
        instances.log_in(number, &mut ada);
    }
    instances.server.start_again();
    for number in [0, 1] {
        let browser = instances.log_in(number, &mut ada);
        assert!(instances.is_logged_in(number, &browser));
    }
    assert_eq!(instances.count("users"), "1");
}
