#![no_main]

//! The value of a cookie: nobody else can make one, and a token has one
//! spelling.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|text: &str| {
    assert_eq!(fuzzing::cookie(text), None);
    if let Some(token) = fuzzing::token(text) {
        assert_eq!(token, text);
    }
});
