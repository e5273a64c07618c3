//! Two applications on one host, each with its own cookies.

use rocket::figment::Figment;
use rocket::figment::providers::{Format, Toml};
use rocket::{Build, Rocket, get, routes};
use rocket_login::User;
use rocket_login::testing::Browser;

use super::Site;

/// The `Rocket.toml` of the second application.
const SHOP: &str = r#"
[debug.session]
cookie_name = "shop"

[release.session]
cookie_name = "__Host-shop"
"#;

#[get("/notes")]
fn notes(user: &User) -> String {
    format!("Notes of {}", user.email)
}

fn rocket(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage_at("/auth")).mount("/", routes![notes])
}

/// Gives `to` the cookies that the same browser would send to another port of the host.
fn carry(from: &Browser<'_>, to: &Browser<'_>, names: &[&str]) {
    for name in names {
        if let Some(value) = from.cookie(name) {
            to.set_cookie(name, value);
        }
    }
}

#[rocket::async_test]
async fn a_browser_is_logged_in_at_both_with_two_names_and_at_one_with_the_same() {
    let blog = Site::start(rocket).await;
    let shop = Site::start(|figment| rocket(figment.merge(Toml::string(SHOP).nested()))).await;
    let (at_blog, at_shop) = (blog.browser(), shop.browser());
    at_blog.sign_in("ada@example.org").await;
    carry(&at_blog, &at_shop, &["session"]);
    at_shop.get("/notes").await.assert_redirect("/auth/login?next=%2Fnotes");
    at_shop.sign_in("ada@shop.example").await;
    assert!(at_shop.cookie("shop").is_some());
    carry(&at_shop, &at_blog, &["shop"]);
    at_blog.get("/notes").await.assert_text("Notes of ada@example.org");
    at_shop.get("/notes").await.assert_text("Notes of ada@shop.example");
    at_shop.post("/auth/logout", &[]).await;
    at_blog.get("/notes").await.assert_text("Notes of ada@example.org");

    // With one name, the log-in at the second replaces the cookie of the first.
    let same = Site::start(rocket).await;
    let at_same = same.browser();
    carry(&at_blog, &at_same, &["session"]);
    at_same.sign_in("ada@same.example").await;
    carry(&at_same, &at_blog, &["session"]);
    at_blog.get("/notes").await.assert_redirect("/auth/login?next=%2Fnotes");
}

#[test]
fn the_names_are_accepted_in_both_profiles() {
    for (profile, name) in [("debug", "shop"), ("release", "__Host-shop")] {
        let figment = crate::support::figment(&tempfile::TempDir::new().unwrap());
        let figment = figment.merge(Toml::string(SHOP).nested()).select(profile);
        let config = rocket_login::config::Config::from_figment(&figment).unwrap();
        assert_eq!(config.session.cookie_name.as_deref(), Some(name));
    }
}
