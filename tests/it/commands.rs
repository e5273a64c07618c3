//! What the operator does at the command line, while the site runs or not.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Program, command, session_cookie};

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
    assert!(site.request("POST /login", None, &form).starts_with("HTTP/1.1 303"));
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
    let line = "security: event=disabled ip=- user=1 email=a***@example.org\n";
    assert_eq!(String::from_utf8(disabled.stderr).unwrap(), line);
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
    let log = site.output();
    let lines: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("security: ").map(|(_, l)| l)).collect();
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

#[test]
fn check_names_what_is_unsafe_and_the_mend() {
    let dir = TempDir::new().unwrap();
    let check = |variables: &[(&str, &str)]| {
        let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        let output = command.arg("check").envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("set ROCKET_PROFILE=release"), "{said}");

    let critical = ("ROCKET_LOG_LEVEL", "critical");
    let release = [KEY, critical, ("ROCKET_PROFILE", "release")];
    let (code, said) = check(&release);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("mail.url is not set: nobody can reset a password"), "{said}");

    let mail = ("ROCKET_MAIL", "{url=\"smtps://mail.example.org\",from=\"a@example.org\"}");
    let site = ("ROCKET_SITE", "{url=\"https://example.org\"}");
    let (code, said) = check(&[&release[..], &[mail, site]].concat());
    assert_eq!((code, said.as_str()), (Some(0), "nothing unsafe was found\n"));
    let (code, said) =
        check(&[&release[..], &[mail, site, ("ROCKET_LOG_LEVEL", "normal")]].concat());
    assert_eq!(code, Some(1));
    assert!(said.starts_with("log_level is normal"), "{said}");
}

#[test]
fn the_start_says_that_mail_is_off() {
    let dir = TempDir::new().unwrap();
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, ("ROCKET_PROFILE", "release")]);
    assert!(site.output().contains("mail.url is not set"), "{}", site.output());
}
