//! What the feature `testing` offers for the tests of an application.

use std::env;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::local::{asynchronous, blocking};
use rocket::{Build, Rocket, get, routes};
use rocket_login::testing::{self, Browser};
use rocket_login::{Clock, Session, User};

use crate::postgres::cluster;
use crate::support::{PASSWORD, START};

const FORM: [(&str, &str); 2] = [("email", "ada@example.org"), ("password", PASSWORD)];

#[get("/notes")]
fn notes(user: &User, session: &Session) -> String {
    format!("Notes of {}: {:?}", user.email, session.get::<String>("text").unwrap())
}

fn application(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage()).mount("/", routes![notes])
}

/// The folder of the configuration's database.
fn folder(figment: &Figment) -> PathBuf {
    let url: String = figment.extract_inner("databases.login.url").unwrap();
    let path = PathBuf::from(url.strip_prefix("sqlite:").unwrap());
    path.parent().unwrap().to_owned()
}

#[test]
fn a_tests_database_lives_as_long_as_its_configuration_and_its_site() {
    let figment = testing::figment();
    let folder = folder(&figment);
    assert!(folder.is_dir());

    let client = blocking::Client::untracked(application(figment.clone())).unwrap();
    let ada = testing::blocking::Browser::new(&client);
    ada.post("/register", &FORM).assert_redirect("/account");
    let cookie = ada.cookie("session").unwrap();
    drop(client);

    // The site starts again with the account and its session.
    let client = blocking::Client::untracked(application(figment)).unwrap();
    let again = testing::blocking::Browser::new(&client);
    again.set_cookie("session", cookie);
    again.get("/notes").assert_text("Notes of ada@example.org");
    assert!(folder.join("login.db").is_file());
    drop(client);
    assert!(!folder.exists());
}

#[rocket::async_test]
async fn a_tests_database_is_gone_after_a_panic() {
    let figment = testing::figment();
    let folder = folder(&figment);
    let client = asynchronous::Client::untracked(application(figment)).await.unwrap();
    Browser::new(&client).sign_in("ada@example.org").await;
    let failed = catch_unwind(AssertUnwindSafe(move || {
        let _site = client;
        panic!("the test fails");
    }));
    assert!(failed.is_err());
    assert!(!folder.exists());

    let never_used = testing::figment();
    let folder = self::folder(&never_used);
    drop(never_used);
    assert!(!folder.exists());
}

#[test]
#[ignore = "the test below starts it, in a process of its own"]
fn a_process_that_is_killed() {
    std::mem::forget(testing::figment());
    std::process::abort();
}

#[test]
#[ignore = "the test below starts it, in a process of its own"]
fn the_next_process() {
    drop(testing::figment());
}

#[test]
fn the_database_of_a_killed_test_is_deleted_by_the_next_run() {
    let dir = tempfile::TempDir::new().unwrap();
    let run = |test: &str| {
        let mut program = Command::new(env::current_exe().unwrap());
        program.args(["--ignored", "--exact", test]).env("TMPDIR", dir.path());
        program.output().unwrap().status
    };
    let folders = || fs::read_dir(dir.path()).unwrap().count();

    assert!(!run("testing::a_process_that_is_killed").success());
    assert_eq!(folders(), 1);

    // A folder that is in use, one that is being made, and one of somebody else's.
    let used = dir.path().join("rocket-login-test-used");
    fs::create_dir(&used).unwrap();
    let lock = File::create(used.join("lock")).unwrap();
    lock.lock().unwrap();
    fs::create_dir(dir.path().join("rocket-login-test-new")).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    File::create(dir.path().join("other/lock")).unwrap();

    assert!(run("testing::the_next_process").success());
    assert_eq!(folders(), 3);
    drop(lock);
    assert!(run("testing::the_next_process").success());
    assert_eq!(folders(), 2);
}

#[test]
fn a_tests_configuration_is_cheap_and_reads_neither_file_nor_variables() {
    let clock = Clock::manual(START);
    // `./check` sets variables of Rocket with which no site would start.
    let rocket = application(testing::figment()).manage(clock.clone());
    let client = blocking::Client::untracked(rocket).unwrap();
    let start = Instant::now();
    for number in 0..40 {
        let email = format!("ada{number}@example.org");
        let ada = testing::blocking::Browser::new(&client);
        ada.post("/register", &[("email", &email), FORM[1]]).assert_redirect("/account");
        let wrong = [("email", &*email), ("password", "something else")];
        testing::blocking::Browser::new(&client).post("/login", &wrong).assert_status(422);
    }
    // Argon2 at its default cost takes longer for these eighty, even if it is optimised.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    // With the throttle, ten failures would lock the account.
    let ada = testing::blocking::Browser::new(&client);
    for _ in 0..15 {
        let wrong = [("email", "ada1@example.org"), ("password", "something else")];
        ada.post("/login", &wrong).assert_status(422);
    }
    let right = [("email", "ada1@example.org"), FORM[1]];
    ada.post("/login", &right).assert_redirect("/account");

    let closed = testing::figment().merge(("accounts.registration", "closed"));
    let client = blocking::Client::untracked(application(closed)).unwrap();
    testing::blocking::Browser::new(&client).get("/register").assert_status(403);
}

#[test]
fn the_blocking_browser_does_what_the_other_one_does() {
    let client = blocking::Client::untracked(application(testing::figment())).unwrap();
    let ada = testing::blocking::Browser::new(&client);
    ada.get("/notes").assert_redirect("/login?next=%2Fnotes");
    ada.sign_in("ada@example.org");
    ada.with_session(async |session| session.set("text", "buy tea").await.unwrap());
    ada.get("/notes").assert_text("Notes of ada@example.org: Some(\"buy tea\")");
    ada.send(client.get("/notes")).assert_status(200);
    ada.post_raw("/logout", "").assert_redirect("/");
    ada.get("/notes").assert_status(303);

    let mails = testing::blocking::mails(&client);
    assert!(mails.is_empty(), "{mails:?}");
    let bob = testing::blocking::Browser::new(&client);
    let form = [("email", "bob@example.org"), FORM[1]];
    bob.post("/register", &form).assert_redirect("/account");
    let mails = testing::blocking::mails(&client);
    assert_eq!(mails[0].recipient, "bob@example.org");
    bob.post(&mails[0].link("/verify/"), &[]).assert_redirect("/account");
    let user = bob.with_auth(async |auth| auth.find_user(2).await.unwrap().unwrap());
    assert!(user.verified_at.is_some());
}

#[test]
fn a_test_gets_a_database_of_its_own_on_a_server() {
    let Some(cluster) = cluster() else { return };
    let server = cluster.url("postgres");
    let count = || {
        let named = "datname LIKE 'rocket-login-test-%'";
        cluster.sql("postgres", &format!("SELECT count(*) FROM pg_database WHERE {named}"))
    };
    let (one, two) = (testing::figment_on(&server), testing::figment_on(&server));
    assert_eq!(count(), "2");
    for figment in [one, two] {
        let client = blocking::Client::untracked(application(figment)).unwrap();
        let ada = testing::blocking::Browser::new(&client);
        ada.post("/register", &FORM).assert_redirect("/account");
    }
    assert_eq!(count(), "0");
}
