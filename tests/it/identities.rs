//! Accounts at providers, as their owner, an operator and a program see them. No provider answers here.

use rocket::figment::Figment;
use rocket::http::Accept;
use rocket_login::auth::{DisconnectError, Operator};
use rocket_login::{Email, User};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::database::random;
use crate::factors::{ADA, add_app, confirmed};
use crate::support::{START, TestApp, Visitor};

const BOB: &str = "bob@example.org";

/// Configures the provider `acme`, at an address where nobody listens.
pub fn acme(figment: Figment) -> Figment {
    figment
        .merge(("providers.acme.issuer", "http://127.0.0.1:1"))
        .merge(("providers.acme.client_id", "site"))
        .merge(("providers.acme.label", "Acme Inc."))
}

/// Connects Ada's accounts at `acme`, and at a provider that is not in the configuration.
async fn connect(app: &TestApp) {
    app.execute(AssertSqlSafe(format!(
        "INSERT INTO login_identities
            (id, user_id, issuer, subject, provider, email, created_at, last_used_at)
         VALUES (7, 1, 'http://127.0.0.1:1', '1001', 'acme', 'ada@work.example', {START}, {START}),
                (8, 1, 'https://gone.example', 'x', 'gone', NULL, {START}, NULL)"
    )))
    .await;
}

fn operator(app: &TestApp) -> Operator<'_> {
    Operator::of(app.client.rocket()).unwrap()
}

async fn user(app: &TestApp, email: &str) -> User {
    let email = Email::parse(email).unwrap();
    operator(app).find_by_email(&email).await.unwrap().unwrap().user
}

async fn get_json(app: &TestApp, visitor: &Visitor<'_>, path: &'static str) -> Value {
    let answer = visitor.send(app.client.get(path).header(Accept::JSON)).await;
    answer.assert_status(200);
    serde_json::from_str(&answer.body).unwrap()
}

/// Adds a log-in of Ada by each of the two accounts that waits for its second step.
async fn begin_log_ins(app: &TestApp) {
    let (id, expires_at) = (random(32), START + 600);
    for identity in [7, 8] {
        app.execute(AssertSqlSafe(format!(
            "INSERT INTO login_pending (id, user_id, password, created_at, expires_at, identity_id)
             VALUES ({id}, 1, {id}, {START}, {expires_at}, {identity})"
        )))
        .await;
    }
}

const UNLINKED: &str = "SELECT count(*) FROM login_events WHERE kind = 'provider_unlinked'";
const DETAIL: &str = "SELECT detail FROM login_events WHERE kind = 'provider_unlinked'";

#[rocket::async_test]
async fn an_operator_disconnects_a_provider_and_ends_the_sessions() {
    let app = TestApp::with(acme).await;
    let ada = confirmed(&app, ADA).await;
    let bob = app.registered(BOB).await;
    connect(&app).await;
    begin_log_ins(&app).await;

    let (owner, other) = (user(&app, ADA).await, user(&app, BOB).await);
    let refused = operator(&app).disconnect_provider(&other, 7).await.unwrap_err();
    assert!(matches!(refused, DisconnectError::NotConnected), "{refused:?}");
    operator(&app).disconnect_provider(&owner, 7).await.unwrap();
    let refused = operator(&app).disconnect_provider(&owner, 7).await.unwrap_err();
    assert!(matches!(refused, DisconnectError::NotConnected), "{refused:?}");

    assert!(!ada.is_logged_in().await && bob.is_logged_in().await);
    assert_eq!(
        app.text("SELECT provider FROM login_identities WHERE removed_at IS NULL").await,
        "gone"
    );
    assert_eq!(app.count("SELECT identity_id FROM login_pending").await, 8);
    assert_eq!(app.text(DETAIL).await, "acme");
    let mails = app.mails().await;
    let told = |text: &str| mails.iter().filter(|mail| mail.text.contains(text)).count();
    assert_eq!(told("An account at Acme Inc. was disconnected from your account"), 1);
}

#[rocket::async_test]
async fn removing_all_factors_disconnects_all_providers() {
    let app = TestApp::with(acme).await;
    let ada = confirmed(&app, ADA).await;
    add_app(&app, &ada).await;
    connect(&app).await;
    begin_log_ins(&app).await;
    let owner = user(&app, ADA).await;
    assert_eq!(operator(&app).remove_all_factors(&owner).await.unwrap(), 3);
    assert!(!ada.is_logged_in().await);
    let found = operator(&app).factors(&owner).await.unwrap();
    assert!(found.factors.is_empty() && found.codes.is_none() && found.identities.is_empty());
    assert_eq!(app.count("SELECT count(*) FROM login_pending").await, 0);
    assert_eq!(app.count(UNLINKED).await, 2);
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    assert_eq!(operator(&app).remove_all_factors(&owner).await.unwrap(), 0);
}

#[rocket::async_test]
async fn a_program_and_the_export_name_the_accounts_at_providers() {
    let app = TestApp::with(acme).await;
    let ada = confirmed(&app, ADA).await;
    connect(&app).await;
    let ways = get_json(&app, &ada, "/account/security").await;
    let at = "2026-01-01T00:00:00Z";
    let expected = json!([
        {
            "id": "7", "provider": "acme", "label": "Acme Inc.", "email": "ada@work.example",
            "created_at": at, "last_used_at": at, "is_offered": true,
        },
        {
            "id": "8", "provider": "gone", "label": "gone", "email": null,
            "created_at": at, "last_used_at": null, "is_offered": false,
        },
    ]);
    assert_eq!(ways["identities"], expected);

    let list = get_json(&app, &ada, "/account/sessions").await;
    assert_eq!(list["sessions"][0]["provider"], Value::Null);
    app.execute("UPDATE sessions SET identity_id = 7").await;
    let list = get_json(&app, &ada, "/account/sessions").await;
    assert_eq!(list["sessions"][0]["provider"], "Acme Inc.");

    let export: Value = serde_json::from_str(&ada.get("/account/export").await.body).unwrap();
    let expected = json!([
        {
            "issuer": "http://127.0.0.1:1", "subject": "1001", "provider": "acme",
            "email": "ada@work.example", "created_at": at, "last_used_at": at,
        },
        {
            "issuer": "https://gone.example", "subject": "x", "provider": "gone",
            "email": null, "created_at": at, "last_used_at": null,
        },
    ]);
    assert_eq!(export["identities"], expected);
    assert_eq!(export["sessions"][0]["provider"], "acme");
    let sessions = operator(&app).sessions(&user(&app, ADA).await).await.unwrap();
    assert_eq!(sessions[0].provider.as_deref(), Some("Acme Inc."));
}

#[rocket::async_test]
async fn the_export_leaves_out_what_was_disconnected() {
    let app = TestApp::with(acme).await;
    let ada = confirmed(&app, ADA).await;
    connect(&app).await;
    app.execute(AssertSqlSafe(format!("UPDATE login_identities SET removed_at = {START}"))).await;
    let export: Value = serde_json::from_str(&ada.get("/account/export").await.body).unwrap();
    assert_eq!(export["identities"], json!([]));
}
