//! What the operator does at the command line, while the site runs or not.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::database::command;
use crate::servers::program::{Program, session_cookie};

const KEY: (&str, &str) = ("ROCKET_SECRET_KEY", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=");
const CHEAP: (&str, &str) = ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}");
const ADA: &str = "ada@example.org";
const FORM: &str = "email=ada%40example.org&password=correct+horse+battery";

fn run_with(dir: &TempDir, arguments: &[&str], input: &str) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    let command = command.args(arguments).envs([CHEAP]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What it printed, if it went well.
#[track_caller]
fn run(dir: &TempDir, arguments: &[&str]) -> String {
    let output = run_with(dir, arguments, "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(dir: &TempDir, arguments: &[&str], input: &str, code: i32) -> String {
    let output = run_with(dir, arguments, input);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn site(dir: &TempDir) -> Program {
    Program::start(command(env!("CARGO_BIN_EXE_rocket-login"), dir), &[KEY, CHEAP])
}

fn add(dir: &TempDir) {
    let output = run_with(dir, &["user", "add", ADA], "correct horse battery\nmore\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn is_logged_in(site: &Program, cookie: &str) -> bool {
    site.request("GET /account", Some(cookie), "").starts_with("HTTP/1.1 200")
}

#[test]
fn an_account_is_made_with_a_password_from_standard_input() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let site = site(&dir);
    assert!(site.request("POST /login", None, FORM).starts_with("HTTP/1.1 303"));

    let error = refused(&dir, &["user", "add", "ADA@example.org"], "correct horse battery\n", 1);
    assert_eq!(
        error,
        "Error: ADA@example.org has an account already, or was the address of one lately\n"
    );
    let error = refused(&dir, &["user", "add", "bob@example.org"], "short\n", 1);
    assert_eq!(error, "Error: Choose a password of at least 12 characters.\n");
    let error = refused(&dir, &["user", "add", "bob@example.org"], "", 1);
    assert_eq!(error, "Error: Choose a password.\n");
}

#[test]
fn a_password_is_never_taken_from_an_argument() {
    let dir = TempDir::new().unwrap();
    refused(&dir, &["user", "add", ADA, "correct horse battery"], "", 2);
    refused(&dir, &["user", "add", ADA, "--password", "correct horse battery"], "", 2);
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let dir = TempDir::new().unwrap();
    for arguments in [
        &["user"][..],
        &["user", "show"],
        &["user", "show", "nobody"],
        &["user", "fly", ADA],
        &["session", "revoke"],
        &["session", "revoke", ADA, "--all"],
        &["session", "list", "--all"],
    ] {
        refused(&dir, arguments, "", 2);
    }
    let error = refused(&dir, &["user", "reset", ADA], "", 1);
    assert_eq!(error, "Error: ada@example.org has no account, or it is disabled\n");
    for command in ["show", "disable", "enable", "delete", "unlock"] {
        let error = refused(&dir, &["user", command, ADA], "", 1);
        assert_eq!(error, "Error: ada@example.org has no account\n");
    }
    for command in ["list", "revoke"] {
        let error = refused(&dir, &["session", command, ADA], "", 1);
        assert_eq!(error, "Error: ada@example.org has no account\n");
    }
}

#[test]
fn accounts_and_sessions_are_listed_for_people_and_for_scripts() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let site = site(&dir);
    site.request("POST /login", None, FORM);
    site.request("POST /login", None, &FORM.replace("correct", "wrong"));

    let table = run(&dir, &["user", "list"]);
    assert!(table.contains("E-mail address") && table.contains(ADA), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
    let json: Value = serde_json::from_str(&run(&dir, &["user", "list", "--json"])).unwrap();
    assert_eq!((&json[0]["email"], &json[0]["sessions"]), (&ADA.into(), &1.into()));
    let json: Value = serde_json::from_str(&run(&dir, &["user", "show", ADA, "--json"])).unwrap();
    assert_eq!(json["failed_log_ins"], 1);
    assert_eq!(json["disabled_at"], Value::Null);
    assert!(run(&dir, &["user", "show", ADA]).contains(ADA));

    let table = run(&dir, &["session", "list", ADA]);
    assert!(table.contains("127.0.0.1") && table.lines().count() == 2, "{table}");
    let json: Value =
        serde_json::from_str(&run(&dir, &["session", "list", ADA, "--json"])).unwrap();
    assert_eq!(json[0]["ip_address"], "127.0.0.1");
    assert!(!json.to_string().contains("token"), "{json}");
}

#[test]
fn a_disabled_account_is_out_at_once_and_stays_out() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    assert!(is_logged_in(&site, &cookie));
    assert_eq!(run(&dir, &["user", "disable", ADA]), format!("{ADA} is disabled and logged out\n"));
    assert!(!is_logged_in(&site, &cookie));

    let answer = site.request("POST /login", None, FORM);
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("is disabled"), "{answer}");
    // Who does not know the password is not told.
    let wrong = site.request("POST /login", None, &FORM.replace("correct", "wrong"));
    assert!(!wrong.contains("disabled"), "{wrong}");
    site.request("POST /reset", None, "email=ada%40example.org");
    assert!(!site.request("GET /dev/mailbox", None, "").contains("Choose a new password"));

    run(&dir, &["user", "enable", ADA]);
    assert!(!is_logged_in(&site, &cookie));
    assert!(site.request("POST /login", None, FORM).starts_with("HTTP/1.1 303"));
}

#[test]
fn a_reset_link_from_the_command_line_works_once() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let link = run(&dir, &["user", "reset", ADA]);
    let path = link.trim().strip_prefix("http://127.0.0.1:8000").unwrap();
    let site = site(&dir);
    let post = format!("POST {path}");
    let answer = site.request(&post, None, "new_password=another+horse+battery");
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let answer = site.request(&post, None, "new_password=another+horse+battery");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let form = FORM.replace("correct", "another");
    let answer = site.request("POST /login", None, &form);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    // Nobody has read a mail.
    let account = site.request("GET /account", Some(&session_cookie(&answer)), "");
    assert!(account.contains("not confirmed yet"), "{account}");
    let shown: serde_json::Value =
        serde_json::from_str(&run(&dir, &["user", "show", ADA, "--json"])).unwrap();
    assert!(shown["verified_at"].is_null(), "{shown}");
}

#[test]
fn a_reset_link_is_a_path_where_the_sites_address_is_not_known() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    // No key: a command seals nothing.
    let command = command.env("ROCKET_PROFILE", "release").args(["user", "reset", ADA]);
    let output = command.output().unwrap();
    let link = String::from_utf8(output.stdout).unwrap();
    assert!(link.starts_with("/reset/") && link.trim().len() == 50, "{link}");
}

#[test]
fn sessions_are_ended_at_once() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    let ada = session_cookie(&site.request("POST /register", None, FORM));
    let form = FORM.replace("ada", "bob");
    let bob = session_cookie(&site.request("POST /register", None, &form));
    assert_eq!(run(&dir, &["session", "revoke", ADA]), "sessions ended: 1\n");
    assert!(!is_logged_in(&site, &ada) && is_logged_in(&site, &bob));
    assert_eq!(run(&dir, &["session", "revoke", "--all"]), "sessions ended: 1\n");
    assert!(!is_logged_in(&site, &bob));
}

#[test]
fn a_deleted_account_is_gone_at_once() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    assert_eq!(run(&dir, &["user", "delete", ADA]), format!("{ADA} is deleted\n"));
    assert!(!is_logged_in(&site, &cookie));
    assert!(site.request("POST /login", None, FORM).starts_with("HTTP/1.1 422"));
    assert!(site.request("POST /register", None, FORM).starts_with("HTTP/1.1 303"));
}

#[test]
fn unlocking_forgets_the_failed_log_ins() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let site = site(&dir);
    site.request("POST /login", None, &FORM.replace("correct", "wrong"));
    let failed = || -> Value {
        let shown = run(&dir, &["user", "show", ADA, "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["failed_log_ins"].clone()
    };
    assert_eq!(failed(), 1);
    run(&dir, &["user", "unlock", ADA]);
    assert_eq!(failed(), 0);
}

#[test]
fn what_the_operator_did_is_in_the_history_and_named_so() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    site.request("POST /register", None, FORM);
    let disabled = run_with(&dir, &["user", "disable", ADA], "");
    let line = " event=disabled ip=- user=1 email=a***@example.org\n";
    let said = String::from_utf8(disabled.stderr).unwrap();
    assert!(said.starts_with("security: time=20") && said.ends_with(line), "{said}");
    refused(&dir, &["user", "reset", ADA], "", 1);
    run(&dir, &["user", "enable", ADA]);
    let cookie = session_cookie(&site.request("POST /login", None, FORM));
    let page = site.request("GET /account/activity", Some(&cookie), "");
    for text in ["Account disabled", "Account enabled", "The operator"] {
        assert!(page.contains(text), "{page}");
    }
}

#[test]
fn the_log_has_one_line_in_a_stable_form_for_each_event() {
    let dir = TempDir::new().unwrap();
    // As in release, where Rocket drops what is no warning.
    let level = ("ROCKET_LOG_LEVEL", "critical");
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, level]);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    site.request("POST /login", None, &FORM.replace("correct", "wrong"));
    site.request("POST /login", None, &FORM.replace("ada%40", "%0asecurity%3a+event%3dx%40"));
    site.request("POST /login", None, &FORM.replace("ada", "nobody"));
    site.request("POST /reset/x", None, "new_password=another+horse+battery");
    site.request("POST /logout", Some(&cookie), "");
    let log = site.wait_for("event=logged_out");
    let lines: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("Z ").map(|(_, line)| line)).collect();
    assert_eq!(
        lines,
        [
            "event=signed_up ip=127.0.0.1 user=1 email=a***@example.org",
            "event=log_in_failed ip=127.0.0.1 user=1 email=a***@example.org",
            "event=log_in_failed ip=127.0.0.1 user=- email=-",
            "event=log_in_failed ip=127.0.0.1 user=- email=n***@example.org",
            "event=link_refused ip=127.0.0.1 user=- email=-",
            "event=logged_out ip=127.0.0.1 user=1 email=a***@example.org",
        ]
    );
}

fn check(dir: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    let command = command.arg("check").args(arguments).envs(variables.iter().copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

const SAFE: [(&str, &str); 5] = [
    KEY,
    ("ROCKET_LOG_LEVEL", "critical"),
    ("ROCKET_PROFILE", "release"),
    ("ROCKET_MAIL", "{url=\"smtps://127.0.0.1:1\",from=\"a@example.org\"}"),
    ("ROCKET_SITE", "{url=\"https://127.0.0.1:1\",trusted_proxies=[\"127.0.0.1\"]}"),
];

fn safe_but(changed: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    let kept = SAFE.into_iter().filter(|(name, _)| *name != changed.0);
    kept.chain([changed]).collect()
}

#[test]
fn check_names_what_is_unsafe_and_the_mend() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let offline = |variables: &[(&str, &str)]| check(&dir, &["--offline"], variables);
    let safe = offline(&SAFE);
    assert_eq!((safe.0, safe.1.as_str()), (Some(0), "nothing unsafe was found\n"));

    for (changed, start) in [
        (("ROCKET_PROFILE", "debug"), "the profile is debug"),
        (("ROCKET_MAIL", "{}"), "mail.url is not set: nobody can reset a password"),
        (("ROCKET_LOG_LEVEL", "normal"), "log_level is normal"),
        (("ROCKET_THROTTLE", "{enabled=false}"), "throttle.enabled is false"),
        (("ROCKET_SESSION", "{secure=false}"), "session.secure is false"),
        (("ROCKET_ADDRESS", "0.0.0.0"), "address is not of this machine alone"),
        (("ROCKET_SITE", "{url=\"https://x.example\"}"), "site.trusted_proxies is empty"),
        (
            ("ROCKET_SITE", "{url=\"https://x.example\",trusted_proxies=[\"0.0.0.0/0\"]}"),
            "site.trusted_proxies trusts everybody",
        ),
        (
            ("ROCKET_SITE", "{url=\"http://x.example\",trusted_proxies=[\"127.0.0.1\"]}"),
            "site.url is http",
        ),
    ] {
        let (code, said) = offline(&safe_but(changed));
        assert_eq!(code, Some(1), "{start}: {said}");
        assert!(said.lines().any(|line| line.starts_with(start)), "{start}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn check_looks_at_the_database_its_clock_and_its_backup() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new().unwrap();
    let offline = |more: &[&str]| check(&dir, &[&["--offline"], more].concat(), &SAFE);
    assert!(offline(&[]).1.starts_with("databases.login.url: there is no data/login.db yet"));
    add(&dir);
    assert_eq!(offline(&[]).0, Some(0));

    let path = dir.path().join("data/login.db");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    mode(0o644).unwrap();
    assert!(offline(&[]).1.contains("can be read by others on this machine; chmod 600"));
    mode(0o600).unwrap();

    let backup = dir.path().join("backups");
    std::fs::create_dir(&backup).unwrap();
    let backups = ["--backup", "backups"];
    assert!(offline(&backups).1.starts_with("backup: there is none at backups"));
    let copy = backup.join("monday.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(offline(&backups).0, Some(0));
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(30 * 60 * 60);
    std::fs::File::options().write(true).open(&copy).unwrap().set_modified(old).unwrap();
    assert!(offline(&backups).1.contains("monday.db is 30 hours old"));

    let sql = "UPDATE users SET created_at = created_at + 100000";
    rocket::tokio::runtime::Runtime::new().unwrap().block_on(async {
        use sqlx::Connection;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(sql).execute(&mut db).await.unwrap();
    });
    assert!(offline(&[]).1.starts_with("the clock is behind what the database has seen"));
}

#[test]
fn check_asks_the_site_and_the_mail_server_themselves() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let (code, said) = check(&dir, &[], &SAFE);
    assert_eq!(code, Some(1));
    assert!(said.contains("site.url: the site does not answer there"), "{said}");
    assert!(said.contains("mail.url: the server cannot be used"), "{said}");

    // Over http, for want of a certificate here: the rest is as it should be.
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, ("ROCKET_PROFILE", "release")]);
    let url =
        format!("{{url=\"http://127.0.0.1:{}\",trusted_proxies=[\"127.0.0.1\"]}}", site.port());
    let variables: Vec<_> = SAFE.into_iter().filter(|(name, _)| *name != "ROCKET_SITE").collect();
    let (_, said) = check(&dir, &[], &[&variables[..], &[("ROCKET_SITE", url.as_str())]].concat());
    assert!(!said.contains("does not answer") && !said.contains("drops its headers"), "{said}");
}

#[test]
fn refusals_are_in_the_log() {
    let dir = TempDir::new().unwrap();
    let level = ("ROCKET_LOG_LEVEL", "critical");
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, level]);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    site.request("GET /account", None, "");
    site.request("POST /account/sessions/0123456789abcdef/revoke", Some(&cookie), "");
    let foreign = "POST /logout HTTP/1.1\r\nOrigin: https://evil.example\r\nX:";
    site.request(foreign, Some(&cookie), "");
    for line in [
        "event=denied ip=127.0.0.1 user=- email=-",
        "event=denied ip=127.0.0.1 user=1 email=a***@example.org",
        "event=cross_site ip=127.0.0.1 user=- email=-",
    ] {
        site.wait_for(line);
    }
}

#[test]
fn the_start_says_that_mail_is_off() {
    let dir = TempDir::new().unwrap();
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, ("ROCKET_PROFILE", "release")]);
    site.wait_for("mail.url is not set");
}
