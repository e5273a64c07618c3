//! Log-in with a certified provider in a browser. The provider's host is another one than the site's,
//! so that the browser takes the two for different sites.

use std::time::Duration;

use rocket::figment::Figment;
use rocket_login::Clock;
use serde_json::json;
use thirtyfour::prelude::ElementQueryable;
use thirtyfour::{By, ChromeCapabilities};

use crate::passkeys::at_known_port;
use crate::servers;
use crate::servers::liar::{CLIENT, Fault, Liar, SECRET};
use crate::servers::oidc::{OidcServer, is_installed};
use crate::support::{Browser, PASSWORD, Site, run_on, without_scripts};

const ADA: &str = "ada@example.org";
const LINK: &str = "a.provider[href*='/login/with/certified']";
const CONNECT_FIRST: &str = "main a[href*='/login?next='][href$='%2Flink']";
const ONWARD: &str = "main .actions a.button";
const DISCONNECT: &str = "form[action='/account/providers/certified/unlink'] button";

/// Runs `test` on a site that knows a provider. The site's clock is right, as the provider's is.
async fn run_with_provider(
    configure: impl FnOnce(Figment) -> Figment,
    caps: ChromeCapabilities,
    test: impl AsyncFnOnce(&Site, &Browser, &OidcServer),
) {
    if !is_installed() {
        return;
    }
    let port = servers::free_port();
    let url = format!("http://localhost:{port}");
    let server = OidcServer::start(&url);
    let known = |figment: Figment| {
        let figment = figment.merge(("port", port)).merge(("site.url", url));
        configure(figment.merge(("providers", server.configured())))
    };
    run_on(known, caps, async |site, browser| {
        follow(site);
        test(site, browser, &server).await;
    })
    .await;
}

/// Sets the site's clock to the time of the system.
fn follow(site: &Site) {
    let behind = Clock::system().now() - site.clock.now();
    site.clock.advance(Duration::from_secs(behind.try_into().unwrap_or(0)));
}

/// Logs in at the provider, and lets the site know the address.
async fn log_in_there(browser: &Browser, name: &str) {
    browser.fill("login", name).await;
    browser.fill("password", "any").await;
    browser.find("button.login-submit").await.click().await.unwrap();
    browser.find("input[name=prompt][value=consent]").await;
    browser.find("button.login-submit").await.click().await.unwrap();
}

/// Follows the link of the log-in page.
async fn go(browser: &Browser) {
    browser.open("/login").await;
    browser.find(LINK).await.click().await.unwrap();
}

async fn sign_up(browser: &Browser) {
    go(browser).await;
    log_in_there(browser, "ada").await;
    browser.wait_for_path("/account").await;
    assert!(browser.text().await.contains(ADA));
}

async fn sign_up_and_log_in_again(
    configure: impl FnOnce(Figment) -> Figment,
    caps: ChromeCapabilities,
) {
    run_with_provider(configure, caps, async |_, browser, _| {
        sign_up(browser).await;
        browser.log_out().await;
        assert!(!browser.is_logged_in().await);
        // Now the provider knows them, and leads back at once.
        go(browser).await;
        browser.wait_for_path("/account").await;
        // The session is there on the next request that another page leads to, too.
        assert!(browser.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn a_visitor_signs_up_with_a_provider_and_logs_in_again() {
    sign_up_and_log_in_again(|figment| figment, ChromeCapabilities::new()).await;
}

#[rocket::async_test]
async fn a_provider_logs_in_with_scripts_off() {
    sign_up_and_log_in_again(|figment| figment, without_scripts()).await;
}

#[rocket::async_test]
async fn a_provider_logs_in_although_the_session_cookie_is_strict() {
    let strict = |figment: Figment| figment.merge(("session.same_site", "strict"));
    sign_up_and_log_in_again(strict, ChromeCapabilities::new()).await;
}

#[rocket::async_test]
async fn a_provider_logs_in_with_scripts_off_and_a_strict_session_cookie() {
    let strict = |figment: Figment| figment.merge(("session.same_site", "strict"));
    sign_up_and_log_in_again(strict, without_scripts()).await;
}

/// Comes with a known address, logs in with the password, is led to the provider by that, and
/// disconnects again.
async fn connect_a_known_address(
    configure: impl FnOnce(Figment) -> Figment,
    caps: ChromeCapabilities,
) {
    run_with_provider(configure, caps, async |_, browser, _| {
        browser.register(ADA).await;
        browser.log_out().await;
        go(browser).await;
        log_in_there(browser, "ada").await;
        browser.find(CONNECT_FIRST).await.click().await.unwrap();
        browser.fill("email", ADA).await;
        browser.fill("password", PASSWORD).await;
        // The form leads to the site's own page, and only then to the provider and back: Chromium
        // holds the redirects of a form to `form-action 'self'`. There the person must click, because
        // a link of another site may have begun all that.
        browser.submit().await;
        browser.find(ONWARD).await.click().await.unwrap();
        browser.wait_for_path("/account/security").await;
        browser.find(DISCONNECT).await;

        browser.log_out().await;
        go(browser).await;
        browser.wait_for_path("/account").await;
        browser.open("/account/security").await;
        browser.find(DISCONNECT).await.click().await.unwrap();
        browser.find("a[href='/account/providers/certified/link']").await;
        assert!(!browser.exists(DISCONNECT).await);

        // It logs nobody in any more.
        browser.log_out().await;
        go(browser).await;
        browser.find(CONNECT_FIRST).await;
        assert!(!browser.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn a_known_address_is_connected_after_a_log_in_and_disconnected_again() {
    connect_a_known_address(|figment| figment, ChromeCapabilities::new()).await;
}

#[rocket::async_test]
async fn a_known_address_is_connected_with_scripts_off_and_a_strict_session_cookie() {
    let strict = |figment: Figment| figment.merge(("session.same_site", "strict"));
    connect_a_known_address(strict, without_scripts()).await;
}

#[rocket::async_test]
async fn the_back_button_and_a_double_click_do_no_harm() {
    run_with_provider(
        |figment| figment,
        ChromeCapabilities::new(),
        async |_, browser, _| {
            browser.open("/login").await;
            let link = browser.find(LINK).await;
            browser.driver.action_chain().double_click_element(&link).perform().await.unwrap();
            log_in_there(browser, "ada").await;
            browser.wait_for_path("/account").await;

            for _ in 0..3 {
                browser.driver.back().await.unwrap();
            }
            assert!(browser.is_logged_in().await);
            browser.open("/account/sessions").await;
            let others = browser.driver.query(By::Css("form[action$='/revoke']")).any().await;
            assert!(others.unwrap().is_empty(), "{}", browser.text().await);

            // To go back to the log-in and click again logs in again.
            browser.log_out().await;
            browser.driver.back().await.unwrap();
            go(browser).await;
            browser.wait_for_path("/account").await;
        },
    )
    .await;
}

#[rocket::async_test]
async fn two_tabs_at_the_provider_do_not_end_each_other() {
    run_with_provider(
        |figment| figment,
        ChromeCapabilities::new(),
        async |_, browser, _| {
            go(browser).await;
            browser.find("input[name=login]").await;
            let first = browser.driver.window().await.unwrap();
            let second = browser.driver.new_tab().await.unwrap();
            browser.driver.switch_to_window(second).await.unwrap();
            go(browser).await;
            browser.find("input[name=login]").await;
            browser.driver.switch_to_window(first).await.unwrap();
            log_in_there(browser, "ada").await;
            browser.wait_for_path("/account").await;
        },
    )
    .await;
}

#[rocket::async_test]
async fn one_button_logs_out_here_and_at_the_provider() {
    for caps in [ChromeCapabilities::new(), without_scripts()] {
        run_with_provider(
            |figment| figment,
            caps,
            async |_, browser, _| {
                sign_up(browser).await;
                browser.open("/logout").await;
                browser.find("button[name=provider]").await.click().await.unwrap();
                // The provider asks, and leads back.
                browser.find("button[name=logout][value=yes]").await.click().await.unwrap();
                browser.wait_for_path("/login").await;
                assert!(!browser.is_logged_in().await);
                go(browser).await;
                browser.find("input[name=login]").await;
            },
        )
        .await;
    }
}

#[rocket::async_test]
async fn a_log_out_at_the_provider_ends_the_session_here() {
    run_with_provider(
        |figment| figment,
        ChromeCapabilities::new(),
        async |_, browser, server| {
            sign_up(browser).await;
            let end = format!("{}/session/end", server.issuer());
            browser.driver.goto(&end).await.unwrap();
            browser.find("button[name=logout][value=yes]").await.click().await.unwrap();
            browser.wait_for_path(&format!("{end}/success")).await;
            // It has called the site before that page.
            assert!(!browser.is_logged_in().await, "{}", server.complaints());
        },
    )
    .await;
}

#[rocket::async_test]
async fn the_provider_confirms_who_one_is_before_a_sensitive_act() {
    let short = |figment: Figment| figment.merge(("session.reauthenticate_after", "10m"));
    run_with_provider(short, ChromeCapabilities::new(), async |site, browser, _| {
        sign_up(browser).await;
        site.execute("UPDATE sessions SET authenticated_at = authenticated_at - 3000").await;
        browser.open("/account/delete").await;
        browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
        browser
            .find("a.provider[href*='/reauthenticate/with/certified']")
            .await
            .click()
            .await
            .unwrap();
        // It asks although it knows them, and wants no consent a second time.
        browser.fill("login", "ada").await;
        browser.fill("password", "any").await;
        browser.find("button.login-submit").await.click().await.unwrap();
        browser.wait_for_path("/account/delete").await;
    })
    .await;
}

/// Runs `test` on a site with all that its pages may show: passkeys, and providers of several kinds.
/// The provider `test` answers as it is told, and the browser goes to no other one.
pub async fn run_with_all(test: impl AsyncFnOnce(&Site, &Browser, &Liar)) {
    let liar = Liar::start();
    let configure = |figment| with_providers(at_known_port(figment), &liar);
    run_on(configure, ChromeCapabilities::new(), async |site, browser| {
        liar.follow(&site.clock);
        test(site, browser, &liar).await;
    })
    .await;
}

/// Adds the provider `test`, and some that have marks of their own.
pub fn with_providers(figment: Figment, liar: &Liar) -> Figment {
    let client =
        |issuer: &str| json!({ "issuer": issuer, "client_id": CLIENT, "client_secret": SECRET });
    figment.merge(("providers", json!({
        "github": { "kind": "github", "client_id": CLIENT, "client_secret": SECRET },
        "gitlab": client("https://gitlab.com"),
        "google": client("https://accounts.google.com"),
        "microsoft": client("https://login.microsoftonline.com/f4ee0e0a-0000-4000-8000-000000000000/v2.0"),
        "test": client(liar.issuer()),
    })))
}

/// Opens every page of providers in each of its states, and calls `look`. The browser may be logged in
/// as somebody.
pub async fn on_every_page(site: &Site, browser: &Browser, liar: &Liar, look: impl AsyncFn(&str)) {
    browser.driver.delete_all_cookies().await.unwrap();
    liar.fails_everywhere(&Fault::Closed);
    browser.open("/login/with/test").await;
    browser.find("[role=alert]").await;
    look("a provider that is down").await;
    // The site asks again only after a while.
    liar.is_honest();
    site.clock.advance(Duration::from_secs(60));
    browser.open("/login/with/test/callback?state=unknown").await;
    browser.find("[role=alert]").await;
    look("a log-in that was over").await;

    let [known, new] = ["hedy@example.org", "mary@example.org"];
    browser.register(known).await;
    browser.log_out().await;
    liar.is("2001", known);
    browser.open("/login/with/test").await;
    look("a known address").await;
    browser.find(CONNECT_FIRST).await.click().await.unwrap();
    // The provider answers nothing, so the page that leads there stays.
    liar.fails("/authorize", Fault::Status(204));
    browser.fill("email", known).await;
    browser.fill("password", PASSWORD).await;
    browser.submit().await;
    browser.find("main a[href^='http://127.0.0.1:']").await;
    look("the page that leads to a provider").await;
    liar.is_honest();

    browser.driver.delete_all_cookies().await.unwrap();
    liar.is("2002", new);
    browser.open("/login/with/test").await;
    browser.wait_for_path("/account").await;
    look("the account after a provider").await;
    for path in ["/account/security", "/account/activity", "/account/delete", "/login", "/logout"] {
        browser.open(path).await;
        look(&format!("{path}, with a provider")).await;
    }
    browser.open("/account/security").await;
    browser
        .find("form[action='/account/providers/test/unlink'] button")
        .await
        .click()
        .await
        .unwrap();
    browser.until_shown("[role=alert]", "This is your only way to log in.").await;
    look("a provider that is the last way in").await;

    site.clock.advance(Duration::from_secs(11 * 60));
    browser.open("/account/delete").await;
    browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
    look("/reauthenticate with a provider").await;
    liar.is("2003", "eve@example.org");
    browser.find("a.provider[href*='/reauthenticate/with/test']").await.click().await.unwrap();
    browser.find("[role=alert]").await;
    look("another person at the provider").await;
}
