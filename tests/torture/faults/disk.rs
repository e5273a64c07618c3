//! A full disk, missing permissions, and a failing disk.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::outsider::{Outsider, assert_has_all, assert_sound};
use super::site::{Browser, CHEAP, Site, UNTHROTTLED, after, bare, until};
use crate::servers::{Running, clean, find, folder, has, signal, unprivileged};

/// A small file system at `data` in a test's folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts the file system. Returns `None` if that needs root.
    fn mount(dir: &TempDir, size: &str) -> Option<Self> {
        let path = dir.path().join("data");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        let is_mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !is_mounted {
            // Bypass the harness, which hides output. The quota below tests the same without root.
            let line = b"NOT RUN: a disk that is full needs root and mount; the quota stands in\n";
            std::io::stderr().write_all(line).unwrap();
        }
        is_mounted.then_some(SmallDisk(path))
    }

    /// Fills the disk to the last byte.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while filler.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Unmount lazily, because the site may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Lets system calls of a running process fail until it is dropped.
struct Failing(Running);

impl Failing {
    fn start(site: &Site, call: &str, error: &str) -> Self {
        let mut strace = clean("strace");
        strace.args(["-f", "-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:error={error}")]);
        strace.args(["-p", &site.id().to_string()]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut strace = Running::spawn(strace);
        let mut output = BufReader::new(strace.child.stderr.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        // strace must not block because nobody reads its output.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Failing(strace)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        signal("INT", self.0.id());
        self.0.wait();
    }
}

/// Asserts that pages come while no write is acknowledged, and that everything works again
/// after `mend` without a restart.
fn assert_writes_fail_and_pages_come(
    what: &str,
    site: &mut Site,
    ada: &mut Browser,
    mend: impl FnOnce(),
) {
    let slowest = site.assert_no_write_is_acknowledged(ada);
    let is_ready = site.is_ready();
    for path in ["/", "/login", "/register", "/account", "/healthz"] {
        ada.get(path).assert(200);
    }
    assert!(ada.is_logged_in());
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");

    mend();
    let recovered = until("a log-in", || site.browser().log_in("ada").status == 303);
    site.browser().register("carol").assert(303);
    ada.log_out().assert(303);
    assert!(!ada.is_logged_in());
    until("the site is ready", || site.is_ready());
    site.assert_alive();
    assert_sound(&site.database());
    println!(
        "{what}: slowest refusal {slowest:?}, ready: {is_ready}, recovered within {recovered:?}"
    );
}

/// Returns Ada's browser, whose next page tries to write her last-seen time.
fn long_unseen_ada(site: &Site) -> Browser {
    let ada = site.registered("ada");
    Outsider::open(&site.database()).run(
        "UPDATE sessions SET last_seen_at = last_seen_at - 600, created_at = created_at - 600",
    );
    ada
}

#[test]
#[ignore = "just torture"]
fn a_full_disk_stops_writes_but_not_reads() {
    let dir = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(&dir, "6m") else { return };
    let mut site = Site::start(dir.path(), &[]);
    let mut ada = long_unseen_ada(&site);
    disk.fill();
    assert_writes_fail_and_pages_come("disk full", &mut site, &mut ada, || disk.empty());
}

#[test]
#[ignore = "just torture"]
fn a_disk_that_fills_up_loses_no_acknowledged_sign_up() {
    let dir = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(&dir, "6m") else { return };
    let mut site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
    let (names, refused) = (Mutex::new(Vec::new()), AtomicU32::new(0));
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (site, names, refused) = (&site, &names, &refused);
            threads.spawn(move || {
                for number in 0..3_000 {
                    if refused.load(Ordering::Relaxed) > 50 {
                        break;
                    }
                    let name = format!("t{thread}n{number}");
                    match site.browser().register(&name).status {
                        303 => names.lock().unwrap().push(name),
                        503 => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        status => panic!("{status}"),
                    }
                }
            });
        }
    });
    let (names, refused) = (names.into_inner().unwrap(), refused.into_inner());
    assert!(refused > 50, "the disk did not fill up: {} accounts", names.len());

    let larger = Command::new("mount").args(["-o", "remount,size=40m"]).arg(&disk.0).status();
    assert!(larger.unwrap().success());
    until("a sign-up", || site.browser().register("carol").status == 303);
    site.assert_alive();
    let path = site.database();
    site.kill();
    assert_has_all(&path, &names);
    assert_sound(&path);
    println!("disk filling up: {} acknowledged, 0 lost, {refused} refused", names.len());
}

#[test]
#[ignore = "just torture"]
fn a_first_start_on_a_full_disk_reports_it_and_the_next_one_works() {
    let dir = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(&dir, "1m") else { return };
    disk.fill();
    let line = assert_refuses_to_start(bare(dir.path()));
    disk.empty();
    let site = Site::start(dir.path(), &[]);
    site.registered("ada");
    println!("start on a full disk: {line}");
}

#[test]
#[ignore = "just torture"]
fn a_file_size_limit_stops_writes_but_not_reads() {
    if !has(find("prlimit").is_some(), "prlimit") {
        return;
    }
    let dir = TempDir::new().unwrap();
    // As with many daemons, a write beyond the limit is an error and does not kill the site.
    let mut site = Site::start_by(after("trap '' XFSZ", dir.path()), dir.path());
    let mut ada = long_unseen_ada(&site);
    let log = dir.path().join("data/login.db-wal").metadata().unwrap().len();
    let limit = |size: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg("--pid").arg(site.id().to_string()).arg(format!("--fsize={size}:"));
        assert!(prlimit.status().unwrap().success());
    };
    limit(&log.to_string());
    let id = site.id().to_string();
    assert_writes_fail_and_pages_come("quota", &mut site, &mut ada, || {
        let mut prlimit = Command::new("prlimit");
        assert!(prlimit.args(["--pid", &id, "--fsize=unlimited:"]).status().unwrap().success());
    });
}

#[test]
#[ignore = "just torture"]
fn no_write_is_acknowledged_on_a_failing_or_read_only_file_system() {
    if !has(find("strace").is_some(), "strace") {
        return;
    }
    // The second case is the dangerous one: the write succeeded but is not on the disk.
    for (call, error) in [("pwrite64", "EROFS"), ("fsync,fdatasync", "EIO"), ("pwrite64", "EIO")] {
        let dir = TempDir::new().unwrap();
        let mut site = Site::start(dir.path(), &[]);
        let mut ada = long_unseen_ada(&site);
        let failing = Failing::start(&site, call, error);
        let what = format!("{call} = {error}");
        assert_writes_fail_and_pages_come(&what, &mut site, &mut ada, || drop(failing));
    }
}

#[test]
#[ignore = "just torture"]
fn a_file_or_folder_without_write_permission_stops_the_start_with_one_line() {
    let dir = folder();
    // `nobody` must be able to read the program in this folder.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("program");
    crate::servers::program::copy(crate::servers::program::built("rocket-login"), &program);
    let start = || {
        let mut command = clean(&program);
        command.current_dir(dir.path()).env_clear().env("ROCKET_CLI_COLORS", "false");
        command.env("ROCKET_SECRET_KEY", "dGhlIGtleSBvZiB0aGUgdG9ydHVyZSB0ZXN0cyEhISE=");
        unprivileged(command)
    };
    let data = dir.path().join("data");
    let file = data.join("login.db");
    let allow =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    let migrated = start().arg("migrate").output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    for (path, forbidden, allowed) in
        [(file.as_path(), 0o444, 0o600), (&data, 0o555, 0o700), (&data, 0o000, 0o700)]
    {
        allow(path, forbidden);
        let line = assert_refuses_to_start(start());
        allow(path, allowed);
        assert!(["data/login.db", "readonly"].iter().any(|why| line.contains(why)), "{line}");
        println!("mode {forbidden:03o}: {line}");
    }
    let _site = Site::start_by(start(), dir.path());
}

/// Asserts that the start fails with exit code 1 and one line. Returns the line.
fn assert_refuses_to_start(mut command: Command) -> String {
    let output = command.env("ROCKET_PORT", "0").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("Error: "), "{error}");
    error.trim_end().to_owned()
}
