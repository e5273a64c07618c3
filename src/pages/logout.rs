//! `/logout`: a page with a button that logs the user out.

use rocket::http::Header;
use rocket::{Either, FromForm, Responder, get, post};
use serde::Serialize;

use super::content::Content;
use super::onward::OnwardPage;
use super::{Html, Page};
use crate::auth::Auth;
use crate::error::Error;
use crate::web::{Done, Posted};

/// The content of the page.
#[derive(Serialize)]
pub struct LogOutPage {
    /// What the provider is called that this session began with, if it can end its own session too.
    provider: Option<String>,
}

impl Content for LogOutPage {
    const TEMPLATE: &'static str = "logout";

    fn samples() -> Vec<Self> {
        [None, Some("Example".into())].map(|provider| LogOutPage { provider }).into()
    }
}

/// The fields of the form.
#[derive(FromForm)]
pub struct LogOut {
    /// `true` if the provider's session is to end too.
    #[field(default = false)]
    provider: bool,
}

/// Leads to the page after a log-out, and clears the browser's storage for this site.
#[derive(Responder)]
pub struct LoggedOut {
    answer: Either<Done, Html>,
    clear: Header<'static>,
}

/// Shows the page, and changes nothing: a link or an image on another page must not log anybody out
/// (log-out CSRF).
#[get("/logout")]
pub async fn form(page: Page<'_>, auth: Auth<'_>) -> Result<Html, Error> {
    let provider = provider(&auth).await?.map(|(label, _)| label);
    Ok(page.render(LogOutPage { provider }))
}

#[post("/logout", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Option<Posted<LogOut>>,
) -> Result<LoggedOut, Error> {
    // Whatever the body is, a log-out must not fail because of it.
    let provider = match form.is_some_and(|Posted(form)| form.provider) {
        true => provider(&auth).await?,
        false => None,
    };
    auth.log_out().await?;
    let answer = match provider {
        // The browser would stop a redirect to another site after a form.
        Some((label, to)) if !page.prefers_json => {
            page.forget_email();
            Either::Right(Html::without_session(OnwardPage::there(to, label)))
        }
        Some((_, to)) => Either::Left(Done::to(to)),
        None => Either::Left(page.redirect_logged_out("You are logged out.")),
    };
    // We do not clear "cache": every private page is `no-store`, and Chromium would clear the
    // cache of all sites, which can take half a minute while the user waits.
    Ok(LoggedOut { answer, clear: Header::new("Clear-Site-Data", r#""storage""#) })
}

/// Returns what the provider is called that the session began with, and where it ends its own.
#[cfg(feature = "providers")]
async fn provider(auth: &Auth<'_>) -> Result<Option<(String, String)>, Error> {
    auth.provider_log_out().await
}

#[cfg(not(feature = "providers"))]
async fn provider(_: &Auth<'_>) -> Result<Option<(String, String)>, Error> {
    Ok(None)
}
