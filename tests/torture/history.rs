//! Clients act on sessions at random, and a checker examines the recorded history.

mod actor;
mod check;
mod falsified;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::servers::client::{Random, ask, status};
use crate::servers::{Cluster, Stop, is_installed};
use crate::support::{Programs, is_long};
use actor::{Actor, form};
use check::{Act, Figures, GRACE, Outcome, Token, check};

pub use check::Moment;

const CLIENTS: usize = 10;
const USERS: usize = 12;

/// The duration of the short form.
const SHORT: Duration = Duration::from_secs(17);

/// The state that all clients share.
pub struct World {
    pub programs: Programs,
    sites: Vec<usize>,
    views: Vec<usize>,
    origin: Instant,
    tokens: Mutex<Vec<Known>>,
    sessions: AtomicUsize,
    done: AtomicUsize,
    over: AtomicBool,
    /// How long a client waits after each act.
    pause: Duration,
}

#[derive(Clone)]
struct Known {
    token: Token,
    cookie: String,
    /// The moment and the program at which the token ended, if it is known to have ended.
    ended: Option<(Moment, usize)>,
    /// The program that has used the token last.
    used: usize,
}

impl World {
    fn new(programs: Programs, pause: Duration) -> Self {
        let (sites, views) = (programs.of("rocket-login"), programs.of("views"));
        for user in 0..USERS {
            let port = programs.all[sites[user % sites.len()]].port;
            let answer = ask(port, "POST /register", None, &form(user)).unwrap();
            assert_eq!(status(&answer), 303, "{answer}");
        }
        World {
            programs,
            sites,
            views,
            origin: Instant::now(),
            tokens: Mutex::default(),
            sessions: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            pause,
        }
    }

    pub fn now(&self) -> Moment {
        self.origin.elapsed().as_micros() as Moment
    }

    fn add(&self, token: Token, cookie: String) {
        let used = self.sites[0];
        self.tokens.lock().unwrap().push(Known { token, cookie, ended: None, used });
    }

    /// Kills, freezes and restarts processes until the clients have done enough. Returns how
    /// often.
    fn trouble(&self, mut cluster: Option<&mut Cluster>) -> usize {
        let operations = std::env::var("TORTURE_OPERATIONS").ok();
        let operations = operations.map_or(1_000_000, |text| text.parse().expect("a number"));
        let is_enough = || match is_long() {
            true => self.done.load(Ordering::Relaxed) >= operations,
            false => self.origin.elapsed() > SHORT,
        };
        let (mut random, mut troubles) = (Random(7), 0);
        while !is_enough() && !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(400 + random.below(800) as u64));
            let number = random.below(self.programs.all.len());
            let while_ = Duration::from_millis(random.below(900) as u64);
            match (random.below(5), &mut cluster) {
                (0, Some(cluster)) => {
                    cluster.stop(Stop::Immediate);
                    cluster.resume();
                }
                (1, Some(cluster)) => {
                    cluster.stop(Stop::Fast);
                    cluster.resume();
                }
                (2, _) => {
                    self.programs.freeze(number, true);
                    std::thread::sleep(while_);
                    self.programs.freeze(number, false);
                }
                _ => {
                    self.programs.kill(number);
                    std::thread::sleep(while_ / 3);
                    self.programs.resume(number);
                }
            }
            troubles += 1;
        }
        troubles
    }
}

/// Lets all clients act while everything is killed, frozen and restarted.
fn troubled(name: &str, programs: Programs, cluster: Option<&mut Cluster>) {
    let mut count = 0;
    history(name, programs, Duration::ZERO, |world| {
        count = world.trouble(cluster);
        count
    });
    assert!(count > 3, "nothing went wrong");
}

/// Lets all clients act, with a pause after each act, while `trouble` runs, and checks the history.
/// `trouble` returns how often it did something. Returns the moments at which those acts began
/// whose outcome is unknown.
pub fn history(
    name: &str,
    programs: Programs,
    pause: Duration,
    trouble: impl FnOnce(&World) -> usize,
) -> Vec<Moment> {
    let world = World::new(programs, pause);
    let (mut acts, troubles) = std::thread::scope(|scope| {
        let world = &world;
        let actor = |seed| scope.spawn(move || Actor::new(world, seed).go());
        let actors: Vec<_> = (1..=CLIENTS).map(actor).collect();
        // If anything fails here, the clients must still stop.
        let trouble = std::panic::AssertUnwindSafe(|| trouble(world));
        let troubles = std::panic::catch_unwind(trouble);
        world.over.store(true, Ordering::Relaxed);
        let acts: Vec<Act> = actors.into_iter().flat_map(|actor| actor.join().unwrap()).collect();
        (acts, troubles.unwrap())
    });
    let took = world.origin.elapsed();

    std::thread::sleep(Duration::from_micros(GRACE));
    acts.extend(Actor::new(&world, 0).go_last());
    let tokens: Vec<Token> = world.tokens.lock().unwrap().iter().map(|known| known.token).collect();
    let figures = check(&tokens, &acts).unwrap();
    let Figures { done, refused, unknown, increments, renewed, ended, at_once, elsewhere } =
        figures;
    println!(
        "history, {name}: {} operations in {} s with {troubles} troubles; {} sessions with {} \
         tokens, {ended} ended; {done} acts done ({increments} increments, {renewed} renewals), \
         {refused} refused (of them {at_once} by what had ended it within the second before, \
         {elsewhere} by another within the second after that), {unknown} unknown; none against \
         the rules",
        world.done.load(Ordering::Relaxed),
        took.as_secs(),
        world.sessions.load(Ordering::Relaxed),
        tokens.len(),
    );
    assert!(
        done > 300 && increments > 100 && renewed > 30 && ended > 30,
        "the clients did too little"
    );
    assert!(at_once > 20 && elsewhere > 20, "too few ended sessions were tried");
    let unknown = acts.iter().filter(|act| act.result == Outcome::Unknown);
    unknown.map(|act| act.start).collect()
}

#[test]
#[ignore = "just torture"]
fn no_session_breaks_the_rules_on_sqlite() {
    troubled("SQLite", Programs::start(None, &["rocket-login", "views"]), None);
}

#[test]
#[ignore = "just torture"]
fn no_session_breaks_the_rules_on_three_instances() {
    if !is_installed() {
        return;
    }
    // Acknowledged commits must survive a crash of the server, so `fsync` stays on.
    let settings = ["listen_addresses=", "wal_level=minimal", "max_wal_senders=0"];
    let mut cluster = Cluster::with(&settings);
    cluster.sql("postgres", "CREATE DATABASE site");
    let names = ["rocket-login", "rocket-login", "rocket-login", "views", "views"];
    let programs = Programs::start(Some(cluster.url("site")), &names);
    troubled("PostgreSQL", programs, Some(&mut cluster));
}
