//! Passkeys in a browser, with Chromium's virtual authenticator.

use std::time::Duration;

use rocket::figment::Figment;
use serde_json::{Value, json};
use thirtyfour::By;

use crate::factors::{begin_log_in, sign_up};
use crate::servers;
use crate::support::{Browser, PASSWORD, Site, run_configured};

const ADA: &str = "ada@example.org";

/// Gives the site a port that it knows, because a passkey is for one origin.
pub fn at_known_port(figment: Figment) -> Figment {
    let port = servers::free_port();
    figment.merge(("port", port)).merge(("site.url", format!("http://localhost:{port}")))
}

/// Plugs an authenticator in, and returns its id. `is_verified`: its user shows a finger when asked, and
/// it lists its passkeys. An old security key does neither.
async fn plug_in(browser: &Browser, transport: &str, is_verified: bool) -> String {
    browser.devtools("WebAuthn.enable", json!({ "enableUI": false })).await;
    let options = json!({ "options": {
        "protocol": "ctap2",
        "transport": transport,
        "hasResidentKey": is_verified,
        "hasUserVerification": is_verified,
        "isUserVerified": is_verified,
        "automaticPresenceSimulation": true,
    }});
    let added = browser.devtools("WebAuthn.addVirtualAuthenticator", options).await;
    added["authenticatorId"].as_str().unwrap().to_owned()
}

async fn unplug(browser: &Browser, authenticator: &str) {
    let which = json!({ "authenticatorId": authenticator });
    browser.devtools("WebAuthn.removeVirtualAuthenticator", which).await;
}

async fn passkeys_of(browser: &Browser, authenticator: &str) -> Vec<Value> {
    let which = json!({ "authenticatorId": authenticator });
    let found = browser.devtools("WebAuthn.getCredentials", which).await;
    found["credentials"].as_array().unwrap().clone()
}

/// Waits until the authenticator has no passkey any more.
async fn until_gone(browser: &Browser, authenticator: &str) {
    for _ in 0..100 {
        if passkeys_of(browser, authenticator).await.is_empty() {
            return;
        }
        rocket::tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the passkey is still there");
}

/// Opens the part of the page that removes the password.
async fn open_removal(browser: &Browser) {
    let summary = "details:has([action='/account/password/remove']) summary";
    browser.find(summary).await.click().await.unwrap();
}

/// Removes the first passkey on the page.
async fn remove(browser: &Browser) {
    let button = "form[action*='/passkeys/'][action$='/remove'] button";
    browser.find(button).await.click().await.unwrap();
}

async fn press(browser: &Browser, path: &str) {
    browser.find(&format!("form[action='{path}'] button")).await.click().await.unwrap();
}

/// Adds a passkey, for which the page shows recovery codes if they are the first.
async fn add(browser: &Browser) {
    browser.open("/account/security").await;
    press(browser, "/account/passkeys").await;
}

/// Plugs an authenticator in and signs Ada up with a passkey in it. Returns its id.
async fn with_passkey(browser: &Browser) -> String {
    let phone = plug_in(browser, "internal", true).await;
    sign_up(browser, ADA).await;
    add(browser).await;
    browser.find(".codes").await;
    phone
}

#[rocket::async_test]
async fn a_passkey_is_added_logs_in_and_is_removed() {
    run_configured(at_known_port, async |_: &Site, browser: &Browser| {
        let phone = with_passkey(browser).await;
        assert_eq!(passkeys_of(browser, &phone).await.len(), 1);
        // This device has one now.
        add(browser).await;
        browser.until_shown("p.error", "This device already has a passkey").await;

        browser.log_out().await;
        // The autofill would log in at once, because nobody has to choose here.
        let away = json!({ "authenticatorId": phone, "enabled": false });
        browser.devtools("WebAuthn.setAutomaticPresenceSimulation", away).await;
        browser.open("/login").await;
        let field = browser.find("input[name=email]").await;
        assert_eq!(field.attr("autocomplete").await.unwrap().unwrap(), "username webauthn");
        let here = json!({ "authenticatorId": phone, "enabled": true });
        browser.devtools("WebAuthn.setAutomaticPresenceSimulation", here).await;
        press(browser, "/login/passkey").await;
        browser.wait_for_path("/account").await;

        browser.open("/account/security").await;
        assert!(browser.text().await.contains("Last used"));
        remove(browser).await;
        browser.until_shown("[role=status]", "The passkey was removed.").await;
        // The page has told the place that keeps the passkey.
        until_gone(browser, &phone).await;
    })
    .await;
}

#[rocket::async_test]
async fn a_passkey_that_no_account_has_is_forgotten_by_the_browser() {
    run_configured(at_known_port, async |site: &Site, browser: &Browser| {
        let phone = with_passkey(browser).await;
        browser.log_out().await;
        site.execute("DELETE FROM login_factors").await;
        // The virtual authenticator answers the offer in the field at once, and in vain.
        browser.open("/login").await;
        browser.until_shown("[role=alert]", "This passkey didn").await;
        until_gone(browser, &phone).await;
    })
    .await;
}

#[rocket::async_test]
async fn an_account_without_a_password_is_used_with_a_passkey_alone() {
    run_configured(at_known_port, async |site: &Site, browser: &Browser| {
        let phone = with_passkey(browser).await;
        browser.open("/account/security").await;
        open_removal(browser).await;
        press(browser, "/account/password/remove").await;
        browser.until_shown("[role=status]", "The password was removed.").await;
        assert!(browser.text().await.contains("None. You log in without one."));

        site.clock.advance(Duration::from_secs(11 * 60));
        browser.open("/account/delete").await;
        browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
        assert!(browser.text().await.contains("Use your passkey to continue."));
        let passkey = "button[data-options='/reauthenticate/passkey/options']";
        browser.find(passkey).await.click().await.unwrap();
        browser.wait_for_path("/account/delete").await;

        // The last way in stays.
        browser.open("/account/security").await;
        remove(browser).await;
        browser.until_shown("[role=alert]", "This is your only way to log in.").await;
        assert_eq!(passkeys_of(browser, &phone).await.len(), 1);
    })
    .await;
}

#[rocket::async_test]
async fn each_of_two_authenticators_logs_in() {
    run_configured(at_known_port, async |_: &Site, browser: &Browser| {
        let laptop = with_passkey(browser).await;
        unplug(browser, &laptop).await;
        let phone = plug_in(browser, "internal", true).await;
        add(browser).await;
        browser.until_shown("[role=status]", "The passkey was added.").await;
        assert_eq!(passkeys_of(browser, &phone).await.len(), 1);
        browser.log_out().await;
        // The one that is plugged in answers the offer in the field.
        browser.open("/login").await;
        browser.wait_for_path("/account").await;
        browser.open("/account/security").await;
        let removes = By::Css("form[action*='/passkeys/'][action$='/remove']");
        assert_eq!(browser.driver.find_all(removes).await.unwrap().len(), 2);
    })
    .await;
}

/// Holds the site's list of known passkeys back until a new one is made.
const LATE_LIST: &str = "
    let made;
    const isMade = new Promise((resolve) => { made = resolve; });
    const ask = window.fetch;
    window.fetch = async (...arguments) => {
        const answer = await ask(...arguments);
        if (String(arguments[0]).endsWith('/account/passkeys/known')) await isMade;
        return answer;
    };
    const make = navigator.credentials.create.bind(navigator.credentials);
    navigator.credentials.create = async (options) => {
        const credential = await make(options);
        made();
        await new Promise((resolve) => setTimeout(resolve, 500));
        return credential;
    };";

#[rocket::async_test]
async fn a_list_that_comes_late_does_not_take_a_new_passkey_for_a_removed_one() {
    run_configured(at_known_port, async |_: &Site, browser: &Browser| {
        let laptop = with_passkey(browser).await;
        unplug(browser, &laptop).await;
        let phone = plug_in(browser, "internal", true).await;
        let script = json!({ "source": LATE_LIST });
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", script).await;
        add(browser).await;
        browser.until_shown("[role=status]", "The passkey was added.").await;
        assert_eq!(passkeys_of(browser, &phone).await.len(), 1);
    })
    .await;
}

#[rocket::async_test]
async fn the_field_for_the_address_offers_passkeys() {
    run_configured(at_known_port, async |_: &Site, browser: &Browser| {
        with_passkey(browser).await;
        browser.log_out().await;
        // The virtual authenticator answers at once, as a person who picks the one offer.
        browser.open("/login?next=%2Faccount%2Fsessions").await;
        browser.wait_for_path("/account/sessions").await;
        assert!(browser.text().await.contains("With a second step"));
    })
    .await;
}

#[rocket::async_test]
async fn a_security_key_is_a_second_step_and_confirms_who_one_is() {
    run_configured(at_known_port, async |site: &Site, browser: &Browser| {
        plug_in(browser, "usb", false).await;
        sign_up(browser, ADA).await;
        add(browser).await;
        browser.until_shown("h1", "Your recovery codes").await;
        browser.log_out().await;
        begin_log_in(browser, ADA).await;
        assert!(browser.text().await.contains("Use your passkey"));
        press(browser, "/login/factor/passkey").await;
        browser.wait_for_path("/account").await;

        // It has checked no finger, so it stands beside the password and not in its place.
        site.clock.advance(Duration::from_secs(11 * 60));
        browser.open("/account/delete").await;
        browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
        let passkey = "button[data-options='/reauthenticate/passkey/options']";
        browser.find(passkey).await.click().await.unwrap();
        browser.find("#password-error").await;
        browser.fill("password", PASSWORD).await;
        browser.find(passkey).await.click().await.unwrap();
        browser.wait_for_path("/account/delete").await;
    })
    .await;
}

#[rocket::async_test]
async fn a_cancelled_question_leaves_the_password() {
    run_configured(at_known_port, async |_: &Site, browser: &Browser| {
        // It has no passkey for this site, and its user touches nothing.
        let phone = plug_in(browser, "internal", true).await;
        let away = json!({ "authenticatorId": phone, "isUserVerified": false });
        browser.register(ADA).await;
        browser.log_out().await;
        browser.devtools("WebAuthn.setUserVerified", away).await;
        browser.open("/login").await;
        press(browser, "/login/passkey").await;
        browser.until_shown("p.error", "No passkey was used.").await;
        browser.fill("email", ADA).await;
        browser.fill("password", PASSWORD).await;
        browser.submit().await;
        browser.wait_for_path("/account").await;
        assert_eq!(
            browser.driver.find_all(By::Css("p.error:not([hidden])")).await.unwrap().len(),
            0
        );
    })
    .await;
}

/// Opens every page of passkeys in each of its states, and calls `look`. The browser is logged in as somebody
/// else.
pub async fn on_every_page(site: &Site, browser: &Browser, look: impl AsyncFn(&str)) {
    let phone = plug_in(browser, "internal", true).await;
    browser.log_out().await;
    sign_up(browser, "katherine@example.org").await;
    browser.open("/account").await;
    browser.find("form[action='/account/passkeys/decline']").await;
    look("the account with the offer of a passkey").await;
    add(browser).await;
    browser.find(".codes").await;
    look("the recovery codes after a passkey").await;
    browser.open("/account/security").await;
    look("/account/security, with a passkey").await;
    open_removal(browser).await;
    look("the removal of a password").await;
    press(browser, "/account/password/remove").await;
    browser.until_shown("[role=status]", "The password was removed.").await;
    look("/account/security, without a password").await;
    for path in ["/account", "/account/password", "/account/email", "/account/delete"] {
        browser.open(path).await;
        look(&format!("{path}, without a password")).await;
    }
    browser.open("/account/security").await;
    remove(browser).await;
    browser.until_shown("[role=alert]", "This is your only way to log in.").await;
    look("the last way in").await;
    site.clock.advance(Duration::from_secs(11 * 60));
    browser.open("/account/delete").await;
    browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
    look("/reauthenticate, without a password").await;
    unplug(browser, &phone).await;
}
