//! Addresses that programs know by heart.

use rocket::response::Redirect;
use rocket::{State, get};

use crate::base::Base;

/// Where password managers send people to change a password
/// (<https://w3c.github.io/webappsec-change-password-url/>).
#[get("/change-password")]
pub fn change_password(base: &State<Base>) -> Redirect {
    Redirect::to(base.join("/account/password"))
}
