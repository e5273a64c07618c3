//! The checker: what has been seen can have happened, or it cannot.
//!
//! A token is one value of a session's cookie; a session has a new one after each
//! renewal. Each act has a span of time in which it took effect, somewhere; of two
//! that overlap either may have been first.

use std::collections::HashMap;

/// Microseconds since the test began.
pub type Moment = u64;

/// A session that was ended by another process may be used for so long.
pub const GRACE: Moment = 1_000_000;

/// What got no answer, or 503, may still take effect for so long.
const LATE: Moment = 5_000_000;

#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub session: usize,
    pub user: usize,
    /// When the log-in or the renewal that made it was asked for, and acknowledged.
    pub start: Moment,
    pub end: Moment,
}

#[derive(Debug, Clone, Copy)]
pub struct Act {
    /// Under which token.
    pub token: usize,
    pub kind: Kind,
    /// The process that was asked. 0: it was started or killed meanwhile.
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
    /// Done, as the session's user; of a write, what the counter says now.
    Done(u64),
    /// The session was not there.
    Refused,
    /// Nobody can tell: an outage, or no answer at all.
    Unknown,
    /// Somebody else's page, or an answer that nobody should get.
    Wrong,
}

/// What the checker has looked at.
#[derive(Debug, Default)]
pub struct Figures {
    pub done: usize,
    pub refused: usize,
    pub unknown: usize,
    pub increments: usize,
    pub renewed: usize,
    pub ended: usize,
}

/// An end that was acknowledged: when, and by which process.
#[derive(Clone, Copy)]
struct End {
    at: Moment,
    process: usize,
}

impl End {
    /// Whether an act that starts then, at that process, comes too late.
    fn is_before(&self, start: Moment, process: usize) -> bool {
        let is_same = process == self.process && process != 0;
        start > self.at + if is_same { 0 } else { GRACE }
    }
}

/// Looks for what cannot have happened, and returns the first such thing.
pub fn check(tokens: &[Token], acts: &[Act]) -> Result<Figures, String> {
    let ends = ends(tokens, acts);
    let touched = touched(tokens, acts, &ends);
    let ended = ends.iter().filter(|ends| !ends.is_empty()).count();
    let mut figures = Figures { ended, ..Figures::default() };
    let mut renewals = vec![0; tokens.len()];
    for act in acts {
        match act.result {
            Outcome::Done(_) => {
                // Whoever is not logged in is logged out already.
                let is_late = act.kind != Kind::LogOut
                    && ends[act.token].iter().any(|end| end.is_before(act.start, act.process));
                if is_late {
                    return Err(format!("used after its end: {act:?}"));
                }
                figures.done += 1;
                if act.kind == Kind::Renew {
                    figures.renewed += 1;
                    renewals[act.token] += 1;
                    if renewals[act.token] > 1 {
                        return Err(format!("two sessions came of one: {act:?}"));
                    }
                }
            }
            Outcome::Refused => {
                if touched[act.token].is_none_or(|touched| touched > act.end) {
                    return Err(format!("lost before its end: {act:?}"));
                }
                figures.refused += 1;
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
        figures.increments += count(writes)?;
    }
    Ok(figures)
}

/// The counter of one session: each increment counts, and counts once. How many
/// were acknowledged.
fn count(writes: &[&Act]) -> Result<usize, String> {
    let value = |act: &&&Act| match act.result {
        Outcome::Done(value) => Some(value),
        _ => None,
    };
    let done: Vec<(&Act, u64)> =
        writes.iter().filter_map(|act| Some((*act, value(&act)?))).collect();
    let mut values: Vec<u64> = done.iter().map(|(_, value)| *value).collect();
    values.sort_unstable();
    if let Some(pair) = values.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two increments made {}: {writes:?}", pair[0]));
    }

    let mut over: Vec<Moment> = done.iter().map(|(act, _)| act.end).collect();
    let possible = writes.iter().filter(|act| act.result != Outcome::Refused);
    let mut begun: Vec<Moment> = possible.map(|act| act.start).collect();
    over.sort_unstable();
    begun.sort_unstable();
    for (act, value) in &done {
        // Those that were acknowledged before it, and itself; those that were
        // asked for before its end, and itself.
        let least = over.partition_point(|end| *end < act.start) as u64 + 1;
        let most = begun.partition_point(|start| *start <= act.end) as u64;
        if *value < least || *value > most {
            return Err(format!("{value} is not from {least} to {most}: {act:?}"));
        }
    }
    Ok(done.len())
}

/// For each token: the ends of it that were acknowledged.
fn ends(tokens: &[Token], acts: &[Act]) -> Vec<Vec<End>> {
    let (sessions, of_user) = (sessions(tokens), by_user(tokens));
    let mut ends = vec![Vec::new(); tokens.len()];
    for act in acts.iter().filter(|act| matches!(act.result, Outcome::Done(_))) {
        let end = End { at: act.end, process: act.process };
        match act.kind {
            Kind::Use | Kind::Write => {}
            Kind::LogOut | Kind::Renew => ends[act.token].push(end),
            Kind::EndOthers => {
                let by = tokens[act.token];
                for token in &of_user[&by.user] {
                    // Whatever its token was at that moment.
                    let session = tokens[*token].session;
                    if session != by.session && sessions[&session] < act.start {
                        ends[*token].push(end);
                    }
                }
            }
        }
    }
    ends
}

/// For each token: since when it may have ended.
fn touched(tokens: &[Token], acts: &[Act], ends: &[Vec<End>]) -> Vec<Option<Moment>> {
    let of_user = by_user(tokens);
    let mut touched: Vec<Option<Moment>> = vec![None; tokens.len()];
    for act in acts {
        // Under a token that was dead for everybody it has touched nothing.
        let is_dead = || ends[act.token].iter().any(|end| act.start > end.at + GRACE);
        if act.result == Outcome::Refused
            || matches!(act.kind, Kind::Use | Kind::Write)
            || is_dead()
        {
            continue;
        }
        let by = tokens[act.token];
        let until = act.end + if act.result == Outcome::Unknown { LATE } else { 0 };
        for token in &of_user[&by.user] {
            let is_other = tokens[*token].session != by.session;
            let is_meant = match act.kind {
                Kind::EndOthers => is_other,
                // What it was renewed to meanwhile goes with it.
                Kind::LogOut => !is_other,
                _ => *token == act.token,
            };
            if is_meant && tokens[*token].start <= until {
                let first = touched[*token].get_or_insert(act.start);
                *first = (*first).min(act.start);
            }
        }
    }
    touched
}

/// When each session was begun for certain.
fn sessions(tokens: &[Token]) -> HashMap<usize, Moment> {
    let mut begun = HashMap::new();
    for token in tokens {
        let first = begun.entry(token.session).or_insert(token.end);
        *first = token.end.min(*first);
    }
    begun
}

fn by_user(tokens: &[Token]) -> HashMap<usize, Vec<usize>> {
    let mut of_user: HashMap<usize, Vec<usize>> = HashMap::new();
    for (number, token) in tokens.iter().enumerate() {
        of_user.entry(token.user).or_default().push(number);
    }
    of_user
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The session 0 with the tokens 0 and then 1, and the session 1 with the
    /// token 2: all of one user, begun before the moment 20.
    const TOKENS: [Token; 3] = [
        Token { session: 0, user: 0, start: 0, end: 10 },
        Token { session: 0, user: 0, start: 11, end: 20 },
        Token { session: 1, user: 0, start: 0, end: 10 },
    ];

    fn act(token: usize, kind: Kind, process: usize, span: [Moment; 2], result: Outcome) -> Act {
        Act { token, kind, process, start: span[0], end: span[1], result }
    }

    fn fault(acts: &[Act]) -> String {
        check(&TOKENS, acts).err().unwrap_or_default()
    }

    const DONE: Outcome = Outcome::Done(0);

    #[test]
    fn a_use_after_the_end_is_seen() {
        let out = act(0, Kind::LogOut, 1, [100, 200], DONE);
        let used = |process, start| act(0, Kind::Use, process, [start, start + 9], DONE);
        assert_eq!(fault(&[out, used(1, 200)]), "");
        assert!(fault(&[out, used(1, 201)]).starts_with("used after"));
        // Elsewhere it may live on for a second; where nobody knows which process it was, too.
        assert_eq!(fault(&[out, used(2, 200 + GRACE)]), "");
        assert_eq!(fault(&[out, used(0, 200 + GRACE)]), "");
        assert!(fault(&[out, used(2, 201 + GRACE)]).starts_with("used after"));
        // An end that may not have happened ends nothing.
        let unknown = Act { result: Outcome::Unknown, ..out };
        assert_eq!(fault(&[unknown, used(1, 300)]), "");

        let renewed = Act { kind: Kind::Renew, ..out };
        assert!(fault(&[renewed, used(1, 201)]).starts_with("used after"));
        let ended = Act { token: 2, kind: Kind::EndOthers, ..out };
        assert!(fault(&[ended, used(1, 201)]).starts_with("used after"));
        assert!(fault(&[ended, Act { token: 1, ..used(1, 201) }]).starts_with("used after"));
        assert_eq!(fault(&[ended, Act { token: 2, ..used(1, 201) }]), "");
    }

    #[test]
    fn a_lost_session_is_seen() {
        let refused = |token, end| act(token, Kind::Use, 1, [90, end], Outcome::Refused);
        assert!(fault(&[refused(0, 95)]).starts_with("lost"));
        let out = act(0, Kind::LogOut, 1, [100, 200], Outcome::Unknown);
        assert!(fault(&[out, refused(0, 99)]).starts_with("lost"));
        assert_eq!(fault(&[out, refused(0, 100)]), "");
        assert!(fault(&[out, refused(2, 100)]).starts_with("lost"), "another session");
        // Under a token that was dead long since nothing can be ended.
        let renewed = act(0, Kind::Renew, 1, [11, 20], DONE);
        let late = Act { start: 21 + GRACE, end: 30 + GRACE, result: DONE, ..out };
        let after = Act { start: 40 + GRACE, end: 50 + GRACE, ..refused(1, 0) };
        assert!(fault(&[renewed, late, after]).starts_with("lost"));
    }

    #[test]
    fn a_lost_increment_is_seen() {
        let add = |span, value| act(0, Kind::Write, 1, span, Outcome::Done(value));
        assert_eq!(fault(&[add([30, 40], 1), add([50, 60], 2)]), "");
        assert_eq!(fault(&[add([30, 55], 2), add([50, 60], 1)]), "", "at the same time");
        assert!(fault(&[add([30, 55], 1), add([50, 60], 1)]).starts_with("two increments"));
        assert!(fault(&[add([30, 40], 2), add([50, 60], 1)]).contains("is not from"));
        assert!(fault(&[add([30, 40], 1), add([50, 60], 3)]).contains("is not from"));
        // One of which nobody knows may count, and need not.
        let unknown = act(1, Kind::Write, 1, [41, 45], Outcome::Unknown);
        assert_eq!(fault(&[add([30, 40], 1), unknown, add([50, 60], 3)]), "");
        assert_eq!(fault(&[add([30, 40], 1), unknown, add([50, 60], 2)]), "");
    }

    #[test]
    fn a_fork_and_a_wrong_answer_are_seen() {
        let renewed = act(0, Kind::Renew, 1, [30, 40], DONE);
        assert_eq!(fault(&[renewed]), "");
        assert!(fault(&[renewed, renewed]).starts_with("two sessions"));
        let wrong = act(0, Kind::Use, 1, [30, 40], Outcome::Wrong);
        assert!(fault(&[wrong]).starts_with("answered"));
    }
}
