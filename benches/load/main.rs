//! The program's throughput under a real load generator: `just bench`.
//!
//! Each line of the table is compared with another load, usually the page without a session,
//! that is measured alternately on this machine. The ratios hold on other machines, but the
//! figures do not. `BENCH_SECONDS` is the time for one measurement (of log-ins, a third of it),
//! `BENCH_ROWS` the sizes of the table `sessions` to try, `BENCH_DATABASES` the databases to try,
//! `PROGRAMS` a folder with other programs. An argument (`just bench log-ins`) selects the part to
//! measure: `pages`, `traffic`, `log-ins` or `growth`.

mod growth;
mod home;
mod log_ins;
mod rows;
#[path = "../../tests/servers/mod.rs"]
mod servers;
mod sessions;
mod table;
mod traffic;
mod wrk;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use home::{Home, memory};
use servers::Cluster;
use table::Report;
use wrk::{Load, median};

fn main() {
    // `cargo test --benches` runs this as well.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if servers::find("wrk").is_none() {
        eprintln!("NOT RUN: the bench needs wrk (on Debian the package wrk)");
        std::process::exit(1);
    }

    let seconds = variable("BENCH_SECONDS", "8").parse().expect("BENCH_SECONDS is a number");
    let rows = variable("BENCH_ROWS", "1000,1000000");
    let rows: Vec<u64> = rows.split(',').map(|rows| rows.trim().parse().unwrap()).collect();

    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_asked = |name: &str| part.as_ref().is_none_or(|part| part == name);

    let report = &mut Report::default();
    let cluster = cluster(report);
    let sqlite = is_tried("sqlite").then_some(None);
    let kinds: Vec<_> = sqlite.into_iter().chain(cluster.as_ref().map(Some)).collect();

    let reference = Home::new(None);
    let reference = reference.start("rocket-login", &[]);
    let page = Load::get(&reference, "/");
    let warm = page.run(1);
    assert_eq!(warm.errors, 0, "the page answers");

    if is_asked("pages") {
        let measured = wrk::compare(seconds, |seconds| page.run(seconds).rate, |s| page.run(s));
        report.rate(table::PAGE, measured, "itself: the noise");
    }
    for cluster in kinds.iter().filter(|_| is_asked("pages")) {
        let home = Home::new(*cluster);
        let cookies = sessions::log_in_many(&home);
        sessions::pages(report, &page, &home, &cookies, "", seconds);
        sessions::writes(report, &page, &home, "", seconds);
    }
    for cluster in kinds.iter().filter(|_| is_asked("traffic")) {
        let home = Home::new(*cluster);
        sessions::log_in_many(&home);
        traffic::measure(report, &page, &home, "", seconds);
    }
    if is_asked("log-ins") {
        log_ins::measure(report, seconds);
    }
    for cluster in kinds.iter().filter(|_| is_asked("growth")) {
        for rows in &rows {
            growth::measure(report, &page, &Home::new(*cluster), *rows, seconds);
        }
    }
    if part.is_none() {
        small_figures(report);
    }

    report.print(&format!("BENCH_SECONDS={seconds} just bench {}", part.unwrap_or_default()));
}

/// Starts PostgreSQL with default durability: a socket, a local disk, `fsync` on. It does not if it
/// is not to be tried, or is not installed.
fn cluster(report: &mut Report) -> Option<Cluster> {
    if !servers::is_installed() {
        report.figure("on PostgreSQL", "NOT RUN: it is not installed".to_owned());
        return None;
    }
    is_tried("postgres").then(|| Cluster::with(&["listen_addresses="]))
}

fn is_tried(database: &str) -> bool {
    let all = variable("BENCH_DATABASES", "sqlite,postgres");
    all.split(',').any(|one| one.trim() == database)
}

/// Measures what no visitor waits for.
fn small_figures(report: &mut Report) {
    let size = fs::metadata(servers::program::built("rocket-login")).unwrap().len();
    report.figure("the binary", format!("{:.1} MB", size as f64 / 1e6));

    let times = (0..5).map(|_| Home::new(None).start_up().as_secs_f64()).collect();
    let time = Duration::from_secs_f64(median(times));
    report.figure("start on an empty folder, until /readyz", table::milliseconds(time));

    let home = Home::new(None);
    let site = home.start("rocket-login", &[]);
    sleep(Duration::from_secs(1));
    report
        .figure("memory at rest, nothing asked yet", format!("{:.0} MiB", memory(&site, "VmRSS")));
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
