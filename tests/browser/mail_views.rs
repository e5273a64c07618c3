//! Mails in a browser, as a program for mail would show them.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use rocket::local::asynchronous::Client;
use rocket_login::testing::{self, Mail};
use serde_json::json;

use crate::mails::{every_mail, sends_all};
use crate::support::{Browser, is_installed, run};

/// What a program for mail makes of a mail.
#[derive(Clone, Copy)]
enum Program {
    /// It keeps everything.
    Browser,
    /// It drops the style sheet.
    Plain,
    /// It is Word, as far as a browser can be: it takes what stands in conditional comments, and
    /// leaves out what it does not know.
    Word,
}

/// The ways to look at a mail: a name, the width of the window, the colours and the program.
const WAYS: [(&str, u32, &str, Program); 6] = [
    ("light", 640, "light", Program::Browser),
    ("dark", 640, "dark", Program::Browser),
    ("phone", 320, "light", Program::Browser),
    ("dropped", 640, "light", Program::Plain),
    ("dropped phone", 320, "dark", Program::Plain),
    ("word", 1000, "light", Program::Word),
];

impl Program {
    /// Returns what it shows of `html`.
    fn shown(self, html: &str) -> String {
        let plain = || {
            let (before, rest) = html.split_once("\n<style>").unwrap();
            let (_, after) = rest.split_once("</style>").unwrap();
            before.to_owned() + after
        };
        match self {
            Program::Browser => html.to_owned(),
            Program::Plain => plain(),
            Program::Word => {
                let mut shown = plain().replace("padding:11px 22px;font", "font");
                for part in ["max-width:560px", "display:inline-block", "border-radius:10px"] {
                    shown = shown.replace(part, "");
                }
                for comment in ["<!--[if mso]>", "<![endif]-->"] {
                    assert_eq!(shown.matches(comment).count(), 3, "{shown}");
                    shown = shown.replace(comment, "");
                }
                shown
            }
        }
    }
}

/// Returns each mail by the name of its template, of a site that says all that it can.
pub async fn full_mails() -> BTreeMap<String, Mail> {
    let figment = sends_all(testing::figment())
        .merge(("site.name", "Lovelace & Babbage"))
        .merge(("site.url", "https://accounts.lovelace-and-babbage.example"))
        .merge(("site.support", "help@lovelace-and-babbage.example"));
    let rocket = rocket::custom(figment).attach(rocket_login::stage());
    let client = Client::untracked(rocket).await.expect("the site starts");
    every_mail(&client).await
}

/// Opens each mail in each way, and calls `look` with the names of both.
async fn on_every_mail(look: impl AsyncFn(&Browser, &str, &str)) {
    if !is_installed() {
        return;
    }
    let mails = full_mails().await;
    run(async |_, browser| {
        for (way, width, scheme, program) in WAYS {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", media).await;
            let screen = json!({ "width": width, "height": 720, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
            for (name, mail) in &mails {
                let html = BASE64_STANDARD.encode(program.shown(&mail.html));
                browser.driver.goto(format!("data:text/html;base64,{html}")).await.unwrap();
                look(browser, way, name).await;
            }
        }
    })
    .await;
}

#[rocket::async_test]
async fn every_mail_fits_and_shows_its_button_in_every_program() {
    on_every_mail(async |browser, way, name| {
        let seen = browser
            .evaluate(
                "const page = document.documentElement, button = document.querySelector('.button');
                 const shown = element => getComputedStyle(element);
                 const room = element => parseFloat(shown(element).paddingLeft);
                 return {
                     tooWide: page.scrollWidth - page.clientWidth,
                     isColumn: document.querySelector('.card').offsetWidth <= 560,
                     preview: document.querySelector('.preview').offsetHeight,
                     isButton: !button || (button.offsetHeight >= 44
                         && shown(button).borderTopStyle === 'solid'
                         && room(button) + room(button.firstChild) >= 22
                         && shown(button.firstChild).color !== shown(button).backgroundColor),
                 };",
            )
            .await;
        let expected = json!({ "tooWide": 0, "isColumn": true, "preview": 0, "isButton": true });
        assert_eq!(seen, expected, "{name}, {way}");
    })
    .await;
}

#[rocket::async_test]
#[ignore = "writes pictures to target/pictures: `just pictures`"]
async fn pictures_of_every_mail() {
    std::fs::create_dir_all("target/pictures").unwrap();
    on_every_mail(async |browser, way, name| {
        let file = format!("target/pictures/mail {name} {way}.png");
        browser.driver.screenshot(std::path::Path::new(&file)).await.unwrap();
    })
    .await;
}
