//! The crate inside another application.

use std::fs;

use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::http::{Method, Status};
use rocket::local::asynchronous::Client;
use rocket::request::{self, FromRequest};
use rocket::{Build, Request, Rocket, catch, catchers, get, post, routes};
use rocket_db_pools::Database;
use rocket_login::sql::{self, Lock};
use rocket_login::testing::Browser;
use rocket_login::{Auth, Clock, Db, Error, Flash, Session, User};
use sqlx::migrate::Migrator;
use tempfile::TempDir;

use crate::support::{PASSWORD, START, figment};

const FIELDS: [(&str, &str); 2] = [("email", "ada@example.org"), ("password", PASSWORD)];

#[get("/count")]
async fn count(session: &Session) -> Result<String, Error> {
    Ok(session.update("count", |count| count.unwrap_or(0) + 1).await?.to_string())
}

#[get("/")]
fn front() -> &'static str {
    "the application's own front page"
}

#[get("/notes")]
fn notes(user: &User) -> String {
    format!("Notes of {}", user.email)
}

#[catch(default)]
fn own(status: Status, _: &Request<'_>) -> String {
    format!("the application's own {}", status.code)
}

#[post("/message")]
fn message(flash: Flash<'_>) {
    flash.set("saved");
}

#[get("/show")]
fn show(flash: Flash<'_>) -> String {
    format!("{:?}", flash.take())
}

#[get("/fail")]
fn fail(flash: Flash<'_>) -> Status {
    flash.take();
    Status::InternalServerError
}

#[get("/take-and-miss")]
fn take_and_miss(flash: Flash<'_>) -> Option<()> {
    flash.take();
    None
}

#[get("/take-and-set")]
fn take_and_set(flash: Flash<'_>) -> String {
    flash.set(&"ü".repeat(10_000));
    format!("{:?}", flash.take())
}

#[get("/redirect")]
fn redirect(flash: Flash<'_>) -> rocket::response::Redirect {
    flash.take();
    rocket::response::Redirect::to("/show")
}

/// A guard that forwards every request to the next route.
struct Nobody;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Nobody {
    type Error = ();

    async fn from_request(_: &'r Request<'_>) -> request::Outcome<Self, ()> {
        request::Outcome::Forward(Status::NotFound)
    }
}

#[get("/forward", rank = 1)]
fn forward(flash: Flash<'_>, _nobody: Nobody) -> String {
    format!("{:?}", flash.take())
}

#[get("/forward", rank = 2)]
fn forwarded(flash: Flash<'_>) -> String {
    format!("forwarded {:?}", flash.take())
}

async fn launch(
    configure: impl FnOnce(Figment) -> Figment,
    build: impl FnOnce(rocket::Rocket<rocket::Build>) -> rocket::Rocket<rocket::Build>,
) -> (Client, TempDir) {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(configure(figment(&dir))).manage(Clock::manual(START));
    (Client::untracked(build(rocket)).await.expect("it starts"), dir)
}

#[rocket::async_test]
async fn the_sessions_stage_mounts_no_pages() {
    let (client, _dir) =
        launch(|f| f, |r| r.attach(rocket_login::sessions()).mount("/", routes![count])).await;
    let visitor = Browser::new(&client);
    for count in ["1", "2", "3"] {
        assert_eq!(visitor.get("/count").await.body, count);
    }
    assert_eq!(Browser::new(&client).get("/count").await.body, "1");
    for path in ["/", "/login", "/register", "/account", "/healthz", "/static/style.css"] {
        visitor.get(path).await.assert_status(404);
    }
    assert_eq!(client.rocket().routes().count(), 1);
}

#[rocket::async_test]
async fn sessions_and_login_can_be_attached_in_either_order() {
    for login_first in [true, false] {
        let (client, dir) = launch(
            |f| f,
            |rocket| {
                let rocket = rocket.mount("/", routes![count, notes]);
                match login_first {
                    true => rocket.attach(rocket_login::stage()).attach(rocket_login::sessions()),
                    false => rocket.attach(rocket_login::sessions()).attach(rocket_login::stage()),
                }
            },
        )
        .await;
        let ada = Browser::new(&client);
        assert_eq!(ada.get("/count").await.body, "1");
        ada.post("/register", &FIELDS).await.assert_redirect("/account");
        assert_eq!(ada.get("/count").await.body, "2");
        ada.get("/notes").await.assert_text("ada@example.org");

        // The login stage still reads its own keys.
        let closed = figment(&dir).merge(("accounts.registration", "closed"));
        let rocket =
            rocket::custom(closed).attach(rocket_login::sessions()).attach(rocket_login::stage());
        let client = Client::untracked(rocket).await.unwrap();
        Browser::new(&client).get("/register").await.assert_status(403);
    }
}

#[rocket::async_test]
async fn the_pages_can_be_mounted_under_a_path() {
    let (client, _dir) = launch(
        |f| f,
        |r| r.attach(rocket_login::stage_at("/auth")).mount("/", routes![front, notes]),
    )
    .await;
    let ada = Browser::new(&client);
    ada.get("/").await.assert_text("the application's own front page");
    ada.get("/login").await.assert_status(404);
    ada.get("/notes").await.assert_redirect("/auth/login?next=%2Fnotes");
    ada.get("/auth/account").await.assert_redirect("/auth/login?next=%2Fauth%2Faccount");

    // Every link and form stays under the path and leads to a route.
    for page in ["/auth", "/auth/login?next=%2Fnotes", "/auth/register", "/auth/logout", "/auth/x"]
    {
        let page = ada.get(page).await;
        for attribute in ["href=\"", "action=\"", "src=\""] {
            for link in page.body.split(attribute).skip(1) {
                let link = link.split('"').next().unwrap();
                assert!(link == "/" || link == "#main" || link.starts_with("/auth/"), "{link}");
                let method = if attribute == "action=\"" { Method::Post } else { Method::Get };
                let answer = ada.send(client.req(method, link.replace("#main", "/"))).await;
                assert!(![404, 405].contains(&answer.status.code), "{method} {link}");
            }
        }
    }

    ada.post("/auth/register", &FIELDS).await.assert_redirect("/auth/account");
    ada.get("/auth/account").await.assert_text("ada@example.org");
    ada.get("/notes").await.assert_text("Notes of ada@example.org");
    ada.post("/auth/logout", &[]).await.assert_redirect("/");
    let fields = [FIELDS[0], FIELDS[1], ("next", "/notes")];
    ada.post("/auth/login", &fields).await.assert_redirect("/notes");
    let fields = [FIELDS[0], FIELDS[1], ("next", "//evil.example")];
    ada.post("/auth/login", &fields).await.assert_redirect("/auth/account");
}

#[rocket::async_test]
async fn an_applications_own_front_page_and_catcher_take_precedence() {
    let (client, _dir) = launch(
        |f| f,
        |r| {
            r.attach(rocket_login::stage()).mount("/", routes![front]).register("/", catchers![own])
        },
    )
    .await;
    let visitor = Browser::new(&client);
    visitor.get("/").await.assert_text("the application's own front page");
    visitor.get("/nowhere").await.assert_status(404).assert_text("the application's own 404");
    visitor.get("/login").await.assert_status(200);
    // The redirect to the log-in is still ours.
    visitor.get("/account").await.assert_redirect("/login?next=%2Faccount");
}

#[rocket::async_test]
async fn login_guards_without_the_login_stage_stop_the_launch() {
    #[get("/act")]
    fn act(_auth: Auth<'_>) {}

    for routes in [routes![notes], routes![act]] {
        let dir = TempDir::new().unwrap();
        let rocket = rocket::custom(figment(&dir)).attach(rocket_login::sessions());
        let error = rocket.mount("/", routes).ignite().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::SentinelAborts(_)), "{error:?}");
    }
}

#[rocket::async_test]
async fn the_sessions_stage_sends_retry_after_with_503() {
    let (client, dir) =
        launch(|f| f, |r| r.attach(rocket_login::sessions()).mount("/", routes![count])).await;
    let visitor = Browser::new(&client);
    visitor.get("/count").await.assert_status(200);
    fs::rename(dir.path().join("login.db"), dir.path().join("moved.db")).unwrap();
    let busy = visitor.get("/count").await;
    busy.assert_status(503);
    assert_eq!((busy.header("retry-after"), busy.header("set-cookie")), (Some("5"), None));
}

#[rocket::async_test]
async fn the_sessions_stage_ignores_an_applications_own_configuration_tables() {
    let foreign = |f: Figment| {
        f.merge(("site.title", "Notes")).merge(("mail.host", "localhost")).merge(("password.x", 1))
    };
    let (client, _dir) =
        launch(foreign, |r| r.attach(rocket_login::sessions()).mount("/", routes![count])).await;
    Browser::new(&client).get("/count").await.assert_status(200);

    let dir = TempDir::new().unwrap();
    let own = figment(&dir).merge(("session.idle_timout", 5));
    let error = rocket::custom(own).attach(rocket_login::sessions()).ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error:?}");
}

#[rocket::async_test]
async fn an_application_can_keep_its_own_tables_beside_ours() {
    let own = TempDir::new().unwrap();
    let sql = "CREATE TABLE notes (user_id INTEGER REFERENCES users (id) ON DELETE CASCADE) STRICT";
    fs::write(own.path().join("1_notes.sql"), sql).unwrap();
    let path = own.path().to_owned();
    let migrate = AdHoc::on_ignite("Notes", move |rocket| async {
        rocket.attach(AdHoc::try_on_ignite("Tables of Notes", move |rocket| async move {
            let mut tx = Db::fetch(&rocket).unwrap().write().await.unwrap();
            let mut migrator = Migrator::new(path.as_path()).await.unwrap();
            migrator
                .set_ignore_missing(true)
                .run_direct(None, tx.sqlite().unwrap(), false)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            Ok(rocket)
        }))
    });

    let (client, dir) = launch(|f| f, |r| r.attach(rocket_login::stage()).attach(migrate)).await;
    let ada = Browser::new(&client);
    ada.post("/register", &FIELDS).await.assert_redirect("/account");
    let db = Db::fetch(client.rocket()).unwrap();
    let mut tx = db.write().await.unwrap();
    sql::query("INSERT INTO notes SELECT id FROM users").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();

    // The site starts again beside the application's migrations.
    client.terminate().await;
    let rocket = rocket::custom(figment(&dir)).attach(rocket_login::stage());
    rocket.ignite().await.expect("it starts again");
}

#[rocket::async_test]
async fn a_lock_without_a_place_and_a_place_without_a_lock_are_refused() {
    let (client, _dir) = launch(|f| f, |r| r.attach(rocket_login::sessions())).await;
    let db = Db::fetch(client.rocket()).unwrap();
    for text in [
        "SELECT id FROM users WHERE id = 1 $lock",
        "SELECT id FROM users WHERE id = $1 AND (email = 'a' OR email = 'b') $lock",
        "SELECT id FROM users ORDER BY id LIMIT 1 $lock",
        "DELETE FROM users WHERE id IN (SELECT id FROM users LIMIT 1 $lock)",
        "INSERT INTO users (email) VALUES ((SELECT email FROM users WHERE id = 1 $lock))",
    ] {
        let mut tx = db.write().await.unwrap();
        sql::query(text).execute(&mut tx).await.unwrap_err();
    }
    let places = ["", " $lock", " AND id IN (SELECT id FROM users $lock) $lock"];
    for (number, place) in places.into_iter().enumerate() {
        let text: &'static str = format!("SELECT id FROM users WHERE id = 1{place}").leak();
        let mut tx = db.write().await.unwrap();
        let locked = sql::query(text).locking(Lock::Update).execute(&mut tx).await;
        assert_eq!(locked.is_ok(), number == 1, "{text}");
    }
}

#[rocket::async_test]
async fn a_flash_message_waits_for_the_page_that_shows_it() {
    let (client, _dir) = launch(
        |f| f,
        |r| {
            r.attach(rocket_login::sessions()).mount(
                "/",
                routes![
                    message,
                    show,
                    fail,
                    redirect,
                    forward,
                    forwarded,
                    count,
                    take_and_miss,
                    take_and_set
                ],
            )
        },
    )
    .await;
    let visitor = Browser::new(&client);
    visitor.post("/message", &[]).await.assert_status(200);

    // A parallel request that does not show the message, a failure and a redirect keep it.
    visitor.get("/count").await.assert_status(200);
    visitor.get("/fail").await.assert_status(500);
    visitor.get("/redirect").await.assert_redirect("/show");
    assert_eq!(visitor.get("/show").await.body, r#"Some("saved")"#);
    assert_eq!(visitor.get("/show").await.body, "None");

    // A route that forwards has not shown the message.
    visitor.post("/message", &[]).await;
    assert_eq!(visitor.get("/forward").await.body, r#"forwarded Some("saved")"#);
    assert_eq!(visitor.get("/show").await.body, "None");

    // Neither has a 404. A newer message replaces the one shown.
    visitor.post("/message", &[]).await;
    visitor.get("/take-and-miss").await.assert_status(404);
    visitor.get("/take-and-set").await.assert_text("saved");
    assert_eq!(visitor.get("/show").await.body, format!("Some({:?})", "ü".repeat(500)));

    // A message needs no session.
    assert_eq!(Browser::new(&client).post("/message", &[]).await.set_cookie("session"), None);
}

#[rocket::async_test]
async fn a_flash_message_cannot_be_planted() {
    let (client, _dir) =
        launch(|f| f, |r| r.attach(rocket_login::sessions()).mount("/", routes![show])).await;
    let visitor = Browser::new(&client);
    visitor.set_cookie("session-flash", "Call 0900 to unlock your account");
    assert_eq!(visitor.get("/show").await.body, "None");
}

#[rocket::async_test]
async fn a_flash_guard_without_a_stage_stops_the_launch() {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir)).mount("/", routes![show]);
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::SentinelAborts(_)), "{error:?}");
}

#[cfg(feature = "prometheus")]
#[rocket::async_test]
async fn the_metrics_endpoint_refuses_a_guessable_token() {
    for token in ["", "short"] {
        let dir = TempDir::new().unwrap();
        let rocket = rocket::custom(figment(&dir)).attach(rocket_login::stage());
        let rocket = rocket.attach(rocket_login::metrics::prometheus(token));
        let error = rocket.ignite().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error:?}");
    }
}

#[cfg(feature = "prometheus")]
#[rocket::async_test]
async fn the_metrics_count_what_happened_to_sessions_and_at_providers() {
    let liar = crate::servers::liar::Liar::start();
    let (client, _dir) = launch(
        |f| crate::providers::with_provider(f, "test", &liar),
        |r| {
            r.attach(rocket_login::stage())
                .attach(rocket_login::metrics::prometheus("a long random token"))
                .mount("/", routes![count])
        },
    )
    .await;
    let visitor = Browser::new(&client);
    visitor.get("/count").await;
    visitor.with_session(async |session| session.regenerate().await.unwrap()).await;
    visitor.get("/count").await;
    visitor.with_session(async |session| session.destroy().await.unwrap()).await;
    visitor.set_cookie("session", "tampered");
    visitor.get("/count").await;

    liar.follow(client.rocket().state().unwrap());
    let person = Browser::new(&client);
    for path in ["/login/with/test", "/login/with/test", "/account/providers/test/link"] {
        let begun = person.get(path).await;
        let back = liar.answer(begun.header("location").unwrap());
        person.get(&back).await.assert_status(303);
        // The second use of the same answer.
        person.get(&back).await.assert_status(422);
        person.get("/account").await.assert_status(200);
    }

    let scrape = async |token: Option<&str>| {
        let request = client.get("/metrics");
        let request = match token {
            Some(token) => request
                .header(rocket::http::Header::new("Authorization", format!("Bearer {token}"))),
            None => request,
        };
        Browser::new(&client).send(request).await
    };
    for token in [None, Some(""), Some("wrong")] {
        scrape(token).await.assert_status(404);
    }
    let metrics = scrape(Some("a long random token")).await;
    if crate::database::socket().is_some() {
        metrics.assert_text("rocket_login_connections{state=\"used\"}");
        metrics.assert_text("rocket_login_connections{state=\"idle\"}");
    }
    metrics.assert_status(200);
    for line in [
        r#"rocket_login_sessions_total{event="created"} "#,
        r#"rocket_login_sessions_total{event="regenerated"} "#,
        r#"rocket_login_sessions_total{event="ended"} "#,
        r#"rocket_login_sessions_total{event="refused"} "#,
        r#"rocket_login_providers_total{provider="test",event="signed_up"} 1"#,
        r#"rocket_login_providers_total{provider="test",event="logged_in"} 1"#,
        r#"rocket_login_providers_total{provider="test",event="linked"} 1"#,
        "rocket_login_session_lookup_seconds_count ",
        "rocket_login_session_write_seconds_count ",
    ] {
        metrics.assert_text(line);
    }
}

#[get("/auth/login")]
fn own_log_in() -> &'static str {
    "the application's own log-in"
}

#[get("/auth/reset/<link>")]
fn own_reset(link: &str) -> String {
    format!("the application's own reset of {link}")
}

#[rocket::async_test]
async fn a_route_with_the_path_of_ours_replaces_ours() {
    for is_first in [true, false] {
        let routes = routes![own_log_in, own_reset, notes];
        let build = |rocket: Rocket<Build>| match is_first {
            true => rocket.mount("/", routes).attach(rocket_login::stage_at("/auth")),
            false => rocket.attach(rocket_login::stage_at("/auth")).mount("/", routes),
        };
        let (client, _dir) = launch(|f| f, build).await;
        let ada = Browser::new(&client);
        ada.get("/notes").await.assert_redirect("/auth/login?next=%2Fnotes");
        for path in ["/auth/login", "/auth/login?next=%2Fnotes"] {
            assert_eq!(ada.get(path).await.body, "the application's own log-in");
        }
        assert_eq!(ada.get("/auth/reset/x").await.body, "the application's own reset of x");

        // The other methods and pages are ours.
        ada.get("/auth/reset").await.assert_text("Forgot your password?");
        ada.post("/auth/reset/x", &[("new_password", PASSWORD)]).await.assert_status(404);
        ada.post("/auth/register", &FIELDS).await.assert_redirect("/auth/account");
        ada.post("/auth/login", &FIELDS).await.assert_redirect("/auth/account");
    }
}
