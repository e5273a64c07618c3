//! The security history.

use rocket::http::{ContentType, Header};

use crate::support::{PASSWORD, TestApp};

const ADA: &str = "ada@example.org";

#[rocket::async_test]
async fn the_page_lists_each_event_with_its_time_device_and_address() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.advance(60);
    let request = app.client.post("/login").header(ContentType::Form);
    let request = request
        .header(Header::new("User-Agent", "curl/8.5.0"))
        .remote("203.0.113.7:99".parse().unwrap())
        .body(format!("email={ADA}&password=wrong+horse+battery"));
    app.visitor().send(request).await.assert_status(422);

    let page = ada.get("/account/activity").await;
    page.assert_status(200)
        .assert_text("Log-in failed")
        .assert_text("203.0.113.7")
        .assert_text("curl")
        .assert_text("<time datetime=\"2026-01-01T00:01:00Z\">1 January 2026, 00:01 UTC</time>")
        .assert_text("Account created");
    // The latest first.
    assert!(page.body.find("Log-in failed") < page.body.find("Account created"));
}

#[rocket::async_test]
async fn every_act_is_recorded_as_an_event() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let current = ("current_password", PASSWORD);
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    ada.post("/reauthenticate", &[("password", "wrong horse battery")]).await;
    ada.post("/reauthenticate", &[("password", PASSWORD)]).await;
    ada.post("/account/notices", &[]).await;
    ada.get("/account/export").await;
    app.visitor().log_in(ADA).await;
    ada.post("/account/sessions/revoke-others", &[]).await;
    ada.post("/account/email", &[("email", "b@example.org"), current]).await;
    ada.post(&app.link("b@example.org", "/verify/").await, &[]).await;
    ada.post("/account/password", &[current, ("new_password", "another horse battery")]).await;
    ada.log_out().await;
    ada.post("/reset", &[("email", "b@example.org")]).await;
    let link = app.link("b@example.org", "/reset/").await;
    ada.post(&link, &[("new_password", PASSWORD)]).await;
    ada.log_in("b@example.org").await.assert_redirect("/account");

    let mut db = app.db().await;
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM login_events ORDER BY id")
        .fetch_all(&mut db)
        .await
        .unwrap();
    assert_eq!(
        kinds,
        [
            "signed_up",
            "email_verified",
            "reauthentication_failed",
            "reauthenticated",
            "notices_changed",
            "exported",
            "logged_in",
            "sessions_ended",
            "email_change_asked",
            "email_changed",
            "password_changed",
            "logged_out",
            "reset_asked",
            "password_reset",
            "logged_in",
        ]
    );
}

#[rocket::async_test]
async fn users_see_only_their_own_events() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    app.visitor().log_in_with(ADA, "wrong horse battery").await;
    bob.get("/account/activity").await.assert_no_text("Log-in failed");
    ada.get("/account/activity").await.assert_text("Log-in failed");
}

#[rocket::async_test]
async fn failed_log_ins_neither_fill_the_history_nor_displace_the_owners_events() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for _ in 0..25 {
        app.visitor().log_in_with(ADA, "wrong horse battery").await;
        app.visitor().log_in_with("nobody@example.org", "wrong horse battery").await;
    }
    let failed = "SELECT count(*) FROM login_events WHERE kind = 'log_in_failed'";
    assert_eq!(app.count(failed).await, 40);
    assert_eq!(app.count("SELECT count(*) FROM login_events WHERE kind = 'signed_up'").await, 1);
    ada.get("/account/activity").await.assert_text("Account created");
}

#[rocket::async_test]
async fn a_thief_cannot_push_their_log_in_out_of_the_history() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let thief = app.visitor();
    thief.log_in(ADA).await;
    for _ in 0..105 {
        thief.post("/account/notices", &[]).await.assert_redirect("/account/notices");
    }
    let page = thief.get("/account/activity").await;
    page.assert_text("Logged in").assert_text("Account created").assert_text("100 times, last");
    assert_eq!(page.body.matches("Notification settings changed").count(), 1);
    // An act that changes nothing leaves no event.
    thief.post("/account/sessions/revoke-others", &[]).await;
    for _ in 0..3 {
        thief.post("/account/sessions/revoke-others", &[]).await;
    }
    let page = thief.get("/account/activity").await;
    assert_eq!(page.body.matches("Devices were logged out").count(), 1);
}

#[rocket::async_test]
async fn old_events_are_swept() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.advance(179 * 24 * 60 * 60);
    app.visitor().log_in(ADA).await;
    assert_eq!(app.count("SELECT count(*) FROM login_events").await, 2);
    app.advance(25 * 60 * 60);
    app.until_after(3600, "SELECT count(*) = 1 FROM login_events").await;
}

/// Sends a wrong password from the client address `from`.
async fn fail(app: &TestApp, from: &str) {
    let body = format!("email={ADA}&password=wrong+horse+battery");
    app.visitor().post_from(app, from, "/login", &body).await.assert_status(422);
}

#[rocket::async_test]
async fn repeats_of_a_day_stand_in_one_row_with_their_number() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for from in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        app.advance(60);
        fail(&app, from).await;
    }
    let page = ada.get("/account/activity").await;
    assert_eq!(page.body.matches("Log-in failed").count(), 2);
    page.assert_text("3 times, last <time datetime=\"2026-01-01T00:03:00Z\">");
    page.assert_no_text("1 times");

    // Each day has a row of its own.
    app.advance(24 * 60 * 60);
    fail(&app, "192.0.2.2").await;
    fail(&app, "192.0.2.2").await;
    ada.log_in(ADA).await;
    let page = ada.get("/account/activity").await;
    assert_eq!(page.body.matches("Log-in failed").count(), 3);
    page.assert_text("2 times, last");
}

#[rocket::async_test]
async fn refusals_and_log_ins_from_new_devices_have_marks_of_their_own() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let row = async |text: &str| -> String {
        let page = ada.get("/account/activity").await.body;
        let rows: Vec<&str> = page.split("<li>").filter(|row| row.contains(text)).collect();
        assert_eq!(rows.len(), 1, "{text}: {page}");
        rows[0].to_owned()
    };
    assert!(row("Account created").await.contains("aria-label=\"Done\""));
    fail(&app, "192.0.2.1").await;
    assert!(row("Log-in failed").await.contains("aria-label=\"Refused\""));

    let phone = app.visitor();
    phone.log_in(ADA).await;
    assert!(
        row("<h2>Logged in from a new device</h2>").await.contains("aria-label=\"New device\"")
    );
    phone.log_out().await;
    phone.log_in(ADA).await;
    assert!(row("<h2>Logged in</h2>").await.contains("aria-label=\"Done\""));
    let new =
        "SELECT count(*) FROM login_events WHERE kind = 'logged_in' AND detail = 'new_device'";
    assert_eq!(app.count(new).await, 1);
}

#[rocket::async_test]
async fn a_wrong_password_behind_a_confirmation_link_is_an_event_of_its_own() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    let fields = [("password", "wrong horse battery")];
    app.visitor().post(&link, &fields).await.assert_status(422);
    ada.get("/account/activity")
        .await
        .assert_text("Wrong password entered behind a confirmation link");
    ada.post("/reauthenticate", &fields).await.assert_status(422);
    for events in [
        "SELECT count(*) FROM login_events WHERE kind = 'confirmation_failed'",
        "SELECT count(*) FROM login_events WHERE kind = 'reauthentication_failed'",
    ] {
        assert_eq!(app.count(events).await, 1, "{events}");
    }
}
