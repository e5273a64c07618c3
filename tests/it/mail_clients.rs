//! Mails as programs for mail show them, and links as gateways and people pass them on.

use std::collections::BTreeSet;

use rocket::http::Method;
use rocket_login::testing::Mail;

use crate::fake_smtp::{Act, FakeServer};
use crate::mails::{every_mail, sends_all};
use crate::support::{PASSWORD, TestApp};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const EVE: &str = "eve@example.org";

/// Each mail, with the name of its template, of a site with support.
async fn mails() -> Vec<(String, Mail)> {
    let app = TestApp::with(|figment| {
        let figment = sends_all(figment).merge(("site.url", "https://notes.example"));
        figment.merge(("site.name", "Notes")).merge(("site.support", "help@notes.example"))
    });
    every_mail(&app.await.client).await.into_iter().collect()
}

/// What stands between `start` and `end`, wherever it does.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    let parts = text.split(start).skip(1);
    parts.map(|part| part.split_once(end).unwrap_or_else(|| panic!("no {end}: {part}")).0).collect()
}

/// The mail for a program that is not Word.
fn without_word(html: &str) -> String {
    let mut parts = html.split("<!--[if mso]>");
    let first = parts.next().unwrap().to_owned();
    first + &parts.map(|part| part.split_once("<![endif]-->").unwrap().1).collect::<String>()
}

/// The value of the attribute `name` in each tag `<tag …>`.
fn attributes<'h>(html: &'h str, tag: &str, name: &str) -> Vec<Option<&'h str>> {
    let tags = between(html, &format!("<{tag} "), ">");
    let value = |tag: &'h str| between(tag, &format!("{name}=\""), "\"").first().copied();
    tags.into_iter().map(value).collect()
}

#[rocket::async_test]
async fn every_mail_keeps_its_look_without_its_style_sheet() {
    for (name, mail) in mails().await {
        let html = without_word(&mail.html);
        assert_eq!(between(&html, "<style>", "</style>").len(), 1, "{name}");
        // All that the sheet adds is for dark mode and phones.
        let sheet = between(&html, "<style>", "</style>")[0];
        let plain = sheet.split("@media").next().unwrap();
        assert_eq!(plain.trim(), ":root{color-scheme:light dark}", "{name}");

        let body = html.split_once("<body ").unwrap().1;
        for tag in ["td", "h1", "p", "a"] {
            let styles = attributes(body, tag, "style");
            assert_eq!(styles.len(), body.matches(&format!("<{tag}")).count(), "{name}: {tag}");
            for style in styles.into_iter().map(|style| style.expect(tag)) {
                let is_box = style.contains("border:1px solid");
                let is_text = style.contains("font-size:") && style.contains("font-family:");
                let is_link_in_text = tag == "a" && style == "display:inline-block;color:#48525f";
                assert!(is_box || is_text || is_link_in_text, "{name}: {tag}: {style}");
                assert!(is_box || style.contains("color:#"), "{name}: {tag}: {style}");
            }
        }
        for dropped in ["<main", "<footer", "<section", "<button", "float:", "flex", "grid"] {
            assert!(!body.contains(dropped), "{name}: {dropped}");
        }
    }
}

#[rocket::async_test]
async fn word_gets_a_width_and_the_padding_of_the_button() {
    for (name, mail) in mails().await {
        let word = between(&mail.html, "<!--[if mso]>", "<![endif]-->").concat();
        assert!(word.contains("width=\"560\""), "{name}: {word}");
        assert!(word.contains(".button{padding:11px 22px}"), "{name}: {word}");
        for tables in [&without_word(&mail.html), &word] {
            assert_eq!(tables.matches("<table").count(), tables.matches("</table").count());
            let roles = attributes(tables, "table", "role");
            assert!(roles.iter().all(|role| *role == Some("presentation")), "{name}: {roles:?}");
        }
        // The colour and the edge are the cell's, and no link looks like a button by itself.
        for button in between(&mail.html, "class=\"button ", "</td>") {
            let (cell, link) = button.split_once('>').unwrap();
            assert!(cell.contains("background-color:#") && cell.contains("border:1px solid #"));
            assert!(link.starts_with("<a ") && !link.contains("background"), "{name}: {link}");
        }
    }
}

#[rocket::async_test]
async fn a_mail_loads_nothing_and_is_small() {
    for (name, mail) in mails().await {
        for loading in ["<img", "<link", "<script", "url(", "@import", "@font-face", "src="] {
            assert!(!mail.html.contains(loading), "{name}: {loading}");
        }
        let links = attributes(&mail.html, "a", "href");
        let is_ours = |link: &str| link.starts_with("https://notes.example/");
        for link in links.into_iter().map(Option::unwrap) {
            assert!(is_ours(link) || link == "mailto:help@notes.example", "{name}: {link}");
        }
        assert!(mail.html.len() < 20 * 1024, "{name}: {}", mail.html.len());
    }
}

#[rocket::async_test]
async fn every_mail_has_a_preview_of_its_own_outside_the_text() {
    let mut previews = BTreeSet::new();
    for (name, mail) in mails().await {
        let preview = between(&mail.html, "<div class=\"preview\" style=\"display:none;", "</div>");
        let [preview] = preview[..] else { panic!("{name}: {preview:?}") };
        let (style, preview) = preview.split_once("\">").unwrap();
        // Spam filters look for text that nobody could read.
        assert!(style.contains("color:#48525f") && !style.contains("font-size"), "{name}: {style}");
        let sentence = preview.lines().next().unwrap().replace("&#x27;", "'");
        assert!(sentence.ends_with('.') && sentence.len() > 40, "{name}: {sentence}");
        assert!(!mail.text.contains(&sentence) && !mail.text.contains("Preview:"), "{name}");
        assert!(!mail.subject.contains(&sentence), "{name}: {sentence}");
        previews.insert((name, sentence));
    }
    let sentences: BTreeSet<_> = previews.iter().map(|(_, sentence)| sentence).collect();
    assert!(sentences.len() >= previews.len() - 1, "{previews:#?}");
}

#[rocket::async_test]
async fn only_a_mail_whose_point_is_its_link_has_a_loud_button() {
    for (name, mail) in mails().await {
        let is_notice = mail.text.contains("/not-me/");
        let is_quiet = mail.html.contains("class=\"button quiet\"");
        assert_eq!(is_quiet, is_notice, "{name}");
        assert_eq!(
            mail.html.contains("class=\"button act\""),
            mail.text.contains("https://") && !is_notice,
            "{name}"
        );
        if is_notice {
            let (before, _) = mail.text.split_once("Log out all devices and choose").unwrap();
            let good_end = match &*name {
                // There is something to do even if all is well.
                "recovery_low" => "make new codes in the security settings of your account.",
                _ => "If this was you, you can ignore this email.",
            };
            assert!(before.ends_with(&format!("{good_end} If not:\n\n")), "{name}: {before}");
        }
    }
}

#[rocket::async_test]
async fn the_subject_fits_on_a_phone_up_to_the_name_of_the_site() {
    for (name, mail) in mails().await {
        let point = mail.subject.strip_suffix(" at Notes").unwrap_or_else(|| panic!("{name}"));
        assert!(point.len() <= 36, "{name}: {point}");
    }
}

#[rocket::async_test]
async fn both_parts_of_a_mail_say_why_it_came_and_where_to_ask() {
    let reason = "You got this email from Notes because this address has an account there or was \
                  entered there.";
    for (name, mail) in mails().await {
        let end = format!("\n\n{reason}\nQuestions? Contact help@notes.example\n");
        assert!(mail.text.ends_with(&end), "{name}: {}", mail.text);
        let (_, foot) = mail.html.split_once(reason).unwrap_or_else(|| panic!("{name}"));
        assert!(foot.contains("<a href=\"mailto:help@notes.example\""), "{name}: {foot}");
    }

    let app = TestApp::new().await;
    app.registered(ADA).await;
    let mail = app.mails().await.remove(0);
    assert!(mail.text.ends_with("or was entered there.\n"), "{}", mail.text);
    assert!(!mail.html.contains("Questions?"), "{}", mail.html);
}

#[rocket::async_test]
async fn text_runs_in_its_own_direction() {
    for (name, mail) in mails().await {
        let body = mail.html.split_once("<body ").unwrap().1;
        for tag in ["h1", "p"] {
            let directions = attributes(body, tag, "dir");
            assert!(directions.iter().all(Option::is_some), "{name}: {tag}: {directions:?}");
        }
        assert!(mail.html.contains("<html lang=\"en\">"), "{name}");
        assert!(mail.html.contains(&format!("<title>{}</title>", mail.subject)), "{name}");
    }
}

/// Decodes quoted-printable, as RFC 2045 (section 6.7) says.
fn decoded(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut parts = text.split('=');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

#[rocket::async_test]
async fn a_link_survives_the_encoding_of_the_mail() {
    let server = FakeServer::start(|_, _| Act::Usual);
    // Letters outside ASCII and long lines have to be encoded.
    let name = "Ñandú & Café";
    let app = TestApp::with(|figment| {
        let figment = figment.merge(("mail.url", server.url())).merge(("site.name", name));
        figment.merge(("mail.from", "no-reply@example.org"))
    });
    let app = app.await;
    app.registered(ADA).await;
    server.until_mail(ADA).await;
    let (_, raw) = server.mails().remove(0);
    // A line that begins with a point has a second one on the way (RFC 5321, section 4.5.2).
    let raw = raw.replace("\r\n..", "\r\n.");
    assert!(raw.split("\r\n").all(|line| line.len() <= 78), "{raw}");

    let (_, boundary) = raw.split_once("boundary=\"").unwrap();
    let (boundary, rest) = boundary.split_once('"').unwrap();
    let parts: Vec<&str> = rest.split(&format!("--{boundary}")).skip(1).take(2).collect();
    let written = app.mails().await.remove(0);
    for (part, expected) in parts.into_iter().zip([&written.text, &written.html]) {
        assert!(part.contains("Content-Transfer-Encoding: quoted-printable\r\n"), "{part}");
        let (_, body) = part.split_once("\r\n\r\n").unwrap();
        assert_eq!(decoded(body).trim_end(), expected.trim_end());
    }
    // It stands alone in its line, where no program takes anything else for a part of it.
    let link = written.text.lines().find(|line| line.contains("/verify/")).unwrap();
    app.visitor().get(path(link)).await.assert_status(200);
}

/// The path of `link`, which is alone in its line.
fn path(link: &str) -> &str {
    let (_, rest) = link.split_once("://").unwrap();
    &rest[rest.find('/').unwrap()..]
}

/// Returns the path of a link of each kind, each to an account of its own.
async fn links(app: &TestApp) -> [String; 3] {
    app.registered(ADA).await;
    app.registered(BOB).await;
    app.visitor().post("/reset", &[("email", BOB)]).await;
    app.registered(EVE).await;
    app.visitor().log_in(EVE).await;
    [
        app.link(ADA, "/verify/").await,
        app.link(BOB, "/reset/").await,
        app.link(EVE, "/not-me/").await,
    ]
}

/// Uses the link `path`.
async fn follow(app: &TestApp, path: &str) {
    let form = [("new_password", "lovelace likes engines")];
    app.visitor().post(path, &form).await.assert_redirect("/login");
}

#[rocket::async_test]
async fn a_link_works_with_what_programs_append_to_it() {
    for appended in [
        "?utm_source=mail&x=y",
        "&utm_source=mail",
        "?",
        ".",
        ",",
        ")",
        "]",
        "%3E",
        "%22",
        "%20",
        "%0D%0A",
        "%E2%80%9D",
        ";jsessionid=1",
        "%3Futm=1",
        "%2F..%2F..%2Faccount",
    ] {
        let app = TestApp::new().await;
        for link in links(&app).await {
            let page = app.visitor().get(&format!("{link}{appended}")).await;
            page.assert_status(200);
            // The form leads to the link itself.
            page.assert_text(&format!("action=\"{link}\""));
            follow(&app, &format!("{link}{appended}")).await;
        }
    }
}

#[rocket::async_test]
async fn a_link_works_if_a_gateway_has_encoded_it() {
    let app = TestApp::new().await;
    for link in links(&app).await {
        let encode = |c: char| match c {
            '/' => c.into(),
            _ => format!("%{:02x}", u32::from(c)),
        };
        let encoded: String = link.chars().map(encode).collect();
        app.visitor().get(&encoded).await.assert_status(200);
        follow(&app, &encoded).await;
    }
}

#[rocket::async_test]
async fn a_link_that_a_program_has_changed_says_that_it_does_not_work() {
    let app = TestApp::new().await;
    for link in links(&app).await {
        let (path, token) = link.rsplit_once('/').unwrap();
        for wrong in [
            format!("{path}/{}", token.to_lowercase()),
            format!("{path}/{}", token.to_uppercase()),
            format!("{path}/{}", &token[..42]),
            format!("{path}/{token}A"),
            format!("{path}/.{token}"),
        ] {
            app.visitor().get(&wrong).await.assert_status(404).assert_text("<h1>");
            app.visitor().post(&wrong, &[("new_password", PASSWORD)]).await.assert_status(404);
        }
        follow(&app, &link).await;
    }
}

#[rocket::async_test]
async fn a_scanner_that_opens_every_link_of_every_mail_changes_nothing() {
    let app = TestApp::with(sends_all).await;
    let mails = every_mail(&app.client).await;
    let state = async || {
        let mut state = Vec::new();
        for sql in [
            "SELECT count(*) FROM login_tokens",
            "SELECT count(*) FROM users WHERE verified_at IS NULL",
            "SELECT count(*) FROM sessions",
            "SELECT count(*) FROM login_mails",
            "SELECT count(*) FROM login_events",
        ] {
            state.push(app.count(sql).await);
        }
        state
    };
    let before = state().await;
    for (name, mail) in &mails {
        for line in mail.text.lines().filter(|line| line.contains("://")) {
            let path = path(line);
            for method in [Method::Get, Method::Head, Method::Options, Method::Get] {
                let request = app.client.req(method, path);
                let scanner = app.visitor();
                let answer = scanner.send(request).await;
                assert!(answer.status.code < 500, "{name}: {path}: {}", answer.status);
                assert!(!scanner.has_cookie("session"), "{name}: {path}");
            }
        }
    }
    assert_eq!(state().await, before);
}
