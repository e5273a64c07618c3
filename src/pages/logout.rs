//! `/logout`: a page with a button that logs the user out.

use rocket::http::Header;
use rocket::response::Redirect;
use rocket::{Responder, get, post};
use rocket_dyn_templates::context;

use super::{Html, Page};
use crate::auth::Auth;
use crate::error::Error;

/// Redirects to the front page, and clears the browser's storage for this site.
#[derive(Responder)]
pub struct LoggedOut {
    redirect: Redirect,
    clear: Header<'static>,
}

/// Shows the page, and changes nothing: a link or an image on another page must not log anybody out
/// (log-out CSRF).
#[get("/logout")]
pub fn form(page: Page<'_>) -> Html {
    page.render("logout", context! {})
}

#[post("/logout")]
pub async fn submit(page: Page<'_>, auth: Auth<'_>) -> Result<LoggedOut, Error> {
    auth.log_out().await?;
    Ok(LoggedOut {
        redirect: page.redirect_home("You are logged out."),
        // We do not clear "cache": every private page is `no-store`, and Chromium would clear the
        // cache of all sites, which can take half a minute while the user waits.
        clear: Header::new("Clear-Site-Data", r#""storage""#),
    })
}
