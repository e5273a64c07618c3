//! The site in a real browser, Chromium.

#[path = "../servers/mod.rs"]
mod servers;
mod support;

use rocket::figment::Figment;
use rocket::response::content::RawHtml;
use rocket::{State, get, routes};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, Key};

use support::{Browser, PASSWORD, Site, axe, in_browser, quiet, run, run_two, run_with, serve};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

#[rocket::async_test]
async fn a_person_signs_up_logs_out_and_logs_in() {
    run(async |_, browser| {
        browser.open("/").await;
        browser.find("a[href='/register']").await.click().await.unwrap();
        browser.wait_for_path("/register").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", PASSWORD).await;
        browser.submit().await;
        browser.wait_for_path("/account").await;
        let text = browser.text().await;
        assert!(text.contains("ada@example.org") && text.contains("1 January 2026"), "{text}");

        browser.log_out().await;
        assert!(browser.text().await.contains("You are logged out."));
        assert!(!browser.is_logged_in().await);

        browser.log_in("ada@example.org").await;
        assert!(browser.text().await.contains("You are logged in."));
    })
    .await;
}

#[rocket::async_test]
async fn a_wrong_password_keeps_the_address_and_can_be_corrected() {
    run(async |_, browser| {
        browser.register("ada@example.org").await;
        browser.log_out().await;
        browser.open("/login?next=%2Faccount%3Ftab%3D1").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "wrong horse battery").await;
        browser.submit().await;
        let alert = browser.find("[role=alert]").await.text().await.unwrap();
        assert_eq!(alert, "Wrong email address or password.");
        assert!(browser.driver.title().await.unwrap().starts_with("Error: "));
        let email = browser.find("input[name=email]").await.value().await.unwrap();
        assert_eq!(email.as_deref(), Some("ada@example.org"));
        let password = browser.find("input[name=password]").await;
        assert_eq!(password.value().await.unwrap().as_deref(), Some(""));

        // The password has the focus, so the user can type at once.
        let focused = browser.driver.active_element().await.unwrap();
        assert_eq!(focused.attr("name").await.unwrap().as_deref(), Some("password"));
        focused.send_keys(PASSWORD).await.unwrap();
        browser.submit().await;
        browser.wait_for_path("/account?tab=1").await;
    })
    .await;
}

#[rocket::async_test]
async fn the_back_button_after_log_out_shows_nothing_private() {
    run(async |_, browser| {
        browser.register("ada@example.org").await;
        browser.open("/").await;
        browser.open("/account").await;
        browser.log_out().await;
        for _ in 0..3 {
            browser.driver.back().await.unwrap();
            let text = browser.text().await;
            assert!(!text.contains("ada@"), "{} {text}", browser.path().await);
        }
    })
    .await;
}

#[rocket::async_test]
async fn only_a_remembered_user_is_still_logged_in_after_the_browser_restarts() {
    run(async |site, browser| {
        browser.register("ada@example.org").await;
        for (remember, comes_back) in [(true, true), (false, false)] {
            let profile = TempDir::new().unwrap();
            in_browser(site, profile.path(), ChromeCapabilities::new(), async |browser| {
                browser.open("/login").await;
                browser.fill("email", "ada@example.org").await;
                browser.fill("password", PASSWORD).await;
                if remember {
                    browser.find("input[name=remember]").await.click().await.unwrap();
                }
                browser.submit().await;
                browser.wait_for_path("/account").await;
            })
            .await;

            site.clock.advance(DAY - std::time::Duration::from_secs(60));
            in_browser(site, profile.path(), ChromeCapabilities::new(), async |browser| {
                assert_eq!(browser.is_logged_in().await, comes_back, "remember: {remember}");
            })
            .await;
        }
    })
    .await;
}

#[rocket::async_test]
async fn the_site_can_be_used_with_the_keyboard_alone() {
    run(async |_, browser| {
        let press = async |key: Key| {
            browser.driver.action_chain().send_keys(key).perform().await.unwrap();
        };
        let write = async |text: &str| {
            browser.driver.action_chain().send_keys(text).perform().await.unwrap();
        };
        let tab_to = async |css: &str| {
            for _ in 0..20 {
                press(Key::Tab).await;
                if browser.exists(&format!("{css}:focus")).await {
                    // The focused element has a visible outline.
                    let outline = browser
                        .evaluate("return getComputedStyle(document.activeElement).outlineStyle");
                    assert_eq!(outline.await, "solid", "{css}");
                    return;
                }
            }
            panic!("{css} cannot be reached");
        };

        browser.open("/").await;
        tab_to(".skip").await;
        tab_to("a[href='/register']").await;
        press(Key::Enter).await;
        browser.wait_for_path("/register").await;

        // The first field has the focus.
        write("ada@example.org").await;
        press(Key::Tab).await;
        write(PASSWORD).await;
        press(Key::Tab).await;
        press(Key::Space).await;
        browser.find("input[name=password][type=text]").await;
        press(Key::Space).await;
        browser.find("input[name=password][type=password]").await;
        press(Key::Tab).await;
        press(Key::Enter).await;
        browser.wait_for_path("/account").await;

        tab_to("header form button").await;
        press(Key::Enter).await;
        browser.wait_for_path("/").await;

        browser.open("/login").await;
        write("ada@example.org").await;
        press(Key::Tab).await;
        write(PASSWORD).await;
        tab_to("input[name=remember]").await;
        press(Key::Space).await;
        browser.find("input[name=remember]:checked").await;
        press(Key::Enter).await;
        browser.wait_for_path("/account").await;
    })
    .await;
}

#[rocket::async_test]
async fn the_site_works_without_javascript_and_hides_what_needs_it() {
    let mut caps = ChromeCapabilities::new();
    let preferences = json!({ "profile.managed_default_content_settings.javascript": 2 });
    caps.add_experimental_option("prefs", preferences).unwrap();
    run_with(caps, async |_, browser| {
        browser.open("/register").await;
        browser.find("input[name=password]").await;
        assert!(!browser.exists("button[type=button]").await);
        browser.register("ada@example.org").await;
        browser.log_out().await;
        browser.log_in("ada@example.org").await;
        browser.open("/logout").await;
        browser.submit().await;
        browser.wait_for_path("/").await;
        assert!(!browser.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn the_password_can_be_shown_and_is_hidden_again_on_submit() {
    run(async |_, browser| {
        browser.open("/register").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", PASSWORD).await;
        let button = browser.find(".reveal button").await;
        assert_eq!(button.attr("aria-label").await.unwrap().as_deref(), Some("Show password"));
        button.click().await.unwrap();
        let shown = browser.find("input[name=password][type=text]").await;
        assert_eq!(button.attr("aria-label").await.unwrap().as_deref(), Some("Hide password"));
        // Otherwise the browser would correct the text field and send it to a spelling service.
        for (name, off) in
            [("autocapitalize", "none"), ("autocorrect", "off"), ("spellcheck", "false")]
        {
            assert_eq!(shown.attr(name).await.unwrap().as_deref(), Some(off), "{name}");
        }

        // The field is hidden again by the time of the `submit` event.
        browser.evaluate("document.forms[0].addEventListener('submit', (e) => {
            e.preventDefault(); document.title = document.querySelector('[name=password]').type; })").await;
        browser.submit().await;
        assert_eq!(browser.driver.title().await.unwrap(), "password");
    })
    .await;
}

#[rocket::async_test]
async fn a_double_click_sends_a_form_once() {
    run(async |_, browser| {
        browser.open("/register").await;
        browser.fill("email", "ada@example.org").await;
        // A form that the browser itself refuses is not being sent.
        browser.fill("password", "short").await;
        browser.submit().await;
        assert!(!browser.exists("button[aria-disabled]").await);

        browser.fill("password", PASSWORD).await;
        // The test's listener cancels the first submit, so the form may be sent again.
        let clicks = "let held = 0;
            addEventListener('submit', (e) => { held += e.defaultPrevented; e.preventDefault(); });
            const button = document.querySelector('.card button[type=submit]');
            for (let i = 0; i < 3; i++) button.click();
            return held;";
        assert_eq!(browser.evaluate(clicks).await, 2);
        assert!(!browser.exists("button[aria-disabled]").await);

        browser.open("/register").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", PASSWORD).await;
        let clicks = "const button = document.querySelector('.card button[type=submit]');
            button.click(); button.click();";
        browser.evaluate(clicks).await;
        browser.wait_for_path("/account").await;
        assert!(browser.text().await.contains("Welcome! Your account is ready."));

        // The browser has kept the page for the back button, and its form can be sent again.
        browser.driver.back().await.unwrap();
        browser.wait_for_path("/register").await;
        assert!(!browser.exists("button[aria-disabled]").await);
    })
    .await;
}

/// An attacker's page on another port, which is another origin on the same site.
#[get("/<page>")]
fn attack(page: &str, site: &State<String>) -> RawHtml<String> {
    let fields = "<input name=email value=eve@example.org>\
         <input name=password value='correct horse battery'>";
    RawHtml(format!(
        "<form action='{}/{page}' method=post>{fields}<button>Win a prize</button></form>",
        site.inner()
    ))
}

#[rocket::async_test]
async fn a_form_on_another_port_can_neither_log_in_nor_out() {
    run(async |site, browser| {
        browser.register("eve@example.org").await;
        browser.log_out().await;
        let elsewhere = rocket::custom(quiet(Figment::from(rocket::Config::debug_default())));
        let elsewhere = serve(elsewhere.manage(site.url.clone()).mount("/", routes![attack])).await;
        let attack = async |page: &str| {
            browser.driver.goto(format!("{elsewhere}/{page}")).await.unwrap();
            browser.find("button").await.click().await.unwrap();
            browser.wait_for_path(&format!("/{page}")).await;
            let text = browser.text().await;
            assert!(text.contains("The request came from another site"), "{text}");
        };

        attack("login").await;
        assert!(!browser.is_logged_in().await);
        browser.register("ada@example.org").await;
        attack("logout").await;
        attack("login").await;
        attack("register").await;
        assert!(browser.is_logged_in().await);
        assert!(browser.text().await.contains("ada@example.org"));
        // Discard the browser's complaints about the attacker's page.
        browser.driver.browser_log().await.unwrap();
    })
    .await;
}

#[rocket::async_test]
async fn logging_out_in_one_browser_does_not_log_the_other_one_out() {
    run_two(async |one, other| {
        one.log_out().await;
        assert!(other.is_logged_in().await);
        assert!(!one.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn the_strength_meter_follows_the_typed_password() {
    run(async |_, browser| {
        browser.open("/register").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "password1234").await;
        let weak = browser.find(".strength[data-score='0']").await;
        assert!(weak.text().await.unwrap().contains("too common"));
        browser.fill("password", "correct horse battery staple").await;
        let strong = browser.find(".strength[data-score='4']").await;
        assert_eq!(strong.text().await.unwrap(), "Strong.");
    })
    .await;
}

#[rocket::async_test]
async fn the_strength_meter_follows_the_address_and_shows_no_outdated_result() {
    run(async |_, browser| {
        browser.open("/register").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "correct.horse.battery").await;
        browser.find(".strength[data-score='4']").await;
        browser.fill("email", "correct.horse.battery@example.org").await;
        browser.find(".strength[data-score='0']").await;
        browser.fill("email", "ada@example.org").await;
        browser.find(".strength[data-score='4']").await;

        // The site does not answer for this password.
        browser.evaluate("window.fetch = async () => new Response('', { status: 503 })").await;
        browser.fill("password", "short").await;
        browser.find(".strength:empty").await;
    })
    .await;
}

/// Returns the number of errors shown at a field, the number that a screen reader reads, and
/// `aria-invalid`.
async fn error_of(browser: &Browser, name: &str) -> Value {
    let field = format!("document.querySelector('[name={name}]')");
    browser
        .evaluate(&format!(
            "const field = {field};
             const heard = (field.getAttribute('aria-describedby') || '').split(' ')
                 .map(id => document.getElementById(id)).filter(e => e && e.matches('.error, .alert'));
             return [field.closest('.field').querySelectorAll('.error').length, heard.length,
                     field.getAttribute('aria-invalid')]"
        ))
        .await
}

#[rocket::async_test]
async fn an_error_disappears_when_its_field_is_changed() {
    run(async |_, browser| {
        let is_wrong = json!([1, 1, "true"]);
        let is_settled = json!([0, 0, null]);
        // Otherwise the browser itself would refuse some of the forms.
        let submit_anyway = async || {
            browser.evaluate("document.querySelector('main form').noValidate = true").await;
            browser.submit().await;
        };
        let type_a_good_one = async |name: &str| {
            assert_eq!(error_of(browser, name).await, is_wrong, "{name}");
            browser.fill(name, "correct horse battery staple").await;
            browser.find(".strength[data-score='4']").await;
            assert_eq!(error_of(browser, name).await, is_settled, "{name}");
            // A screen reader still reads the hint.
            let about =
                browser.find(&format!("[name={name}]")).await.attr("aria-describedby").await;
            assert_eq!(about.unwrap(), Some(format!("{name}-hint")));
        };

        // At sign-up, an unchanged field keeps its error.
        browser.open("/register").await;
        browser.fill("email", "no address").await;
        browser.fill("password", "password1234").await;
        submit_anyway().await;
        browser.find("#password-error").await;
        type_a_good_one("password").await;
        assert_eq!(error_of(browser, "email").await, is_wrong);
        browser.fill("email", "ada@example.org").await;
        assert_eq!(error_of(browser, "email").await, is_settled);

        // A password that is wrong because of the address, and then another address.
        browser.open("/register").await;
        browser.fill("email", "correct.horse.battery@example.org").await;
        browser.fill("password", "correct.horse.battery").await;
        submit_anyway().await;
        browser.find("#password-error").await;
        browser.fill("email", "ada@example.org").await;
        assert_eq!(error_of(browser, "password").await, is_settled);

        browser.register("ada@example.org").await;
        browser.open("/account/password").await;
        browser.fill("current_password", "wrong horse battery").await;
        browser.fill("new_password", "password1234").await;
        submit_anyway().await;
        browser.find("#new_password-error").await;
        type_a_good_one("new_password").await;

        browser.open("/reset").await;
        browser.fill("email", "ada@example.org").await;
        browser.submit().await;
        browser.find("a[href='/reset']").await;
        browser.open("/dev/mailbox").await;
        browser.find("a[href^='/reset/']").await.click().await.unwrap();
        browser.fill("new_password", "password1234").await;
        submit_anyway().await;
        browser.find("#new_password-error").await;
        type_a_good_one("new_password").await;

        // If the form as a whole was wrong, its message stays.
        browser.log_out().await;
        browser.open("/login").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "wrong horse battery").await;
        browser.submit().await;
        browser.find("[role=alert]").await;
        assert_eq!(error_of(browser, "password").await, json!([0, 1, "true"]));
        browser.fill("password", PASSWORD).await;
        assert_eq!(error_of(browser, "password").await, is_settled);
        assert_eq!(error_of(browser, "email").await, json!([0, 1, "true"]));
        assert!(browser.exists("[role=alert]").await);
    })
    .await;
}

#[rocket::async_test]
async fn a_changed_password_logs_the_other_browser_out_at_its_next_click() {
    run_two(async |browser, other| {
        browser.open("/account").await;
        browser.find("a[href='/account/password']").await.click().await.unwrap();
        browser.fill("current_password", PASSWORD).await;
        browser.fill("new_password", "another horse battery").await;
        browser.submit().await;
        browser.wait_for_path("/account").await;

        other.find("a[href='/account/activity']").await.click().await.unwrap();
        other.wait_for_path("/login?next=%2Faccount%2Factivity").await;
        assert!(browser.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn a_device_can_be_logged_out_on_the_devices_page() {
    run_two(async |browser, other| {
        browser.open("/account").await;
        browser.find("a[href='/account/sessions']").await.click().await.unwrap();
        browser.wait_for_path("/account/sessions").await;
        let text = browser.text().await;
        assert!(text.contains("this device") && text.contains("Chrome on Linux"), "{text}");
        browser.find("form[action$='/revoke'] button").await.click().await.unwrap();
        browser.find(".message").await;
        assert!(!browser.exists("form[action$='/revoke']").await);

        assert!(!other.is_logged_in().await);
        assert!(browser.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn a_forgotten_password_can_be_reset_by_mail() {
    run(async |_, browser| {
        browser.register("ada@example.org").await;
        browser.log_out().await;
        browser.open("/login").await;
        browser.find("a[href='/reset']").await.click().await.unwrap();
        browser.fill("email", "ada@example.org").await;
        browser.submit().await;
        browser.find("a[href='/reset']").await;

        browser.open("/dev/mailbox").await;
        browser.find("a[href^='/reset/']").await.click().await.unwrap();
        // The page's Referrer-Policy hides its path, and its form still works.
        browser.fill("new_password", "another horse battery").await;
        browser.submit().await;
        browser.wait_for_path("/login").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "another horse battery").await;
        browser.submit().await;
        browser.wait_for_path("/account").await;

        browser.open("/dev/mailbox").await;
        browser.find("a[href^='/not-me/']").await.click().await.unwrap();
        browser.find("form[action^='/not-me/'] button").await.click().await.unwrap();
        browser.wait_for_path("/login").await;
        assert!(!browser.is_logged_in().await);
    })
    .await;
}

#[rocket::async_test]
async fn changing_the_address_and_deleting_the_account_work_in_a_browser() {
    run(async |site, browser| {
        browser.register("ada@example.org").await;
        browser.open("/account/email").await;
        browser.fill("email", "lovelace@example.org").await;
        browser.fill("current_password", PASSWORD).await;
        browser.submit().await;
        browser.wait_for_path("/account").await;
        assert!(browser.text().await.contains("emailed a link to lovelace@example.org"));

        browser.open("/dev/mailbox").await;
        browser.find("a[href^='/verify/']").await.click().await.unwrap();
        browser.submit().await;
        browser.wait_for_path("/account").await;
        assert!(browser.text().await.contains("lovelace@example.org"));

        site.clock.advance(std::time::Duration::from_secs(11 * 60));
        browser.find("a[href='/account/delete']").await.click().await.unwrap();
        browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
        browser.fill("password", PASSWORD).await;
        browser.submit().await;
        browser.wait_for_path("/account/delete").await;
        browser.fill("current_password", PASSWORD).await;
        browser.submit().await;
        browser.wait_for_path("/").await;
        assert!(!browser.is_logged_in().await);
    })
    .await;
}

/// Opens every page in each of its states, and calls `look`.
async fn on_every_page(site: &Site, browser: &Browser, look: impl AsyncFn(&str)) {
    let long =
        format!("{}@{}.example.org", "ada-lovelace-".repeat(4), "a-long-department-name".repeat(2));
    for path in [
        "/",
        "/register",
        "/login",
        "/login?next=%2Faccount",
        "/logout",
        "/nowhere",
        "/.refused/cross-site",
    ] {
        browser.open(path).await;
        look(path).await;
    }

    browser.open("/login").await;
    browser.fill("email", &long).await;
    browser.fill("password", PASSWORD).await;
    browser.submit().await;
    browser.find("[role=alert]").await;
    look("a refused log-in").await;

    browser.open("/register").await;
    browser.evaluate("document.forms[0].noValidate = true").await;
    browser.fill("email", "no address").await;
    browser.submit().await;
    browser.find("#password-error").await;
    look("a refused sign-up").await;

    browser.register(&long).await;
    look("the account with its message").await;
    for path in [
        "/",
        "/account",
        "/login",
        "/register",
        "/logout",
        "/account/password",
        "/account/email",
        "/account/notices",
        "/account/delete",
    ] {
        browser.open(path).await;
        look(&format!("{path}, logged in")).await;
    }

    browser.open("/account/password").await;
    browser.evaluate("document.querySelector('main form').noValidate = true").await;
    browser.submit().await;
    browser.find("#new_password-error").await;
    look("a refused password").await;

    // Log in from another device, so that there are two devices and a notice.
    site.log_in(&long, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1").await;
    for path in ["/account/sessions", "/account/activity"] {
        browser.open(path).await;
        look(path).await;
    }

    browser.open("/account/email").await;
    browser.fill("email", "lovelace@example.org").await;
    browser.fill("current_password", PASSWORD).await;
    browser.submit().await;
    browser.wait_for_path("/account").await;
    look("the account while its address changes").await;

    browser.open("/reset").await;
    look("/reset").await;
    browser.fill("email", &long).await;
    browser.submit().await;
    browser.find("a[href='/reset']").await;
    look("the reset is on its way").await;

    browser.open("/dev/mailbox").await;
    look("/dev/mailbox").await;
    for start in ["/verify/", "/reset/", "/not-me/"] {
        browser.open("/dev/mailbox").await;
        browser.find(&format!("a[href^='{start}']")).await.click().await.unwrap();
        browser.find("main form").await;
        look(&format!("{start} a link")).await;
    }
    for path in ["/reset/x", "/verify/x", "/not-me/x", "/register/sent"] {
        browser.open(path).await;
        look(path).await;
    }
    for id in 1..=5 {
        browser.open(&format!("/dev/mailbox/{id}")).await;
        browser.find("h1").await;
        look(&format!("mail {id}")).await;
    }

    site.clock.advance(std::time::Duration::from_secs(11 * 60));
    browser.open("/account/delete").await;
    browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
    look("/reauthenticate").await;
}

/// Asserts that no page is wider than a window of `width` pixels, in both text directions.
async fn assert_fits(width: u32, is_phone: bool) {
    run(async |site, browser| {
        let screen =
            json!({ "width": width, "height": 640, "deviceScaleFactor": 2, "mobile": is_phone });
        browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        on_every_page(site, browser, async |what| {
            for direction in ["rtl", "ltr"] {
                let script = format!(
                    "document.documentElement.dir = '{direction}';
                     const page = document.documentElement;
                     return [page.scrollWidth - page.clientWidth, innerWidth]"
                );
                let size = browser.evaluate(&script).await;
                assert_eq!(size, json!([0, width]), "{what}, {direction}");
                // "Show" is at the end of its field and covers no text.
                let misplaced = browser.evaluate(
                    "return [...document.querySelectorAll('.reveal')].filter(row => {
                         const field = row.querySelector('input').getBoundingClientRect();
                         const button = row.querySelector('button').getBoundingClientRect();
                         const room = getComputedStyle(row.querySelector('input')).paddingInlineEnd;
                         const gap = document.dir === 'rtl' ? button.left - field.left
                             : field.right - button.right;
                         return Math.abs(gap) > 1 || parseFloat(room) < button.width;
                     }).map(row => row.outerHTML)",
                );
                assert_eq!(misplaced.await, json!([]), "{what}, {direction}");
            }

            // A target is at least 24 pixels wide and high (WCAG 2.2, 2.5.8). We do not use
            // the exemption for links in a sentence.
            let small = browser.evaluate(
                "return [...document.querySelectorAll('a:not(.skip), button, input:not([type=hidden])')]
                     .filter(e => { const r = e.getBoundingClientRect(); return r.height < 24 || r.width < 24; })
                     .map(e => e.outerHTML)",
            );
            assert_eq!(small.await, json!([]), "{what}");
        })
        .await;
    })
    .await;
}

#[rocket::async_test]
async fn every_page_fits_320_pixels_in_both_directions() {
    assert_fits(320, true).await;
}

#[rocket::async_test]
async fn every_page_fits_a_desktop_in_both_directions() {
    assert_fits(1280, false).await;
}

async fn assert_accessible(scheme: &str) {
    let Some(axe) = axe() else { return };
    run(async |site, browser| {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        on_every_page(site, browser, async |what| {
            let dark = browser.evaluate("return matchMedia('(prefers-color-scheme: dark)').matches");
            assert_eq!(dark.await, scheme == "dark");
            let script = format!("{axe}; const done = arguments[0]; axe.run().then(r => done(r.violations
                .map(v => [v.id, v.help, ...v.nodes.map(n => n.html + n.failureSummary)])), e => done([String(e)]))");
            let found = browser.driver.execute_async(script, vec![]).await.unwrap();
            assert_eq!(*found.json(), Value::Array(vec![]), "{what}");
        })
        .await;
    })
    .await;
}

#[rocket::async_test]
async fn axe_finds_no_violation_in_light_mode() {
    assert_accessible("light").await;
}

#[rocket::async_test]
async fn axe_finds_no_violation_in_dark_mode() {
    assert_accessible("dark").await;
}

/// Not a test: takes pictures of every page and state for a person to look at.
#[rocket::async_test]
#[ignore = "writes pictures to target/pictures: `just pictures`"]
async fn pictures() {
    for (name, width, scheme) in
        [("light", 1000, "light"), ("dark", 1000, "dark"), ("phone", 320, "light")]
    {
        run(async |site, browser| {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", media).await;
            let screen = json!({ "width": width, "height": 720, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
            std::fs::create_dir_all("target/pictures").unwrap();
            on_every_page(site, browser, async |what| {
                let what: String = what.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
                let file = format!("target/pictures/{name} {what}.png");
                browser.driver.screenshot(std::path::Path::new(&file)).await.unwrap();
            })
            .await;
        })
        .await;
    }
}

#[test]
fn all_browser_tests_pass_on_two_instances_behind_a_balancer() {
    let is_nested = std::env::var_os("TEST_POSTGRES").is_some();
    if is_nested || !support::is_installed() || !servers::is_installed_with("nginx") {
        return;
    }

    let cluster = servers::Cluster::start();
    let mut suite = servers::clean(std::env::current_exe().unwrap());
    suite.env("TEST_POSTGRES", cluster.socket()).arg("--test-threads=1");
    let done = servers::Running::output(suite, "");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let passed = said.split("test result: ok. ").nth(1).and_then(|said| said.split(' ').next());
    let passed: usize = passed.and_then(|number| number.parse().ok()).unwrap_or(0);
    assert!(passed >= 10, "{said}");
}
