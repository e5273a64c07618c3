//! No space, no right to write, no answer from the disk.

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

/// A small file system of its own, at `data` in a test's folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where nobody but the system's owner may mount.
    fn mount(dir: &TempDir, size: &str) -> Option<Self> {
        let path = dir.path().join("data");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        let is_mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !is_mounted {
            // Past the harness; the quota, below, shows the same without rights.
            let line = b"NOT RUN: a disk that is full needs root and mount; the quota stands in\n";
            std::io::stderr().write_all(line).unwrap();
        }
        is_mounted.then_some(SmallDisk(path))
    }

    /// Leaves not a byte.
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
        // Lazily: the site may still have files there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// System calls of a running process that fail, until it is dropped.
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
        // It must not be held up by what nobody reads.
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

/// Pages come, nothing that was not stored is acknowledged; and after `mend`, without a
/// restart, everything is as before.
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
    until("it is ready", || site.is_ready());
    site.assert_alive();
    assert_sound(&site.database());
    println!(
        "{what}: slowest refusal {slowest:?}, ready: {is_ready}, recovered within {recovered:?}"
    );
}

/// Ada, whose next page wants to write her last-seen time.
fn long_unseen_ada(site: &Site) -> Browser {
    let ada = site.registered("ada");
    Outsider::open(&site.database()).run(
        "UPDATE sessions SET last_seen_at = last_seen_at - 600, created_at = created_at - 600",
    );
    ada
}

#[test]
#[ignore = "just torture"]
fn a_full_disk_stops_writes_and_not_reads() {
    let dir = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(&dir, "6m") else { return };
    let mut site = Site::start(dir.path(), &[]);
    let mut ada = long_unseen_ada(&site);
    disk.fill();
    assert_writes_fail_and_pages_come("disk full", &mut site, &mut ada, || disk.empty());
}

#[test]
#[ignore = "just torture"]
fn a_disk_that_fills_up_under_sign_ups_loses_none_that_was_acknowledged() {
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
fn a_first_start_on_a_full_disk_says_so_and_the_next_one_works() {
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
fn a_quota_on_files_stops_writes_and_not_reads() {
    if !has(find("prlimit").is_some(), "prlimit") {
        return;
    }
    let dir = TempDir::new().unwrap();
    // As daemons run: a write beyond the limit is an error, not the end.
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
fn a_file_system_that_turns_read_only_or_fails_acknowledges_nothing() {
    if !has(find("strace").is_some(), "strace") {
        return;
    }
    // The second is the one that hurts: the write was taken, and is not on the disk.
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
fn a_file_or_folder_that_may_not_be_written_refuses_to_start_in_one_line() {
    let dir = folder();
    // A folder of nobody's, where the program may be read as well.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("program");
    fs::copy(crate::servers::program::built("rocket-login"), &program).unwrap();
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

/// Exit code 1, and one line, which is returned.
fn assert_refuses_to_start(mut command: Command) -> String {
    let output = command.env("ROCKET_PORT", "0").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("Error: "), "{error}");
    error.trim_end().to_owned()
}
