//! `/account/sessions`: shows where the user is logged in.

use rocket::response::Redirect;
use rocket::{get, post};
use rocket_dyn_templates::context;

use super::{Html, Page};
use crate::auth::{Auth, EndSessionError, RecentLogin};
use crate::error::Error;
use crate::user::User;

const PATH: &str = "/account/sessions";

#[get("/account/sessions?<page>")]
pub async fn list(
    page: Option<&str>,
    html: Page<'_>,
    user: &User,
    auth: Auth<'_>,
) -> Result<Html, Error> {
    let page = auth.sessions(user, page.map_or(1, number)).await?;
    Ok(html.render("sessions", context! { page }))
}

/// Returns the number of the page that `text` names: the first one if it is not a number, and the
/// last one if it is too large.
fn number(text: &str) -> u32 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().unwrap_or(u32::MAX) } else { 1 }
}

#[post("/account/sessions/<id>/revoke")]
pub async fn revoke(
    user: RecentLogin<'_>,
    id: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Redirect, EndSessionError> {
    auth.end_session(&user, id).await?;
    Ok(page.redirect_to(PATH, "That device was logged out."))
}

#[post("/account/sessions/revoke-others")]
pub async fn revoke_others(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Redirect, Error> {
    let message = match auth.end_other_sessions(&user).await? {
        0 => "No other device was logged in.".into(),
        1 => "One other device was logged out.".into(),
        ended => format!("{ended} other devices were logged out."),
    };
    Ok(page.redirect_to(PATH, &message))
}
