//! The checker must see what is wrong: histories that cannot be.

use super::check::{Act, GRACE, Kind, Moment, Outcome, Token, check};

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
