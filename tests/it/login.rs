//! Logging in.

use rocket::futures::future::join_all;
use sqlx::Row;

use crate::support::{PASSWORD, TestApp};

#[rocket::async_test]
async fn the_right_password_logs_in() {
    let app = TestApp::new().await;
    app.registered("Ada@example.org").await;
    for typed in ["Ada@example.org", "ada@EXAMPLE.org", "  ada@example.org "] {
        let visitor = app.visitor();
        visitor.log_in(typed).await.assert_redirect("/account");
        let account = visitor.get("/account").await;
        account.assert_text("Ada@example.org").assert_text("You are logged in.");
    }
}

#[rocket::async_test]
async fn the_form_names_its_fields_for_a_password_manager() {
    let app = TestApp::new().await;
    app.visitor()
        .get("/login")
        .await
        .assert_status(200)
        .assert_text(r#"type="email" autocomplete="username webauthn" required"#)
        .assert_text(r#"type="password" autocomplete="current-password" required"#)
        .assert_text(r#"<label for="remember">"#)
        .assert_text(r#"name="remember" type="checkbox" value="on""#)
        .assert_text(r#"<button type="submit">Log in</button>"#);
}

#[rocket::async_test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    let answer = async |email: &str| {
        let fields = [("email", email), ("password", "wrong horse battery"), ("remember", "on")];
        let mut answer = app.visitor().post("/login", &fields).await;
        answer.body = answer.body.replace(email, "…");
        answer
    };

    let known = answer("ada@example.org").await;
    known.assert_status(422).assert_text("Wrong email address or password.");
    known.assert_no_text("wrong horse").assert_text(" checked");
    // The message is tied to both fields.
    assert_eq!(
        known.body.matches(r#"aria-invalid="true" aria-describedby="form-error ""#).count(),
        2
    );
    for email in ["bob@example.org", "no address", "ada@example.org\0", "müller@example.org"] {
        let other = answer(email).await;
        assert_eq!(other.status, known.status);
        assert_eq!(other.body, known.body, "{email}");
        // Only an address is kept for the next page, known or not.
        let is_address = email == "bob@example.org";
        assert_eq!(other.set_cookie("session-email").is_some(), is_address, "{email}");
        let names = |headers: &[(String, String)]| -> Vec<String> {
            let names = headers.iter().map(|(name, _)| name.clone());
            names.filter(|name| is_address || name != "Set-Cookie").collect()
        };
        assert_eq!(names(&other.headers), names(&known.headers));
    }
}

#[rocket::async_test]
async fn the_password_is_checked_exactly_as_typed() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    for wrong in ["Correct horse battery", "correct horse battery ", "correct horse batter", " "] {
        let fields = [("email", "ada@example.org"), ("password", wrong)];
        app.visitor().post("/login", &fields).await.assert_status(422);
    }
}

#[rocket::async_test]
async fn both_unicode_forms_of_a_password_log_in() {
    let app = TestApp::new().await;
    let composed = [("email", "ada@example.org"), ("password", "caf\u{e9} au lait!")];
    let decomposed = [("email", "ada@example.org"), ("password", "cafe\u{301} au lait!")];
    app.visitor().post("/register", &composed).await.assert_status(303);
    app.visitor().post("/login", &decomposed).await.assert_status(303);
}

#[rocket::async_test]
async fn an_empty_field_is_named() {
    let app = TestApp::new().await;
    let refused = app.visitor().post("/login", &[("email", " "), ("password", "")]).await;
    refused.assert_status(422).assert_text("Enter your email address.");
    refused.assert_text("Enter your password.").assert_no_text("Wrong");
}

#[rocket::async_test]
async fn logging_in_as_somebody_else_ends_the_earlier_session() {
    let app = TestApp::new().await;
    app.registered("bob@example.org").await.log_out().await;
    let visitor = app.registered("ada@example.org").await;
    let adas = visitor.session_cookie();
    visitor.log_in("bob@example.org").await.assert_redirect("/account");
    visitor.get("/account").await.assert_text("bob@example.org").assert_no_text("ada@");
    assert_eq!(app.sessions().await, 1);

    visitor.set_cookie("session", adas);
    assert!(!visitor.is_logged_in().await);
}

#[rocket::async_test]
async fn logging_in_again_gives_a_new_token_and_voids_the_old_one() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let before = ada.session_cookie();
    ada.log_in("ada@example.org").await.assert_status(303);
    assert_ne!(ada.session_cookie(), before);
    assert!(ada.is_logged_in().await);

    ada.set_cookie("session", before);
    assert!(!ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_failed_log_in_does_not_affect_the_current_session() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let fields = [("email", "bob@example.org"), ("password", PASSWORD)];
    ada.post("/login", &fields).await.assert_status(422);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn fifty_simultaneous_log_ins_of_one_user_make_fifty_sessions() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await.log_out().await;
    let visitors: Vec<_> = (0..50).map(|_| app.visitor()).collect();
    let answers = join_all(visitors.iter().map(|v| v.log_in("ada@example.org"))).await;
    assert!(answers.iter().all(|answer| answer.status.code == 303));
    assert_eq!(app.sessions().await, 50);
    for visitor in &visitors {
        assert!(visitor.is_logged_in().await);
    }
}

#[rocket::async_test]
async fn a_hash_with_other_parameters_is_renewed_at_the_next_log_in() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    let app = app.restarted(|figment| figment.merge(("password.memory_kib", 16))).await;
    let hash = async || -> String {
        let mut db = app.db().await;
        let row = sqlx::query("SELECT password_hash FROM users").fetch_one(&mut db).await;
        row.unwrap().get(0)
    };

    assert!(hash().await.contains("m=8,"));
    let wrong = [("email", "ada@example.org"), ("password", "wrong horse battery")];
    app.visitor().post("/login", &wrong).await.assert_status(422);
    assert!(hash().await.contains("m=8,"));

    app.visitor().log_in("ada@example.org").await.assert_status(303);
    let renewed = hash().await;
    assert!(renewed.contains("m=16,"), "{renewed}");

    app.visitor().log_in("ada@example.org").await.assert_status(303);
    assert_eq!(hash().await, renewed);
}

#[rocket::async_test]
async fn an_unreadable_stored_hash_logs_nobody_in() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    for sql in [
        "UPDATE users SET password_hash = ''",
        "UPDATE users SET password_hash = 'null'",
        "UPDATE users SET password_hash = 'correct horse battery'",
        "UPDATE users SET password_hash = '$argon2id$v=19$m=4194304,t=1000,p=1$c29tZXNhbHQ$YQ'",
    ] {
        app.execute(sql).await;
        app.visitor().log_in("ada@example.org").await.assert_status(422);
    }
}

#[rocket::async_test]
async fn users_stay_logged_in_after_a_restart() {
    let app = TestApp::new().await;
    let cookie = app.registered("ada@example.org").await.session_cookie();
    let app = app.restarted(|figment| figment).await;
    let ada = app.visitor();
    ada.set_cookie("session", cookie);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn the_front_page_shows_the_log_in_link_or_the_users_address() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    let front = visitor.get("/").await;
    front.assert_status(200).assert_text(r#"href="/register""#).assert_text(r#"href="/login""#);
    front.assert_no_text("Log out");

    visitor.register("ada@example.org").await;
    let front = visitor.get("/").await;
    front.assert_text("ada@example.org").assert_text("Log out");
    front.assert_no_text(r#"class="button" href="/register""#);
    front.assert_text(r#"<form action="/logout" method="post">"#);
}
