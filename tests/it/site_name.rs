//! What pages and mails call the site.

use std::fs;
use std::path::{Path, PathBuf};

use rocket::http::Method;

use crate::fake_smtp::{Act, FakeServer};
use crate::support::{PASSWORD, TestApp, Visitor};

const ADA: &str = "ada@example.org";

/// A name that has to be escaped in HTML.
const NAME: &str = "Ada & Sons";
const ESCAPED: &str = "Ada &amp; Sons";

/// A site with its own name, and with mail.
async fn named() -> TestApp {
    TestApp::with(|figment| figment.merge(("site.name", NAME))).await
}

#[track_caller]
fn assert_named(page: &str, path: &str) {
    let title = page.split("<title>").nth(1).unwrap_or_else(|| panic!("{path}: {page}"));
    let (title, _) = title.split_once("</title>").unwrap();
    assert!(title.ends_with(&format!(" · {ESCAPED}")), "{path}: {title}");
    let brand = page.split("class=\"brand\"").nth(1).unwrap().split("</a>").next().unwrap();
    assert!(brand.ends_with(&format!(">{ESCAPED}")), "{path}: {brand}");
    assert!(!page.contains("rocket-login"), "{path}: {page}");
}

/// Asks for each of our pages that has no variable part. Returns how many there are.
async fn walk(app: &TestApp, visitor: &Visitor<'_>) -> usize {
    let mut pages = 0;
    for route in app.client.rocket().routes() {
        let path = route.uri.path().to_string();
        if route.method != Method::Get || path.contains('<') {
            continue;
        }
        let page = visitor.get(&path).await;
        let is_page = page.header("content-type") == Some("text/html; charset=utf-8");
        if is_page {
            assert_named(&page.body, &path);
            pages += 1;
        }
    }
    pages
}

#[rocket::async_test]
async fn every_page_has_the_name_in_its_title_and_at_its_head() {
    let app = named().await;
    let visitor = app.visitor();
    assert!(walk(&app, &visitor).await > 5);
    let ada = app.registered(ADA).await;
    app.advance(1);
    assert!(walk(&app, &ada).await > 12);

    // Links, refusals and errors.
    ada.post("/account/verify", &[]).await;
    visitor.post("/reset", &[("email", ADA)]).await;
    for path in ["/verify/", "/reset/"] {
        let link = app.link(ADA, path).await;
        assert_named(&visitor.get(&link).await.body, path);
    }
    for path in ["/verify/none", "/reset/none", "/not-me/none", "/nowhere"] {
        assert_named(&visitor.get(path).await.body, path);
    }
    assert_named(&visitor.log_in_with(ADA, "wrong").await.body, "/login");
    let closed = app.restarted(|figment| {
        figment.merge(("site.name", NAME)).merge(("accounts.registration", "closed"))
    });
    let closed = closed.await;
    assert_named(&closed.visitor().get("/register").await.body, "/register");
}

#[rocket::async_test]
async fn every_mail_has_the_name_and_no_other() {
    let app = named().await;
    let ada = app.registered(ADA).await;
    app.visitor().post("/reset", &[("email", ADA)]).await;
    app.visitor().register(ADA).await;
    let fields = [("email", "lovelace@example.org"), ("current_password", PASSWORD)];
    ada.post("/account/email", &fields).await;
    let fields = [("current_password", PASSWORD), ("new_password", "lovelace likes engines")];
    ada.post("/account/password", &fields).await.assert_redirect("/account");

    let mails = app.mails().await;
    assert!(mails.len() > 4, "{mails:?}");
    for mail in mails {
        assert!(mail.subject.contains(&format!(" at {NAME}")), "{mail:?}");
        assert!(mail.html.contains(&format!("You got this email from {ESCAPED} because")));
        let whole = format!("{}{}{}", mail.subject, mail.text, mail.html);
        assert!(!whole.contains("rocket-login") && !whole.contains("at localhost"), "{whole}");
    }
}

#[rocket::async_test]
async fn a_sender_without_a_name_of_its_own_has_that_of_the_site() {
    for (from, name, sender) in [
        ("no-reply@example.org", Some("Notes"), "Notes <no-reply@example.org>"),
        ("Own <no-reply@example.org>", Some("Notes"), "Own <no-reply@example.org>"),
        ("no-reply@example.org", None, "no-reply@example.org"),
    ] {
        let server = FakeServer::start(|_, _| Act::Usual);
        let app = TestApp::with(|figment| {
            let figment = figment.merge(("mail.url", server.url())).merge(("mail.from", from));
            name.into_iter().fold(figment, |figment, name| figment.merge(("site.name", name)))
        });
        let app = app.await;
        app.registered(ADA).await;
        server.until_mail(ADA).await;
        let mails = server.mails();
        let line = format!("From: {sender}");
        assert!(mails[0].1.lines().any(|head| head == line), "{line}: {mails:?}");
    }
}

#[rocket::async_test]
async fn the_host_is_the_name_by_default_and_home_if_the_address_is_not_known() {
    let app = TestApp::with(|f| f.merge(("site.url", "https://notes.example:8443"))).await;
    let page = app.visitor().get("/login").await;
    page.assert_text("<title>Log in · notes.example</title>").assert_text(">notes.example</a>");

    let page = TestApp::release().await.visitor().get("/login").await;
    page.assert_text("<title>Log in</title>").assert_text(">Home</a>");
}

/// The files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The text of a template without its tags, which name the folder of our templates.
fn without_tags(text: &str) -> String {
    let mut parts = text.split("{%");
    let first = parts.next().unwrap_or_default().to_owned();
    first
        + &parts.filter_map(|part| part.split_once("%}")).map(|(_, rest)| rest).collect::<String>()
}

#[test]
fn no_template_and_no_file_has_the_name_of_this_crate() {
    for folder in ["templates", "static"] {
        for path in files(Path::new(folder)) {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!without_tags(&text).contains("rocket-login"), "{}", path.display());
        }
    }
    assert_eq!(without_tags("a{% extends \"b\" %}c{% d %}e"), "ace");
}
