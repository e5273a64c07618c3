#![no_main]

//! An accepted address is ASCII, and is accepted in any case.

use libfuzzer_sys::fuzz_target;
use rocket_login::Email;

fuzz_target!(|text: &str| {
    let Ok(email) = Email::parse(text) else { return };
    assert_eq!(email.as_str(), text.trim());
    assert!(email.as_str().len() <= 254 && email.as_str().bytes().all(|b| b.is_ascii_graphic()));
    assert_eq!(Email::parse(email.as_str()).as_ref(), Ok(&email));
    assert!(Email::parse(&email.as_str().to_uppercase()).is_ok());
});
