//! What an application's statements change of sessions is noticed, and nothing else makes a session
//! be looked up again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rocket_db_pools::Database;
use rocket_login::testing::count_calls;
use rocket_login::{Db, Transaction, sql};
use sqlx::AssertSqlSafe;

use crate::kept::{instance, until_dead};
use crate::postgres::cluster;
use crate::servers::Cluster;
use crate::support::{TestApp, Visitor};

const ADA: &str = "ada@example.org";

/// A table whose text says "sessions" and "users".
const CHAT: &str = "CREATE TABLE chat_sessions (id BIGINT PRIMARY KEY, users BIGINT NOT NULL)";

/// Returns a site on each database that is here.
async fn sites() -> (Vec<TestApp>, Option<Cluster>) {
    let (mut sites, cluster) = (vec![TestApp::new().await], cluster());
    if let Some(cluster) = &cluster {
        sites.push(instance(cluster).await);
    }
    (sites, cluster)
}

fn db(app: &TestApp) -> &Db {
    Db::fetch(app.client.rocket()).unwrap()
}

/// A visitor who is logged in. No mail is sent: its sender commits at some time.
async fn signed_in<'a>(app: &'a TestApp) -> Visitor<'a> {
    let ada = app.visitor();
    ada.sign_in(ADA).await;
    until_kept(&ada).await;
    ada
}

/// Returns how often a page asks the database.
async fn look_ups(visitor: &Visitor<'_>) -> u64 {
    count_calls(visitor.get("/")).await.1
}

async fn until_kept(visitor: &Visitor<'_>) {
    let start = Instant::now();
    while look_ups(visitor).await > 0 {
        assert!(start.elapsed() < Duration::from_secs(15), "nothing is kept");
    }
}

/// How an application runs a statement.
#[derive(Debug, Clone, Copy)]
enum Way {
    Statement,
    Connection,
}

/// Runs `statement` in a transaction. Returns whether the database is SQLite.
async fn write(app: &TestApp, way: Way, statement: &'static str) -> bool {
    let mut tx = db(app).write().await.unwrap();
    let is_sqlite = tx.sqlite().is_some();
    match way {
        Way::Statement => drop(sql::query(statement).execute(&mut tx).await.unwrap()),
        Way::Connection => on_connection(&mut tx, statement).await,
    }
    tx.commit().await.unwrap();
    is_sqlite
}

async fn on_connection(tx: &mut Transaction, statement: &'static str) {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement));
    if let Some(sqlite) = tx.sqlite() {
        statement.execute(sqlite).await.unwrap();
    } else if let Some(postgres) = tx.postgres() {
        statement.execute(postgres).await.unwrap();
    }
}

#[rocket::async_test]
async fn a_write_to_an_applications_own_table_causes_no_look_up() {
    let (sites, _cluster) = sites().await;
    for app in sites {
        write(&app, Way::Connection, CHAT).await;
        write(&app, Way::Connection, "CREATE TABLE plain_users (id BIGINT PRIMARY KEY)").await;
        let ada = signed_in(&app).await;
        let (mut kept, mut written) = (0, 0);
        for way in [Way::Statement, Way::Connection] {
            for statement in [
                "INSERT INTO chat_sessions (id, users) VALUES (1, 1), (2, 2)",
                "UPDATE chat_sessions SET users = users + 1",
                "UPDATE chat_sessions SET users = users",
                "DELETE FROM chat_sessions WHERE id = 1",
                "DELETE FROM chat_sessions",
                "INSERT INTO plain_users SELECT id FROM users",
                "DELETE FROM plain_users",
                "CREATE TABLE users_and_sessions (id BIGINT PRIMARY KEY)",
                "DROP TABLE users_and_sessions",
            ] {
                write(&app, way, statement).await;
                written += 1;
                kept += u64::from(look_ups(&ada).await == 0);
                until_kept(&ada).await;
            }
        }
        // On a busy machine PostgreSQL may be silent for so long that nothing is believed.
        assert!(kept + 2 >= written, "{kept} of {written}");
    }
}

#[rocket::async_test]
async fn an_undeclared_change_of_an_application_is_noticed() {
    let (sites, _cluster) = sites().await;
    for app in sites {
        for way in [Way::Statement, Way::Connection] {
            for change in [
                "UPDATE users SET disabled_at = 1",
                "UPDATE users SET session_generation = session_generation + 1",
                "UPDATE sessions SET expires_at = 1",
                "DELETE FROM sessions",
                "DELETE FROM users",
            ] {
                write(&app, Way::Connection, "UPDATE users SET disabled_at = NULL").await;
                let ada = signed_in(&app).await;
                let is_sqlite = write(&app, way, change).await;
                // SQLite tells with the commit, so the next page shows it.
                assert!(!is_sqlite || !ada.is_logged_in().await, "{way:?} {change}");
                until_dead(&ada).await;
            }
        }
    }
}

#[rocket::async_test]
async fn nothing_read_before_a_declared_change_is_used_after_it() {
    let (sites, _cluster) = sites().await;
    for app in sites {
        let ada = signed_in(&app).await;
        let mut tx = db(&app).write().await.unwrap();
        tx.changes_sessions();
        drop(tx);
        until_kept(&ada).await;

        // No row changes here, so the database tells nothing.
        let mut tx = db(&app).write().await.unwrap();
        tx.changes_sessions();
        tx.commit().await.unwrap();
        assert!(look_ups(&ada).await > 0);

        for _ in 0..10 {
            let ada = signed_in(&app).await;
            let mut tx = db(&app).write().await.unwrap();
            tx.changes_sessions();
            sql::query("DELETE FROM sessions").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert!(!ada.is_logged_in().await);
        }
    }
}

#[rocket::async_test]
async fn a_change_by_an_applications_trigger_on_sqlite_is_in_the_next_page() {
    let app = TestApp::new().await;
    app.execute(CHAT).await;
    let ada = signed_in(&app).await;
    app.execute(
        "CREATE TRIGGER greet AFTER INSERT ON chat_sessions BEGIN
             UPDATE users SET email = 'bea@example.org';
         END",
    )
    .await;
    until_kept(&ada).await;
    write(&app, Way::Statement, "INSERT INTO chat_sessions (id, users) VALUES (1, 1)").await;
    ada.get("/").await.assert_text("bea@example.org");

    // It is also told apart from what our own statement in this transaction says.
    app.execute("DROP TRIGGER greet").await;
    app.execute(
        "CREATE TRIGGER rename AFTER UPDATE OF data ON sessions BEGIN
             UPDATE users SET email = 'eve@example.org';
         END",
    )
    .await;
    until_kept(&ada).await;
    ada.with_session(async |session| session.set("n", 1).await.unwrap()).await;
    ada.get("/").await.assert_text("eve@example.org");
}

#[rocket::async_test]
async fn every_session_is_read_again_if_an_application_replaces_our_update_hook() {
    let app = TestApp::new().await;
    let ada = signed_in(&app).await;
    let mut tx = db(&app).write().await.unwrap();
    let sqlite = tx.sqlite().unwrap();
    sqlite.lock_handle().await.unwrap().set_update_hook(|_| ());
    sqlx::query("DELETE FROM sessions").execute(sqlite).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!ada.is_logged_in().await);
    let ada = signed_in(&app).await;
    write(&app, Way::Statement, "DELETE FROM sessions").await;
    assert!(!ada.is_logged_in().await);
}

/// The files of Rust below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.flat_map(below).filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

#[test]
fn each_statement_of_ours_on_sessions_or_users_says_what_it_changes() {
    let mut found = 0;
    for path in files(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("mod tests {").next().unwrap().lines();
        let code: Vec<_> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        for act in ["INSERT INTO ", "UPDATE ", "DELETE FROM "] {
            for (at, _) in code.match_indices(act) {
                let table = &code[at + act.len()..];
                let table = table.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                // An example in `testing` is an application's.
                if !table.is_some_and(|table| ["sessions", "users"].contains(&table))
                    || path.starts_with("src/testing")
                {
                    continue;
                }
                let run = [".execute(", ".fetch_"];
                let end = run.iter().filter_map(|run| code[at..].find(run)).min().unwrap();
                let statement = &code[at..at + end];
                assert!(statement.contains(".declared()"), "{}: {statement}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 15, "{found}");
}
