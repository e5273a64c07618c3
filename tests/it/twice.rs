//! A form is sent twice, because of a double click or because the first answer was lost.
//! The second request has the cookies from before the first answer.

use rocket::futures::future::join;
use rocket::http::ContentType;

use crate::support::{Answer, PASSWORD, TestApp, Visitor, encode, header};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";

/// The two requests come one after the other, or at the same time.
const WAYS: [bool; 2] = [false, true];

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Returns a browser with the present cookies of `visitor`.
fn copy<'a>(app: &'a TestApp, visitor: &Visitor<'_>) -> Visitor<'a> {
    let copy = app.visitor();
    for name in ["session", "session-device", "session-sign-up"] {
        if let Some(value) = visitor.cookie(name) {
            copy.set_cookie(name, value);
        }
    }
    copy
}

async fn post<'a>(app: &'a TestApp, from: &Visitor<'a>, path: &str, fields: Fields<'_>) -> Answer {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let request = app.client.post(path.to_owned()).header(ContentType::Form);
    from.send(request.header(header("User-Agent", "Test/1")).body(fields.join("&"))).await
}

/// Sends the form twice, and returns both browsers with their answers.
async fn twice<'a>(
    app: &'a TestApp,
    visitor: &Visitor<'_>,
    at_once: bool,
    path: &str,
    fields: Fields<'_>,
) -> [(Visitor<'a>, Answer); 2] {
    let (first, second) = (copy(app, visitor), copy(app, visitor));
    let answers = match at_once {
        true => join(post(app, &first, path, fields), post(app, &second, path, fields)).await,
        false => (post(app, &first, path, fields).await, post(app, &second, path, fields).await),
    };
    [(first, answers.0), (second, answers.1)]
}

/// Asserts that of two answers to an act that replaces the session's token, the one with the
/// new token leads to `to`, and the other browser sees `message` on the log-in page.
async fn assert_told(both: [(Visitor<'_>, Answer); 2], to: &str, message: &str) {
    let mut told = 0;
    for (browser, answer) in both {
        assert!([to, "/account", "/login"].contains(&answer.header("location").unwrap()));
        answer.assert_status(303);
        if !browser.is_logged_in().await {
            browser.get("/login").await.assert_text(message);
            told += 1;
        }
    }
    assert_eq!(told, 1);
}

#[rocket::async_test]
async fn a_sign_up_sent_twice_makes_one_account() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let fields = [("email", ADA), ("password", PASSWORD), ("next", "/account/sessions")];
        for (browser, answer) in twice(&app, &app.visitor(), at_once, "/register", &fields).await {
            answer.assert_redirect("/account/sessions");
            assert!(browser.is_logged_in().await);
        }
        assert_eq!(app.users().await, 1);
    }
}

#[rocket::async_test]
async fn a_sign_up_with_a_taken_address_counts_as_a_log_in() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    // A wrong password counts as an attempt at the account and is in its history.
    let wrong = [("email", ADA), ("password", "wrong horse battery")];
    let stranger = app.visitor();
    stranger.post("/register", &wrong).await.assert_status(422).assert_text("has an account");
    let failed = "SELECT count(*) FROM login_events WHERE kind = 'log_in_failed'";
    assert_eq!(app.count(failed).await, 1);

    // The right password is a log-in from a new device.
    app.visitor().register(ADA).await.assert_redirect("/account");
    assert_eq!(app.subjects(ADA).await, ["Confirm your address", "Log-in from a new device"]);

    // Guesses at both forms are counted together.
    let wrong = "email=ada%40example.org&password=wrong+horse+battery";
    let mut statuses = Vec::new();
    for _ in 0..6 {
        for path in ["/register", "/login"] {
            let answer = app.visitor().post_from(&app, "192.0.2.1", path, wrong).await;
            statuses.push(answer.status.code);
        }
    }
    assert!(statuses.ends_with(&[429, 429]), "{statuses:?}");
    let right = "email=ada%40example.org&password=correct+horse+battery";
    for path in ["/register", "/login"] {
        app.visitor().post_from(&app, "192.0.2.1", path, right).await.assert_status(429);
    }
}

#[rocket::async_test]
async fn a_sign_up_with_a_disabled_account_logs_nobody_in() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.execute("UPDATE users SET disabled_at = 1").await;
    let visitor = app.visitor();
    visitor.register(ADA).await.assert_status(422).assert_text("This account is disabled.");
    assert!(!visitor.is_logged_in().await);
    let wrong = [("email", ADA), ("password", "wrong horse battery")];
    let wrong = visitor.post("/register", &wrong).await;
    wrong.assert_status(422).assert_text("already has an account").assert_no_text("disabled");
}

#[rocket::async_test]
async fn a_sign_up_by_mail_sent_twice_gets_equal_answers_and_logs_nobody_in() {
    for at_once in WAYS {
        let app = TestApp::with(|f| f.merge(("accounts.registration", "confirm"))).await;
        let visitor = app.visitor();
        let fields = [("email", ADA), ("password", PASSWORD)];
        for (browser, answer) in twice(&app, &visitor, at_once, "/register", &fields).await {
            answer.assert_redirect("/register/sent");
            assert!(!browser.is_logged_in().await);
        }
        // The answers stay equal after the account exists.
        visitor.post(&app.link(ADA, "/verify/").await, &[("password", PASSWORD)]).await;
        for (browser, answer) in twice(&app, &visitor, at_once, "/register", &fields).await {
            answer.assert_redirect("/register/sent");
            assert!(!browser.is_logged_in().await);
        }
    }
}

#[rocket::async_test]
async fn a_log_in_and_a_log_out_sent_twice_succeed() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let ada = app.registered(ADA).await;
        let fields = [("email", ADA), ("password", PASSWORD)];
        for (browser, answer) in twice(&app, &ada, at_once, "/login", &fields).await {
            answer.assert_redirect("/account");
            assert!(browser.is_logged_in().await);
        }
        ada.log_in(ADA).await;
        for (browser, answer) in twice(&app, &ada, at_once, "/logout", &[]).await {
            answer.assert_redirect("/");
            browser.get("/").await.assert_text("You are logged out.");
            assert!(!browser.is_logged_in().await);
        }
    }
}

#[rocket::async_test]
async fn a_password_change_sent_twice_changes_once_and_both_browsers_learn_it() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let ada = app.registered(ADA).await;
        let fields = [("current_password", PASSWORD), ("new_password", NEW)];
        let both = twice(&app, &ada, at_once, "/account/password", &fields).await;
        assert_told(both, "/account", "Your password was changed. Log in again.").await;
        app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/account");
        let told = "SELECT count(*) FROM login_mails WHERE template = 'password_changed'";
        assert_eq!(app.count(told).await, 1);
        // The second request does not count as a wrong password.
        let failed = "SELECT count(*) FROM login_events WHERE kind = 'reauthentication_failed'";
        assert_eq!(app.count(failed).await, 0);
    }
}

#[rocket::async_test]
async fn a_replaced_token_is_void_and_explained_for_ten_minutes() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let old = copy(&app, &ada);
    let fields = [("current_password", PASSWORD), ("new_password", NEW)];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    assert!(!old.is_logged_in().await);
    old.get("/login").await.assert_text("Your password was changed. Log in again.");
    // A program still gets 401.
    let request = app.client.get("/account").header(header("Accept", "application/json"));
    old.send(request).await.assert_status(401);
    app.advance(10 * 60);
    let old = copy(&app, &old);
    assert!(!old.is_logged_in().await);
    old.get("/login").await.assert_no_text("Your password was changed");
    // A user who has just logged out gets no explanation.
    ada.log_out().await;
    ada.get("/account").await.assert_redirect("/login?next=%2Faccount");
    ada.get("/login").await.assert_no_text("Your password was changed");
}

#[rocket::async_test]
async fn a_reauthentication_sent_twice_is_explained() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let ada = app.registered(ADA).await;
        let fields = [("password", PASSWORD), ("next", "/account/export")];
        let both = twice(&app, &ada, at_once, "/reauthenticate", &fields).await;
        assert_told(both, "/account/export", "Your password was confirmed. Log in again.").await;
    }
}

#[rocket::async_test]
async fn a_deletion_sent_twice_is_explained() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let ada = app.registered(ADA).await;
        let fields = [("current_password", PASSWORD)];
        let [(first, one), (second, other)] =
            twice(&app, &ada, at_once, "/account/delete", &fields).await;
        let places = [&one, &other].map(|answer| answer.header("location").unwrap());
        assert!(places.contains(&"/"), "{places:?}");
        for (browser, place) in [(first, places[0]), (second, places[1])] {
            if place != "/" {
                assert!(!browser.is_logged_in().await);
                browser.get("/login").await.assert_text("Your account was deleted.");
            }
        }
        assert_eq!(app.users().await, 0);
    }
}

#[rocket::async_test]
async fn acts_that_keep_the_token_get_equal_answers_when_sent_twice() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let (ada, phone) = (app.registered(ADA).await, app.visitor());
        phone.log_in(ADA).await;
        let revoke = format!("/account/sessions/{}/revoke", {
            let handle = phone.with_session(async |session| session.handle()).await;
            handle.unwrap()
        });
        let email = [("email", "b@example.org"), ("current_password", PASSWORD)];
        for (path, fields, to) in [
            (revoke.as_str(), &[][..], "/account/sessions"),
            ("/account/sessions/revoke-others", &[], "/account/sessions"),
            ("/account/notices", &[("new_device", "on")], "/account/notices"),
            ("/account/email", &email, "/account"),
            ("/account/verify", &[], "/account"),
        ] {
            for (_, answer) in twice(&app, &ada, at_once, path, fields).await {
                answer.assert_redirect(to);
            }
        }
        let ended = "SELECT count(*) FROM login_events WHERE kind = 'session_ended'";
        assert_eq!(app.count(ended).await, 1);
        for (_, answer) in twice(&app, &ada, at_once, "/reset", &[("email", ADA)]).await {
            answer.assert_status(200).assert_text("Check your email");
        }
        // Another user gets 404 for the ended session.
        app.registered("bob@example.org").await.post(&revoke, &[]).await.assert_status(404);
    }
}

#[rocket::async_test]
async fn a_link_used_twice_shows_its_result_again_in_that_browser() {
    for at_once in WAYS {
        let app = TestApp::new().await;
        let ada = app.registered(ADA).await;
        let link = app.link(ADA, "/verify/").await;
        for (browser, answer) in twice(&app, &ada, at_once, &link, &[]).await {
            answer.assert_redirect("/account");
            browser
                .get("/account")
                .await
                .assert_text("Your email address ada@example.org is confirmed.");
        }

        app.visitor().log_in(ADA).await;
        let link = app.link(ADA, "/not-me/").await;
        for (browser, answer) in twice(&app, &app.visitor(), at_once, &link, &[]).await {
            answer.assert_redirect("/login");
            browser.get("/login").await.assert_text("Check your email for a reset link.");
        }
        let locked = "SELECT count(*) FROM login_mails WHERE template = 'locked'";
        assert_eq!(app.count(locked).await, 1);

        let link = app.link(ADA, "/reset/").await;
        let fields = [("new_password", NEW)];
        for (browser, answer) in twice(&app, &app.visitor(), at_once, &link, &fields).await {
            answer.assert_redirect("/login");
            browser
                .get("/login")
                .await
                .assert_text("Your password was changed, and all devices were logged out.");
        }
        let reset = "SELECT count(*) FROM login_mails WHERE template = 'password_reset'";
        assert_eq!(app.count(reset).await, 1);
        app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/account");
    }
}

#[rocket::async_test]
async fn a_used_link_is_dead_in_other_browsers_and_after_ten_minutes() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    ada.post(&link, &[]).await.assert_redirect("/account");
    app.visitor().post(&link, &[]).await.assert_status(404);
    post(&app, &app.visitor(), &link, &[]).await.assert_status(404);
    app.visitor().get(&link).await.assert_status(404).assert_text("no longer works");
    // The link's page is a 404 that says why.
    let page = ada.get(&link).await;
    page.assert_status(404).assert_text("This link has been used");
    page.assert_text("Your email address ada@example.org is confirmed.");
    app.advance(10 * 60);
    ada.post(&link, &[]).await.assert_status(404).assert_text("no longer works");
}

#[rocket::async_test]
async fn every_used_link_says_what_it_did_and_leads_on() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    // The person has one browser for their mail, which is logged in nowhere yet.
    let mail = app.visitor();
    let confirm = app.link(ADA, "/verify/").await;
    mail.post(&confirm, &[("password", PASSWORD)]).await.assert_redirect("/login");
    let moved = [("email", "lovelace@example.org"), ("current_password", PASSWORD)];
    ada.post("/account/email", &moved).await.assert_redirect("/account");
    let change = app.link("lovelace@example.org", "/verify/").await;
    mail.post(&change, &[("password", PASSWORD)]).await.assert_redirect("/login");
    let not_me = app.link(ADA, "/not-me/").await;
    mail.post(&not_me, &[]).await.assert_redirect("/login");
    let reset = app.link(ADA, "/reset/").await;
    mail.post(&reset, &[("new_password", NEW)]).await.assert_redirect("/login");

    // Each says what it did, in whichever order they are opened again.
    let told = [
        (&confirm, "is confirmed."),
        (&change, "Your email address is now ada@example.org."),
        (&not_me, "the old password no longer works"),
        (&reset, "Your password was changed"),
    ];
    for (link, text) in told.iter().chain(told.iter().rev()) {
        let page = mail.get(link).await;
        page.assert_status(404).assert_text("This link has been used").assert_text(text);
        page.assert_text(r#"href="/login">Log in</a>"#).assert_no_text("Get a new link");
    }
    mail.get(&reset).await.assert_text("Log in with the new one.");
    mail.log_in_with(ADA, NEW).await.assert_redirect("/account");
    for (link, text) in told {
        let page = mail.get(link).await;
        page.assert_status(404)
            .assert_text(text)
            .assert_text(r#"href="/account">Your account</a>"#);
        page.assert_no_text("Log in with the new one.").assert_no_text("Get a new link");
    }

    // Another browser is told the way on.
    for (link, way) in [
        (&confirm, r#"href="/login">Log in</a>"#),
        (&change, r#"href="/register">Sign up again</a>"#),
        (&not_me, r#"href="/reset">Get a new link</a>"#),
        (&reset, r#"href="/reset">Get a new link</a>"#),
    ] {
        let page = app.visitor().get(link).await;
        page.assert_status(404).assert_text("This link no longer works").assert_text(way);
    }
}

#[rocket::async_test]
async fn a_used_reset_link_allows_no_guessing_of_passwords() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.visitor().post("/reset", &[("email", ADA)]).await;
    let (link, browser) = (app.link(ADA, "/reset/").await, app.visitor());
    browser.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    browser.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    browser.post(&link, &[("new_password", "a wrong horse battery")]).await.assert_status(404);
    // One wrong guess kills the link.
    browser.post(&link, &[("new_password", NEW)]).await.assert_status(404);
    app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn records_of_recent_acts_are_swept() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    assert_eq!(app.count("SELECT count(*) FROM login_done").await, 1);
    app.until_after(3600, "SELECT count(*) = 0 FROM login_done").await;
}
