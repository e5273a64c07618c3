//! The headers of every response.

use rocket::fairing::AdHoc;
use rocket::http::{Header, Method};
use rocket::shield::{Frame, Hsts, Referrer, Shield};
use rocket::{Build, Responder, Rocket, get, routes};

use crate::support::{Answer, TestApp, header};

/// Our headers with values that an application might prefer, among them Rocket's defaults.
pub const LOOSER: [(&str, &str); 8] = [
    ("Content-Security-Policy", "default-src 'self' data: https://fonts.example"),
    ("X-Content-Type-Options", "none"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "origin"),
    ("Cross-Origin-Opener-Policy", "unsafe-none"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Permissions-Policy", "interest-cohort=()"),
    ("Strict-Transport-Security", "max-age=1"),
];

#[get("/plain")]
fn plain() -> &'static str {
    "plain"
}

#[derive(Responder)]
pub struct Loose {
    page: &'static str,
    header: Header<'static>,
}

#[get("/loose/<which>")]
pub fn loose(which: usize) -> Loose {
    let (name, value) = LOOSER[which];
    Loose { page: "loose", header: Header::new(name, value) }
}

/// Loosens all headers of the pages below `/plain`.
fn loosening() -> AdHoc {
    AdHoc::on_response("Looser", |request, response| {
        Box::pin(async move {
            if request.uri().path().starts_with("/plain") {
                for (name, value) in LOOSER {
                    response.set_header(Header::new(name, value));
                }
            }
        })
    })
}

#[track_caller]
pub fn assert_secure(answer: &Answer, what: &str) {
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

/// Returns answers of every kind: pages, redirects, files, refusals and errors.
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
async fn every_response_has_the_security_headers() {
    let app = TestApp::new().await;
    for (what, answer) in answers(&app).await {
        assert_secure(&answer, &what);
        assert_eq!(answer.header("strict-transport-security"), None, "{what}");
    }
}

#[rocket::async_test]
async fn in_release_every_response_has_an_hsts_header() {
    let app = TestApp::release().await;
    for (what, answer) in answers(&app).await {
        assert_secure(&answer, &what);
        let hsts = answer.header("strict-transport-security");
        assert_eq!(hsts, Some("max-age=63072000; includeSubDomains"), "{what}");
    }
}

#[rocket::async_test]
async fn pages_are_never_cached() {
    let app = TestApp::new().await;
    for (what, answer) in answers(&app).await {
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        }
    }
}

#[rocket::async_test]
async fn versioned_static_files_are_cached_and_set_no_cookie() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let page = ada.get("/login").await;
    for name in ["style.css", "reveal.js", "submit.js", "icon.svg"] {
        let start = page.body.find(&format!("/static/{name}?v=")).expect(name);
        let url = page.body[start..].split('"').next().unwrap();
        let file = ada.get(url).await;
        file.assert_status(200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(file.header("set-cookie"), None);
    }
    let types = [
        ("style.css", "text/css; charset=utf-8"),
        ("reveal.js", "text/javascript"),
        ("submit.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ];
    for (name, kind) in types {
        let file = ada.get(&format!("/static/{name}")).await;
        assert_eq!(file.header("content-type"), Some(kind));
    }
}

#[rocket::async_test]
async fn pages_have_no_inline_code_and_no_external_resources() {
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

#[rocket::async_test]
async fn a_header_set_by_a_route_stays_and_the_others_are_ours() {
    for app in [
        TestApp::built(|f| f, |r| r.mount("/", routes![plain, loose])).await,
        TestApp::built(|f| f.select("release"), |r| r.mount("/", routes![plain, loose])).await,
    ] {
        let strict = app.visitor().get("/plain").await;
        assert_secure(&strict, "/plain");
        for (which, (set, looser)) in LOOSER.into_iter().enumerate() {
            let answer = app.visitor().get(&format!("/loose/{which}")).await;
            answer.assert_status(200);
            for (name, _) in LOOSER {
                let lower = name.to_ascii_lowercase();
                let is_framed = set == "X-Frame-Options" && name == "Content-Security-Policy";
                let ours = strict.header(&lower).map(|value| match is_framed {
                    // `frame-ancestors` overrides X-Frame-Options, so it must agree with the route.
                    true => value.replace("frame-ancestors 'none'", "frame-ancestors 'self'"),
                    false => value.to_owned(),
                });
                let expected = if name == set { Some(looser.to_owned()) } else { ours };
                assert_eq!(answer.header(&lower), expected.as_deref(), "{set}: {name}");
            }
        }
    }
}

#[rocket::async_test]
async fn a_header_set_by_an_applications_fairing_stays() {
    let before = |rocket: Rocket<Build>| {
        rocket.attach(loosening()).attach(rocket_login::stage()).mount("/", routes![plain])
    };
    let after = |rocket: Rocket<Build>| {
        rocket.attach(rocket_login::stage()).attach(loosening()).mount("/", routes![plain])
    };
    for build in [before, after] {
        let dir = tempfile::TempDir::new().unwrap();
        let rocket = build(rocket::custom(crate::support::figment(&dir)));
        let client = rocket::local::asynchronous::Client::untracked(rocket).await.unwrap();
        let visitor = rocket_login::testing::Browser::new(&client);
        let loosened = visitor.get("/plain").await;
        for (name, value) in LOOSER {
            assert_eq!(loosened.header(&name.to_ascii_lowercase()), Some(value), "{name}");
        }
        assert_secure(&visitor.get("/login").await, "/login");
    }
}

#[rocket::async_test]
async fn an_application_can_attach_its_own_shield() {
    let shield = AdHoc::on_ignite("Shield", |rocket| async {
        let hsts = Hsts::Enable(rocket::time::Duration::days(365));
        let shield = Shield::new().enable(Frame::SameOrigin).enable(Referrer::Origin).enable(hsts);
        rocket.attach(shield)
    });
    let app = TestApp::built(|f| f, |r| r.attach(shield).mount("/", routes![plain])).await;
    let answer = app.visitor().get("/plain").await;
    for (name, value) in [
        ("x-frame-options", "SAMEORIGIN"),
        ("referrer-policy", "origin"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[rocket::async_test]
async fn a_fairing_cannot_loosen_the_referrer_policy_of_a_secret_path() {
    let unsafe_url = AdHoc::on_response("Referrer", |_, response| {
        Box::pin(async move {
            response.set_header(Header::new("Referrer-Policy", "unsafe-url"));
        })
    });
    let app = TestApp::built(|f| f, |r| r.attach(unsafe_url)).await;
    app.registered("ada@example.org").await;
    let page = app.visitor().get(&app.link("ada@example.org", "/verify/").await).await;
    assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
}

#[rocket::async_test]
async fn the_documentation_names_every_header_with_its_value() {
    let app = TestApp::built(|f| f.select("release"), |r| r.mount("/", routes![plain])).await;
    let answer = app.visitor().get("/plain").await;
    for (name, _) in LOOSER {
        let value = answer.header(&name.to_ascii_lowercase()).expect(name);
        let row = format!("/// | `{name}` | `{value}`");
        assert!(include_str!("../../src/stage.rs").contains(&row), "{row}");
    }
}
