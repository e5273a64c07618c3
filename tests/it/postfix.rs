//! Debian's Postfix with its default settings and with hardened ones.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::tokio::time;
use tempfile::TempDir;

use crate::database::command;
use crate::mail::{certificate, register, start};
use crate::servers::{self, Running, clean, find, free_port};
use crate::support::TestApp;

const ADA: &str = "ada@example.org";

/// The test's own Postfix, which stores each mail for `example.org` in a file.
struct Postfix {
    dir: TempDir,
    _master: Running,
    /// The port for plain SMTP. `tls_port` is the one for implicit TLS.
    port: u16,
    tls_port: u16,
}

impl Postfix {
    /// Starts Postfix with `settings` as further lines of its `main.cf`.
    fn start(settings: &str) -> Self {
        // Postfix allows no blank in a path, so do not use `TMPDIR`.
        let dir = TempDir::new_in("/tmp").unwrap();
        let path = |name: &str| dir.path().join(name);
        // Its processes run as several users, so the modes must not depend on the umask.
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(dir.path(), 0o755);
        for name in ["etc", "queue", "data", "mail"] {
            fs::create_dir(path(name)).unwrap();
            open(&path(name), 0o755);
        }
        chown(path("data"), Some(user("postfix")), None).unwrap();
        chown(path("mail"), Some(user("nobody")), None).unwrap();
        certificate(&dir);
        // A certificate like the one that `ssl-cert` makes for the machine's name.
        let own = rcgen::generate_simple_self_signed(["vm".to_owned()]).unwrap();
        fs::write(path("own.pem"), own.cert.pem()).unwrap();
        fs::write(path("own-key.pem"), own.signing_key.serialize_pem()).unwrap();

        let (port, tls_port) = (free_port(), free_port());
        let main = format!("{}{settings}\n", include_str!("postfix/main.cf"));
        let main = main.replace("DIR", &dir.path().display().to_string());
        fs::write(path("etc/main.cf"), main).unwrap();
        let master = include_str!("postfix/master.cf");
        let master = master.replace("TLS_PORT", &tls_port.to_string());
        fs::write(path("etc/master.cf"), master.replace("PORT", &port.to_string())).unwrap();
        for name in ["etc/main.cf", "etc/master.cf"] {
            open(&path(name), 0o644);
        }

        let master = Running::start(postfix(&path("etc"), "start-fg"));
        let postfix = Postfix { dir, _master: master, port, tls_port };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", postfix.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        postfix
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Returns the source of the mails that it has delivered.
    fn mails(&self) -> Vec<String> {
        let files = fs::read_dir(self.dir.path().join("mail/all/new"));
        let files = files.into_iter().flatten().flatten();
        files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
    }

    async fn until_mails(&self, count: usize) -> Vec<String> {
        let waiting = async {
            while self.mails().len() < count {
                time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "{}", self.log());
        self.mails()
    }

    fn through(&self) -> impl FnOnce(Figment) -> Figment + use<> {
        let url = format!("smtp://localhost:{}", self.port);
        move |figment| {
            figment
                .select("release")
                .merge(("mail.url", url))
                .merge(("mail.from", "\"Büro, Abteilung Ä\" <buero@bücher.example>"))
                .merge(("site.url", "https://login.example.org"))
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = postfix(&self.dir.path().join("etc"), "abort").stderr(Stdio::null()).status();
    }
}

fn postfix(etc: &Path, command: &str) -> Command {
    let mut postfix = clean(find("postfix").expect("asked for before"));
    postfix.arg("-c").arg(etc).arg(command);
    postfix
}

fn user(name: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let entry = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    entry.unwrap().split(':').nth(1).unwrap().parse().unwrap()
}

/// Returns true if the tests with Postfix can run. Only root can start it.
fn is_installed() -> bool {
    let is_there = find("postfix").is_some() && PathBuf::from("/usr/lib/postfix/sbin").is_dir();
    servers::has(is_there && servers::is_root(), "Postfix, as root")
}

/// The setting of Debian's package, which has a self-signed certificate.
const INSTALLED: &str = "smtpd_tls_security_level = may";

/// The settings that hardening guides recommend, except those that need a name server.
const HARDENED: &str = "
smtpd_tls_security_level = encrypt
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender
smtpd_recipient_restrictions = reject_non_fqdn_recipient, reject_unauth_destination
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_forbid_bare_newline = yes
smtpd_forbid_unauth_pipelining = yes
strict_rfc821_envelopes = yes
strict_7bit_headers = yes
strict_8bitmime = yes
strict_mime_encoding_domain = yes
disable_vrfy_command = yes
smtpd_hard_error_limit = 1
message_size_limit = 20000
header_size_limit = 4096
smtpd_timeout = 10s";

#[rocket::async_test]
async fn a_default_and_a_hardened_postfix_accept_our_mails() {
    if !is_installed() {
        return;
    }
    for settings in [INSTALLED, HARDENED] {
        let server = Postfix::start(settings);
        let app = TestApp::with(server.through()).await;
        app.registered(ADA).await;
        app.registered("x@xn--bcher-kva.example").await;
        for mail in server.until_mails(2).await {
            assert!(mail.is_ascii() && mail.lines().all(|line| line.len() <= 998), "{mail}");
            let has = |start: &str| mail.lines().any(|line| line.starts_with(start));
            assert!(has("Return-Path: <buero@xn--bcher-kva.example>"), "{mail}");
            assert!(has("Received: from login.example.org (localhost"), "{mail}");
            assert!(mail.contains("with ESMTPS"), "{mail}");
            assert!(has("Date: ") && has("Auto-Submitted: auto-generated"), "{mail}");
            assert!(mail.contains("@xn--bcher-kva.example>\n") && has("Message-ID: <"), "{mail}");
        }
        app.until("SELECT count(*) = 0 FROM login_mails").await;
        assert!(!server.log().contains("warning: improper"), "{}", server.log());
    }
}

#[rocket::async_test]
async fn a_postfix_with_rate_limits_gets_each_mail_once() {
    if !is_installed() {
        return;
    }
    for limit in ["smtpd_client_connection_rate_limit = 2", "smtpd_client_message_rate_limit = 2"] {
        // By default, Postfix does not limit the networks that it trusts.
        let server = Postfix::start(&format!(
            "{limit}\nanvil_rate_time_unit = 2s\nsmtpd_client_event_limit_exceptions ="
        ));
        let app = TestApp::with(server.through()).await;
        for i in 0..6 {
            app.registered(&format!("user{i}@example.org")).await;
        }
        let start = Instant::now();
        while app.count("SELECT count(*) FROM login_mails").await > 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", server.log());
            app.advance(2);
            time::sleep(Duration::from_millis(200)).await;
        }
        server.until_mails(6).await;
        app.advance(3600);
        crate::smtp::settle().await;
        assert_eq!(server.mails().len(), 6);
        assert!(server.log().contains("limit exceeded") || server.log().contains("too much mail"));
    }
}

#[rocket::async_test]
async fn a_mail_to_a_mailbox_that_postfix_does_not_know_is_dropped() {
    if !is_installed() {
        return;
    }
    let server = Postfix::start("virtual_mailbox_maps = inline:{ { bob@example.org = all/ } }");
    let app = TestApp::with(server.through()).await;
    app.registered(ADA).await;
    app.registered("bob@example.org").await;
    app.until("SELECT count(*) = 0 FROM login_mails").await;
    assert!(server.until_mails(1).await[0].contains("To: bob@example.org\n"));
}

#[rocket::async_test]
async fn postfix_accepts_mails_over_implicit_tls_and_starttls() {
    if !is_installed() {
        return;
    }
    let server = Postfix::start(
        "smtpd_tls_security_level = may
smtpd_tls_cert_file = DIR/certificate.pem
smtpd_tls_key_file = DIR/key.pem",
    );
    let trusted = server.dir.path().join("certificate.pem").display().to_string();
    let dir = TempDir::new().unwrap();
    for (port, scheme) in [(server.tls_port, "smtps"), (server.port, "smtp")] {
        let query = if scheme == "smtp" { "?tls=required" } else { "" };
        let url = format!("{scheme}://localhost:{port}{query}");
        let site = start(&dir, &url, &[("SSL_CERT_FILE", &trusted)]);
        register(&site);
        server.until_mails(1).await;
        fs::remove_dir_all(server.dir.path().join("mail/all")).unwrap();
        drop(site);
        fs::remove_dir_all(dir.path().join("data")).unwrap();
    }
}

#[test]
fn check_reports_that_postfix_does_not_relay_for_this_site() {
    if !is_installed() {
        return;
    }
    // With the second setting, Postfix treats us as another machine, from which it accepts
    // only mail to its own domains.
    for (networks, is_found) in [("127.0.0.0/8 [::1]/128", false), ("192.0.2.1/32", true)] {
        let server = Postfix::start(&format!("{INSTALLED}\nmynetworks = {networks}"));
        let dir = TempDir::new().unwrap();
        let mail = format!("{{url=\"smtp://localhost:{}\",from=\"a@example.org\"}}", server.port);
        let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        let command = command.arg("check").envs([
            ("ROCKET_SECRET_KEY", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="),
            ("ROCKET_PROFILE", "release"),
            ("ROCKET_SITE", "{url=\"https://login.example.invalid\"}"),
            ("ROCKET_MAIL", mail.as_str()),
        ]);
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(said.contains("Relay access denied"), is_found, "{said}");
        assert_eq!(said.contains("mail.url"), is_found, "{said}");
        assert!(server.mails().is_empty());
    }
}
