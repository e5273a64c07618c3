//! Log-ins: how close they come to the speed of the bare hash function, and how they
//! affect other requests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argon2_rust::{Algorithm, Argon2, Params, Version};

use crate::home::{Client, Home, PASSWORD, memory, register};
use crate::servers::program::Program;
use crate::table::Report;
use crate::wrk::{Load, compare};

/// The pause between two requests for a page in the meantime: often enough for a p99, but
/// no load.
const PACE: Duration = Duration::from_millis(5);

/// The rounds are longer than others by this factor, because log-ins take a quarter of a
/// second, and those that the end of a round cuts off are not counted.
const LONGER: u64 = 3;

pub fn measure(report: &mut Report, seconds: u64) {
    let home = Home::new(None);
    let site = home.start("rocket-login", &[("ROCKET_THROTTLE", "{enabled=false}")]);
    register(&site, "ada");
    let before = look(&site, seconds, || ());

    let body = format!("{PASSWORD}&email=ada%40example.org");
    let log_ins = Load::post(&site, "/login", &body);
    let compared = compare(
        seconds,
        |seconds| bare(LONGER * seconds),
        |seconds| {
            let measured = log_ins.run(LONGER * seconds);
            // The site still hashes those that were cut off. That must not slow the other load.
            thread::sleep(Duration::from_secs(1));
            measured
        },
    );
    report.rate("log-ins, Argon2id as by default", compared, "bare Argon2id on all cores");

    report.times("/ looked at 200 times a second", "", before.0, before.1);
    let during = look(&site, seconds, || {
        log_ins.run(seconds);
    });
    report.times("the same while log-ins take all they can", "", during.0, during.1);
    report.figure("the most it took under log-ins", format!("{:.0} MiB", memory(&site, "VmHWM")));
    report.figure("memory after them", format!("{:.0} MiB", memory(&site, "VmRSS")));
}

/// Returns the median and the p99 of `/` during `act`, for at least `seconds`.
fn look(site: &Program, seconds: u64, act: impl FnOnce()) -> (Duration, Duration) {
    let is_over = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let (mut client, start, mut times) = (Client::of(site), Instant::now(), Vec::new());
            while start.elapsed() < Duration::from_secs(seconds) || !is_over.load(Ordering::SeqCst)
            {
                times.push(client.get("/", None));
                thread::sleep(PACE);
            }
            times
        });
        act();
        is_over.store(true, Ordering::SeqCst);
        looking.join().unwrap()
    });
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Returns the hashes per second on all cores. Like the site, it reuses the memory, but it
/// does nothing else.
fn bare(seconds: u64) -> f64 {
    let (count, start) = (AtomicU64::new(0), Instant::now());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::OWASP);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let (mut hasher, mut tag) = (argon2.hasher(), [0; 32]);
                while start.elapsed() < Duration::from_secs(seconds) {
                    let (password, salt) = (b"correct horse battery", b"somesalt12345678");
                    hasher.hash_into(password, salt, &mut tag).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}
