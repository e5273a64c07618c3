#![no_main]

//! A form that is sent as JSON is read, or refused with one of two statuses.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|body: &[u8]| match fuzzing::json_form(body) {
    Ok((email, password)) => {
        // No escape is shorter than what it stands for.
        assert!(email.len() + password.map_or(0, |password| password.len()) <= body.len());
    }
    Err(status) => assert!(matches!(status.code, 400 | 422)),
});
