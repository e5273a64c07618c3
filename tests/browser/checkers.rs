//! What two checkers find in every page: Nu, the HTML checker of the W3C, and Lighthouse.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::Command;

use rocket::tokio::task::spawn_blocking;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::factors;
use crate::mail_views::full_mails;
use crate::on_every_page;
use crate::providers::{run_with_all, with_providers};
use crate::servers::liar::Liar;
use crate::servers::{Running, clean, find, has};
use crate::support::{Browser, Site, in_only_browser, is_installed};

const NU: &str = "tests/browser/node_modules/vnu-jar/build/dist/vnu.jar";
const LIGHTHOUSE: &str = "tests/browser/node_modules/lighthouse";

/// Returns true if a checker can run: its `program` on the path, and its file in the folder of
/// `npm ci`.
fn has_checker(program: &str, file: &str) -> bool {
    // The pages of two instances are the same, so once is enough.
    let is_nested = std::env::var_os("TEST_POSTGRES").is_some();
    let package = file.trim_start_matches("tests/browser/node_modules/").split('/').next();
    !is_nested
        && is_installed()
        && has(find(program).is_some(), program)
        && has(Path::new(file).exists(), package.unwrap_or(file))
}

/// Runs a checker until it ends, and returns the JSON that it prints.
async fn checked(mut command: Command, home: &Path, input: String) -> Value {
    command.env("HOME", home);
    let done = spawn_blocking(move || Running::output(command, &input)).await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[rocket::async_test]
async fn nu_finds_nothing_wrong_in_any_page_mail_or_style_sheet() {
    if !has_checker("java", NU) {
        return;
    }
    let dir = TempDir::new().unwrap();
    for (name, mail) in full_mails().await {
        fs::write(dir.path().join(format!("{name}.html")), mail.html).unwrap();
    }
    let count = RefCell::new(0);
    run_with_all(async |site, browser, liar| {
        browser.devtools("Network.enable", json!({})).await;
        on_every_page(site, browser, liar, async |what| {
            let source = browser.source().await;
            let name: String =
                what.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let number = count.replace_with(|count| *count + 1);
            fs::write(dir.path().join(format!("{number:02} {name}.html")), source).unwrap();
        })
        .await;
    })
    .await;
    assert!(count.into_inner() > 50);

    let mut nu = clean("java");
    nu.args(["-XX:-UsePerfData", "-jar", NU, "--format", "json", "--stdout"]);
    nu.args(["--exit-zero-always", "--also-check-css"]).arg(dir.path()).arg("static/style.css");
    let found = checked(nu, dir.path(), String::new()).await;
    assert_eq!(found["messages"], json!([]), "{found:#}");
}

/// A page to measure: its path, the `Cookie` header, and the audits that do not suit it.
struct Measured {
    path: String,
    cookies: String,
    skipped: &'static [&'static str],
}

/// These pages are kept out of search engines.
fn private(path: impl Into<String>, cookies: &str) -> Measured {
    Measured { path: path.into(), cookies: cookies.into(), skipped: &["is-crawlable"] }
}

/// Returns the browser's cookies as a header.
async fn cookies(browser: &Browser) -> String {
    let cookies = browser.driver.get_all_cookies().await.unwrap();
    let cookies: Vec<_> = cookies.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
    cookies.join("; ")
}

/// Asks for a new password of `email`.
async fn forget_password(browser: &Browser, email: &str) {
    browser.open("/reset").await;
    browser.fill("email", email).await;
    browser.submit().await;
    browser.find("a[href='/reset']").await;
}

/// Returns the path of the latest mailed link that begins with `start`.
async fn mailed(browser: &Browser, start: &str) -> String {
    browser.open("/dev/mailbox").await;
    let link = browser.find(&format!("a[href^='{start}']")).await;
    link.attr("href").await.unwrap().unwrap()
}

/// Makes an account with each kind of mailed link, and returns every page: those of a visitor,
/// those of a user, and those behind links.
async fn pages(site: &Site, browser: &Browser) -> Vec<Measured> {
    let mut pages: Vec<Measured> = ["/", "/login", "/register", "/reset"]
        .map(|path| Measured { path: path.into(), cookies: String::new(), skipped: &[] })
        .into();

    browser.register("ada@example.org").await;
    site.log_in("ada@example.org", "curl/8.17.0").await;
    let ada = cookies(browser).await;
    for path in [
        "/account",
        "/account/security",
        "/account/app",
        "/account/password",
        "/account/email",
        "/account/sessions",
        "/account/activity",
        "/account/notices",
        "/account/delete",
        "/reauthenticate",
        "/logout",
        "/dev/mailbox",
    ] {
        pages.push(private(path, &ada));
    }

    forget_password(browser, "ada@example.org").await;
    for start in ["/verify/", "/reset/", "/not-me/"] {
        pages.push(private(mailed(browser, start).await, &ada));
    }
    pages.extend(pages_with_second_step(site, browser).await);
    pages
}

/// Makes an account with a second step, and returns the pages that are others for it.
async fn pages_with_second_step(site: &Site, browser: &Browser) -> Vec<Measured> {
    let bob = "bob@example.org";
    // To log out would end the session, whose cookies are needed.
    browser.driver.delete_all_cookies().await.unwrap();
    factors::sign_up(browser, bob).await;
    factors::add_app(site, browser).await;
    forget_password(browser, bob).await;
    let reset = mailed(browser, "/reset/").await;
    let whole = cookies(browser).await;
    browser.driver.delete_all_cookies().await.unwrap();
    factors::begin_log_in(browser, bob).await;
    let half = cookies(browser).await;
    vec![
        private("/account/security", &whole),
        private("/reauthenticate", &whole),
        private(reset, &whole),
        private("/login/factor", &half),
        private("/login/factor?recovery=true", &half),
    ]
}

#[rocket::async_test]
async fn lighthouse_gives_full_marks_to_every_page() {
    if !has_checker("node", LIGHTHOUSE) {
        return;
    }
    let (liar, profile) = (Liar::start(), TempDir::new().unwrap());
    let site = Site::start_with(|figment| with_providers(figment, &liar)).await;
    in_only_browser(&site, profile.path(), async |browser| {
        let pages = pages(&site, browser).await;
        // Each page has its own cookies.
        browser.driver.delete_all_cookies().await.unwrap();
        let pages: Vec<Value> = pages
            .iter()
            .map(|Measured { path, cookies, skipped }| {
                let headers = match cookies.is_empty() {
                    true => json!({}),
                    false => json!({ "Cookie": cookies }),
                };
                let url = format!("{}{path}", site.url);
                json!({ "url": url, "headers": headers, "skipped": skipped })
            })
            .collect();

        let port = fs::read_to_string(profile.path().join("DevToolsActivePort")).unwrap();
        let mut lighthouse = clean("node");
        lighthouse.arg("tests/browser/lighthouse.mjs").arg(port.lines().next().unwrap());
        let measured = checked(lighthouse, profile.path(), json!(pages).to_string()).await;
        let full =
            json!({ "performance": 100, "accessibility": 100, "best-practices": 100, "seo": 100 });
        let measured = measured.as_array().unwrap();
        assert_eq!(measured.len(), pages.len());
        let short: Vec<_> = measured.iter().filter(|page| page["scores"] != full).collect();
        assert!(short.is_empty(), "{short:#?}");
    })
    .await;
}
