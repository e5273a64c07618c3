//! The checker decides whether a recorded history is possible.
//!
//! A token is one value of a session's cookie. A session has a new token after each
//! renewal. Each act took effect at some moment of its span of time, so of two acts that
//! overlap either may have been first.

use std::collections::HashMap;

/// Microseconds since the test began.
pub type Moment = u64;

/// The time for which a session that another process has ended may still be used.
pub const GRACE: Moment = 1_000_000;

/// The time in which an act that got no answer, or 503, may still take effect.
const LATE: Moment = 5_000_000;

#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub session: usize,
    pub user: usize,
    /// The moments at which the log-in or renewal that made it was requested and acknowledged.
    pub start: Moment,
    pub end: Moment,
}

#[derive(Debug, Clone, Copy)]
pub struct Act {
    /// The token that was used.
    pub token: usize,
    pub kind: Kind,
    /// The process that was asked, or 0 if it was started or killed in the meantime.
    pub process: usize,
    pub start: Moment,
    pub end: Moment,
    pub result: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Use,
    /// Adds one to the session's counter.
    Write,
    /// The session goes on under another token.
    Renew,
    LogOut,
    /// Ends all other sessions of the user.
    EndOthers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The act was done as the session's user. The number is the counter after a write.
    Done(u64),
    /// The session did not exist.
    Refused,
    /// The result is unknown, because of an outage or a missing answer.
    Unknown,
    /// The answer was another user's page, or one that nobody should get.
    Wrong,
}

/// The numbers of what the checker has examined.
#[derive(Debug, Default)]
pub struct Figures {
    pub done: usize,
    pub refused: usize,
    pub unknown: usize,
    pub increments: usize,
    pub renewed: usize,
    pub ended: usize,
    /// The acts refused within a second after the end, by the process that had ended it.
    pub at_once: usize,
    /// The acts refused within the second after that, by another process.
    pub elsewhere: usize,
}

/// The moment and the process of an acknowledged end.
#[derive(Clone, Copy)]
struct End {
    at: Moment,
    process: usize,
}

impl End {
    /// Returns true if an act that starts at `start` at `process` comes too late.
    fn is_before(&self, start: Moment, process: usize) -> bool {
        let is_same = process == self.process && process != 0;
        start > self.at + if is_same { 0 } else { GRACE }
    }
}

/// Checks the history, and returns the first impossible thing as an error.
pub fn check(tokens: &[Token], acts: &[Act]) -> Result<Figures, String> {
    let mut acts = acts.to_vec();
    acts.sort_by_key(|act| act.end);
    let acts = &acts;
    let ends = ends(tokens, acts);
    let touched = touched(tokens, acts, &ends);
    let ended = ends.iter().filter(|ends| !ends.is_empty()).count();
    let mut figures = Figures { ended, ..Figures::default() };
    let mut renewals = vec![0; tokens.len()];
    for act in acts {
        match act.result {
            Outcome::Done(_) => {
                // A log-out succeeds also without a session.
                let is_late = act.kind != Kind::LogOut
                    && ends[act.token].iter().any(|end| end.is_before(act.start, act.process));
                if is_late {
                    return Err(format!("used after its end: {}", story(tokens, acts, act)));
                }
                figures.done += 1;
                if act.kind == Kind::Renew {
                    figures.renewed += 1;
                    renewals[act.token] += 1;
                    if renewals[act.token] > 1 {
                        let story = story(tokens, acts, act);
                        return Err(format!("two sessions came of one: {story}"));
                    }
                }
            }
            Outcome::Refused => {
                if touched[act.token].is_none_or(|touched| touched > act.end) {
                    return Err(format!("lost before its end: {}", story(tokens, acts, act)));
                }
                figures.refused += 1;
                if let Some(end) = ends[act.token].iter().min_by_key(|end| end.at) {
                    let since = act.start.saturating_sub(end.at);
                    let is_same = end.process == act.process;
                    figures.at_once += usize::from(is_same && (1..GRACE).contains(&since));
                    let is_late = (GRACE..2 * GRACE).contains(&since);
                    figures.elsewhere += usize::from(!is_same && is_late);
                }
            }
            Outcome::Unknown => figures.unknown += 1,
            Outcome::Wrong => return Err(format!("answered as it never should be: {act:?}")),
        }
    }

    let mut writes: HashMap<usize, Vec<&Act>> = HashMap::new();
    for act in acts.iter().filter(|act| act.kind == Kind::Write) {
        writes.entry(tokens[act.token].session).or_default().push(act);
    }
    for writes in writes.values() {
        let counted =
            count(writes).map_err(|(act, fault)| format!("{fault}: {}", story(tokens, acts, act)));
        figures.increments += counted?;
    }
    Ok(figures)
}

/// Checks that each increment of a session's counter counts exactly once. Returns the
/// number of acknowledged ones, or the impossible act.
fn count<'a>(writes: &[&'a Act]) -> Result<usize, (&'a Act, String)> {
    let value = |act: &'a Act| match act.result {
        Outcome::Done(value) => Some((act, value)),
        _ => None,
    };
    let mut done: Vec<(&Act, u64)> = writes.iter().filter_map(|act| value(act)).collect();
    done.sort_unstable_by_key(|(_, value)| *value);
    if let Some(pair) = done.windows(2).find(|pair| pair[0].1 == pair[1].1) {
        return Err((pair[1].0, format!("two increments made {}", pair[1].1)));
    }

    let mut over: Vec<Moment> = done.iter().map(|(act, _)| act.end).collect();
    let possible = writes.iter().filter(|act| act.result != Outcome::Refused);
    let mut begun: Vec<Moment> = possible.map(|act| act.start).collect();
    over.sort_unstable();
    begun.sort_unstable();
    for (act, value) in &done {
        // At least the increments acknowledged before its start and itself count. At most
        // those requested before its end count.
        let least = over.partition_point(|end| *end < act.start) as u64 + 1;
        let most = begun.partition_point(|start| *start <= act.end) as u64;
        if *value < least || *value > most {
            return Err((act, format!("{value} is not from {least} to {most}")));
        }
    }
    Ok(done.len())
}

/// Describes the recent acts of all clients on the session, up to `act`.
fn story(tokens: &[Token], acts: &[Act], act: &Act) -> String {
    let of = tokens[act.token];
    let is_near = |other: &&Act| {
        let by = tokens[other.token];
        let is_end = other.kind == Kind::EndOthers && by.user == of.user;
        (by.session == of.session || is_end)
            && other.start <= act.end
            && other.end + 3 * GRACE >= act.start
    };
    let near = acts.iter().filter(is_near).map(|other| format!("\n  {other:?}"));
    format!("{act:?}, under {of:?}, after{}", near.collect::<String>())
}

/// Returns the acknowledged ends of each token.
fn ends(tokens: &[Token], acts: &[Act]) -> Vec<Vec<End>> {
    let (sessions, of_user) = (sessions(tokens), group(tokens, |token| token.user));
    let mut ends = vec![Vec::new(); tokens.len()];
    for act in acts.iter().filter(|act| matches!(act.result, Outcome::Done(_))) {
        let end = End { at: act.end, process: act.process };
        match act.kind {
            Kind::Use | Kind::Write => {}
            Kind::LogOut | Kind::Renew => ends[act.token].push(end),
            Kind::EndOthers => {
                let by = tokens[act.token];
                for token in &of_user[&by.user] {
                    // This ends all tokens of the session, whichever was valid then.
                    let session = tokens[*token].session;
                    // A token that ended long before needs no further end.
                    let is_old = |ends: &[End]| ends.iter().any(|end| end.at + GRACE <= act.end);
                    if session != by.session
                        && sessions[&session] < act.start
                        && !is_old(&ends[*token])
                    {
                        ends[*token].push(end);
                    }
                }
            }
        }
    }
    ends
}

/// Returns the earliest moment at which each token may have ended.
fn touched(tokens: &[Token], acts: &[Act], ends: &[Vec<End>]) -> Vec<Option<Moment>> {
    let of_user = group(tokens, |token| token.user);
    let of_session = group(tokens, |token| token.session);
    let mut touched: Vec<Option<Moment>> = vec![None; tokens.len()];
    for act in acts {
        // An act with a token that was dead everywhere has changed nothing.
        let is_dead = ends[act.token].iter().any(|end| act.start > end.at + GRACE);
        if act.result == Outcome::Refused || is_dead {
            continue;
        }
        let by = tokens[act.token];
        let (meant, spared) = match act.kind {
            Kind::Use | Kind::Write => continue,
            Kind::Renew => (&[act.token][..], None),
            // This also ends the tokens to which the session was renewed in the meantime.
            Kind::LogOut => (&of_session[&by.session][..], None),
            Kind::EndOthers => (&of_user[&by.user][..], Some(by.session)),
        };
        let until = act.end + if act.result == Outcome::Unknown { LATE } else { 0 };
        for token in meant {
            if Some(tokens[*token].session) != spared && tokens[*token].start <= until {
                let first = touched[*token].get_or_insert(act.start);
                *first = (*first).min(act.start);
            }
        }
    }
    touched
}

/// Returns the moment at which each session had certainly begun.
fn sessions(tokens: &[Token]) -> HashMap<usize, Moment> {
    let mut begun = HashMap::new();
    for token in tokens {
        let first = begun.entry(token.session).or_insert(token.end);
        *first = token.end.min(*first);
    }
    begun
}

/// Groups the numbers of the tokens by a key.
fn group(tokens: &[Token], by: fn(&Token) -> usize) -> HashMap<usize, Vec<usize>> {
    let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
    for (number, token) in tokens.iter().enumerate() {
        groups.entry(by(token)).or_default().push(number);
    }
    groups
}
