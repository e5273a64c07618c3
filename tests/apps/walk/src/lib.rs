//! A walk through the pages below `/auth`, as somebody who signs up.

use std::path::Path;

use rocket::figment::Figment;
use rocket::figment::providers::{Format, Toml};
use rocket::http::{ContentType, Header, Status};
use rocket::local::asynchronous::Client;
use rocket_login::testing::{Answer, Browser};

/// The configuration in the folder `app` of the application, upon that of the test.
pub fn configured(app: &str, test: Figment) -> Figment {
    test.merge(Toml::file(Path::new(app).join("Rocket.toml")).nested())
}

/// A password that the policy accepts.
pub const PASSWORD: &str = "correct horse battery";

/// Signs up as `email`, looks at every page, logs out, and logs in again.
///
/// Every page must be one of ours: with our style sheet, our headers and no error.
pub async fn account(browser: &Browser<'_>, email: &str) {
    for page in ["/auth/login", "/auth/register", "/auth/reset"] {
        assert_ours(browser, &browser.get(page).await, Status::Ok).await;
    }

    let fields = [("email", email), ("password", "short")];
    let refused = browser.post("/auth/register", &fields).await;
    assert_ours(browser, &refused, Status::UnprocessableEntity).await;

    let fields = [("email", email), ("password", PASSWORD)];
    browser.post("/auth/register", &fields).await.assert_redirect("/auth/account");
    for page in ["", "/password", "/email", "/sessions", "/activity", "/notices", "/delete"] {
        let page = browser.get(&format!("/auth/account{page}")).await;
        assert_ours(browser, &page, Status::Ok).await;
    }

    browser.post("/auth/logout", &[]).await.assert_redirect("/");
    browser.get("/auth/account").await.assert_redirect("/auth/login?next=%2Fauth%2Faccount");
    let wrong = [("email", email), ("password", "wrong horse battery")];
    let refused = browser.post("/auth/login", &wrong).await;
    assert_ours(browser, &refused, Status::UnprocessableEntity).await;
    browser.post("/auth/login", &fields).await.assert_redirect("/auth/account");
}

/// Asserts that `answer` is a page of ours, and that its style sheet is there.
pub async fn assert_ours(browser: &Browser<'_>, answer: &Answer, status: Status) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let style = answer.body.split('"').find(|part| part.starts_with("/auth/static/style"));
    let style = browser.get(style.unwrap_or_else(|| panic!("not ours: {}", answer.body))).await;
    assert_eq!(style.status, Status::Ok);
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
}

/// Sends a form as a browser sends it from the application's own page.
pub async fn submit<'c>(
    client: &'c Client,
    browser: &Browser<'c>,
    path: &str,
    body: &str,
) -> Answer {
    let request = client.post(path.to_owned()).header(ContentType::Form);
    let request = request.header(Header::new("Sec-Fetch-Site", "same-origin"));
    browser.send(request.body(body)).await
}
