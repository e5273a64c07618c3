//! Every acknowledged write was synced to the disk before, as `strace` shows.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::servers::client::{Client, header, status};
use crate::servers::program::session_cookie;
use crate::servers::{find, has};
use crate::support::{Programs, form, is_long};

const WRITERS: usize = 8;

/// A span of time in microseconds since 1970, like the times of `strace`.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64
}

/// Returns the number of writes without a complete sync between the request and the
/// answer.
fn unsynced(writes: &[Span], syncs: &[Span]) -> usize {
    let is_in = |write: &Span, sync: &Span| write.start <= sync.start && sync.end <= write.end;
    writes.iter().filter(|write| !syncs.iter().any(|sync| is_in(write, sync))).count()
}

/// Returns the successful syncs of the write-ahead log in the output of
/// `strace -f -y -ttt -T`:
///
/// ```text
/// 12 1700000000.000100 fdatasync(9</data/login.db-wal>) = 0 <0.000200>
/// 12 1700000000.000100 fdatasync(9</data/login.db-wal> <unfinished ...>
/// 12 1700000000.000300 <... fdatasync resumed>) = 0 <0.000200>
/// ```
fn syncs(trace: &str) -> Vec<Span> {
    // The unfinished call of each thread: its start, and whether it syncs the log.
    let mut begun: HashMap<&str, (u64, bool)> = HashMap::new();
    let mut syncs = Vec::new();
    for line in trace.lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(time)) = (words.next(), words.next().and_then(micros)) else {
            continue;
        };
        let is_log = line.contains("-wal>");
        if line.ends_with("<unfinished ...>") {
            begun.insert(thread, (time, is_log));
            continue;
        }
        let Some((_, took)) = line.rsplit_once(" = 0 <") else { continue };
        let Some(took) = took.strip_suffix('>').and_then(micros) else { continue };
        let span = match line.contains(" resumed>") {
            true => begun.remove(thread).map(|(start, is_log)| (start, time, is_log)),
            false => Some((time, time + took, is_log)),
        };
        syncs.extend(span.filter(|span| span.2).map(|(start, end, _)| Span { start, end }));
    }
    syncs
}

/// Returns a decimal such as `12.000345` in millionths.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').filter(|(_, part)| part.len() == 6)?;
    Some(whole.parse::<u64>().ok()? * 1_000_000 + part.parse::<u64>().ok()?)
}

/// Does one act, which must be acknowledged, and returns its span and the answer.
fn act(client: &mut Client, head: &str, cookie: Option<&str>, body: &str) -> (Span, String) {
    let start = now();
    let answer = client.ask(head, cookie, body).expect("an answer");
    let span = Span { start, end: now() };
    assert!(matches!(status(&answer), 200 | 303), "{answer}");
    (span, answer)
}

/// Writes to one session `writes` times, one after the other.
fn count(port: u16, writes: usize) -> Vec<Span> {
    let mut client = Client::new(port);
    let (first, answer) = act(&mut client, "GET /views", None, "");
    let cookie = session_cookie(&answer);
    let rest = (1..writes).map(|_| {
        let (span, answer) = act(&mut client, "GET /views", Some(&cookie), "");
        assert_eq!(header(&answer, "set-cookie"), None);
        span
    });
    [first].into_iter().chain(rest).collect()
}

/// For each account, signs up, logs out, logs in and renews the token.
fn come_and_go(port: u16, accounts: usize) -> Vec<Span> {
    let mut client = Client::new(port);
    let mut spans = Vec::new();
    for number in 0..accounts {
        let form = form(&format!("user{number}@example.org"));
        let (signed_up, answer) = act(&mut client, "POST /register", None, &form);
        let cookie = session_cookie(&answer);
        let (out, _) = act(&mut client, "POST /logout", Some(&cookie), "");
        let (logged_in, answer) = act(&mut client, "POST /login", None, &form);
        let cookie = session_cookie(&answer);
        let (renamed, _) = act(&mut client, "POST /reauthenticate", Some(&cookie), &form);
        spans.extend([signed_up, out, logged_in, renamed]);
    }
    spans
}

/// Kills the traced program, waits for the end of the trace, and returns its syncs.
fn stop(programs: &Programs, trace: &Path) -> Vec<Span> {
    programs.kill_alone(0);
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(trace).unwrap();
        if text.trim_end().ends_with("+++ killed by SIGKILL +++") {
            return syncs(&text);
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "just torture"]
fn every_acknowledged_write_is_synced_first() {
    let Some(strace) = find("strace") else {
        has(false, "strace");
        return;
    };
    let start = |name| {
        let dir = TempDir::new().unwrap();
        let trace = dir.path().join("trace");
        // With `-D` the program is our child, and the tracer ends with it.
        let options = "-D -f -q -y -ttt -T --seccomp-bpf -e trace=fsync,fdatasync -o";
        let tracer = [strace.to_str().unwrap()].into_iter().chain(options.split(' '));
        let tracer: Vec<&str> = tracer.chain([trace.to_str().unwrap()]).collect();
        let programs = Programs::traced(dir, None, &[name], &tracer);
        (programs.all[0].port, programs, trace)
    };
    let each = if is_long() { 2_000 } else { 200 };

    // Two writes that do not overlap cannot share a sync.
    let (port, programs, trace) = start("views");
    let alone = count(port, each);
    let syncs_alone = stop(&programs, &trace);
    assert!(syncs_alone.len() >= alone.len(), "{} for {}", syncs_alone.len(), alone.len());
    assert_eq!(unsynced(&alone, &syncs_alone), 0, "of {each} writes one at a time");

    let (port, programs, trace) = start("rocket-login");
    let pages = come_and_go(port, each / 8);
    let syncs_of_pages = stop(&programs, &trace);
    assert_eq!(unsynced(&pages, &syncs_of_pages), 0, "of {} acts on pages", pages.len());

    // Simultaneous writes may share a sync.
    let (port, programs, trace) = start("views");
    let together: Vec<Span> = std::thread::scope(|scope| {
        let writers = [(); WRITERS].map(|()| scope.spawn(|| count(port, each / 2)));
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let syncs_together = stop(&programs, &trace);
    assert_eq!(unsynced(&together, &syncs_together), 0, "of {} at once", together.len());

    println!(
        "sync: {} writes one at a time with {} syncs of the log, {} acts on pages with {}, {} \
         writes of {WRITERS} at once with {}; none acknowledged before its sync",
        alone.len(),
        syncs_alone.len(),
        pages.len(),
        syncs_of_pages.len(),
        together.len(),
        syncs_together.len()
    );
}

#[test]
fn the_sync_test_detects_an_acknowledgment_before_the_sync() {
    let trace = "\
12 1700000000.000100 fdatasync(9</data/login.db-wal>) = 0 <0.000200>
13 1700000000.000500 fdatasync(9</data/login.db-wal> <unfinished ...>
12 1700000000.000600 fdatasync(8</data/login.db>) = 0 <0.000010>
13 1700000000.000900 <... fdatasync resumed>) = 0 <0.000400>
12 1700000000.001000 fdatasync(9</data/login.db-wal>) = -1 EIO (Input/output error) <0.000010>
13 1700000000.002000 +++ killed by SIGKILL +++";
    let syncs = syncs(trace);
    assert_eq!(syncs.len(), 2, "{syncs:?}");
    let second = micros("1700000000.000000").unwrap();
    let unsynced =
        |start, end| unsynced(&[Span { start: second + start, end: second + end }], &syncs);
    assert_eq!(unsynced(50, 350), 0);
    assert_eq!(unsynced(450, 950), 0);
    assert_eq!(unsynced(50, 250), 1, "an acknowledgment during the sync was missed");
    assert_eq!(unsynced(150, 450), 1, "a sync from before the request was counted");
    assert_eq!(unsynced(550, 700), 1, "a sync of another file was counted");
    assert_eq!(unsynced(950, 1_500), 1, "a failed sync was counted");
}
