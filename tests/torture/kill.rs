//! Everything that was acknowledged is still there after repeated `kill -9` under load.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rocket::tokio::runtime::Runtime;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::servers::client::{Client, Random, body, header, status};
use crate::servers::program::session_cookie;
use crate::support::{Programs, form, is_long};

const VISITORS: usize = 8;

/// The number of recent sessions that a visitor keeps using.
const LATEST: usize = 12;

/// The time limit for a restart of a release build.
const SOON: Duration = Duration::from_secs(1);

/// A person with accounts and sessions, and the answers that they got.
struct Visitor {
    number: usize,
    random: Random,
    /// The addresses whose sign-up was acknowledged.
    accounts: Vec<String>,
    visits: Vec<Visit>,
    acknowledged: usize,
    unanswered: usize,
}

/// A session.
struct Visit {
    email: String,
    cookie: String,
    /// The last acknowledged value of its counter.
    value: u64,
    /// The number of requested increments, each of which may count.
    asked: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Its log-out was acknowledged.
    Ended,
    /// Its log-out was requested but not acknowledged.
    Unknown,
}

/// A client of the site, and one of `views`, which counts.
struct Clients {
    site: Client,
    views: Client,
}

impl Clients {
    fn of(programs: &Programs) -> Self {
        let [site, views] = [0, 1].map(|number| Client::new(programs.all[number].port));
        Clients { site, views }
    }
}

impl Visit {
    fn new(email: &str, answer: &str) -> Self {
        let (email, cookie) = (email.to_owned(), session_cookie(answer));
        Visit { email, cookie, value: 0, asked: 0, state: State::Open }
    }

    /// Records the counter's value. Returns an error if the value is impossible.
    fn count(&mut self, value: u64) -> Result<(), String> {
        if value <= self.value || value > self.asked {
            let Visit { email, value: last, asked, .. } = self;
            return Err(format!("{email} counts {value}, after {last} and with {asked} asked for"));
        }
        self.value = value;
        Ok(())
    }

    /// Records whether the session exists. Returns an error if that contradicts an
    /// acknowledged act.
    fn look(&mut self, is_there: bool) -> Result<(), String> {
        match (self.state, is_there) {
            (State::Open, false) => Err(format!("a session of {} is lost", self.email)),
            (State::Ended, true) => Err(format!("a log-out of {} is lost", self.email)),
            _ => {
                self.state = if is_there { State::Open } else { State::Ended };
                Ok(())
            }
        }
    }
}

/// Returns the counter's value, unless the answer began a new session.
fn counted(answer: &str) -> Option<u64> {
    if header(answer, "set-cookie").is_some() {
        return None; // a new visitor's session
    }
    body(answer).strip_prefix("views: ")?.parse().ok()
}

impl Visitor {
    fn new(number: usize) -> Self {
        let random = Random(number as u64);
        let (accounts, visits) = (Vec::new(), Vec::new());
        Visitor { number, random, accounts, visits, acknowledged: 0, unanswered: 0 }
    }

    /// Acts at random until `over` is set.
    fn go_round(&mut self, programs: &Programs, over: &AtomicBool) {
        let mut clients = Clients::of(programs);
        while !over.load(Ordering::Relaxed) {
            if !(clients.site.connect() && clients.views.connect()) {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            match self.act(&mut clients) {
                Some(200 | 303) => self.acknowledged += 1,
                _ => self.unanswered += 1,
            }
        }
    }

    /// Does one random act, records what was acknowledged, and returns the status.
    fn act(&mut self, clients: &mut Clients) -> Option<u16> {
        let kind = self.random.below(12);
        if kind == 0 || self.accounts.is_empty() {
            let unique = self.acknowledged + self.unanswered;
            let email = format!("user{}-{unique}@example.org", self.number);
            let answer = clients.site.ask("POST /register", None, &form(&email))?;
            if status(&answer) == 303 {
                self.visits.push(Visit::new(&email, &answer));
                self.accounts.push(email);
            }
            return Some(status(&answer));
        }

        let latest = self.visits.len().saturating_sub(LATEST);
        let number = latest + self.random.below(self.visits.len() - latest);
        let visit = &mut self.visits[number];
        if kind <= 2 || visit.state != State::Open {
            let email = self.accounts[self.random.below(self.accounts.len())].clone();
            let answer = clients.site.ask("POST /login", None, &form(&email))?;
            if status(&answer) == 303 {
                self.visits.push(Visit::new(&email, &answer));
            }
            return Some(status(&answer));
        }

        if kind == 3 {
            visit.state = State::Unknown;
            let answer = clients.site.ask("POST /logout", Some(&visit.cookie), "")?;
            if status(&answer) == 303 {
                visit.state = State::Ended;
            }
            return Some(status(&answer));
        }
        visit.asked += 1;
        let answer = clients.views.ask("GET /views", Some(&visit.cookie), "")?;
        if status(&answer) == 200 {
            let value = counted(&answer).unwrap_or(0);
            visit.count(value).unwrap();
        }
        Some(status(&answer))
    }

    /// Checks all accounts and sessions from the given numbers on, while nobody else acts.
    fn check(&mut self, programs: &Programs, accounts: usize, visits: usize) -> Result<(), String> {
        let mut clients = Clients::of(programs);
        for visit in &mut self.visits[visits..] {
            let cookie = visit.cookie.clone();
            let answer = clients.site.ask("GET /account", Some(&cookie), "").ok_or("no answer")?;
            let is_there = status(&answer) == 200;
            if is_there && !answer.contains(&visit.email) {
                return Err(format!("a session of {} is somebody else's", visit.email));
            }
            visit.look(is_there)?;

            let answer = clients.views.ask("GET /views", Some(&cookie), "").ok_or("no answer")?;
            let value = counted(&answer);
            visit.look(value.is_some())?;
            if let Some(value) = value {
                visit.asked += 1;
                visit.count(value)?;
                // Unanswered increments are over by now, so the exact number is known again.
                visit.asked = value;
            }
        }
        for email in &self.accounts[accounts..] {
            let answer = clients.site.ask("POST /login", None, &form(email)).ok_or("no answer")?;
            if status(&answer) != 303 {
                return Err(format!("the account of {email} is lost: {answer}"));
            }
            self.visits.push(Visit::new(email, &answer));
        }
        Ok(())
    }
}

/// Checks the database as the kill has left it, and returns the result. Checks a copy, so
/// that the site itself recovers the original.
fn integrity(data: &Path) -> String {
    let dir = TempDir::new().unwrap();
    for name in ["login.db", "login.db-wal"] {
        std::fs::copy(data.join(name), dir.path().join(name)).unwrap();
    }
    let url = format!("sqlite:{}", dir.path().join("login.db").display());
    Runtime::new().unwrap().block_on(async {
        let mut db = SqliteConnection::connect(&url).await.unwrap();
        let found: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.unwrap();
        let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut db).await.unwrap();
        db.close().await.unwrap();
        format!("{found}, {} orphans", orphans.len())
    })
}

#[test]
#[ignore = "just torture"]
fn every_acknowledged_write_survives_kill_9() {
    let rounds = if is_long() { 50 } else { 8 };
    let programs = Programs::start(None, &["rocket-login", "views"]);
    let mut visitors: Vec<Visitor> = (0..VISITORS).map(Visitor::new).collect();
    let mut random = Random(9);
    let (mut restarts, mut pages) = (Vec::new(), 0);
    for round in 0..rounds {
        let before: Vec<_> = visitors.iter().map(|v| (v.accounts.len(), v.visits.len())).collect();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for visitor in &mut visitors {
                scope.spawn(|| visitor.go_round(&programs, &over));
            }
            std::thread::sleep(Duration::from_millis(300 + random.below(400) as u64));
            // Kill them in a random order, sometimes with a pause in between.
            let first = random.below(2);
            programs.kill(first);
            std::thread::sleep(Duration::from_millis(random.below(3) as u64 * 10));
            programs.kill(1 - first);
            over.store(true, Ordering::Relaxed);
        });

        let data = programs.dir.path().join("data");
        let left = std::fs::metadata(data.join("login.db-wal")).unwrap().len();
        assert!(left > 0, "nothing was left to recover from");
        pages += left / 4096;
        assert_eq!(integrity(&data), "ok, 0 orphans", "in round {round}");
        restarts.extend([programs.resume(0), programs.resume(1)]);

        // This round may have used recent sessions of earlier rounds.
        std::thread::scope(|scope| {
            for (visitor, (accounts, visits)) in visitors.iter_mut().zip(before) {
                let programs = &programs;
                scope.spawn(move || {
                    visitor.check(programs, accounts, visits.saturating_sub(LATEST)).unwrap();
                });
            }
        });
    }

    for visitor in &mut visitors {
        visitor.check(&programs, 0, 0).unwrap();
    }
    restarts.sort_unstable();
    let (median, slowest) = (restarts[rounds], restarts[2 * rounds - 1]);
    let sum = |of: fn(&Visitor) -> usize| visitors.iter().map(of).sum::<usize>();
    let acknowledged = sum(|visitor| visitor.acknowledged);
    println!(
        "kill -9: {rounds} rounds, {acknowledged} acts acknowledged, {} not; {} accounts and {} \
         sessions, none lost; {pages} pages of WAL recovered; a restart takes {} ms, the \
         slowest {} ms",
        sum(|visitor| visitor.unanswered),
        sum(|visitor| visitor.accounts.len()),
        sum(|visitor| visitor.visits.len()),
        median.as_millis(),
        slowest.as_millis()
    );
    assert!(acknowledged > 20 * rounds, "too few acts were acknowledged");
    assert!(slowest < SOON, "a restart took {slowest:?}");
}

#[test]
fn the_kill_test_detects_a_loss() {
    let visit = |state| Visit {
        email: "ada@example.org".to_owned(),
        cookie: String::new(),
        value: 3,
        asked: 5,
        state,
    };
    assert!(visit(State::Open).count(3).is_err(), "an increment is lost");
    assert!(visit(State::Open).count(6).is_err(), "one was counted twice");
    assert!(visit(State::Open).count(5).is_ok());
    assert!(visit(State::Open).look(false).is_err());
    assert!(visit(State::Ended).look(true).is_err());
    assert!(visit(State::Unknown).look(true).is_ok());
    assert!(visit(State::Unknown).look(false).is_ok());
}
