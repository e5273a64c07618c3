//! Instances of two versions on one database: during a release, and when the new version is taken
//! back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rocket::tokio::runtime::Runtime;
use rocket_db_pools::Pool as _;
use rocket_login::config::DatabaseConfig;
use rocket_login::db::Pool;
use tempfile::TempDir;

use super::next;
use crate::servers::client::{ask, header, status};
use crate::servers::program::{self, Program};
use crate::servers::{Cluster, Running, clean, is_installed};

/// The variable with the path of a program of the version before, if there is one.
const BEFORE: &str = "PROGRAM_BEFORE";

/// How many visits there are at least before the next step.
const SOME: usize = 25;

/// The tests that run on the schema of the next version: those that write to each table.
const SUITE: [&str; 10] = [
    "account::",
    "life::",
    "login::",
    "mail::",
    "operator::",
    "roles::",
    "session::",
    "state::",
    "throttle::",
    "twice::",
];

/// The test that lists all tables, so it fails if there is one more.
const OF_THIS_SCHEMA: &str = "account::leave::every_table_with_a_users_rows_is_in_the_export";

/// Starts an instance of the version before, or of this one.
fn start(url: &str, dir: &TempDir, is_before: bool) -> Program {
    let before = std::env::var_os(BEFORE).filter(|_| is_before);
    let program = before
        .map_or_else(|| program::built("rocket-login"), |path| std::path::absolute(path).unwrap());
    let databases = format!("{{login={{url=\"{url}\"}}}}");
    let variables = [
        ("ROCKET_DATABASES", databases.as_str()),
        ("ROCKET_SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}"),
        ("ROCKET_THROTTLE", "{enabled=false}"),
    ];
    Program::start(program::command(program, dir), &variables)
}

/// Returns the session's cookie of an answer.
fn session_cookie(answer: &str) -> String {
    let cookies = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let mut sessions = cookies.filter(|cookie| cookie.starts_with("session="));
    sessions.next().expect("a session").split(';').next().unwrap().to_owned()
}

/// Sends a request that must be answered with `expected`.
fn sent(port: u16, head: &str, cookie: Option<&str>, body: &str, expected: u16) -> String {
    let start = Instant::now();
    let answer = ask(port, head, cookie, body).expect("an answer");
    assert_eq!(status(&answer), expected, "{head} after {:.1?}: {answer}", start.elapsed());
    answer
}

/// Somebody signs up at `one`, and goes on at `other`.
fn visit(one: u16, other: u16, email: &str) {
    let form = format!("email={}&password=correct+horse+battery", email.replace('@', "%40"));
    let cookie = session_cookie(&sent(one, "POST /register", None, &form, 303));
    let page = sent(other, "GET /account", Some(&cookie), "", 200);
    assert!(page.contains(email), "{page}");
    let change = "current_password=correct+horse+battery&new_password=another+horse+battery";
    let cookie = session_cookie(&sent(other, "POST /account/password", Some(&cookie), change, 303));
    sent(one, "GET /account/activity", Some(&cookie), "", 200);
    sent(other, "GET /account", Some(&cookie), "", 200);

    sent(one, "POST /logout", Some(&cookie), "", 303);
    let ended = Instant::now();
    loop {
        let asked = ended.elapsed();
        let page = ask(other, "GET /account", Some(&cookie), "").expect("an answer");
        if status(&page) == 303 {
            break;
        }
        assert!(asked < Duration::from_secs(1), "{email} is still logged in: {page}");
    }
    let form = form.replace("correct", "another");
    let answer = sent(other, "POST /login", None, &form, 303);
    assert_eq!(header(&answer, "location"), Some("/account"));
}

/// Migrates the database at `url` as an instance of the next version does.
fn migrate(url: &str) {
    Runtime::new().unwrap().block_on(async {
        let pool = Pool::open(&DatabaseConfig::parse(url).unwrap()).await.unwrap();
        pool.migrate_with(&next::migrations()).await.unwrap();
        pool.close().await;
        next::call_ours(url).await;
    });
}

#[test]
fn two_versions_run_side_by_side_on_one_postgresql() {
    if !is_installed() {
        return;
    }
    let (cluster, dir) = (Cluster::start(), TempDir::new().unwrap());
    cluster.sql("postgres", "CREATE DATABASE site");
    let url = cluster.url("site");
    let before = [start(&url, &dir, true), start(&url, &dir, true)];
    let ports = before.each_ref().map(Program::port);
    visit(ports[0], ports[1], "first@example.org");

    let (over, visits) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // It ends the workers even if an assertion fails.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _over = Over(&over);
        for worker in 0..4 {
            let (over, visits) = (&over, &visits);
            scope.spawn(move || {
                let _over = Over(over);
                while !over.load(Ordering::SeqCst) {
                    let number = visits.fetch_add(1, Ordering::SeqCst);
                    visit(
                        ports[worker % 2],
                        ports[1 - worker % 2],
                        &format!("{number}@example.org"),
                    );
                }
            });
        }
        let wait = |count: usize| {
            let end = visits.load(Ordering::SeqCst) + count;
            while visits.load(Ordering::SeqCst) < end && !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        };

        // The version before runs, and the next one migrates.
        wait(SOME);
        migrate(&url);
        // Both run.
        let after = start(&url, &dir, false);
        for number in 0..20 {
            let (one, other) = (ports[number % 2], after.port());
            visit(one, other, &format!("both-{number}@example.org"));
            visit(other, one, &format!("both-too-{number}@example.org"));
        }
        wait(SOME);
    });

    // The next one is taken back.
    drop(before);
    let again = start(&url, &dir, true);
    let warning = "Warning: a newer version of rocket-login than ";
    assert!(again.output().contains(warning), "{}", again.output());
    visit(again.port(), again.port(), "again@example.org");
}

#[test]
fn a_migration_gives_way_to_visitors_while_a_backup_reads() {
    if !is_installed() {
        return;
    }
    let (cluster, dir) = (Cluster::start(), TempDir::new().unwrap());
    cluster.sql("postgres", "CREATE DATABASE site");
    let url = cluster.url("site");
    let site = start(&url, &dir, true);
    std::thread::scope(|scope| {
        // It has read a table and goes on for three seconds, as `pg_dump` does.
        let read = "BEGIN; SELECT count(*) FROM users; SELECT pg_sleep(4); COMMIT";
        scope.spawn(|| cluster.sql("site", read));
        let is_reading = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while cluster.sql("site", is_reading) != "1" {
            std::thread::sleep(Duration::from_millis(20));
        }
        let migration = scope.spawn(|| migrate(&url));
        let (mut slowest, mut count) = (Duration::ZERO, 0);
        while !migration.is_finished() {
            let start = Instant::now();
            visit(site.port(), site.port(), &format!("{count}@example.org"));
            (slowest, count) = (slowest.max(start.elapsed()), count + 1);
        }
        assert!(count > 2, "{count}");
        // A visit has eight requests, and one of them waits for the migration.
        assert!(slowest < Duration::from_secs(2), "{slowest:.1?}");
    });
}

#[test]
fn the_suite_passes_on_the_schema_of_the_next_version() {
    // Two versions run side by side on PostgreSQL.
    let cluster = is_installed().then(Cluster::start);
    let mut suite = clean(std::env::current_exe().unwrap());
    suite.env(next::VARIABLE, "1").args(SUITE).args(["--skip", OF_THIS_SCHEMA]);
    if let Some(cluster) = &cluster {
        suite.env("TEST_POSTGRES", cluster.socket());
        suite.args(crate::postgres::OF_SQLITE.iter().flat_map(|name| ["--skip", name]));
    }
    let done = Running::output(suite, "");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
}
