#![no_main]

//! Nobody else can make the value of a cookie, and a token has only one spelling.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|text: &str| {
    assert_eq!(fuzzing::cookie(text), None);
    if let Some(token) = fuzzing::token(text) {
        assert_eq!(token, text);
    }
});
