//! Changing the password.

use rocket::futures::future::join_all;

use crate::support::{PASSWORD, TestApp, Visitor};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";

async fn change(visitor: &Visitor<'_>, current: &str, new: &str) -> crate::support::Answer {
    let fields = [("current_password", current), ("new_password", new)];
    visitor.post("/account/password", &fields).await
}

#[rocket::async_test]
async fn the_form_is_made_for_password_managers() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let form = ada.get("/account/password").await;
    form.assert_status(200)
        .assert_text(r#"name="current_password" type="password" autocomplete="current-password" required"#)
        .assert_text(r#"name="new_password" type="password" autocomplete="new-password" required minlength="12""#)
        .assert_text(r#"autocomplete="username" value="ada@example.org" readonly"#);
    let well_known = app.visitor().get("/.well-known/change-password").await;
    well_known.assert_redirect("/account/password");
}

#[rocket::async_test]
async fn a_changed_password_works_and_the_old_one_does_not() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    change(&ada, PASSWORD, NEW).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("Your password was changed.");
    app.visitor().log_in(ADA).await.assert_status(422);
    app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/account");
    let told = app.subjects(ADA).await;
    assert_eq!(told[1], "Your password was changed");
}

#[rocket::async_test]
async fn a_change_ends_all_other_sessions_and_gives_this_one_a_new_id() {
    let app = TestApp::new().await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in_remembered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    let old = ada.session_cookie();
    ada.with_session(async |session| session.set("basket", "tea").await.unwrap()).await;

    change(&ada, PASSWORD, NEW).await.assert_redirect("/account");
    assert!(ada.is_logged_in().await && bob.is_logged_in().await);
    assert!(!phone.is_logged_in().await);
    ada.with_session(async |session| {
        assert_eq!(session.get::<String>("basket").unwrap().as_deref(), Some("tea"));
    })
    .await;

    let thief = app.visitor();
    thief.set_cookie("session", old);
    assert!(!thief.is_logged_in().await);
    assert_eq!(app.sessions().await, 2);
}

#[rocket::async_test]
async fn the_right_current_password_is_required() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for current in ["", "wrong horse battery"] {
        let answer = change(&ada, current, NEW).await;
        answer.assert_status(422).assert_text(r#"id="current_password-error""#);
        answer.assert_no_text(NEW).assert_no_text("wrong horse");
    }
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    app.visitor().log_in_with(ADA, NEW).await.assert_status(422);
}

#[rocket::async_test]
async fn the_errors_of_both_fields_are_shown_at_once() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let before = ada.session_cookie();
    let answer = change(&ada, "", "short").await;
    answer.assert_status(422).assert_text(r#"id="current_password-error""#);
    answer.assert_text("Choose a password of at least 12 characters.");
    assert_eq!(ada.session_cookie(), before);
}

#[rocket::async_test]
async fn only_one_of_several_simultaneous_changes_succeeds() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let devices = [app.visitor(), app.visitor(), app.visitor()];
    for device in &devices {
        device.log_in(ADA).await;
    }
    let passwords = ["password number one", "password number two", "password number three"];
    let changes = devices
        .iter()
        .zip(passwords)
        .map(|(device, new)| async move { change(device, PASSWORD, new).await });
    // The devices that come after the winner are sent to the log-in.
    let answers = join_all(changes).await;
    let led_to: Vec<_> = answers.iter().map(|answer| answer.header("location")).collect();
    let won = led_to.iter().filter(|location| **location == Some("/account")).count();
    assert_eq!(won, 1, "{led_to:?}");
    assert!(!ada.is_logged_in().await);
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn a_log_in_with_the_old_password_does_not_outlast_the_change() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let visitors: Vec<_> = (0..6).map(|_| app.visitor()).collect();
    let log_ins = join_all(visitors.iter().map(|visitor| visitor.log_in(ADA)));
    let (_, changed) = rocket::tokio::join!(log_ins, change(&ada, PASSWORD, NEW));
    changed.assert_redirect("/account");
    for visitor in &visitors {
        assert!(!visitor.is_logged_in().await);
    }
}

#[rocket::async_test]
async fn an_ended_session_cannot_change_the_password() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.execute("DELETE FROM sessions").await;
    change(&ada, PASSWORD, NEW).await.assert_redirect("/login");
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}
