//! The site in a real browser, Chromium.

mod checkers;
mod factors;
mod mail_views;
#[path = "../mails/mod.rs"]
mod mails;
mod passkeys;
mod providers;
mod refused;
#[path = "../servers/with_providers.rs"]
mod servers;
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use rocket::figment::Figment;
use rocket::futures::SinkExt;
use rocket::response::content::RawHtml;
use rocket::tokio;
use rocket::{State, get, routes};
use rocket_login::User;
use rocket_ws::{Channel, WebSocket};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{ChromeCapabilities, Key};

use providers::run_with_all;
use servers::liar::Liar;
use servers::program::{Program, built, command};
use support::{
    Browser, PASSWORD, Site, axe, in_browser, quiet, run, run_two, run_with, serve, without_scripts,
};

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
        tab_to("button[type=submit]").await;
        press(Key::Enter).await;
        browser.wait_for_path("/account").await;

        tab_to("header form button").await;
        press(Key::Enter).await;
        browser.wait_for_path("/").await;

        // "Forgot your password?" stands beside the label, and is not in the way to the field.
        browser.open("/login").await;
        write("ada@example.org").await;
        press(Key::Tab).await;
        write(PASSWORD).await;
        press(Key::Tab).await;
        browser.find(".reveal button:focus").await;
        press(Key::Tab).await;
        browser.find("a[href='/reset']:focus").await;
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
    run_with(without_scripts(), async |_, browser| {
        browser.open("/register").await;
        browser.find("input[name=password]").await;
        assert!(!browser.exists("button[type=button]").await);
        assert!(!browser.find(".strength").await.is_displayed().await.unwrap());
        assert!(browser.text().await.contains("At least 12 characters"));
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
            button.click(); button.click();
            return [button.ariaDisabled, button.ariaBusy, button.disabled]";
        assert_eq!(browser.evaluate(clicks).await, json!(["true", "true", false]));
        browser.wait_for_path("/account").await;
        assert!(browser.text().await.contains("Welcome! Your account is ready."));

        // The browser has kept the page for the back button, and its form can be sent again.
        browser.driver.back().await.unwrap();
        browser.wait_for_path("/register").await;
        assert!(!browser.exists("button[aria-disabled], button[aria-busy]").await);
    })
    .await;
}

#[rocket::async_test]
async fn a_button_is_seen_and_heard_to_be_busy_until_the_site_has_answered() {
    run(async |_, browser| {
        browser.open("/login").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", PASSWORD).await;
        // The event alone sends nothing, so the answer never comes.
        let send = "const form = document.querySelector('main form');
            const submitter = form.querySelector('button[type=submit]');
            dispatchEvent.call(form, new SubmitEvent('submit', { submitter, bubbles: true }))";
        browser.evaluate(send).await;
        let busy = browser.find("button[aria-busy]").await;
        let ring = "return getComputedStyle(document.querySelector('[aria-busy]'), '::after').borderRadius";
        assert_eq!(browser.evaluate(ring).await, "50%");
        browser.until_said("Please wait…").await;
        assert_eq!(busy.text().await.unwrap(), "Log in");

        // The connection is cut, and the person comes back.
        browser.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))").await;
        assert!(!browser.exists("button[aria-disabled], button[aria-busy]").await);
        browser.until_said("").await;
    })
    .await;
}

#[rocket::async_test]
async fn a_button_is_not_busy_for_long_if_a_download_leaves_its_page() {
    run(async |site, browser| {
        browser.register("ada@example.org").await;
        site.clock.advance(std::time::Duration::from_secs(11 * 60));
        browser.open("/account/export").await;
        browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fexport").await;
        let watch = "window.waits = [];
            const wait = setTimeout;
            window.setTimeout = (act, time, ...more) => {
                waits.push(time);
                return wait(act, time, ...more);
            }";
        browser.evaluate(watch).await;
        browser.fill("password", PASSWORD).await;
        browser.submit().await;
        browser.find("main button:not([aria-busy], .quiet)").await;
        let waits = browser.evaluate("return waits").await;
        assert!(waits.as_array().unwrap().contains(&json!(2_000)), "{waits}");
        assert_eq!(browser.path().await, "/reauthenticate?next=%2Faccount%2Fexport");
    })
    .await;
}

#[rocket::async_test]
async fn a_password_field_says_that_caps_lock_is_on() {
    run(async |_, browser| {
        browser.open("/login").await;
        let press = async |event: &str| {
            let script =
                format!("document.querySelector('[name=password]').dispatchEvent({event})");
            browser.evaluate(&script).await;
            browser.find(".note-below").await.text().await.unwrap()
        };
        assert_eq!(press("new KeyboardEvent('keydown', { key: 'a' })").await, "");
        let on = "new KeyboardEvent('keyup', { key: 'A', modifierCapsLock: true })";
        assert_eq!(press(on).await, "Caps Lock is on.");
        // As a password manager does.
        assert_eq!(press("new Event('keydown')").await, "");
        let on = "new MouseEvent('mousedown', { modifierCapsLock: true })";
        assert_eq!(press(on).await, "Caps Lock is on.");
        assert!(browser.exists(".note-below[role=status]").await);
        assert_eq!(press("new FocusEvent('blur')").await, "");
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

#[get("/greeting")]
fn greeting<'r>(user: &'r User, socket: WebSocket) -> Channel<'r> {
    socket.channel(move |mut socket| {
        Box::pin(async move { socket.send(format!("Hello, {}!", user.email).into()).await })
    })
}

#[get("/empty")]
fn empty() -> RawHtml<&'static str> {
    RawHtml("<title>Empty</title>")
}

#[rocket::async_test]
async fn a_page_opens_a_web_socket_of_its_own_site_and_of_no_other() {
    if !support::is_installed() {
        return;
    }
    let (dir, profile) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let debug = || quiet(Figment::from(rocket::Config::debug_default()));
    let figment = debug()
        .merge(("databases.login.url", format!("sqlite:{}/login.db", dir.path().display())))
        .merge(("password.memory_kib", 8));
    let rocket = rocket::custom(figment).attach(rocket_login::stage());
    let site = Site::at(serve(rocket.mount("/", routes![greeting])).await);
    // A page without any policy, on the same host: the browser sends it the same cookies.
    let elsewhere = serve(rocket::custom(debug()).mount("/", routes![empty])).await;

    in_browser(&site, profile.path(), ChromeCapabilities::new(), async |browser| {
        let greeted = async || -> String {
            let script = "const [url, done] = arguments;
                const socket = new WebSocket(url);
                socket.onmessage = event => done(event.data);
                socket.onerror = () => done('refused');";
            let url = format!("{}/greeting", site.url.replace("http", "ws"));
            let answer = browser.driver.execute_async(script, vec![json!(url)]).await.unwrap();
            answer.convert().unwrap()
        };

        browser.register("ada@example.org").await;
        assert_eq!(greeted().await, "Hello, ada@example.org!");
        browser.driver.goto(format!("{elsewhere}/empty")).await.unwrap();
        assert_eq!(greeted().await, "refused");
        browser.open("/account").await;
        browser.log_out().await;
        assert_eq!(greeted().await, "refused");
        // Discard the browser's complaints about the refusals.
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
async fn times_are_in_the_readers_own_time_and_stay_right_while_the_page_is_open() {
    run(async |site, browser| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let start = std::time::Duration::from_secs(site.clock.now() as u64);
        site.clock.advance(now - start);
        browser.register("ada@example.org").await;
        let zone = json!({ "timezoneId": "Asia/Tokyo" });
        browser.devtools("Emulation.setTimezoneOverride", zone).await;
        browser.open("/account/activity").await;
        let time = browser.find("main time").await;
        assert_eq!(time.text().await.unwrap(), "now");
        let title = time.attr("title").await.unwrap().unwrap();
        assert!(title.ends_with("GMT+9"), "{title}");

        let later = async |minutes: u32| {
            let script = format!(
                "window.real ??= Date.now;
                 Date.now = () => real() + {minutes} * 60_000;
                 document.dispatchEvent(new Event('visibilitychange'))"
            );
            browser.evaluate(&script).await;
            time.text().await.unwrap()
        };
        assert_eq!(later(3).await, "3 minutes ago");
        assert_eq!(later(60).await, "1 hour ago");
        assert_eq!(later(6 * 24 * 60).await, "6 days ago");
        // After a week it is the day where the reader is.
        let day = "return new Date(document.querySelector('main time').dateTime)
            .toLocaleDateString('en-US', { dateStyle: 'long', timeZone: 'Asia/Tokyo' })";
        assert_eq!(later(7 * 24 * 60).await, browser.evaluate(day).await.as_str().unwrap());
        // So it is if the reader's clock is behind.
        assert!(!later(0).await.contains("202"));
        let behind = "Date.now = () => real() - 120_000;
            document.dispatchEvent(new Event('visibilitychange'))";
        browser.evaluate(behind).await;
        assert_eq!(time.text().await.unwrap(), browser.evaluate(day).await.as_str().unwrap());
    })
    .await;
}

#[rocket::async_test]
async fn the_strength_meter_follows_the_typed_password() {
    run(async |_, browser| {
        browser.open("/register").await;
        browser.fill("email", "ada@example.org").await;
        let judged = async |password: &str, score: u8| {
            browser.fill("password", password).await;
            browser.find(&format!(".strength[data-score='{score}'] .hint:not(:empty)")).await;
            let script = "return [document.querySelector('.strength .hint').textContent,
                [...document.querySelectorAll('.rules li')].map(rule => rule.dataset.is).join(' '),
                [...document.querySelectorAll('.segments span')].filter(segment =>
                    getComputedStyle(segment).backgroundColor === getComputedStyle(segment).color).length]";
            browser.evaluate(script).await
        };
        let short = "Too short.";
        assert_eq!(judged("short", 0).await, json!([short, "broken open open", 0]));
        let fair = "Fair. Add another word.";
        assert_eq!(judged("correct horse", 2).await, json!([fair, "met met met", 2]));
        let common = "This password is too common, and attackers try those first. Choose another.";
        assert_eq!(judged("password1234", 0).await, json!([common, "met broken open", 0]));
        assert_eq!(judged(PASSWORD, 4).await, json!(["Strong.", "met met met", 4]));
        let own = "This password is made of your address or this site's name. Choose another.";
        assert_eq!(judged("ada@example.org", 0).await, json!([own, "met met broken", 0]));
    })
    .await;
}

#[rocket::async_test]
async fn a_screen_reader_hears_the_strength_when_the_typing_pauses() {
    run(async |_, browser| {
        browser.open("/register").await;
        let watch = "window.heard = [];
            const status = document.querySelector('.strength [role=status]');
            new MutationObserver(() => heard.push(status.textContent))
                .observe(status, { childList: true, characterData: true, subtree: true })";
        browser.evaluate(watch).await;
        // In one command, so that a busy machine makes no pause between two letters.
        browser.fill("password", PASSWORD).await;
        browser.until_said("Strong.").await;
        browser.fill("password", "short").await;
        browser.until_said("Too short.").await;
        let heard = browser.evaluate("return heard").await;
        let expected = json!(["Strong.", "Too short."]);
        assert_eq!(heard, expected);
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
        browser.find(".strength .hint:empty").await;
        assert!(!browser.exists(".rules [data-is=met], .rules [data-is=broken]").await);
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
            assert_eq!(about.unwrap(), Some(format!("{name}-hint {name}-rules")));
        };

        // At sign-up, an unchanged field keeps its error.
        browser.open("/register").await;
        browser.fill("email", "no address").await;
        browser.fill("password", "password1234").await;
        submit_anyway().await;
        browser.find("#password-error").await;
        // The error takes the place of the meter until then.
        assert!(!browser.find(".strength").await.is_displayed().await.unwrap());
        type_a_good_one("password").await;
        assert!(browser.find(".strength").await.is_displayed().await.unwrap());
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
        browser.open_mailed("/reset/").await;
        browser.fill("new_password", "password1234").await;
        submit_anyway().await;
        browser.find("#new_password-error").await;
        type_a_good_one("new_password").await;

        // If the form as a whole was wrong, a change of any field settles all of it.
        browser.log_out().await;
        browser.open("/login").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "wrong horse battery").await;
        browser.submit().await;
        browser.find("[role=alert]").await;
        assert_eq!(error_of(browser, "password").await, json!([0, 1, "true"]));
        browser.fill("password", PASSWORD).await;
        assert_eq!(error_of(browser, "password").await, is_settled);
        assert_eq!(error_of(browser, "email").await, is_settled);
        assert!(!browser.exists("[role=alert]:not([hidden])").await);
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

        browser.open_mailed("/reset/").await;
        // The page's Referrer-Policy hides its path, and its form still works.
        browser.fill("new_password", "another horse battery").await;
        browser.submit().await;
        browser.wait_for_path("/login").await;
        browser.fill("email", "ada@example.org").await;
        browser.fill("password", "another horse battery").await;
        browser.submit().await;
        browser.wait_for_path("/account").await;

        browser.open_mailed("/not-me/").await;
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

        browser.open_mailed("/verify/").await;
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
async fn on_every_page(site: &Site, browser: &Browser, liar: &Liar, look: impl AsyncFn(&str)) {
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
    refused::be_throttled(browser).await;
    look("a throttled log-in").await;

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
    browser.open("/dev/mailbox").await;
    // PostgreSQL leaves gaps between the numbers.
    let mails = browser.evaluate(
        "return [...document.querySelectorAll('a[href*=\"/dev/mailbox/\"]')]
             .map(link => link.getAttribute('href')).reverse()",
    );
    let mails: Vec<String> = serde_json::from_value(mails.await).unwrap();
    assert!(mails.len() >= 5, "{mails:?}");
    for (number, path) in mails.iter().take(5).enumerate() {
        browser.open(path).await;
        browser.find("h1").await;
        look(&format!("mail {}", number + 1)).await;
    }

    site.clock.advance(std::time::Duration::from_secs(11 * 60));
    browser.open("/account/delete").await;
    browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
    look("/reauthenticate").await;

    factors::on_every_page(site, browser, &look).await;
    passkeys::on_every_page(site, browser, &look).await;
    providers::on_every_page(site, browser, liar, &look).await;
}

/// Walks through the front end of the example `spa` at `url`, as the person `email`.
async fn walk_front_end(url: String, email: &str) {
    let (site, profile) = (Site::at(url), TempDir::new().unwrap());
    in_browser(&site, profile.path(), ChromeCapabilities::new(), async |browser| {
        let form = |path: &str| format!("form[data-path='/auth/{path}']");
        let send = async |path: &str, fields: &[(&str, &str)]| {
            for (name, value) in fields {
                let input = browser.find(&format!("{} input[name={name}]", form(path))).await;
                input.clear().await.unwrap();
                input.send_keys(*value).await.unwrap();
            }
            browser.find(&format!("{} button:enabled", form(path))).await.click().await.unwrap();
        };
        let error_at = async |path: &str, name: &str| {
            let input = format!("{} input[name={name}][aria-invalid=true]", form(path));
            let place = browser.find(&input).await.attr("aria-describedby").await.unwrap();
            let place = browser.find(&format!("[id='{}']", place.unwrap())).await;
            place.text().await.unwrap()
        };
        let said = async |text: &str| {
            for _ in 0..1_000 {
                if browser.find("#message").await.text().await.unwrap() == text {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            panic!("not said: {text}\n{}", browser.text().await);
        };

        browser.open("/").await;
        browser.find("#strangers:not([hidden])").await;
        send("register", &[("email", email), ("password", "short")]).await;
        assert_eq!(error_at("register", "password").await, "Use at least 12 characters.");
        send("register", &[("email", email), ("password", PASSWORD)]).await;
        said("Your account is ready.").await;
        browser.find("#users:not([hidden])").await;
        assert!(browser.text().await.contains(email));

        browser.open("/").await;
        browser.find("#users:not([hidden])").await;
        let new = "another horse battery";
        let path = "account/password";
        send(path, &[("current_password", "wrong"), ("new_password", new)]).await;
        assert_eq!(error_at(path, "current_password").await, "That is not right.");
        send(path, &[("current_password", PASSWORD), ("new_password", new)]).await;
        said("Your password is changed.").await;
        send("logout", &[]).await;
        said("You are logged out.").await;

        browser.find("#strangers:not([hidden])").await;
        browser
            .find(&format!("{} input[name=remember]", form("login")))
            .await
            .click()
            .await
            .unwrap();
        send("login", &[("email", email), ("password", PASSWORD)]).await;
        let alert = format!("{} [role=alert]:not(:empty)", form("login"));
        assert_eq!(browser.find(&alert).await.text().await.unwrap(), "That is not right.");
        send("login", &[("email", email), ("password", new)]).await;
        said("You are logged in.").await;
        browser.find("#users:not([hidden])").await;
    })
    .await;
}

#[rocket::async_test]
async fn a_front_end_speaks_json_from_the_sites_origin_and_from_another() {
    if !support::is_installed() {
        return;
    }
    let (dir, port) = (TempDir::new().unwrap(), servers::free_port());
    let other = format!("http://localhost:{port}");
    let trusted = format!("{{trusted_origins=[\"{other}\"]}}");
    let site = Program::start(command(built("spa"), &dir), &[("ROCKET_SITE", &trusted)]);
    let url = format!("http://localhost:{}", site.port());
    walk_front_end(url.clone(), "ada@example.org").await;

    let mut front_end = command(built("spa"), &dir);
    front_end.arg(&url);
    let _front_end = Program::start(front_end, &[("ROCKET_PORT", &port.to_string())]);
    walk_front_end(other, "bob@example.org").await;
}

#[rocket::async_test]
async fn the_browser_takes_the_manifest_and_shows_the_icon() {
    run(async |_, browser| {
        browser.open("/login").await;
        let manifest = browser.devtools("Page.getAppManifest", json!({})).await;
        assert!(manifest["url"].as_str().unwrap().ends_with("/manifest.webmanifest"), "{manifest}");
        assert_eq!(manifest["errors"], json!([]), "{manifest}");
        assert!(manifest["data"].as_str().unwrap().contains("/static/touch-icon.png?v="));
        let width = "return document.querySelector('.brand img').naturalWidth";
        assert!(browser.evaluate(width).await.as_u64().unwrap() > 0);
        browser.assert_no_complaint().await;
    })
    .await;
}

/// Asserts that no page is wider than a window of `width` pixels, in both text directions.
async fn assert_fits(width: u32, is_phone: bool) {
    run_with_all(async |site, browser, liar| {
        let screen =
            json!({ "width": width, "height": 640, "deviceScaleFactor": 2, "mobile": is_phone });
        browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        on_every_page(site, browser, liar, async |what| {
            for direction in ["rtl", "ltr"] {
                let script = format!(
                    "document.documentElement.dir = '{direction}';
                     const page = document.documentElement;
                     return [page.scrollWidth - page.clientWidth, innerWidth]"
                );
                let size = browser.evaluate(&script).await;
                assert_eq!(size, json!([0, width]), "{what}, {direction}");
                // Bar, page and foot begin on one line. A mail has no frame.
                let edges = browser.evaluate(
                    "const edge = css => {
                         const box = document.querySelector(css).getBoundingClientRect();
                         return Math.round(document.dir === 'rtl' ? box.right : box.left);
                     };
                     const frame = ['.brand', 'main > *', '.foot a'];
                     return document.querySelector('.bar') && frame.map(edge)",
                );
                let edges = edges.await;
                let is_aligned = edges[0] == edges[1] && edges[1] == edges[2];
                assert!(is_aligned, "{what}, {direction}: {edges}");
                assert_eq!(edges.is_null(), what.starts_with("mail "), "{what}");
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

#[rocket::async_test]
async fn a_page_is_printed_dark_on_white_and_without_what_can_be_pressed() {
    run(async |_, browser| {
        browser.register("ada@example.org").await;
        let dark = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
        for path in ["/account", "/account/sessions", "/account/password", "/logout"] {
            browser.open(path).await;
            let look = "const shown = [...document.querySelectorAll('button, .button')].filter(e => e.checkVisibility());
                return [shown.length > 0, getComputedStyle(document.body).color]";
            for (media, expected) in [
                ("screen", json!([true, "rgb(233, 237, 243)"])),
                ("print", json!([false, "rgb(28, 36, 48)"])),
            ] {
                let emulated = json!({ "media": media, "features": dark });
                browser.devtools("Emulation.setEmulatedMedia", emulated).await;
                assert_eq!(browser.evaluate(look).await, expected, "{path}, {media}");
            }
        }
    })
    .await;
}

/// Returns the actions of the forms that ask for a password and do not say whose it is, which
/// password managers need.
const FORMS_WITHOUT_A_NAME: &str = "return [...document.forms]
    .filter(form => form.querySelector('[type=password]') && !form.querySelector('[autocomplete~=username]'))
    .map(form => form.action)";

async fn assert_accessible(scheme: &str) {
    let Some(axe) = axe() else { return };
    run_with_all(async |site, browser, liar| {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        on_every_page(site, browser, liar, async |what| {
            let dark = browser.evaluate("return matchMedia('(prefers-color-scheme: dark)').matches");
            assert_eq!(dark.await, scheme == "dark");
            let script = format!("{axe}; const done = arguments[0]; axe.run({{ rules: {{ 'color-contrast-enhanced': {{ enabled: true }} }} }}).then(r => done(r.violations
                .map(v => [v.id, v.help, ...v.nodes.map(n => n.html + n.failureSummary)])), e => done([String(e)]))");
            let found = browser.driver.execute_async(script, vec![]).await.unwrap();
            assert_eq!(*found.json(), Value::Array(vec![]), "{what}");
            let nameless = browser.evaluate(FORMS_WITHOUT_A_NAME).await;
            assert_eq!(nameless, Value::Array(vec![]), "{what}: whose password is it?");
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
    for (name, width, scheme, direction) in [
        ("light", 1000, "light", "ltr"),
        ("dark", 1000, "dark", "ltr"),
        ("phone", 320, "light", "ltr"),
        ("rtl", 1000, "light", "rtl"),
        ("rtl phone", 320, "dark", "rtl"),
    ] {
        run_with_all(async |site, browser, liar| {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", media).await;
            let screen = json!({ "width": width, "height": 720, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
            std::fs::create_dir_all("target/pictures").unwrap();
            on_every_page(site, browser, liar, async |what| {
                browser.evaluate(&format!("document.documentElement.dir = '{direction}'")).await;
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
    // The pages and mails of two instances are the same, so checking them once is enough.
    for checked_once in ["axe_finds", "every_page_fits", "every_mail_fits"] {
        suite.args(["--skip", checked_once]);
    }
    let done = servers::Running::output(suite, "");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let passed = said.split("test result: ok. ").nth(1).and_then(|said| said.split(' ').next());
    let passed: usize = passed.and_then(|number| number.parse().ok()).unwrap_or(0);
    assert!(passed >= 10, "{said}");
}
