//! Mail templates with the quirks of editors and the mistakes of people.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rocket::error::ErrorKind;
use rocket::figment::Figment;
use rocket_dyn_templates::tera::{self, Value};
use rocket_login::Customize;
use rocket_login::testing::Mail;
use tempfile::TempDir;

use crate::fake_smtp::{Act, FakeServer};
use crate::smtp::{SmtpServer, is_installed};
use crate::support::{TestApp, figment};

const ADA: &str = "ada@example.org";
const WORDS: &str = "Subject: Welcome to {{ site }}\n\nHello.\n\nGo on:\n{{ link }}\n";

/// Makes a directory of templates whose mail `verify` is `words`.
fn own(words: &str) -> TempDir {
    let own = TempDir::new().unwrap();
    let folder = own.path().join("rocket-login/mail");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("verify.txt.tera"), words).unwrap();
    own
}

fn with(own: &Path) -> impl FnOnce(Figment) -> Figment {
    move |figment| figment.merge(("template_dir", own)).merge(("site.url", "https://notes.example"))
}

/// Returns the mail to a new user.
async fn written(words: &str) -> Mail {
    let own = own(words);
    let app = TestApp::with(with(own.path())).await;
    app.registered(ADA).await;
    app.mails().await.remove(0)
}

#[rocket::async_test]
async fn line_ends_and_blanks_in_a_template_do_not_change_the_mail() {
    let link = |mail: &Mail| mail.link("/verify/");
    let plain = written(WORDS).await;
    assert!(plain.html.contains("class=\"button act\""), "{}", plain.html);
    assert!(!plain.html.contains("class=\"preview\""), "{}", plain.html);

    for (how, words) in [
        ("line ends of Windows", WORDS.replace('\n', "\r\n")),
        ("blanks at line ends", WORDS.replace('\n', " \t\n")),
        ("both", WORDS.replace('\n', "  \r\n")),
        ("the mark of Windows' editors", format!("\u{feff}{WORDS}")),
        ("more empty lines", WORDS.replace("\n\n", "\n\n\n\n")),
        ("empty lines first", format!("\r\n\n{WORDS}")),
        ("a block that is left out", format!("{{% if count > 99 %}}\nNo.\n{{% endif %}}\n{WORDS}")),
        ("no line end", WORDS.trim_end().to_owned()),
    ] {
        let mail = written(&words).await;
        assert_eq!(mail.subject, "Welcome to notes.example", "{how}");
        // Only the links may differ.
        let same = |text: &str, mail: &Mail| text.replace(&link(mail), "LINK");
        assert_eq!(same(&mail.html, &mail), same(&plain.html, &plain), "{how}");
        let (text, expected) = (same(&mail.text, &mail), same(&plain.text, &plain));
        assert_eq!(text, expected, "{how}");
    }
}

#[rocket::async_test]
async fn an_empty_subject_or_one_with_a_control_character_stops_the_launch() {
    for subject in ["Hello\rBcc: eve@example.org", "Hello\tthere", "Hello\u{7f}", "a\u{85}b", ""] {
        let (own, dir) =
            (own(&format!("Subject: {subject}\n\n{{{{ link }}}}\n")), TempDir::new().unwrap());
        let figment = with(own.path())(figment(&dir));
        let rocket = rocket::custom(figment).attach(rocket_login::stage());
        let error = rocket.ignite().await.expect_err(subject);
        assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{subject:?}: {error:?}");
    }
}

#[rocket::async_test]
async fn a_subject_that_cannot_be_sent_delays_only_its_own_mail() {
    if !is_installed() {
        return;
    }
    let server = SmtpServer::start(&[]);
    let words =
        "Subject: Welcome{% if address is starting_with(\"tab\") %}\t{% endif %}!\n\n{{ link }}\n";
    let (own, url) = (own(words), format!("smtp://127.0.0.1:{}", server.port));
    let app = TestApp::with(|figment| {
        let figment = with(own.path())(figment).select("release").merge(("mail.url", url));
        figment.merge(("mail.from", "no-reply@example.org"))
    })
    .await;
    app.registered("tab@example.org").await;
    app.until("SELECT attempts = 1 FROM login_mails").await;
    app.registered(ADA).await;
    assert_eq!(server.until("text", 1).await[0]["to"][0], ADA);
    app.until("SELECT count(*) = 1 FROM login_mails").await;

    // The pauses between retries grow, and the retries end.
    for _ in 0..60 {
        app.advance(60);
        rocket::tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(app.count("SELECT attempts FROM login_mails").await < 15);
    app.until_after(3600, "SELECT count(*) = 0 FROM login_mails").await;
    assert_eq!(server.mails().len(), 1);
}

#[rocket::async_test]
async fn a_panic_over_one_mail_delays_only_that_mail() {
    fn explode(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
        assert_ne!(value, "panic@example.org");
        Ok(value.clone())
    }

    let server = FakeServer::start(|_, _| Act::Usual);
    let (own, url) = (own("Subject: Hello {{ address | explode }}\n\n{{ link }}\n"), server.url());
    let customize = Customize::new(|engines| engines.tera.register_filter("explode", explode));
    let configure = |figment| {
        let figment = with(own.path())(figment).select("release").merge(("mail.url", url));
        figment.merge(("mail.from", "no-reply@example.org"))
    };
    let app = TestApp::built(configure, |rocket| rocket.manage(customize)).await;
    app.registered("panic@example.org").await;
    app.until("SELECT attempts = 1 FROM login_mails").await;
    app.registered(ADA).await;
    server.until_mail(ADA).await;
    app.until("SELECT count(*) = 1 FROM login_mails").await;
    app.until_after(10, "SELECT attempts >= 2 FROM login_mails").await;
    assert_eq!(server.mails().len(), 1);
}
