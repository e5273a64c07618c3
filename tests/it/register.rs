//! Signing up.

use rocket::futures::future::join_all;
use sqlx::Row;

use crate::support::{PASSWORD, TestApp};

#[rocket::async_test]
async fn a_person_signs_up_and_is_logged_in() {
    let app = TestApp::new().await;
    let ada = app.visitor();
    ada.register("ada@example.org").await.assert_redirect("/account");
    let account = ada.get("/account").await;
    account.assert_status(200).assert_text("ada@example.org").assert_text("1 January 2026");
    account.assert_text("Welcome! Your account is ready.");
    assert_eq!((app.users().await, app.sessions().await), (1, 1));
}

#[rocket::async_test]
async fn the_form_names_its_fields_for_a_password_manager() {
    let app = TestApp::new().await;
    let form = app.visitor().get("/register").await;
    form.assert_status(200)
        .assert_text(r#"<label for="email">"#)
        .assert_text(r#"type="email" autocomplete="username" required"#)
        .assert_text(r#"<label for="password">"#)
        .assert_text(r#"type="password" autocomplete="new-password" required"#)
        .assert_text(r#"minlength="12""#)
        .assert_text(r#"<button type="submit">Sign up</button>"#);
}

#[rocket::async_test]
async fn a_refused_form_keeps_the_address_and_forgets_the_password() {
    let app = TestApp::new().await;
    let fields = [("email", "ada@example.org"), ("password", "hunter2")];
    let refused = app.visitor().post("/register", &fields).await;
    refused
        .assert_status(422)
        .assert_text(r#"value="ada@example.org""#)
        .assert_text(r#"id="password-error">Choose a password of at least 12 characters."#)
        .assert_text(r#"aria-describedby="password-error password-hint password-rules""#)
        .assert_no_text(r#"id="email-error""#)
        .assert_no_text("hunter2");
    assert_eq!((app.users().await, app.sessions().await), (0, 0));
}

#[rocket::async_test]
async fn each_wrong_field_has_its_own_message() {
    let app = TestApp::new().await;
    let refused = app.visitor().post("/register", &[("email", "ada"), ("password", "x")]).await;
    refused.assert_status(422).assert_text("<title>Error: Sign up");
    refused.assert_text(r#"id="email-error">Enter an address like name@example.org."#);
    refused.assert_text(r#"id="password-error">Choose a password of at least 12 characters."#);
    assert_eq!(refused.body.matches("aria-invalid").count(), 2);
}

#[rocket::async_test]
async fn a_taken_address_is_refused_in_any_case() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    for taken in ["ada@example.org", "ADA@EXAMPLE.ORG", " Ada@Example.org "] {
        let fields = [("email", taken), ("password", "another horse battery")];
        let refused = app.visitor().post("/register", &fields).await;
        refused.assert_status(422).assert_text("This address already has an account.");
    }
    assert_eq!((app.users().await, app.sessions().await), (1, 1));
}

#[rocket::async_test]
async fn many_simultaneous_sign_ups_of_one_address_make_one_account() {
    let app = TestApp::new().await;
    for round in 0..5 {
        let emails: Vec<_> = (0..20)
            .map(|i| {
                if i % 2 == 0 {
                    format!("ada{round}@example.org")
                } else {
                    format!("ADA{round}@example.org")
                }
            })
            .collect();
        let visitors: Vec<_> = emails.iter().map(|_| app.visitor()).collect();
        // Each sign-up has its own password. With the account's password it would be a log-in.
        let answers =
            visitors.iter().zip(&emails).enumerate().map(async |(i, (visitor, email))| {
                let password = format!("password number {i}");
                visitor.post("/register", &[("email", email), ("password", &password)]).await
            });
        let answers = join_all(answers).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status.code).collect();
        assert_eq!(statuses.iter().filter(|code| **code == 303).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|code| **code == 422).count(), 19, "{statuses:?}");
    }
    assert_eq!((app.users().await, app.sessions().await), (5, 5));
}

#[rocket::async_test]
async fn the_password_is_stored_as_an_argon2id_hash() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    let row = sqlx::query("SELECT password_hash FROM users").fetch_one(&mut app.db().await).await;
    let hash: String = row.unwrap().get(0);
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    assert!(!hash.contains(PASSWORD));
}

#[rocket::async_test]
async fn a_sign_up_ends_the_session_of_the_user_who_was_logged_in() {
    let app = TestApp::new().await;
    let visitor = app.registered("ada@example.org").await;
    let before = visitor.session_cookie();
    visitor.register("bob@example.org").await.assert_redirect("/account");
    visitor.get("/account").await.assert_text("bob@example.org").assert_no_text("ada@");
    assert_eq!(app.sessions().await, 1);

    visitor.set_cookie("session", before);
    assert!(!visitor.is_logged_in().await);
}

#[rocket::async_test]
async fn closed_registration_has_no_links_and_refuses_sign_ups() {
    let app = TestApp::with(|figment| figment.merge(("accounts.registration", "closed"))).await;
    let visitor = app.visitor();
    visitor.get("/register").await.assert_status(403).assert_text("Sign-up is closed");
    visitor.register("ada@example.org").await.assert_status(403);
    for page in ["/", "/login", "/logout"] {
        visitor.get(page).await.assert_status(200).assert_no_text("/register");
    }
    assert_eq!(app.users().await, 0);

    let request = app.client.get("/register").header(rocket::http::Accept::JSON);
    let problem = visitor.send(request).await;
    assert!(problem.assert_status(403).is_json());
}

#[rocket::async_test]
async fn the_password_field_has_the_focus_if_only_it_is_wrong() {
    let app = TestApp::new().await;
    let fields = [("email", "ada@example.org"), ("password", "x")];
    let refused = app.visitor().post("/register", &fields).await;
    assert_eq!(refused.body.matches(" autofocus").count(), 1);
    refused
        .assert_text(r#"aria-describedby="password-error password-hint password-rules" autofocus"#);
}

#[rocket::async_test]
async fn length_is_counted_in_code_points_from_12_to_128() {
    let app = TestApp::new().await;
    for (count, status) in [(11, 422), (12, 303), (128, 303), (129, 422)] {
        let email = format!("crab{count}@example.org");
        let password = "🦀".repeat(count);
        let fields = [("email", email.as_str()), ("password", password.as_str())];
        app.visitor().post("/register", &fields).await.assert_status(status);
    }
}

#[rocket::async_test]
async fn typed_text_is_escaped() {
    let app = TestApp::new().await;
    let fields = [("email", r#""><script>alert(1)</script>"#), ("password", PASSWORD)];
    let refused = app.visitor().post("/register", &fields).await;
    refused.assert_status(422).assert_no_text("<script>alert").assert_text("&lt;script&gt;");
}
