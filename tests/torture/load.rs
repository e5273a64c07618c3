//! Many, slow, idle, and for long.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::faults::outsider::{Outsider, assert_sound};
use crate::faults::site::{
    Answer, BEHIND_PROXY, Browser, CHEAP, Site, UNTHROTTLED, after, form, until,
};
use crate::servers::{find, has};
use crate::support::is_long;

/// What a visitor may wait for a page, however many others there are.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long some requests took.
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[((sorted.len() - 1) as f64 * part).round() as usize]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, late, latest) = (self.at(0.5), self.at(0.99), self.at(1.0));
        write!(f, "{} pages, p50 {median:.1?}, p99 {late:.1?}, max {latest:.1?}", self.0.len())
    }
}

/// Pages for one who wants one after the other, until `is_over`.
fn visit(site: &Site, mut visitor: Browser, is_over: impl Fn() -> bool) -> Times {
    let mut times = Vec::new();
    while !is_over() || times.is_empty() {
        for path in ["/login", "/account", "/"] {
            let page = visitor.get(path);
            page.assert(200);
            times.push(page.took);
        }
        site.browser().get("/healthz").assert(200);
        std::thread::sleep(Duration::from_millis(5));
    }
    Times(times)
}

/// Lets `command`'s process, or this one, have so many connections.
fn allow_descriptors(id: u32, count: u32) -> bool {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &id.to_string(), &format!("--nofile={count}:{count}")]);
    has(find("prlimit").is_some(), "prlimit")
        && has(prlimit.status().unwrap().success(), "a higher limit on descriptors")
}

/// What came of a flood of log-ins.
pub struct Flood {
    statuses: BTreeMap<u16, usize>,
    slowest: Duration,
    pages: Times,
    peak: u64,
    after: u64,
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "answers {:?}, slowest {:.1?}; meanwhile {}; peak {} MiB, {} MiB after it",
            self.statuses,
            self.slowest,
            self.pages,
            self.peak / 1024,
            self.after / 1024
        )
    }
}

/// So many log-ins at once, half of them from one address, at a site that trusts its
/// proxy; everybody is answered, and a visitor gets his pages.
pub fn flood(site: &Site, count: usize) -> Flood {
    let ada = site.browser().at("192.0.2.1".into());
    let ada = {
        let mut ada = ada;
        ada.register("ada").assert(303);
        ada
    };
    let is_over = AtomicBool::new(false);
    let (answers, pages) = std::thread::scope(|threads| {
        let pages = threads.spawn(|| visit(site, ada, || is_over.load(Ordering::Relaxed)));
        let start = Instant::now();
        // All are sent before the first answer is read.
        let streams: Vec<TcpStream> = (0..count)
            .map(|number| {
                let address = match number % 2 {
                    0 => "198.51.100.1".to_owned(),
                    _ => format!("10.1.{}.{}", number / 250, number % 250),
                };
                let browser = site.browser().at(address);
                browser.send("POST /login", &form(&format!("nobody{number}"))).unwrap()
            })
            .collect();
        let answers: Vec<Answer> = streams
            .into_iter()
            .map(|mut stream| {
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                Answer::parse(text, start.elapsed()).unwrap()
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        (answers, pages.join().unwrap())
    });

    let mut statuses = BTreeMap::new();
    for answer in &answers {
        *statuses.entry(answer.status).or_insert(0) += 1;
        match answer.status {
            303 | 422 => {}
            429 | 503 => assert!(answer.header("retry-after").is_some(), "{}", answer.text),
            _ => panic!("{}", answer.text),
        }
    }
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    assert!(slowest < Duration::from_secs(30), "{slowest:?}");
    assert!(statuses.get(&422).is_some_and(|count| *count > 20), "{statuses:?}");
    assert!(pages.at(0.5) < PATIENCE, "{pages}");
    // What is over is over: the next one is let in at once.
    until("a log-in", || site.browser().at("192.0.2.2".into()).log_in("ada").status == 303);
    Flood { statuses, slowest, pages, peak: site.kib("VmHWM"), after: site.kib("VmRSS") }
}

#[test]
#[ignore = "just torture"]
fn a_flood_of_log_ins_is_answered_in_little_memory() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[BEHIND_PROXY]);
    let flood = flood(&site, 1_000);
    assert!(flood.peak < 120 * 1024, "{flood}");
    site.assert_alive();
    assert_sound(&site.database());
    println!("1,000 log-ins at once: {flood}");
}

#[test]
#[ignore = "just torture"]
fn a_flood_that_hangs_up_leaves_no_backlog() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[BEHIND_PROXY, UNTHROTTLED]);
    site.browser().at("192.0.2.1".into()).register("ada").assert(303);
    for round in 0..3 {
        let streams: Vec<TcpStream> = (0..300)
            .map(|number| {
                let browser = site.browser().at(format!("10.{round}.0.{}", number % 250));
                // Each at another moment of what is done for it.
                std::thread::sleep(Duration::from_micros(number * 5));
                browser.send("POST /login", &form("ada")).unwrap()
            })
            .collect();
        drop(streams);
    }
    let start = Instant::now();
    until("a log-in", || site.browser().at("192.0.2.2".into()).log_in("ada").status == 303);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // No connection to the database is lost with them.
    for number in 0..20 {
        site.registered(&format!("n{number}")).log_out().assert(303);
    }
    assert!(site.is_ready());
    until("their connections are gone", || site.descriptors() < 100);
    site.assert_alive();
    assert_sound(&site.database());
    println!("900 log-ins that hang up: the next one is let in {took:.1?} later");
}

#[test]
#[ignore = "just torture"]
fn a_reader_that_stays_lets_the_log_grow_only_while_it_stays() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
    let mut names = 0;
    let mut sign_ups = |site: &Site| {
        for _ in 0..300 {
            names += 1;
            site.registered(&format!("n{names}"));
        }
        Use::of(site).log
    };
    let mut other = Outsider::open(&site.database());
    other.run("BEGIN; SELECT * FROM users");
    let stuck = sign_ups(&site);
    assert!(stuck > 5 * 1024, "the log did not grow: {stuck} KiB");
    other.run("ROLLBACK");
    // It is begun anew with the first checkpoint that nobody is in the way of: as many
    // sign-ups again would double it, and copying what was kept back takes a moment.
    let after = sign_ups(&site);
    assert!(after < stuck * 3 / 2, "{stuck} KiB, and then {after} KiB");
    site.assert_alive();
    assert_sound(&site.database());
    println!("a reader that stays: log of {stuck} KiB; 300 sign-ups after it, {after} KiB");
}

#[test]
#[ignore = "just torture"]
fn a_thousand_slow_clients_keep_nobody_from_his_page() {
    if !allow_descriptors(std::process::id(), 12_000) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut site = Site::start_by(after("ulimit -n 12000", dir.path()), dir.path());
    let ada = site.registered("ada");
    let before = site.kib("VmRSS");
    // Half of them are as slow with the headers, half with the form.
    let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n\
                email=ada%40example.org&";
    let mut slow: Vec<TcpStream> = (0..1_000)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", site.port())).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            if number % 2 == 1 {
                stream.write_all(head.as_bytes()).unwrap();
            }
            stream
        })
        .collect();
    let is_over = AtomicBool::new(false);
    let (pages, log_ins) = std::thread::scope(|threads| {
        let pages = threads.spawn(|| visit(&site, ada, || is_over.load(Ordering::Relaxed)));
        let log_ins = threads.spawn(|| {
            let mut times = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let answer = site.browser().log_in("ada");
                answer.assert(303);
                times.push(answer.took);
                std::thread::sleep(Duration::from_millis(500));
            }
            Times(times)
        });
        // A byte from each, again and again, past the five seconds that a form has.
        for byte in head.as_bytes().iter().take(35) {
            for (number, stream) in slow.iter_mut().enumerate() {
                // A form that took too long has been answered by then.
                let _ = stream.write_all(&[if number % 2 == 0 { *byte } else { b'a' }]);
            }
            std::thread::sleep(Duration::from_millis(170));
        }
        is_over.store(true, Ordering::Relaxed);
        (pages.join().unwrap(), log_ins.join().unwrap())
    });
    let grown = site.kib("VmRSS").saturating_sub(before);
    assert!(pages.at(0.99) < PATIENCE, "{pages}");
    assert!(log_ins.at(1.0) < Duration::from_secs(3), "{log_ins}");

    // Those with a form are told; those who have not even asked wait for ever, and it is the
    // proxy that ends them.
    let mut given_up = 0;
    for (number, stream) in slow.iter_mut().enumerate() {
        if number % 2 == 1 {
            let mut start = [0; 12];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 408");
            given_up += 1;
        }
    }
    drop(slow);
    until("their connections are gone", || site.descriptors() < 100);
    site.assert_alive();
    println!(
        "1,000 slow clients: {pages}; log-ins, max {:.1?}; {given_up} forms given up; \
         {grown} KiB more",
        log_ins.at(1.0)
    );
}

#[test]
#[ignore = "just torture"]
fn ten_thousand_idle_connections_cost_memory_and_nothing_else() {
    const COUNT: usize = 10_000;
    if !allow_descriptors(std::process::id(), 12_000) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut site = Site::start_by(after("ulimit -n 12000", dir.path()), dir.path());
    let ada = site.registered("ada");
    let before = site.kib("VmRSS");
    let mut idle = Vec::new();
    for _ in 0..COUNT {
        // Each has asked once, as a browser that keeps its connection.
        let mut stream = TcpStream::connect(("127.0.0.1", site.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 2048];
        assert!(stream.read(&mut answer).unwrap() > 12);
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        idle.push(stream);
    }
    assert!(site.descriptors() > COUNT);
    let each = (site.kib("VmRSS") - before) * 1024 / COUNT as u64;
    let start = Instant::now();
    let pages = visit(&site, ada, || start.elapsed() > Duration::from_secs(2));
    let log_in = site.browser().log_in("ada");
    log_in.assert(303);
    assert!(pages.at(0.99) < PATIENCE, "{pages}");
    assert!(each < 64 * 1024, "{each} bytes");
    drop(idle);
    until("their connections are gone", || site.descriptors() < 100);
    let after = site.kib("VmRSS");
    site.assert_alive();
    println!(
        "{COUNT} idle connections: {each} bytes each; {pages}; log-in {:.1?}; \
         {before} KiB before, {after} KiB after",
        log_in.took
    );
}

/// What must not grow.
#[derive(Debug, Clone, Copy)]
struct Use {
    memory: u64,
    descriptors: usize,
    log: u64,
}

impl Use {
    fn of(site: &Site) -> Self {
        let log = site.database().with_file_name("login.db-wal");
        Use {
            memory: site.kib("VmRSS"),
            descriptors: site.descriptors(),
            log: log.metadata().map_or(0, |log| log.len() / 1024),
        }
    }
}

#[test]
#[ignore = "just torture"]
fn hours_of_use_take_no_more_memory_files_or_log() {
    const PEOPLE: usize = 40;
    let length = Duration::from_secs(if is_long() { 60 * 60 } else { 20 });
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[CHEAP, UNTHROTTLED]);
    for number in 0..PEOPLE {
        site.registered(&format!("n{number}"));
    }
    let (count, refused) = (AtomicU64::new(0), Mutex::new(BTreeMap::<String, u64>::new()));
    let start = Instant::now();
    let (warm, end) = std::thread::scope(|threads| {
        for client in 0..4 {
            let (site, count, refused) = (&site, &count, &refused);
            threads.spawn(move || {
                let mut browsers: Vec<(String, Browser)> = (client..PEOPLE)
                    .step_by(4)
                    .map(|number| (format!("n{number}"), site.browser()))
                    .collect();
                for round in 0.. {
                    if start.elapsed() > length {
                        break;
                    }
                    for (name, browser) in &mut browsers {
                        let wrong = form(name).replace("battery", "staple");
                        for answer in [
                            browser.log_in(name),
                            browser.get("/account"),
                            browser.get("/account/sessions"),
                            browser.get("/account/activity"),
                            browser.get("/account/export"),
                            match round % 5 {
                                0 => browser.try_post("/login", &wrong).unwrap(),
                                1 => browser.get("/nowhere"),
                                _ => browser.get("/"),
                            },
                            browser.log_out(),
                        ] {
                            count.fetch_add(1, Ordering::Relaxed);
                            if !matches!(answer.status, 200 | 303 | 404 | 422) {
                                let line = answer.text.lines().next().unwrap().to_owned();
                                *refused.lock().unwrap().entry(line).or_default() += 1;
                            }
                        }
                    }
                }
            });
        }
        // The caches are full by then, or nearly.
        std::thread::sleep(length / 4);
        let warm = Use::of(&site);
        std::thread::sleep((length - length / 20).saturating_sub(start.elapsed()));
        (warm, Use::of(&site))
    });
    let refused = refused.into_inner().unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    // Slack: what an allocator takes at random, a reader that comes and goes, and the log's
    // way from one checkpoint to the next. A leak of 1 KiB a request is more in 20 s.
    assert!(end.memory < warm.memory + 12 * 1024, "{warm:?} {end:?}");
    assert!(end.descriptors <= warm.descriptors + 12, "{warm:?} {end:?}");
    assert!(end.log < 64 * 1024, "{warm:?} {end:?}");
    site.assert_alive();
    assert_sound(&site.database());
    let sessions = Outsider::open(&site.database()).value("SELECT count(*) FROM sessions");
    assert_eq!(sessions, PEOPLE.to_string(), "what was logged out is gone");
    println!("{} requests in {length:?}: warm {warm:?}, end {end:?} (KiB)", count.into_inner());
}
