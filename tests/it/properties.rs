//! Properties that hold for every input, checked with generated ones.

use proptest::prelude::*;
use proptest::sample::select;
use rocket_login::config::{Config, MailConfig, MailTls, PasswordConfig};
use rocket_login::{Email, NewPassword, PasswordError, ReturnTo};
use unicode_normalization::UnicodeNormalization;
use url::Url;

use crate::support::encode;

/// Generates texts from pieces that may confuse a parser, mixed with arbitrary characters.
fn pieces(pieces: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let piece = prop_oneof![
        4 => select(pieces.to_vec()).prop_map(String::from),
        1 => "\\PC{0,6}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn next() -> impl Strategy<Value = String> {
    let free = pieces(&[
        "/",
        "//",
        "\\",
        "%2f",
        "%5c",
        "%5C",
        "%25",
        "%",
        "evil.example",
        "account",
        "@",
        ":",
        "?",
        "#",
        "\t",
        "\n",
        "\r",
        "%09",
        "%0d%0a",
        "%00",
        ".",
        "..",
        "%2e",
        "%2e%2e",
        ";",
        "https:",
        "javascript:",
        " ",
        "\u{a0}",
        "ä",
        "[::1]",
    ]);
    // Otherwise most texts would be refused because they do not begin with `/`.
    (select(vec!["", "/"]), free).prop_map(|(start, text)| format!("{start}{text}"))
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        pieces(&[
            "ada",
            "@",
            "example",
            ".",
            ".org",
            "@example.org",
            "+",
            "-",
            "_",
            "'",
            "\"",
            "(",
            ")",
            "<",
            ">",
            "[",
            "]",
            "[127.0.0.1]",
            ",",
            ";",
            ":",
            "\\",
            " ",
            "\t",
            "\r\n",
            "\0",
            "xn--",
            "İ",
            "ı",
            "ſ",
            "K",
            "é",
            "\u{200b}",
        ]),
        "[ \t]{0,2}[!-~]{1,20}@([!-~]{1,10}\\.){1,3}[A-Za-z]{1,8}[ \t]{0,2}",
        plain_address(),
    ]
}

/// Generates unquestionably valid addresses.
fn plain_address() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_+]{1,10}([.-][A-Za-z0-9_+]{1,10}){0,2}@([A-Za-z0-9]{1,10}\\.){1,3}[A-Za-z]{2,8}"
}

fn server(url: &str) -> Result<Option<rocket_login::config::MailServer>, String> {
    let mut config = MailConfig::default();
    config.url = Some(url.to_owned());
    config.server().map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn an_accepted_next_path_stays_on_this_site(text in next()) {
        let Some(taken) = ReturnTo::parse(&text) else { return Ok(()) };
        let taken = taken.to_string();
        prop_assert_eq!(&taken, &text);
        prop_assert!(text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic()));

        // A browser on our page resolves the path, and so does one that gets it
        // from a proxy that has decoded it.
        let page = Url::parse("https://site.example/login?next=x").unwrap();
        let path = text.split(['?', '#']).next().unwrap();
        let decoded = rocket::http::RawStr::new(path).percent_decode().unwrap();
        for text in [text.as_str(), &decoded] {
            let target = page.join(text).unwrap();
            prop_assert_eq!(target.origin(), page.origin(), "{}", target);
            prop_assert_eq!((target.username(), target.password()), ("", None));
        }
    }

    #[test]
    fn a_plain_path_is_accepted(text in "(/[a-z0-9_~-]{1,8}){1,5}(\\?[a-z]{1,5}=[a-z0-9%20]{0})?") {
        prop_assert!(ReturnTo::parse(&text).is_some());
    }

    #[test]
    fn an_accepted_address_is_ascii_and_parses_to_itself(text in address()) {
        let Ok(email) = Email::parse(&text) else { return Ok(()) };
        prop_assert_eq!(email.as_str(), text.trim());
        prop_assert!((3..=254).contains(&email.as_str().len()));
        prop_assert!(email.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(Email::parse(email.as_str()), Ok(email.clone()));
        // Mail can be sent to an accepted address.
        prop_assert!(email.as_str().parse::<lettre::Address>().is_ok(), "{}", email);
    }

    #[test]
    fn an_accepted_address_is_also_accepted_in_any_case(text in address()) {
        let Ok(email) = Email::parse(&text) else { return Ok(()) };
        for other in [email.as_str().to_uppercase(), email.as_str().to_lowercase()] {
            let other = Email::parse(&other).unwrap();
            prop_assert!(other.as_str().eq_ignore_ascii_case(email.as_str()));
        }
    }

    #[test]
    fn a_plain_address_is_accepted(text in plain_address()) {
        prop_assert!(Email::parse(&text).is_ok());
    }

    #[test]
    fn every_mail_url_is_accepted_or_refused_with_one_line(
        text in pieces(&[
            "smtp:", "smtps:", "//", "/", "user", ":", "@", "mail.example.org", "localhost",
            "127.0.0.1", "[::1]", "[", ":25", ":0", ":99999", "?", "tls=", "tls=none", "&", "#",
            "%", "%ff", "%40", "\n", " ",
        ]),
    ) {
        match server(&text) {
            Ok(server) => prop_assert!(!server.unwrap().host.is_empty()),
            Err(error) => prop_assert_eq!(error.lines().count(), 1, "{}", error),
        }
    }

    #[test]
    fn a_mail_url_with_a_password_never_allows_an_unencrypted_connection(
        scheme in select(vec!["smtp", "smtps"]),
        user in "\\PC{1,12}",
        password in "\\PC{1,12}",
        host in prop_oneof![
            "[a-z]{1,8}\\.example", Just("localhost".into()), Just("127.0.0.1".into()),
            Just("127.0.0.1.example".into()), Just("localhost.example".into()),
        ],
        port in prop::option::of(1_u16..),
        tls in select(vec!["", "?tls=none", "?tls=opportunistic", "?tls=required"]),
    ) {
        let written = port.map_or_else(String::new, |port| format!(":{port}"));
        let login = format!("{}:{}", encode(&user), encode(&password));
        match server(&format!("{scheme}://{login}@{host}{written}{tls}")) {
            Ok(server) => {
                let server = server.unwrap();
                prop_assert_eq!(server.port, port.unwrap_or(if scheme == "smtp" { 587 } else { 465 }));
                prop_assert_eq!(&server.host, &host);
                prop_assert_eq!(server.credentials.unwrap(), (user, password));
                let is_local = host == "localhost" || host == "127.0.0.1";
                prop_assert!(
                    is_local || matches!(server.tls, MailTls::StartTls | MailTls::Implicit)
                );
                prop_assert_eq!(scheme == "smtps", server.tls == MailTls::Implicit);
            }
            Err(error) => prop_assert!(!tls.is_empty() && !error.contains(&login), "{}", error),
        }
    }

    #[test]
    fn both_unicode_forms_of_a_password_are_judged_alike(text in prop_oneof!["\\PC{0,140}", any::<String>()]) {
        let policy = PasswordConfig::default();
        let judge = |text: &str| NewPassword::parse(text, &policy, &["ada@example.org"]).map(drop);
        let (composed, decomposed): (String, String) = (text.nfc().collect(), text.nfd().collect());
        let verdict = judge(&text);
        prop_assert_eq!(judge(&composed), verdict);
        prop_assert_eq!(judge(&decomposed), verdict);
        if verdict.is_ok() {
            let range = policy.min_length..=policy.max_length;
            prop_assert!(range.contains(&composed.chars().count()) && !text.contains('\0'));
        }
    }

    #[test]
    fn a_password_made_of_the_address_is_refused(
        name in "[a-z]{6,10}",
        digits in "[0-9!.]{6,7}",
        is_upper: bool,
    ) {
        let policy = PasswordConfig::default();
        let word = if is_upper { name.to_uppercase() } else { name.clone() };
        let address = format!("{name}@example.org");
        for text in [format!("{word}{digits}"), format!("{digits}{word}")] {
            let error = NewPassword::parse(&text, &policy, &[&address]).unwrap_err();
            prop_assert!(matches!(error, PasswordError::Context | PasswordError::Common));
        }
    }
}

proptest! {
    // Each case reads a whole configuration, so there are fewer.
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_value_of_a_key_is_accepted_or_refused_with_one_line(
        key in select(vec![
            "session.idle_timeout", "session.cookie_name", "session.cookie_path",
            "session.cookie_domain", "session.previous_keys", "site.url", "site.trusted_origins",
            "site.trusted_proxies", "mail.url", "mail.from", "password.peppers",
            "password.min_length", "throttle.first_delay", "secret_key", "databases.login.url",
        ]),
        text in pieces(&[
            "https://", "example.org", "/", ":", "\n", "1", "h", "day", " ", "-", "99999999999999",
            "AAAA", "=", "@", "0.0.0.0/0", "sqlite:", "?", ";", "\0",
        ]),
        is_list: bool,
    ) {
        let figment = crate::support::figment(&tempfile::TempDir::new().unwrap());
        let figment = match is_list {
            true => figment.merge((key, vec![text])),
            false => figment.merge((key, text)),
        };
        if let Err(error) = Config::from_figment(&figment) {
            let error = error.to_string();
            prop_assert_eq!(error.lines().count(), 1, "{:?}", error);
        }
    }
}
