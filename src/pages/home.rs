//! `/`: the front page, which links to the log-in, or shows who is logged in.

use rocket::get;
use serde::Serialize;

use super::content::Content;
use super::{Html, Page};

#[derive(Serialize)]
pub struct HomePage {
    /// What a developer does who has just started: in the debug profile, until the pages have a
    /// path or a name of their own.
    attach: Option<Attach>,
}

/// The lines with which an application attaches the pages.
#[derive(Serialize)]
struct Attach {
    dependency: &'static str,
    call: &'static str,
}

impl Attach {
    const LINES: Self = Attach {
        dependency: "rocket-login = { path = \"../rocket-login\" }",
        call: ".attach(rocket_login::stage_at(\"/auth\"))",
    };
}

impl Content for HomePage {
    const TEMPLATE: &'static str = "home";
    const IS_FOR_SEARCH: bool = true;

    fn samples() -> Vec<Self> {
        vec![HomePage { attach: Some(Attach::LINES) }, HomePage { attach: None }]
    }
}

/// The rank of the route: an application's own front page comes first.
#[get("/", rank = 100)]
pub fn home(page: Page<'_>) -> Html {
    let is_attached = !page.base.as_str().is_empty() || page.config.site.name.is_some();
    let is_first_look = page.config.debug && !is_attached;
    page.render(HomePage { attach: is_first_look.then_some(Attach::LINES) })
}
