#![no_main]

//! A typed code is six digits or a recovery code, never both, and comes back as it was read.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|typed: &str| {
    let (app, recovery) = fuzzing::code(typed);
    assert!(app.is_none() || recovery.is_none());
    if let Some(app) = app {
        assert!(app.len() == 6 && app.bytes().all(|digit| digit.is_ascii_digit()));
    }
    if let Some(recovery) = recovery {
        assert_eq!(fuzzing::code(&recovery).1, Some(recovery));
    }
});
