//! The database file is locked, missing, replaced or ruined.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::outsider::{Outsider, assert_has_all, assert_sound};
use super::site::{CHEAP, Site, UNTHROTTLED, bare, until};

/// The time limit for a page that writes nothing.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
#[ignore = "just torture"]
fn a_write_waits_for_a_lock_of_one_second() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[]);
    site.registered("ada");
    let mut other = Outsider::open(&site.database());
    other.run("BEGIN IMMEDIATE");
    let answer = std::thread::scope(|threads| {
        let log_in = threads.spawn(|| site.browser().log_in("ada"));
        std::thread::sleep(Duration::from_secs(1));
        other.run("ROLLBACK");
        log_in.join().unwrap()
    });
    answer.assert(303);
    assert!(answer.took >= Duration::from_millis(900), "{:?}", answer.took);
    assert!(answer.took < Duration::from_secs(3), "{:?}", answer.took);
    site.assert_alive();
    println!("locked for 1 s: log-in done after {:?}", answer.took);
}

#[test]
#[ignore = "just torture"]
fn a_start_waits_for_a_file_that_opens_slowly() {
    let dir = TempDir::new().unwrap();
    let site = Site::start(dir.path(), &[]);
    site.registered("ada");
    let path = site.database();
    drop(site);
    // A disk may be busy like this with the log after a crash. The time is longer than the
    // limit for a request.
    let mut other = Outsider::open(&path);
    other.run("PRAGMA locking_mode = EXCLUSIVE; UPDATE users SET email = email");
    let start = Instant::now();
    let site = std::thread::scope(|threads| {
        threads.spawn(move || {
            std::thread::sleep(Duration::from_millis(2_500));
            drop(other);
        });
        Site::start(dir.path(), &[])
    });
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(2_500), "{took:?}");
    site.browser().log_in("ada").assert(303);
    println!("not to be opened for 2.5 s: started after {took:?}");
}

#[test]
#[ignore = "just torture"]
fn a_lock_of_twelve_seconds_stops_writes_but_not_pages() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[]);
    let ada = site.registered("ada");
    let mut other = Outsider::open(&site.database());
    other.run("UPDATE sessions SET last_seen_at = last_seen_at - 600");
    other.run("BEGIN IMMEDIATE");
    let is_locked = AtomicBool::new(true);
    let (refusals, pages) = std::thread::scope(|threads| {
        // There are more writers than connections.
        let writers: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| {
                    let mut refusals = Vec::new();
                    while is_locked.load(Ordering::Relaxed) {
                        let answer = site.browser().log_in("ada");
                        // The last one may have succeeded.
                        if is_locked.load(Ordering::Relaxed) {
                            answer.assert(503).assert_plain();
                            assert!(answer.header("retry-after").is_some(), "{}", answer.text);
                            refusals.push(answer.took);
                        }
                    }
                    refusals
                })
            })
            .collect();
        let reader = threads.spawn(|| {
            let (mut ada, mut pages) = (ada.clone(), Vec::new());
            while is_locked.load(Ordering::Relaxed) {
                for path in ["/account", "/login", "/"] {
                    let page = ada.get(path);
                    page.assert(200);
                    pages.push(page.took);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            pages
        });
        std::thread::sleep(Duration::from_secs(12));
        is_locked.store(false, Ordering::Relaxed);
        other.run("ROLLBACK");
        let refusals: Vec<_> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        (refusals, reader.join().unwrap())
    });
    let (slowest, page) = (refusals.iter().max().unwrap(), pages.iter().max().unwrap());
    assert!(refusals.len() >= 16, "{}", refusals.len());
    // Two seconds for the site's one writer, then three for the lock, and the answer itself.
    assert!(*slowest < Duration::from_millis(5_500), "{slowest:?}");
    assert!(*page < AT_ONCE, "{page:?}");
    let recovered = until("a log-in", || site.browser().log_in("ada").status == 303);
    site.assert_alive();
    println!(
        "locked for 12 s: {} writes refused, slowest {slowest:?}; {} pages, slowest {page:?}; \
         recovered within {recovered:?}",
        refusals.len(),
        pages.len()
    );
}

/// Harms the file during fast sign-ups. Asserts that no sign-up is acknowledged after that,
/// and that those before are still there after `mend`.
fn assert_refuses_after(what: &str, harm: impl Fn(&Path), mend: impl Fn(&Path)) {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
    let ada = site.registered("ada");
    let path = site.database();
    let (is_harmed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (names, waited) = std::thread::scope(|threads| {
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let (site, is_harmed, is_over) = (&site, &is_harmed, &is_over);
                threads.spawn(move || {
                    let mut names = Vec::new();
                    for number in 0.. {
                        let began_after = is_harmed.load(Ordering::SeqCst);
                        if is_over.load(Ordering::SeqCst) {
                            break;
                        }
                        let name = format!("c{client}n{number}");
                        match site.browser().register(&name).status {
                            303 if !began_after => names.push(name),
                            503 => {}
                            status => panic!("{what}: {status} after it (or before)"),
                        }
                    }
                    names
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        harm(&path);
        is_harmed.store(true, Ordering::SeqCst);
        let waited = site.until_not_ready();
        std::thread::sleep(Duration::from_millis(500));
        is_over.store(true, Ordering::SeqCst);
        let names: Vec<_> = clients.into_iter().flat_map(|c| c.join().unwrap()).collect();
        (names, waited)
    });
    assert!(names.len() > 5, "{}", names.len());
    site.assert_no_write_is_acknowledged(&ada);
    site.browser().get("/login").assert(200);
    site.assert_alive();

    mend(&path);
    until("the site is ready", || site.is_ready());
    assert!(ada.clone().is_logged_in());
    site.kill();
    assert_sound(&path);
    assert_has_all(&path, &names);
    println!(
        "{what}: not ready after {waited:?}, 0 acknowledged from then on; {} before, all there",
        names.len()
    );
}

#[test]
#[ignore = "just torture"]
fn a_moved_file_stops_writes_until_it_is_back() {
    let aside = |path: &Path| path.with_file_name("aside.db");
    assert_refuses_after(
        "file moved",
        |path| fs::rename(path, aside(path)).unwrap(),
        |path| fs::rename(aside(path), path).unwrap(),
    );
}

#[test]
#[ignore = "just torture"]
fn a_deleted_log_or_index_stops_writes_until_it_is_back() {
    // SQLite itself would not notice, because it keeps using the open files. But a deleted log
    // is lost with the process. If the index is deleted, the next process that opens the file
    // makes its own index, and the two processes overwrite each other's commits.
    for name in ["login.db-wal", "login.db-shm"] {
        let kept = |path: &Path| path.with_file_name("kept");
        assert_refuses_after(
            &format!("{name} deleted"),
            |path| {
                // Link it under another name, to put it back later.
                fs::hard_link(path.with_file_name(name), kept(path)).unwrap();
                fs::remove_file(path.with_file_name(name)).unwrap();
            },
            |path| fs::rename(kept(path), path.with_file_name(name)).unwrap(),
        );
    }
}

#[test]
#[ignore = "just torture"]
fn a_deleted_or_replaced_file_stops_writes() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("replaced by a copy", |path| {
            fs::copy(path, path.with_extension("copy")).unwrap();
            fs::rename(path.with_extension("copy"), path).unwrap();
        }),
        ("replaced by an empty one", |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "").unwrap();
        }),
    ];
    for (what, harm) in harms {
        let dir = TempDir::new().unwrap();
        let mut site = Site::start(dir.path(), &[]);
        let ada = site.registered("ada");
        harm(&site.database());
        // Writes stop at once, not only after the next readiness check.
        site.assert_no_write_is_acknowledged(&ada);
        let waited = site.until_not_ready();
        site.assert_no_write_is_acknowledged(&ada);
        // The site does not look sessions up in another file.
        ada.clone().get("/account").assert(503).assert_plain();
        site.browser().get("/login").assert(200);
        site.assert_alive();
        println!("file {what}: not ready after {waited:?}, no write acknowledged");
    }
}

#[test]
#[ignore = "just torture"]
fn an_overwritten_header_makes_the_site_unready_and_stops_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[]);
    let mut ada = site.registered("ada");
    Outsider::open(&site.database()).run("PRAGMA wal_checkpoint(TRUNCATE)");
    let file = OpenOptions::new().read(true).write(true).open(site.database()).unwrap();
    let mut header = [0; 100];
    file.read_exact_at(&mut header, 0).unwrap();
    file.write_all_at(&[0xA5; 100], 0).unwrap();

    let waited = site.until_not_ready();
    for answer in [ada.get("/account"), site.browser().log_in("ada"), site.browser().get("/")] {
        assert!(matches!(answer.status, 200 | 303 | 500 | 503), "{}", answer.text);
        answer.assert_plain();
    }
    site.assert_alive();
    site.kill();

    let length = file.metadata().unwrap().len();
    for _ in 0..3 {
        let output = bare(dir.path()).env("ROCKET_PORT", "0").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains("not a database"), "{error}");
    }
    // The site has not replaced the file.
    assert_eq!(file.metadata().unwrap().len(), length);
    file.write_all_at(&header, 0).unwrap();
    let site = Site::start(dir.path(), &[]);
    site.browser().log_in("ada").assert(303);
    println!("header overwritten: not ready after {waited:?}; started again once it was back");
}

#[test]
#[ignore = "just torture"]
fn a_ruined_page_causes_only_error_pages_and_check_finds_it() {
    for table in ["sessions", "users", "login_events"] {
        for is_running in [true, false] {
            let dir = TempDir::new().unwrap();
            let mut site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
            let mut ada = site.registered("ada");
            let path = site.database();
            if is_running {
                ruin_root_page(&path, table);
            } else {
                site.kill();
                ruin_root_page(&path, table);
                site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
                ada = ada.of(&site);
            }

            // The readiness check reads only the beginning of the file and two indices. The
            // running site may write the page again from its memory.
            let mut check = bare(dir.path());
            let found = check.args(["check", "--offline"]).output().unwrap();
            let found = String::from_utf8_lossy(&found.stdout).into_owned();
            assert!(["is damaged", "malformed"].iter().any(|why| found.contains(why)), "{found}");

            let mut statuses = Vec::new();
            for name in ["bob", "carol"] {
                for answer in [
                    ada.get("/account"),
                    site.browser().log_in("ada"),
                    site.browser().register(name),
                    ada.get("/account/activity"),
                ] {
                    answer.assert_plain();
                    assert!(matches!(answer.status, 200 | 303 | 500 | 503), "{}", answer.text);
                    statuses.push(answer.status);
                }
            }
            if !is_running {
                assert!(statuses.iter().any(|status| *status >= 500), "{statuses:?}");
            }
            site.browser().get("/login").assert(200);
            site.assert_alive();
            let when = if is_running { "while running" } else { "before the start" };
            println!("a ruined page of {table} {when}: found by the check; {statuses:?}");
        }
    }
}

/// Overwrites the first page of `table` with nonsense, after the log has been emptied.
fn ruin_root_page(path: &Path, table: &str) {
    let mut other = Outsider::open(path);
    let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'");
    let page: u64 = other.value(&sql).parse().unwrap();
    let size: u64 = other.value("PRAGMA page_size").parse().unwrap();
    other.run("PRAGMA wal_checkpoint(TRUNCATE)");
    drop(other);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xA5; size as usize], (page - 1) * size).unwrap();
}

#[test]
#[ignore = "just torture"]
fn the_readiness_check_of_a_locked_file_fails_within_its_time_limit() {
    let dir = TempDir::new().unwrap();
    let site = Site::start(dir.path(), &[]);
    let mut other = Outsider::open(&site.database());
    other.run("BEGIN IMMEDIATE");
    let took = site.until_not_ready();
    other.run("ROLLBACK");
    until("the site is ready", || site.is_ready());
    println!("readiness of a locked file: 503 after {took:?}");
}
