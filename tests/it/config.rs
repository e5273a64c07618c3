//! What stops the start, in one line that names the key and the mend.

use rocket::figment::Figment;
use rocket_login::config::Config;
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

#[test]
fn the_defaults_are_taken() {
    Config::from_figment(&debug()).unwrap();
    Config::from_figment(&release()).unwrap();
}

#[test]
fn an_unknown_key_is_named_with_those_there_are() {
    let error = refused(debug().merge(("session.idle_timout", 5)));
    assert!(error.starts_with("session.idle_timout: is not a key"), "{error}");
    assert!(error.contains("idle_timeout"), "{error}");

    for key in ["accounts.x", "password.x", "throttle.x", "site.x", "mail.x", "databases.login.x"] {
        let error = refused(debug().merge((key, 1)));
        assert!(error.starts_with(&format!("{key}: is not a key")), "{error}");
    }
}

#[test]
fn a_table_outside_a_profile_is_noticed() {
    use rocket::figment::providers::{Format, Toml};
    let toml = Toml::string("[session]\nidle_timeout = 5").nested();
    let error = refused(debug().merge(toml));
    assert_eq!(error, "session: stands outside a profile; write [default.session] in Rocket.toml");
}

#[test]
fn a_value_of_another_kind_says_what_to_write() {
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
fn a_number_out_of_range_says_the_range() {
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
    ] {
        let error = refused(debug().merge((key, value)));
        assert_eq!(error, format!("{key}: is {value}; write a number from {range}"));
    }
}

#[test]
fn the_clocks_must_fit_each_other() {
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
fn release_needs_a_key_that_is_a_secret() {
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
fn a_former_key_must_have_been_a_secret() {
    for key in ["A".repeat(43) + "=", "hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=".into()] {
        let error = refused(release().merge(("session.previous_keys", [key])));
        assert_eq!(error, "session.previous_keys: holds a key that is no secret; remove it");
    }
}

#[test]
fn a_key_that_is_none_is_not_repeated() {
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
fn a_database_we_do_not_speak_never_becomes_a_file() {
    for (url, problem) in [
        ("mysql://root:hunter2@localhost/x", "has the unknown scheme \"mysql\""),
        ("sqlite3:x.db", "has the unknown scheme \"sqlite3\""),
        ("SQLITE:x.db", "has the unknown scheme \"SQLITE\""),
        ("postgres://u:hunter2@localhost/x", "names PostgreSQL"),
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
fn an_origin_is_scheme_and_host() {
    for origin in
        ["example.org", "https://", "https://example.org/", "https://*.example.org", "null"]
    {
        let error = refused(debug().merge(("site.trusted_origins", [origin])));
        assert!(error.starts_with("site.trusted_origins: holds"), "{error}");
    }
}

#[test]
fn confirmation_by_mail_is_refused_while_there_is_no_mail() {
    let error = refused(debug().merge(("accounts.registration", "confirm")));
    assert!(
        error.starts_with("accounts.registration: is \"confirm\", which needs mail"),
        "{error}"
    );
}

#[test]
fn what_is_weak_or_without_effect_is_warned_of() {
    let warnings = |figment: Figment| Config::from_figment(&figment).unwrap().warnings().join("\n");
    assert_eq!(warnings(debug()), "");
    assert!(warnings(release()).contains("below OWASP's minimum"));
    let strong = release().merge(("password.memory_kib", 19_456)).merge(("password.iterations", 2));
    assert_eq!(warnings(strong.clone()), "");
    assert!(
        warnings(strong.clone().merge(("session.secure", false)))
            .contains("session.secure is false")
    );
    let path = debug().merge(("session.cookie_path", "/app"));
    assert_eq!(warnings(path), "session.cookie_path: nobody is logged in outside /app");
    assert!(warnings(strong.merge(("mail.url", "smtp://localhost"))).contains("mail.url is set"));
}

#[rocket::async_test]
async fn insecure_cookies_in_release_start_with_the_plain_name() {
    let app = TestApp::with(|f| f.select("release").merge(("session.secure", false))).await;
    let ada = app.registered("ada@example.org").await;
    assert!(ada.has_cookie("session"));
    assert!(ada.get("/").await.header("strict-transport-security").is_some());
}

#[rocket::async_test]
async fn a_mistake_stops_the_ignition() {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir).merge(("session.idle_timout", 5)));
    let error = rocket.attach(rocket_login::stage()).ignite().await.unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::FailedFairings(_)), "{error:?}");
}
