//! From rocket_auth or private cookies: what becomes of guards, log-in and log-out.

use rocket::figment::Figment;
use rocket::response::Redirect;
use rocket::{Build, Rocket, get, post, routes, uri};
use rocket_login::auth::{LogIn, LogInAsError};
use rocket_login::web::Posted;
use rocket_login::{Auth, Error, HasRole, Role, User};

use super::Site;

/// The column `is_admin` becomes a role.
enum Admin {}

impl Role for Admin {
    const NAME: &'static str = "admin";
}

// It was: cookies.get_private("user_id"), and a query for the user.
#[get("/notes")]
fn notes(user: &User) -> String {
    format!("Notes of {}", user.email)
}

// It was: a check of `is_admin`, or the guard `AdminUser`.
#[get("/reports")]
fn reports(admin: HasRole<'_, Admin>) -> String {
    format!("Reports, for {}", admin.email)
}

#[derive(rocket::FromForm)]
struct Badge {
    number: i64,
}

// It was: cookies.add_private(("user_id", id)), after a check of your own. With an address and a
// password, call `auth.log_in()`, or use our page.
#[post("/badge", data = "<badge>")]
async fn badge(badge: Posted<Badge>, auth: Auth<'_>) -> Result<Option<Redirect>, LogInAsError> {
    let Some(user) = auth.find_user(owner_of(badge.0.number)).await? else { return Ok(None) };
    let done = match auth.log_in_as(&user, false).await? {
        LogIn::LoggedIn(_) => Redirect::to(uri!(notes)),
        // The account has a second factor, and nobody is logged in yet.
        _ => Redirect::to("/login/factor"),
    };
    Ok(Some(done))
}

// It was: cookies.remove_private("user_id").
#[post("/leave")]
async fn leave(auth: Auth<'_>) -> Result<Redirect, Error> {
    auth.log_out().await?;
    Ok(Redirect::to("/"))
}

/// Your own check.
fn owner_of(badge: i64) -> i64 {
    badge - 700
}

fn rocket(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment)
        .attach(rocket_login::stage_at("/auth"))
        .mount("/", routes![notes, reports, badge, leave])
}

#[rocket::async_test]
async fn the_new_guards_do_what_the_private_cookies_did() {
    let site = Site::start(rocket).await;
    site.browser().sign_in("ada@example.org").await;

    let ada = site.browser();
    ada.get("/notes").await.assert_redirect("/auth/login?next=%2Fnotes");
    ada.post("/badge", &[("number", "999")]).await.assert_status(404);
    ada.post("/badge", &[("number", "701")]).await.assert_redirect("/notes");
    ada.get("/notes").await.assert_text("Notes of ada@example.org");

    ada.get("/reports").await.assert_status(403);
    let operator = rocket_login::auth::Operator::of(site.client.rocket()).unwrap();
    let user = operator.find(1).await.unwrap().unwrap().user;
    operator.grant(&user, &rocket_login::RoleName::of::<Admin>()).await.unwrap();
    ada.get("/reports").await.assert_text("Reports, for ada@example.org");

    ada.post("/leave", &[]).await.assert_redirect("/");
    ada.get("/notes").await.assert_redirect("/auth/login?next=%2Fnotes");
}
