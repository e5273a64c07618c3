//! Which pages search engines list.

use rocket::http::Method;
use rocket::local::asynchronous::Client;
use rocket::{get, routes};
use rocket_login::testing::Browser;
use rocket_login::web::SecretPath;
use tempfile::TempDir;

use crate::support::{TestApp, Visitor, figment};

const ADA: &str = "ada@example.org";

/// The pages that search engines may list.
const LISTED: [&str; 4] = ["/", "/login", "/register", "/reset"];

/// Asks for each of our pages that has no variable part. Returns those that may be listed, and how
/// many others there are.
async fn walk(app: &TestApp, visitor: &Visitor<'_>) -> (Vec<String>, usize) {
    let (mut listed, mut others) = (Vec::new(), 0);
    for route in app.client.rocket().routes() {
        let path = route.uri.path().to_string();
        if route.method != Method::Get || path.contains('<') {
            continue;
        }
        let page = visitor.get(&path).await;
        if page.header("content-type") == Some("text/html; charset=utf-8") {
            match page.header("x-robots-tag") {
                None => listed.push(path),
                Some(tag) => {
                    assert_eq!(tag, "noindex", "{path}");
                    others += 1;
                }
            }
        }
    }
    listed.sort();
    (listed, others)
}

#[rocket::async_test]
async fn search_engines_list_the_pages_for_everybody_and_no_other() {
    let app = TestApp::new().await;
    let (listed, others) = walk(&app, &app.visitor()).await;
    assert_eq!(listed, LISTED);
    assert!(others > 2, "{others}");
    let ada = app.registered(ADA).await;
    let (listed, others) = walk(&app, &ada).await;
    assert_eq!(listed, LISTED);
    assert!(others > 8, "{others}");

    // Links, errors, and the log-in to which every private page leads.
    app.visitor().post("/reset", &[("email", ADA)]).await;
    let links = [app.link(ADA, "/verify/").await, app.link(ADA, "/reset/").await];
    let others =
        ["/verify/none", "/reset/none", "/not-me/none", "/nowhere", "/login?next=%2Faccount"];
    for path in links.iter().map(String::as_str).chain(others) {
        assert_eq!(app.visitor().get(path).await.header("x-robots-tag"), Some("noindex"), "{path}");
    }
    let closed = app.restarted(|figment| figment.merge(("accounts.registration", "closed"))).await;
    let refused = closed.visitor().get("/register").await;
    assert_eq!(refused.header("x-robots-tag"), Some("noindex"));
}

/// The description of a page.
fn description(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<meta name=\"description\" content=\"")?;
    rest.split('"').next()
}

#[rocket::async_test]
async fn each_page_that_is_listed_has_its_own_description() {
    let app = TestApp::with(|figment| figment.merge(("site.name", "Notes"))).await;
    let mut descriptions = Vec::new();
    for path in LISTED {
        let page = app.visitor().get(path).await;
        let text = description(&page.body).unwrap_or_else(|| panic!("{path}: {}", page.body));
        assert!(text.contains(" at Notes") && text.len() < 160, "{path}: {text}");
        descriptions.push(text.to_owned());
    }
    descriptions.sort();
    descriptions.dedup();
    assert_eq!(descriptions.len(), LISTED.len());
}

#[get("/invitation/<_>")]
fn invitation(_path: SecretPath) -> &'static str {
    "Welcome"
}

#[rocket::async_test]
async fn a_secret_path_of_the_application_is_not_listed() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![invitation])).await;
    let page = app.visitor().get("/invitation/x").await;
    page.assert_text("Welcome");
    assert_eq!(page.header("x-robots-tag"), Some("noindex"));
}

#[rocket::async_test]
async fn robots_txt_is_at_the_root_unless_it_is_the_applications() {
    #[get("/robots.txt")]
    fn own() -> &'static str {
        "Disallow: /own"
    }

    for (base, is_own, answer) in [
        ("/", false, Some("User-agent: *\nDisallow:\n")),
        ("/", true, Some("Disallow: /own")),
        ("/auth", false, None),
        ("/auth", true, Some("Disallow: /own")),
    ] {
        let dir = TempDir::new().unwrap();
        let rocket = rocket::custom(figment(&dir)).attach(rocket_login::stage_at(base));
        let rocket = if is_own { rocket.mount("/", routes![own]) } else { rocket };
        let client = Client::untracked(rocket).await.unwrap();
        for path in ["/robots.txt", "/auth/robots.txt"] {
            let found = Browser::new(&client).get(path).await;
            match answer.filter(|_| path == "/robots.txt") {
                Some(answer) => assert_eq!(found.body, answer, "{base} {is_own}"),
                None => assert_eq!(found.status.code, 404, "{base} {is_own}"),
            }
        }
    }
}
