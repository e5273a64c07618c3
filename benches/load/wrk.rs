//! The load generator `wrk`, from Debian's package.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::servers::program::Program;

/// As many as at a small site's busiest moment, and enough to keep two cores busy.
pub const CONNECTIONS: usize = 32;

/// The seconds per round when two loads are measured alternately, so that a disturbance or
/// a change of the processor's speed affects both.
const ROUND: u64 = 2;

/// A request to repeat.
pub struct Load {
    process: u32,
    url: String,
    method: &'static str,
    path: &'static str,
    body: String,
    cookies: NamedTempFile,
}

/// The result of one run, or the median of several.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// The processor time of the site's process per answer, without other processes.
    pub cpu: Duration,
    /// The total number of answers.
    pub requests: u64,
    /// The number of refused, broken or late requests.
    pub errors: u64,
}

impl Load {
    /// `GET path` of `site`, without a cookie.
    pub fn get(site: &Program, path: &'static str) -> Self {
        Load {
            process: site.id(),
            url: format!("http://127.0.0.1:{}", site.port()),
            method: "GET",
            path,
            body: String::new(),
            cookies: lines(&[String::new()]),
        }
    }

    /// `POST path` with the form `body`.
    pub fn post(site: &Program, path: &'static str, body: &str) -> Self {
        Load { method: "POST", body: body.to_owned(), ..Load::get(site, path) }
    }

    /// Sends each of `cookies` in turn.
    pub fn with(self, cookies: &[String]) -> Self {
        Load { cookies: lines(cookies), ..self }
    }

    /// Runs the load once for `seconds`. Each cookie is sent only once: a request that comes round
    /// to the first cookie again counts as an error.
    pub fn run_once(&self, seconds: u64) -> Measured {
        let (measured, again) = self.measure(seconds);
        Measured { errors: measured.errors + again, ..measured }
    }

    /// Runs the load once for `seconds`.
    pub fn run(&self, seconds: u64) -> Measured {
        self.measure(seconds).0
    }

    /// Runs the load, and returns how many requests sent a cookie that was sent before.
    fn measure(&self, seconds: u64) -> (Measured, u64) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/wrk.lua");
        let mut wrk = Command::new("wrk");
        wrk.args(["-t", "2", "-c", &CONNECTIONS.to_string(), "-d", &format!("{seconds}s")]);
        wrk.args(["--timeout", "10s", "-s", script, &self.url, "--"]);
        wrk.args([self.method, self.path, &self.body]).arg(self.cookies.path());
        let before = cpu(self.process);
        let done = wrk.output().expect("wrk starts");
        let cpu = cpu(self.process) - before;
        let output = String::from_utf8_lossy(&done.stdout);
        let said = || format!("{output}{}", String::from_utf8_lossy(&done.stderr));
        let numbers = output.lines().find_map(|line| line.strip_prefix("DONE "));
        let numbers = numbers.unwrap_or_else(|| panic!("{}", said())).split(' ');
        let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
        let [requests, microseconds, p50, p99, errors, again] = numbers[..] else {
            panic!("{}", said())
        };
        let measured = Measured {
            rate: requests as f64 * 1e6 / microseconds as f64,
            p50: Duration::from_micros(p50),
            p99: Duration::from_micros(p99),
            cpu: cpu.div_f64(requests.max(1) as f64),
            requests,
            errors,
        };
        (measured, again)
    }
}

/// Measures `other` and `this` alternately, each for `seconds` in total. Returns the result
/// of `this` and the ratio of its rate to the other's.
pub fn compare(
    seconds: u64,
    mut other: impl FnMut(u64) -> f64,
    mut this: impl FnMut(u64) -> Measured,
) -> (Measured, f64) {
    let rounds = rounds(seconds);
    let (mut ratios, mut all) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let beside = other(seconds / rounds);
        let measured = this(seconds / rounds);
        ratios.push(measured.rate / beside);
        all.push(measured);
    }
    let times = |time: fn(&Measured) -> Duration| {
        Duration::from_secs_f64(median(all.iter().map(|one| time(one).as_secs_f64()).collect()))
    };
    let measured = Measured {
        rate: median(all.iter().map(|one| one.rate).collect()),
        p50: times(|one| one.p50),
        p99: times(|one| one.p99),
        cpu: times(|one| one.cpu),
        requests: all.iter().map(|one| one.requests).sum(),
        errors: all.iter().map(|one| one.errors).sum(),
    };
    (measured, median(ratios))
}

/// The number of rounds of [`compare()`].
pub fn rounds(seconds: u64) -> u64 {
    (seconds / ROUND).max(1)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// Returns the processor time of the process so far.
pub fn cpu(process: u32) -> Duration {
    // "id (name) state …"; the two numbers are in hundredths of a second.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn lines(lines: &[String]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    file
}
