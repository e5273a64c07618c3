//! The files that pages load: how long they are kept, and how they are compressed.

use std::fs;
use std::io::Read;

use rocket::http::{Header, Status};
use rocket_login::testing::Answer;

use crate::support::TestApp;

const GZIP: &str = "gzip, deflate, br, zstd";

/// The addresses of the files that a page loads, with their versions.
async fn addresses(app: &TestApp) -> Vec<String> {
    let page = app.visitor().get("/register").await;
    let found = page.body.split('"').filter(|text| text.starts_with("/static/"));
    let mut found: Vec<String> = found.map(str::to_owned).collect();
    found.sort();
    found.dedup();
    assert!(found.len() > 5 && found.iter().all(|one| one.contains("?v=")), "{found:?}");
    found
}

/// The answer to a client with this header.
async fn with_header(app: &TestApp, path: &str, name: &'static str, value: &str) -> Answer {
    let header = Header::new(name, value.to_owned());
    app.visitor().send(app.client.get(path.to_owned()).header(header)).await
}

/// The content that is sent to a client that takes these codings.
async fn sent(app: &TestApp, path: &str, codings: &str) -> Vec<u8> {
    let header = Header::new("Accept-Encoding", codings.to_owned());
    let answer = app.client.get(path.to_owned()).header(header).dispatch().await;
    answer.into_bytes().await.unwrap()
}

#[rocket::async_test]
async fn a_file_is_compressed_for_a_client_that_takes_gzip() {
    let app = TestApp::new().await;
    for path in addresses(&app).await {
        let name = path["/static/".len()..].split('?').next().unwrap();
        let file = fs::read(format!("static/{name}")).unwrap();
        let plain = with_header(&app, &path, "Accept-Encoding", "br").await;
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        assert_eq!(sent(&app, &path, "br").await, file, "{path}");

        let compressed = with_header(&app, &path, "Accept-Encoding", GZIP).await;
        let sent = sent(&app, &path, GZIP).await;
        assert_eq!(compressed.header("content-type"), plain.header("content-type"));
        if name.ends_with(".png") {
            // It is compressed by itself.
            assert_eq!(compressed.header("content-encoding"), None);
            assert_eq!(compressed.header("vary"), None);
            assert_eq!(sent, file);
            continue;
        }
        assert_eq!(compressed.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(compressed.header("vary"), Some("Accept-Encoding"));
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
        assert_ne!(compressed.header("etag"), plain.header("etag"));
        assert!(sent.len() < file.len() * 3 / 4, "{path}: {} of {}", sent.len(), file.len());
        let mut opened = Vec::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut opened).unwrap();
        assert_eq!(opened, file, "{path}");
    }
}

#[rocket::async_test]
async fn a_client_may_refuse_gzip() {
    let app = TestApp::new().await;
    for (codings, is_compressed) in [
        ("gzip", true),
        ("GZIP;q=0.5", true),
        ("br, gzip; q=1.0", true),
        ("gzip;q=0", false),
        ("gzip; q=0.000, br", false),
        ("xgzip", false),
        ("identity", false),
        ("", false),
        ("gzip;q=x", true),
    ] {
        let answer = with_header(&app, "/static/style.css", "Accept-Encoding", codings).await;
        answer.assert_status(200);
        assert_eq!(answer.header("content-encoding").is_some(), is_compressed, "{codings}");
    }
}

#[rocket::async_test]
async fn a_page_is_never_compressed() {
    let app = TestApp::new().await;
    for path in ["/", "/login", "/nowhere", "/manifest.webmanifest"] {
        let answer = with_header(&app, path, "Accept-Encoding", GZIP).await;
        assert_eq!(answer.header("content-encoding"), None, "{path}");
    }
}

#[rocket::async_test]
async fn a_file_is_kept_for_a_year_only_under_its_version() {
    let app = TestApp::new().await;
    for path in addresses(&app).await {
        let (name, _) = path.split_once('?').unwrap();
        for (path, cache) in [
            (path.clone(), "public, max-age=31536000, immutable"),
            (name.to_owned(), "public, max-age=3600"),
            // While one instance after the other gets a new release, another one may be asked.
            (format!("{name}?v=0123456789ab"), "public, no-cache"),
        ] {
            let answer = app.visitor().get(&path).await;
            answer.assert_status(200);
            assert_eq!(answer.header("cache-control"), Some(cache), "{path}");
        }
    }
}

#[rocket::async_test]
async fn a_browser_that_has_a_file_does_not_get_it_again() {
    let app = TestApp::new().await;
    for path in
        ["/static/style.css", "/static/style.css?v=0", "/static/touch-icon.png", "/favicon.ico"]
    {
        let first = app.visitor().get(path).await;
        let tag = first.header("etag").unwrap();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let again = with_header(&app, path, "If-None-Match", &known).await;
            assert_eq!((again.status, again.body.as_str()), (Status::NotModified, ""), "{known}");
            for name in ["cache-control", "etag", "vary"] {
                assert_eq!(again.header(name), first.header(name), "{path}: {name}");
            }
        }
        for other in ["\"other\"", "", &tag[1..]] {
            let answer = with_header(&app, path, "If-None-Match", other).await;
            answer.assert_status(200);
            assert_eq!(answer.body, first.body);
        }
    }

    // A browser that has the compressed form only, and does not take it any more.
    let compressed = with_header(&app, "/static/style.css", "Accept-Encoding", "gzip").await;
    let tag = compressed.header("etag").unwrap();
    with_header(&app, "/static/style.css", "If-None-Match", tag).await.assert_status(200);
}
