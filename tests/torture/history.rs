//! Everybody does anything at random; a checker reads what came of it.

mod check;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::servers::client::{Client, Random, ask, body, header, status};
use crate::servers::program::session_cookie;
use crate::servers::{Cluster, Stop, is_installed};
use crate::support::{PASSWORD, Programs, is_long};
use check::{Act, Figures, GRACE, Kind, Moment, Outcome, Token, check};

const CLIENTS: usize = 10;
const USERS: usize = 12;

/// Acts are mostly on so many of the latest tokens.
const LATEST: usize = 30;

/// What the short form takes.
const SHORT: Duration = Duration::from_secs(17);

/// What everybody shares.
struct World {
    programs: Programs,
    sites: Vec<usize>,
    views: Vec<usize>,
    origin: Instant,
    tokens: Mutex<Vec<Known>>,
    sessions: AtomicUsize,
    done: AtomicUsize,
    over: AtomicBool,
}

#[derive(Clone)]
struct Known {
    token: Token,
    cookie: String,
    /// As far as we know.
    is_alive: bool,
}

/// One of those who act. Each has the cookies of all.
struct Actor<'a> {
    world: &'a World,
    random: Random,
    clients: Vec<Client>,
    acts: Vec<Act>,
}

fn email(user: usize) -> String {
    format!("user{user:04}@example.org")
}

fn form(user: usize) -> String {
    format!("email={}&password={PASSWORD}", email(user).replace('@', "%40"))
}

impl World {
    fn new(programs: Programs) -> Self {
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
        }
    }

    fn now(&self) -> Moment {
        self.origin.elapsed().as_micros() as Moment
    }

    fn add(&self, token: Token, cookie: String) {
        self.tokens.lock().unwrap().push(Known { token, cookie, is_alive: true });
    }

    /// Makes trouble until enough is done: kills, stops for a while, and restarts.
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

impl<'a> Actor<'a> {
    fn new(world: &'a World, seed: usize) -> Self {
        let clients = world.programs.all.iter().map(|slot| Client::new(slot.port)).collect();
        Actor { world, random: Random(seed as u64), clients, acts: Vec::new() }
    }

    /// Asks the program `number`, and says which process that was and when.
    fn ask(
        &mut self,
        number: usize,
        head: &str,
        cookie: Option<&str>,
        body: &str,
    ) -> (usize, [Moment; 2], Option<String>) {
        let slot = &self.world.programs.all[number];
        let (before, start) = (slot.process(), self.world.now());
        let answer = self.clients[number].ask(head, cookie, body);
        let span = [start, self.world.now()];
        self.world.done.fetch_add(1, Ordering::Relaxed);
        (if slot.process() == before { before } else { 0 }, span, answer)
    }

    fn log_in(&mut self) {
        let site = self.world.sites[self.random.below(self.world.sites.len())];
        let user = self.random.below(USERS);
        let (_, [start, end], answer) = self.ask(site, "POST /login", None, &form(user));
        // Without an answer there is a session that nobody has.
        if let Some(answer) = answer.filter(|answer| status(answer) == 303) {
            let session = self.world.sessions.fetch_add(1, Ordering::Relaxed);
            self.world.add(Token { session, user, start, end }, session_cookie(&answer));
        }
    }

    /// Does `kind` under the token of that number, at the program `number`.
    fn act(&mut self, kind: Kind, token: usize, number: usize) {
        let Known { token: Token { session, user, .. }, cookie, .. } =
            self.world.tokens.lock().unwrap()[token].clone();
        let (head, body) = match kind {
            Kind::Use => ("GET /account", String::new()),
            Kind::Write => ("GET /views", String::new()),
            Kind::Renew => ("POST /reauthenticate", form(user)),
            Kind::LogOut => ("POST /logout", String::new()),
            Kind::EndOthers => ("POST /account/sessions/revoke-others", String::new()),
        };
        let (process, [start, end], answer) = self.ask(number, head, Some(&cookie), &body);
        let result = match &answer {
            None => Outcome::Unknown,
            Some(answer) => read(kind, user, answer),
        };
        if let Outcome::Wrong = result {
            eprintln!("{head}: {}", answer.as_deref().unwrap_or_default());
        }

        if result == Outcome::Unknown {
            // Not all of it while nobody can answer.
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_done = matches!(result, Outcome::Done(_));
        if is_done && kind == Kind::Renew {
            let cookie = session_cookie(answer.as_deref().unwrap_or_default());
            self.world.add(Token { session, user, start, end }, cookie);
        }
        if result == Outcome::Refused || is_done && matches!(kind, Kind::Renew | Kind::LogOut) {
            self.world.tokens.lock().unwrap()[token].is_alive = false;
        }
        self.acts.push(Act { token, kind, process, start, end, result });
    }

    /// A token, mostly a late one that lives.
    fn pick(&mut self) -> Option<usize> {
        let tokens = self.world.tokens.lock().unwrap();
        let late = tokens.len().saturating_sub(LATEST);
        let first = if self.random.below(8) == 0 { 0 } else { late };
        let mut picked = None;
        for _ in 0..if self.random.below(4) == 0 { 1 } else { 6 } {
            let number = first + self.random.below(tokens.len() - first);
            picked = tokens.get(number).map(|_| number);
            if tokens.get(number).is_some_and(|known| known.is_alive) {
                break;
            }
        }
        picked
    }

    /// Does anything until it is over.
    fn go(mut self) -> Vec<Act> {
        while !self.world.over.load(Ordering::Relaxed) {
            let world = self.world;
            let kind = self.random.below(100);
            let at = if (50..80).contains(&kind) { &world.views } else { &world.sites };
            let number = at[self.random.below(at.len())];
            if !self.clients[number].connect() {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            match (kind, self.pick()) {
                (..8, _) | (_, None) => self.log_in(),
                (..50, Some(token)) => self.act(Kind::Use, token, number),
                (..80, Some(token)) => self.act(Kind::Write, token, number),
                (..91, Some(token)) => self.act(Kind::Renew, token, number),
                (..98, Some(token)) => self.act(Kind::LogOut, token, number),
                (_, Some(token)) => self.act(Kind::EndOthers, token, number),
            }
        }
        self.acts
    }

    /// Now that all is quiet: what lives can be used and counted with everywhere, and what has
    /// ended nowhere.
    fn go_last(mut self) -> Vec<Act> {
        let count = self.world.tokens.lock().unwrap().len();
        let world = self.world;
        for token in count.saturating_sub(2_000)..count {
            for number in &world.sites {
                self.act(Kind::Use, token, *number);
            }
            // A dead one would begin a visitor's session.
            if self.world.tokens.lock().unwrap()[token].is_alive {
                world.views.iter().for_each(|number| self.act(Kind::Write, token, *number));
            }
        }
        self.acts
    }
}

/// What an answer says.
fn read(kind: Kind, user: usize, answer: &str) -> Outcome {
    let location = header(answer, "location").unwrap_or_default();
    match (kind, status(answer)) {
        (_, 503) => Outcome::Unknown,
        // It ended while it was being used.
        (_, 409) => Outcome::Refused,
        (Kind::Use | Kind::Renew | Kind::EndOthers, 303) if location.starts_with("/login") => {
            Outcome::Refused
        }
        (Kind::Use, 200) if answer.contains(&email(user)) => Outcome::Done(0),
        // A new visitor's.
        (Kind::Write, 200) if header(answer, "set-cookie").is_some() => Outcome::Refused,
        (Kind::Write, 200) => {
            let value = body(answer).strip_prefix("views: ").and_then(|value| value.parse().ok());
            value.map_or(Outcome::Wrong, Outcome::Done)
        }
        (Kind::Renew | Kind::LogOut | Kind::EndOthers, 303) => Outcome::Done(0),
        _ => Outcome::Wrong,
    }
}

/// Lets everybody act, and checks what came of it.
fn history(name: &str, programs: Programs, cluster: Option<&mut Cluster>) {
    let world = World::new(programs);
    let (mut acts, troubles) = std::thread::scope(|scope| {
        let world = &world;
        let actor = |seed| scope.spawn(move || Actor::new(world, seed).go());
        let actors: Vec<_> = (1..=CLIENTS).map(actor).collect();
        // Whatever fails, the others must learn that it is over.
        let trouble = std::panic::AssertUnwindSafe(|| world.trouble(cluster));
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
    let Figures { done, refused, unknown, increments, renewed, ended, .. } = figures;
    println!(
        "history, {name}: {} operations in {} s with {troubles} troubles; {} sessions with {} \
         tokens, {ended} ended; {done} acts done ({increments} increments, {renewed} renewals), \
         {refused} refused, {unknown} unknown; none against the rules",
        world.done.load(Ordering::Relaxed),
        took.as_secs(),
        world.sessions.load(Ordering::Relaxed),
        tokens.len(),
    );
    assert!(troubles > 5, "nothing went wrong");
    assert!(done > 1_000 && increments > 200 && renewed > 50 && ended > 50 && refused > 50);
}

#[test]
#[ignore = "just torture"]
fn no_session_breaks_the_rules_on_one_file() {
    history("SQLite", Programs::start(None, &["rocket-login", "views"]), None);
}

#[test]
#[ignore = "just torture"]
fn no_session_breaks_the_rules_on_three_instances() {
    if !is_installed() {
        return;
    }
    // What is acknowledged must outlast a crash of the server.
    let settings = ["listen_addresses=", "wal_level=minimal", "max_wal_senders=0"];
    let mut cluster = Cluster::with(&settings);
    cluster.sql("postgres", "CREATE DATABASE site");
    let names = ["rocket-login", "rocket-login", "rocket-login", "views", "views"];
    let programs = Programs::start(Some(cluster.url("site")), &names);
    history("PostgreSQL", programs, Some(&mut cluster));
}
