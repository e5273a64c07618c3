//! Protect all routes of a mount: nobody reaches them without a log-in, not even the files.

use std::path::Path;

use rocket::figment::Figment;
use rocket::fs::FileServer;
use rocket::{Build, Rocket, get, routes};
use rocket_login::auth::{protected, protected_by_role};
use rocket_login::{Role, stage_at};

use super::Site;

#[get("/")]
fn reports() -> &'static str {
    "all reports"
}

#[get("/<year>")]
fn report(year: u16) -> String {
    format!("the report of {year}")
}

enum Admin {}

impl Role for Admin {
    const NAME: &'static str = "admin";
}

#[get("/")]
fn numbers() -> &'static str {
    "how many users there are"
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let manuals = FileServer::from(Path::new("docs"));
    rocket::custom(figment)
        .attach(stage_at("/auth"))
        .mount("/reports", protected(routes![reports, report]))
        .mount("/manuals", protected(manuals))
        .mount("/admin", protected_by_role::<Admin>(routes![numbers]))
}

#[rocket::async_test]
async fn a_visitor_is_sent_to_the_log_in_from_every_route_and_file() {
    let site = Site::start(rocket).await;
    let guest = site.browser();
    for path in ["/reports", "/reports/2025", "/manuals/style.md", "/admin"] {
        let next = path.replace('/', "%2F");
        guest.get(path).await.assert_redirect(&format!("/auth/login?next={next}"));
    }
}

#[rocket::async_test]
async fn a_user_reaches_all_but_what_needs_a_role() {
    let site = Site::start(rocket).await;
    let ada = site.browser();
    ada.sign_in("ada@example.org").await;
    ada.get("/reports").await.assert_text("all reports");
    ada.get("/reports/2025").await.assert_text("the report of 2025");
    ada.get("/manuals/style.md").await.assert_text("# How we write");
    ada.get("/admin").await.assert_status(403);
}
