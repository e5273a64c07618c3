//! Pages with a session, and writes to sessions.

use std::thread;
use std::time::Duration;

use crate::home::{Home, cookie, log_in, log_in_like_a_browser, register};
use crate::servers::program::Program;
use crate::table::{PAGE, Report, thousands};
use crate::wrk::{CONNECTIONS, Load, compare, rounds};

/// Far more than connections, so that each request uses another session.
const SESSIONS: usize = 1_000;

/// Settings for a thousand quick log-ins. The cost of the hash does not matter for
/// pages.
const CHEAP: [(&str, &str); 2] =
    [("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}"), ("ROCKET_THROTTLE", "{enabled=false}")];

/// Makes the accounts of `ada` and `bob`, and a thousand sessions of `ada`.
pub fn log_in_many(home: &Home) -> Vec<String> {
    let mut site = home.start("rocket-login", &CHEAP);
    register(&site, "ada");
    register(&site, "bob");
    const THREADS: usize = 8;
    let cookies = thread::scope(|scope| {
        let log_in = || (0..SESSIONS / THREADS).map(|_| log_in(&site, "ada")).collect();
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(log_in)).collect();
        let logged_in = threads.into_iter().map(|thread| thread.join().unwrap());
        logged_in.flat_map(|cookies: Vec<String>| cookies).collect()
    });
    site.terminate();
    cookies
}

/// Measures `/` with one session, with all that a browser sends, and with a thousand sessions, and the
/// account page.
pub fn pages(
    report: &mut Report,
    page: &Load,
    home: &Home,
    cookies: &[String],
    note: &str,
    seconds: u64,
) {
    let mut site = home.start("rocket-login", &[]);
    let shown = site.request("GET /", Some(&cookies[0]), "");
    assert!(shown.contains("ada@example.org"), "{shown}");
    let browsers = [log_in_like_a_browser(&site, "bob")];
    let many = format!("logged in, {} sessions by turns", thousands(SESSIONS as u64));
    for (path, which, cookies) in [
        ("/", "logged in, one session", &cookies[..1]),
        ("/", "logged in, with all cookies of a browser", &browsers),
        ("/", &many, cookies),
        ("/account", "of one user", &browsers),
    ] {
        let load = Load::get(&site, path).with(cookies);
        let compared = compare(seconds, |seconds| page.run(seconds).rate, |s| load.run(s));
        report.rate(&format!("{path} {which}, {}{note}", home.kind()), compared, PAGE);
    }
    site.terminate();
}

/// Measures a durable write per request with `examples/views.rs`, to one session and to one
/// for each connection.
pub fn writes(report: &mut Report, page: &Load, home: &Home, note: &str, seconds: u64) {
    let mut site = home.start("views", &[]);
    for sessions in [1, CONNECTIONS] {
        let cookies: Vec<_> =
            (0..sessions).map(|_| cookie(&site.request("GET /views", None, ""))).collect();
        let load = Load::get(&site, "/views").with(&cookies);
        let compared = compare(seconds, |seconds| page.run(seconds).rate, |s| load.run(s));

        // The requests that the end of a round cuts off may have been counted or not.
        thread::sleep(Duration::from_millis(200));
        let counted: u64 = cookies.iter().map(|cookie| views(&site, cookie) - 2).sum();
        let (least, open) = (compared.0.requests, rounds(seconds) * CONNECTIONS as u64);
        let all = least..=least + open;
        assert!(all.contains(&counted), "{counted} views were counted of {all:?}");

        let what = match sessions {
            1 => "a write per request, one session".to_owned(),
            many => format!("a write per request, {many} sessions"),
        };
        report.rate(&format!("{what}, {}{note}", home.kind()), compared, PAGE);
    }
    site.terminate();
}

/// Returns the number of views of the session, including this one.
fn views(site: &Program, cookie: &str) -> u64 {
    let answer = site.request("GET /views", Some(cookie), "");
    let count = answer.rsplit_once("views: ").and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("{answer}"))
}
