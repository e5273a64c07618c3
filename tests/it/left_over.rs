//! The tests leave no process behind, no matter how they were started and how they end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::servers::{Running, clean, free_port, signal, status_line};

/// This variable is set in a test that another test has started.
const NESTED: &str = "TEST_NESTED";

/// Starts a server that runs `script`, which starts processes with `$SLEEP`. They do not notice
/// the server's end. `number` identifies them; there are `count` of them with the server.
fn server(number: u32, script: &str, count: usize) -> Running {
    let mut command = clean("bash");
    command.args(["-c", &format!("SLEEP='sleep {number}'; {script} exec $SLEEP")]);
    let server = Running::start(command);
    until("all of them run", || processes(number).len() == count);
    server
}

/// One process in the server's group, one in its own group, and one whose parent has ended.
const WORKERS: &str = "$SLEEP & setsid $SLEEP & ($SLEEP &);";

/// Returns a number of seconds that no other test sleeps for.
fn unique() -> u32 {
    1_000_000_000 + u32::from(free_port()) * 10_000 + std::process::id() % 10_000
}

/// Returns the ids of the server `number` and of the processes that it has started.
fn processes(number: u32) -> Vec<u32> {
    let line = format!("sleep\0{number}\0").into_bytes();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|read| read == line))
        .collect()
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns a command that runs the test `name` of this file in its own process, after the
/// shell commands `script`.
fn nested(name: &str, script: &str) -> Command {
    let mut shell = clean("bash");
    shell.args(["-c", &format!("{script}\nexec \"$@\""), "bash"]);
    shell.arg(std::env::current_exe().unwrap());
    shell.args(["--exact", "--nocapture", &format!("left_over::{name}")]).env(NESTED, "yes");
    shell
}

fn is_nested() -> bool {
    std::env::var_os(NESTED).is_some()
}

/// Returns the text after `key` in the output of a nested test.
fn said(running: &mut Running, key: &str) -> String {
    let lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    let said =
        lines.map_while(Result::ok).find_map(|line| Some(line.split_once(key)?.1.to_owned()));
    said.expect("it is said")
}

#[test]
fn a_dropped_server_ends_with_all_processes_that_it_has_started() {
    let number = unique();
    drop(server(number, WORKERS, 4));
    assert_eq!(processes(number).len(), 0);

    // A server that was killed and has left processes behind.
    let mut server = server(number, "$SLEEP & ($SLEEP &);", 3);
    signal("KILL", server.id());
    server.wait();
    assert_eq!(processes(number).len(), 2);
    drop(server);
    assert_eq!(processes(number).len(), 0);
}

#[test]
fn a_server_ends_when_the_test_that_started_it_is_killed() {
    if is_nested() {
        let number = unique();
        let server = server(number, WORKERS, 4);
        println!("number={number}");
        std::thread::sleep(Duration::from_secs(60));
        return drop(server);
    }

    for name in ["KILL", "INT", "TERM", "HUP"] {
        let mut test = nested("a_server_ends_when_the_test_that_started_it_is_killed", "");
        test.stdout(Stdio::piped());
        let mut test = Running::spawn(test);
        let number = said(&mut test, "number=").parse().unwrap();
        assert_eq!(processes(number).len(), 4);
        signal(name, test.id());
        assert!(!test.wait().success());
        // They must end before `test` is dropped, which would end them as well.
        until("they have ended", || processes(number).is_empty());
    }
}

#[test]
fn a_server_inherits_neither_descriptors_nor_ignored_signals() {
    if is_nested() {
        // The two descriptors are open here, because Rust's library does not close them.
        assert!(["7", "19"].iter().all(|open| Path::new("/proc/self/fd").join(open).exists()));
        let mut command = clean("sleep");
        command.arg(unique().to_string());
        let server = Running::start(command);
        until("it runs", || {
            fs::read_to_string(format!("/proc/{}/comm", server.id())).unwrap() == "sleep\n"
        });
        let open = fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().flatten();
        let mut open: Vec<_> = open.map(|entry| entry.file_name().into_string().unwrap()).collect();
        open.sort();
        assert_eq!(open, ["0", "1", "2"]);
        for name in ["SigIgn", "SigBlk"] {
            let set = u64::from_str_radix(&status_line(server.id(), name), 16).unwrap();
            // 32 and 33 are the C library's own: no program can set or reset them.
            assert_eq!(set & !(0b11 << 31), 0, "{name}");
        }
        return;
    }

    let script = "exec 7</proc/self/stat 19</proc/self/stat; trap '' HUP INT QUIT TERM USR1";
    let name = "a_server_inherits_neither_descriptors_nor_ignored_signals";
    let done = Running::output(nested(name, script), "");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn skipped_tests_are_reported_by_name() {
    if is_nested() {
        crate::servers::has(false, "a tool that is nowhere");
        crate::servers::has(true, "a tool that is there");
        return;
    }

    let name = "skipped_tests_are_reported_by_name";
    let run = |ci: &str| {
        let mut test = clean("env");
        test.args(["-u", "CI", ci, &format!("{NESTED}=yes")]).arg(std::env::current_exe().unwrap());
        test.args(["--exact", &format!("left_over::{name}")]);
        let done = Running::output(test, "");
        let said = [done.stdout, done.stderr].map(|said| String::from_utf8(said).unwrap());
        (done.status.success(), said)
    };
    let (is_ok, [_, said]) = run("OTHER=1");
    assert!(is_ok);
    assert_eq!(
        said,
        format!(
            "NOT RUN: 1 that report \"ok\" but need a tool that is nowhere \
             (./check --install): left_over::{name}\n"
        )
    );

    // In CI, a skipped test is a failure.
    let (is_ok, [said, _]) = run("CI=true");
    assert!(!is_ok && said.contains("needs a tool that is nowhere"), "{said}");
}
