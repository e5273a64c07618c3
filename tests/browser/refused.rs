//! A person whose form was refused, or whose page failed, gets to the good end from there.

use std::time::Duration;

use rocket::figment::Figment;
use rocket::tokio;
use serde_json::Value;
use thirtyfour::Key;

use crate::support::{Browser, PASSWORD, run, run_configured, run_with, without_scripts};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";
const WRONG: &str = "wrong horse battery";

/// The text of the page's alert.
async fn alert(browser: &Browser) -> String {
    browser.find("main .alert").await.text().await.unwrap()
}

/// Fills the log-in form, and sends it.
async fn log_in(browser: &Browser, email: &str, password: &str) {
    browser.fill("email", email).await;
    browser.fill("password", password).await;
    browser.submit().await;
}

/// Asserts that the log-in form has the address, and sends it with `password`.
async fn log_in_as_known(browser: &Browser, password: &str) {
    assert_eq!(value_of(browser, "email").await, ADA);
    browser.fill("password", password).await;
    browser.submit().await;
}

/// Waits until `script` returns `true` in the page.
async fn until(browser: &Browser, script: &str) {
    for _ in 0..1_000 {
        if browser.evaluate(script).await == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {script}:\n{}", browser.text().await);
}

/// Lets the page's clock be `seconds` later. It ticks once a second all the same.
async fn skip(browser: &Browser, seconds: u32) {
    let script = format!(
        "const now = Date.now.bind(Date); Date.now = () => now() + {seconds} * 1000; return true"
    );
    browser.evaluate(&script).await;
}

/// Fails to log in until the site says to wait.
pub async fn be_throttled(browser: &Browser) {
    browser.open("/login").await;
    for _ in 0..20 {
        log_in(browser, ADA, WRONG).await;
        browser.find("main .alert").await;
        if browser.exists(".wait").await {
            return;
        }
    }
    panic!("not throttled:\n{}", browser.text().await);
}

async fn value_of(browser: &Browser, name: &str) -> String {
    browser.find(&format!("input[name={name}]")).await.value().await.unwrap().unwrap_or_default()
}

async fn focused(browser: &Browser) -> Value {
    browser.evaluate("return document.activeElement.name").await
}

#[rocket::async_test]
async fn after_too_many_attempts_the_form_counts_down_and_then_logs_in() {
    run(async |site, browser| {
        browser.register(ADA).await;
        browser.log_out().await;
        // The browser is a known device, and a stranger's guesses do not count there.
        be_throttled(browser).await;
        assert_eq!(browser.path().await, "/login");
        assert!(alert(browser).await.starts_with("Too many attempts. Try again in "));
        assert_eq!(value_of(browser, "email").await, ADA);
        assert_eq!(value_of(browser, "password").await, "");
        assert_eq!(focused(browser).await, "password");
        let held = "const button = document.querySelector('main form button[type=submit]');
             return button.disabled";
        assert_eq!(browser.evaluate(held).await, true);

        // Neither the button nor the enter key sends the form too early.
        let sent = "window.sent = 0; addEventListener('submit', () => window.sent++); return true";
        browser.evaluate(sent).await;
        browser.fill("password", PASSWORD).await;
        browser.driver.action_chain().send_keys(Key::Enter).perform().await.unwrap();
        assert_eq!(browser.evaluate("return window.sent").await, 0);

        // The alert stays while the person types, and counts down in words.
        let number = async || -> u64 {
            let text = browser.find(".wait").await.text().await.unwrap();
            let (number, unit) = text.split_once(' ').unwrap();
            assert!(["second", "seconds"].contains(&unit), "{text}");
            number.parse().unwrap()
        };
        let before = number().await;
        assert!(before <= 30, "{before}");
        skip(browser, 20).await;
        until(browser, "return parseInt(document.querySelector('.wait').textContent) <= 10").await;
        assert!(number().await < before);
        // A screen reader is not told each second.
        let live = browser.find(".wait").await.attr("aria-live").await.unwrap();
        assert_eq!(live.as_deref(), Some("off"));

        skip(browser, 30).await;
        until(browser, "return !document.querySelector('.wait')").await;
        assert_eq!(alert(browser).await, "You can try again now.");
        assert_eq!(browser.evaluate(held).await, false);
        site.clock.advance(Duration::from_secs(31));
        browser.submit().await;
        browser.wait_for_path("/account").await;
    })
    .await;
}

#[rocket::async_test]
async fn another_address_need_not_wait() {
    run(async |_, browser| {
        browser.register(ADA).await;
        browser.log_out().await;
        be_throttled(browser).await;
        let held = "return document.querySelector('main form button[type=submit]').disabled";
        assert_eq!(browser.evaluate(held).await, true);
        browser.fill("email", "bob@example.org").await;
        assert_eq!(browser.evaluate(held).await, false);
    })
    .await;
}

#[rocket::async_test]
async fn after_too_many_attempts_the_reset_link_leads_to_a_new_password() {
    run(async |_, browser| {
        browser.register(ADA).await;
        browser.log_out().await;
        be_throttled(browser).await;
        browser.find("main a[href='/reset']").await.click().await.unwrap();
        browser.wait_for_path("/reset").await;
        assert_eq!(value_of(browser, "email").await, ADA);
        browser.submit().await;
        // The page before has a link there as well, but no button.
        browser.find("main a.button[href='/login']").await;
        assert!(browser.text().await.contains("Check your email"));

        browser.open_mailed("/reset/").await;
        browser.fill("new_password", NEW).await;
        browser.submit().await;
        browser.wait_for_path("/login").await;
        assert_eq!(focused(browser).await, "password");
        log_in_as_known(browser, NEW).await;
        browser.wait_for_path("/account").await;
    })
    .await;
}

#[rocket::async_test]
async fn without_script_the_wait_is_a_sentence_and_the_form_can_be_sent() {
    run_with(without_scripts(), async |site, browser| {
        browser.register(ADA).await;
        browser.log_out().await;
        be_throttled(browser).await;
        assert_eq!(alert(browser).await, "Too many attempts. Try again in 30 seconds.");
        site.clock.advance(Duration::from_secs(31));
        log_in_as_known(browser, PASSWORD).await;
        browser.wait_for_path("/account").await;
    })
    .await;
}

#[rocket::async_test]
async fn a_taken_address_leads_to_the_log_in_with_the_address() {
    run(async |_, browser| {
        browser.register(ADA).await;
        browser.log_out().await;
        browser.open("/register?next=%2Faccount%2Factivity").await;
        log_in(browser, ADA, WRONG).await;
        browser.find("#email-error a").await.click().await.unwrap();
        browser.wait_for_path("/login?next=%2Faccount%2Factivity").await;
        log_in_as_known(browser, PASSWORD).await;
        browser.wait_for_path("/account/activity").await;
    })
    .await;
}

fn by_mail(figment: Figment) -> Figment {
    figment.merge(("accounts.registration", "confirm"))
}

#[rocket::async_test]
async fn a_typo_at_the_sign_up_is_seen_and_corrected() {
    run_configured(by_mail, async |_, browser| {
        browser.open("/register").await;
        log_in(browser, "ada@exmaple.org", PASSWORD).await;
        browser.wait_for_path("/register/sent").await;
        assert!(browser.text().await.contains("ada@exmaple.org"));
        browser.find("main a[href='/register']").await.click().await.unwrap();
        assert_eq!(value_of(browser, "email").await, "ada@exmaple.org");
        log_in(browser, ADA, PASSWORD).await;
        browser.wait_for_path("/register/sent").await;

        // The log-in before the link is opened reminds of the link.
        browser.find("main a[href='/login']").await.click().await.unwrap();
        log_in_as_known(browser, PASSWORD).await;
        browser.find("main .alert").await;
        assert!(browser.text().await.contains("Signed up recently?"));

        browser.open_mailed("/verify/").await;
        browser.submit().await;
        browser.wait_for_path("/login").await;
        log_in_as_known(browser, PASSWORD).await;
        browser.wait_for_path("/account").await;
    })
    .await;
}

#[rocket::async_test]
async fn a_used_link_says_what_it_did_and_leads_on() {
    run(async |_, browser| {
        browser.register(ADA).await;
        browser.open_mailed("/verify/").await;
        browser.submit().await;
        browser.wait_for_path("/account").await;
        browser.open_mailed("/verify/").await;
        assert!(browser.text().await.contains("Your email address ada@example.org is confirmed."));
        browser.find("main a.button").await.click().await.unwrap();
        browser.wait_for_path("/account").await;
    })
    .await;
}

#[rocket::async_test]
async fn a_page_that_failed_can_be_tried_again() {
    run(async |site, browser| {
        browser.register(ADA).await;
        site.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
        browser.open("/account/sessions?page=1").await;
        assert!(browser.text().await.contains("busy at the moment"));
        // Discard the browser's complaint about the status.
        browser.driver.browser_log().await.unwrap();
        site.execute("ALTER TABLE elsewhere RENAME TO sessions").await;
        browser.find("main a.button").await.click().await.unwrap();
        browser.wait_for_path("/account/sessions?page=1").await;
        assert!(browser.text().await.contains("this device"));
    })
    .await;
}
