//! A public form takes equally many queries for an address with an account and for one
//! without, so its response time does not reveal who has an account.

use rocket::figment::Figment;
use rocket_login::Email;
use rocket_login::testing::count_calls;

use crate::support::{Answer, PASSWORD, TestApp, Visitor, encode};

const HERE: &str = "192.0.2.1";
const ADA: &str = "ada@example.org";
const WRONG: &str = "wrong horse battery";

/// The mail servers to test with. The outbox of a real one takes more queries than the
/// mailbox of the debug profile.
const MAIL: [Option<&str>; 2] = [None, Some("smtp://127.0.0.1:1?tls=none")];

fn mailing(mail: Option<&str>) -> impl Fn(Figment) -> Figment {
    move |f| match mail {
        Some(url) => f
            .merge(("mail.url", url))
            .merge(("mail.from", "no-reply@example.org"))
            .merge(("site.url", "http://localhost")),
        None => f,
    }
}

async fn site(mail: Option<&str>) -> TestApp {
    TestApp::with(mailing(mail)).await
}

/// Sends a form and returns the answer with the number of queries that it took.
async fn asked<'a>(
    app: &'a TestApp,
    visitor: &Visitor<'a>,
    path: &str,
    fields: &[(&str, &str)],
) -> (Answer, u64) {
    let body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    count_calls(visitor.post_from(app, HERE, path, &body.join("&"))).await
}

/// Asserts that all addresses got the status and the number of queries of the first one.
#[track_caller]
fn assert_alike(found: &[(String, u16, u64)]) {
    // An error of ours would be alike for all, too.
    assert!([200, 303, 422].contains(&found[0].1), "{}: {}", found[0].0, found[0].1);
    for (what, status, calls) in found {
        assert!(*calls > 1, "{what} takes no query");
        assert_eq!((*status, *calls), (found[0].1, found[0].2), "{what}, not {}", found[0].0);
    }
}

/// Registers one account of each kind.
async fn people(app: &TestApp) {
    for email in [ADA, "disabled@example.org", "muted@example.org", "former@example.org"] {
        app.registered(email).await;
    }
    app.execute(
        "UPDATE users SET disabled_at = created_at WHERE email = 'disabled@example.org';
         INSERT INTO login_muted_notices (user_id, notice)
         SELECT id, 'failures' FROM users WHERE email = 'muted@example.org';
         UPDATE login_tokens SET purpose = 'not_me', is_kept = TRUE, expires_at = expires_at * 2
         WHERE email = 'former@example.org';
         UPDATE users SET email = 'moved@example.org' WHERE email = 'former@example.org'",
    )
    .await;
}

#[rocket::async_test]
async fn a_reset_takes_as_many_queries_for_every_address() {
    for mail in MAIL {
        let app = site(mail).await;
        people(&app).await;
        let mut found = Vec::new();
        for email in [
            ADA,
            "unknown@example.org",
            "disabled@example.org",
            "former@example.org",
            "ADA@example.org",
        ] {
            for _ in 0..2 {
                let visitor = app.visitor();
                let (answer, calls) = asked(&app, &visitor, "/reset", &[("email", email)]).await;
                found.push((email.to_owned(), answer.status.code, calls));
            }
        }
        assert_alike(&found);
    }
}

/// An application's own page need not ask whether the site has mail.
#[rocket::async_test]
async fn a_reset_without_mail_takes_as_many_queries_for_every_address() {
    let app = TestApp::release().await;
    people(&app).await;
    app.visitor()
        .with_auth(async |auth| {
            assert!(!auth.has_mail());
            for email in [ADA, "unknown@example.org", "disabled@example.org"] {
                let email = Email::parse(email).unwrap();
                let (asked, calls) = count_calls(auth.ask_reset(&email)).await;
                asked.unwrap();
                assert_eq!(calls, 0, "{email}");
            }
        })
        .await;
}

#[rocket::async_test]
async fn a_sign_up_by_mail_takes_as_many_queries_for_every_address() {
    for mail in MAIL {
        let app = site(mail).await;
        people(&app).await;
        let confirm = |f| mailing(mail)(f).merge(("accounts.registration", "confirm"));
        let app = app.restarted(confirm).await;
        let mut found = Vec::new();
        for email in [ADA, "free@example.org", "disabled@example.org", "former@example.org"] {
            for _ in 0..2 {
                let fields = [("email", email), ("password", PASSWORD)];
                let (answer, calls) = asked(&app, &app.visitor(), "/register", &fields).await;
                found.push((email.to_owned(), answer.status.code, calls));
            }
        }
        assert_alike(&found);
    }
}

#[rocket::async_test]
async fn a_refused_log_in_takes_as_many_queries_for_every_address() {
    for mail in MAIL {
        let app = site(mail).await;
        people(&app).await;
        let guests = ["ada", "unknown", "disabled", "muted", "former", "moved"];
        for has_device in [false, true] {
            // The tenth failure in a row is mailed to the owner.
            for attempt in 1..=10 {
                let mut found = Vec::new();
                for name in guests {
                    let email = format!("{name}@example.org");
                    let stranger = app.visitor();
                    if has_device {
                        stranger.register(&format!("s{attempt}{name}@example.org")).await;
                        stranger.log_out().await;
                    }
                    let fields = [("email", email.as_str()), ("password", WRONG)];
                    let (answer, calls) = asked(&app, &stranger, "/login", &fields).await;
                    found.push((format!("{attempt}: {name}"), answer.status.code, calls));
                }
                assert_alike(&found);
            }
            app.execute("DELETE FROM login_throttle").await;
            app.execute("DELETE FROM login_events").await;
        }
    }
}

#[rocket::async_test]
async fn a_refused_log_in_on_a_known_device_takes_as_many_queries_for_every_address() {
    let app = site(None).await;
    people(&app).await;
    let ada = app.visitor();
    ada.log_in(ADA).await.assert_redirect("/account");
    ada.log_out().await;
    let mut found = Vec::new();
    for email in [ADA, "unknown@example.org", "muted@example.org"].repeat(3) {
        let fields = [("email", email), ("password", WRONG)];
        let (answer, calls) = asked(&app, &ada, "/login", &fields).await;
        found.push((email.to_owned(), answer.status.code, calls));
    }
    assert_alike(&found);
}

#[rocket::async_test]
async fn a_change_of_address_takes_as_many_queries_for_a_taken_and_a_free_one() {
    for mail in MAIL {
        // A session in memory is looked up once more if the sender of mails commits meanwhile.
        let without_cache = |f| mailing(mail)(f).merge(("session.cache", false));
        let app = TestApp::with(without_cache).await;
        people(&app).await;
        let bob = app.registered("bob@example.org").await;
        let mut found = Vec::new();
        for email in [ADA, "free@example.org", "disabled@example.org", "former@example.org"] {
            for _ in 0..2 {
                let fields = [("email", email), ("current_password", PASSWORD)];
                let (answer, calls) = asked(&app, &bob, "/account/email", &fields).await;
                found.push((email.to_owned(), answer.status.code, calls));
            }
        }
        assert_alike(&found);
    }
}
