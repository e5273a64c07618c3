//! Second factors in a browser: an app for codes, and recovery codes.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use flate2::read::ZlibDecoder;
use rocket::figment::Figment;
use rocket::tokio::time;
use rocket_login::testing::app_code;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::By;

use crate::support::{Browser, PASSWORD, Site, run, run_configured, run_with, without_scripts};

const ADA: &str = "ada@example.org";

/// The app on somebody's phone, and the recovery codes on paper.
pub struct Phone {
    key: String,
    codes: Vec<String>,
}

impl Phone {
    /// Types the code that the app shows next. Each code works once.
    async fn type_code(&self, site: &Site, browser: &Browser) {
        site.clock.advance(Duration::from_secs(30));
        browser.fill("code", &app_code(&self.key, site.clock.now())).await;
    }
}

/// Signs up as `email`, and confirms the address through the link in the mailbox.
pub async fn sign_up(browser: &Browser, email: &str) {
    browser.register(email).await;
    browser.open_mailed("/verify/").await;
    browser.submit().await;
    browser.wait_for_path("/account").await;
}

/// Adds an app by the key that the page shows as text. The page then shows recovery codes.
pub async fn add_app(site: &Site, browser: &Browser) -> Phone {
    browser.open("/account/security").await;
    browser.find("main a[href='/account/app']").await.click().await.unwrap();
    browser.wait_for_path("/account/app").await;
    let key = browser.find(".key code").await.text().await.unwrap();
    let phone = Phone { key, codes: Vec::new() };
    phone.type_code(site, browser).await;
    browser.submit().await;
    Phone { codes: codes(browser).await, ..phone }
}

/// Returns the recovery codes that the page shows.
async fn codes(browser: &Browser) -> Vec<String> {
    browser.find(".codes").await;
    let mut codes = Vec::new();
    for code in browser.driver.find_all(By::Css(".codes code")).await.unwrap() {
        codes.push(code.text().await.unwrap());
    }
    assert_eq!(codes.len(), 10, "{codes:?}");
    codes
}

/// Gives the password of `email`, which leads to the second step.
pub async fn begin_log_in(browser: &Browser, email: &str) {
    browser.open("/login").await;
    browser.fill("email", email).await;
    browser.fill("password", PASSWORD).await;
    browser.submit().await;
    browser.wait_for_path("/login/factor").await;
}

/// Opens the page that asks for a recovery code, from the one that asks for the app's.
async fn use_recovery_code(browser: &Browser) {
    let link = browser.find("main a[href*='recovery=true']").await;
    assert_eq!(link.text().await.unwrap(), "Use a recovery code");
    link.click().await.unwrap();
    browser.wait_for_path("/login/factor?recovery=true").await;
}

/// Types a wrong code, and sends the form.
async fn be_refused(browser: &Browser) {
    browser.fill("code", "000000").await;
    browser.submit().await;
    browser.find("#code-error").await;
}

/// Shows the pages on `media` of `width` pixels, each of which has `scale` pixels of the screen.
async fn show_on(browser: &Browser, media: Value, width: u32, scale: u32) {
    browser.devtools("Emulation.setEmulatedMedia", media).await;
    let is_phone = width < 500;
    let screen = json!({
        "width": width, "height": 720, "deviceScaleFactor": scale, "mobile": is_phone
    });
    browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
}

/// Lets the browser save files in `folder`.
async fn save_in(browser: &Browser, folder: &Path) {
    let to = json!({ "behavior": "allow", "downloadPath": folder });
    browser.devtools("Browser.setDownloadBehavior", to).await;
}

/// Returns the name and the text of the file that the browser saves in `folder`.
async fn saved(folder: &Path) -> (String, String) {
    for _ in 0..1_000 {
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|end| end == "txt") {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                return (name, fs::read_to_string(file).unwrap());
            }
        }
        time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing is saved");
}

/// Sets a second step up, and logs in with a code of the app.
async fn set_up_and_log_in(site: &Site, browser: &Browser) {
    let folder = TempDir::new().unwrap();
    save_in(browser, folder.path()).await;
    sign_up(browser, ADA).await;
    let phone = add_app(site, browser).await;
    assert!(browser.text().await.contains("The second step is on."));
    // The button of the page's form is "Download".
    browser.submit().await;
    let (name, text) = saved(folder.path()).await;
    assert!(name.contains("recovery-codes"), "{name}");
    assert!(phone.codes.iter().all(|code| text.contains(code)) && text.contains(ADA), "{text}");

    browser.find("main .other a[href='/account/security']").await.click().await.unwrap();
    browser.wait_for_path("/account/security").await;
    assert!(browser.text().await.contains("10 left"));
    browser.log_out().await;
    begin_log_in(browser, ADA).await;
    assert!(!browser.is_logged_in().await);
    browser.open("/login/factor").await;
    be_refused(browser).await;
    phone.type_code(site, browser).await;
    browser.submit().await;
    browser.wait_for_path("/account").await;
    assert!(browser.text().await.contains("You are logged in."));
}

/// Sets a second step up, and logs in with a recovery code, typed as a person would.
async fn lose_the_phone(site: &Site, browser: &Browser) {
    sign_up(browser, ADA).await;
    let phone = add_app(site, browser).await;
    browser.log_out().await;
    begin_log_in(browser, ADA).await;
    use_recovery_code(browser).await;
    let typed = format!(" {} ", phone.codes[3].to_lowercase().replace('-', " "));
    browser.fill("code", &typed).await;
    browser.submit().await;
    browser.wait_for_path("/account").await;
    assert!(browser.text().await.contains("9 recovery codes are left."));
}

#[rocket::async_test]
async fn a_person_adds_an_app_saves_the_codes_and_logs_in_with_password_and_code() {
    run(set_up_and_log_in).await;
}

#[rocket::async_test]
async fn without_javascript_a_person_adds_an_app_and_logs_in_with_it() {
    run_with(without_scripts(), set_up_and_log_in).await;
}

#[rocket::async_test]
async fn a_recovery_code_in_small_letters_with_blanks_logs_in() {
    run(lose_the_phone).await;
}

#[rocket::async_test]
async fn without_javascript_a_recovery_code_logs_in() {
    run_with(without_scripts(), lose_the_phone).await;
}

#[rocket::async_test]
async fn without_javascript_no_button_is_there_that_only_a_script_can_serve() {
    run_with(without_scripts(), async |site, browser| {
        sign_up(browser, ADA).await;
        add_app(site, browser).await;
        assert!(!browser.find("button.print").await.is_displayed().await.unwrap());
    })
    .await;
}

#[rocket::async_test]
async fn a_device_is_trusted_until_its_user_ends_that_on_the_security_page() {
    run(async |site, browser| {
        sign_up(browser, ADA).await;
        let phone = add_app(site, browser).await;
        browser.log_out().await;
        begin_log_in(browser, ADA).await;
        phone.type_code(site, browser).await;
        browser.find("input[name=trust]").await.click().await.unwrap();
        browser.submit().await;
        browser.wait_for_path("/account").await;
        browser.log_out().await;
        browser.log_in(ADA).await;

        // The password alone has logged in, so this act asks for both.
        let end = "form[action='/account/sessions/revoke-others'] button";
        browser.open("/account/security").await;
        assert!(browser.text().await.contains("1 device skips the second step."));
        browser.find(end).await.click().await.unwrap();
        browser.find("form[action='/reauthenticate']").await;
        browser.fill("password", PASSWORD).await;
        phone.type_code(site, browser).await;
        browser.submit().await;
        browser.wait_for_path("/account/sessions").await;
        browser.open("/account/security").await;
        browser.find(end).await.click().await.unwrap();
        browser.wait_for_path("/account/sessions").await;
        browser.log_out().await;
        begin_log_in(browser, ADA).await;
    })
    .await;
}

/// The pixels of a picture, from 0 for black to 255 for white.
struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Grey {
    /// Reads a PNG as Chromium writes it: eight bits for each colour, and not interlaced.
    fn of(png: &[u8]) -> Self {
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        let (width, height) = (number(16), number(20));
        let colours = match png[24..29] {
            [8, 2, 0, 0, 0] => 3,
            [8, 6, 0, 0, 0] => 4,
            ref other => panic!("a PNG of the kind {other:?}"),
        };
        let (mut packed, mut at) = (Vec::new(), 8);
        while at < png.len() {
            let (length, data) = (number(at), at + 8);
            if &png[at + 4..data] == b"IDAT" {
                packed.extend(&png[data..data + length]);
            }
            at = data + length + 4;
        }
        let mut lines = Vec::new();
        ZlibDecoder::new(&packed[..]).read_to_end(&mut lines).unwrap();

        let (mut pixels, mut above) = (Vec::new(), vec![0; width * colours]);
        for line in lines.chunks(width * colours + 1) {
            let row = unfiltered(line, &above, colours);
            let grey =
                |pixel: &[u8]| (pixel[..3].iter().map(|c| u16::from(*c)).sum::<u16>() / 3) as u8;
            pixels.extend(row.chunks(colours).map(grey));
            above = row;
        }
        Grey { width, height, pixels }
    }

    /// Returns the texts of all QR codes in the picture.
    fn scanned(&self) -> Vec<String> {
        let at = |x, y| self.pixels[y * self.width + x];
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(self.width, self.height, at);
        picture.detect_grids().iter().map(|grid| grid.decode().unwrap().1).collect()
    }
}

/// Undoes the filter of a line of a PNG, whose first byte says which one it is.
fn unfiltered(line: &[u8], above: &[u8], colours: usize) -> Vec<u8> {
    let mut row = line[1..].to_vec();
    for x in 0..row.len() {
        let before = |row: &[u8]| x.checked_sub(colours).map_or(0, |x| i16::from(row[x]));
        let (left, up, corner) = (before(&row), i16::from(above[x]), before(above));
        let guess = match line[0] {
            0 => 0,
            1 => left,
            2 => up,
            3 => (left + up) / 2,
            4 => {
                let far = |from: i16| (left + up - corner - from).abs();
                // The first of the nearest ones.
                [left, up, corner].into_iter().min_by_key(|from| far(*from)).unwrap()
            }
            other => panic!("the filter {other}"),
        };
        row[x] = row[x].wrapping_add(guess as u8);
    }
    row
}

#[rocket::async_test]
async fn a_phone_reads_the_qr_code_from_the_screen_in_light_and_in_dark() {
    run(async |site, browser| {
        sign_up(browser, ADA).await;
        for (scheme, width, scale) in [("light", 1000, 1), ("dark", 1000, 1), ("dark", 320, 2)] {
            let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
            let media = json!({ "media": "screen", "features": [scheme] });
            show_on(browser, media.clone(), width, scale).await;
            browser.open("/account/app").await;
            browser.find(".qr svg").await.scroll_into_view().await.unwrap();
            let picture = Grey::of(&browser.driver.screenshot_as_png().await.unwrap());
            let uri = browser.find("a[href^='otpauth://totp/']").await.attr("href").await.unwrap();
            assert_eq!(picture.scanned(), [uri.unwrap()], "{media}, {width}");
        }
        // What the phone has read is the key, and its codes are right.
        let picture = Grey::of(&browser.driver.screenshot_as_png().await.unwrap());
        let uri = picture.scanned().remove(0);
        let key = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        Phone { key, codes: Vec::new() }.type_code(site, browser).await;
        browser.submit().await;
        codes(browser).await;
    })
    .await;
}

#[rocket::async_test]
async fn printed_recovery_codes_have_the_site_and_the_address_and_nothing_to_press() {
    let named = |figment: Figment| figment.merge(("site.name", "Notes"));
    run_configured(named, async |site, browser| {
        sign_up(browser, ADA).await;
        let phone = add_app(site, browser).await;
        let heed = "window.print = () => { document.title = 'printed'; }";
        browser.evaluate(heed).await;
        browser.find("button.print").await.click().await.unwrap();
        assert_eq!(browser.driver.title().await.unwrap(), "printed");

        let paper = json!({ "media": "print" });
        browser.devtools("Emulation.setEmulatedMedia", paper).await;
        let text = browser.text().await;
        assert!(phone.codes.iter().all(|code| text.contains(code)), "{text}");
        assert!(text.contains(&format!("Notes, {ADA}")), "{text}");
        let pressed = "return [...document.querySelectorAll('button, .button, main a')]
            .filter(e => e.checkVisibility()).map(e => e.outerHTML)";
        assert_eq!(browser.evaluate(pressed).await, json!([]));
    })
    .await;
}

#[rocket::async_test]
async fn a_recovery_code_stands_on_one_line_of_a_phone_and_of_paper() {
    run(async |site, browser| {
        sign_up(browser, ADA).await;
        add_app(site, browser).await;
        for (media, width) in [("screen", 320), ("screen", 360), ("print", 320), ("print", 1000)] {
            show_on(browser, json!({ "media": media }), width, 2).await;
            let broken = "return [...document.querySelectorAll('.codes code')]
                .filter(code => code.getClientRects().length > 1).map(code => code.textContent)";
            assert_eq!(browser.evaluate(broken).await, json!([]), "{media}, {width}");
        }
    })
    .await;
}

/// Opens every page of a second step in each of its states, and calls `look`. The browser is
/// logged in as somebody else.
pub async fn on_every_page(site: &Site, browser: &Browser, look: impl AsyncFn(&str)) {
    let long = format!("{}@{}.example.org", "grace-hopper-".repeat(4), "a-long-name".repeat(4));
    browser.log_out().await;
    browser.register(&long).await;
    for path in ["/account/security", "/account/app"] {
        browser.open(path).await;
        look(&format!("{path}, not confirmed")).await;
    }
    browser.open_mailed("/verify/").await;
    browser.submit().await;
    browser.wait_for_path("/account").await;
    for path in ["/account/security", "/account/app"] {
        browser.open(path).await;
        look(path).await;
    }
    be_refused(browser).await;
    look("a refused app").await;

    let phone = add_app(site, browser).await;
    look("the recovery codes").await;
    for path in ["/account/security", "/account"] {
        browser.open(path).await;
        look(&format!("{path}, with an app")).await;
    }
    browser.open("/account/security").await;
    browser.find("form[action='/account/codes'] button").await.click().await.unwrap();
    assert_ne!(codes(browser).await, phone.codes);
    look("new recovery codes").await;
    let phone = Phone { codes: codes(browser).await, ..phone };
    see_both_steps(site, browser, &long, &look).await;

    browser.log_out().await;
    begin_log_in(browser, &long).await;
    look("/login/factor").await;
    be_refused(browser).await;
    look("a refused second step").await;
    use_recovery_code(browser).await;
    look("/login/factor, recovery").await;
    browser.fill("code", &phone.codes[0]).await;
    browser.find("input[name=trust]").await.click().await.unwrap();
    browser.submit().await;
    browser.wait_for_path("/account").await;
    look("the account after a recovery code").await;
    browser.open("/account/security").await;
    look("/account/security, with a trusted device").await;
}

/// Opens the pages that ask for a password and a code.
async fn see_both_steps(site: &Site, browser: &Browser, email: &str, look: &impl AsyncFn(&str)) {
    browser.open("/reset").await;
    browser.fill("email", email).await;
    browser.submit().await;
    browser.find("a[href='/reset']").await;
    browser.open_mailed("/reset/").await;
    browser.find("input[name=code]").await;
    look("a reset with a code").await;
    browser.fill("new_password", "another horse battery").await;
    be_refused(browser).await;
    look("a refused reset with a code").await;

    site.clock.advance(Duration::from_secs(11 * 60));
    browser.open("/account/delete").await;
    browser.wait_for_path("/reauthenticate?next=%2Faccount%2Fdelete").await;
    browser.find("input[name=code]").await;
    look("/reauthenticate with a code").await;
    browser.fill("password", PASSWORD).await;
    be_refused(browser).await;
    look("/reauthenticate with a wrong code").await;
}
