//! The machine's clock is set while the site runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::outsider::{Outsider, assert_sound};
use super::site::{Browser, Site, bare};
use crate::servers::has;

/// The site's own clock, set by a file. Its monotonic clock is not changed.
struct Clock(PathBuf);

impl Clock {
    fn start(dir: &Path) -> Option<(Self, Site)> {
        let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        let library = [library.to_owned(), library.replace("x86_64", "aarch64")]
            .into_iter()
            .find(|path| Path::new(path).is_file());
        if !has(library.is_some(), "libfaketime") {
            return None;
        }
        let clock = Clock(dir.join("clock"));
        clock.set("+0");
        let mut command = bare(dir);
        command.env("LD_PRELOAD", library.unwrap()).env("FAKETIME_TIMESTAMP_FILE", &clock.0);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Some((clock, Site::start_by(command, dir)))
    }

    /// Sets the clock to an offset from the real time.
    fn set(&self, offset: &str) {
        // Replace the file atomically, so that nobody reads half of it.
        fs::write(self.0.with_extension("new"), offset).unwrap();
        fs::rename(self.0.with_extension("new"), &self.0).unwrap();
    }
}

/// Returns the site's time, taken from its latest row.
fn seconds(site: &Site) -> i64 {
    let mut db = Outsider::open(&site.database());
    db.value("SELECT created_at FROM login_events ORDER BY id DESC LIMIT 1").parse().unwrap()
}

/// Asserts that a log-in works, and that no cookie has a negative `Max-Age`.
fn assert_works(site: &Site) -> Browser {
    let mut browser = site.browser();
    let form = super::site::form("ada") + "&remember=on";
    let answer = browser.try_post("/login", &form).unwrap();
    answer.assert(303);
    let cookies = answer.text.lines().filter(|line| line.starts_with("set-cookie: "));
    let lives = cookies.filter_map(|line| line.split("Max-Age=").nth(1)?.split(';').next());
    let lives: Vec<i64> = lives.map(|life| life.trim().parse().unwrap()).collect();
    assert!(!lives.is_empty() && lives.iter().all(|life| *life >= 0), "{lives:?}");
    assert!(browser.is_logged_in());
    browser
}

#[test]
#[ignore = "just torture"]
fn a_clock_set_back_by_an_hour_logs_nobody_out_and_breaks_nothing() {
    let dir = TempDir::new().unwrap();
    let Some((clock, mut site)) = Clock::start(dir.path()) else { return };
    let mut ada = site.registered("ada");
    let before = seconds(&site);
    clock.set("-1h");
    assert!(ada.is_logged_in());
    assert_works(&site);
    let moved = before - seconds(&site);
    assert!((3_590..=3_600).contains(&moved), "the clock was not moved: {moved}");
    for path in ["/account/sessions", "/account/activity", "/account/export"] {
        assert!(matches!(ada.get(path).status, 200 | 303), "{path}");
    }
    assert!(site.is_ready());

    clock.set("+0");
    assert!(ada.is_logged_in());
    ada.log_out().assert(303);
    clock.set("-1h");
    assert!(!ada.is_logged_in());
    site.assert_alive();
    assert_sound(&site.database());
    println!("clock back by {moved} s: logged in still, log-in works, a log-out stays one");
}

#[test]
#[ignore = "just torture"]
fn a_clock_set_back_lengthens_a_block_by_no_more_than_that_time() {
    let dir = TempDir::new().unwrap();
    let Some((clock, mut site)) = Clock::start(dir.path()) else { return };
    site.registered("ada");
    let wrong = super::site::form("ada").replace("battery", "staple");
    let tries = || (0..12).map(|_| site.browser().try_post("/login", &wrong).unwrap());
    let wait = || -> i64 {
        let answer = site.browser().try_post("/login", &wrong).unwrap();
        assert!(matches!(answer.status, 422 | 429), "{}", answer.text);
        answer.header("retry-after").map_or(0, |wait| wait.parse().unwrap())
    };
    assert!(tries().any(|answer| answer.status == 429));
    let before = wait();
    assert!((1..=60).contains(&before), "{before}");
    clock.set("-1h");
    let back = wait();
    assert!((0..=before + 3_600).contains(&back), "{back}");
    clock.set("+1h");
    assert_eq!(wait(), 0);
    site.assert_alive();
    println!("blocked for {before} s; with the clock an hour back for {back} s");
}

#[test]
#[ignore = "just torture"]
fn a_clock_that_jumps_a_month_ahead_only_ends_sessions() {
    let dir = TempDir::new().unwrap();
    let Some((clock, mut site)) = Clock::start(dir.path()) else { return };
    let mut ada = site.registered("ada");
    let mut remembered = assert_works(&site);
    clock.set("+31d");
    assert!(!ada.is_logged_in());
    assert!(!remembered.is_logged_in());
    let mut fresh = assert_works(&site);

    // The session revives when the clock is set back, unless a sweep has deleted it.
    let mut db = Outsider::open(&site.database());
    let kept = db.value("SELECT count(*) FROM sessions");
    clock.set("+0");
    let revived = ada.is_logged_in();
    // Attempts that were counted a month ahead block nobody.
    assert!(fresh.is_logged_in());
    assert_works(&site);
    clock.set("+31d");
    std::thread::sleep(Duration::from_millis(100));
    assert!(fresh.is_logged_in());
    site.assert_alive();
    assert_sound(&site.database());
    println!("clock 31 d ahead: sessions end, {kept} rows kept; back again: revived = {revived}");
}
