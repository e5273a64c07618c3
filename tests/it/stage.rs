//! What an application says about the stage.

use std::collections::HashMap;
use std::fs;

use rocket::error::ErrorKind;
use rocket::get;
use rocket::local::asynchronous::Client;
use rocket::routes;
use rocket_dyn_templates::tera::{self, Value};
use rocket_login::testing::Browser;
use rocket_login::{Clock, Customize, Stage, User, stage, stage_at};
use tempfile::TempDir;

use crate::support::{PASSWORD, START, figment};

const FIELDS: [(&str, &str); 2] = [("email", "ada@example.org"), ("password", PASSWORD)];

#[get("/dashboard")]
fn dashboard(user: &User) -> String {
    format!("Dashboard of {}", user.email)
}

/// Starts an application with `stage` and its own dashboard.
async fn launch(stage: Stage) -> (Client, TempDir) {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir)).attach(stage).mount("/", routes![dashboard]);
    (Client::untracked(rocket).await.expect("it starts"), dir)
}

async fn assert_stops(rocket: rocket::Rocket<rocket::Build>) {
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error:?}");
}

#[rocket::async_test]
async fn a_log_in_and_a_sign_up_lead_to_the_applications_page() {
    let (client, _dir) = launch(stage_at("/auth").after_log_in("/dashboard?tab=1")).await;
    let ada = Browser::new(&client);
    ada.post("/auth/register", &FIELDS).await.assert_redirect("/dashboard?tab=1");
    ada.get("/dashboard").await.assert_text("Dashboard of ada@example.org");
    ada.post("/auth/logout", &[]).await.assert_redirect("/");
    ada.post("/auth/login", &FIELDS).await.assert_redirect("/dashboard?tab=1");
    let fields = [FIELDS[0], FIELDS[1], ("next", "/auth/account")];
    ada.post("/auth/login", &fields).await.assert_redirect("/auth/account");
    // The forms of the account lead back to the account.
    let password = [("current_password", PASSWORD), ("new_password", "another horse battery")];
    ada.post("/auth/account/password", &password).await.assert_redirect("/auth/account");
}

#[rocket::async_test]
async fn a_log_out_and_a_deletion_lead_to_the_applications_page() {
    let (client, _dir) = launch(stage().after_log_out("/bye")).await;
    let ada = Browser::new(&client);
    ada.post("/register", &FIELDS).await.assert_redirect("/account");
    ada.post("/logout", &[]).await.assert_redirect("/bye");
    ada.post("/login", &FIELDS).await.assert_redirect("/account");
    let fields = [("current_password", PASSWORD)];
    ada.post("/account/delete", &fields).await.assert_redirect("/bye");
    ada.post("/login", &FIELDS).await.assert_status(422);
}

#[rocket::async_test]
async fn a_page_on_another_site_or_a_base_that_is_no_path_stops_the_launch() {
    for stage in [
        stage().after_log_in("https://evil.example/"),
        stage().after_log_in("//evil.example"),
        stage().after_log_in("dashboard"),
        stage().after_log_out(""),
        stage().home("home"),
        stage().after_log_out("/bye\r\nSet-Cookie: a=b"),
        Stage::at("auth"),
        Stage::at("/auth?x=1"),
        Stage::at("//auth"),
        Stage::at("/<auth>"),
    ] {
        let dir = TempDir::new().unwrap();
        assert_stops(rocket::custom(figment(&dir)).attach(stage)).await;
    }
}

#[rocket::async_test]
async fn the_stage_has_the_clock_and_the_filters_it_is_given() {
    fn shout(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
        Ok(Value::from(value.as_str().unwrap_or_default().to_uppercase()))
    }

    let dir = TempDir::new().unwrap();
    let own = TempDir::new().unwrap();
    fs::write(own.path().join("page.html.tera"), "{{ 'quiet' | shout }}").unwrap();

    #[get("/page")]
    fn page() -> rocket_login::Rendered {
        rocket_login::Rendered::new("page", rocket_dyn_templates::context! {})
    }

    let clock = Clock::manual(START);
    let stage = stage()
        .clock(clock.clone())
        .templates(|engines| engines.tera.register_filter("shout", shout));
    let figment = figment(&dir).merge(("template_dir", own.path()));
    let rocket = rocket::custom(figment).attach(stage).mount("/", routes![page]);
    let client = Client::untracked(rocket).await.unwrap();
    let ada = Browser::new(&client);
    ada.get("/page").await.assert_text("QUIET");
    ada.post("/register", &FIELDS).await.assert_redirect("/account");
    ada.get("/account").await.assert_status(200);
    clock.advance(std::time::Duration::from_secs(25 * 60 * 60));
    ada.get("/account").await.assert_redirect("/login?next=%2Faccount");
}

#[rocket::async_test]
async fn a_clock_or_filters_that_are_given_twice_stop_the_launch() {
    let dir = TempDir::new().unwrap();
    let clock = || Clock::manual(START);
    let rocket = rocket::custom(figment(&dir)).manage(clock());
    assert_stops(rocket.attach(stage().clock(clock()))).await;
    let rocket = rocket::custom(figment(&dir)).manage(Customize::new(|_| {}));
    assert_stops(rocket.attach(stage().templates(|_| {}))).await;
}

#[rocket::async_test]
async fn rocket_keeps_the_stage_that_was_attached_last() {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir)).attach(stage()).attach(stage_at("/auth"));
    let client = Client::untracked(rocket).await.unwrap();
    let visitor = Browser::new(&client);
    visitor.get("/login").await.assert_status(404);
    visitor.get("/auth/login").await.assert_status(200);
}
