//! A client that acts on sessions at random and records the results.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::check::{Act, GRACE, Kind, Moment, Outcome, Token};
use super::{Known, USERS, World};
use crate::servers::client::{Client, Random, body, header, status};
use crate::servers::program::session_cookie;
use crate::support;

/// The number of latest tokens that most acts use.
const LATEST: usize = 30;

/// The number of latest tokens among which recently ended ones are searched.
const RECENT: usize = 400;

/// One of the clients. Each has the cookies of all.
pub struct Actor<'a> {
    world: &'a World,
    random: Random,
    clients: Vec<Client>,
    acts: Vec<Act>,
}

fn email(user: usize) -> String {
    format!("user{user:04}@example.org")
}

pub fn form(user: usize) -> String {
    support::form(&email(user))
}

impl<'a> Actor<'a> {
    pub fn new(world: &'a World, seed: usize) -> Self {
        let clients = world.programs.all.iter().map(|slot| Client::new(slot.port)).collect();
        Actor { world, random: Random(seed as u64), clients, acts: Vec::new() }
    }

    /// Sends a request to the program `number`. Returns the process that was asked, the span
    /// of time and the answer.
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
        // Without an answer, nobody knows the session.
        if let Some(answer) = answer.filter(|answer| status(answer) == 303) {
            let session = self.world.sessions.fetch_add(1, Ordering::Relaxed);
            self.world.add(Token { session, user, start, end }, session_cookie(&answer));
        }
    }

    /// Does `kind` with the token number `token` at the program `number`.
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
            // Do not spend all acts while nothing can answer.
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_done = matches!(result, Outcome::Done(_));
        if is_done && kind == Kind::Renew {
            let cookie = session_cookie(answer.as_deref().unwrap_or_default());
            self.world.add(Token { session, user, start, end }, cookie);
        }
        self.note(kind, token, number, result);
        self.acts.push(Act { token, kind, process, start, end, result });
    }

    /// Records which tokens have ended.
    fn note(&self, kind: Kind, token: usize, number: usize, result: Outcome) {
        let now = Some((self.world.now(), number));
        let tokens = &mut *self.world.tokens.lock().unwrap();
        let Token { session, user, .. } = tokens[token].token;
        if matches!((kind, result), (Kind::Use, Outcome::Done(_))) {
            tokens[token].used = number;
        }
        let is_end = matches!((kind, result), (Kind::Renew | Kind::LogOut, Outcome::Done(_)));
        if is_end || result == Outcome::Refused {
            tokens[token].ended = tokens[token].ended.or(now);
        }
        if matches!((kind, result), (Kind::EndOthers, Outcome::Done(_))) {
            for known in tokens.iter_mut().rev().take(RECENT) {
                if known.token.user == user && known.token.session != session {
                    known.ended = known.ended.or(now);
                }
            }
        }
    }

    /// Picks a token, usually a recent live one, and the program to use it at, if that matters.
    fn pick(&mut self) -> Option<(usize, Option<usize>)> {
        let (now, tokens) = (self.world.now(), self.world.tokens.lock().unwrap());
        let since = |known: &Known| known.ended.map(|(at, _)| now.saturating_sub(at));
        let how = self.random.below(20);
        if how < 4 {
            // Pick one that has just ended, at the program where it ended; or one whose
            // grace period is just over, at the program that has used it last.
            let wanted = if how < 2 { 0..GRACE } else { GRACE..GRACE * 5 / 4 };
            let mut recent = tokens.iter().enumerate().rev().take(RECENT);
            let found =
                recent.find(|(_, known)| since(known).is_some_and(|at| wanted.contains(&at)));
            if let Some((number, known)) = found {
                let place = if how < 2 { known.ended.map(|(_, at)| at) } else { Some(known.used) };
                return Some((number, place));
            }
        }

        let first = if how < 6 { 0 } else { tokens.len().saturating_sub(LATEST) };
        let mut picked = None;
        for _ in 0..if how < 8 { 1 } else { 6 } {
            let number = first + self.random.below(tokens.len() - first);
            let known = tokens.get(number)?;
            picked = Some((number, None));
            if known.ended.is_none() {
                break;
            }
        }
        picked
    }

    /// Acts at random until the test is over, and returns the acts.
    pub fn go(mut self) -> Vec<Act> {
        while !self.world.over.load(Ordering::Relaxed) {
            let mut kind = match self.random.below(100) {
                0..8 => None,
                8..50 => Some(Kind::Use),
                50..80 => Some(Kind::Write),
                80..91 => Some(Kind::Renew),
                91..98 => Some(Kind::LogOut),
                _ => Some(Kind::EndOthers),
            };
            let (world, picked) = (self.world, self.pick());
            // A write with a dead token begins a visitor's session, and the site counts all
            // of them at each new one. So do that less often.
            let is_dead = |token: usize| world.tokens.lock().unwrap()[token].ended.is_some();
            let is_costly = kind == Some(Kind::Write) && picked.is_some_and(|(t, _)| is_dead(t));
            if is_costly && self.random.below(10) > 0 {
                kind = Some(Kind::Use);
            }
            let at = if kind == Some(Kind::Write) { &world.views } else { &world.sites };
            let place = picked.and_then(|(_, place)| place).filter(|place| at.contains(place));
            let number = place.unwrap_or(at[self.random.below(at.len())]);
            if !self.clients[number].connect() {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            match (kind, picked) {
                (Some(kind), Some((token, _))) => self.act(kind, token, number),
                _ => self.log_in(),
            }
            std::thread::sleep(world.pause);
        }
        self.acts
    }

    /// After the end, uses and counts with every live token everywhere, and tries every ended
    /// one everywhere.
    pub fn go_last(mut self) -> Vec<Act> {
        let count = self.world.tokens.lock().unwrap().len();
        let world = self.world;
        for token in count.saturating_sub(2_000)..count {
            for number in &world.sites {
                self.act(Kind::Use, token, *number);
            }
            // A dead token would begin a visitor's session.
            let is_alive = self.world.tokens.lock().unwrap()[token].ended.is_none();
            if is_alive {
                world.views.iter().for_each(|number| self.act(Kind::Write, token, *number));
            }
        }
        self.acts
    }
}

/// Returns the outcome that an answer stands for.
fn read(kind: Kind, user: usize, answer: &str) -> Outcome {
    let location = header(answer, "location").unwrap_or_default();
    match (kind, status(answer)) {
        (_, 503) => Outcome::Unknown,
        // The session ended while it was used.
        (_, 409) => Outcome::Refused,
        (Kind::Use | Kind::Renew | Kind::EndOthers, 303) if location.starts_with("/login") => {
            Outcome::Refused
        }
        (Kind::Use, 200) if answer.contains(&email(user)) => Outcome::Done(0),
        // The answer began a new visitor's session.
        (Kind::Write, 200) if header(answer, "set-cookie").is_some() => Outcome::Refused,
        (Kind::Write, 200) => {
            let value = body(answer).strip_prefix("views: ").and_then(|value| value.parse().ok());
            value.map_or(Outcome::Wrong, Outcome::Done)
        }
        // Another renewal came first, so the answer redirects but brings no token.
        (Kind::Renew, 303) if header(answer, "set-cookie").is_none() => Outcome::Refused,
        (Kind::Renew | Kind::LogOut | Kind::EndOthers, 303) => Outcome::Done(0),
        _ => Outcome::Wrong,
    }
}
