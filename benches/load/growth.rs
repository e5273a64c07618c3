//! The benches with many rows, and acts that take time only then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::home::{Client, Home, cookie, log_in, now};
use crate::servers::program::Program;
use crate::table::{Report, milliseconds, thousands};
use crate::wrk::{Load, median};
use crate::{rows, sessions, traffic};

/// The number of sessions of a user who logs out everywhere.
const OF_ONE: u64 = 10_000;

pub fn measure(report: &mut Report, page: &Load, home: &Home, count: u64, seconds: u64) {
    let (kind, note) = (home.kind(), format!(", {} rows", thousands(count)));
    let cookies = sessions::log_in_many(home);
    let start = Instant::now();
    rows::add(home, count, now());
    eprintln!("{kind}{note}: made in {:.0} s", start.elapsed().as_secs_f64());

    sweep(report, home, &note, seconds);
    let times = (0..3).map(|_| home.start_up().as_secs_f64()).collect();
    let time = milliseconds(Duration::from_secs_f64(median(times)));
    report.figure(&format!("start, until /readyz, {kind}{note}"), time);
    sessions::pages(report, page, home, &cookies, &note, seconds);
    sessions::writes(report, page, home, &note, seconds);
    log_out_everywhere(report, home, &note);
    traffic::measure(report, page, home, &note, seconds);
}

/// Measures writes during the sweep of expired rows, which begins with the start.
fn sweep(report: &mut Report, home: &Home, note: &str, seconds: u64) {
    let expired = format!("FROM sessions WHERE expires_at <= {}", now());
    let count = home.number(&format!("SELECT count(*) {expired}"));
    // The site logs how long its transactions took.
    let mut site = home.start("views", &[("ROCKET_LOG_LEVEL", "normal")]);
    let start = Instant::now();
    let mut taken = Duration::ZERO;
    let during = writes_while(&site, || {
        while home.number(&format!("SELECT count(*) FROM (SELECT 1 {expired} LIMIT 1) one")) > 0 {
            thread::sleep(Duration::from_millis(200));
        }
        taken = start.elapsed();
        // The sweep tidies up at its end.
        thread::sleep(Duration::from_secs(1));
    });
    let after = writes_while(&site, || thread::sleep(Duration::from_secs(seconds)));
    let log = site.wait_for("transaction took ");
    log.lines().filter(|line| line.contains("writers waited")).for_each(|line| eprintln!("{line}"));
    let longest = log.split("transaction took ").nth(1).and_then(|rest| rest.lines().next());
    site.terminate();

    let what = format!("sweep of {} expired, {}{note}", thousands(count as u64), home.kind());
    report.figure(&what, format!("{:.1} s", taken.as_secs_f64()));
    let what = format!("its longest transaction, {}{note}", home.kind());
    report.figure(&what, longest.unwrap_or("?").to_owned());
    for (when, times) in [("meanwhile", during), ("afterwards", after)] {
        let (slowest, at) =
            (milliseconds(times[times.len() - 1]), |n| times[times.len() * n / 100]);
        let what = format!("a write {when}, {}{note}", home.kind());
        report.times(&what, &format!("slowest {slowest}"), at(50), at(99));
    }
}

/// Returns the durations of consecutive writes during `act`, the slowest last.
fn writes_while(site: &Program, act: impl FnOnce()) -> Vec<Duration> {
    let cookie = cookie(&site.request("GET /views", None, ""));
    let is_over = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let (mut client, mut times) = (Client::of(site), Vec::new());
            while !is_over.load(Ordering::SeqCst) {
                times.push(client.get("/views", Some(&cookie)));
            }
            times
        });
        act();
        is_over.store(true, Ordering::SeqCst);
        writing.join().unwrap()
    });
    times.sort();
    times
}

fn log_out_everywhere(report: &mut Report, home: &Home, note: &str) {
    let bob = home.number("SELECT id FROM users WHERE email = 'bob@example.org'");
    rows::add_of(home, bob, OF_ONE - 1, now());
    let mut site = home.start("rocket-login", &[]);
    let cookie = log_in(&site, "bob");
    let start = Instant::now();
    let answer = site.request("POST /account/sessions/revoke-others", Some(&cookie), "");
    let taken = milliseconds(start.elapsed());
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let left = home.number(&format!(
        "SELECT count(*) FROM sessions JOIN users ON users.id = user_id
         WHERE user_id = {bob} AND generation = session_generation"
    ));
    assert_eq!(left, 1, "{answer}");
    site.terminate();
    let what = format!("log out everywhere: {} sessions, {}{note}", thousands(OF_ONE), home.kind());
    report.figure(&what, taken);
}
