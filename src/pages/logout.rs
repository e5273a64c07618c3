//! `/logout`: a page with a button, and the act behind it.

use rocket::http::Header;
use rocket::response::Redirect;
use rocket::{Responder, get, post};
use rocket_dyn_templates::context;

use super::{Html, Page};
use crate::auth::Auth;
use crate::error::Error;

/// To the front page, and nothing of ours left in the browser's storage.
#[derive(Responder)]
pub struct LoggedOut {
    redirect: Redirect,
    clear: Header<'static>,
}

/// Changes nothing: a link or an image on another page must not log anybody out.
#[get("/logout")]
pub fn form(page: Page<'_>) -> Html {
    page.render("logout", context! {})
}

#[post("/logout")]
pub async fn submit(page: Page<'_>, auth: Auth<'_>) -> Result<LoggedOut, Error> {
    auth.log_out().await?;
    Ok(LoggedOut {
        redirect: page.redirect_home("You are logged out."),
        // Not "cache": everything private is `no-store`, and Chromium clears the cache of
        // every site for it, up to half a minute in which the person waits.
        clear: Header::new("Clear-Site-Data", r#""storage""#),
    })
}
