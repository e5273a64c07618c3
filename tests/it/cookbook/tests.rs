//! Tests: an application is a function of its configuration, and a browser signs in without the
//! form.

use std::time::Duration;

use rocket::figment::Figment;
use rocket::local::blocking::Client;
use rocket::{Build, Rocket, get, routes};
use rocket_login::testing::{self, blocking};
use rocket_login::{Clock, User};

#[get("/notes")]
fn notes(user: &User) -> String {
    format!("Notes of {}", user.email)
}

fn rocket(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage_at("/auth")).mount("/", routes![notes])
}

/// What the manifest of an application says.
const MANIFEST: &str = r#"
[dev-dependencies]
rocket-login = { path = "../rocket-login", features = ["testing"] }

[profile.dev.package]
argon2-rust = { opt-level = 3 }
"#;

#[test]
fn everybody_sees_their_own_notes() {
    let client = Client::untracked(rocket(testing::figment())).unwrap();
    let ada = blocking::Browser::new(&client);
    ada.get("/notes").assert_redirect("/auth/login?next=%2Fnotes");

    ada.sign_in("ada@example.org");
    ada.get("/notes").assert_text("Notes of ada@example.org");
}

#[test]
fn an_address_is_confirmed_by_the_link_in_the_mail() {
    let client = Client::untracked(rocket(testing::figment())).unwrap();
    let ada = blocking::Browser::new(&client);
    let form = [("email", "ada@example.org"), ("password", "correct horse battery")];
    ada.post("/auth/register", &form).assert_redirect("/auth/account");

    let mails = blocking::mails(&client);
    ada.post(&mails[0].link("/auth/verify/"), &[]).assert_redirect("/auth/account");
}

#[test]
fn a_session_ends_after_two_hours() {
    let clock = Clock::manual(1_767_225_600); // 1 January 2026
    let client = Client::untracked(rocket(testing::figment()).manage(clock.clone())).unwrap();
    let ada = blocking::Browser::new(&client);
    ada.sign_in("ada@example.org");

    clock.advance(Duration::from_secs(2 * 60 * 60));
    ada.get("/notes").assert_redirect("/auth/login?next=%2Fnotes");
}

#[test]
fn the_manifest_of_the_recipe_has_our_feature_and_our_profile() {
    let ours = include_str!("../../../Cargo.toml");
    assert!(ours.contains("\ntesting = ") && MANIFEST.contains("features = [\"testing\"]"));
    let (_, profile) = MANIFEST.split_once("\n\n").unwrap();
    assert!(ours.contains(profile), "{profile}");
}
