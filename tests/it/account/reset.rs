//! Resetting the password with a mailed link.

use rocket::futures::future::join_all;

use crate::support::{PASSWORD, TestApp};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";
const HOUR: u64 = 60 * 60;

async fn asked(app: &TestApp) -> String {
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    app.link(ADA, "/reset/").await
}

#[rocket::async_test]
async fn the_log_in_page_links_to_the_reset() {
    let app = TestApp::new().await;
    app.visitor().get("/login").await.assert_text(r#"<a href="/reset">Forgot your password?</a>"#);
    let form = app.visitor().get("/reset").await;
    form.assert_status(200).assert_text(r#"autocomplete="username" required"#);
}

#[rocket::async_test]
async fn a_known_and_an_unknown_address_get_the_same_page() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let answer = async |email: &str| {
        let answer = app.visitor().post("/reset", &[("email", email)]).await;
        (answer.status, answer.body.replace(email, "…"), answer.headers.len())
    };
    let known = answer(ADA).await;
    assert_eq!(known, answer("bob@example.org").await);
    assert_eq!(app.subjects(ADA).await, ["Confirm your address", "Reset your password"]);
    assert_eq!(app.subjects("bob@example.org").await, [""; 0]);
    assert_eq!(app.count("SELECT count(*) FROM login_tokens WHERE purpose = 'reset'").await, 1);
}

#[rocket::async_test]
async fn a_malformed_address_gets_an_error() {
    let app = TestApp::new().await;
    for email in ["", "nobody", "müller@example.org"] {
        let answer = app.visitor().post("/reset", &[("email", email)]).await;
        answer.assert_status(422).assert_text(r#"id="email-error""#);
    }
}

#[rocket::async_test]
async fn a_reset_sets_the_password_and_logs_nobody_in() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let visitor = app.visitor();
    let link = asked(&app).await;
    let form = visitor.get(&link).await;
    form.assert_status(200).assert_text(r#"autocomplete="new-password" required minlength="12""#);
    assert_eq!(form.header("referrer-policy"), Some("strict-origin"));

    visitor.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    visitor
        .get("/login")
        .await
        .assert_text("Your password was changed, and all devices were logged out.");
    assert!(!visitor.is_logged_in().await);
    visitor.log_in(ADA).await.assert_status(422);
    visitor.log_in_with(ADA, NEW).await.assert_redirect("/account");
    // Using the link proves that the user reads the mail of the address.
    visitor.get("/account").await.assert_text(">confirmed<");
}

#[rocket::async_test]
async fn a_reset_ends_every_session_of_the_user_and_of_nobody_else() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    let other = app.visitor();
    other.log_in_remembered(ADA).await;
    let link = asked(&app).await;
    assert!(ada.is_logged_in().await && other.is_logged_in().await);
    ada.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    assert!(!ada.is_logged_in().await && !other.is_logged_in().await);
    assert!(bob.is_logged_in().await);
}

#[rocket::async_test]
async fn the_owner_is_told_of_a_reset() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.visitor().post(&asked(&app).await, &[("new_password", NEW)]).await;
    let mails = app.mails().await;
    assert_eq!(mails[0].recipient, ADA);
    assert_eq!(mails[0].subject, "Your password was reset at localhost");
    mails[0].link("/not-me/");
}

#[rocket::async_test]
async fn a_refused_password_does_not_use_up_the_link() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let link = asked(&app).await;
    for wrong in ["", "short", &"x".repeat(129)] {
        let answer = app.visitor().post(&link, &[("new_password", wrong)]).await;
        answer.assert_status(422).assert_text(r#"id="new_password-error""#);
        assert_eq!(answer.header("referrer-policy"), Some("strict-origin"));
    }
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    app.visitor().post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
}

#[rocket::async_test]
async fn a_reset_link_works_once_even_in_parallel() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let link = asked(&app).await;
    let visitor = app.visitor();
    let passwords: Vec<String> = (0..8).map(|i| format!("password number {i}")).collect();
    let answers = join_all(passwords.iter().map(async |password| {
        visitor.post(&link, &[("new_password", password)]).await.status.code == 303
    }));
    let won: Vec<bool> = answers.await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    for (password, won) in passwords.iter().zip(won) {
        let status = app.visitor().log_in_with(ADA, password).await.status.code;
        assert_eq!(status == 303, won, "{password}");
    }
    assert_eq!(
        app.count("SELECT count(*) FROM login_mails WHERE template = 'password_reset'").await,
        1
    );
}

#[rocket::async_test]
async fn a_reset_link_expires_after_exactly_one_hour() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let link = asked(&app).await;
    app.advance(HOUR - 1);
    app.visitor().get(&link).await.assert_status(200);
    app.advance(1);
    app.visitor()
        .get(&link)
        .await
        .assert_status(404)
        .assert_text(r#"href="/reset">Get a new link"#);
    app.visitor().post(&link, &[("new_password", NEW)]).await.assert_status(404);
    app.visitor().post(&link, &[("new_password", "short")]).await.assert_status(404);
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_newer_link_a_new_password_or_a_new_address_ends_a_reset_link() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let first = asked(&app).await;
    let second = asked(&app).await;
    ada.get(&first).await.assert_status(404);
    ada.get(&second).await.assert_status(200);

    let fields = [("current_password", PASSWORD), ("new_password", NEW)];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    ada.get(&second).await.assert_status(404);

    let third = asked(&app).await;
    let fields = [("email", "lovelace@example.org"), ("current_password", NEW)];
    ada.post("/account/email", &fields).await.assert_redirect("/account");
    ada.get(&third).await.assert_status(200);
    ada.post(&app.link("lovelace@example.org", "/verify/").await, &[]).await;
    ada.get(&third).await.assert_status(404);
    ada.post(&third, &[("new_password", NEW)]).await.assert_status(404);
}

#[rocket::async_test]
async fn a_dead_link_costs_no_password_hash() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let hashes = || app.client.rocket().state::<rocket_login::password::Hasher>().unwrap().count();
    let before = hashes();
    let dead = format!("/reset/{}", "A".repeat(43));
    app.visitor().post(&dead, &[("new_password", NEW)]).await.assert_status(404);
    app.visitor().post("/reset", &[("email", ADA)]).await;
    app.visitor().post("/reset", &[("email", "bob@example.org")]).await;
    assert_eq!(hashes(), before);
}

#[rocket::async_test]
async fn the_reset_page_refers_to_the_operator_on_a_site_without_mail() {
    let app = TestApp::release().await;
    let ada = app.registered(ADA).await;
    let operator = "Ask the operator of this site for a reset link.";
    app.visitor().get("/reset").await.assert_status(200).assert_text(operator);
    app.visitor()
        .post("/reset", &[("email", ADA)])
        .await
        .assert_status(200)
        .assert_text("operator");
    ada.get("/account/email").await.assert_status(403).assert_text("This site doesn't send email");
    let fields = [("email", "b@example.org"), ("current_password", PASSWORD)];
    ada.post("/account/email", &fields).await.assert_status(403);
    ada.get("/account").await.assert_no_text("not confirmed yet");
    assert_eq!(app.count("SELECT count(*) FROM login_mails").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM login_tokens").await, 0);
    app.visitor().get("/dev/mailbox").await.assert_status(404);
}
