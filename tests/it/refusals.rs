//! Refusals in an application that has all kinds of other routes beside ours.

use std::fs;
use std::path::PathBuf;

use rocket::fs::{FileServer, NamedFile};
use rocket::http::{Accept, Method, Status};
use rocket::{Build, Request, Rocket, catch, catchers, get, post, routes};
use rocket_login::{Error, RecentLogin, User};
use tempfile::TempDir;

use crate::support::{Answer, TestApp, encode, header};

#[get("/private")]
fn private(user: &User) -> String {
    format!("for {}", user.email)
}

#[get("/sensitive")]
fn sensitive(user: RecentLogin<'_>) -> String {
    format!("sensitive for {}", user.email)
}

#[get("/items/<id>")]
fn item(id: u32, user: &User) -> String {
    format!("item {id} of {}", user.email)
}

#[post("/items/<_>/sell")]
fn sell(_user: RecentLogin<'_>) {}

#[post("/send")]
fn send(_user: &User) {}

/// A page for guests as well, but only with a number.
#[get("/<id>", rank = 5)]
fn number(id: u32, user: Option<&User>) -> String {
    format!("{id} {}", user.is_some())
}

#[get("/<path..>", rank = 20)]
async fn file(path: PathBuf) -> Option<NamedFile> {
    let none = std::env::current_exe().unwrap().join(path);
    NamedFile::open(none).await.ok()
}

#[get("/<path..>", rank = 20)]
fn fallback(path: PathBuf) -> String {
    format!("the page that does all, {}", path.display())
}

#[post("/<_..>", rank = 20)]
fn posted() -> &'static str {
    "posted somewhere"
}

/// A page that exists or not, with a path of one segment.
#[get("/<page>", rank = 15)]
fn page(page: &str) -> Option<&'static str> {
    (page == "about").then_some("about us")
}

#[get("/<count>", rank = 30)]
fn count(count: u8) -> String {
    count.to_string()
}

#[catch(404)]
fn not_found() -> &'static str {
    "the application's own 404"
}

#[catch(default)]
fn own(status: Status, _: &Request<'_>) -> String {
    format!("the application's own {}", status.code)
}

type Attach = fn(Rocket<Build>, &TempDir) -> Rocket<Build>;

/// The routes and catchers that might answer in place of a refusal.
const NEIGHBOURS: [(&str, Attach); 9] = [
    ("nothing", |rocket, _| rocket),
    ("files", with_files),
    ("files, own 404", |rocket, dir| with_files(rocket, dir).register("/", catchers![not_found])),
    ("files, own errors", |rocket, dir| with_files(rocket, dir).register("/", catchers![own])),
    ("a route that finds no file", |rocket, _| rocket.mount("/", routes![file])),
    ("a fallback", |rocket, _| rocket.mount("/", routes![fallback, posted])),
    ("pages", |rocket, _| rocket.mount("/", routes![page])),
    ("a number", |rocket, _| rocket.mount("/", routes![count])),
    ("pages and a fallback", |rocket, _| rocket.mount("/", routes![page, fallback])),
];

fn with_files(rocket: Rocket<Build>, dir: &TempDir) -> Rocket<Build> {
    rocket.mount("/", FileServer::from(dir.path()))
}

async fn app_beside(attach: Attach) -> (TestApp, TempDir) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("index.html"), "the public front page").unwrap();
    let build = |rocket: Rocket<Build>| {
        let own = routes![private, sensitive, item, sell, send, number];
        attach(rocket.mount("/", own), &dir)
    };
    (TestApp::built(|figment| figment, build).await, dir)
}

async fn json(app: &TestApp, method: Method, path: &str) -> Answer {
    let request = app.client.req(method, path.to_owned()).header(Accept::JSON);
    app.visitor().send(request).await
}

#[rocket::async_test]
async fn a_visitor_is_sent_to_the_log_in_whichever_other_routes_are_mounted() {
    for (beside, attach) in NEIGHBOURS {
        let (app, _dir) = app_beside(attach).await;
        let ours = ["/account", "/account/export", "/account/delete", "/reauthenticate"];
        let own = ["/private", "/sensitive", "/items/1", "/items/none"];
        for path in own.into_iter().chain(ours) {
            let answer = app.visitor().get(path).await;
            let location = format!("/login?next={}", encode(path));
            assert_eq!(answer.header("location"), Some(&*location), "{beside}: {path}");
            let head = app.visitor().send(app.client.head(path)).await;
            assert_eq!(head.header("location"), Some(&*location), "{beside}: {path}");
            let refused = json(&app, Method::Get, path).await;
            assert_eq!(refused.status, Status::Unauthorized, "{beside}: {path}");
            assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        }

        for path in ["/send", "/items/1/sell", "/account/delete"] {
            let answer = app.visitor().send(app.client.post(path)).await;
            assert_eq!(answer.header("location"), Some("/login"), "{beside}: {path}");
            assert_eq!(json(&app, Method::Post, path).await.status, Status::Unauthorized);
        }

        // Public pages still work.
        app.visitor().get("/7").await.assert_text("7 false");
        let missing = app.visitor().get("/missing.png").await;
        assert_eq!(missing.header("location"), None, "{beside}");

        let ada = app.registered("ada@example.org").await;
        for path in ["/private", "/sensitive", "/items/1"] {
            ada.get(path).await.assert_status(200).assert_text("ada@example.org");
        }
    }
}

#[rocket::async_test]
async fn an_old_log_in_is_asked_for_the_password_whichever_routes_are_mounted() {
    for (beside, attach) in NEIGHBOURS {
        let (app, _dir) = app_beside(attach).await;
        let ada = app.registered("ada@example.org").await;
        app.advance(11 * 60);
        for path in ["/sensitive", "/account/export", "/account/delete"] {
            let answer = ada.get(path).await;
            let location = format!("/reauthenticate?next={}", encode(path));
            assert_eq!(answer.header("location"), Some(&*location), "{beside}: {path}");
        }

        // A refused form leads back to the page that it is on, and never to a catch-all.
        for (form, page) in [
            ("/items/1/sell", "/items/1"),
            ("/account/sessions/x/revoke", "/account/sessions"),
            ("/account/delete", "/account/delete"),
        ] {
            let answer = ada.post(form, &[]).await;
            let location = format!("/reauthenticate?next={}", encode(page));
            assert_eq!(answer.header("location"), Some(&*location), "{beside}: {form}");
        }
        ada.get("/private").await.assert_status(200);
    }
}

#[get("/private", rank = 2)]
fn for_guests() -> &'static str {
    "for guests"
}

#[get("/sensitive", rank = 2)]
fn for_old_log_ins(user: &User) -> String {
    format!("an old log-in of {}", user.email)
}

#[get("/items/<number>", rank = 2)]
fn sold_out(number: &str) -> Result<String, Status> {
    match number {
        "1" => Ok("sold out".into()),
        _ => Err(Status::NotFound),
    }
}

#[rocket::async_test]
async fn a_second_route_for_guests_works_whichever_other_routes_are_mounted() {
    for (beside, attach) in NEIGHBOURS {
        let dir = TempDir::new().unwrap();
        let build = |rocket: Rocket<Build>| {
            let own = routes![private, sensitive, item, for_guests, for_old_log_ins, sold_out];
            attach(rocket.mount("/", own), &dir)
        };
        let app = TestApp::built(|figment| figment, build).await;
        let guest = app.visitor();
        assert_eq!(guest.get("/private").await.body, "for guests", "{beside}");
        assert_eq!(guest.get("/items/1").await.body, "sold out", "{beside}");
        // A 404 by the second route is its answer.
        guest.get("/items/2").await.assert_status(404);
        guest.get("/sensitive").await.assert_redirect("/login?next=%2Fsensitive");

        let ada = app.registered("ada@example.org").await;
        ada.get("/private").await.assert_text("for ada@example.org");
        app.advance(11 * 60);
        ada.get("/sensitive").await.assert_text("an old log-in of ada@example.org");
    }
}

#[rocket::async_test]
async fn a_route_that_does_not_match_the_request_is_no_route_for_guests() {
    #[get("/private?as=guest", rank = 2)]
    fn by_query() -> &'static str {
        "by query"
    }

    #[get("/sensitive", format = "text/plain", rank = 2)]
    fn by_format() -> &'static str {
        "by format"
    }

    let build = |rocket: Rocket<Build>| {
        rocket.mount("/", routes![private, sensitive, by_query, by_format, fallback])
    };
    let app = TestApp::built(|figment| figment, build).await;
    let guest = app.visitor();
    guest.get("/private?as=guest").await.assert_text("by query");
    guest.get("/private?as=user").await.assert_redirect("/login?next=%2Fprivate%3Fas%3Duser");
    let ask = |accept| app.client.get("/sensitive").header(accept);
    guest.send(ask(Accept::Plain)).await.assert_text("by format");
    guest.send(ask(Accept::HTML)).await.assert_redirect("/login?next=%2Fsensitive");
}

#[rocket::async_test]
async fn a_result_guard_distinguishes_a_refusal_from_an_outage() {
    #[get("/whatever")]
    fn whatever(user: Result<&User, &Error>) -> String {
        match user {
            Ok(user) => user.email.to_string(),
            Err(error) => format!("{} {}", error.is_unauthorized(), error.status().code),
        }
    }

    let build = |rocket: Rocket<Build>| rocket.mount("/", routes![whatever, fallback]);
    let app = TestApp::built(|figment| figment.merge(("session.cache", false)), build).await;
    assert_eq!(app.visitor().get("/whatever").await.body, "true 401");
    let ada = app.registered("ada@example.org").await;
    assert_eq!(ada.get("/whatever").await.body, "ada@example.org");
    fs::rename(app.dir.path().join("login.db"), app.dir.path().join("moved.db")).unwrap();
    assert_eq!(ada.get("/whatever").await.body, "false 503");
}

/// The headers of browsers and programs, each with true if the request is a program's.
const CLIENTS: [(&[(&str, &str)], bool); 17] = [
    (&[], false),
    (&[("Accept", "*/*")], false),
    (&[("Accept", "text/html,*/*;q=0.8")], false),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], false),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], false),
    (&[("Sec-Fetch-Dest", "document")], false),
    (&[("Accept", "application/json")], true),
    (&[("Accept", "application/json"), ("Sec-Fetch-Mode", "navigate")], true),
    // fetch() with and without its own Accept, XMLHttpRequest, <img>, <script>.
    (&[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")], true),
    (&[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty"), ("Accept", "*/*")], true),
    (&[("Sec-Fetch-Mode", "same-origin"), ("Accept", "text/html")], true),
    (&[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")], true),
    (&[("Sec-Fetch-Dest", "empty")], true),
    (&[("Sec-Fetch-Mode", "")], true),
    (&[("Sec-Fetch-Mode", "websocket"), ("Upgrade", "websocket")], true),
    (&[("Connection", "Upgrade"), ("Upgrade", "WebSocket")], true),
    (&[("Upgrade", "h2c")], false),
];

#[rocket::async_test]
async fn a_script_gets_401_and_a_person_is_redirected_to_the_log_in() {
    for (beside, attach) in [NEIGHBOURS[0], NEIGHBOURS[5]] {
        let (app, _dir) = app_beside(attach).await;
        let (guest, ada) = (app.visitor(), app.registered("ada@example.org").await);
        app.advance(11 * 60);
        for (headers, is_program) in CLIENTS {
            for (visitor, path, page) in [
                (&guest, "/private", "/login"),
                (&guest, "/account", "/login"),
                (&ada, "/sensitive", "/reauthenticate"),
            ] {
                for method in [Method::Get, Method::Post] {
                    let path = if method == Method::Post { "/account/delete" } else { path };
                    let mut request = app.client.req(method, path);
                    for (name, value) in headers {
                        request.add_header(header(name, value));
                    }
                    let answer = visitor.send(request).await;
                    let what = format!("{beside}: {method} {path} {headers:?}");
                    if is_program {
                        // Another log-in would not help who is logged in.
                        let is_old = page == "/reauthenticate";
                        let status = if is_old { Status::Forbidden } else { Status::Unauthorized };
                        assert_eq!(answer.status, status, "{what}");
                        let kind = answer.header("content-type");
                        assert_eq!(kind, Some("application/problem+json"), "{what}");
                    } else {
                        assert_eq!(answer.status, Status::SeeOther, "{what}");
                        let location = answer.header("location").unwrap();
                        assert!(location.starts_with(page), "{what}: {location}");
                    }
                }
            }
        }
    }
}
