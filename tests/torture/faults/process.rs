//! The machine runs out of a resource, or the process gets a signal.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::outsider::assert_has_all;
use super::site::{BEHIND_PROXY, Site, UNTHROTTLED, after, until};
use crate::load;
use crate::servers::{signal, status_line};

#[test]
#[ignore = "just torture"]
fn exhausted_descriptors_delay_only_new_connections() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start_by(after("ulimit -n 200", dir.path()), dir.path());
    site.registered("ada");
    // An earlier connection keeps working, including writes, because the database is open.
    let mut early = TcpStream::connect(("127.0.0.1", site.port())).unwrap();
    early.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ask_again(&mut early, "GET /healthz", "");

    // Do not wait for connections that neither the site nor the system's queue accepts.
    let address = SocketAddr::from(([127, 0, 0, 1], site.port()));
    let connect = |wait| TcpStream::connect_timeout(&address, Duration::from_millis(wait));
    let crowd: Vec<_> = (0..400).map(|_| connect(20)).collect();
    until("no descriptor is free", || site.descriptors() >= 199);
    let answer = ask_again(&mut early, "POST /login", &super::site::form("ada"));
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    // No new connection is served in the meantime.
    let is_let_in = connect(200).is_ok_and(|mut late| {
        late.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        write!(late, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        late.read(&mut [0; 1]).is_ok()
    });
    assert!(!is_let_in);

    let start = Instant::now();
    drop(crowd);
    site.browser().log_in("ada").assert(303);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(site.is_ready());
    site.assert_alive();
    println!("200 descriptors, 400 connections: served again {took:?} after they went");
}

/// Sends a request on a connection that stays open. The answer must come in one piece.
fn ask_again(stream: &mut TcpStream, head: &str, body: &str) -> String {
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = vec![0; 8192];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// A group of processes with a limit on their memory.
struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// Makes the group. Returns `None` without the permission.
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("rocket-login-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
        {
            let group = PathBuf::from(root).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            // The file must exist already. Otherwise this is an ordinary folder.
            let file = fs::OpenOptions::new().write(true).open(group.join(file));
            if file.is_ok_and(|mut file| file.write_all(bytes.to_string().as_bytes()).is_ok()) {
                return Some(MemoryLimit(group));
            }
            let _ = fs::remove_dir(group);
        }
        None
    }

    fn peak(&self) -> u64 {
        let files = ["memory.peak", "memory.max_usage_in_bytes"];
        let read = files.iter().find_map(|file| fs::read_to_string(self.0.join(file)).ok());
        read.map_or(0, |text| text.trim().parse().unwrap())
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // The processes in the group may need a moment to end.
        let start = Instant::now();
        while fs::remove_dir(&self.0).is_err() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
#[ignore = "just torture"]
fn a_log_in_flood_fits_into_256_mebibytes() {
    let dir = TempDir::new().unwrap();
    let limit = MemoryLimit::new(256 * 1024 * 1024);
    let mut site = match &limit {
        Some(limit) => {
            let script = format!("echo $$ > '{}'", limit.0.join("cgroup.procs").display());
            let mut command = after(&script, dir.path());
            command.envs([BEHIND_PROXY]);
            Site::start_by(command, dir.path())
        }
        None => {
            let line = b"NOT RUN: a limit on memory needs a writable cgroup; its peak stands in\n";
            std::io::stderr().write_all(line).unwrap();
            Site::start(dir.path(), &[BEHIND_PROXY])
        }
    };
    let flood = load::flood(&site, 500);
    assert!(site.kib("VmHWM") < 256 * 1024);
    site.assert_alive();
    let peak = limit.as_ref().map_or(0, MemoryLimit::peak) / 1024 / 1024;
    assert!(peak <= 256, "{peak} MiB");
    println!("flood in 256 MiB: {flood}; the group's peak {peak} MiB, files included");
    drop(site);
}

#[test]
#[ignore = "just torture"]
fn a_sigterm_under_load_fails_no_request() {
    let dir = TempDir::new().unwrap();
    let drain = ("ROCKET_SITE", "{drain=\"1s\"}");
    let site = Site::start(dir.path(), &[drain, UNTHROTTLED]);
    let ada = site.registered("ada");
    let (is_leaving, count) = (AtomicBool::new(false), Mutex::new(0));
    std::thread::scope(|threads| {
        for client in 0..6 {
            let (site, is_leaving, count) = (&site, &is_leaving, &count);
            let mut ada = ada.clone();
            threads.spawn(move || {
                // Like a balancer, send nothing new once the site says that it is not ready.
                while !is_leaving.load(Ordering::SeqCst) {
                    let answer = match client {
                        0 | 1 => site.browser().try_post("/login", &super::site::form("ada")),
                        2 => site.browser().try_get("/login"),
                        _ => ada.try_get("/account"),
                    };
                    let answer = answer.unwrap_or_else(|error| panic!("{client}: {error}"));
                    assert!(matches!(answer.status, 200 | 303), "{}", answer.text);
                    *count.lock().unwrap() += 1;
                }
            });
        }
        threads.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            site.terminate();
            site.terminate();
            let start = Instant::now();
            while site.is_ready() {
                assert!(start.elapsed() < Duration::from_secs(1), "the site is still ready");
            }
            is_leaving.store(true, Ordering::SeqCst);
        });
    });
    let start = Instant::now();
    let path = site.database();
    assert_eq!(site.wait(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(!path.with_file_name("login.db-wal").exists(), "the database was not closed cleanly");
    let count = count.into_inner().unwrap();
    assert!(count > 50, "{count}");
    println!("SIGTERM under load: {count} requests, 0 failed, ended {took:?} after the last");
}

#[test]
#[ignore = "just torture"]
fn a_second_signal_does_not_interrupt_a_request_in_progress() {
    // Slow enough to be in progress when the signals come.
    let slow = ("ROCKET_PASSWORD", "{memory_kib=131072,iterations=4,concurrent_hashes=1}");
    for signals in [&["TERM", "TERM"] as &[_], &["INT"]] {
        let dir = TempDir::new().unwrap();
        let site = Site::start(dir.path(), &[slow]);
        let mut stream = site.browser().send("POST /register", &super::site::form("ada")).unwrap();
        // The form has reached the hashing by then.
        for _ in 0..20 {
            site.browser().get("/healthz").assert(200);
        }
        for name in signals {
            signal(name, site.id());
            std::thread::sleep(Duration::from_millis(20));
        }
        let start = Instant::now();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        assert_eq!(site.wait(), Some(0));
        println!("{signals:?} with a slow request: answered, ended after {:?}", start.elapsed());
    }
}

#[test]
#[ignore = "just torture"]
fn a_hang_up_signal_ends_the_site_at_once_without_loss() {
    // A service has no terminal, so the site does not handle this signal. Acknowledged writes
    // are still there.
    let dir = TempDir::new().unwrap();
    let site = Site::start(dir.path(), &[]);
    site.registered("ada");
    let path = site.database();
    // A process inherits ignored signals, for example under `nohup`.
    let ignored = u64::from_str_radix(&status_line(site.id(), "SigIgn"), 16).unwrap();
    assert!(ignored & 1 == 0, "the site was started with hang-ups ignored");
    signal("HUP", site.id());
    let status = site.status();
    assert_eq!(status.signal(), Some(1), "{status}");
    assert_has_all(&path, &["ada".to_owned()]);
    let site = Site::start(dir.path(), &[]);
    site.browser().log_in("ada").assert(303);
    println!("SIGHUP: ended at once, nothing lost");
}
