//! The judgement of a new password while it is typed, and that of the form, are one.

use rocket::http::{Accept, ContentType};
use serde_json::Value;

use crate::support::{PASSWORD, TestApp, Visitor, encode};

const ADA: &str = "ada.lovelace@maths.example.org";

async fn site() -> TestApp {
    TestApp::with(|f| {
        f.merge(("throttle.enabled", false))
            .merge(("site.name", "Walnut Garden"))
            .merge(("site.url", "https://login.orchard.example"))
    })
    .await
}

/// Passwords of each kind that is refused, and their accepted neighbours.
fn passwords() -> Vec<String> {
    let mut passwords: Vec<String> = [
        "short",
        "elevenchars",
        "twelve chars",
        "correct horse battery",
        "            ",
        "password1234",
        "PASSWORD1234",
        "123456789012",
        "qwertyuiop12",
        "ada.lovelace",
        "ada.lovelace1815",
        "lovelace maths",
        "ADA LOVELACE MATHS",
        "ada likes long walks",
        "walnut garden",
        "Walnut-Garden-1",
        "walnut garden of mine",
        "login.orchard.example",
        "orchardorchard",
        "bob.builder@example.org",
        "bob.builder.bob",
        "a password with \0 in it",
        "a password with \u{fffd} in it",
        // Twelve characters once they are composed, and eleven.
        "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301} horse",
        "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301} horse",
        "🦀🦀🦀🦀🦀🦀",
        "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
    ]
    .map(str::to_owned)
    .into();
    passwords.extend([127, 128, 129, 1000].map(|length| "long ".repeat(200)[..length].to_owned()));
    passwords
}

async fn ask<'a>(
    app: &'a TestApp,
    visitor: &Visitor<'a>,
    path: &str,
    fields: &[(&str, &str)],
) -> Value {
    let body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let request = app.client.post(path.to_owned()).header(ContentType::Form);
    let answer = visitor.send(request.header(Accept::JSON).body(body.join("&"))).await;
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{path}: {}", answer.body))
}

/// Asserts that the live judgement of `password` for the account `email` is the verdict of a form
/// on its field `field`.
fn assert_agreed(live: &Value, form: &Value, field: &str, what: &str) -> bool {
    let errors = form["errors"].as_array().cloned().unwrap_or_default();
    let refused = errors.iter().find(|error| error["field"] == field);
    match refused {
        Some(error) => {
            assert_eq!((&live["score"], &live["code"]), (&0.into(), &error["code"]), "{what}");
        }
        None => {
            assert!(live["score"].as_i64().unwrap() > 0, "{what}: {live} {form}");
            assert_eq!(live["code"], Value::Null, "{what}");
        }
    }
    refused.is_some()
}

#[rocket::async_test]
async fn the_sign_up_decides_as_the_meter_has_said() {
    let app = site().await;
    let (mut refused, mut accepted) = (0, 0);
    for email in [ADA, "bob.builder@example.org", "not an address", ""] {
        for password in passwords() {
            let fields = [("email", email), ("password", password.as_str())];
            let live = ask(&app, &app.visitor(), "/password-strength", &fields).await;
            let form = ask(&app, &app.visitor(), "/register", &fields).await;
            match assert_agreed(&live, &form, "password", &format!("{email} {password:?}")) {
                true => refused += 1,
                false => accepted += 1,
            }
        }
    }
    assert!(refused > 40 && accepted > 20, "{refused} {accepted}");
}

#[rocket::async_test]
async fn a_reset_and_a_change_decide_as_the_meter_has_said() {
    let app = site().await;
    let ada = app.registered(ADA).await;
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    for password in passwords() {
        if password == PASSWORD {
            // It is the present one, which only the form knows.
            continue;
        }
        let fields = [("email", ADA), ("password", password.as_str())];
        let live = ask(&app, &app.visitor(), "/password-strength", &fields).await;
        // The wrong present password keeps the form from storing the new one.
        let fields = [("current_password", "wrong"), ("new_password", password.as_str())];
        let form = ask(&app, &ada, "/account/password", &fields).await;
        let is_refused = assert_agreed(&live, &form, "new_password", &password);
        if is_refused {
            let form = ask(&app, &app.visitor(), &link, &fields[1..]).await;
            assert_agreed(&live, &form, "new_password", &password);
        }
    }
}

#[rocket::async_test]
async fn an_address_that_is_typed_later_changes_both_judgements() {
    let app = site().await;
    let password = "bob.builder.bob";
    for (email, is_refused) in
        [("", false), (ADA, false), ("bob.builder@example.org", true), ("BOB.BUILDER@x.org", true)]
    {
        let fields = [("email", email), ("password", password)];
        let live = ask(&app, &app.visitor(), "/password-strength", &fields).await;
        let form = ask(&app, &app.visitor(), "/register", &fields).await;
        assert_eq!(assert_agreed(&live, &form, "password", email), is_refused, "{email}");
    }
}
