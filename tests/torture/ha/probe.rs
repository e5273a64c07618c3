//! Watches one instance: whether it does everything, and which pages it shows.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::servers::client::{Client, ask, header, status};
use crate::servers::program::session_cookie;
use crate::support::form;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(100);

/// How many rounds in a row must succeed until an instance has recovered.
const STEADY: usize = 10;

/// The longest wait for this.
const PATIENCE: Duration = Duration::from_secs(90);

/// Logs in, looks at the account, writes and logs out, again and again.
pub struct Probe {
    site: u16,
    views: u16,
    /// When each round began and ended, if everything in it succeeded.
    rounds: Mutex<Vec<Range<Instant>>>,
    /// When a round failed last.
    failed: Mutex<Option<Instant>>,
}

/// Signs an address up, and returns the cookie.
fn sign_up(port: u16, email: &str) -> String {
    let answer = ask(port, "POST /register", None, &form(email)).expect("an answer");
    assert_eq!(status(&answer), 303, "{answer}");
    session_cookie(&answer)
}

impl Probe {
    pub fn new([site, views]: [u16; 2]) -> Self {
        sign_up(site, &format!("probe{site}@example.org"));
        Probe { site, views, rounds: Mutex::default(), failed: Mutex::default() }
    }

    pub fn go(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            match self.round() {
                Some(()) => self.rounds.lock().unwrap().push(start..Instant::now()),
                None => *self.failed.lock().unwrap() = Some(Instant::now()),
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn round(&self) -> Option<()> {
        let email = format!("probe{}@example.org", self.site);
        let expect = |answer: Option<String>, expected: u16| {
            answer.filter(|answer| status(answer) == expected)
        };
        let answer = expect(ask(self.site, "POST /login", None, &form(&email)), 303)?;
        let cookie = session_cookie(&answer);
        expect(ask(self.site, "GET /account", Some(&cookie), ""), 200)?;
        let answer = expect(ask(self.views, "GET /views", Some(&cookie), ""), 200)?;
        assert_eq!(header(&answer, "set-cookie"), None, "a session was lost: {answer}");
        expect(ask(self.site, "POST /logout", Some(&cookie), ""), 303)?;
        Some(())
    }

    /// Waits until several rounds in a row have succeeded. Returns the time from `start` to the end
    /// of the last pause in which none did, or zero if there was no such pause.
    pub fn until_steady(&self, start: Instant) -> Duration {
        // A fault that shows late must not be missed.
        std::thread::sleep(Duration::from_secs(8));
        let begun = Instant::now();
        loop {
            let rounds = self.rounds.lock().unwrap().clone();
            let failed = *self.failed.lock().unwrap();
            let after = rounds.iter().filter(|round| failed.is_none_or(|at| round.start > at));
            if after.filter(|round| round.start > start).count() >= STEADY {
                let pauses = rounds.windows(2).filter(|pair| pair[1].end > start);
                let long = pauses.filter(|pair| pair[1].end - pair[0].end > Duration::from_secs(1));
                return long.map(|pair| pair[1].end - start).max().unwrap_or_default();
            }
            assert!(begun.elapsed() < PATIENCE, "an instance does not answer again");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asserts that nothing that was begun in `span` was acknowledged in it.
    pub fn assert_none_done(&self, span: &Range<Instant>) {
        let rounds = self.rounds.lock().unwrap();
        let inside = |round: &&Range<Instant>| round.start > span.start && round.end < span.end;
        assert_eq!(rounds.iter().filter(inside).count(), 0, "acknowledged on one machine alone");
    }

    /// Returns the longest time without a successful round in `span`.
    pub fn longest_pause(&self, span: &Range<Instant>) -> Duration {
        let rounds = self.rounds.lock().unwrap();
        let ends = rounds.iter().map(|round| round.end).filter(|end| span.contains(end));
        let ends: Vec<Instant> = [span.start].into_iter().chain(ends).chain([span.end]).collect();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

/// Asks for one kept page, again and again.
pub struct Pages {
    port: u16,
    cookie: String,
    /// When each request began and ended, and the status.
    seen: Mutex<Vec<(Range<Instant>, u16)>>,
}

impl Pages {
    pub fn new(port: u16) -> Self {
        let cookie = sign_up(port, &format!("pages{port}@example.org"));
        Pages { port, cookie, seen: Mutex::default() }
    }

    pub fn go(&self, over: &AtomicBool) {
        let mut client = Client::new(self.port);
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            let answer = client.ask("GET /account", Some(&self.cookie), "");
            let status = answer.as_deref().map_or(0, status);
            // An outage logs nobody out.
            assert!(matches!(status, 200 | 503), "{answer:?}");
            self.seen.lock().unwrap().push((start..Instant::now(), status));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that a page that was asked for in `span` was not shown, and that some were asked for.
    pub fn assert_none_shown(&self, span: &Range<Instant>) {
        let seen = self.seen.lock().unwrap();
        let inside: Vec<_> = seen.iter().filter(|(at, _)| span.contains(&at.start)).collect();
        let shown = inside.iter().filter(|(at, status)| *status == 200 && at.end < span.end);
        let late: Vec<Duration> = shown.map(|(at, _)| at.start - span.start).collect();
        assert!(late.is_empty(), "pages were shown {late:?} after they had to stop");
        assert!(!inside.is_empty(), "nobody asked for a page");
    }

    /// Returns how many pages that were asked for in `span` were shown.
    pub fn shown(&self, span: &Range<Instant>) -> usize {
        let seen = self.seen.lock().unwrap();
        let shown = seen.iter().filter(|(at, status)| *status == 200 && span.contains(&at.start));
        shown.count()
    }

    /// Returns the longest wait for an answer to what was asked in `span`.
    pub fn slowest(&self, span: &Range<Instant>) -> Duration {
        let seen = self.seen.lock().unwrap();
        let inside = seen.iter().filter(|(at, _)| span.contains(&at.start));
        inside.map(|(at, _)| at.end - at.start).max().unwrap_or_default()
    }
}
