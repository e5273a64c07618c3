//! The migrations of an application, and what it does with the database at the launch.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use rocket::error::ErrorKind;
use rocket::futures::future::join_all;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket};
use rocket_db_pools::Database;
use rocket_login::config::DatabaseConfig;
use rocket_login::db::{Migrator, Pool};
use rocket_login::testing::Browser;
use rocket_login::{Db, Error, Migrations, Stage, sessions, sql, stage};
use tempfile::TempDir;

use crate::database::{self, pick};
use crate::support::{PASSWORD, figment};

const NOTES: &str = "CREATE TABLE notes (
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    text    TEXT   NOT NULL
)";

fn notes() -> Migrations {
    Migrations::new().add(1, "notes", NOTES)
}

fn rocket(dir: &TempDir, stage: Stage) -> Rocket<Build> {
    rocket::custom(figment(dir)).attach(stage)
}

async fn launch(dir: &TempDir, stage: Stage) -> Client {
    Client::untracked(rocket(dir, stage)).await.expect("it starts")
}

async fn assert_stops(rocket: Rocket<Build>) {
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error:?}");
}

/// Opens the database of the site in `dir`.
async fn open(dir: &TempDir) -> Pool {
    Pool::open(&DatabaseConfig::parse(&database::url(dir)).unwrap()).await.unwrap()
}

/// Returns the line with which `migrations` are refused on the database in `dir`.
async fn refused(dir: &TempDir, migrations: Migrations) -> String {
    let db = open(dir).await;
    let line = db.migrate_with(&migrations).await.unwrap_err().to_string();
    rocket_db_pools::Pool::close(&db).await;
    assert!(!line.contains('\n'), "{line}");
    line
}

async fn count(db: &Pool, text: &'static str) -> i64 {
    let mut reader = db.read().await.unwrap();
    sql::query_scalar(text).fetch_one(&mut reader).await.unwrap()
}

async fn insert(db: &Pool, text: &'static str) {
    let mut tx = db.write().await.unwrap();
    sql::query(text).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Returns the version of our first migration.
fn first_of_ours() -> i64 {
    let files = fs::read_dir("migrations").unwrap().map(|file| file.unwrap().file_name());
    let versions = files.filter_map(|name| name.to_str()?.split_once('_')?.0.parse().ok());
    versions.min().unwrap()
}

const APPLIED: &str = "SELECT count(*) FROM _sqlx_migrations WHERE version < 1000";

#[rocket::async_test]
async fn migrations_of_the_application_run_after_ours_and_once() {
    for profile in ["debug", "release"] {
        let dir = TempDir::new().unwrap();
        let start = async |migrations: Migrations| {
            let rocket = rocket::custom(figment(&dir).select(profile));
            let rocket = rocket.attach(stage().migrations(migrations));
            Client::untracked(rocket).await.expect("it starts")
        };

        let client = start(notes()).await;
        let ada = Browser::new(&client);
        let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
        ada.post("/register", &fields).await.assert_redirect("/account");
        let db = Db::fetch(client.rocket()).unwrap();
        insert(db, "INSERT INTO notes (user_id, text) SELECT id, 'tea' FROM users").await;
        client.terminate().await;

        // A later program has one more. The rows stay.
        let more = "ALTER TABLE notes ADD COLUMN done BOOLEAN NOT NULL DEFAULT FALSE;
                    CREATE INDEX notes_user_id_idx ON notes (user_id)";
        let client = start(notes().add(2, "done", more)).await;
        let db = Db::fetch(client.rocket()).unwrap();
        assert_eq!(count(db, "SELECT count(*) FROM notes WHERE NOT done").await, 1);
        assert_eq!(count(db, APPLIED).await, 2);
        let ada = Browser::new(&client);
        ada.post("/login", &fields).await.assert_redirect("/account");
        let fields = [("current_password", PASSWORD)];
        ada.post("/account/delete", &fields).await.assert_redirect("/");
        assert_eq!(count(db, "SELECT count(*) FROM notes").await, 0);
    }
}

#[rocket::async_test]
async fn a_folder_of_sqlx_migrations_can_be_passed() {
    let own = TempDir::new().unwrap();
    fs::write(own.path().join("20261201120000_notes.up.sql"), NOTES).unwrap();
    fs::write(own.path().join("20261201120000_notes.down.sql"), "DROP TABLE notes").unwrap();
    let dir = TempDir::new().unwrap();
    for _ in 0..2 {
        let migrator = Migrator::new(own.path()).await.unwrap();
        let client = launch(&dir, stage().migrations(migrator)).await;
        assert_eq!(
            count(Db::fetch(client.rocket()).unwrap(), "SELECT count(*) FROM notes").await,
            0
        );
        client.terminate().await;
    }

    // A program without it would not know what the table is for.
    let line = refused(&dir, notes()).await;
    assert!(line.contains("the database has 20261201120000 (notes), which this program"), "{line}");
    open(&dir).await.migrate_with(&Migrations::new().ignore_missing()).await.unwrap();
}

#[rocket::async_test]
async fn each_database_can_have_a_text_of_its_own() {
    let dir = TempDir::new().unwrap();
    let sqlite = "CREATE TABLE rooms (id INTEGER PRIMARY KEY AUTOINCREMENT)";
    let postgres = "CREATE TABLE rooms (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY)";
    let migrations = Migrations::new().add_each(1, "rooms", sqlite, postgres);
    let client = launch(&dir, stage().migrations(migrations)).await;
    let db = Db::fetch(client.rocket()).unwrap();
    insert(db, "INSERT INTO rooms DEFAULT VALUES").await;
    assert_eq!(count(db, "SELECT id FROM rooms").await, 1);
}

#[rocket::async_test]
async fn a_table_of_migrations_of_its_own_is_used_and_may_have_our_versions() {
    let dir = TempDir::new().unwrap();
    let first = first_of_ours();
    let own = TempDir::new().unwrap();
    fs::write(own.path().join(format!("{first}_notes.sql")), NOTES).unwrap();
    for _ in 0..2 {
        let mut migrator = Migrator::new(own.path()).await.unwrap();
        migrator.dangerous_set_table_name("notes_migrations");
        let client = launch(&dir, stage().migrations(migrator)).await;
        let db = Db::fetch(client.rocket()).unwrap();
        assert_eq!(count(db, "SELECT count(*) FROM notes_migrations").await, 1);
        client.terminate().await;
    }
}

#[rocket::async_test]
async fn a_migration_that_fails_changes_nothing_and_is_named() {
    let dir = TempDir::new().unwrap();
    let migrations =
        || notes().add(2, "tags", "CREATE TABLE tags (id BIGINT); SELECT * FROM nowhere");
    assert_stops(rocket(&dir, stage().migrations(migrations()))).await;
    let line = refused(&dir, migrations()).await;
    let problem = pick("no such table: nowhere", "relation \"nowhere\" does not exist");
    assert_eq!(line, format!("Stage::migrations: 2 (tags): {problem}"));

    let db = open(&dir).await;
    db.migrate_with(&notes()).await.expect("the first one has not run");
    assert_eq!(count(&db, APPLIED).await, 1);
}

#[rocket::async_test]
async fn a_set_that_does_not_fit_the_database_is_refused_with_the_fix() {
    let dir = TempDir::new().unwrap();
    open(&dir).await.migrate_with(&notes()).await.unwrap();
    let first = first_of_ours();
    let all = [
        (Migrations::new().add(1, "notes", "SELECT 1"), "1 (notes) has run with another text"),
        (Migrations::new().add(2, "tags", "SELECT 1"), "the database has 1 (notes), which this"),
        (notes().add(2, "a", "").add(2, "b", ""), "2 (b) has the version of another one"),
        (notes().add(first, "tags", "SELECT 1"), "(tags) has a version of rocket-login's"),
        (notes().add(2, "rocket login tags", ""), "2 (rocket login tags) is named like one of"),
    ];
    for (migrations, problem) in all {
        let line = refused(&dir, migrations).await;
        assert!(line.starts_with("Stage::migrations: ") && line.contains(problem), "{line}");
        assert!(line.contains("; "), "no fix: {line}");
    }

    // A site does not start with them either.
    assert_stops(rocket(&dir, stage().migrations(Migrations::new().add(1, "notes", "")))).await;
    // A set that another application has added to is no reason.
    let others = Migrations::new().ignore_missing().add(2, "tags", "CREATE TABLE tags (id BIGINT)");
    launch(&dir, stage().migrations(others)).await;
    // Nor is a site without migrations of its own.
    launch(&dir, stage()).await;
}

#[rocket::async_test]
async fn a_migration_outside_a_transaction_is_refused_until_it_has_run() {
    let own = TempDir::new().unwrap();
    let text = "-- no-transaction\nCREATE TABLE notes (text TEXT)";
    fs::write(own.path().join("1_notes.sql"), text).unwrap();
    let migrator = async || Migrator::new(own.path()).await.unwrap();
    let dir = TempDir::new().unwrap();
    let line = refused(&dir, migrator().await.into()).await;
    assert!(line.contains("1 (notes) cannot run in a transaction"), "{line}");

    sqlx::any::install_default_drivers();
    let url = database::url(&dir);
    let mut db = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let mut migrations = sqlx::migrate::Migrator::new(own.path()).await.unwrap();
    migrations.set_ignore_missing(true).run(&mut db).await.unwrap();
    drop(db);
    launch(&dir, stage().migrations(migrator().await)).await;
}

#[rocket::async_test]
async fn an_application_that_took_one_of_our_versions_is_told_so() {
    let dir = TempDir::new().unwrap();
    let db = open(&dir).await;
    db.migrate().await.unwrap();
    let first = first_of_ours();
    let mut tx = db.write().await.unwrap();
    let update = "UPDATE _sqlx_migrations SET description = 'notes' WHERE version = $1";
    sql::query(update).bind(first).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    rocket_db_pools::Pool::close(&db).await;
    let line = refused(&dir, Migrations::new()).await;
    let problem = format!("the migration {first} (notes) of the application has a version of");
    assert!(line.starts_with(&problem), "{line}");
}

#[rocket::async_test]
async fn several_instances_that_start_at_once_run_each_migration_once() {
    let dir = TempDir::new().unwrap();
    let starts = (0..5).map(|_| rocket(&dir, stage().migrations(notes())).ignite());
    for ignited in join_all(starts).await {
        ignited.expect("every instance starts");
    }
    assert_eq!(count(&open(&dir).await, APPLIED).await, 1);
}

#[rocket::async_test]
async fn acts_run_in_order_after_the_migrations_in_whichever_order_stages_are_attached() {
    async fn first(db: Db) -> Result<(), Error> {
        let mut tx = db.write().await?;
        sql::query("CREATE TABLE rooms (name TEXT)").execute(&mut tx).await?;
        sql::query("INSERT INTO rooms SELECT 'lobby' WHERE NOT EXISTS (SELECT 1 FROM notes)")
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    let own = || {
        stage().migrations(notes()).with_database(first).with_database(async |db: Db| {
            let rooms = count(&db, "SELECT count(*) FROM rooms").await;
            if rooms == 1 { Ok(()) } else { Err(format!("{rooms} rooms")) }
        })
    };
    for sessions_first in [true, false] {
        let dir = TempDir::new().unwrap();
        let rocket = rocket::custom(figment(&dir));
        let rocket = match sessions_first {
            true => rocket.attach(sessions()).attach(own()),
            false => rocket.attach(own()).attach(sessions()),
        };
        let client = Client::untracked(rocket).await.expect("it starts");
        let db = Db::fetch(client.rocket()).unwrap();
        assert_eq!(count(db, "SELECT count(*) FROM rooms").await, 1);
    }
}

#[rocket::async_test]
async fn an_act_that_fails_stops_the_launch_and_those_after_it() {
    static LATER: AtomicUsize = AtomicUsize::new(0);
    let dir = TempDir::new().unwrap();
    let failing = stage()
        .migrations(notes())
        .with_database(async |_| Err::<(), _>("the room is missing"))
        .with_database(async |_| {
            LATER.fetch_add(1, Ordering::SeqCst);
            Ok::<(), Error>(())
        });
    assert_stops(rocket(&dir, failing)).await;

    // Nor does an act run on a database without its migrations.
    let failing =
        stage().migrations(Migrations::new().add(1, "notes", "")).with_database(async |_| {
            LATER.fetch_add(1, Ordering::SeqCst);
            Ok::<(), Error>(())
        });
    assert_stops(rocket(&dir, failing)).await;
    assert_eq!(LATER.load(Ordering::SeqCst), 0);
}
