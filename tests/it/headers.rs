//! The headers of every response.

use rocket::http::Method;

use crate::support::{Answer, TestApp, header};

#[track_caller]
fn assert_secure(answer: &Answer, what: &str) {
    let csp = answer.header("content-security-policy").unwrap_or_else(|| panic!("{what}: no CSP"));
    for directive in
        ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
    {
        assert!(csp.contains(directive), "{what}: {csp}");
    }
    assert!(!csp.contains("unsafe"), "{what}: {csp}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    assert_eq!(answer.header("server"), None, "{what}");
    assert_eq!(answer.header("access-control-allow-origin"), None, "{what}");
}

/// An answer of every kind: pages, redirects, files, refusals and errors.
async fn answers(app: &TestApp) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    let visitor = app.visitor();
    for path in [
        "/",
        "/login",
        "/register",
        "/logout",
        "/account",
        "/healthz",
        "/readyz",
        "/static/style.css",
        "/static/reveal.js",
        "/favicon.ico",
        "/nowhere",
        "/static/nothing",
        "/%ff",
        "/.refused/cross-site",
    ] {
        answers.push((path.to_owned(), visitor.get(path).await));
    }
    for method in [Method::Put, Method::Delete, Method::Patch, Method::Options, Method::Trace] {
        let answer = visitor.send(app.client.req(method, "/login")).await;
        answers.push((format!("{method} /login"), answer));
    }
    answers.push(("refused log-in".into(), visitor.log_in("nobody@example.org").await));
    answers.push(("register".into(), visitor.register("ada@example.org").await));
    answers.push(("account".into(), visitor.get("/account").await));
    answers.push(("cross-site".into(), {
        visitor.send(app.client.post("/login").header(header("Sec-Fetch-Site", "cross-site"))).await
    }));
    answers.push(("too large".into(), visitor.post_raw("/login", "a".repeat(20_000)).await));
    answers.push(("no form".into(), visitor.send(app.client.post("/login").body("x")).await));
    let json = app.client.get("/nowhere").header(rocket::http::Accept::JSON);
    answers.push(("json".into(), visitor.send(json).await));
    answers.push(("log-out".into(), visitor.log_out().await));
    answers
}

#[rocket::async_test]
async fn every_response_carries_them() {
    let app = TestApp::new().await;
    for (what, answer) in answers(&app).await {
        assert_secure(&answer, &what);
        assert_eq!(answer.header("strict-transport-security"), None, "{what}");
    }
}

#[rocket::async_test]
async fn in_release_every_response_asks_for_https() {
    let app = TestApp::release().await;
    for (what, answer) in answers(&app).await {
        assert_secure(&answer, &what);
        let hsts = answer.header("strict-transport-security");
        assert_eq!(hsts, Some("max-age=63072000; includeSubDomains"), "{what}");
    }
}

#[rocket::async_test]
async fn pages_are_stored_by_nobody() {
    let app = TestApp::new().await;
    for (what, answer) in answers(&app).await {
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        }
    }
}

#[rocket::async_test]
async fn static_files_are_kept_by_their_version_and_set_no_cookie() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let page = ada.get("/login").await;
    for name in ["style.css", "reveal.js", "icon.svg"] {
        let start = page.body.find(&format!("/static/{name}?v=")).expect(name);
        let url = page.body[start..].split('"').next().unwrap();
        let file = ada.get(url).await;
        file.assert_status(200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(file.header("set-cookie"), None);

        let unversioned = ada.get(&format!("/static/{name}?v=0")).await;
        assert_eq!(unversioned.header("cache-control"), Some("public, max-age=3600"));
    }
    let types = [
        ("style.css", "text/css; charset=utf-8"),
        ("reveal.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ];
    for (name, kind) in types {
        let file = ada.get(&format!("/static/{name}")).await;
        assert_eq!(file.header("content-type"), Some(kind));
    }
}

#[rocket::async_test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let app = TestApp::new().await;
    for (what, answer) in answers(&app).await {
        for inline in [
            "<style",
            "style=",
            "onclick",
            "onload",
            "<script>",
            "http://",
            "https://",
            "javascript:",
        ] {
            if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
                assert!(!answer.body.contains(inline), "{what}: {inline}");
            }
        }
    }
}
