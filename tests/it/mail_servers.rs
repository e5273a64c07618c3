//! Hostile, slow, strict and unusual mail servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::tokio::time;
use tempfile::TempDir;

use crate::database::command;
use crate::fake_smtp::{Act, FakeServer, say};
use crate::servers::{free_port, is_alone, status_line};
use crate::support::{TestApp, figment};

/// A command, and what the server does there.
type Case = (&'static str, fn() -> Act);

const FIRST: &str = "first@example.org";
const SECOND: &str = "second@example.org";

fn through(url: String) -> impl FnOnce(Figment) -> Figment {
    move |figment| {
        figment
            .select("release")
            .merge(("mail.url", url))
            .merge(("mail.from", "Example <no-reply@example.org>"))
            .merge(("site.url", "https://example.org"))
    }
}

async fn settle() {
    time::sleep(Duration::from_millis(300)).await;
}

const RIGHT: Act = Act::Usual;

/// Starts a server that does `act` at `step` until the flag is set.
fn hostile(step: &'static str, act: fn() -> Act) -> (FakeServer, Arc<AtomicBool>) {
    let is_nice = Arc::new(AtomicBool::new(false));
    let nice = is_nice.clone();
    let server = FakeServer::start(move |command, _| {
        let is_now = command.starts_with(step) && !nice.load(Ordering::SeqCst);
        if is_now { act() } else { RIGHT }
    });
    (server, is_nice)
}

/// Returns the resident memory of this process in KiB.
fn memory() -> u64 {
    let line = status_line(std::process::id(), "VmRSS");
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[rocket::async_test]
async fn a_hostile_answer_is_an_outage_and_costs_no_mail_and_little_memory() {
    let name = "a_hostile_answer_is_an_outage_and_costs_no_mail_and_little_memory";
    if !is_alone(&format!("mail_servers::{name}")) {
        return;
    }

    let cases: [Case; 21] = [
        ("CONNECT", || Act::Flood(b"x")),
        ("CONNECT", || Act::Flood(b"220-more\r\n")),
        ("CONNECT", || Act::Flood(b"\n")),
        ("CONNECT", || Act::Say(vec![0xFF; 1 << 20])),
        ("CONNECT", || Act::Drip(b"2")),
        ("CONNECT", || Act::Close),
        ("CONNECT", || say("554 5.7.1 go away\r\n")),
        ("CONNECT", || say("421 4.3.2 later\r\n")),
        ("CONNECT", || say("999 what\r\n")),
        ("CONNECT", || say("2\u{e9}0 é\r\n")),
        ("EHLO", || Act::Flood(b"250-  \r\n")),
        ("EHLO", || say("250-fake\r\n550 fake\r\n")),
        ("EHLO", || Act::Drip(b"250-more\r\n")),
        ("EHLO", || say("502 what\r\n")),
        ("EHLO", || Act::Close),
        ("MAIL", || say("451 4.3.0 later\r\n")),
        ("MAIL", || say("550 5.7.1 not you\r\n")),
        ("MAIL", || Act::Close),
        ("MAIL", || Act::Flood(b"250-ok\r\n")),
        ("MAIL", || say("\r\n")),
        ("MAIL", || say("354 go on\r\n")),
    ];
    let before = memory();
    for (number, (step, act)) in cases.into_iter().enumerate() {
        let (server, is_nice) = hostile(step, act);
        let app = TestApp::with(through(server.url())).await;
        app.registered(FIRST).await;
        app.registered(SECOND).await;
        app.until("SELECT max(attempts) >= 1 FROM login_mails").await;
        // The clock stands still, so a retry now would be one without a pause.
        settle().await;
        assert!(server.connections() <= 3, "case {number}: {}", server.connections());
        assert_eq!(server.mails().len(), 0, "case {number}");

        is_nice.store(true, Ordering::SeqCst);
        server.relent();
        app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
        assert_eq!((server.mails_to(FIRST), server.mails_to(SECOND)), (1, 1), "case {number}");
    }
    // Each server offered megabytes; the sites themselves use the rest.
    let grown = memory().saturating_sub(before);
    assert!(grown < 256 << 10, "{grown} KiB");
}

#[rocket::async_test]
async fn unusual_but_allowed_answers_do_no_harm() {
    // The first of them made lettre 0.11.23 panic (RUSTSEC-2026-0562).
    let cases: [Case; 8] = [
        ("EHLO", || say("250-fake\r\n250-   \r\n250-\t\r\n250 8BITMIME\r\n")),
        ("EHLO", || say("250 \r\n")),
        ("EHLO", || say("250\r\n")),
        ("CONNECT", || say("220-one\r\n220-two\r\n220 three\r\n")),
        ("CONNECT", || say("220 bare line feed\n")),
        ("CONNECT", || Act::Say(b"220 f\xFCr Sie\r\n".to_vec())),
        ("RCPT", || say("251 will forward\r\n")),
        (". ", || Act::Say(b"250 2.0.0 f\xFCr Sie angenommen\r\n".to_vec())),
    ];
    for (number, (step, act)) in cases.into_iter().enumerate() {
        let (server, _) = hostile(step, act);
        let app = TestApp::with(through(server.url())).await;
        app.registered(FIRST).await;
        app.until("SELECT count(*) = 0 FROM login_mails").await;
        assert_eq!(server.mails().len(), 1, "case {number}");
    }
}

#[rocket::async_test]
async fn a_mail_that_the_server_refuses_or_drops_delays_no_other() {
    let cases: [Case; 15] = [
        ("RCPT TO:<first", || say("450 4.2.0 greylisted\r\n")),
        ("RCPT TO:<first", || say("421 4.3.0 not this one\r\n")),
        ("RCPT TO:<first", || say("454 4.7.1 Relay access denied\r\n")),
        ("RCPT TO:<first", || say("550 5.7.1 no\r\n")),
        ("RCPT TO:<first", || Act::Say(b"450 f\xFCr jetzt nicht\r\n".to_vec())),
        ("RCPT TO:<first", || say("what?\r\n")),
        ("RCPT TO:<first", || Act::Close),
        ("RCPT TO:<first", || Act::Silence),
        ("RCPT TO:<first", || Act::Drip(b"2")),
        ("RCPT TO:<first", || Act::Flood(b"250-ok\r\n")),
        (". first", || say("451 4.3.0 later\r\n")),
        (". first", || say("552 5.3.4 too big\r\n")),
        (". first", || say("354 go on\r\n")),
        ("RCPT TO:<first", || say("354 go on\r\n")),
        (". first", || Act::Flood(b"450-no\r\n")),
    ];
    for (number, (step, act)) in cases.into_iter().enumerate() {
        let (server, is_nice) = hostile(step, act);
        let app = TestApp::with(through(server.url())).await;
        app.registered(FIRST).await;
        server.until(step, 1).await;
        app.registered(SECOND).await;
        // The clock stands still, so the second mail did not wait for a retry.
        server.until_mail(SECOND).await;
        app.until("SELECT count(*) = 1 FROM login_mails").await;
        assert!(server.commands(step).len() <= 1, "case {number}: {:?}", server.commands(step));

        // The mail was kept, or the server took it in spite of the answer.
        is_nice.store(true, Ordering::SeqCst);
        server.relent();
        app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
        assert_eq!(server.mails_to(SECOND), 1, "case {number}");
        assert!(server.mails_to(FIRST) >= 1, "case {number}");
    }
}

#[rocket::async_test]
async fn a_mail_that_is_acknowledged_minutes_later_is_not_sent_twice() {
    let server = FakeServer::start(|command, _| match command {
        ". first@example.org" => Act::Later,
        _ => RIGHT,
    });
    let app = TestApp::with(through(server.url())).await;
    app.registered(FIRST).await;
    server.until(". first", 1).await;
    for i in 0..10 {
        app.advance(60);
        app.registered(&format!("user{i}@example.org")).await;
        server.until_mail(&format!("user{i}@example.org")).await;
    }
    app.until("SELECT count(*) = 1 FROM login_mails").await;
    server.relent();
    app.until("SELECT count(*) = 0 FROM login_mails").await;
    assert_eq!((server.mails_to(FIRST), server.mails().len()), (1, 11));
}

#[rocket::async_test]
async fn slow_recipients_do_not_delay_a_new_mail() {
    // Each recipient is deferred at first, and never answered from then on.
    let server =
        FakeServer::start(|command, connection| match command.starts_with("RCPT TO:<slow") {
            true if connection <= 6 => say("451 4.3.0 later\r\n"),
            true => Act::Silence,
            false => RIGHT,
        });
    let app = TestApp::with(through(server.url())).await;
    for i in 0..6 {
        app.registered(&format!("slow{i}@example.org")).await;
    }
    app.until("SELECT min(attempts) = 1 FROM login_mails").await;
    app.advance(10);
    server.until("RCPT TO:<slow", 8).await;
    settle().await;
    assert_eq!(server.commands("RCPT TO:<slow").len(), 8, "not two of six are tried again");
    let start = Instant::now();
    for i in 0..3 {
        app.registered(&format!("user{i}@example.org")).await;
        server.until_mail(&format!("user{i}@example.org")).await;
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    server.relent();
}

#[rocket::async_test]
async fn a_connection_at_the_servers_limit_of_mails_is_replaced_at_once() {
    // The server takes one mail per connection. Then it refuses the next one or hangs up.
    for refusal in [|| say("421 4.7.0 too many mails\r\n"), || Act::Close] {
        let carried = std::sync::Mutex::new(std::collections::HashSet::new());
        let server = FakeServer::start(move |command, connection| {
            let is_second =
                command.starts_with("MAIL") && !carried.lock().unwrap().insert(connection);
            if is_second { refusal() } else { RIGHT }
        });
        // All mails are due at once.
        let app = TestApp::with(through(format!("smtp://127.0.0.1:{}", free_port()))).await;
        for i in 0..8 {
            app.registered(&format!("user{i}@example.org")).await;
        }
        let app = app.restarted(through(server.url())).await;
        app.until_after(10, "SELECT count(*) = 0 FROM login_mails").await;
        assert_eq!((server.mails().len(), server.connections()), (8, 8));
    }
}

#[rocket::async_test]
async fn mails_share_a_connection_that_is_closed_when_none_is_left() {
    let server = FakeServer::start(|_, _| RIGHT);
    let app = TestApp::with(through(format!("smtp://127.0.0.1:{}", free_port()))).await;
    for i in 0..12 {
        app.registered(&format!("user{i}@example.org")).await;
    }
    let app = app.restarted(through(server.url())).await;
    app.until_after(10, "SELECT count(*) = 0 FROM login_mails").await;
    assert_eq!(server.mails().len(), 12);
    assert!(server.connections() <= 4, "{}", server.connections());
    server.until("QUIT", server.connections()).await;
}

#[rocket::async_test]
async fn the_site_introduces_itself_by_its_own_name_or_its_address() {
    for (origin, name) in [
        ("https://example.org", "EHLO example.org"),
        ("https://login.xn--bcher-kva.example:8443", "EHLO login.xn--bcher-kva.example"),
        ("https://intranet", "EHLO [127.0.0.1]"),
        ("https://my_site.example.org", "EHLO [127.0.0.1]"),
        ("https://192.0.2.1", "EHLO [127.0.0.1]"),
    ] {
        let server = FakeServer::start(|_, _| RIGHT);
        let app =
            TestApp::with(|figment| through(server.url())(figment).merge(("site.url", origin)))
                .await;
        app.registered(FIRST).await;
        server.until_mail(FIRST).await;
        assert_eq!(server.commands("EHLO"), [name], "{origin}");
    }

    let server = FakeServer::bound("::1", |_, _| RIGHT);
    let url = format!("smtp://[::1]:{}?tls=none", server.port);
    let app = TestApp::with(|f| through(url)(f).merge(("site.url", "https://intranet"))).await;
    app.registered(FIRST).await;
    server.until_mail(FIRST).await;
    assert_eq!(server.commands("EHLO"), ["EHLO [IPv6:::1]"]);
}

#[rocket::async_test]
async fn letters_outside_ascii_are_sent_in_a_form_that_every_server_accepts() {
    let server = FakeServer::start(|_, _| RIGHT);
    let from = ("mail.from", "\"Büro, Abteilung Ä\" <buero@bücher.example>");
    let port = free_port();
    let away = through(format!("smtp://127.0.0.1:{port}"));
    let app = TestApp::with(|figment| away(figment).merge(from)).await;
    for name in ["domain", "both", "plain"] {
        app.registered(&format!("{name}@example.org")).await;
    }
    app.until("SELECT max(attempts) >= 1 FROM login_mails").await;
    // Sign-up refuses such addresses, but an application can write them to the database.
    for (old, new) in [("domain", "jorg@bücher.example"), ("both", "jörg@bücher.example")] {
        let sql = format!(
            "UPDATE login_mails SET recipient = '{new}' WHERE recipient = '{old}@example.org'"
        );
        app.execute(sqlx::AssertSqlSafe(sql)).await;
    }
    let app = app.restarted(|figment| through(server.url())(figment).merge(from)).await;
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;

    let mut to: Vec<String> = server.mails().into_iter().map(|(to, _)| to).collect();
    to.sort();
    assert_eq!(to, ["jorg@xn--bcher-kva.example", "plain@example.org"]);
    assert_eq!(server.commands("MAIL")[0], "MAIL FROM:<buero@xn--bcher-kva.example>");
    for (_, text) in server.mails() {
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("<buero@xn--bcher-kva.example>"), "{text}");
        let id = text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap();
        assert!(id.ends_with("@xn--bcher-kva.example>"), "{id}");
        assert!(text.lines().all(|line| line.len() <= 998), "{text}");
    }
}

#[rocket::async_test]
async fn every_way_to_offer_a_log_in_is_understood() {
    for offer in [
        "250-fake\r\n250 AUTH PLAIN LOGIN\r\n",
        "250-fake\r\n250 auth login plain\r\n",
        "250-fake\r\n250-AUTH=CRAM-MD5 PLAIN\r\n250 HELP\r\n",
        "250-fake\r\n250 AUTH XOAUTH2 CRAM-MD5 LOGIN\r\n",
    ] {
        let server = FakeServer::start(move |command, _| match command {
            _ if command.starts_with("EHLO") => say(offer),
            "AUTH LOGIN" => say("334 VXNlcm5hbWU6\r\n"),
            "c2l0ZQ==" => say("334 UGFzc3dvcmQ6\r\n"),
            "cCFAIzpzcyVmZg==" => say("235 welcome\r\n"),
            "AUTH PLAIN AHNpdGUAcCFAIzpzcyVmZg==" => say("235 welcome\r\n"),
            _ if command.starts_with("AUTH") => say("535 no\r\n"),
            _ => RIGHT,
        });
        let url = format!("smtp://site:p%21%40%23%3Ass%25ff@127.0.0.1:{}", server.port);
        let app = TestApp::with(through(url)).await;
        app.registered(FIRST).await;
        app.until("SELECT count(*) = 0 FROM login_mails").await;
        assert_eq!(server.mails().len(), 1, "{offer}");
    }
}

#[rocket::async_test]
async fn a_server_with_no_known_log_in_or_broken_tls_is_an_outage() {
    for offer in ["250-fake\r\n250 AUTH CRAM-MD5 \u{1}\r\n", "250-fake\r\n250 STARTTLS\r\n"] {
        for garbage in
            [&b"220 go\r\n250 injected\r\n"[..], b"220 go\r\n", b"454 not now\r\n", b"\x16\x03\x01"]
        {
            let server = FakeServer::start(move |command, _| match command {
                _ if command.starts_with("EHLO") => say(offer),
                "STARTTLS" => Act::Say(garbage.to_vec()),
                _ => RIGHT,
            });
            let app =
                TestApp::with(through(format!("smtp://site:s3cret@127.0.0.1:{}", server.port)))
                    .await;
            app.registered(FIRST).await;
            app.until("SELECT max(attempts) >= 1 FROM login_mails").await;
            settle().await;
            assert!(server.commands("MAIL").is_empty(), "{:?}", server.commands(""));
            assert!(server.connections() <= 2);
        }
    }
}

// `check` talks to the server as the sender of a mail does.

fn check(url: &str) -> (Option<i32>, String) {
    let dir = TempDir::new().unwrap();
    let _ = figment(&dir);
    let mail = format!("{{url=\"{url}\",from=\"Büro <no-reply@bücher.example>\"}}");
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let command = command.arg("check").envs([
        ("ROCKET_SECRET_KEY", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="),
        ("ROCKET_PROFILE", "release"),
        ("ROCKET_LOG_LEVEL", "critical"),
        ("ROCKET_SITE", "{url=\"https://localhost.example.invalid\"}"),
        ("ROCKET_MAIL", mail.as_str()),
    ]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn check_talks_to_the_mail_server_but_sends_no_mail() {
    let server = FakeServer::start(|_, _| RIGHT);
    let (_, said) = check(&server.url());
    assert!(!said.contains("mail.url"), "{said}");
    let said = server.commands("");
    assert_eq!(
        said,
        [
            "EHLO localhost.example.invalid",
            "MAIL FROM:<no-reply@xn--bcher-kva.example>",
            "RCPT TO:<postmaster@example.com>",
            "QUIT"
        ]
    );
    assert!(server.mails().is_empty());
}

#[test]
fn check_says_why_the_mail_server_refuses_every_mail() {
    let cases: [(&str, &str, &str); 9] = [
        ("CONNECT", "554 5.7.1 go away\r\n", "go away"),
        ("EHLO", "250-fake\r\n250-  \r\n550 x\r\n", "several codes"),
        ("MAIL", "553 5.1.8 no such domain\r\n", "no such domain"),
        ("MAIL", "530 5.7.0 Must issue a STARTTLS command first\r\n", "STARTTLS"),
        ("RCPT", "454 4.7.1 <x>: Relay access denied\r\n", "Relay access denied"),
        ("RCPT", "504 5.5.2 <vm>: Helo command rejected\r\n", "Helo command rejected"),
        ("RCPT", "553 5.7.1 not owned by user\r\n", "not owned"),
        ("RCPT", "550 \x1b[2Jrelay\x07 not permitted\r\n", "relay"),
        ("CONNECT", "\x00\x01\x02\r\n", "is not SMTP"),
    ];
    for (step, answer, expected) in cases {
        let server = FakeServer::start(move |command, _| match command.starts_with(step) {
            true => say(answer),
            false => RIGHT,
        });
        let (code, said) = check(&server.url());
        assert_eq!(code, Some(1), "{said}");
        let start = "problem: mail.url: the server cannot be used";
        let line = said.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{step}: {said}"));
        assert!(line.contains(expected) && !line.contains(['\x1b', '\x07', '\0']), "{line}");
    }
    for answer in
        ["450 4.2.0 Greylisted\r\n", "556 5.1.10 nullMX\r\n", "550 Unrouteable address\r\n"]
    {
        let server = FakeServer::start(move |command, _| match command.starts_with("RCPT") {
            true => say(answer),
            false => RIGHT,
        });
        let (_, said) = check(&server.url());
        assert!(!said.contains("mail.url"), "{answer}: {said}");
    }
}
