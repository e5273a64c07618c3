#![no_main]

//! A new password is judged without a panic. The first line is the address, the rest is typed.

use libfuzzer_sys::fuzz_target;
use rocket_login::NewPassword;
use rocket_login::config::PasswordConfig;

fuzz_target!(|text: &str| {
    let (address, typed) = text.split_once('\n').unwrap_or(("", text));
    let taken = NewPassword::parse(typed, &PasswordConfig::default(), &[address, "the site"]);
    assert!(taken.is_err() || !typed.contains('\0'));
});
