//! `kill -9` under load, again and again: what was acknowledged is there.

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

/// So many of his sessions a visitor goes on with.
const LATEST: usize = 12;

/// Until it serves again, in a release build.
const SOON: Duration = Duration::from_secs(1);

/// Somebody with accounts and sessions, and what he was told about them.
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
    /// The last value of its counter that was acknowledged.
    value: u64,
    /// How many increments were asked for and may count.
    asked: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Its log-out was acknowledged.
    Ended,
    /// Its log-out was asked for.
    Unknown,
}

/// A client of the site, and one of the program that counts.
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

    /// Notes what the counter says; an error where it cannot.
    fn count(&mut self, value: u64) -> Result<(), String> {
        if value <= self.value || value > self.asked {
            let Visit { email, value: last, asked, .. } = self;
            return Err(format!("{email} counts {value}, after {last} and with {asked} asked for"));
        }
        self.value = value;
        Ok(())
    }

    /// Notes whether the session is there; an error where it must not be, or
    /// must.
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

/// The counter's value, if the session was still the same.
fn counted(answer: &str) -> Option<u64> {
    if header(answer, "set-cookie").is_some() {
        return None; // that of a new visitor
    }
    body(answer).strip_prefix("views: ")?.parse().ok()
}

impl Visitor {
    fn new(number: usize) -> Self {
        let random = Random(number as u64);
        let (accounts, visits) = (Vec::new(), Vec::new());
        Visitor { number, random, accounts, visits, acknowledged: 0, unanswered: 0 }
    }

    /// Does anything until it is over.
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

    /// Does one thing at random, and notes what was acknowledged. The status.
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

    /// Looks for everything of `accounts` and `visits` on, now that nobody else acts.
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
                // Whatever was not answered is over: from here on both are known.
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

/// The database is sound, as it lies there: looked at in a copy, so that the
/// site finds what the kill has left.
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
fn what_is_acknowledged_outlasts_kill_9() {
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
            // Either first, and now and then with a while in between.
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

        // The sessions that an earlier round has left may have been used in this one.
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
    assert!(acknowledged > 20 * rounds, "too little was done to say anything");
    assert!(slowest < SOON, "it served again after {slowest:?}");
}

#[test]
fn a_loss_is_seen() {
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
