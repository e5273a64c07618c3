//! The operator's commands, with and without a running site.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::database::{command, pick};
use crate::servers::Running;
use crate::servers::program::{Program, session_cookie};

const KEY: (&str, &str) = ("ROCKET_SECRET_KEY", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=");
const CHEAP: (&str, &str) = ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}");
const ADA: &str = "ada@example.org";
const FORM: &str = "email=ada%40example.org&password=correct+horse+battery";

fn run_with(dir: &TempDir, arguments: &[&str], input: &str) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    command.args(arguments).envs([CHEAP]);
    Running::output(command, input)
}

/// Runs a command that must succeed, and returns its standard output.
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
    after_database(dir, output.stderr)
}

/// Returns standard error without its first line, which names the database. After wrong
/// usage there is no such line.
#[track_caller]
fn after_database(dir: &TempDir, said: Vec<u8>) -> String {
    let said = String::from_utf8(said).unwrap();
    match said.strip_prefix("database: ").and_then(|said| said.split_once('\n')) {
        Some((database, rest)) => {
            assert_eq!(database, place(dir));
            rest.to_owned()
        }
        None => said,
    }
}

/// Returns the name that commands print for the database of `dir`.
fn place(dir: &TempDir) -> String {
    match crate::database::socket() {
        Some(socket) => {
            let url = crate::database::url(dir);
            let name = url.split_once('?').unwrap().0.rsplit('/').next().unwrap().to_owned();
            format!("postgres://{socket}:5432/{name}")
        }
        None => dir.path().canonicalize().unwrap().join("data/login.db").display().to_string(),
    }
}

fn site(dir: &TempDir) -> Program {
    Program::start(command(env!("CARGO_BIN_EXE_rocket-login"), dir), &[KEY, CHEAP])
}

fn add(dir: &TempDir) {
    run(dir, &["migrate"]);
    let output = run_with(dir, &["user", "add", ADA], "correct horse battery\nmore\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn is_logged_in(site: &Program, cookie: &str) -> bool {
    site.request("GET /account", Some(cookie), "").starts_with("HTTP/1.1 200")
}

#[test]
fn user_add_reads_the_password_from_standard_input() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let site = site(&dir);
    assert!(site.request("POST /login", None, FORM).starts_with("HTTP/1.1 303"));

    let error = refused(&dir, &["user", "add", "ADA@example.org"], "correct horse battery\n", 1);
    assert_eq!(error, "Error: ADA@example.org already has an account, or had one until recently\n");
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
fn wrong_usage_and_failure_have_different_exit_codes() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    for arguments in [
        &["user"][..],
        &["user", "show"],
        &["user", "show", "nobody"],
        &["user", "fly", ADA],
        &["session", "revoke"],
        &["session", "revoke", ADA, "--all"],
        &["session", "list", "--all"],
        &["session", "revoke", "--session", "0123456789abcdef"],
        &["session", "revoke", "--all", "--session", "0123456789abcdef"],
        &["completions"],
        &["completions", "tcsh"],
        &["user", "list", "--config"],
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
    assert!(table.contains("Email address") && table.contains(ADA), "{table}");
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
    assert!(table.contains(json[0]["handle"].as_str().unwrap()), "{table}");
    assert!(!json.to_string().contains("token"), "{json}");
}

#[test]
fn user_list_shows_fifty_accounts_and_how_to_go_on_or_all_of_them_as_json() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    in_database(
        &dir,
        "WITH RECURSIVE numbers (n) AS
            (SELECT 1001 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3100)
         INSERT INTO users (email, password_hash, created_at, disabled_at)
         SELECT 'user' || n || '@example.org', '', 0, CASE WHEN n % 1000 = 0 THEN 1 END FROM numbers",
    );
    let list = |arguments: &[&str]| {
        let output = run_with(&dir, &[&["user", "list"], arguments].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let table = String::from_utf8(output.stdout).unwrap();
        let addresses =
            table.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned());
        (addresses.collect::<Vec<_>>(), after_database(&dir, output.stderr))
    };
    let (listed, said) = list(&[]);
    assert_eq!((listed.len(), listed[49].as_str()), (50, "user1050@example.org"));
    assert_eq!(said, "there are more accounts: add --after user1050@example.org\n");
    let (listed, _) = list(&["--after", "user1050@example.org", "--limit", "2"]);
    assert_eq!(listed, ["user1051@example.org", "user1052@example.org"]);
    let (listed, said) = list(&["--search", "User309", "--unverified"]);
    assert_eq!((listed.len(), said.as_str()), (10, ""));
    let (listed, _) = list(&["--disabled"]);
    assert_eq!(listed, ["user2000@example.org", "user3000@example.org"]);

    let json = |arguments: &[&str]| -> Vec<Value> {
        let listed = run(&dir, &[&["user", "list", "--json"], arguments].concat());
        serde_json::from_str(&listed).unwrap()
    };
    assert_eq!(json(&[]).len(), 2_100);
    assert_eq!(json(&["--limit", "7"]).len(), 7);
    assert_eq!(json(&["--search", "nobody"]), [] as [Value; 0]);
    assert_eq!(run(&dir, &["user", "list", "--search", "nobody"]), "");
    let said = run_with(&dir, &["user", "list", "--search", "nobody"], "").stderr;
    assert_eq!(after_database(&dir, said), "nothing was found\n");
    let nobody = "user1001@example.org";
    assert_eq!(run(&dir, &["session", "list", nobody]), "");
    assert_eq!(run(&dir, &["session", "list", nobody, "--json"]), "[]\n");
    let one = run(&dir, &["user", "list", "--json", "--search", "user3100"]);
    let limited = run(&dir, &["user", "list", "--json", "--search", "user3100", "--limit", "1"]);
    assert_eq!(one, limited);
    for wrong in [["--limit", "0"], ["--limit", "1001"], ["--after", "nobody"]] {
        refused(&dir, &[&["user", "list"], &wrong[..]].concat(), "", 2);
    }
    let error = refused(&dir, &["user", "list", "--limit", "many"], "", 2);
    assert!(error.contains("'--limit <NUMBER>': write a number from 1 to 1,000"), "{error}");
}

#[test]
fn commands_work_in_the_folder_of_an_application_with_keys_of_its_own() {
    let dir = TempDir::new().unwrap();
    let own = "[default]\nupload_dir = \"uploads\"\n[default.shop]\nname = \"Tea\"\n\
               [default.databases.main]\nurl = \"mysql://localhost/shop\"\n\
               [default.databases.login]\nurl = \"sqlite:data/login.db\"\n";
    std::fs::write(dir.path().join("Rocket.toml"), own).unwrap();
    add(&dir);
    for arguments in COMMANDS.into_iter().filter(|arguments| arguments[1] != "add") {
        let arguments =
            arguments.iter().map(|part| if *part == ADA { "bob@example.org" } else { part });
        let added = run_with(&dir, &["user", "add", "bob@example.org"], "correct horse battery\n");
        assert!(matches!(added.status.code(), Some(0 | 1)), "{added:?}");
        run(&dir, &arguments.collect::<Vec<_>>());
    }
    let (_, said) = check(&dir, &["--offline"], &SAFE);
    assert!(!said.contains("is not a key"), "{said}");
    // Our own site has no such keys, so there they are mistakes.
    let error = refused(&dir, &["serve"], "", 1);
    assert!(error.starts_with("Error: shop: is not a key; the keys here are "), "{error}");
}

#[test]
fn commands_on_sessions_read_nothing_of_an_application_that_has_sessions_alone() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let own = "[release]\n[release.mail]\nsmtp_host = \"x\"\n[release.site]\ntitle = \"Tea\"\n\
               [release.databases.login]\nurl = \"sqlite:data/login.db\"\n";
    std::fs::write(dir.path().join("Rocket.toml"), own).unwrap();
    for arguments in [&["session", "list", ADA][..], &["session", "revoke", "--all"]] {
        let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        let output = command.args(arguments).env("ROCKET_PROFILE", "release").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn a_disabled_account_is_logged_out_at_once_and_cannot_log_in() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    assert!(is_logged_in(&site, &cookie));
    assert_eq!(
        run(&dir, &["user", "disable", ADA]),
        format!("Disabled {ADA} and ended its sessions\n")
    );
    assert!(!is_logged_in(&site, &cookie));

    let answer = site.request("POST /login", None, FORM);
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("is disabled"), "{answer}");
    // A visitor who does not know the password does not learn this.
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
    let site = site(&dir);
    site.request("POST /register", None, FORM);
    let link = run(&dir, &["user", "reset", ADA]);
    let path = link.trim().strip_prefix("http://localhost:8000").unwrap();
    let post = format!("POST {path}");
    let answer = site.request(&post, None, "new_password=another+horse+battery");
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let answer = site.request(&post, None, "new_password=another+horse+battery");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let form = FORM.replace("correct", "another");
    let answer = site.request("POST /login", None, &form);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    // The link was not mailed, so it proves nothing about the address.
    let account = site.request("GET /account", Some(&session_cookie(&answer)), "");
    assert!(account.contains("not confirmed yet"), "{account}");
    let shown: serde_json::Value =
        serde_json::from_str(&run(&dir, &["user", "show", ADA, "--json"])).unwrap();
    assert!(shown["verified_at"].is_null(), "{shown}");
}

#[test]
fn a_reset_link_is_only_a_path_if_the_sites_address_is_not_configured() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    // There is no key, because a command seals nothing.
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
fn one_session_is_ended_by_its_handle() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    let first = session_cookie(&site.request("POST /register", None, FORM));
    let second = session_cookie(&site.request("POST /login", None, FORM));
    site.request("POST /register", None, &FORM.replace("ada", "bob"));
    let handles = |email| -> Vec<String> {
        let listed = run(&dir, &["session", "list", email, "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        listed.iter().map(|one| one["handle"].as_str().unwrap().to_owned()).collect()
    };
    let (ada, bob) = (handles(ADA), handles("bob@example.org"));
    assert_eq!((ada.len(), bob.len()), (2, 1));
    for handle in [bob[0].as_str(), "0123456789abcdef", ""] {
        let error = refused(&dir, &["session", "revoke", ADA, "--session", handle], "", 1);
        let start = "Error: ada@example.org has no session with this handle; `rocket-login session";
        assert!(error.starts_with(start), "{error}");
    }
    assert!(is_logged_in(&site, &first) && is_logged_in(&site, &second));

    let revoke = ["session", "revoke", ADA, "--session", &ada[0]];
    assert_eq!(run(&dir, &revoke), "sessions ended: 1\n");
    assert_eq!(handles(ADA), ada[1..]);
    assert_ne!(is_logged_in(&site, &first), is_logged_in(&site, &second));
    refused(&dir, &revoke, "", 1);
    let newest =
        in_history(&site, [first, second].iter().find(|c| is_logged_in(&site, c)).unwrap());
    assert!(newest.contains("The operator"), "{newest}");
}

/// Returns the page with the history of the account of `cookie`.
fn in_history(site: &Program, cookie: &str) -> String {
    site.request("GET /account/activity", Some(cookie), "")
}

#[test]
fn a_deleted_account_is_gone_at_once() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    assert_eq!(run(&dir, &["user", "delete", ADA]), format!("Deleted {ADA}\n"));
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
fn the_history_names_the_operator_for_what_the_operator_did() {
    let dir = TempDir::new().unwrap();
    let site = site(&dir);
    site.request("POST /register", None, FORM);
    let disabled = run_with(&dir, &["user", "disable", ADA], "");
    let line = " event=disabled ip=- user=1 email=a***@example.org\n";
    let said = after_database(&dir, disabled.stderr);
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
fn each_event_has_one_log_line_in_a_stable_format() {
    let dir = TempDir::new().unwrap();
    // As in release, where Rocket logs only warnings and errors.
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
    ("ROCKET_SITE", "{url=\"https://localhost:1\",trusted_proxies=[\"127.0.0.1\"]}"),
];

fn safe_but(changed: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    let kept = SAFE.into_iter().filter(|(name, _)| *name != changed.0);
    kept.chain([changed]).collect()
}

#[test]
fn check_names_each_unsafe_setting() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let offline = |variables: &[(&str, &str)]| check(&dir, &["--offline"], variables);
    let safe = offline(&SAFE);
    let (fine, last) = safe.1.trim_end().rsplit_once('\n').unwrap();
    assert_eq!((safe.0, last), (Some(0), "no problems found"));
    assert!(fine.lines().all(|line| line.starts_with("ok: ")), "{fine}");
    for line in ["ok: the profile is release", "ok: site.url is https://localhost:1"] {
        assert!(fine.lines().any(|fine| fine == line), "{fine}");
    }
    assert_eq!(check(&dir, &["--offline", "--quiet"], &SAFE), (Some(0), String::new()));

    for (changed, start) in [
        (("ROCKET_PROFILE", "debug"), "the profile is debug"),
        (("ROCKET_MAIL", "{}"), "mail.url is not set: users cannot reset a password"),
        (("ROCKET_LOG_LEVEL", "normal"), "log_level is normal"),
        (("ROCKET_THROTTLE", "{enabled=false}"), "throttle.enabled is false"),
        (("ROCKET_SESSION", "{secure=false}"), "session.secure is false"),
        (("ROCKET_ADDRESS", "0.0.0.0"), "address lets other machines connect"),
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
        let start = format!("problem: {start}");
        assert!(said.lines().any(|line| line.starts_with(&start)), "{start}: {said}");
        let (code, quiet) = check(&dir, &["--offline", "--quiet"], &safe_but(changed));
        assert!(quiet.lines().all(|line| line.starts_with("problem: ")), "{quiet}");
        assert_eq!((code, quiet.lines().any(|line| line.starts_with(&start))), (Some(1), true));
    }
}

#[test]
fn check_says_how_many_problems_it_has_found_without_calling_them_an_error() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let end = |variables: &[(&str, &str)]| {
        let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        let output = command
            .args(["check", "--offline"])
            .envs(SAFE)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        after_database(&dir, output.stderr)
    };
    let sites = if crate::database::socket().is_some() { 2 } else { 0 };
    let problems = |count: usize| format!("{} problems found\n", count + sites);
    let one = if sites == 0 { "1 problem found\n".to_owned() } else { problems(1) };
    assert_eq!(end(&[("ROCKET_THROTTLE", "{enabled=false}")]), one);
    let both = [("ROCKET_THROTTLE", "{enabled=false}"), ("ROCKET_SESSION", "{secure=false}")];
    assert_eq!(end(&both), problems(2));
}

/// The names of checks in the reference, without those that PostgreSQL alone has.
fn documented_checks() -> BTreeSet<String> {
    let page = include_str!("../../docs/reference.md");
    let (_, rest) = page.split_once("| check | what is looked at |\n|---|---|\n").unwrap();
    let rows = rest.split("\n\n").next().unwrap().lines();
    rows.filter(|row| !row.contains("PostgreSQL only"))
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn check_prints_each_finding_as_json_under_the_name_that_the_reference_has() {
    if crate::database::socket().is_some() {
        return; // the names of checks differ a little there
    }

    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let findings = |arguments: &[&str]| -> (Option<i32>, Vec<Value>) {
        let (code, said) = check(&dir, &[&["--json"], arguments].concat(), &SAFE);
        (code, serde_json::from_str(&said).unwrap())
    };
    let (code, found) = findings(&["--backup", "data/login.db"]);
    assert_eq!(code, Some(1));
    let name = |finding: &Value| finding["check"].as_str().unwrap().to_owned();
    assert_eq!(found.iter().map(name).collect::<BTreeSet<_>>(), documented_checks());
    let failed: Vec<_> = found.iter().filter(|one| one["ok"] == false).map(name).collect();
    assert_eq!(failed, ["site", "mail"]);
    for finding in &found {
        assert_eq!(finding.as_object().unwrap().len(), 3, "{finding}");
        assert!(!finding["message"].as_str().unwrap().is_empty(), "{finding}");
    }

    let (code, problems) = findings(&["--quiet"]);
    assert_eq!((code, problems.len()), (Some(1), 2));
    assert_eq!(findings(&["--quiet", "--offline"]), (Some(0), Vec::new()));
}

#[cfg(unix)]
#[test]
fn check_examines_the_database_its_clock_and_its_backup() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new().unwrap();
    let offline = |more: &[&str]| check(&dir, &[&["--offline"], more].concat(), &SAFE);
    let said = offline(&[]).1;
    let start = format!(
        "problem: databases.login.url: there is no rocket-login database at {}",
        place(&dir)
    );
    assert!(said.contains(&start) && said.contains("rocket-login migrate"), "{said}");
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
    assert!(offline(&backups).1.contains("problem: backup: there is none at backups"));
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
    assert!(
        offline(&[]).1.contains("problem: the clock is behind the newest entry in the database")
    );
}

#[test]
fn check_connects_to_the_site_and_the_mail_server() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let (code, said) = check(&dir, &[], &SAFE);
    assert_eq!(code, Some(1));
    assert!(said.contains("site.url: the site does not answer there"), "{said}");
    assert!(said.contains("mail.url: the server cannot be used"), "{said}");

    // The site has no certificate here, so the check over http finds only that.
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, ("ROCKET_PROFILE", "release")]);
    let url =
        format!("{{url=\"http://localhost:{}\",trusted_proxies=[\"127.0.0.1\"]}}", site.port());
    let variables: Vec<_> = SAFE.into_iter().filter(|(name, _)| *name != "ROCKET_SITE").collect();
    let (_, said) = check(&dir, &[], &[&variables[..], &[("ROCKET_SITE", url.as_str())]].concat());
    assert!(!said.contains("does not answer") && !said.contains("drops its headers"), "{said}");
}

#[test]
fn refused_requests_are_logged() {
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
fn a_front_end_that_polls_without_a_log_in_has_one_line() {
    let dir = TempDir::new().unwrap();
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, ("ROCKET_LOG_LEVEL", "critical")]);
    for number in 0..6 {
        let poll = format!(
            "GET /account/activity?since={number} HTTP/1.1\r\nAccept: application/json\r\nX:"
        );
        let answer = site.request(&poll, None, "");
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    // A person has a line each time, and so has another path.
    site.request("GET /account", None, "");
    site.request("GET /account", None, "");
    site.request("GET /account/sessions HTTP/1.1\r\nSec-Fetch-Mode: cors\r\nX:", None, "");
    site.request("POST /logout HTTP/1.1\r\nOrigin: https://evil.example\r\nX:", None, "");
    let said = site.wait_for("event=cross_site");
    assert_eq!(said.matches("event=denied").count(), 4, "{said}");
}

#[test]
fn the_log_says_at_the_start_that_mail_is_off() {
    let dir = TempDir::new().unwrap();
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[KEY, CHEAP, ("ROCKET_PROFILE", "release")]);
    site.wait_for("mail.url is not set");
}

/// Each command that acts on the configured database.
const COMMANDS: [&[&str]; 12] = [
    &["user", "list"],
    &["user", "add", ADA],
    &["user", "show", ADA],
    &["user", "disable", ADA],
    &["user", "enable", ADA],
    &["user", "delete", ADA],
    &["user", "unlock", ADA],
    &["user", "grant", ADA, "editor"],
    &["user", "revoke", ADA, "editor"],
    &["user", "reset", ADA],
    &["session", "list", ADA],
    &["session", "revoke", "--all"],
];

#[test]
fn a_command_without_a_database_creates_none_and_names_the_missing_one() {
    let dir = TempDir::new().unwrap();
    for arguments in COMMANDS {
        let error = refused(&dir, arguments, "correct horse battery\n", 1);
        assert!(error.starts_with("Error: ") && error.lines().count() == 1, "{error}");
        for part in [
            place(&dir).as_str(),
            "rocket-login migrate",
            "ROCKET_CONFIG",
            "sudo --preserve-env=ROCKET_CONFIG",
        ] {
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_not_a_sites_database_is_not_changed() {
    if crate::database::socket().is_some() {
        return;
    }

    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let path = dir.path().join("data/login.db");
    std::fs::write(&path, "").unwrap();
    let error = refused(&dir, &["user", "list"], "", 1);
    assert!(error.contains("there is no rocket-login database at"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"");

    std::fs::write(&path, "notes, and no database at all").unwrap();
    let error = refused(&dir, &["user", "list"], "", 1);
    assert!(error.starts_with("Error: databases.login.url: cannot open"), "{error}");

    // The database of another program.
    std::fs::remove_file(&path).unwrap();
    in_database(&dir, "PRAGMA journal_mode = DELETE; CREATE TABLE notes (text)");
    let before = std::fs::read(&path).unwrap();
    let error = refused(&dir, &["session", "revoke", "--all"], "", 1);
    assert!(error.contains("there is no rocket-login database at"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path().join("data")).unwrap().count(), 1);
}

/// Runs `sql` in the database of `dir`, as another program would.
fn in_database(dir: &TempDir, sql: &'static str) {
    let url = match crate::database::socket() {
        Some(_) => crate::database::url(dir),
        None => format!("sqlite:{}?mode=rwc", dir.path().join("data/login.db").display()),
    };
    sqlx::any::install_default_drivers();
    rocket::tokio::runtime::Runtime::new().unwrap().block_on(async {
        use sqlx::Connection;
        let mut db = sqlx::AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    });
}

#[test]
fn each_command_names_its_database_on_standard_error_only() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    for arguments in COMMANDS.into_iter().filter(|arguments| arguments[1] != "delete") {
        let output = run_with(&dir, arguments, "correct horse battery\n");
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(said.starts_with(&format!("database: {}\n", place(&dir))), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("database"), "{output:?}");
    }
    let listed = run(&dir, &["user", "list", "--json"]);
    assert!(serde_json::from_str::<Value>(&listed).unwrap().is_array(), "{listed}");
    let migrated = run_with(&dir, &["migrate"], "");
    assert_eq!(after_database(&dir, migrated.stderr), "");
    assert_eq!(migrated.stdout, format!("{} is up to date\n", place(&dir)).as_bytes());
}

#[test]
fn config_names_another_file_and_counts_more_than_the_variable() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    for name in ["one", "two"] {
        let text = format!("[default.databases.login]\nurl = \"sqlite:{name}.db\"\n");
        std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command =
            crate::servers::program::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        let output = command.args(arguments).envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let database = |name: &str| format!("database: {}\n", folder.join(name).display());
    let variable = ("ROCKET_CONFIG", "one.toml");
    let two = folder.join("two.toml");
    for arguments in [
        &["migrate", "--config", "two.toml"][..],
        &["--config=two.toml", "migrate"],
        &["--config", two.to_str().unwrap(), "migrate"],
    ] {
        assert_eq!(said(arguments, &[]), database("two.db"));
        assert_eq!(said(arguments, &[variable]), database("two.db"));
    }
    assert_eq!(said(&["migrate"], &[variable]), database("one.db"));
    // As with the variable, other variables override the file.
    let url = ("ROCKET_DATABASES", "{login={url=\"sqlite:three.db\"}}");
    assert_eq!(said(&["migrate", "--config", "two.toml"], &[url]), database("three.db"));

    for arguments in [&["migrate"][..], &["serve"], &["user", "list"], &[]] {
        let error = said(&[arguments, &["--config", "no.toml"]].concat(), &[variable]);
        let file = folder.join("no.toml");
        let start = format!("Error: --config: there is no file {}; name ", file.display());
        assert!(error.starts_with(&start) && error.lines().count() == 1, "{error}");
    }
    assert!(said(&["migrate", "--config", "."], &[]).contains("is not a file"));
    assert_eq!(said(&["secret-key", "--config", "no.toml"], &[]), "");
}

#[test]
fn the_help_says_where_the_configuration_comes_from() {
    let dir = TempDir::new().unwrap();
    let help = run(&dir, &["--help"]);
    for text in ["Rocket.toml", "--config <FILE>", "ROCKET_CONFIG", "ROCKET_PROFILE"] {
        assert!(help.contains(text), "{help}");
    }
    assert!(run(&dir, &["user", "list", "--help"]).contains("--config <FILE>"));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = TempDir::new().unwrap();
    for (shell, start) in [
        ("bash", "_rocket__login() {"),
        ("zsh", "#compdef rocket-login"),
        ("fish", "# Print an optspec for argparse"),
        ("elvish", "use builtin;"),
        ("powershell", "using namespace System.Management.Automation"),
    ] {
        let script = run(&dir, &["completions", shell]);
        assert!(script.trim_start().starts_with(start), "{script}");
        for word in ["secret-key", "unverified", "leave-other-tables", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }

    let page = run(&dir, &["man"]);
    for text in [".TH rocket-login 1", "ROCKET_CONFIG", "rocket\\-login\\-user(1)"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    std::fs::create_dir(dir.path().join("man1")).unwrap();
    assert_eq!(run(&dir, &["man", "man1"]), "The manual pages are in man1.\n");
    let page = |name: &str| std::fs::read_to_string(dir.path().join("man1").join(name)).unwrap();
    assert_eq!(page("rocket-login.1").trim_end(), run(&dir, &["man"]).trim_end());
    assert!(page("rocket-login-user-list.1").contains("\\-\\-unverified"));
    assert!(page("rocket-login-session-revoke.1").contains("session revoke\\fR \\-\\-all"));
    let error = refused(&dir, &["man", "nowhere"], "", 1);
    assert!(error.starts_with("Error: cannot write into the folder nowhere: "), "{error}");
}

#[cfg(unix)]
#[test]
fn bash_takes_the_script_of_completions() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("script"), run(&dir, &["completions", "bash"])).unwrap();
    let complete = "source ./script; COMP_WORDS=(rocket-login user d); COMP_CWORD=2; \
                    _rocket__login rocket-login d user; echo \"${COMPREPLY[@]}\"";
    let bash = crate::servers::find("bash").expect("bash is installed");
    let output = command(bash, &dir).args(["-c", complete]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "disable delete\n");
}

#[test]
fn commands_do_not_migrate_the_schema() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    // This is a site of an earlier program, so this program would have to migrate.
    in_database(&dir, "DELETE FROM _sqlx_migrations WHERE version = 20261123000007");
    for arguments in COMMANDS {
        let error = refused(&dir, arguments, "correct horse battery\n", 1);
        let problem = format!("{} lacks 1 of this program's migrations", place(&dir));
        assert!(error.contains(&problem) && error.contains("rocket-login migrate"), "{error}");
    }
    let (code, said) = check(&dir, &["--offline"], &SAFE);
    assert!(code == Some(1) && said.contains("lacks 1 of this program's migrations"), "{said}");
    in_database(
        &dir,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 20261123000007, 'own changes', TRUE, checksum, 0 FROM _sqlx_migrations LIMIT 1",
    );
    let error = refused(&dir, &["user", "list"], "", 1);
    assert!(error.contains("its migration 20261123000007 differs from ours"), "{error}");
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    // An application's own migrations do not count, however high their numbers.
    let insert =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 20991231000001, 'notes', TRUE, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    in_database(&dir, insert);
    run(&dir, &["user", "list"]);
    in_database(
        &dir,
        "UPDATE _sqlx_migrations SET description = 'rocket login roles' WHERE description = 'notes'",
    );
    for arguments in COMMANDS {
        let error = refused(&dir, arguments, "correct horse battery\n", 1);
        let problem = format!("{} was migrated by a newer program; use that one", place(&dir));
        assert!(error.contains(&problem), "{error}");
    }
}

/// Runs a command with `out` as its standard output. Returns its exit code and its
/// standard error without the line that names the database.
#[cfg(unix)]
fn unread(dir: &TempDir, arguments: &[&str], out: Stdio) -> (Option<i32>, String) {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    command.args(arguments).envs([CHEAP]).stdin(Stdio::piped()).stdout(out).stderr(Stdio::piped());
    let mut running = Running::spawn(command);
    let _ = running.child.stdin.take().unwrap().write_all(b"correct horse battery\n");
    let mut said = Vec::new();
    running.child.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    let status = running.wait();
    let said = after_database(dir, said);
    let said = said.lines().filter(|line| !line.starts_with("security: ") && !line.is_empty());
    (status.code(), said.collect::<Vec<_>>().join("\n"))
}

#[cfg(unix)]
fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

/// Returns a pipe whose reader has gone, as `head` does when it has its lines.
#[cfg(unix)]
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Commands that succeed in this order.
#[cfg(unix)]
const PRINTING: [&[&str]; 18] = [
    &["--help"],
    &["--version"],
    &["help"],
    &["user", "--help"],
    &["secret-key"],
    &["completions", "bash"],
    &["man"],
    &["man", "."],
    &["migrate"],
    &["user", "add", ADA],
    &["user", "list"],
    &["user", "list", "--json"],
    &["user", "show", ADA, "--json"],
    &["user", "disable", ADA],
    &["user", "enable", ADA],
    &["user", "unlock", ADA],
    &["user", "reset", ADA],
    &["session", "revoke", "--all"],
];

#[cfg(unix)]
#[test]
fn a_closed_pipe_makes_no_command_fail() {
    let dir = TempDir::new().unwrap();
    for arguments in PRINTING.into_iter().chain([&["user", "delete", ADA][..]]) {
        assert_eq!(unread(&dir, arguments, closed_pipe()), (Some(0), String::new()));
    }
    // The exit code still says what `check` has found.
    let (code, said) = unread(&dir, &["check", "--offline"], closed_pipe());
    // It is one problem on SQLite, and more on PostgreSQL.
    let is_told = said.ends_with(" problem found") || said.ends_with(" problems found");
    assert_eq!((code, is_told), (Some(1), true), "{said}");
    assert_eq!(unread(&dir, &["user", "fly"], closed_pipe()).0, Some(2));
}

#[cfg(unix)]
#[test]
fn a_full_disk_at_output_is_reported_in_one_line_and_undoes_nothing() {
    let dir = TempDir::new().unwrap();
    let start = "Error: cannot write to standard output: ";
    for arguments in PRINTING {
        let (code, said) = unread(&dir, arguments, full());
        assert_eq!((code, said.lines().count()), (Some(1), 1), "{arguments:?}: {said}");
        assert!(
            said.starts_with(start) && said.contains("the command's changes stay done"),
            "{arguments:?}: {said}"
        );
    }
    let (code, said) = unread(&dir, &["check", "--offline"], full());
    assert!(code == Some(1) && said.starts_with(start), "{said}");
    assert!(run(&dir, &["user", "list"]).contains(ADA));
    assert_eq!(unread(&dir, &["user", "disable", ADA], full()).0, Some(1));
    let shown = run(&dir, &["user", "show", ADA, "--json"]);
    assert!(serde_json::from_str::<Value>(&shown).unwrap()["disabled_at"].is_i64(), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_command_without_any_output_still_does_its_work() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    for arguments in [&["user", "disable", ADA][..], &["user", "list"], &["user", "fly"]] {
        for (out, err) in [(full(), full()), (closed_pipe(), closed_pipe())] {
            let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
            let status = command.args(arguments).stdout(out).stderr(err).status().unwrap();
            assert!(matches!(status.code(), Some(0..=2)), "{arguments:?}: {status}");
        }
    }
    assert!(!run(&dir, &["user", "show", ADA, "--json"]).contains("\"disabled_at\": null"));
}

/// Makes the database of a stopped site with one account.
fn stopped() -> Option<TempDir> {
    if crate::database::socket().is_some() {
        return None; // `postgres.rs` tests copies of PostgreSQL
    }
    let dir = TempDir::new().unwrap();
    add(&dir);
    Some(dir)
}

const COPY: [&str; 5] = ["copy", "--from", "sqlite:data/login.db", "--to", "sqlite:new/login.db"];

#[test]
fn a_running_site_is_not_copied() {
    let Some(dir) = stopped() else { return };
    let running = site(&dir);
    // A site has the file open even before its first request.
    for _ in 0..2 {
        let error = refused(&dir, &COPY, "", 1);
        let problem = format!("Error: --from: {} is in use by another program", place(&dir));
        assert!(error.starts_with(&problem) && error.contains("stop the site"), "{error}");
        assert!(!dir.path().join("new").exists());
        // The site keeps running.
        let form = "email=bob%40example.org&password=correct+horse+battery";
        let answer = running.request("POST /register", None, form);
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        assert!(running.request("GET /readyz", None, "").ends_with("ok"));
    }
    drop(running); // killed, so the log must be copied as well
    let said = run(&dir, &COPY);
    assert!(said.contains("users: 2 rows, the same in both"), "{said}");
}

#[test]
fn a_copy_names_the_tables_and_columns_that_it_leaves_behind() {
    let Some(dir) = stopped() else { return };
    in_database(
        &dir,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);
         ALTER TABLE users ADD COLUMN nickname TEXT;
         CREATE VIRTUAL TABLE found USING fts5(text)",
    );
    let error = refused(&dir, &COPY, "", 1);
    for part in
        ["found, ", "notes, users.nickname: not part of this program", "--leave-other-tables"]
    {
        assert!(error.contains(part), "{error}");
    }
    assert!(!dir.path().join("new").exists());

    let leave = [&COPY[..], &["--leave-other-tables"]].concat();
    let said = run(&dir, &leave);
    let line = said.lines().find(|line| line.starts_with("left behind: ")).unwrap();
    assert!(line.ends_with("notes, users.nickname"), "{said}");
    assert!(said.contains("users: 1 rows, the same in both"), "{said}");
}

#[test]
fn a_copy_onto_itself_or_from_another_programs_schema_is_refused() {
    let Some(dir) = stopped() else { return };
    let to =
        |to: &str| refused(&dir, &["copy", "--from", "sqlite:data/login.db", "--to", to], "", 1);
    assert_eq!(to("sqlite:data/../data/login.db"), "Error: --from and --to are the same\n");
    let error = refused(&dir, &["copy", "--from", "sqlite:a.db", "--to", "sqlite:b.db"], "", 1);
    assert!(error.starts_with("Error: --from: there is no rocket-login database at /"), "{error}");
    in_database(
        &dir,
        "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 20261123000001",
    );
    assert!(to("sqlite:b.db").contains("migration 20261123000001 differs from ours"));
    in_database(&dir, "DELETE FROM _sqlx_migrations WHERE version = 20261123000001");
    assert!(to("sqlite:b.db").contains("lacks 1 of this program's migrations"));
    assert!(!dir.path().join("b.db").exists());
}

/// A configuration with a provider at an address where nobody listens.
#[cfg(feature = "providers")]
const ACME: (&str, &str) = (
    "ROCKET_PROVIDERS",
    "{acme={issuer=\"http://127.0.0.1:1\",client_id=\"site\",label=\"Acme Inc.\"}}",
);

/// Runs a command that must succeed at a site with [`ACME`], and returns its standard output.
#[cfg(feature = "providers")]
#[track_caller]
fn run_with_provider(dir: &TempDir, arguments: &[&str]) -> String {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    let output = command.args(arguments).envs([CHEAP, ACME, KEY]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Connects accounts at [`ACME`], and at a provider that is not configured.
fn connect(dir: &TempDir) {
    let insert = pick(
        "INSERT INTO login_identities (id, user_id, issuer, subject, provider, email, created_at)
         VALUES (7, 1, 'http://127.0.0.1:1', '1001', 'acme', 'ada@work.example', 1),
                (8, 1, 'https://gone.example', 'x', 'gone', NULL, 2)",
        "INSERT INTO login_identities (id, user_id, issuer, subject, provider, email, created_at)
         OVERRIDING SYSTEM VALUE
         VALUES (7, 1, 'http://127.0.0.1:1', '1001', 'acme', 'ada@work.example', 1),
                (8, 1, 'https://gone.example', 'x', 'gone', NULL, 2)",
    );
    in_database(dir, insert);
}

#[cfg(feature = "providers")]
#[test]
fn accounts_at_providers_are_listed_and_disconnected() {
    let dir = TempDir::new().unwrap();
    add(&dir);
    assert_eq!(run(&dir, &["user", "providers", ADA, "--json"]), "[]\n");
    connect(&dir);
    let listed = run_with_provider(&dir, &["user", "providers", ADA]);
    let (head, rows) = listed.split_once('\n').unwrap();
    assert!(head.starts_with(" Id ") && head.ends_with(" Offered"), "{listed}");
    let [acme, gone] = rows.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    for part in ["provider-7 ", " Acme Inc. ", " 1001 ", " ada@work.example ", " never ", " yes"] {
        assert!(acme.contains(part), "{acme}");
    }
    assert!(gone.contains(" https://gone.example ") && gone.ends_with("no"), "{gone}");
    let json = run_with_provider(&dir, &["user", "providers", ADA, "--json"]);
    let expected = serde_json::json!([
        {
            "id": "provider-7", "provider": "acme", "issuer": "http://127.0.0.1:1",
            "subject": "1001", "email": "ada@work.example", "created_at": 1, "last_used_at": null,
            "is_offered": true,
        },
        {
            "id": "provider-8", "provider": "gone", "issuer": "https://gone.example",
            "subject": "x", "email": null, "created_at": 2, "last_used_at": null,
            "is_offered": false,
        },
    ]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected);

    let factors = run_with_provider(&dir, &["user", "factors", ADA, "--json"]);
    let expected = |id: &str, name: &str, at: i64| {
        serde_json::json!({
            "id": id, "kind": "provider", "name": name, "created_at": at, "last_used_at": null,
        })
    };
    let factors: Value = serde_json::from_str(&factors).unwrap();
    let [acme, gone] = [expected("provider-7", "Acme Inc.", 1), expected("provider-8", "gone", 2)];
    assert_eq!(factors, Value::from(vec![acme, gone]));

    for id in ["7", "provider-9", "provider-", "provider--8", "codes-7"] {
        let error = refused(&dir, &["user", "remove-factor", ADA, id], "", 1);
        assert!(error.contains("Error: "), "{error}");
    }
    let said = run_with_provider(&dir, &["user", "remove-factor", ADA, "provider-7"]);
    assert_eq!(said, format!("Removed provider-7 of {ADA}, and ended its sessions\n"));
    let said = run_with_provider(&dir, &["user", "remove-factor", ADA, "--all"]);
    let all = format!("Removed 1 factor and the recovery codes of {ADA}, and ended its sessions\n");
    assert_eq!(said, all);
    assert_eq!(run(&dir, &["user", "factors", ADA, "--json"]), "[]\n");
}

#[cfg(feature = "providers")]
#[test]
fn check_asks_each_provider_and_says_what_to_register() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let with = |value: &'static str| [&SAFE[..], &[("ROCKET_PROVIDERS", value)]].concat();
    let callback = "the address to register there is https://localhost:1/login/with/acme/callback";
    // No server has this name, so nobody is asked outside.
    let acme = with("{acme={issuer=\"https://acme.invalid\",client_id=\"site\"}}");
    let (code, said) = check(&dir, &["--offline"], &acme);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("ok: providers.acme was not asked; {callback}\n")), "{said}");
    let (code, said) = check(&dir, &["--quiet"], &acme);
    assert_eq!(code, Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("providers.acme")).expect(&said);
    assert!(line.starts_with("problem: providers.acme cannot be used: "), "{line}");
    assert!(line.ends_with(callback), "{line}");
    let (_, said) = check(&dir, &["--offline"], &SAFE);
    assert!(said.contains("ok: no provider is configured\n"), "{said}");
}

#[cfg(all(unix, feature = "providers"))]
#[test]
fn check_names_a_file_with_a_providers_secret_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new().unwrap();
    run(&dir, &["migrate"]);
    let path = dir.path().join("Rocket.toml");
    let acme = "[default.providers.acme]\nissuer = \"https://acme.invalid\"\n\
                client_id = \"site\"\nclient_secret = \"horse\"\n";
    std::fs::write(&path, acme).unwrap();
    for (mode, code) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let (found, said) = check(&dir, &["--offline"], &SAFE);
        assert_eq!(found, Some(code), "{said}");
        let problem = "problem: providers.acme.client_secret: ";
        assert_eq!(said.lines().any(|line| line.starts_with(problem)), code == 1, "{said}");
        assert!(!said.contains("horse"), "{said}");
    }
}

#[test]
fn a_copy_has_the_accounts_at_providers() {
    let Some(dir) = stopped() else { return };
    connect(&dir);
    in_database(
        &dir,
        "INSERT INTO sessions (id, family, user_id, data, created_at, last_seen_at, expires_at,
                               authenticated_at, identity_id, provider_sid)
         VALUES (zeroblob(32), zeroblob(32), 1, '{}', 1, 1, 9999999999, 1, 7, 'sid')",
    );
    let said = run(&dir, &COPY);
    for line in ["login_identities: 2 rows, the same in both", "sessions: 1 rows, the same in both"]
    {
        assert!(said.contains(line), "{said}");
    }
}
