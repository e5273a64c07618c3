//! Errors are pages for people and problem+json for programs, and reveal no internals.

use rocket::http::{Accept, ContentType, Method, Status};
use rocket::{get, routes};

use crate::support::{TestApp, header};

#[get("/boom")]
fn boom() -> &'static str {
    panic!("a secret of the panic")
}

#[get("/status/<code>")]
fn status(code: u16) -> Status {
    Status::new(code)
}

async fn app() -> TestApp {
    TestApp::built(|f| f, |rocket| rocket.mount("/", routes![boom, status])).await
}

#[rocket::async_test]
async fn every_error_has_a_page_of_its_own() {
    let app = app().await;
    for (code, text) in [
        (400, "We couldn&#x27;t read this request"),
        (403, "This is not allowed"),
        (404, "Page not found"),
        (405, "This page can&#x27;t be used that way"),
        (408, "This took too long"),
        (413, "This is too large"),
        (415, "Unsupported request"),
        (422, "We couldn&#x27;t read this form"),
        (429, "Too many attempts"),
        (500, "Something went wrong on our side"),
        (503, "We&#x27;re busy at the moment"),
        (418, "I&#x27;m a teapot"),
    ] {
        let page = app.visitor().get(&format!("/status/{code}")).await;
        page.assert_status(code).assert_text(text).assert_text("</html>");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    }
}

#[rocket::async_test]
async fn a_program_that_prefers_json_gets_a_problem() {
    let app = app().await;
    for code in [401, 403, 404, 422, 429, 500, 503] {
        let request = app.client.get(format!("/status/{code}")).header(Accept::JSON);
        let problem = app.visitor().send(request).await;
        problem.assert_status(code).assert_text(&format!(r#""status":{code}"#));
        assert!(problem.is_json());
        assert_eq!(problem.header("cache-control"), Some("no-store"));
    }

    let request = app.client.get("/account").header(Accept::JSON);
    app.visitor().send(request).await.assert_status(401);
}

#[rocket::async_test]
async fn a_refused_form_tells_a_program_which_fields_are_wrong() {
    let app = app().await;
    let request = app.client.post("/register").header(ContentType::Form).header(Accept::JSON);
    let problem = app.visitor().send(request.body("email=ada&password=x")).await;
    let message = "Enter an address like name@example.org.";
    problem.assert_status(422).assert_text(&format!(
        r#"{{"field":"email","code":"email_malformed","message":"{message}"}}"#
    ));
    problem.assert_text(r#""message":"Choose a password of at least 12 characters.""#);
    assert!(problem.is_json());
}

#[rocket::async_test]
async fn only_a_client_that_prefers_json_gets_json() {
    let app = app().await;
    for (accept, json) in [
        ("application/json", true),
        ("application/problem+json", true),
        ("application/json, text/html;q=0.5", true),
        ("text/html, application/json;q=0.9", false),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", false),
        ("*/*", false),
        ("application/json;q=0", false),
        ("nonsense", false),
    ] {
        let request = app.client.get("/nowhere").header(header("Accept", accept));
        assert_eq!(app.visitor().send(request).await.is_json(), json, "{accept}");
    }
}

#[rocket::async_test]
async fn a_wrong_method_gets_405_and_an_allow_header() {
    let app = app().await;
    for (method, path, allow) in [
        (Method::Put, "/login", "GET, HEAD, POST"),
        (Method::Delete, "/", "GET, HEAD"),
        (Method::Post, "/account", "GET, HEAD"),
        (Method::Options, "/register", "GET, HEAD, POST"),
        (Method::Trace, "/login", "GET, HEAD, POST"),
        (Method::Post, "/static/style.css", "GET, HEAD"),
        (Method::Post, "/static/anything", "GET, HEAD"),
    ] {
        let answer = app.visitor().send(app.client.req(method, path)).await;
        answer.assert_status(405);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[rocket::async_test]
async fn an_unknown_path_gets_404_with_every_method() {
    let app = app().await;
    for method in [Method::Get, Method::Post, Method::Put, Method::Delete, Method::Options] {
        for path in ["/nowhere", "/static/a/b", "/account/nowhere"] {
            let answer = app.visitor().send(app.client.req(method, path)).await;
            answer.assert_status(404);
            assert_eq!(answer.header("allow"), None);
        }
    }
    app.visitor().get("/static/nothing.css").await.assert_status(404);
}

#[rocket::async_test]
async fn a_panic_reveals_nothing_and_the_site_keeps_running() {
    let app = app().await;
    let ada = app.registered("ada@example.org").await;
    let page = ada.get("/boom").await;
    page.assert_status(500).assert_text("Something went wrong").assert_no_text("secret");
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_busy_answer_has_a_retry_after_header() {
    let app = app().await;
    let page = app.visitor().get("/status/503").await;
    assert_eq!(page.header("retry-after"), Some("5"));
    let request = app.client.get("/status/503").header(Accept::JSON);
    assert_eq!(app.visitor().send(request).await.header("retry-after"), Some("5"));
}
