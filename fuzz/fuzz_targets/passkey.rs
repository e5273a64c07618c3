#![no_main]

//! What a browser says of a passkey is read, or refused.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|json: &str| {
    if fuzzing::passkey(json) {
        assert!(json.trim_start().starts_with('{'));
    }
});
