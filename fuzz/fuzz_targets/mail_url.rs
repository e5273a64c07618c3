#![no_main]

//! With any `mail.url`, a password goes to another machine encrypted or not at all.

use libfuzzer_sys::fuzz_target;
use rocket_login::config::{MailConfig, MailTls};

fuzz_target!(|text: &str| {
    let config = MailConfig { url: Some(text.to_owned()), ..Default::default() };
    match config.server() {
        Ok(server) => {
            let server = server.expect("there is a URL");
            let is_address = server.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
            let is_local = server.host == "localhost" || is_address;
            let is_sealed = matches!(server.tls, MailTls::StartTls | MailTls::Implicit);
            assert!(server.credentials.is_none() || is_local || is_sealed);
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
    }
});
