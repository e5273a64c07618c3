//! No other site can act in a visitor's name.

use rocket::figment::Figment;
use rocket::http::{ContentType, Header, Method};
use rocket::{delete, get, patch, post, put, routes};
use rocket_login::{Session, User};

use crate::support::{Answer, TestApp, Visitor, header};

const BODY: &str = "email=ada%40example.org&password=correct+horse+battery";

async fn register(app: &TestApp, headers: &[(&'static str, &'static str)]) -> u16 {
    let request = app.client.post("/register").header(ContentType::Form).body(BODY);
    let request = headers.iter().fold(request, |mut request, (name, value)| {
        request.add_header(header(name, value));
        request
    });
    app.visitor().send(request).await.status.code
}

#[rocket::async_test]
async fn a_form_on_another_site_has_no_effect() {
    let app = TestApp::new().await;
    for headers in [
        &[("Sec-Fetch-Site", "cross-site")] as &[_],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "")],
        &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        &[
            ("Sec-Fetch-Site", "cross-site"),
            ("Origin", "http://example.org"),
            ("Host", "example.org"),
        ],
        &[("Origin", "http://evil.example"), ("Host", "example.org")],
        &[("Origin", "http://example.org.evil.example"), ("Host", "example.org")],
        &[("Origin", "http://example.org:8001"), ("Host", "example.org:8000")],
        &[("Origin", "null"), ("Host", "example.org")],
        &[("Origin", ""), ("Host", "example.org")],
        &[("Origin", "http://example.org")],
        &[
            ("Origin", "http://example.org"),
            ("Origin", "http://evil.example"),
            ("Host", "example.org"),
        ],
    ] {
        assert_eq!(register(&app, headers).await, 403, "{headers:?}");
    }
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn our_own_forms_and_programs_are_accepted() {
    for headers in [
        &[] as &[_],
        &[("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "none")],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", "null")],
        &[("Origin", "http://example.org"), ("Host", "example.org")],
        &[("Origin", "https://EXAMPLE.org"), ("Host", "example.ORG:443")],
        &[("Origin", "http://192.0.2.1:8000"), ("Host", "192.0.2.1:8000")],
    ] {
        let app = TestApp::new().await;
        assert_eq!(register(&app, headers).await, 303, "{headers:?}");
    }
}

#[rocket::async_test]
async fn a_form_from_a_trusted_origin_is_accepted() {
    let trusting =
        |figment: Figment| figment.merge(("site.trusted_origins", ["https://app.example.org"]));
    for (origin, status) in [
        ("https://app.example.org", 303),
        ("https://app.example.org.evil.example", 403),
        ("http://app.example.org", 403),
    ] {
        let app = TestApp::with(trusting).await;
        let headers = [("Sec-Fetch-Site", "cross-site"), ("Origin", origin)];
        assert_eq!(register(&app, &headers).await, status, "{origin}");
    }
}

#[rocket::async_test]
async fn reading_from_another_site_is_allowed() {
    let app = TestApp::new().await;
    let request = app.client.get("/login").header(header("Sec-Fetch-Site", "cross-site"));
    app.visitor().send(request).await.assert_status(200);
}

#[rocket::async_test]
async fn another_site_cannot_log_anybody_out() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let request = app.client.post("/logout").header(header("Sec-Fetch-Site", "cross-site"));
    let refused = ada.send(request).await;
    refused.assert_status(403).assert_text("The request came from another site");
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn every_unsafe_request_is_refused_before_404_and_405() {
    let app = TestApp::new().await;
    let paths: Vec<String> =
        app.client.rocket().routes().map(|r| r.uri.path().replace(['<', '>'], "")).collect();
    for path in paths.iter().map(String::as_str).chain(["/nowhere"]) {
        for method in [Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Trace] {
            let request = app.client.req(method, path.to_owned());
            let refused = request.header(header("Sec-Fetch-Site", "cross-site"));
            app.visitor().send(refused).await.assert_status(403);
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

#[post("/notes/<id>", data = "<_body>")]
fn posted(id: u8, _body: String) -> String {
    format!("posted {id}")
}

#[put("/notes/<id>", data = "<_body>")]
fn put_to(id: u8, _body: String) -> String {
    format!("put {id}")
}

#[patch("/notes/<id>", data = "<_body>")]
fn patched(id: u8, _body: String) -> String {
    format!("patched {id}")
}

#[delete("/notes/<id>")]
fn deleted(_user: &User, id: u8) -> String {
    format!("deleted {id}")
}

#[get("/notes/<id>")]
fn shown(id: u8) -> String {
    format!("shown {id}")
}

async fn app_with_notes() -> TestApp {
    let routes = routes![posted, put_to, patched, deleted, shown];
    let configure =
        |figment: Figment| figment.merge(("site.trusted_origins", ["https://app.example.org"]));
    TestApp::built(configure, |rocket| rocket.mount("/", routes)).await
}

async fn send_form<'a>(
    app: &'a TestApp,
    visitor: &Visitor<'a>,
    path: &'static str,
    kind: &'static str,
    body: &str,
    headers: &[(&'static str, &'static str)],
) -> Answer {
    let request = app.client.post(path).header(Header::new("Content-Type", kind)).body(body);
    let request = headers.iter().fold(request, |mut request, (name, value)| {
        request.add_header(header(name, value));
        request
    });
    visitor.send(request).await
}

#[rocket::async_test]
async fn a_form_of_this_site_reaches_the_route_of_its_method() {
    let app = app_with_notes().await;
    let (ada, guest) = (app.registered("ada@example.org").await, app.visitor());
    for (body, text) in [
        ("_method=delete", "deleted 7"),
        ("_method=DELETE&x=1", "deleted 7"),
        ("_method=put&x=1", "put 7"),
        ("_method=patch", "patched 7"),
        ("_method=post&x=1", "posted 7"),
        // Rocket does not know the method, or does not look for it here.
        ("_method=purge&x=1", "posted 7"),
        ("_method=optionsx", "posted 7"),
        ("_method=get\u{fc}", "posted 7"),
        ("x=1&_method=delete", "posted 7"),
        ("%5fmethod=delete", "posted 7"),
    ] {
        let origins = [
            &[("Sec-Fetch-Site", "same-origin")] as &[_],
            &[("Origin", "http://localhost"), ("Host", "localhost")],
            &[("Origin", "https://app.example.org"), ("Sec-Fetch-Site", "cross-site")],
            &[],
        ];
        for headers in origins {
            let answer = send_form(&app, &ada, "/notes/7", FORM, body, headers).await;
            answer.assert_status(200);
            assert_eq!(answer.body, text, "{body} {headers:?}");
        }

        let headers = [("Sec-Fetch-Site", "cross-site")];
        for visitor in [&ada, &guest] {
            send_form(&app, visitor, "/notes/7", FORM, body, &headers).await.assert_status(403);
        }
    }

    // Rocket looks for the method in no other kind of form.
    let multipart = "multipart/form-data; boundary=x";
    let body = "--x\r\nContent-Disposition: form-data; name=_method\r\n\r\ndelete\r\n--x--\r\n";
    for body in [body, "_method=delete"] {
        let answer = send_form(&app, &ada, "/notes/7", multipart, body, &[]).await;
        assert_eq!(answer.body, "posted 7");
    }

    let guests = send_form(&app, &guest, "/notes/7", FORM, "_method=delete", &[]).await;
    guests.assert_redirect("/login");
}

#[rocket::async_test]
async fn a_form_cannot_become_a_request_that_changes_nothing() {
    let app = app_with_notes().await;
    let ada = app.registered("ada@example.org").await;
    // Rocket overlooks the last two, and we do not.
    for method in ["get", "GET", "head", "trace", "OPTIONS", "connect"] {
        let body = format!("_method={method}&email=a");
        for path in ["/notes/7", "/login", "/nowhere"] {
            let same = [("Sec-Fetch-Site", "same-origin")];
            send_form(&app, &ada, path, FORM, &body, &same).await.assert_status(400);
            let cross = [("Sec-Fetch-Site", "cross-site")];
            send_form(&app, &ada, path, FORM, &body, &cross).await.assert_status(403);
        }
    }
}

#[rocket::async_test]
async fn a_form_with_another_method_does_nothing_on_our_pages() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    for method in ["put", "patch", "delete"] {
        let body = format!("_method={method}&{BODY}");
        for path in ["/login", "/logout", "/account/delete", "/register"] {
            send_form(&app, &ada, path, FORM, &body, &[]).await.assert_status(405);
        }
    }
    assert_eq!(app.users().await, 1);
    assert!(ada.is_logged_in().await);

    // It is the method that the page has anyway.
    let body = format!("_method=post&{BODY}");
    let answer = send_form(&app, &app.visitor(), "/login", FORM, &body, &[]).await;
    answer.assert_redirect("/account");
    // Without the field as Rocket reads it, it is a form with one field too many.
    for body in ["_method=purge", "%5fmethod=get"] {
        send_form(&app, &ada, "/login", FORM, body, &[]).await.assert_status(422);
    }
    send_form(&app, &ada, "/login", "multipart/form-data; boundary=x", "_method=put&x", &[])
        .await
        .assert_status(415);
}

#[get("/socket")]
fn socket(session: &Session) -> String {
    format!("{:?}", session.user().map(|user| &user.email))
}

#[get("/private-socket")]
fn private_socket(user: &User) -> String {
    user.email.to_string()
}

async fn app_with_sockets() -> TestApp {
    let routes = routes![socket, private_socket];
    let configure =
        |figment: Figment| figment.merge(("site.trusted_origins", ["https://app.example.org"]));
    TestApp::built(configure, |rocket| rocket.mount("/", routes)).await
}

const EVIL: (&str, &str) = ("Origin", "https://evil.example");
const HOST: (&str, &str) = ("Host", "example.org");

#[rocket::async_test]
async fn another_site_cannot_open_a_web_socket() {
    let app = app_with_sockets().await;
    let (ada, guest) = (app.registered("ada@example.org").await, app.visitor());
    for (upgrade, headers, status) in [
        ("websocket", &[EVIL, HOST] as &[_], 403),
        ("websocket", &[("Sec-Fetch-Site", "cross-site")], 403),
        ("websocket", &[("Sec-Fetch-Site", "same-site"), ("Origin", "http://example.org")], 403),
        ("websocket", &[("Origin", "null"), HOST], 403),
        ("WebSocket", &[EVIL, HOST], 403),
        ("h2c, websocket", &[EVIL, HOST], 403),
        ("websocket/13", &[EVIL, HOST], 403),
        // The application may speak anything.
        ("mqtt", &[EVIL, HOST], 403),
        // These three are HTTP.
        ("h2c", &[EVIL, HOST], 200),
        ("", &[EVIL, HOST], 200),
        (" , H2C", &[EVIL, HOST], 200),
        ("websocket", &[("Origin", "https://example.org"), HOST], 200),
        ("websocket", &[("Sec-Fetch-Site", "same-origin"), EVIL], 200),
        ("websocket", &[("Origin", "https://app.example.org"), HOST], 200),
        ("websocket", &[], 200),
    ] {
        for path in ["/socket", "/private-socket", "/nowhere"] {
            let status = if status == 200 && path == "/nowhere" { 404 } else { status };
            let mut request = app.client.get(path).header(header("Connection", "Upgrade"));
            request.add_header(header("Upgrade", upgrade));
            for (name, value) in headers {
                request.add_header(header(name, value));
            }
            let answer = ada.send(request).await;
            assert_eq!(answer.status.code, status, "{path} {upgrade} {headers:?}");
        }
    }

    // Two lines of one header are one list.
    let request = app.client.get("/socket").header(header("Upgrade", "h2c"));
    let request = request.header(header("Upgrade", "websocket")).header(header("Origin", EVIL.1));
    guest.send(request).await.assert_status(403);
}

#[rocket::async_test]
async fn a_web_socket_without_a_log_in_gets_401() {
    let app = app_with_sockets().await;
    let guest = app.visitor();
    for (upgrade, status) in
        [("websocket", 401), ("h2c,WEBSOCKET", 401), ("mqtt", 401), ("h2c", 303)]
    {
        let request = app.client.get("/private-socket").header(header("Upgrade", upgrade));
        let answer = guest.send(request.header(header("Connection", "Upgrade"))).await;
        assert_eq!(answer.status.code, status, "{upgrade}");
        assert_eq!(answer.is_json(), status == 401, "{upgrade}");
    }
}
