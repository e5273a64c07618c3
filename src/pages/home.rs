//! `/`: the front page, which links to the log-in, or shows who is logged in.

use rocket::get;
use rocket_dyn_templates::context;

use super::{Html, Page};

/// The rank of the route: an application's own front page comes first.
#[get("/", rank = 100)]
pub fn home(page: Page<'_>) -> Html {
    page.render("home", context! {})
}
