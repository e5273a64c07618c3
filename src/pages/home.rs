//! `/`: the way in, or who is logged in.

use rocket::get;
use rocket_dyn_templates::context;

use super::{Html, Page};

/// An application's own front page comes before it.
#[get("/", rank = 100)]
pub fn home(page: Page<'_>) -> Html {
    page.render("home", context! {})
}
