#![no_main]

//! Every user agent gets a short plain name.

use libfuzzer_sys::fuzz_target;
use rocket_login::fuzzing;

fuzz_target!(|text: &str| {
    let label = fuzzing::device(text);
    assert!(!label.is_empty() && label.len() <= 64, "{label}");
    assert!(label.chars().all(|c| c.is_ascii_alphanumeric() || " .-_/()".contains(c)), "{label}");
});
