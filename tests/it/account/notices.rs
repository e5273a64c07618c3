//! Notices to the owner, and the "this was not me" link in them.

use crate::support::{PASSWORD, TestApp};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";

#[rocket::async_test]
async fn a_log_in_from_a_new_device_is_mailed_to_the_owner_once() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.log_out().await;
    ada.log_in(ADA).await;
    assert_eq!(app.subjects(ADA).await, ["Confirm your address"]);

    let phone = app.visitor();
    for _ in 0..3 {
        phone.log_in(ADA).await;
        phone.log_out().await;
    }
    assert_eq!(app.subjects(ADA).await, ["Confirm your address", "Log-in from a new device"]);
    app.mails().await[0].link("/not-me/");
}

#[rocket::async_test]
async fn a_device_of_one_account_is_new_to_another() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    bob.log_in(ADA).await;
    assert_eq!(app.subjects(ADA).await.len(), 2);
    // The device is known to both accounts from then on.
    bob.log_in("bob@example.org").await;
    bob.log_in(ADA).await;
    ada.log_in(ADA).await;
    assert_eq!(app.subjects(ADA).await.len(), 2);
    assert_eq!(app.subjects("bob@example.org").await.len(), 1);
}

#[rocket::async_test]
async fn a_device_cookie_logs_nobody_in() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let device = ada.cookie("session-device").unwrap();
    ada.log_out().await;
    let thief = app.visitor();
    thief.set_cookie("session-device", device.clone());
    thief.set_cookie("session", device);
    assert!(!thief.is_logged_in().await);
}

#[rocket::async_test]
async fn ten_failures_in_a_row_are_mailed_to_the_owner_once() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let fail = async |times| {
        for _ in 0..times {
            app.visitor().log_in_with(ADA, "wrong horse battery").await;
        }
    };
    fail(9).await;
    assert_eq!(app.subjects(ADA).await.len(), 1);
    fail(3).await;
    assert_eq!(app.subjects(ADA).await, ["Confirm your address", "Failed log-ins"]);
    ada.log_in(ADA).await;
    fail(10).await;
    assert_eq!(app.subjects(ADA).await.len(), 3);
}

#[rocket::async_test]
async fn each_notice_can_be_switched_off_and_on() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let form = ada.get("/account/notices").await;
    assert_eq!(form.body.matches(" checked").count(), 7);
    ada.post("/account/notices", &[("failures", "on")]).await.assert_redirect("/account/notices");
    let form = ada.get("/account/notices").await;
    form.assert_text(r#"name="failures" type="checkbox" value="on" checked"#);
    assert_eq!(form.body.matches(" checked").count(), 1);

    app.visitor().log_in(ADA).await;
    let fields = [("current_password", PASSWORD), ("new_password", NEW)];
    ada.post("/account/password", &fields).await;
    // Mails that are not notices are still sent.
    app.visitor().post("/reset", &[("email", ADA)]).await;
    let fields = [("email", "b@example.org"), ("current_password", NEW)];
    ada.post("/account/email", &fields).await;
    ada.post(&app.link("b@example.org", "/verify/").await, &[]).await;
    assert_eq!(
        app.subjects(ADA).await,
        [
            "Confirm your address",
            // The mail that says that notices are off is still sent.
            "Security emails were turned off",
            "Reset your password",
            "Email change requested"
        ]
    );

    ada.post("/account/notices", &[("new_device", "on")]).await.assert_redirect("/account/notices");
    app.visitor().log_in_with("b@example.org", NEW).await.assert_redirect("/account");
    assert!(app.mails().await[0].subject.starts_with("Log-in from a new device"));
}

#[rocket::async_test]
async fn this_was_not_me_ends_all_sessions_and_starts_a_reset() {
    let app = TestApp::new().await;
    let (ada, thief) = (app.registered(ADA).await, app.visitor());
    thief.log_in(ADA).await;
    let link = app.link(ADA, "/not-me/").await;
    for _ in 0..2 {
        let page = app.visitor().get(&link).await;
        page.assert_status(200).assert_text("Log out all devices").assert_text(ADA);
        assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
    }
    assert!(thief.is_logged_in().await);

    let owner = app.visitor();
    owner.post(&link, &[]).await.assert_redirect("/login");
    owner
        .get("/login")
        .await
        .assert_text("All devices are logged out, and the old password no longer works.");
    assert!(!thief.is_logged_in().await && !ada.is_logged_in().await);
    thief.log_in(ADA).await.assert_status(422);
    app.visitor().post(&link, &[]).await.assert_status(404);

    let reset = app.link(ADA, "/reset/").await;
    owner.post(&reset, &[("new_password", NEW)]).await.assert_redirect("/login");
    owner.log_in_with(ADA, NEW).await.assert_redirect("/account");
    // The account has forgotten its devices, so each one is new again.
    assert!(app.mails().await[0].subject.starts_with("Log-in from a new device"));
}

#[rocket::async_test]
async fn this_was_not_me_still_works_after_a_thief_changes_password_and_address() {
    let app = TestApp::new().await;
    let thief = app.registered(ADA).await;
    thief.log_in(ADA).await;
    app.visitor().log_in(ADA).await;
    let device = app.link(ADA, "/not-me/").await;
    let fields = [("current_password", PASSWORD), ("new_password", NEW)];
    thief.post("/account/password", &fields).await.assert_redirect("/account");
    let fields = [("email", "thief@example.org"), ("current_password", NEW)];
    thief.post("/account/email", &fields).await.assert_redirect("/account");
    thief.post(&app.link("thief@example.org", "/verify/").await, &[]).await;

    // The link in each mail to the owner still works.
    app.visitor().get(&device).await.assert_status(200);
    let changed = app.link(ADA, "/not-me/").await;
    assert_ne!(device, changed);
    app.visitor().post(&changed, &[]).await.assert_redirect("/login");
    assert!(!thief.is_logged_in().await);
    thief.log_in_with("thief@example.org", NEW).await.assert_status(422);
    let owner = app.visitor();
    owner.post(&app.link(ADA, "/reset/").await, &[("new_password", PASSWORD)]).await;
    owner.log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_thief_cannot_take_the_account_back_with_this_was_not_me() {
    let app = TestApp::new().await;
    let thief = app.registered(ADA).await;
    thief.post(&app.link(ADA, "/verify/").await, &[]).await;
    thief.post("/account/notices", &[("new_device", "on"), ("email_changed", "on")]).await;
    let fields = [("email", "thief@example.org"), ("current_password", PASSWORD)];
    thief.post("/account/email", &fields).await;
    thief.post(&app.link("thief@example.org", "/verify/").await, &[]).await;
    let owners = app.link(ADA, "/not-me/").await;
    // The thief makes more links than one address may have, all for their own address.
    for _ in 0..21 {
        app.visitor().log_in("thief@example.org").await.assert_redirect("/account");
    }
    let thiefs = app.link("thief@example.org", "/not-me/").await;
    app.visitor().register(ADA).await.assert_status(422);

    app.visitor().post(&owners, &[]).await.assert_redirect("/login");
    app.visitor().post(&app.link(ADA, "/reset/").await, &[("new_password", NEW)]).await;
    let owner = app.visitor();
    owner.log_in_with(ADA, NEW).await.assert_redirect("/account");
    thief.post(&thiefs, &[]).await.assert_status(404);
    assert!(owner.is_logged_in().await);
    owner.get("/").await.assert_text(ADA);
    // The notices are on again, too.
    assert_eq!(app.count("SELECT count(*) FROM login_muted_notices").await, 0);
}

#[rocket::async_test]
async fn a_thiefs_link_does_not_end_the_owners() {
    let app = TestApp::new().await;
    let thief = app.registered(ADA).await;
    let fields = [("email", "thief@example.org"), ("current_password", PASSWORD)];
    thief.post("/account/email", &fields).await;
    thief.post(&app.link("thief@example.org", "/verify/").await, &[]).await;
    let owners = app.link(ADA, "/not-me/").await;
    app.visitor().log_in("thief@example.org").await;
    let thiefs = app.link("thief@example.org", "/not-me/").await;
    thief.post(&thiefs, &[]).await.assert_redirect("/login");
    app.visitor().post(&owners, &[]).await.assert_redirect("/login");
    app.link(ADA, "/reset/").await;
}

#[rocket::async_test]
async fn switching_notices_off_sends_a_mail_and_switching_them_on_does_not() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post("/account/notices", &[("failures", "on")]).await;
    assert_eq!(
        app.subjects(ADA).await,
        ["Confirm your address", "Security emails were turned off"]
    );
    app.mails().await[0].link("/not-me/");
    let all = ["new_device", "password_changed", "password_reset", "email_changed", "failures"];
    let fields: Vec<_> = all.iter().map(|name| (*name, "on")).collect();
    ada.post("/account/notices", &fields).await;
    assert_eq!(app.subjects(ADA).await.len(), 2);
}

#[rocket::async_test]
async fn this_was_not_me_cancels_a_pending_change_of_address() {
    let app = TestApp::new().await;
    let thief = app.registered(ADA).await;
    let fields = [("email", "thief@example.org"), ("current_password", PASSWORD)];
    thief.post("/account/email", &fields).await;
    app.visitor().post(&app.link(ADA, "/not-me/").await, &[]).await.assert_redirect("/login");
    let link = app.link("thief@example.org", "/verify/").await;
    thief.post(&link, &[]).await.assert_status(404);
}

#[rocket::async_test]
async fn this_was_not_me_works_for_a_week() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.visitor().log_in(ADA).await;
    let link = app.link(ADA, "/not-me/").await;
    app.advance(7 * 24 * 60 * 60 - 1);
    app.visitor().get(&link).await.assert_status(200);
    app.advance(1);
    app.visitor().get(&link).await.assert_status(404);
    app.visitor().post(&link, &[]).await.assert_status(404);
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_reset_switches_notices_on_again_and_is_mailed_to_the_owner() {
    let app = TestApp::new().await;
    let thief = app.registered(ADA).await;
    thief.post("/account/notices", &[]).await;
    assert_eq!(app.count("SELECT count(*) FROM login_muted_notices").await, 7);

    let owner = app.visitor();
    owner.post("/reset", &[("email", ADA)]).await;
    owner.post(&app.link(ADA, "/reset/").await, &[("new_password", NEW)]).await;
    assert_eq!(app.count("SELECT count(*) FROM login_muted_notices").await, 0);
    let mail = &app.mails().await[0];
    assert!(mail.subject.starts_with("Your password was reset at "), "{}", mail.subject);
    assert!(mail.text.contains("all notifications were turned on"), "{}", mail.text);
    // The next log-in sends a notice, too.
    app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/account");
    assert!(app.mails().await[0].subject.starts_with("Log-in from a new device"));
}
