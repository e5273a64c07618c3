//! Many clients, slow clients, idle connections, and use over a long time.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocket_login::testing::app_code;
use tempfile::TempDir;

use crate::faults::outsider::{Outsider, assert_sound};
use crate::faults::site::{
    Answer, BEHIND_PROXY, Browser, CHEAP, Site, UNTHROTTLED, after, form, until,
};
use crate::servers::{find, has};
use crate::support::is_long;

/// The longest acceptable time for a page under load.
const PATIENCE: Duration = Duration::from_secs(1);

/// The durations of requests.
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

/// Requests pages one after the other until `is_over` returns true.
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

/// Raises the limit on descriptors of the process `id`. Returns false if that is impossible.
fn allow_descriptors(id: u32, count: u32) -> bool {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &id.to_string(), &format!("--nofile={count}:{count}")]);
    has(find("prlimit").is_some(), "prlimit")
        && has(prlimit.status().unwrap().success(), "a higher limit on descriptors")
}

/// The result of a flood of log-ins.
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

/// Sends requests all at once, while `ada` looks at pages. Returns all answers, of which none is an error
/// of ours, and the times of the pages.
fn at_once(
    site: &Site,
    ada: Browser,
    send: impl FnOnce() -> Vec<TcpStream>,
) -> (Vec<Answer>, Times) {
    let is_over = AtomicBool::new(false);
    let (answers, pages) = std::thread::scope(|threads| {
        let pages = threads.spawn(|| visit(site, ada, || is_over.load(Ordering::Relaxed)));
        let start = Instant::now();
        // All are sent before the first answer is read.
        let streams = send();
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
    for answer in &answers {
        match answer.status {
            200 | 303 | 422 => {}
            429 | 503 => assert!(answer.header("retry-after").is_some(), "{}", answer.text),
            _ => panic!("{}", answer.text),
        }
    }
    assert!(pages.at(0.5) < PATIENCE, "{pages}");
    (answers, pages)
}

impl Flood {
    fn of(site: &Site, (answers, pages): (Vec<Answer>, Times)) -> Self {
        let mut statuses = BTreeMap::new();
        for answer in &answers {
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
        let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
        assert!(slowest < Duration::from_secs(30), "{slowest:?}");
        Flood { statuses, slowest, pages, peak: site.kib("VmHWM"), after: site.kib("VmRSS") }
    }

    fn count(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or(0)
    }
}

/// Sends `count` log-ins at once, half of them from one address, to a site that trusts its
/// proxy. Asserts that all are answered, and that a visitor still gets their pages.
pub fn flood(site: &Site, count: usize) -> Flood {
    let mut ada = site.browser().at("192.0.2.1".into());
    ada.register("ada").assert(303);
    let send = || {
        let log_in = |number| {
            let address = match number % 2 {
                0 => "198.51.100.1".to_owned(),
                _ => format!("10.1.{}.{}", number / 250, number % 250),
            };
            let browser = site.browser().at(address);
            browser.send("POST /login", &form(&format!("nobody{number}"))).unwrap()
        };
        (0..count).map(log_in).collect()
    };
    let answered = at_once(site, ada, send);
    // After the flood, the next log-in succeeds at once.
    until("a log-in", || site.browser().at("192.0.2.2".into()).log_in("ada").status == 303);
    let flood = Flood::of(site, answered);
    assert!(flood.count(422) > 20, "{flood}");
    flood
}

/// A site with passkeys that trusts its proxy.
const WITH_PASSKEYS: (&str, &str) =
    ("ROCKET_SITE", "{trusted_proxies=[\"127.0.0.1\"],url=\"https://localhost\"}");

/// Adds an app to the account of `owner`, who has just signed up.
fn add_app(site: &Site, owner: &mut Browser) {
    let mut other = Outsider::open(&site.database());
    other.run("UPDATE users SET verified_at = created_at");
    let page = owner.get("/account/app");
    let between = |start: &str, end: &str| {
        let rest = page.assert(200).text.split_once(start).unwrap().1;
        rest.split_once(end).unwrap().0.to_owned()
    };
    let secret = between("<p class=\"key\"><code>", "</code>").replace(' ', "");
    let sealed = between("name=\"secret\" value=\"", "\"");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let code = app_code(&secret, now);
    let sealed = sealed.replace('+', "%2B").replace("&#x2F;", "%2F").replace('=', "%3D");
    owner.try_post("/account/app", &format!("secret={sealed}&code={code}")).unwrap().assert(200);
}

#[test]
#[ignore = "just torture"]
fn a_flood_at_the_second_step_fills_neither_memory_nor_tables() {
    let dir = TempDir::new().unwrap();
    let mut site = Site::start(dir.path(), &[CHEAP, WITH_PASSKEYS]);
    let mut ada = site.browser().at("192.0.2.1".into());
    ada.register("ada").assert(303);
    add_app(&site, &mut ada);
    // Somebody knows the password, and begins more log-ins than one account may have.
    let thieves: Vec<Browser> = (0..150)
        .map(|number| {
            let mut thief = site.browser().at(format!("10.1.0.{number}"));
            assert!(thief.log_in("ada").text.contains("/login/factor"));
            thief
        })
        .collect();
    let send = || {
        let guess = |number: usize| {
            let code = format!("code={number:06}");
            thieves[number % thieves.len()].send("POST /login/factor", &code).unwrap()
        };
        let ask = |number: usize| {
            let stranger = site.browser().at(format!("10.2.{}.{}", number / 250, number % 250));
            stranger.send("POST /login/passkey/options", "").unwrap()
        };
        (0..500).flat_map(|number| [guess(number), ask(number)]).collect()
    };
    let flood = Flood::of(&site, at_once(&site, ada, send));
    assert!(flood.count(200) > 400 && flood.count(422) > 0, "{flood}");
    assert!(flood.peak < 120 * 1024, "{flood}");
    let mut other = Outsider::open(&site.database());
    for (table, most) in [("pending", 100), ("challenges", 0), ("throttle", 400), ("events", 500)] {
        let rows: u64 =
            other.value(&format!("SELECT count(*) FROM login_{table}")).parse().unwrap();
        assert!(rows <= most, "{rows} rows in login_{table}");
    }
    site.assert_alive();
    assert_sound(&site.database());
    println!("500 wrong codes and 500 questions to passkeys at once: {flood}");
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
                // Each client hangs up at another stage of its request.
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
    // Their requests have lost no connection to the database.
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
fn a_long_read_transaction_lets_the_log_grow_only_while_it_lasts() {
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
    // The log starts over at the first checkpoint without a reader. Otherwise as many sign-ups
    // again would double it. Copying the pages of the old log takes a moment.
    let after = sign_ups(&site);
    assert!(after < stuck * 3 / 2, "{stuck} KiB, and then {after} KiB");
    site.assert_alive();
    assert_sound(&site.database());
    println!("a reader that stays: log of {stuck} KiB; 300 sign-ups after it, {after} KiB");
}

#[test]
#[ignore = "just torture"]
fn a_thousand_slow_clients_do_not_delay_the_pages_of_others() {
    if !allow_descriptors(std::process::id(), 12_000) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut site = Site::start_by(after("ulimit -n 12000", dir.path()), dir.path());
    let ada = site.registered("ada");
    let before = site.kib("VmRSS");
    // Half of them send the headers slowly, and half send the form slowly.
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
        // Send one byte from each again and again for longer than the five seconds for a form.
        for byte in head.as_bytes().iter().take(35) {
            for (number, stream) in slow.iter_mut().enumerate() {
                // A form that took too long may have been answered already.
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

    // The slow forms get 408. Rocket never ends the connections with slow headers; that is the
    // proxy's task.
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
fn ten_thousand_idle_connections_cost_only_memory() {
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
        // Each sends one request, like a browser that keeps its connection open.
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

/// The resources whose use must not grow.
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
fn memory_descriptors_and_log_do_not_grow_over_time() {
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
        // The caches are nearly full by then.
        std::thread::sleep(length / 4);
        let warm = Use::of(&site);
        std::thread::sleep((length - length / 20).saturating_sub(start.elapsed()));
        (warm, Use::of(&site))
    });
    let refused = refused.into_inner().unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    // Allow for the allocator, for a reader that comes and goes, and for the log's growth
    // between two checkpoints. A leak of 1 KiB per request would exceed this in 20 s.
    assert!(end.memory < warm.memory + 12 * 1024, "{warm:?} {end:?}");
    assert!(end.descriptors <= warm.descriptors + 12, "{warm:?} {end:?}");
    assert!(end.log < 64 * 1024, "{warm:?} {end:?}");
    site.assert_alive();
    assert_sound(&site.database());
    let sessions = Outsider::open(&site.database()).value("SELECT count(*) FROM sessions");
    assert_eq!(sessions, PEOPLE.to_string(), "logged-out sessions are left");
    println!("{} requests in {length:?}: warm {warm:?}, end {end:?} (KiB)", count.into_inner());
}
