//! The checker must reject impossible histories.

use super::check::{Act, GRACE, Kind, Moment, Outcome, Token, check};

/// Session 0 has the tokens 0 and then 1, and session 1 has the token 2. All
/// belong to one user and had begun before the moment 20.
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
fn the_checker_detects_a_use_after_the_end() {
    let out = act(0, Kind::LogOut, 1, [100, 200], DONE);
    let used = |process, start| act(0, Kind::Use, process, [start, start + 9], DONE);
    assert_eq!(fault(&[out, used(1, 200)]), "");
    assert!(fault(&[out, used(1, 201)]).starts_with("used after"));
    // At another process, or at an unknown one, it may live on for a second.
    assert_eq!(fault(&[out, used(2, 200 + GRACE)]), "");
    assert_eq!(fault(&[out, used(0, 200 + GRACE)]), "");
    assert!(fault(&[out, used(2, 201 + GRACE)]).starts_with("used after"));
    // An unacknowledged end may not have happened.
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
fn the_checker_detects_a_lost_session() {
    let refused = |token, end| act(token, Kind::Use, 1, [90, end], Outcome::Refused);
    assert!(fault(&[refused(0, 95)]).starts_with("lost"));
    let out = act(0, Kind::LogOut, 1, [100, 200], Outcome::Unknown);
    assert!(fault(&[out, refused(0, 99)]).starts_with("lost"));
    assert_eq!(fault(&[out, refused(0, 100)]), "");
    assert!(fault(&[out, refused(2, 100)]).starts_with("lost"), "another session");
    // A token that has long been dead cannot end anything.
    let renewed = act(0, Kind::Renew, 1, [11, 20], DONE);
    let late = Act { start: 21 + GRACE, end: 30 + GRACE, result: DONE, ..out };
    let after = Act { start: 40 + GRACE, end: 50 + GRACE, ..refused(1, 0) };
    assert!(fault(&[renewed, late, after]).starts_with("lost"));
}

#[test]
fn the_checker_detects_a_lost_increment() {
    let add = |span, value| act(0, Kind::Write, 1, span, Outcome::Done(value));
    assert_eq!(fault(&[add([30, 40], 1), add([50, 60], 2)]), "");
    assert_eq!(fault(&[add([30, 55], 2), add([50, 60], 1)]), "", "at the same time");
    assert!(fault(&[add([30, 55], 1), add([50, 60], 1)]).starts_with("two increments"));
    assert!(fault(&[add([30, 40], 2), add([50, 60], 1)]).contains("is not from"));
    assert!(fault(&[add([30, 40], 1), add([50, 60], 3)]).contains("is not from"));
    // An unacknowledged increment may count or not.
    let unknown = act(1, Kind::Write, 1, [41, 45], Outcome::Unknown);
    assert_eq!(fault(&[add([30, 40], 1), unknown, add([50, 60], 3)]), "");
    assert_eq!(fault(&[add([30, 40], 1), unknown, add([50, 60], 2)]), "");
}

#[test]
fn the_checker_detects_a_fork_and_a_wrong_answer() {
    let renewed = act(0, Kind::Renew, 1, [30, 40], DONE);
    assert_eq!(fault(&[renewed]), "");
    assert!(fault(&[renewed, renewed]).starts_with("two sessions"));
    let wrong = act(0, Kind::Use, 1, [30, 40], Outcome::Wrong);
    assert!(fault(&[wrong]).starts_with("answered"));
}
