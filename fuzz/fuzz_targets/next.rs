#![no_main]

//! `next` never leads to another site after a log-in.

use libfuzzer_sys::fuzz_target;
use rocket_login::ReturnTo;
use url::Url;

fuzz_target!(|text: &str| {
    let Some(next) = ReturnTo::parse(text) else { return };
    assert_eq!(next.to_string(), text);
    let page = Url::parse("https://site.example/login").unwrap();
    assert_eq!(page.join(text).unwrap().origin(), page.origin());
});
