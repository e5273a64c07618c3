//! The table that is printed.

use std::fs;
use std::process::Command;
use std::time::Duration;

use comfy_table::{Table, presets};
use time::OffsetDateTime;

use crate::wrk::Measured;

/// The columns. `cpu` is the site's time per answer.
const COLUMNS: [&str; 7] = ["what", "figure", "p50", "p99", "cpu", "ratio", "to"];

/// The load that most lines are compared with.
pub const PAGE: &str = "/ without a session";

#[derive(Default)]
pub struct Report(Vec<[String; 7]>);

impl Report {
    /// Adds a line with a rate and times, compared with `to`.
    pub fn rate(&mut self, what: &str, (measured, ratio): (Measured, f64), to: &str) {
        let mut figure = match measured.rate {
            rate if rate < 1_000.0 => format!("{rate:.1}/s"),
            rate => format!("{}/s", thousands(rate as u64)),
        };
        if measured.errors > 0 {
            figure += &format!(", {} ERRORS", measured.errors);
        }
        let cpu = match measured.cpu.as_micros() {
            cpu if cpu < 1_000 => format!("{cpu} µs"),
            _ => milliseconds(measured.cpu),
        };
        let times = [milliseconds(measured.p50), milliseconds(measured.p99), cpu];
        self.add(what, figure, times, &format!("{ratio:.3}"), to);
    }

    /// Adds a line with times.
    pub fn times(&mut self, what: &str, figure: &str, p50: Duration, p99: Duration) {
        let times = [milliseconds(p50), milliseconds(p99), String::new()];
        self.add(what, figure.to_owned(), times, "", "");
    }

    /// Adds a line with only a figure.
    pub fn figure(&mut self, what: &str, figure: String) {
        self.add(what, figure, Default::default(), "", "");
    }

    fn add(&mut self, what: &str, figure: String, times: [String; 3], ratio: &str, to: &str) {
        // Show the progress.
        eprintln!("{what}: {figure} {ratio}");
        let [p50, p99, cpu] = times;
        self.0.push([what.into(), figure, p50, p99, cpu, ratio.into(), to.into()]);
    }

    /// Prints the table as Markdown.
    pub fn print(&self, command: &str) {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(COLUMNS).add_rows(&self.0);
        println!("{}, {}, commit {}", OffsetDateTime::now_utc().date(), machine(), commit());
        println!(
            "`{command}`: wrk, {} connections, on the same machine\n",
            crate::wrk::CONNECTIONS
        );
        println!("{table}");
    }
}

pub fn milliseconds(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        time if time < 10.0 => format!("{time:.2} ms"),
        time => format!("{time:.0} ms"),
    }
}

/// Formats a number like 1,000,000.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = cpus.lines().filter_map(|line| line.split_once(':'));
    let model = lines.find(|(key, _)| key.trim() == "model name").map(|(_, model)| model.trim());
    format!("{cores} cores of {}", model.unwrap_or("an unknown CPU"))
}

fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    match git.output() {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
