//! The frame of every page: icon, colours, and the links at its foot.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database;
use crate::support::{PASSWORD, TestApp};

const ADA: &str = "ada@example.org";
const SUPPORT: &str = "help@example.org";

/// A red square, 1 pixel wide.
const PNG: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0,
    0, 0, 144, 119, 83, 222, 0, 0, 0, 12, 73, 68, 65, 84, 8, 215, 99, 248, 207, 192, 0, 0, 3, 1, 1,
    0, 24, 221, 141, 176, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];
const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\"/>";

/// The part of `page` from `start` to `end`.
fn between<'p>(page: &'p str, start: &str, end: &str) -> &'p str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("no {start} in {page}"));
    rest.split_once(end).unwrap().0
}

/// The texts of the links at the foot of `page`, each with its address. The mailbox is left out, to
/// which each page in debug links.
fn foot(page: &str) -> Vec<(String, String)> {
    let foot = between(page, "<footer class=\"foot\">", "</footer>");
    let links = foot.split("<a href=\"").skip(1).map(|link| {
        let (href, text) = link.split_once("\">").unwrap();
        (text.split('<').next().unwrap().to_owned(), href.to_owned())
    });
    links.filter(|(text, _)| text != "Mailbox").collect()
}

fn link(text: &str, href: &str) -> (String, String) {
    (text.to_owned(), href.to_owned())
}

#[rocket::async_test]
async fn every_page_links_what_is_configured_and_nothing_else_at_its_foot() {
    let app = TestApp::with(|figment| {
        let figment = figment.merge(("site.support", SUPPORT)).merge(("site.terms", "/terms"));
        figment.merge(("site.privacy", "https://example.org/privacy?a=b"))
    });
    let app = app.await;
    let ada = app.registered(ADA).await;
    let all = [
        link("Contact", "mailto:help@example.org"),
        link("Terms", "/terms"),
        link("Privacy", "https://example.org/privacy?a=b"),
    ];
    for path in ["/", "/login", "/account", "/account/sessions", "/reset/none", "/nowhere"] {
        assert_eq!(foot(&ada.get(path).await.body), all, "{path}");
    }

    let help = "https://example.org/help";
    let app = app.restarted(|figment| figment.merge(("site.support", help))).await;
    assert_eq!(foot(&app.visitor().get("/login").await.body), [link("Help", help)]);
    let app = app.restarted(|figment| figment.select("release")).await;
    for path in ["/login", "/register", "/nowhere"] {
        app.visitor().get(path).await.assert_no_text("<footer").assert_no_text("you agree");
    }
}

/// The words of the page, as a screen reader says them.
fn words(page: &str) -> String {
    let texts = page.split('<').filter_map(|part| Some(part.split_once('>')?.1));
    texts.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[rocket::async_test]
async fn sign_up_says_what_the_visitor_agrees_to() {
    let mut app = TestApp::new().await;
    let (terms, privacy) = (("site.terms", "/terms"), ("site.privacy", "/privacy"));
    let new_tab = " (opens in a new tab)";
    for (keys, agreed) in [
        (vec![terms], "the terms{}."),
        (vec![privacy], "the privacy policy{}."),
        (vec![terms, privacy], "the terms{} and the privacy policy{}."),
    ] {
        app = app.restarted(|f| keys.iter().fold(f, |f, key| f.merge(*key))).await;
        let text = words(&app.visitor().get("/register").await.body);
        let agreed = format!("By signing up you agree to {}", agreed.replace("{}", new_tab));
        assert!(text.contains(&agreed), "{text}");
    }
}

#[rocket::async_test]
async fn pages_that_refer_to_the_operator_name_the_support_address() {
    let operator = "the operator of this site";
    // In release no mail is sent without `mail.url`.
    let app = TestApp::release().await;
    app.registered(ADA).await;
    app.visitor().get("/reset").await.assert_text(operator);
    let app = app.restarted(|f| f.select("release").merge(("site.support", SUPPORT))).await;
    let visitor = app.visitor();
    let named = format!("Ask support at <a href=\"mailto:{SUPPORT}\">{SUPPORT}</a> for ");
    let ada = app.visitor();
    ada.log_in(ADA).await;
    visitor.get("/reset").await.assert_text(&format!("{named}a reset link"));
    visitor.post("/reset", &[("email", ADA)]).await.assert_text(&format!("{named}a reset link"));
    ada.get("/account/email").await.assert_text(&format!("{named}help"));

    // Messages from the code.
    app.execute("UPDATE users SET disabled_at = 1").await;
    let page = visitor.log_in(ADA).await;
    page.assert_text("Ask support at help@example.org for help.").assert_no_text(operator);
}

#[rocket::async_test]
async fn messages_about_what_a_link_has_done_name_the_support_address() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let fields = [("current_password", PASSWORD), ("new_password", "lovelace likes engines")];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    let link = app.link(ADA, "/not-me/").await;

    // Meanwhile the site has given up its mail.
    let app = app.restarted(|f| f.select("release").merge(("site.support", SUPPORT))).await;
    let visitor = app.visitor();
    let told = format!("Ask support at {SUPPORT} for a reset link.");
    visitor.get(&link).await.assert_text("so ask support at <a href=\"mailto:");
    visitor.post(&link, &[]).await.assert_redirect("/login");
    visitor.get("/login").await.assert_text(&told);
    visitor.get(&link).await.assert_status(404).assert_text(&told);
}

#[rocket::async_test]
async fn a_mail_that_refers_to_the_operator_names_the_support_address() {
    let app = TestApp::with(|figment| figment.merge(("site.support", SUPPORT))).await;
    let ada = app.registered(ADA).await;
    app.visitor().get(&app.link(ADA, "/verify/").await).await;
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    let fields = [("email", "thief@example.org"), ("current_password", PASSWORD)];
    ada.post("/account/email", &fields).await.assert_redirect("/account");
    ada.post(&app.link("thief@example.org", "/verify/").await, &[]).await;
    app.visitor().post(&app.link(ADA, "/not-me/").await, &[]).await.assert_redirect("/login");

    let mails = app.mails().await;
    let mail = mails.iter().find(|mail| mail.text.contains("think that the account is yours"));
    let text = &mail.unwrap_or_else(|| panic!("{mails:?}")).text;
    assert!(text.contains("contact the operator: help@example.org"), "{text}");
}

#[rocket::async_test]
async fn phones_and_browsers_find_our_icon_and_the_manifest() {
    let app = TestApp::with(|figment| figment.merge(("site.name", "Ada & Sons"))).await;
    let visitor = app.visitor();
    let page = visitor.get("/login").await.body;
    for (rel, kind) in [("icon", "image/svg+xml"), ("apple-touch-icon", "image/png")] {
        let href = between(&page, &format!("<link rel=\"{rel}\" href=\""), "\"");
        let file = visitor.get(href).await;
        file.assert_status(200);
        assert_eq!(file.header("content-type"), Some(kind), "{href}");
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    for (path, kind) in [("/favicon.ico", "image/svg+xml"), ("/apple-touch-icon.png", "image/png")]
    {
        assert_eq!(visitor.get(path).await.header("content-type"), Some(kind), "{path}");
    }

    let href = between(&page, "<link rel=\"manifest\" href=\"", "\"");
    let manifest = visitor.get(href).await;
    assert_eq!(manifest.header("content-type"), Some("application/manifest+json"));
    assert_eq!(manifest.header("set-cookie"), None);
    let manifest: Value = serde_json::from_str(&manifest.body).unwrap();
    assert_eq!(manifest["name"], "Ada & Sons");
    assert_eq!((&manifest["start_url"], &manifest["display"]), (&json!("/"), &json!("browser")));
    let icons = manifest["icons"].as_array().unwrap();
    assert_eq!(icons.len(), 2, "{manifest}");
    for icon in icons {
        let file = visitor.get(icon["src"].as_str().unwrap()).await;
        assert_eq!(file.header("content-type"), icon["type"].as_str(), "{icon}");
    }
}

#[rocket::async_test]
async fn the_colours_of_browser_and_manifest_are_those_of_the_page() {
    let app = TestApp::new().await;
    let style = include_str!("../../static/style.css");
    let pages: Vec<&str> =
        style.split("--page: ").skip(1).map(|rest| rest.split(';').next().unwrap()).collect();
    let [light, dark] = pages[..] else { panic!("{pages:?}") };
    let page = app.visitor().get("/login").await;
    for (colour, scheme) in [(light, "light"), (dark, "dark")] {
        page.assert_text(&format!(
            "<meta name=\"theme-color\" content=\"{colour}\" media=\"(prefers-color-scheme: {scheme})\">"
        ));
    }
    let manifest = app.visitor().get("/manifest.webmanifest").await;
    manifest.assert_text(&format!("\"background_color\":\"{light}\",\"theme_color\":\"{light}\""));
}

#[rocket::async_test]
async fn an_icon_of_the_sites_own_takes_the_place_of_ours() {
    let dir = TempDir::new().unwrap();
    let mut app = TestApp::new().await;
    for (name, content, kind, sizes) in [
        ("logo.png", PNG, "image/png", "1x1"),
        ("logo.svg", SVG.as_bytes(), "image/svg+xml", "any"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        app = app.restarted(|figment| figment.merge(("site.icon", path))).await;
        // It is read only at the launch.
        fs::remove_file(dir.path().join(name)).unwrap();

        let visitor = app.visitor();
        let page = visitor.get("/login").await.body;
        let href = between(&page, "<link rel=\"icon\" href=\"", "\"");
        assert_eq!(page.matches(href).count(), 3, "tab, phone and bar: {page}");
        assert!(!page.contains("/icon.svg"), "{page}");
        for path in [href, "/favicon.ico"] {
            let response = app.client.get(path.to_owned()).dispatch().await;
            assert_eq!(response.content_type().unwrap().to_string(), kind, "{path}");
            assert_eq!(response.into_bytes().await.unwrap(), content, "{path}");
        }

        let manifest = visitor.get("/manifest.webmanifest").await.body;
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let icon = json!([{"src": href, "sizes": sizes, "type": kind}]);
        assert_eq!(manifest["icons"], icon);
        // Phones do not take an SVG, and ours would be the wrong one.
        let status = if kind == "image/png" { 200 } else { 404 };
        visitor.get("/apple-touch-icon.png").await.assert_status(status);
    }
    app.visitor().get("/static/own-icon.png").await.assert_status(404);
}

#[test]
fn an_icon_that_cannot_be_used_stops_the_start_with_key_and_file() {
    let dir = TempDir::new().unwrap();
    let large = [PNG, &vec![0; 256 * 1024][..]].concat();
    for (name, content, problem) in [
        ("none.png", None, "cannot be read: "),
        ("logo.gif", Some(&b"GIF89a"[..]), "is neither an SVG nor a PNG; write the path of such"),
        (
            "large.png",
            Some(&large[..]),
            "is too large; write the path of a file of at most 256 KiB",
        ),
    ] {
        let path = dir.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let mut program = database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
        // It cannot listen there, so it ends even if it takes the icon.
        program.env("ROCKET_ADDRESS", "203.0.113.1");
        program.env("ROCKET_SITE", format!("{{icon={path:?}}}"));
        let output = program.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let start = format!("Error: site.icon: {} {problem}", path.display());
        assert!(said.starts_with(&start) && said.lines().count() == 1, "{name}: {said}");
    }
}
