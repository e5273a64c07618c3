//! Several instances as real processes on one PostgreSQL, restarted one after
//! the other behind a load balancer, and killed under load.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::database::command;
use crate::servers::client::{Random, ask, status};
use crate::servers::program::{Program, session_cookie};
use crate::servers::{
    Cluster, Running, Stop, clean, find, free_port, is_installed, is_installed_with, signal,
};

const PASSWORD: &str = "correct+horse+battery";

/// The length of the history in seconds, unless `HISTORY_SECONDS` sets another one.
const SHORT: u64 = 14;

/// Several instances, each on its own port.
struct Instances {
    dir: TempDir,
    url: String,
    drain: &'static str,
    ports: Vec<u16>,
    running: Vec<Mutex<Option<Program>>>,
}

impl Instances {
    fn start(cluster: &Cluster, count: usize, drain: &'static str) -> Self {
        cluster.sql("postgres", "CREATE DATABASE site");
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let running = ports.iter().map(|_| Mutex::new(None)).collect();
        let (dir, url) = (TempDir::new().unwrap(), cluster.url("site"));
        let instances = Instances { dir, url, drain, ports, running };
        (0..count).for_each(|number| instances.resume(number));
        instances
    }

    fn resume(&self, number: usize) {
        let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &self.dir);
        command.env("ROCKET_DATABASES", format!("{{login={{url=\"{}\"}}}}", self.url));
        let port = self.ports[number].to_string();
        let site = format!("{{drain=\"{}\"}}", self.drain);
        let variables = [
            ("ROCKET_PORT", port.as_str()),
            ("ROCKET_SITE", &site),
            // As in release. A busy machine may need longer than debug gives a request to end.
            ("ROCKET_SHUTDOWN", "{grace=10}"),
            ("ROCKET_SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}"),
            ("ROCKET_THROTTLE", "{enabled=false}"),
            // tests/torture/history.rs tests the cache. These tests log in to one account
            // again and again, so a low limit would end the first session.
            ("ROCKET_SESSION", "{cache=false,account_limit=10000}"),
        ];
        *self.running[number].lock().unwrap() = Some(Program::start(command, &variables));
    }

    /// Kills an instance with `SIGKILL`, so it finishes nothing.
    fn kill(&self, number: usize) {
        self.running[number].lock().unwrap().take();
    }
}

#[test]
fn a_rolling_restart_behind_a_balancer_fails_no_request() {
    if !is_installed_with("haproxy") {
        return;
    }

    let cluster = Cluster::start();
    let instances = Instances::start(&cluster, 2, "3s");
    let (port, dir) = (free_port(), TempDir::new().unwrap());
    // Without a time-out of its own a check would fail after 100 ms, which a busy machine takes. An
    // instance drains for longer than two checks that take this long.
    let settings = format!(
        "defaults
           mode http
           timeout connect 2s
           timeout client 30s
           timeout server 30s
           timeout check 1s
           option redispatch
         listen site
           bind 127.0.0.1:{port}
           option httpchk GET /readyz
           default-server check inter 100ms fall 1 rise 1
           server one 127.0.0.1:{}
           server two 127.0.0.1:{}\n",
        instances.ports[0], instances.ports[1]
    );
    let path = dir.path().join("haproxy.cfg");
    std::fs::write(&path, settings).unwrap();
    let mut haproxy = clean(find("haproxy").unwrap());
    haproxy.arg("-f").arg(&path);
    let _haproxy = Running::start(haproxy);
    let ready = Instant::now();
    while ask(port, "GET /readyz", None, "").is_none_or(|answer| status(&answer) != 200) {
        assert!(ready.elapsed() < Duration::from_secs(10), "the balancer does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }

    let body = format!("email=ada%40example.org&password={PASSWORD}");
    let registered = ask(port, "POST /register", None, &body).unwrap();
    let cookie = session_cookie(&registered);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let (cookie, body, over, asked) = (&cookie, &body, &over, &asked);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let (answer, expected) = match worker % 3 {
                        0 => (ask(port, "POST /login", None, body), 303),
                        _ => (ask(port, "GET /account", Some(cookie), ""), 200),
                    };
                    let answer = answer.expect("an answer");
                    assert_eq!(status(&answer), expected, "{answer}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }

        // If anything fails here, the workers must still stop.
        let restarts = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..4 {
                std::thread::sleep(Duration::from_millis(500));
                let number = round % 2;
                let mut program = instances.running[number].lock().unwrap().take().unwrap();
                let (code, took) = program.terminate();
                assert_eq!(code, Some(0));
                assert!(took >= Duration::from_secs(3), "it stopped without draining: {took:?}");
                drop(program);
                instances.resume(number);
            }
            std::thread::sleep(Duration::from_millis(500));
        }));
        over.store(true, Ordering::Relaxed);
        restarts.unwrap();
    });
    assert!(asked.load(Ordering::Relaxed) > 200, "{asked:?}");
}

#[test]
fn a_stopping_instance_is_not_ready_but_still_serves() {
    let dir = TempDir::new().unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    command.env("ROCKET_SITE", "{drain=2}");
    let mut site = Program::start(command, &[]);
    assert!(site.request("GET /readyz", None, "").starts_with("HTTP/1.1 200"));
    let port = site.port();
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| site.terminate());
        let start = Instant::now();
        while status(&ask(port, "GET /readyz", None, "").unwrap()) != 503 {
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "a stopping instance says that it is ready"
            );
        }
        // It still serves pages.
        assert_eq!(status(&ask(port, "GET /login", None, "").unwrap()), 200);
        assert_eq!(status(&ask(port, "GET /healthz", None, "").unwrap()), 200);
        let (code, took) = stopped.join().unwrap();
        assert_eq!(code, Some(0));
        assert!(took >= Duration::from_secs(2), "{took:?}");
    });
}

/// One act on a session with its start, its end and its outcome.
struct Act {
    session: usize,
    kind: Kind,
    start: Instant,
    end: Instant,
    result: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    LogIn,
    Use,
    LogOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The session was logged in, or the log-out was acknowledged.
    Yes,
    /// The session was not logged in.
    No,
    /// The state is unknown, because of an outage or a missing answer.
    Unknown,
}

/// The record of all acts.
#[derive(Default)]
struct History {
    acts: Mutex<Vec<Act>>,
    /// All sessions so far, each with its user's address and its cookie.
    sessions: Mutex<Vec<(String, String)>>,
}

impl History {
    fn record(&self, session: usize, kind: Kind, start: Instant, result: Outcome) {
        let act = Act { session, kind, start, end: Instant::now(), result };
        self.acts.lock().unwrap().push(act);
    }

    /// Uses the session at an instance and asserts that the page is its user's.
    fn use_session(&self, session: usize, port: u16) {
        let (email, cookie) = self.sessions.lock().unwrap()[session].clone();
        let start = Instant::now();
        let answer = ask(port, "GET /account", Some(&cookie), "");
        let result = match answer.as_deref().map(status) {
            Some(200) => {
                let page = answer.unwrap();
                assert!(page.contains(&email), "the session of {email} is somebody else's: {page}");
                Outcome::Yes
            }
            Some(303) => Outcome::No,
            _ => Outcome::Unknown,
        };
        self.record(session, Kind::Use, start, result);
    }

    /// Asserts that no session is used after its acknowledged end, and that no
    /// acknowledged session is lost before its end. Returns the number of each outcome.
    fn check(&self) -> HashMap<&'static str, usize> {
        let acts = self.acts.lock().unwrap();
        let mut seen = HashMap::new();
        for session in 0..self.sessions.lock().unwrap().len() {
            let of = |kind| acts.iter().filter(move |a| a.session == session && a.kind == kind);
            let begun = of(Kind::LogIn).next().unwrap().end;
            let ends: Vec<&Act> = of(Kind::LogOut).collect();
            let ended = ends.iter().filter(|a| a.result == Outcome::Yes).map(|a| a.end).min();
            let touched = ends.iter().map(|act| act.start).min();
            for act in of(Kind::Use) {
                match act.result {
                    Outcome::Yes => {
                        assert!(
                            ended.is_none_or(|ended| act.start <= ended),
                            "session {session} was used after its end"
                        );
                        *seen.entry("used").or_default() += 1;
                    }
                    Outcome::No => {
                        assert!(
                            act.start < begun || touched.is_some_and(|touched| touched <= act.end),
                            "session {session} is lost"
                        );
                        *seen.entry("refused").or_default() += 1;
                    }
                    Outcome::Unknown => *seen.entry("unknown").or_default() += 1,
                }
            }
            *seen.entry(if ended.is_some() { "ended" } else { "open" }).or_default() += 1;
        }
        seen
    }
}

#[test]
fn no_ended_session_is_used_and_no_live_one_lost_while_everything_is_killed() {
    if !is_installed() {
        return;
    }

    let seconds = std::env::var("HISTORY_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(SHORT));
    // Acknowledged commits must survive a crash of the server, so `fsync` stays on.
    let mut cluster =
        Cluster::with(&["listen_addresses=", "wal_level=minimal", "max_wal_senders=0"]);
    let instances = Instances::start(&cluster, 3, "0s");
    for number in 0..6 {
        let body = format!("email=user{number}%40example.org&password={PASSWORD}");
        let site = instances.ports[number % 3];
        assert_eq!(status(&ask(site, "POST /register", None, &body).unwrap()), 303);
    }

    let (history, over, start) = (History::default(), AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for number in 0..6_u64 {
            let (history, over, ports) = (&history, &over, &instances.ports);
            scope.spawn(move || visit(number, history, over, ports));
        }
        // These threads go on using the visitors' cookies.
        for seed in 10..12 {
            let (history, over, ports) = (&history, &over, &instances.ports);
            scope.spawn(move || {
                let mut random = Random(seed);
                while !over.load(Ordering::Relaxed) {
                    let count = history.sessions.lock().unwrap().len();
                    if count == 0 {
                        continue;
                    }
                    // Pick a recent session, which may just have ended.
                    let session = count - 1 - random.below(count.min(8));
                    history.use_session(session, ports[random.below(3)]);
                }
            });
        }

        let trouble = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut round = 0;
            while start.elapsed() < length {
                std::thread::sleep(Duration::from_millis(1_500));
                let number = round % 3;
                match round % 4 {
                    0 => {
                        instances.kill(number);
                        std::thread::sleep(Duration::from_millis(300));
                        instances.resume(number);
                    }
                    1 => {
                        cluster.stop(Stop::Immediate);
                        cluster.resume();
                    }
                    2 => {
                        let id = instances.running[number].lock().unwrap().as_ref().unwrap().id();
                        signal("STOP", id);
                        std::thread::sleep(Duration::from_millis(700));
                        signal("CONT", id);
                    }
                    _ => {
                        cluster.stop(Stop::Fast);
                        cluster.resume();
                    }
                }
                round += 1;
            }
        }));
        over.store(true, Ordering::Relaxed);
        trouble.unwrap();
    });

    let seen = history.check();
    let count = |what| seen.get(what).copied().unwrap_or(0);
    assert!(count("used") > 200 && count("ended") > 20 && count("refused") > 20, "{seen:?}");
    if seconds.is_some() {
        println!("{seen:?}");
    }
}

/// Acts as one person, who logs in, looks around and logs out, each at a random instance.
fn visit(number: u64, history: &History, over: &AtomicBool, ports: &[u16]) {
    let mut random = Random(number + 1);
    let email = format!("user{number}@example.org");
    let body = format!("email=user{number}%40example.org&password={PASSWORD}");
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = ask(ports[random.below(3)], "POST /login", None, &body);
        let Some(answer) = answer.filter(|answer| status(answer) == 303) else { continue };
        let session = {
            let mut sessions = history.sessions.lock().unwrap();
            sessions.push((email.clone(), session_cookie(&answer)));
            history.record(sessions.len() - 1, Kind::LogIn, start, Outcome::Yes);
            sessions.len() - 1
        };
        for _ in 0..random.below(12) {
            history.use_session(session, ports[random.below(3)]);
        }

        let cookie = history.sessions.lock().unwrap()[session].1.clone();
        let start = Instant::now();
        let answer = ask(ports[random.below(3)], "POST /logout", Some(&cookie), "");
        let result = match answer.as_deref().map(status) {
            Some(303) => Outcome::Yes,
            _ => Outcome::Unknown,
        };
        history.record(session, Kind::LogOut, start, result);
        for _ in 0..random.below(4) {
            history.use_session(session, ports[random.below(3)]);
        }
    }
}
