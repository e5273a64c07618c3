//! Roles: who gets in, and when a change of them is seen.

use std::process::Output;

use rocket::http::Accept;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest};
use rocket::{Build, Request, Rocket, get, routes};
use rocket_login::{Db, Error, Flash, HasRole, RecentLogin, Role, User, sql};
use serde_json::Value;

use crate::database;
use crate::kept::while_old;
use crate::servers::Running;
use crate::support::{TestApp, figment};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

enum Editor {}

impl Role for Editor {
    const NAME: &'static str = "editor";
}

#[get("/drafts")]
fn drafts(editor: HasRole<'_, Editor>) -> String {
    format!("the drafts of {}", editor.email)
}

#[get("/<_..>", rank = 20)]
fn anything() -> &'static str {
    "a page for everybody"
}

#[get("/drafts", rank = 2)]
fn others() -> &'static str {
    "what others see"
}

/// The members of the team, with their names: a guard on several of ours.
struct Member<'r> {
    user: &'r User,
    name: String,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Member<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, &'r Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        let db = try_outcome!(request.guard::<&Db>().await);
        let _flash = try_outcome!(request.guard::<Flash<'_>>().await);
        match name_of(db, user).await {
            Ok(Some(name)) => Outcome::Success(Member { user, name }),
            Ok(None) => Error::forbidden().outcome(request),
            Err(error) => error.outcome(request),
        }
    }
}

async fn name_of(db: &Db, user: &User) -> Result<Option<String>, Error> {
    let select = sql::query_scalar("SELECT name FROM members WHERE user_id = $1");
    Ok(select.bind(user.id).fetch_optional(&mut db.read().await?).await?)
}

#[get("/team")]
fn team(member: Member<'_>) -> String {
    format!("{}, {}", member.name, member.user.email)
}

/// What two guards of one request have failed with.
#[get("/failures")]
fn failures(
    editor: Result<HasRole<'_, Editor>, &Error>,
    member: Result<Member<'_>, &Error>,
) -> String {
    let editor = editor.err().map(|error| error.code());
    format!("{:?} {:?}", editor, member.err().map(|error| error.code()))
}

#[get("/sensitive")]
fn sensitive(editor: HasRole<'_, Editor>, _recent: RecentLogin<'_>) -> String {
    format!("{editor:?}")
}

fn own(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.mount("/", routes![drafts, team, failures, sensitive])
}

async fn site() -> TestApp {
    TestApp::built(|figment| figment, own).await
}

/// Runs a command on the database of the site.
fn run(app: &TestApp, arguments: &[&str]) -> Output {
    let mut command = database::command(env!("CARGO_BIN_EXE_rocket-login"), &app.dir);
    let url = format!("{{login={{url=\"{}\"}}}}", database::url(&app.dir));
    command.args(arguments).env("ROCKET_DATABASES", url);
    Running::output(command, "")
}

#[track_caller]
fn done(app: &TestApp, arguments: &[&str]) -> String {
    let output = run(app, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[rocket::async_test]
async fn only_a_user_with_the_role_gets_in() {
    let app = site().await;
    app.visitor().get("/drafts").await.assert_redirect("/login?next=%2Fdrafts");
    let (ada, bob) = (app.registered(ADA).await, app.registered(BOB).await);
    ada.get("/drafts").await.assert_status(403).assert_text("have permission to do this");
    assert_eq!(
        done(&app, &["user", "grant", ADA, "editor"]),
        format!("{ADA} has the role editor\n")
    );
    ada.get("/drafts").await.assert_status(200).assert_text("the drafts of ada@example.org");
    ada.get("/sensitive").await.assert_status(200).assert_text("editor");
    bob.get("/drafts").await.assert_status(403);
    let answer = bob.send(app.client.get("/drafts").header(Accept::JSON)).await;
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&403.into(), &"forbidden".into()));

    done(&app, &["user", "revoke", ADA, "editor"]);
    ada.get("/drafts").await.assert_status(403);
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn no_other_route_answers_somebody_without_the_role() {
    let build = |rocket| own(rocket).mount("/", routes![anything, others]);
    let app = TestApp::built(|figment| figment, build).await;
    // A route for guests is asked, as it is by the guard of a user.
    app.visitor().get("/drafts").await.assert_status(200).assert_text("what others see");
    let bob = app.registered(BOB).await;
    bob.get("/drafts").await.assert_status(403).assert_no_text("what others see");

    let app = TestApp::built(|f| f, |rocket| own(rocket).mount("/", routes![anything])).await;
    app.visitor().get("/drafts").await.assert_redirect("/login?next=%2Fdrafts");
    app.registered(BOB).await.get("/drafts").await.assert_status(403);
}

#[rocket::async_test]
async fn an_outage_is_503_for_a_role_too() {
    let app = site().await;
    let ada = app.registered(ADA).await;
    done(&app, &["user", "grant", ADA, "editor"]);
    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    ada.get("/drafts").await.assert_status(503);
}

#[rocket::async_test]
async fn a_role_without_the_stage_stops_the_launch() {
    let dir = tempfile::TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir)).mount("/", routes![drafts]);
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::SentinelAborts(_)), "{error:?}");
}

#[rocket::async_test]
async fn a_role_that_is_changed_by_sql_is_seen_by_the_next_request() {
    // With the cache, also on PostgreSQL.
    let app = TestApp::built(|figment| figment.merge(("session.cache", true)), own).await;
    let ada = app.registered(ADA).await;
    let until = async |status: u16| {
        let is_old = async || ada.get("/drafts").await.status.code != status;
        match database::socket() {
            Some(_) => drop(while_old("an old role", is_old).await),
            None => assert!(!is_old().await, "not {status}"),
        }
    };
    ada.get("/drafts").await.assert_status(403);
    app.execute("UPDATE users SET roles = 'admin editor'").await;
    until(200).await;
    app.execute("UPDATE users SET roles = 'edit admin editors'").await;
    until(403).await;
}

#[rocket::async_test]
async fn guards_of_ones_own_build_on_ours() {
    let app = site().await;
    app.execute("CREATE TABLE members (user_id BIGINT PRIMARY KEY, name TEXT NOT NULL)").await;
    app.visitor().get("/team").await.assert_redirect("/login?next=%2Fteam");
    let ada = app.registered(ADA).await;
    ada.get("/team").await.assert_status(403);
    app.execute("INSERT INTO members SELECT id, 'Ada' FROM users").await;
    ada.get("/team").await.assert_status(200).assert_text("Ada, ada@example.org");
    app.execute("DROP TABLE members").await;
    // SQLite has no code for a missing table, so it could be an outage.
    let broken = ada.get("/team").await.status.code;
    assert!(matches!(broken, 500 | 503), "{broken}");
}

#[rocket::async_test]
async fn each_guard_of_a_request_keeps_its_own_error() {
    let app = site().await;
    app.execute("CREATE TABLE members (user_id BIGINT PRIMARY KEY, name BIGINT NOT NULL)").await;
    let ada = app.registered(ADA).await;
    app.execute("INSERT INTO members SELECT id, 7 FROM users").await;
    ada.get("/failures").await.assert_text(r#"Some("forbidden") Some("internal")"#);
}

#[rocket::async_test]
async fn roles_are_given_and_taken_by_commands_and_recorded() {
    let app = site().await;
    app.registered(ADA).await;
    app.registered(BOB).await;
    for role in ["editor", "admin", "editor"] {
        let said = done(&app, &["user", "grant", "ADA@example.org", role]);
        assert_eq!(said, format!("ADA@example.org has the role {role}\n"));
    }
    let shown: Value = serde_json::from_str(&done(&app, &["user", "show", ADA, "--json"])).unwrap();
    assert_eq!(shown["roles"], serde_json::json!(["admin", "editor"]));
    assert!(done(&app, &["user", "show", ADA]).contains("admin, editor"));

    let output = run(&app, &["user", "revoke", ADA, "editor"]);
    assert_eq!(output.stdout, format!("{ADA} does not have the role editor\n").as_bytes());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.trim_end().ends_with("email=a***@example.org detail=editor"), "{said}");
    assert_eq!(run(&app, &["user", "revoke", ADA, "editor"]).status.code(), Some(0));

    // What changes nothing is not an event.
    let events = "SELECT count(*) FROM login_events WHERE detail <> ''";
    assert_eq!(app.count(events).await, 3);
    let events =
        "SELECT count(*) FROM login_events WHERE kind = 'role_revoked' AND detail = 'editor'";
    assert_eq!(app.count(events).await, 1);
    let ada = app.visitor();
    ada.log_in(ADA).await;
    let page = ada.get("/account/activity").await;
    page.assert_text("Role granted: admin").assert_text("Role revoked: editor");
    let export: Value = serde_json::from_str(&ada.get("/account/export").await.body).unwrap();
    assert_eq!(export["user"]["roles"], serde_json::json!(["admin"]));
}

#[rocket::async_test]
async fn a_word_that_is_not_a_role_is_wrong_usage() {
    let app = site().await;
    app.registered(ADA).await;
    for role in ["Editor", "chief editor", "-x", "2", "", "a,b"] {
        for command in ["grant", "revoke"] {
            let output = run(&app, &["user", command, ADA, "--", role]);
            assert_eq!(output.status.code(), Some(2), "{role}: {output:?}");
        }
    }
    let output = run(&app, &["user", "grant", "nobody@example.org", "editor"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody@example.org has no account"));
}

#[rocket::async_test]
async fn an_account_takes_32_roles_and_no_more() {
    let app = site().await;
    app.registered(ADA).await;
    let roles: Vec<_> = (10..42).map(|number| format!("{}{number}", "r".repeat(30))).collect();
    app.execute(sqlx::AssertSqlSafe(format!("UPDATE users SET roles = '{}'", roles.join(" "))))
        .await;
    done(&app, &["user", "grant", ADA, &roles[7]]);
    let output = run(&app, &["user", "grant", ADA, "one-more"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with("Error: The account has 32 roles already, which is the most.\n"),
        "{said}"
    );
    done(&app, &["user", "revoke", ADA, &roles[7]]);
    done(&app, &["user", "grant", ADA, "one-more"]);
}

#[rocket::async_test]
async fn the_database_takes_no_other_letters_in_roles() {
    let app = site().await;
    app.registered(ADA).await;
    let mut db = app.db().await;
    for text in ["Admin", "a,b", "a\tb", "é"] {
        let update = sqlx::AssertSqlSafe(format!("UPDATE users SET roles = '{text}'"));
        assert!(sqlx::raw_sql(update).execute(&mut db).await.is_err(), "{text}");
    }
}
