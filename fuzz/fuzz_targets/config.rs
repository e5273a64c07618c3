#![no_main]

//! A file `Rocket.toml` is accepted, or refused with one line.

use libfuzzer_sys::fuzz_target;
use rocket::figment::Figment;
use rocket::figment::providers::{Format, Toml};
use rocket_login::config::Config;

fuzz_target!(|text: &str| {
    let defaults = Figment::from(rocket::Config::debug_default());
    if let Err(error) = Config::from_figment(&defaults.merge(Toml::string(text).nested())) {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
});
