//! This program on the databases of other versions.

use std::collections::{BTreeMap, BTreeSet};

use rocket::figment::Figment;
use rocket_db_pools::Pool as _;
use rocket_login::config::DatabaseConfig;
use rocket_login::db::Pool;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;

use super::{Kept, connect, versions};
use crate::database::{self, pick};
use crate::fake_smtp::{Act, FakeServer};
use crate::support::{TestApp, encode};

/// Sends mails through the server at `url`.
fn through(figment: Figment, url: &str) -> Figment {
    figment.merge(("mail.url", url)).merge(("mail.from", "no-reply@example.org"))
}

/// Returns the columns of each table.
async fn columns(db: &mut AnyConnection) -> BTreeMap<String, Vec<String>> {
    let list = pick(
        "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY t.name, c.cid",
        "SELECT table_name::TEXT, column_name::TEXT FROM information_schema.columns
         WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
    );
    let rows: Vec<(String, String)> = sqlx::query_as(list).fetch_all(db).await.unwrap();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column) in rows {
        columns.entry(table).or_default().push(column);
    }
    columns
}

/// Returns every row of these columns, as text.
async fn rows(
    db: &mut AnyConnection,
    columns: &BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut rows = BTreeMap::new();
    for (table, columns) in columns {
        let cells = match database::socket() {
            None => columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>(),
            Some(_) => {
                columns.iter().map(|column| format!("coalesce({column}::TEXT, '-')")).collect()
            }
        };
        let list = format!("SELECT {} FROM {table}", cells.join(" || '|' || "));
        let of_table = sqlx::query_scalar(AssertSqlSafe(list)).fetch_all(&mut *db).await.unwrap();
        rows.insert(table.clone(), of_table.into_iter().collect());
    }
    rows
}

#[rocket::async_test]
async fn migrations_lose_no_row_of_an_earlier_version() {
    for version in versions() {
        let dir = TempDir::new().unwrap();
        Kept::restore(&version, &dir).await;
        let mut db = connect(&dir).await;
        let columns = columns(&mut db).await;
        let before = rows(&mut db, &columns).await;
        // Otherwise the test would say nothing about a table.
        let is_empty = |(_, rows): &(_, &BTreeSet<String>)| rows.is_empty();
        assert_eq!(before.iter().find(is_empty), None, "{}", version.display());
        db.close().await.unwrap();

        let config = DatabaseConfig::parse(&database::url(&dir)).unwrap();
        let pool = Pool::open(&config).await.unwrap();
        pool.migrate().await.unwrap();
        pool.close().await;

        let mut db = connect(&dir).await;
        let mut after = rows(&mut db, &columns).await;
        // It has the new migrations.
        let applied = after.get_mut("_sqlx_migrations").unwrap();
        applied.retain(|row| before["_sqlx_migrations"].contains(row));
        assert_eq!(before, after, "{}", version.display());
    }
}

#[rocket::async_test]
async fn everybody_of_an_earlier_version_stays_logged_in_with_their_state() {
    for version in versions() {
        let (kept, app) = Kept::opened(&version, |figment| figment).await;
        assert!(kept.browsers.values().filter(|browser| browser.email.is_some()).count() > 5);
        assert!(kept.browsers.values().any(|browser| browser.email.is_none()));
        for (name, expected) in &kept.browsers {
            let browser = kept.browser(&app, name);
            assert_eq!(browser.is_logged_in().await, expected.email.is_some(), "{name}");
            if let Some(email) = &expected.email {
                browser.get("/account").await.assert_text(email);
            }
            for (key, value) in &expected.state {
                let stored = browser.with_session(async |session| session.get::<Value>(key)).await;
                assert_eq!(stored.unwrap().as_ref(), Some(value), "{name}");
            }
        }
    }
}

#[rocket::async_test]
async fn mails_links_and_passwords_of_an_earlier_version_work() {
    for version in versions() {
        let server = FakeServer::start(|_, _| Act::Usual);
        let url = server.url();
        let (kept, app) = Kept::opened(&version, |figment| through(figment, &url)).await;
        for request in &kept.requests {
            let browser = match &request.browser {
                Some(name) => kept.browser(&app, name),
                None => app.visitor(),
            };
            let fields =
                request.fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
            let body = fields.collect::<Vec<_>>().join("&");
            let answer = browser.post_from(&app, &request.from, &request.path, &body).await;
            assert_eq!(answer.status.code, request.status, "{request:?}");
            assert_eq!(answer.header("location").unwrap_or(""), request.location, "{request:?}");
        }

        // The version had tried in vain to send them, so they wait a little longer.
        assert!(!kept.mails.is_empty());
        for recipient in kept.mails.iter().collect::<BTreeSet<_>>() {
            let count = kept.mails.iter().filter(|to| *to == recipient).count();
            let is_sent = format!(
                "SELECT count(*) >= {count} FROM login_mails
                 WHERE recipient = '{recipient}' AND sent_at IS NOT NULL"
            );
            app.until_after(10, is_sent.leak()).await;
            assert!(server.mails_to(recipient) >= count, "{recipient}");
        }
    }
}

#[rocket::async_test]
async fn what_only_a_newer_version_knows_stays_for_it() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    app.execute(
        "INSERT INTO login_events (user_id, kind, created_at)
         SELECT id, 'next_notice', created_at FROM users;
         INSERT INTO login_muted_notices (user_id, notice) SELECT id, 'next_notice' FROM users;
         INSERT INTO login_mails (user_id, recipient, template, content, created_at, expires_at,
                                  next_attempt_at)
         SELECT user_id, recipient, 'next_notice', content, created_at, expires_at, created_at + 10
         FROM login_mails",
    )
    .await; // not due yet, because this site would put it into its mailbox

    let server = FakeServer::start(|_, _| Act::Usual);
    let url = server.url();
    let jar = ada.session_cookie();
    drop(ada);
    let app = app.restarted(|figment| through(figment, &url)).await;
    let ada = app.visitor();
    ada.set_cookie("session", jar);
    app.until_after(
        1,
        "SELECT count(*) FROM login_mails WHERE template = 'next_notice' AND attempts > 0",
    )
    .await;
    for page in ["/account", "/account/activity", "/account/notices"] {
        ada.get(page).await.assert_status(200);
    }
    app.until(
        "SELECT count(*) FROM login_mails WHERE template = 'next_notice' AND sent_at IS NULL",
    )
    .await;
}
