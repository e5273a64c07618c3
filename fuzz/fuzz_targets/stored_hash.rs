#![no_main]

//! No stored hash can exceed the bounds.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|text: &str| {
    if let Some((memory, passes, lanes)) = fuzzing::stored_hash(text) {
        assert!(memory <= 131_072 && passes <= 10 && lanes <= 4);
    }
});
