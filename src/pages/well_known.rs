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
