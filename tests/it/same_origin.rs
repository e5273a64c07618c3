//! No other site can act in a visitor's name.

use rocket::figment::Figment;
use rocket::http::{ContentType, Header, Method};

use crate::support::{TestApp, header};

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

#[rocket::async_test]
async fn a_form_cannot_override_its_method() {
    let app = TestApp::new().await;
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", "_method=get&email=a"),
        ("application/x-www-form-urlencoded", "_method=head"),
        ("application/x-www-form-urlencoded", "_method=delete&email=a"),
        ("application/x-www-form-urlencoded", "%5fmethod=get"),
        ("multipart/form-data; boundary=x", "_method=put&x"),
    ] {
        // Rocket does not see an encoded `_method` or one in another kind of body.
        let status = match content_type {
            "application/x-www-form-urlencoded" if body.starts_with('%') => 422,
            "application/x-www-form-urlencoded" => 400,
            _ => 415,
        };
        for (site, status) in [("same-origin", status), ("cross-site", 403)] {
            let request = app
                .client
                .post("/login")
                .header(Header::new("Content-Type", content_type))
                .header(header("Sec-Fetch-Site", site))
                .body(body);
            app.visitor().send(request).await.assert_status(status);
        }
    }
}
