//! `/logout`: a page with a button that logs the user out.

use rocket::http::Header;
use rocket::{Responder, get, post};
use serde::Serialize;

use super::content::Content;
use super::{Html, Page};
use crate::auth::Auth;
use crate::error::Error;
use crate::web::Done;

/// The page has only the shared values.
#[derive(Serialize)]
pub struct LogOutPage {}

impl Content for LogOutPage {
    const TEMPLATE: &'static str = "logout";

    fn samples() -> Vec<Self> {
        vec![LogOutPage {}]
    }
}

/// Redirects to the page after a log-out, and clears the browser's storage for this site.
#[derive(Responder)]
pub struct LoggedOut {
    redirect: Done,
    clear: Header<'static>,
}

/// Shows the page, and changes nothing: a link or an image on another page must not log anybody out
/// (log-out CSRF).
#[get("/logout")]
pub fn form(page: Page<'_>) -> Html {
    page.render(LogOutPage {})
}

#[post("/logout")]
pub async fn submit(page: Page<'_>, auth: Auth<'_>) -> Result<LoggedOut, Error> {
    auth.log_out().await?;
    Ok(LoggedOut {
        redirect: page.redirect_logged_out("You are logged out."),
        // We do not clear "cache": every private page is `no-store`, and Chromium would clear the
        // cache of all sites, which can take half a minute while the user waits.
        clear: Header::new("Clear-Site-Data", r#""storage""#),
    })
}
