//! The fixed addresses that programs know.

use rocket::response::Redirect;
use rocket::{State, get};

use crate::base::Base;

/// Redirects password managers to the page where users change their password
/// (<https://w3c.github.io/webappsec-change-password-url/>).
#[get("/change-password")]
pub fn change_password(base: &State<Base>) -> Redirect {
    Redirect::to(base.join("/account/password"))
}

/// What search engines may read. They may read everything: a page that they should not list has to
/// say so itself (`X-Robots-Tag`), and they could not see that on a page that they may not read.
const ROBOTS: &str = "User-agent: *\nDisallow:\n";

/// Search engines look for this file at the root of a host. The application's own comes first.
#[get("/robots.txt", rank = 100)]
pub fn robots() -> &'static str {
    ROBOTS
}
