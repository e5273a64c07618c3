#![no_main]

//! The body of a form is read, or refused with one of two statuses.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|body: &[u8]| match fuzzing::form(body) {
    Ok((email, password)) => {
        // An invalid byte becomes three bytes.
        assert!(email.len() + password.map_or(0, |password| password.len()) <= 3 * body.len());
    }
    Err(status) => assert!(matches!(status.code, 400 | 422)),
});
