//! Exporting and deleting an account.

use rocket::tokio::io::AsyncReadExt;
use rocket_login::testing::count_calls;
use serde_json::Value;

use crate::database::{TABLES, pick};
use crate::support::{PASSWORD, TestApp, many_sessions};

const ADA: &str = "ada@example.org";

#[rocket::async_test]
async fn the_export_holds_everything_and_no_secret() {
    let app = TestApp::with(|figment| figment.merge(("site.name", "Tea & Co."))).await;
    let ada = app.registered(ADA).await;
    ada.with_session(async |session| session.set("basket", "tea").await.unwrap()).await;
    app.visitor().post("/reset", &[("email", ADA)]).await;

    let answer = ada.get("/account/export").await;
    answer.assert_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let name = "Tea-Co-account-2026-01-01.json";
    let disposition = format!("attachment; filename=\"{name}\"");
    assert_eq!(answer.header("content-disposition"), Some(&*disposition));

    let export: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(export["user"]["email"], ADA);
    assert_eq!(export["site"], "Tea & Co.");
    assert_eq!(export["exported_at"], "2026-01-01T00:00:00Z");
    assert_eq!(export["user"]["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(export["sessions"][0]["state"]["basket"], "tea");
    assert_eq!(export["history"].as_array().unwrap().len(), 2);
    assert_eq!(export["notices"].as_array().unwrap().len(), 7);
    assert_eq!(export["devices"].as_array().unwrap().len(), 1);
    let purposes: Vec<&Value> =
        export["links"].as_array().unwrap().iter().map(|link| &link["purpose"]).collect();
    assert_eq!(purposes, ["verify", "reset"]);

    let reset = app.link(ADA, "/reset/").await;
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM users")
        .fetch_one(&mut app.db().await)
        .await
        .unwrap();
    let cookie = ada.session_cookie();
    for secret in [reset.rsplit('/').next().unwrap(), &hash, "argon2", &cookie] {
        answer.assert_no_text(secret);
    }
}

#[rocket::async_test]
async fn an_export_of_thousands_of_rows_is_complete_and_read_in_batches() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let state = "a line\n    \"and\" { another }";
    ada.with_session(async |session| session.set("text", state).await.unwrap()).await;
    many_sessions(&app, ADA, 3000).await;
    app.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
         INSERT INTO login_events (user_id, kind, created_at, ip_address, user_agent)
         SELECT 1, CASE WHEN n % 100 < 90 THEN 'logged_in' ELSE 'unknown' END, n, '', '' FROM numbers",
    )
    .await;

    let (answer, calls) = count_calls(ada.get("/account/export")).await;
    let export: Value = serde_json::from_str(&answer.assert_status(200).body).unwrap();
    let list = |key: &str| export[key].as_array().unwrap().clone();
    let mut numbers: Vec<_> =
        list("sessions").iter().filter_map(|one| one["state"]["number"].as_i64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=3000).collect::<Vec<_>>());
    assert_eq!(list("sessions").len(), 3001);
    assert!(list("sessions").iter().any(|one| one["state"]["text"] == state));
    // The export leaves out events of an unknown kind.
    assert_eq!(list("history").len(), 901);
    let times: Vec<_> = list("history").iter().map(|one| one["at"].to_string()).collect();
    assert!(times[..900].is_sorted_by(|a, b| a > b), "not the newest first");

    // 16 sessions or 100 events per query, and a few queries for the rest.
    assert!(calls < 3001 / 16 + 1001 / 100 + 30, "{calls}");
}

#[rocket::async_test]
async fn an_export_that_is_received_slowly_holds_no_database_connection() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    many_sessions(&app, ADA, 500).await;

    // Begin more exports than there are connections, and read none of them any further.
    let cookie = ada.session_cookie();
    let mut begun = Vec::new();
    for _ in 0..100 {
        let request = app.client.get("/account/export");
        let mut answer = request.cookie(("session", cookie.clone())).dispatch().await;
        answer.read_exact(&mut [0; 2000]).await.unwrap();
        begun.push(answer);
    }
    let bob = app.registered("bob@example.org").await;
    assert!(bob.is_logged_in().await && ada.is_logged_in().await);

    for answer in begun {
        let rest = answer.into_string().await.unwrap();
        assert!(rest.ends_with("  ]\n}\n"));
    }
}

#[rocket::async_test]
async fn an_export_that_fails_midway_is_not_valid_json() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    many_sessions(&app, ADA, 500).await;
    let request = app.client.get("/account/export").cookie(("session", ada.session_cookie()));
    let mut answer = request.dispatch().await;
    assert_eq!(answer.status().code, 200);
    let mut begun = vec![0; 2000];
    answer.read_exact(&mut begun).await.unwrap();
    app.execute("ALTER TABLE sessions RENAME COLUMN data TO gone").await;
    let mut whole = String::from_utf8(begun).unwrap();
    whole += &answer.into_string().await.unwrap();
    assert!(whole.contains("\"sessions\": ["));
    assert!(serde_json::from_str::<Value>(&whole).is_err(), "{whole}");
}

#[rocket::async_test]
async fn every_table_with_a_users_rows_is_in_the_export() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let tables: Vec<String> = sqlx::query_scalar(pick(
        "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND c.name IN ('user_id', 'account_id') ORDER BY m.name",
        "SELECT table_name::text FROM information_schema.columns
         WHERE column_name IN ('user_id', 'account_id') ORDER BY table_name",
    ))
    .fetch_all(&mut app.db().await)
    .await
    .unwrap();
    // If you add a table, say here which key of the export holds its rows. Waiting mails, recent
    // acts and log-ins between their two steps say nothing that the history does not say.
    let known = [
        ("login_devices", "devices"),
        ("login_done", "history"),
        ("login_events", "history"),
        ("login_factors", "factors"),
        ("login_identities", "identities"),
        ("login_mails", "history"),
        ("login_muted_notices", "notices"),
        ("login_pending", "history"),
        ("login_recovery_codes", "recovery_codes"),
        ("login_tokens", "links"),
        ("sessions", "sessions"),
    ];
    assert_eq!(tables, known.map(|(table, _)| table));
    let export: Value = serde_json::from_str(&ada.get("/account/export").await.body).unwrap();
    for (_, key) in known {
        assert!(export[key].is_array(), "{key}");
    }
}

#[rocket::async_test]
async fn a_deleted_account_leaves_nothing_personal_in_any_table() {
    let app = TestApp::new().await;
    let (ada, phone) = (app.registered(ADA).await, app.visitor());
    phone.log_in_remembered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    app.visitor().post("/reset", &[("email", ADA)]).await;
    app.visitor().log_in_with(ADA, "wrong horse battery").await;
    ada.post("/account/notices", &[]).await;
    let fields = [("email", "lovelace@example.org"), ("current_password", PASSWORD)];
    ada.post("/account/email", &fields).await;

    ada.get("/account/delete")
        .await
        .assert_status(200)
        .assert_text("will be deleted right away. This can't be undone.");
    ada.post("/account/delete", &[("current_password", PASSWORD)]).await.assert_redirect("/");
    ada.get("/").await.assert_text("Your account was deleted.");
    assert!(!ada.has_cookie("session"));
    assert!(!ada.is_logged_in().await && !phone.is_logged_in().await);
    assert!(bob.is_logged_in().await);
    phone.log_in(ADA).await.assert_status(422);

    let mut db = app.db().await;
    let tables: Vec<String> =
        sqlx::query_scalar(pick(TABLES[0], TABLES[1])).fetch_all(&mut db).await.unwrap();
    for table in tables.into_iter().filter(|table| table != "_sqlx_migrations") {
        // Every row belongs to Bob.
        let query = format!("SELECT * FROM {table}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut db).await.unwrap();
        for row in rows {
            use sqlx::Row;
            for column in 0..row.len() {
                let text: Option<String> = row.try_get_unchecked(column).unwrap_or_default();
                let text = text.unwrap_or_default().to_lowercase();
                assert!(!text.contains("ada@") && !text.contains("lovelace"), "{table}: {text}");
            }
            if let Ok(Some(user_id)) = row.try_get::<Option<i64>, _>("user_id") {
                assert_eq!(user_id, 2, "{table}");
            }
        }
    }

    // The address is free again, and its next owner starts with an empty history.
    let again = app.registered(ADA).await;
    again.get("/account/activity").await.assert_no_text("Log-in failed");
}

#[rocket::async_test]
async fn a_deletion_needs_the_password() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for password in ["", "wrong horse battery"] {
        let answer = ada.post("/account/delete", &[("current_password", password)]).await;
        answer.assert_status(422).assert_text(r#"id="current_password-error""#);
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_get_request_never_deletes_an_account() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.get("/account/delete").await.assert_status(200);
    ada.get(&format!("/account/delete?current_password={PASSWORD}").replace(' ', "+")).await;
    assert_eq!(app.users().await, 1);
}
