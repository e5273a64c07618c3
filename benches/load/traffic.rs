//! The traffic of many people: each request comes from another session, and is that session's first
//! one in a minute, so that its last-seen time is due.
//!
//! The other loads ask for a few sessions again and again. They show nothing of what this costs.

use std::thread;
use std::time::{Duration, Instant};

use crate::home::{Client, Home, memory, now, seal};
use crate::rows;
use crate::servers::program::Program;
use crate::table::{PAGE, Report, thousands};
use crate::wrk::{CONNECTIONS, Load, compare, rounds};

/// The sessions that are used within a minute. Each user has ten.
const SESSIONS: usize = 200_000;

/// More sessions than are asked for in a second.
const PER_SECOND: u64 = 50_000;

/// Settings that make a last-seen time due after six seconds instead of sixty, a tenth of this.
const SOON_DUE: [(&str, &str); 1] = [("ROCKET_SESSION", "{idle_timeout=\"60s\"}")];

/// Measures `/` with sessions that the site has not read yet, and then with sessions that it has
/// all read a moment ago. The database is there, with a user.
pub fn measure(report: &mut Report, page: &Load, home: &Home, note: &str, seconds: u64) {
    let of_round = (PER_SECOND * seconds / rounds(seconds)) as usize;
    let (cookies, ids) = seal(SESSIONS.max(of_round * rounds(seconds) as usize));
    rows::add_known(home, &ids, now());
    let kind = home.kind();

    let mut site = home.start("rocket-login", &[]);
    let mut rounds_of = cookies.chunks_exact(of_round);
    let compared = compare(
        seconds,
        |seconds| page.run(seconds).rate,
        |seconds| {
            let cookies = rounds_of.next().expect("there is one for each round");
            Load::get(&site, "/").with(cookies).run_once(seconds)
        },
    );
    report.rate(&format!("/ logged in, sessions read first, due, {kind}{note}"), compared, PAGE);
    let all = &cookies[..SESSIONS];
    let taken = visit(&site, all);
    let what = format!("memory, {} sessions seen, {kind}{note}", thousands(SESSIONS as u64));
    let figure = format!("{:.0} MiB, in {:.0} s", memory(&site, "VmRSS"), taken.as_secs_f64());
    report.figure(&what, figure);
    site.terminate();

    // Each round asks for other sessions than the one before, so none comes again in six seconds. The
    // first visit makes each session end earlier, as the settings now say. That is a change, so each
    // one is read again at the second visit.
    let mut site = home.start("rocket-login", &SOON_DUE);
    for _ in 0..2 {
        visit(&site, all);
        thread::sleep(Duration::from_secs(6));
    }
    let mut rounds_of = all.chunks_exact(of_round).cycle();
    let compared = compare(
        seconds,
        |seconds| page.run(seconds).rate,
        |seconds| {
            let cookies = rounds_of.next().expect("it goes on");
            Load::get(&site, "/").with(cookies).run_once(seconds)
        },
    );
    report.rate(&format!("/ logged in, sessions in memory, due, {kind}{note}"), compared, PAGE);
    site.terminate();
}

/// Requests `/` with each of `cookies` once, and returns how long it took.
fn visit(site: &Program, cookies: &[String]) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for cookies in cookies.chunks(cookies.len().div_ceil(CONNECTIONS)) {
            scope.spawn(move || {
                let mut client = Client::of(site);
                for cookie in cookies {
                    client.get("/", Some(cookie));
                }
            });
        }
    });
    start.elapsed()
}
