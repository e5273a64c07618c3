//! `/account`: the user's own page.

use rocket::get;
use rocket_dyn_templates::context;

use super::{Html, Page};
use crate::user::User;

#[get("/account")]
pub fn account(page: Page<'_>, _user: &User) -> Html {
    page.render("account", context! {})
}
