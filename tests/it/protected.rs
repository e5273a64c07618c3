//! Routes behind a log-in, whatever their own guards are.

use std::fs;

use rocket::fs::FileServer;
use rocket::http::{Accept, Method};
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, get, post, routes};
use rocket_login::auth::{protected, protected_by_role};
use rocket_login::testing::Browser;
use rocket_login::{Role, User};
use tempfile::TempDir;

use crate::support::{TestApp, figment, header};

enum Editor {}

impl Role for Editor {
    const NAME: &'static str = "editor";
}

#[get("/")]
fn index() -> &'static str {
    "all reports"
}

#[get("/<year>")]
fn one(year: u16) -> String {
    format!("the report of {year}")
}

#[post("/", data = "<text>")]
fn add(text: String) -> String {
    format!("added {text}")
}

#[get("/", rank = 2)]
fn guests() -> &'static str {
    "there is nothing for guests"
}

#[get("/whoami")]
fn who_am_i(user: Option<&User>) -> String {
    format!("{:?}", user.map(|user| &user.email))
}

#[get("/socket")]
fn socket() -> &'static str {
    "open"
}

/// The application, and its folder of files.
async fn app() -> (TestApp, TempDir) {
    let files = TempDir::new().unwrap();
    fs::write(files.path().join("secret.txt"), "the secret").unwrap();
    fs::write(files.path().join("index.html"), "the index").unwrap();
    let routes = routes![index, one, add, who_am_i, socket];
    let build = |rocket: Rocket<Build>| {
        rocket
            .mount("/reports", protected(routes))
            .mount("/files", protected(FileServer::from(files.path())))
            .mount("/editors", protected_by_role::<Editor>(routes![index, who_am_i]))
            .mount("/front", protected(routes![index]))
            .mount("/front", routes![guests])
            .mount("/", FileServer::from(files.path()).rank(200))
    };
    (TestApp::built(|figment| figment, build).await, files)
}

#[rocket::async_test]
async fn a_visitor_reaches_none_of_the_protected_routes() {
    let (app, _files) = app().await;
    let guest = app.visitor();
    for path in ["/reports", "/reports/2025", "/reports/whoami", "/files/secret.txt", "/files"] {
        let next = path.replace('/', "%2F");
        guest.get(path).await.assert_redirect(&format!("/login?next={next}"));
        let head = guest.send(app.client.req(Method::Head, path)).await;
        assert_eq!(head.status.code, 303, "{path}");
        let script = guest.send(app.client.get(path).header(Accept::JSON)).await;
        script.assert_status(401).assert_no_text("the ");
    }
    guest.post("/reports", &[("a", "b")]).await.assert_redirect("/login");
    let socket = app.client.get("/reports/socket").header(header("Upgrade", "websocket"));
    guest.send(socket).await.assert_status(401);

    // A route of the same path for guests is theirs.
    guest.get("/front").await.assert_text("there is nothing for guests");
    // A path outside the mount is not protected.
    guest.get("/secret.txt").await.assert_text("the secret");
    guest.get("/nowhere/at/all").await.assert_status(404);
}

#[rocket::async_test]
async fn a_user_reaches_the_protected_routes_as_they_are() {
    let (app, _files) = app().await;
    let ada = app.registered("ada@example.org").await;
    for (path, text) in [
        ("/reports", "all reports"),
        ("/reports/2025", "the report of 2025"),
        ("/reports/whoami", "ada@example.org"),
        ("/files/secret.txt", "the secret"),
        ("/files", "the index"),
        ("/front", "all reports"),
    ] {
        ada.get(path).await.assert_status(200).assert_text(text);
    }
    ada.get("/reports/none").await.assert_status(404);
    ada.post("/reports", &[("a", "b")]).await.assert_text("added a=%62");
    assert_eq!(ada.send(app.client.req(Method::Head, "/reports")).await.status.code, 200);
}

#[rocket::async_test]
async fn only_users_with_the_role_reach_the_routes_of_a_role() {
    let (app, _files) = app().await;
    let (ada, guest) = (app.registered("ada@example.org").await, app.visitor());
    guest.get("/editors").await.assert_redirect("/login?next=%2Feditors");
    ada.get("/editors").await.assert_status(403).assert_no_text("all reports");
    app.execute("UPDATE users SET roles = 'author editor'").await;
    ada.get("/editors").await.assert_text("all reports");
    ada.get("/editors/whoami").await.assert_text("ada@example.org");
}

#[rocket::async_test]
async fn an_outage_opens_no_protected_route() {
    let (app, _files) = app().await;
    let ada = app.registered("ada@example.org").await;
    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    for path in ["/reports", "/editors", "/files/secret.txt"] {
        ada.get(path).await.assert_status(503);
    }
}

#[rocket::async_test]
async fn protected_routes_without_the_login_stage_answer_nobody() {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir)).attach(rocket_login::sessions());
    let rocket = rocket.mount("/", protected(routes![index]));
    let client = Client::untracked(rocket).await.unwrap();
    Browser::new(&client).get("/").await.assert_status(500).assert_no_text("all reports");
}
