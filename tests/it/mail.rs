//! Mails through a real mail server, where each one must arrive exactly once.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rocket::figment::Figment;
use serde_json::Value;
use tempfile::TempDir;

use crate::database::command;
use crate::database::{self, pick};
use crate::servers::free_port;
use crate::servers::program::Program;
use crate::smtp::{SmtpServer, is_installed};
use crate::support::TestApp;

const ADA: &str = "ada@example.org";

fn through(port: u16) -> impl FnOnce(Figment) -> Figment {
    move |figment| {
        figment
            .merge(("mail.url", format!("smtp://127.0.0.1:{port}")))
            .merge(("mail.from", "Example <no-reply@example.org>"))
            .merge(("site.url", "https://example.org"))
    }
}

fn released(port: u16) -> impl FnOnce(Figment) -> Figment {
    move |figment| through(port)(figment).select("release")
}

fn header<'m>(mail: &'m Value, name: &str) -> &'m str {
    let headers = mail["headers"].as_array().unwrap();
    let found =
        headers.iter().find(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no {name} in {mail}"))[1].as_str().unwrap()
}

#[rocket::async_test]
async fn a_mail_has_a_text_part_and_an_html_part() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&[]);
    let app = TestApp::with(through(server.port)).await;
    app.registered(ADA).await;
    let mail = &server.until("text", 1).await[0];
    assert_eq!(mail["to"], serde_json::json!([ADA]));
    assert_eq!(mail["kind"], "multipart/alternative");
    assert_eq!(header(mail, "From"), "Example <no-reply@example.org>");
    assert_eq!(header(mail, "To"), ADA);
    assert_eq!(header(mail, "Subject"), "Confirm your address at example.org");
    assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
    assert!(header(mail, "Message-ID").ends_with("@example.org>"));
    header(mail, "Date");

    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
    let link = text.lines().find(|line| line.starts_with("https://example.org/verify/")).unwrap();
    assert!(html.contains(&format!("href=\"{link}\"")), "{html}");
    assert!(!html.lines().any(|line| line.trim().is_empty()), "{html}");
    app.visitor()
        .post(link.strip_prefix("https://example.org").unwrap(), &[])
        .await
        .assert_redirect("/login");
}

#[rocket::async_test]
async fn in_release_a_sent_mail_is_deleted() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&[]);
    let app = TestApp::with(released(server.port)).await;
    app.registered(ADA).await;
    server.until("text", 1).await;
    app.until("SELECT count(*) = 0 FROM login_mails").await;
}

#[rocket::async_test]
async fn a_waiting_mail_is_encrypted_in_the_database() {
    let app = TestApp::with(released(free_port())).await;
    app.registered(ADA).await;
    app.until("SELECT attempts = 1 FROM login_mails").await;
    let content: String = sqlx::query_scalar("SELECT content FROM login_mails")
        .fetch_one(&mut app.db().await)
        .await
        .unwrap();
    assert!(!content.contains("verify") && !content.contains("example"), "{content}");
}

#[rocket::async_test]
async fn a_page_does_not_wait_for_a_mail_server_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = TestApp::with(through(silent.local_addr().unwrap().port())).await;
    let start = Instant::now();
    for i in 0..5 {
        app.registered(&format!("user{i}@example.org")).await;
    }
    // The site would wait ten seconds for the server's greeting.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[rocket::async_test]
async fn mails_wait_while_the_server_is_down_and_arrive_once_when_it_is_back() {
    if !is_installed() {
        return;
    }
    let port = free_port();
    let app = TestApp::with(released(port)).await;
    for i in 0..3 {
        app.registered(&format!("user{i}@example.org")).await;
    }
    // The site tries again after growing pauses.
    app.until("SELECT max(attempts) = 1 FROM login_mails").await;
    app.until_after(1, "SELECT min(attempts) >= 2 FROM login_mails").await;
    assert_eq!(app.count("SELECT count(*) FROM login_mails").await, 3);

    let server = SmtpServer::start(&["--port", &port.to_string()]);
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
    app.advance(3600);
    crate::smtp::settle().await;
    let mut to: Vec<String> = server.mails().iter().map(|m| m["to"][0].to_string()).collect();
    to.sort();
    assert_eq!(to, [0, 1, 2].map(|i| format!("\"user{i}@example.org\"")));
}

#[rocket::async_test]
async fn a_temporarily_refused_mail_is_retried_and_delays_no_other() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&["--refuse", "451 try again later", "--times", "1"]);
    let app = TestApp::with(released(server.port)).await;
    app.registered("first@example.org").await;
    server.until("refused", 1).await;
    app.registered("second@example.org").await;
    assert_eq!(server.until("text", 1).await[0]["to"][0], "second@example.org");
    app.until("SELECT count(*) = 1 FROM login_mails").await;
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
    assert_eq!(server.until("text", 2).await[1]["to"][0], "first@example.org");
}

#[rocket::async_test]
async fn a_mail_to_a_missing_mailbox_is_dropped() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&["--refuse", "550 5.1.1 no such mailbox"]);
    let app = TestApp::with(released(server.port)).await;
    app.registered(ADA).await;
    server.until("refused", 1).await;
    app.until("SELECT count(*) = 0 FROM login_mails").await;
}

#[rocket::async_test]
async fn a_refusal_that_may_concern_the_site_loses_and_delays_no_mail() {
    if !is_installed() {
        return;
    }
    for answer in ["554 5.7.1 relay denied", "550 5.7.1 [45.1.1.3] rejected", "550 blocked"] {
        let server = SmtpServer::start(&["--refuse", answer, "--times", "3"]);
        let app = TestApp::with(released(server.port)).await;
        for i in 0..4 {
            app.registered(&format!("user{i}@example.org")).await;
        }
        server.until("text", 1).await;
        app.until("SELECT count(*) = 3 FROM login_mails").await;
        app.until_after(1, "SELECT count(*) = 0 FROM login_mails").await;
        assert_eq!(server.until("text", 4).await.len(), 4);
    }
}

#[rocket::async_test]
async fn a_mail_with_an_outdated_link_is_not_sent() {
    if !is_installed() {
        return;
    }
    let port = free_port();
    let app = TestApp::with(released(port)).await;
    app.registered(ADA).await;
    for _ in 0..3 {
        app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
        app.until_after(1, "SELECT min(attempts) > 0 FROM login_mails").await;
    }
    let server = SmtpServer::start(&["--port", &port.to_string()]);
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
    let resets =
        server.mails().into_iter().filter(|mail| mail["text"].to_string().contains("/reset/"));
    assert_eq!(resets.count(), 1);
    assert_eq!(server.mails().len(), 2);
}

#[rocket::async_test]
async fn a_sent_mail_is_not_sent_again_if_its_deletion_fails() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&[]);
    let app = TestApp::with(released(server.port)).await;
    app.execute(database::failing("full", "DELETE", "login_mails")).await;
    app.registered(ADA).await;
    server.until("text", 1).await;
    for _ in 0..40 {
        app.advance(10);
        rocket::tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.execute(pick("DROP TRIGGER full_disk", "DROP TRIGGER full_disk ON login_mails")).await;
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
    assert_eq!(server.mails().len(), 1);
}

#[rocket::async_test]
async fn a_mail_in_transit_at_the_shutdown_is_sent_once() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&["--delay", "1"]);
    let app = TestApp::with(released(server.port)).await;
    app.registered(ADA).await;
    server.until("receiving", 1).await;
    let app = app.restarted(released(server.port)).await;
    assert_eq!(app.count("SELECT count(*) FROM login_mails").await, 0);
    app.advance(120);
    crate::smtp::settle().await;
    assert_eq!(server.mails().len(), 1);
}

#[rocket::async_test]
async fn a_mail_that_waits_for_a_day_is_dropped() {
    let app = TestApp::with(released(free_port())).await;
    app.registered(ADA).await;
    app.until("SELECT attempts = 1 FROM login_mails").await;
    app.advance(24 * 60 * 60 - 100);
    app.until("SELECT count(*) = 1 FROM login_mails").await;
    app.until_after(50, "SELECT count(*) = 0 FROM login_mails").await;
}

#[rocket::async_test]
async fn only_one_of_several_sites_on_one_database_sends_a_mail() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&[]);
    let app = TestApp::with(released(server.port)).await;
    let others = [app.twin(released(server.port)).await, app.twin(released(server.port)).await];
    for i in 0..10 {
        app.registered(&format!("user{i}@example.org")).await;
        others[i % 2].advance(5);
    }
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
    app.advance(3600);
    crate::smtp::settle().await;
    let mut to: Vec<String> = server.mails().iter().map(|m| m["to"][0].to_string()).collect();
    to.sort();
    to.dedup();
    assert_eq!((to.len(), server.mails().len()), (10, 10));
}

#[rocket::async_test]
async fn a_sender_that_died_is_replaced_after_a_minute() {
    if !is_installed() {
        return;
    }
    // The site begins to send the mail and is stopped while it waits for the server.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = TestApp::with(released(silent.local_addr().unwrap().port())).await;
    app.registered(ADA).await;
    app.until("SELECT attempts = 1 FROM login_mails").await;
    let server = SmtpServer::start(&[]);
    let app = app.restarted(released(server.port)).await;
    app.advance(59);
    crate::smtp::settle().await;
    assert_eq!(server.mails().len(), 0);
    app.until_after(1, "SELECT count(*) = 0 FROM login_mails").await;
    server.until("text", 1).await;
}

#[rocket::async_test]
async fn a_rolled_back_sign_up_sends_no_mail() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let fields = [("email", "ADA@example.org"), ("password", "another horse battery")];
    app.visitor().post("/register", &fields).await.assert_status(422);
    app.execute(database::failing("broken", "INSERT", "sessions")).await;
    app.visitor().register("bob@example.org").await.assert_status(503);
    assert_eq!(app.mails().await.len(), 1);
    assert_eq!(app.users().await, 1);
}

#[rocket::async_test]
async fn a_changed_secret_key_drops_waiting_mails_and_sends_new_ones() {
    if !is_installed() {
        return;
    }
    let app = TestApp::with(released(free_port())).await;
    app.registered(ADA).await;
    app.until("SELECT attempts = 1 FROM login_mails").await;
    let server = SmtpServer::start(&[]);
    let key = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    let app = app.restarted(|f| released(server.port)(f).merge(("secret_key", key))).await;
    app.until_after(5, "SELECT count(*) = 0 FROM login_mails").await;
    app.registered("bob@example.org").await;
    assert_eq!(server.until("text", 1).await[0]["to"][0], "bob@example.org");
}

// The program itself, with a mail server that requires TLS or a log-in.

const KEY: (&str, &str) = ("ROCKET_SECRET_KEY", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=");
const REGISTER: &str = "email=ada%40example.org&password=correct+horse+battery";

pub fn start(dir: &TempDir, url: &str, more: &[(&str, &str)]) -> Program {
    let mail = format!("{{url=\"{url}\",from=\"no-reply@example.org\"}}");
    let variables = [
        KEY,
        ("ROCKET_PROFILE", "release"),
        ("ROCKET_MAIL", mail.as_str()),
        ("ROCKET_SITE", "{url=\"https://example.org\"}"),
        ("ROCKET_LOG_LEVEL", "normal"),
    ];
    let program = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    Program::start(program, &[&variables[..], more].concat())
}

pub fn register(site: &Program) {
    let answer = site.request("POST /register", None, REGISTER);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
}

#[rocket::async_test]
async fn a_mail_arrives_once_if_the_site_is_killed_before_it_is_sent() {
    if !is_installed() {
        return;
    }
    let (dir, port) = (TempDir::new().unwrap(), free_port());
    let url = format!("smtp://127.0.0.1:{port}");
    let site = start(&dir, &url, &[]);
    register(&site);
    drop(site); // SIGKILL

    let server = SmtpServer::start(&["--port", &port.to_string()]);
    let site = start(&dir, &url, &[]);
    let mails = server.until("text", 1).await;
    assert_eq!(mails[0]["to"][0], ADA);
    drop(site);
    let _site = start(&dir, &url, &[]);
    crate::smtp::settle().await;
    assert_eq!(server.mails().len(), 1);
}

/// Makes a certificate for the mail server and returns the paths of the certificate and
/// the key.
pub fn certificate(dir: &TempDir) -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("certificate.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    (path("certificate.pem"), path("key.pem"))
}

#[rocket::async_test]
async fn mails_and_passwords_go_through_starttls() {
    if !is_installed() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let (certificate, key) = certificate(&dir);
    let tls = ["--certificate", &certificate, "--key", &key, "--user", "site:s3cret"];
    let server = SmtpServer::start(&tls);
    let url = format!("smtp://site:s3cret@localhost:{}?tls=required", server.port);
    let site = start(&dir, &url, &[("SSL_CERT_FILE", &certificate)]);
    register(&site);
    assert_eq!(server.until("text", 1).await[0]["tls"], true);
    assert_eq!(server.said("authenticated")[0]["authenticated"], true);
    assert!(!site.output().contains("s3cret"), "{}", site.output());
}

#[rocket::async_test]
async fn no_mail_is_sent_to_a_server_with_an_untrusted_certificate() {
    if !is_installed() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let (certificate, key) = certificate(&dir);
    let server = SmtpServer::start(&["--certificate", &certificate, "--key", &key]);
    // The site trusts only another certificate.
    let other = TempDir::new().unwrap();
    let (trusted, _) = self::certificate(&other);
    let url = format!("smtp://localhost:{}?tls=required", server.port);
    let site = start(&dir, &url, &[("SSL_CERT_FILE", &trusted)]);
    register(&site);
    site.until_output("mails wait: the mail server cannot be used").await;
    assert_eq!(server.mails().len(), 0);
}

#[rocket::async_test]
async fn a_refused_log_in_at_the_mail_server_loses_no_mail() {
    if !is_installed() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let server = SmtpServer::start(&["--user", "site:s3cret"]);
    let site = start(&dir, &format!("smtp://site:wrong@127.0.0.1:{}", server.port), &[]);
    register(&site);
    server.until("authenticated", 1).await;
    site.until_output("mails wait: the mail server cannot be used").await;
    assert!(!site.output().contains("wrong"), "{}", site.output());
    drop(site);

    let _site = start(&dir, &format!("smtp://site:s3cret@127.0.0.1:{}", server.port), &[]);
    assert_eq!(server.until("text", 1).await[0]["to"][0], ADA);
}
