//! What a developer sees in the first minute: what the start prints, the front page, and the way to
//! the mailbox.

use std::process::Command;

use rocket::http::Method;
use rocket_login::stage_at;
use tempfile::TempDir;

use crate::servers::program::{Program, session_cookie};
use crate::support::{PASSWORD, TestApp, Visitor};

const ADA: &str = "ada@example.org";
const FORM: &str = "email=ada%40example.org&password=correct+horse+battery";
const KEY: (&str, &str) = ("ROCKET_SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");

fn program(dir: &TempDir) -> Command {
    crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), dir)
}

/// What `site` has printed at its start: everything up to the advice in the last line.
fn start(site: &Program, last: &str) -> String {
    site.wait_for(last);
    site.output()
}

/// Asserts that nothing of what Rocket says at a launch is in `log`.
#[track_caller]
fn assert_without_rockets_lines(log: &str) {
    for rockets in ["Rocket", "Configured", "Routes", "Catchers", "Fairings", "Shield", "   >> "] {
        assert!(!log.contains(rockets), "{rockets}: {log}");
    }
}

#[test]
fn the_start_says_in_five_lines_where_the_site_is_and_what_to_try() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY]);
    let said = start(&site, "Ctrl-C");
    let url = format!("http://localhost:{}", site.port());
    let database = match crate::database::socket() {
        Some(_) => "postgres://".to_owned(),
        None => dir.path().canonicalize().unwrap().join("data/login.db").display().to_string(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let [first, address, data, mail, advice] = *said.lines().collect::<Vec<_>>() else {
        panic!("{said}");
    };
    assert_eq!(first, format!("rocket-login {version}, profile debug"));
    assert_eq!(address, format!("  Address:  {url}"));
    assert!(data.starts_with(&format!("  Database: {database}")), "{data}");
    assert_eq!(mail, format!("  Emails:   shown at {url}/dev/mailbox"));
    assert!(advice.starts_with(&format!("Sign up at {url}/register, then open the mailbox")));
    assert_without_rockets_lines(&said);
}

#[test]
fn the_start_in_release_is_one_line_without_a_password() {
    let dir = TempDir::new().unwrap();
    let variables = [
        KEY,
        ("ROCKET_PROFILE", "release"),
        ("ROCKET_LOG_LEVEL", "critical"),
        ("ROCKET_MAIL", "{url=\"smtps://ada:hunter2@mail.example.org\",from=\"a@example.org\"}"),
        ("ROCKET_SITE", "{url=\"https://example.org\"}"),
        ("ROCKET_PASSWORD", "{memory_kib=19456,iterations=2}"),
    ];
    let site = Program::start(program(&dir), &variables);
    let said = start(&site, "listening on");
    assert_eq!(said.lines().count(), 1, "{said}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(said.starts_with(&format!("rocket-login {version}, profile release, database ")));
    for part in [
        "site.url https://example.org, mail mail.example.org:465, ",
        &format!("listening on http://127.0.0.1:{}", site.port()),
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("hunter2") && !said.contains("mailbox"), "{said}");
}

#[test]
fn an_applications_program_says_its_own_name_and_its_own_paths() {
    let dir = TempDir::new().unwrap();
    let admin = crate::servers::program::built("admin");
    let site = Program::start(crate::database::command(admin, &dir), &[KEY]);
    let said = start(&site, "Ctrl-C");
    let url = format!("http://localhost:{}", site.port());
    let version = env!("CARGO_PKG_VERSION");
    assert!(said.starts_with(&format!("admin (rocket-login {version}), profile debug\n")));
    assert!(said.contains(&format!("shown at {url}/auth/dev/mailbox\n")), "{said}");
    assert!(said.contains(&format!("Sign up at {url}/auth/register, ")), "{said}");
    assert_without_rockets_lines(&said);
}

#[test]
fn an_ordinary_event_is_no_warning_and_a_request_has_one_line() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY]);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    site.request("POST /login", None, &FORM.replace("correct", "wrong"));
    site.request("POST /logout", Some(&cookie), "");
    let log = site.wait_for("POST /logout 303");
    for event in ["signed_up", "logged_out"] {
        let line = log.lines().find(|line| line.contains(&format!("event={event} "))).unwrap();
        assert!(line.starts_with("security: time="), "{line}");
    }
    let line = log.lines().find(|line| line.contains("event=log_in_failed")).unwrap();
    assert!(line.starts_with("Warning: security: time="), "{line}");
    assert_eq!(log.matches("/logout").count(), 1, "{log}");
    assert!(log.contains("\nPOST /login 422 Unprocessable Entity\n"), "{log}");
}

#[test]
fn the_line_of_a_request_has_no_token_of_a_link_and_no_query() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY]);
    site.request("GET /reset/a-secret-token", None, "");
    site.request("POST /not-me/a-secret-token", None, "");
    site.request("GET /login?next=%2Fa-secret-page", None, "");
    let log = site.wait_for("GET /login 200 OK");
    assert!(log.contains("\nGET /reset/<token> 404 ") || log.contains("\nGET /reset/<token> 410 "));
    assert!(log.contains("\nPOST /not-me/<token> ") && !log.contains("a-secret"), "{log}");
}

#[test]
fn a_site_that_listens_on_every_address_says_one_that_a_browser_can_open() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY, ("ROCKET_ADDRESS", "0.0.0.0")]);
    let said = start(&site, "Ctrl-C");
    assert!(said.contains(&format!("Address:  http://localhost:{}\n", site.port())), "{said}");
}

#[test]
fn the_log_level_decides_what_is_printed_beside_the_start_and_the_events() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY, ("ROCKET_LOG_LEVEL", "critical")]);
    site.request("POST /register", None, FORM);
    let log = site.wait_for("event=signed_up");
    assert!(log.contains("Sign up at ") && !log.contains("POST /register"), "{log}");

    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY, ("ROCKET_LOG_LEVEL", "debug")]);
    let log = site.wait_for("Rocket has launched from");
    assert!(log.contains("Routes:") && log.contains("Sign up at "), "{log}");
}

#[test]
fn a_start_without_a_key_says_so_with_the_fix() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[]);
    let said = start(&site, "Ctrl-C");
    let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("Warning")).collect();
    let fix = "set ROCKET_SECRET_KEY to what `rocket-login secret-key` prints";
    let line = "Warning: secret_key is missing, so a restart logs everybody out; ";
    assert_eq!(warnings, [format!("{line}{fix}")]);
    let cookie = session_cookie(&site.request("POST /register", None, FORM));
    assert!(site.request("GET /account", Some(&cookie), "").contains(ADA));
}

/// Asserts that each page of ours that needs no link links to the mailbox, or that none does.
async fn assert_link_to_mailbox(visitor: &Visitor<'_>, app: &TestApp, is_there: bool) {
    let link = "<a href=\"/dev/mailbox\">Mailbox</a>";
    let mut pages = 0;
    let routes = app.client.rocket().routes().filter(|route| route.method == Method::Get);
    let paths = routes.map(|route| route.uri.path().to_string());
    let paths: Vec<_> = paths.filter(|path| !path.contains('<')).collect();
    for path in paths.iter().map(String::as_str).chain(["/nowhere", "/reset/none"]) {
        let page = visitor.get(path).await;
        if page.header("content-type") == Some("text/html; charset=utf-8") {
            assert_eq!(page.body.contains(link), is_there, "{path}: {}", page.body);
            assert_eq!(page.body.contains("mailbox"), is_there, "{path}: {}", page.body);
            pages += 1;
        }
    }
    assert!(pages > 6, "{pages}");
}

#[rocket::async_test]
async fn every_page_in_debug_leads_to_the_mailbox_and_none_in_release() {
    let debug = TestApp::new().await;
    assert_link_to_mailbox(&debug.visitor(), &debug, true).await;
    let ada = debug.registered(ADA).await;
    assert_link_to_mailbox(&ada, &debug, true).await;
    let release = TestApp::release().await;
    assert_link_to_mailbox(&release.visitor(), &release, false).await;
}

#[rocket::async_test]
async fn the_front_page_in_debug_shows_the_first_steps_until_the_site_has_a_name() {
    const STEPS: &str = "Your first three steps";
    let app = TestApp::new().await;
    let page = app.visitor().get("/").await;
    page.assert_text(STEPS).assert_text("rocket-login = { path = ");
    page.assert_text(".attach(rocket_login::stage_at(").assert_text("href=\"/register\"");
    let ada = app.registered(ADA).await;
    ada.get("/").await.assert_text(STEPS);

    let closed = app.restarted(|f| f.merge(("accounts.registration", "closed"))).await;
    closed.visitor().get("/").await.assert_text("<code>user add</code>");
    let named = closed.restarted(|f| f.merge(("site.name", "Notes"))).await;
    assert!(!named.visitor().get("/").await.body.contains(STEPS));
    let attached = TestApp::staged(|f| f, stage_at("/auth")).await;
    assert!(!attached.visitor().get("/auth").await.body.contains(STEPS));
    let release = TestApp::release().await;
    assert!(!release.visitor().get("/").await.body.contains(STEPS));
}

#[rocket::async_test]
async fn the_three_steps_work() {
    let app = TestApp::new().await;
    let ada = app.visitor();
    ada.post("/register", &[("email", ADA), ("password", PASSWORD)]).await.assert_status(303);
    let mailbox = ada.get("/dev/mailbox").await;
    let link = app.link(ADA, "/verify/").await;
    assert!(mailbox.body.contains(&link), "{}", mailbox.body);
    ada.post(&link, &[]).await.assert_status(303);
    assert_eq!(app.count("SELECT count(*) FROM users WHERE verified_at IS NOT NULL").await, 1);
}
