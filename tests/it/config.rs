//! A wrong configuration stops the start with one line that names the key and the fix.

use rocket::figment::Figment;
use rocket_login::config::{Config, MailConfig};
use tempfile::TempDir;

use crate::support::{TestApp, figment};

const GOOD_KEY: &str = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

#[track_caller]
fn refused(figment: Figment) -> String {
    let error = Config::from_figment(&figment).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn debug() -> Figment {
    figment(&TempDir::new().unwrap())
}

fn release() -> Figment {
    debug().select("release").merge(("secret_key", GOOD_KEY))
}

fn mail(url: &str) -> MailConfig {
    let mut config = MailConfig::default();
    config.url = Some(url.into());
    config
}

#[test]
fn the_defaults_are_valid() {
    Config::from_figment(&debug()).unwrap();
    Config::from_figment(&release()).unwrap();
}

#[test]
fn an_unknown_key_is_reported_with_the_known_keys() {
    let error = refused(debug().merge(("session.idle_timout", 5)));
    assert!(error.starts_with("session.idle_timout: is not a key"), "{error}");
    assert!(error.contains("idle_timeout"), "{error}");

    for key in ["accounts.x", "password.x", "throttle.x", "site.x", "mail.x", "databases.login.x"] {
        let error = refused(debug().merge((key, 1)));
        assert!(error.starts_with(&format!("{key}: is not a key")), "{error}");
    }
}

#[test]
fn a_table_outside_a_profile_is_refused() {
    use rocket::figment::providers::{Format, Toml};
    let toml = Toml::string("[session]\nidle_timeout = 5").nested();
    let error = refused(debug().merge(toml));
    assert_eq!(error, "session: stands outside a profile; write [default.session] in Rocket.toml");
}

#[test]
fn the_error_for_a_wrong_type_says_what_to_write() {
    for (key, value, expected) in [
        ("session.idle_timeout", "1w", "session.idle_timeout: "),
        ("session.idle_timeout", "-5", "session.idle_timeout: "),
        ("session.secure", "perhaps", "session.secure: "),
        (
            "session.same_site",
            "maybe",
            "session.same_site: is \"maybe\"; write one of lax, strict, none",
        ),
        (
            "accounts.registration",
            "maybe",
            "accounts.registration: is \"maybe\"; write one of open",
        ),
        ("password.min_length", "many", "password.min_length: "),
        ("site.trusted_proxies", "everyone", "site.trusted_proxies: "),
    ] {
        let error = refused(debug().merge((key, value)));
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_error_for_a_number_out_of_range_states_the_range() {
    for (key, value, range) in [
        ("password.min_length", 7, "8 to 128"),
        ("password.min_length", 129, "8 to 128"),
        ("password.max_length", 63, "64 to 1024"),
        ("password.max_length", 1025, "64 to 1024"),
        ("password.memory_kib", 7, "8 to 131072"),
        ("password.memory_kib", 131_073, "8 to 131072"),
        ("password.iterations", 0, "1 to 10"),
        ("password.parallelism", 5, "1 to 4"),
        ("password.concurrent_hashes", 0, "1 to 64"),
        ("session.account_limit", 0, "1 to 10000"),
        ("session.account_limit", 10_001, "1 to 10000"),
        ("session.cache_size", 0, "1 to 65536"),
        // Eighty megabytes, written in bytes.
        ("session.cache_size", 83_886_080, "1 to 65536"),
    ] {
        let error = refused(debug().merge((key, value)));
        assert_eq!(error, format!("{key}: is {value}; write a number from {range}"));
    }
}

#[test]
fn an_idle_timeout_must_not_exceed_its_absolute_timeout() {
    let error = refused(debug().merge(("session.idle_timeout", "25h")));
    assert!(error.starts_with("session.idle_timeout: is longer than session.absolute_timeout"));
    let error = refused(debug().merge(("session.remember_absolute_timeout", "13d")));
    assert!(error.starts_with("session.remember_idle_timeout: is longer than"), "{error}");
    for value in ["0", "401d"] {
        let error = refused(debug().merge(("session.absolute_timeout", value)));
        assert!(error.starts_with("session.absolute_timeout: is out of range"), "{error}");
    }
}

#[test]
fn unsafe_cookies_are_refused() {
    for (figment, key) in [
        (release().merge(("session.cookie_domain", "example.org")), "session.cookie_name"),
        (release().merge(("session.cookie_path", "/app")), "session.cookie_name"),
        (debug().merge(("session.cookie_name", "__Host-sid")), "session.cookie_name"),
        (debug().merge(("session.cookie_name", "__Secure-sid")), "session.cookie_name"),
        (debug().merge(("session.cookie_name", "two words")), "session.cookie_name"),
        (debug().merge(("session.cookie_name", "")), "session.cookie_name"),
        (debug().merge(("session.same_site", "none")), "session.same_site"),
        (debug().merge(("session.partitioned", true)), "session.partitioned"),
        (debug().merge(("session.cookie_path", "app")), "session.cookie_path"),
        (debug().merge(("session.cookie_path", "/;x")), "session.cookie_path"),
        (debug().merge(("session.cookie_domain", "a;b")), "session.cookie_domain"),
    ] {
        let error = refused(figment);
        assert!(error.starts_with(&format!("{key}: ")), "{error}");
    }
}

#[test]
fn release_needs_a_secret_key_that_is_not_published() {
    let none = rocket::Config::release_default();
    let error =
        refused(Figment::from(none).select("release").merge(("databases.login.url", "sqlite:x")));
    assert_eq!(
        error,
        "secret_key: is missing; set ROCKET_SECRET_KEY to what `rocket-login secret-key` prints"
    );
    for (key, problem) in [
        ("A".repeat(43) + "=", "is missing"),
        ("hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=".into(), "is published"),
        ("bm90IGEgc2VjcmV0OiB0aGUgZGVidWcga2V5IQAAAAA=".into(), "is published"),
    ] {
        let error = refused(release().merge(("secret_key", key)));
        assert!(error.starts_with(&format!("secret_key: {problem}")), "{error}");
    }
}

#[test]
fn a_previous_key_must_not_be_a_published_one() {
    for key in ["A".repeat(43) + "=", "hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=".into()] {
        let error = refused(release().merge(("session.previous_keys", [key])));
        assert_eq!(error, "session.previous_keys: holds a key that is not secret; remove it");
    }
}

#[test]
fn an_invalid_key_is_not_repeated_in_the_error() {
    for key in ["secret_key", "session.previous_keys"] {
        let figment = match key {
            "secret_key" => debug().merge((key, "hunter2hunter2")),
            _ => debug().merge((key, ["hunter2hunter2"])),
        };
        let error = refused(figment);
        assert!(error.starts_with(key), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_unsupported_database_url_is_refused_and_never_opened_as_a_file() {
    for (url, problem) in [
        ("mysql://root:hunter2@localhost/x", "has the unknown scheme \"mysql\""),
        ("sqlite3:x.db", "has the unknown scheme \"sqlite3\""),
        ("SQLITE:x.db", "has the unknown scheme \"SQLITE\""),
        ("postgres://u:hunter2@localhost:x/y", "cannot be read"),
        ("login.db", "has no scheme"),
        ("", "has no scheme"),
        ("sqlite:", "needs a file"),
        ("sqlite::memory:", "needs a file"),
        ("sqlite:x.db?mode=ro", "takes no parameters"),
    ] {
        let error = refused(debug().merge(("databases.login.url", url)));
        assert!(error.starts_with(&format!("databases.login.url: {problem}")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_trusted_origin_must_be_a_scheme_and_a_host() {
    for origin in
        ["example.org", "https://", "https://example.org/", "https://*.example.org", "null"]
    {
        let error = refused(debug().merge(("site.trusted_origins", [origin])));
        assert!(error.starts_with("site.trusted_origins: holds"), "{error}");
    }
}

#[test]
fn confirmation_by_mail_needs_mail() {
    let confirm = release().merge(("accounts.registration", "confirm"));
    let error = refused(confirm.clone());
    assert!(
        error.starts_with("accounts.registration: is \"confirm\", which needs mail"),
        "{error}"
    );
    Config::from_figment(&with_mail(confirm)).unwrap();
    Config::from_figment(&debug().merge(("accounts.registration", "confirm"))).unwrap();
}

fn with_mail(figment: Figment) -> Figment {
    figment
        .merge(("mail.url", "smtps://site:hunter2@mail.example.org"))
        .merge(("mail.from", "Example <no-reply@example.org>"))
        .merge(("site.url", "https://example.org"))
}

#[test]
fn mail_in_release_needs_a_sender_and_the_sites_address() {
    Config::from_figment(&with_mail(release())).unwrap();
    let error = refused(release().merge(("mail.url", "smtp://localhost")));
    assert!(error.starts_with("mail.from: is missing; write"), "{error}");
    let error = refused(
        release().merge(("mail.url", "smtp://localhost")).merge(("mail.from", "a@example.org")),
    );
    assert!(error.starts_with("site.url: is missing; write"), "{error}");
    for from in ["nobody", "", "a@b@c", "a@example.org\r\nBcc: x@example.org"] {
        let error = refused(debug().merge(("mail.from", from)));
        assert!(error.starts_with("mail.from: is \""), "{error}");
    }
    for url in
        ["example.org", "https://", "https://example.org/", "https://example.org/app", "ftp://x"]
    {
        let error = refused(debug().merge(("site.url", url)));
        assert!(error.starts_with("site.url: is \""), "{error}");
    }
}

#[test]
fn the_error_for_a_mail_url_does_not_show_its_password() {
    for (url, problem) in [
        ("mail.example.org", "is not a URL"),
        ("http://u:hunter2@mail.example.org", "has an unknown scheme"),
        ("smtp://", "names no host"),
        ("smtp://u:hunter2@mail.example.org?tls=none", "would send the password unencrypted"),
        (
            "smtp://u:hunter2@mail.example.org?tls=opportunistic",
            "would send the password unencrypted",
        ),
        ("smtp://u:hunter2@mail.example.org?tls=maybe", "has an unknown value of tls"),
        ("smtps://u:hunter2@mail.example.org?tls=none", "takes only the parameter"),
        ("smtp://u:hunter2@mail.example.org/inbox", "has a path"),
        ("smtp://hunter2@mail.example.org", "has a user without a password"),
    ] {
        let error = refused(debug().merge(("mail.url", url)));
        assert!(error.starts_with(&format!("mail.url: {problem}")), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_error_for_an_unencoded_url_password_says_how_to_encode_it() {
    for (character, code) in [('/', "%2F"), ('?', "%3F"), ('#', "%23")] {
        for password in ["hun2{}hun2", "{}hun2", "hun2{}", "{}{}", "12{}34", "h@n2{}hun2", "a=b{}c"]
        {
            let password = password.replace("{}", &character.to_string());
            for (key, url) in [
                ("mail.url", format!("smtps://ada:{password}@mail.example.org")),
                ("mail.url", format!("smtp://ada@example.org:{password}@127.0.0.1:25")),
                ("mail.url", format!("smtps://{password}:pass@mail.example.org")),
                ("databases.login.url", format!("postgres://ada:{password}@localhost/login")),
                ("databases.login.url", format!("postgresql://ada:{password}@localhost")),
                (
                    "databases.login.url",
                    format!("postgres://a@b:{password}@h:5432/x?sslmode=disable"),
                ),
            ] {
                let error = refused(debug().merge((key, url.as_str())));
                let start = format!("{key}: has a {character} in its user or password");
                assert!(error.starts_with(&start), "{url}: {error}");
                assert!(error.contains(&format!("{code} for {character}")), "{url}: {error}");
                assert!(!error.contains("hun2"), "{url}: {error}");
            }
        }
    }
    let error = refused(debug().merge(("mail.url", "smtps://ada:%ff@mail.example.org")));
    assert!(
        error.contains("encodes no character: write ") && error.contains("%25 for %"),
        "{error}"
    );
}

#[test]
fn an_at_sign_elsewhere_in_a_url_is_not_mistaken_for_a_password() {
    use rocket_login::config::DatabaseConfig;

    for url in [
        "postgres://localhost/login?user=ada@example.org&password=p@ss",
        "postgres:///login?host=/run/postgresql&user=ada@example.org",
        "postgres://localhost:5432?user=a@b",
        "postgres://ada@example.org:p@ss:w%2Frd@localhost/login?application_name=a@b",
        "postgres://ada:p%40ss%2F%3F%23%25@localhost/login",
    ] {
        DatabaseConfig::parse(url).unwrap();
    }
    for (url, user, password) in [
        ("smtps://ada@example.org:p@ss@mail.example.org", "ada@example.org", "p@ss"),
        ("smtps://ada%40example.org:%2F%3F%23%25%3A@mail.example.org/", "ada@example.org", "/?#%:"),
        ("smtp://ada:100%@mail.example.org?tls=required", "ada", "100%"),
    ] {
        let server = mail(url).server().unwrap().unwrap();
        assert_eq!(server.credentials, Some((user.into(), password.into())), "{url}");
    }
}

/// Wrong values for a secret, and wrong places to write one; `{}` is the secret.
const SHAPES: [&str; 29] = [
    "{}",
    "{}:x",
    "x:{}",
    "{}://x",
    "{}=",
    "[{}",
    "{x={}}",
    "smtps://u:{}@h",
    "smtp://{}@h",
    "smtp://u:{}@h?tls=none",
    "smtp://u:{}@h/x",
    "smtps://u:p/{}@h",
    "smtps://u:p?{}@h",
    "smtps://u:p#{}@h",
    "smtps://u:p@{}@h:x",
    "smtps://u:{}@h:99999",
    "http://u:{}@h",
    "mysql://u:{}@h/x",
    "postgres://u:{}@h:x/y",
    "postgres://u:p/{}@h/y",
    "postgres://u:p?{}@h/y",
    "postgres://u:p?{}=1@h/y",
    "postgres://u:1?{}=1@h/y",
    "postgres://u:p@{}/x@h/y",
    "postgres://h/y?pasword={}",
    "postgres://h/y?password={}&x=1",
    "postgres://u:{}@h/y?sslmode=verify",
    "sqlite:{}?mode=ro",
    "ada:{}@h/y",
];

/// Keys that hold a secret, misspellings of them, and the tables around them.
const PLACES: [&str; 25] = [
    "secret_key",
    "session.previous_keys",
    "session.previous_key",
    "session",
    "password.peppers",
    "password.pepper",
    "password",
    "mail.url",
    "mail.ulr",
    "mail.from",
    "mail",
    "databases",
    "databases.login",
    "databases.login.url",
    "databases.login.password",
    "databases.lgoin",
    "databases.login.max_connections",
    "databases.login.named_statements",
    "site.url",
    "site.trusted_origins",
    "providers",
    "providers.acme",
    "providers.acme.issuer",
    "providers.acme.client_secret",
    "providers.acme.scopes",
];

#[test]
fn no_configuration_error_shows_a_possible_secret() {
    use rocket::figment::value::{Dict, Value};

    const SECRET: &str = "hunter2hunter2";
    const NUMBER: u64 = 481_516_234_281_516;

    let mut values: Vec<Value> =
        SHAPES.iter().map(|text| Value::from(text.replace("{}", SECRET))).collect();
    values.push(NUMBER.into());
    values.push((NUMBER as f64).into());
    let table = |value: Value| Value::from(Dict::from([("x".to_owned(), value)]));
    let shapes: [fn(Value) -> Value; 4] = [
        |value| value,
        |value| Value::from(vec![value]),
        |value| Value::from(vec![vec![value]]),
        |value| Value::from(vec![Value::from(1), value]),
    ];
    let bases = [debug(), release()];
    let mut said_of = 0;
    for key in PLACES {
        for value in &values {
            for shaped in shapes
                .map(|shape| shape(value.clone()))
                .into_iter()
                .flat_map(|value| [value.clone(), table(value)])
            {
                // The values of these keys are secret only if they look like a URL with a password.
                let text = value.as_str().unwrap_or_default();
                let is_secret = match key {
                    "mail.from" => text.contains("://"),
                    // serde takes a list for a table's values in their order, and a number may be one.
                    "session" | "password" => !text.is_empty(),
                    key => !key.starts_with("site.") || text.contains('@'),
                };
                if !is_secret {
                    continue;
                }
                for figment in bases.clone() {
                    let figment = figment.merge((key, shaped.clone()));
                    let said = match (Config::from_figment(&figment), Config::of_sessions(&figment))
                    {
                        (Ok(one), Ok(other)) => format!("{one:?} {other:?}"),
                        (Ok(one), Err(other)) => format!("{one:?} {other} {other:?}"),
                        (Err(one), Ok(other)) => format!("{one} {one:?} {other:?}"),
                        (Err(one), Err(other)) => format!("{one} {one:?} {other} {other:?}"),
                    };
                    said_of += 1;
                    assert!(!said.contains(SECRET), "{key} = {shaped:?}: {said}");
                    assert!(!said.contains(&NUMBER.to_string()), "{key} = {shaped:?}: {said}");
                }
            }
        }
    }
    assert!(said_of > 5_000, "{said_of}");
}

#[test]
fn a_mail_connection_is_encrypted_unless_it_stays_on_the_machine() {
    use rocket_login::config::MailTls;
    for (url, host, port, tls) in [
        ("smtps://mail.example.org", "mail.example.org", 465, MailTls::Implicit),
        ("smtp://mail.example.org", "mail.example.org", 587, MailTls::StartTls),
        ("smtp://mail.example.org:25?tls=none", "mail.example.org", 25, MailTls::None),
        ("smtp://localhost", "localhost", 587, MailTls::Opportunistic),
        ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, MailTls::Opportunistic),
        ("smtp://[::1]:1025?tls=required", "::1", 1025, MailTls::StartTls),
    ] {
        let server = mail(url).server().unwrap().unwrap();
        assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{url}");
    }

    let server = mail("smtps://us%40er:p%3Ass@mail.example.org").server().unwrap().unwrap();
    assert_eq!(server.credentials, Some(("us@er".into(), "p:ss".into())));
    assert!(!format!("{server:?}").contains("p:ss"));
}

#[test]
fn throttle_limits_have_bounds() {
    for (key, value, range) in [
        ("throttle.failure_limit", 101, "1 to 100"),
        ("throttle.failures", 101, "1 to 100"),
        ("throttle.account_failures", 0, "1 to 100"),
        ("throttle.address_failures", 601, "1 to 600"),
        ("throttle.sign_ups", 3601, "1 to 3600"),
        ("throttle.mails", 0, "1 to 3600"),
        ("throttle.address_mails", 0, "1 to 3600"),
    ] {
        let error = refused(debug().merge((key, value)));
        assert_eq!(error, format!("{key}: is {value}; write a number from {range}"));
    }
    let error = refused(debug().merge(("throttle.longest_delay", "2d")));
    assert!(error.starts_with("throttle.longest_delay: is out of range"), "{error}");
    let error = refused(debug().merge(("throttle.first_delay", "2h")));
    assert!(error.starts_with("throttle.first_delay: is out of range"), "{error}");
}

#[test]
fn a_pepper_must_be_a_key_and_is_not_repeated_in_the_error() {
    for key in ["hunter2", "", &"A".repeat(43), &("A".repeat(43) + "=")] {
        let error = refused(debug().merge(("password.peppers", [key])));
        assert!(error.starts_with("password.peppers"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    Config::from_figment(&debug().merge(("password.peppers", [GOOD_KEY]))).unwrap();
}

#[test]
fn breached_passwords_are_looked_up_over_https() {
    for url in ["http://api.example.org/range", "api.example.org", "ftp://x", ""] {
        let error = refused(debug().merge(("password.breached_url", url)));
        assert!(error.starts_with("password.breached_url: is not an https address"), "{error}");
    }
    let url = "https://api.pwnedpasswords.com/range";
    Config::from_figment(&debug().merge(("password.breached_url", url))).unwrap();
}

#[test]
fn the_lifetime_of_a_link_is_bounded() {
    for key in ["accounts.reset_lifetime", "accounts.verify_lifetime"] {
        for value in ["0", "31d"] {
            let error = refused(debug().merge((key, value)));
            let expected =
                format!("{key}: is out of range; write a duration from \"1s\" to \"30d\"");
            assert_eq!(error, expected);
        }
    }
    let error = refused(debug().merge(("session.reauthenticate_after", 0)));
    assert!(error.starts_with("session.reauthenticate_after: is out of range"), "{error}");
}

#[test]
fn weak_or_ineffective_settings_cause_a_warning() {
    let warnings = |figment: Figment| Config::from_figment(&figment).unwrap().warnings().join("\n");
    assert_eq!(warnings(debug()), "");
    assert!(warnings(release()).contains("below OWASP's minimum"));
    let strong = release().merge(("password.memory_kib", 19_456)).merge(("password.iterations", 2));
    assert!(warnings(strong.clone()).starts_with("mail.url is not set: users cannot reset"));
    let strong = with_mail(strong);
    assert_eq!(warnings(strong.clone()), "");
    let open = strong.clone().merge(("site.url", "http://example.org"));
    assert!(warnings(open).starts_with("site.url is http"));
    assert!(
        warnings(strong.clone().merge(("session.secure", false)))
            .contains("session.secure is false")
    );
    let path = debug().merge(("session.cookie_path", "/app"));
    assert_eq!(warnings(path), "session.cookie_path: users are logged in only below /app");
    assert!(
        warnings(strong.merge(("throttle.enabled", false))).contains("throttle.enabled is false")
    );
}

#[rocket::async_test]
async fn insecure_cookies_in_release_have_the_plain_name() {
    let app = TestApp::with(|f| f.select("release").merge(("session.secure", false))).await;
    let ada = app.registered("ada@example.org").await;
    assert!(ada.has_cookie("session"));
    assert!(ada.get("/").await.header("strict-transport-security").is_some());
}

#[rocket::async_test]
async fn a_wrong_key_stops_the_ignition() {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir).merge(("session.idle_timout", 5)));
    let error = rocket.attach(rocket_login::stage()).ignite().await.unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::FailedFairings(_)), "{error:?}");
}

#[test]
fn a_postgresql_url_refuses_unknown_parameters_and_hides_its_password() {
    let refused_url = |url: &str| refused(debug().merge(("databases.login.url", url)));
    // If these were ignored, the site would connect without checking the certificate.
    for parameter in ["sslmod=verify-full", "pasword=hunter2", "target_session_attrs=any"] {
        let error = refused_url(&format!("postgres://u:hunter2@localhost/x?{parameter}"));
        let key = parameter.split('=').next().unwrap();
        assert!(error.contains(&format!("unknown parameter \"{key}\"")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let url = "postgres://u:hunter2@localhost/x?sslmode=verify-full&options[search_path]=a";
    let figment = debug().merge(("databases.login.url", url));
    let config = Config::from_figment(&figment).unwrap();
    assert_eq!(config.database.to_string(), "postgres://localhost:5432/x");
    assert!(!format!("{config:?}").contains("hunter2"));

    for (key, value) in [("max_connections", 0), ("max_connections", 1_001)] {
        let key = format!("databases.login.{key}");
        let error = refused(figment.clone().merge((key.as_str(), value)));
        assert!(error.starts_with(&format!("{key}: is out of range")), "{error}");
    }
    let error = refused(debug().merge(("databases.login.named_statements", false)));
    assert!(
        error.starts_with("databases.login.named_statements: is for PostgreSQL only"),
        "{error}"
    );
}

#[test]
fn two_databases_on_one_machine_are_told_apart() {
    use rocket_login::config::DatabaseConfig;

    let parse = |url: &str| DatabaseConfig::parse(url).unwrap();
    let one = parse("postgres:///login?host=/run/postgresql&port=5432");
    assert_ne!(one, parse("postgres:///login?host=/run/postgresql&port=5433"));
    assert_ne!(parse("postgres://ada@localhost"), parse("postgres://bob@localhost"));
    assert_eq!(one, parse("postgres:///login?host=/run/postgresql"));
}

/// A configuration in which each table of ours is also one of the application's.
fn beside_an_application() -> Figment {
    let figment = figment(&TempDir::new().unwrap());
    // A test of ours sets keys at the top.
    let url: String = figment.extract_inner("databases.login.url").unwrap();
    let mut own = Figment::from(rocket::Config::debug_default())
        .merge(("databases.login.url", url))
        .merge(("secret_key", GOOD_KEY));
    for table in ["session", "accounts", "password", "throttle", "site", "mail"] {
        own = own.merge((format!("{table}.title"), "of the application"));
    }
    own
}

#[test]
fn our_tables_may_stand_under_login_where_those_at_the_top_are_the_applications() {
    let mut own = beside_an_application();
    let error = refused(own.clone());
    assert!(error.starts_with("session.title: is not a key"), "{error}");

    for (key, value) in [
        ("login.session.cookie_name", "own"),
        ("login.accounts.registration", "confirm"),
        ("login.throttle.first_delay", "7s"),
        ("login.site.url", "https://notes.example:8443"),
        ("login.site.name", "Notes"),
        ("login.mail.url", "smtp://localhost"),
        ("login.mail.from", "Notes <no-reply@notes.example>"),
    ] {
        own = own.merge((key, value));
    }
    let own = own.merge(("login.password.min_length", 20));
    let config = Config::from_figment(&own).unwrap();
    assert_eq!(config.session.cookie_name.as_deref(), Some("own"));
    assert_eq!(config.throttle.first_delay.as_secs(), 7);
    assert_eq!((config.site_name(), config.password.min_length), ("Notes", 20));
    assert_eq!(config.site.url.as_deref(), Some("https://notes.example:8443"));
    assert!(config.mail.url.is_some() && config.has_mail());

    // A table that is empty under `login` is ours too, with its defaults.
    let mixed = debug().merge(("mail.title", "x")).merge(("site.name", "Notes"));
    assert!(refused(mixed.clone()).starts_with("mail.title: is not a key"));
    let empty = rocket::figment::value::Dict::new();
    let config = Config::from_figment(&mixed.merge(("login.mail", empty))).unwrap();
    assert_eq!((config.site_name(), config.mail.url.is_none()), ("Notes", true));
}

#[test]
fn a_mistake_under_login_is_named_as_it_stands_in_the_file() {
    let of = |key: &str, value: &str| refused(debug().merge((key, value)));
    let unknown = of("login.mail.smtp_host", "x");
    assert_eq!(unknown, "login.mail.smtp_host: is not a key; the keys here are url, from");
    let range = of("login.session.idle_timeout", "0s");
    assert!(range.starts_with("login.session.idle_timeout: is out of range"), "{range}");
    let kind = of("login.session.secure", "perhaps");
    assert!(kind.starts_with("login.session.secure: is \"perhaps\"; write true"), "{kind}");
    let table = of("login.smtp.url", "x");
    assert!(table.starts_with("login.smtp: is not a table of ours; they are session,"), "{table}");

    // What stands in place of a table, or in the mail's, may be a secret.
    for (key, start) in [
        ("login", "login: is not a table; write one"),
        ("login.mail", "login.mail: is a text; write a table"),
        ("login.session", "login.session: is a text; write a table"),
        ("login.mail.url", "login.mail.url: "),
    ] {
        let error = of(key, "hunter2");
        assert!(error.starts_with(start) && !error.contains("hunter2"), "{error}");
    }

    use rocket::figment::providers::{Format, Toml};
    let misplaced = Toml::string("[login.mail]\nurl = 'smtp://localhost'").nested();
    let error = refused(debug().merge(misplaced));
    assert_eq!(error, "login: stands outside a profile; write [default.login] in Rocket.toml");

    let path = debug().merge(("login.session.cookie_path", "/app"));
    let warnings = Config::from_figment(&path).unwrap().warnings();
    assert_eq!(warnings, ["login.session.cookie_path: users are logged in only below /app"]);
}

#[test]
fn sessions_alone_read_their_keys_under_login_too() {
    let own = beside_an_application();
    let error = Config::of_sessions(&own).unwrap_err().to_string();
    assert!(error.starts_with("session.title: is not a key"), "{error}");
    let own = own.merge(("login.session.cookie_name", "own"));
    let config = Config::of_sessions(&own).unwrap();
    assert_eq!(config.session.cookie_name.as_deref(), Some("own"));
    let proxies = |key| {
        let config = Config::of_sessions(&own.clone().merge((key, ["10.0.0.1"]))).unwrap();
        config.site.trusted_proxies.len()
    };
    assert_eq!((proxies("site.trusted_proxies"), proxies("login.site.trusted_proxies")), (1, 1));
    // A `site` that is no table at all is the application's.
    let own = own.clone().merge(("site", "notes"));
    assert!(Config::of_sessions(&own).unwrap().site.trusted_proxies.is_empty());
    let error = Config::of_sessions(&own.merge(("login.site.nmae", "x"))).unwrap_err().to_string();
    assert!(error.starts_with("login.site.nmae: is not a key"), "{error}");
}

#[test]
fn links_to_help_terms_and_privacy_are_checked() {
    let wrong = ["", " ", "help", "help@", "@example.org", "a b@example.org", "a@b@c", "/help"];
    let also_wrong =
        ["ftp://example.org", "https:example.org", "https://", "help?cc=a@example.org"];
    for support in wrong.into_iter().chain(also_wrong) {
        let error = refused(debug().merge(("site.support", support)));
        let start =
            format!("site.support: is {support:?}; write an email address or a web address");
        assert!(error.starts_with(&start), "{error}");
    }
    let wrong = ["", "terms", "//evil.example", "/\\evil.example", "/a b", "javascript:alert(1)"];
    let also_wrong = ["https://", "ftp://example.org", "https:/terms", "/a\nb", "a@example.org"];
    for page in wrong.into_iter().chain(also_wrong) {
        for key in ["terms", "privacy"] {
            let error = refused(debug().merge((format!("site.{key}"), page)));
            let fix = format!("write a path of this site or a web address, as in \"/{key}\" or");
            assert!(error.starts_with(&format!("site.{key}: is ")), "{error}");
            assert!(error.contains(&fix) && error.lines().count() == 1, "{error}");
        }
    }
    for key in ["site.support", "site.terms"] {
        let error = refused(debug().merge((key, "https://ada:secret@example.org")));
        assert!(error.starts_with(&format!("{key}: is an address with a user")), "{error}");
    }

    let right = |key: &str, value: &str| {
        let config = Config::from_figment(&debug().merge((key, value)));
        assert!(config.is_ok(), "{key} {value}: {config:?}");
    };
    for support in ["help@example.org", "a.b+c@münchen.example", "https://example.org/help?a=b"] {
        right("site.support", support);
    }
    for page in ["/terms", "/", "/a?b=c#d", "https://example.org/terms", "http://localhost:8000"] {
        right("site.terms", page);
        right("site.privacy", page);
    }
}

#[test]
fn the_path_of_the_icon_is_relative_to_the_file_that_names_it() {
    use rocket::figment::providers::{Format, Toml};
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("Rocket.toml");
    std::fs::write(&file, "[debug.site]\nicon = \"icon.png\"").unwrap();
    let config = Config::from_figment(&debug().merge(Toml::file(&file).nested())).unwrap();
    assert_eq!(config.site.icon, Some(dir.path().join("icon.png")));
    let config = Config::from_figment(&debug().merge(("site.icon", "icon.png"))).unwrap();
    assert_eq!(config.site.icon, Some("icon.png".into()));
}

#[test]
fn the_sites_name_is_short_and_plain_and_by_default_the_host() {
    for name in ["", " ", "Notes ", "a\nb", "a\u{7f}", "a\u{85}b", &"ä".repeat(65)] {
        let error = refused(debug().merge(("site.name", name)));
        assert!(error.starts_with("site.name: is not a name; write 1 to 64"), "{error}");
    }
    let name = |key, value: &str| {
        Config::from_figment(&debug().merge((key, value))).unwrap().site_name().to_owned()
    };
    let longest = "ä".repeat(64);
    assert_eq!(name("site.name", &longest), longest);
    assert_eq!(name("site.url", "https://notes.example:8443"), "notes.example");
    assert_eq!(name("site.url", "http://[::1]:8000"), "[::1]");
    assert_eq!(name("site.url", "http://[::1]"), "[::1]");
    assert_eq!(Config::from_figment(&debug()).unwrap().site_name(), "localhost");
    assert_eq!(Config::from_figment(&release()).unwrap().site_name(), "");
}

/// The figment with a provider `acme` that is complete, except for what `changes` change.
fn with_provider(figment: Figment, changes: &[(&str, &str)]) -> Figment {
    let complete = [
        ("issuer", "https://login.example.org"),
        ("client_id", "site"),
        ("client_secret", "s3cret"),
    ];
    let all = complete.iter().chain(changes);
    all.fold(figment, |figment, (key, value)| {
        figment.merge((format!("providers.acme.{key}"), *value))
    })
}

fn github(figment: Figment) -> Figment {
    [("kind", "github"), ("client_id", "site"), ("client_secret", "s3cret")]
        .iter()
        .fold(figment, |figment, (key, value)| {
            figment.merge((format!("providers.hub.{key}"), *value))
        })
}

#[test]
fn a_provider_needs_little_and_has_defaults() {
    let figment = github(with_provider(debug(), &[]));
    let config = Config::from_figment(&figment).unwrap();
    let (acme, hub) = (&config.providers["acme"], &config.providers["hub"]);
    assert_eq!((acme.label("acme").as_str(), acme.strong), ("Acme", false));
    assert_eq!(acme.scopes(), ["openid", "email"]);
    assert_eq!((hub.issuer(), hub.api()), ("https://github.com", "https://api.github.com"));
    assert_eq!((hub.label("hub").as_str(), hub.scopes()), ("Hub", vec!["user:email"]));
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret"), "{shown}");

    // A public client has no secret, and `login` may hold this table too.
    let figment = debug().merge(("login.providers.acme.issuer", "https://login.example.org"));
    let figment = figment.merge(("login.providers.acme.client_id", "site"));
    let config = Config::from_figment(&figment).unwrap();
    assert!(config.providers["acme"].client_secret.is_none());
    let error = refused(figment.merge(("login.providers.acme.client_id", "")));
    assert!(error.starts_with("login.providers.acme.client_id: is missing"), "{error}");
}

#[test]
fn a_mistake_at_a_provider_names_its_key_and_the_fix() {
    for (changes, expected) in [
        (&[("issuer", "http://login.example.org")][..], "issuer: is not https"),
        (&[("issuer", "http://10.0.0.1")], "issuer: is not https"),
        (&[("issuer", "ftp://login.example.org")], "issuer: is not https"),
        (&[("issuer", "login.example.org")], "issuer: is not a web address; write one, as in"),
        (&[("issuer", " https://login.example.org")], "issuer: is not a web address"),
        (&[("issuer", "https://login.example.org/?a=b")], "issuer: has a ? or a #"),
        (&[("issuer", "https://login.example.org/#a")], "issuer: has a ? or a #"),
        (&[("issuer", "https://ann:pw@login.example.org")], "issuer: has a user before the host"),
        (
            &[("issuer", "https://login.example.org/.well-known/openid-configuration")],
            "issuer: is the address of the metadata; write it without /.well-known",
        ),
        (&[("client_id", "")], "client_id: is missing; write the name that the provider"),
        (&[("client_id", "a\nb")], "client_id: has other characters"),
        (&[("client_secret", "")], "client_secret: is empty"),
        (&[("client_secret", "a\u{a0}b")], "client_secret: is empty, or has other characters"),
        (&[("label", " ")], "label: is not a name for a button; write 1 to 64 letters"),
        (&[("url", "https://github.com")], "url: is for kind = \"github\" only; write issuer"),
        (&[("api", "https://github.com")], "api: is for kind = \"github\" only"),
        (&[("kind", "github")], "issuer: is not for kind = \"github\"; write url, or remove it"),
        (&[("kind", "saml")], "kind: is unknown; write one of oidc, github"),
        (&[("strong", "yes")], "strong: is a text; write true or false"),
        (&[("client", "x")], "client: is not a key; the keys here are kind, issuer, client_id"),
        (&[("isuer", "x")], "isuer: is not a key; did you mean issuer?"),
    ] {
        let error = refused(with_provider(debug(), changes));
        assert!(error.starts_with(&format!("providers.acme.{expected}")), "{error}");
    }
    for (scopes, expected) in [
        (vec!["email"], "lacks \"openid\""),
        (vec!["openid", "a b"], "has an entry that is not a scope"),
        (vec!["openid", ""], "has an entry that is not a scope"),
    ] {
        let figment = with_provider(debug(), &[]).merge(("providers.acme.scopes", scopes));
        let error = refused(figment);
        assert!(error.starts_with(&format!("providers.acme.scopes: {expected}")), "{error}");
    }
    let missing = debug().merge(("providers.acme.client_id", "site"));
    assert!(
        refused(missing).starts_with("providers.acme.issuer: is missing; write the provider's")
    );
}

#[test]
fn a_mistake_at_github_names_its_key_and_the_fix() {
    for (key, value, expected) in [
        ("issuer", "https://github.com", "issuer: is not for kind"),
        ("url", "http://github.example.org", "url: is not https"),
        ("api", "https://github.example.org/?x", "api: has a ? or a #"),
    ] {
        let error = refused(github(debug()).merge((format!("providers.hub.{key}"), value)));
        assert!(error.starts_with(&format!("providers.hub.{expected}")), "{error}");
    }
    let figment = debug().merge(("providers.hub.kind", "github"));
    let error = refused(figment.merge(("providers.hub.client_id", "site")));
    assert!(
        error.starts_with("providers.hub.client_secret: is missing; write the secret"),
        "{error}"
    );
}

#[test]
fn the_name_of_a_provider_can_stand_in_a_path() {
    let named = |name: &str| {
        let figment = debug().merge((format!("providers.{name}.issuer"), "https://a.example"));
        figment.merge((format!("providers.{name}.client_id"), "site"))
    };
    let longest = "a".repeat(32);
    for good in ["a", "my-corp", "x2", &longest] {
        Config::from_figment(&named(good)).unwrap();
    }
    let long = "a".repeat(33);
    for bad in ["A", "2x", "-x", "a_b", "a b", "ä", "callback", &long] {
        let error = refused(named(bad));
        let expected = format!("providers.{bad}: is not a name for a provider; write up to 32");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn one_client_of_a_provider_is_there_once() {
    let twin = |figment: Figment, client: &str| {
        let figment = figment.merge(("providers.twin.issuer", "https://login.example.org"));
        figment.merge(("providers.twin.client_id", client.to_owned()))
    };
    Config::from_figment(&twin(with_provider(debug(), &[]), "other")).unwrap();
    let error = refused(twin(with_provider(debug(), &[]), "site"));
    assert!(error.starts_with("providers.twin: has the address and the client_id of"), "{error}");
}

#[test]
fn a_provider_on_this_machine_is_for_debug_only() {
    for issuer in ["http://localhost:9000", "http://127.0.0.1:9000/x", "http://[::1]:9000"] {
        Config::from_figment(&with_provider(debug(), &[("issuer", issuer)])).unwrap();
        let release = release().merge(("site.url", "https://example.org"));
        let error = refused(with_provider(release, &[("issuer", issuer)]));
        assert!(error.starts_with("providers.acme.issuer: is not https"), "{error}");
    }
}

#[test]
fn a_provider_in_release_needs_the_sites_address() {
    let error = refused(with_provider(release(), &[]));
    assert!(error.starts_with("site.url: is missing; write the address that providers"), "{error}");
    let figment = release().merge(("site.url", "https://example.org"));
    Config::from_figment(&with_provider(figment, &[])).unwrap();
}

#[test]
fn a_variable_for_one_key_of_a_provider_is_answered_with_the_right_one() {
    use rocket_login::config::check_top_level;
    let figment = debug().merge(("providers_acme_client_secret", "s3cret"));
    let error = check_top_level(&figment).unwrap_err().to_string();
    assert_eq!(
        error,
        "providers_acme_client_secret: is not a key; write client_secret under \
         [default.providers.acme]"
    );
}
