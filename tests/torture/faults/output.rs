//! The site's log, and backups of its database.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::outsider::{Outsider, assert_has_all, assert_sound};
use super::site::{CHEAP, Site, UNTHROTTLED, bare};
use crate::servers::{find, has};

/// Asserts that the site keeps working when its output suddenly fails.
fn assert_goes_on_without_a_log(what: &str, level: &str, is_stderr_lost: bool) {
    // Without optimisation, Rocket logs with `print!`, which panics.
    if std::env::var_os("PROGRAMS").is_none() {
        let line = b"NOT RUN: a lost log needs a release build (PROGRAMS)\n";
        return std::io::stderr().write_all(line).unwrap();
    }
    let dir = TempDir::new().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = bare(dir.path());
    command.env("ROCKET_LOG_LEVEL", level).stdout(writer.try_clone().unwrap());
    match is_stderr_lost {
        true => command.stderr(writer),
        false => command.stderr(Stdio::null()),
    };
    let mut site = Site::start_silently(command, dir.path());
    let mut ada = site.registered("ada");
    drop(reader);

    for _ in 0..3 {
        let wrong = super::site::form("ada").replace("battery", "staple");
        site.browser().try_post("/login", &wrong).unwrap().assert(422);
        site.browser().log_in("ada").assert(303);
        site.browser().get("/nowhere").assert(404);
    }
    assert!(ada.is_logged_in());
    ada.log_out().assert(303);
    assert!(!ada.is_logged_in());
    assert!(site.is_ready());
    site.assert_alive();
    site.terminate();
    assert_eq!(site.wait(), Some(0));
    println!("{what} gone at log level {level}: everything works, exit code 0");
}

#[test]
#[ignore = "just torture"]
fn the_site_works_after_the_reader_of_its_log_has_gone() {
    for level in ["normal", "critical"] {
        assert_goes_on_without_a_log("standard output", level, false);
    }
}

#[test]
#[ignore = "just torture"]
fn the_site_works_without_standard_output_and_standard_error() {
    for level in ["critical", "normal"] {
        assert_goes_on_without_a_log("standard output and error", level, true);
    }
}

#[test]
#[ignore = "just torture"]
fn a_backup_made_under_load_is_complete_and_starts() {
    if !has(find("sqlite3").is_some(), "sqlite3") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
    let (names, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let backups = dir.path().join("backups");
    let took = std::thread::scope(|threads| {
        for client in 0..3 {
            let (site, names, is_over) = (&site, &names, &is_over);
            threads.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let name = format!("c{client}n{number}");
                    // The backup must not delay a sign-up for long.
                    let answer = site.browser().register(&name);
                    answer.assert(303);
                    names.lock().unwrap().push((name, Instant::now()));
                }
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        let start = Instant::now();
        let mut backup = Command::new("sh");
        backup.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/backup.sh"));
        let done = backup.arg(site.database()).arg(&backups).output();
        let took = start.elapsed();
        std::thread::sleep(Duration::from_millis(500));
        is_over.store(true, Ordering::SeqCst);
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
        (start, took)
    });
    let (began, took) = took;
    site.assert_alive();

    let copy = fs::read_dir(&backups).unwrap().next().unwrap().unwrap().path();
    assert_sound(&copy);
    let all = names.into_inner().unwrap();
    let before: Vec<String> =
        all.iter().filter(|(_, at)| *at < began).map(|(name, _)| name.clone()).collect();
    assert!(before.len() > 20 && before.len() < all.len(), "{} {}", before.len(), all.len());
    assert_has_all(&copy, &before);

    let elsewhere = TempDir::new().unwrap();
    fs::create_dir(elsewhere.path().join("data")).unwrap();
    fs::copy(&copy, elsewhere.path().join("data/login.db")).unwrap();
    let restored = Site::start(elsewhere.path(), &[CHEAP, UNTHROTTLED]);
    restored.browser().log_in(&before[0]).assert(303);
    assert!(restored.is_ready());
    let there = Outsider::open(&restored.database()).value("SELECT count(*) FROM users");
    println!(
        "backup under load: {took:?}, {there} accounts of which {} were made before it began",
        before.len()
    );
}
