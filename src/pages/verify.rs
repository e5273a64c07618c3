//! `/verify/<token>`: an address is confirmed through a mailed link.

use rocket::response::Redirect;
use rocket::{get, post};
use rocket_dyn_templates::context;

use super::{Html, Page, Rejection};
use crate::auth::{Auth, Verified};
use crate::web::SecretPath;

/// Changes nothing: programs that scan mail open every link in it.
#[get("/verify/<token>")]
pub async fn form(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    match auth.find_verification(token).await? {
        Some((verified, email)) => {
            let is_change = verified == Verified::Changed;
            Ok(page.render("verify", context! { token, email, is_change }))
        }
        None => Err(page.dead_link("verify").into()),
    }
}

#[post("/verify/<token>")]
pub async fn submit(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Redirect, Rejection> {
    let message = match auth.verify(token).await? {
        None => return Err(page.dead_link("verify").into()),
        Some(Verified::Confirmed) => "Your e-mail address is confirmed.",
        Some(Verified::Changed) => "Your e-mail address is changed.",
        Some(Verified::WithoutPassword) => {
            "Your e-mail address is confirmed. This is not the browser you signed up with, so \
             choose your password once more: \"Forgot your password?\""
        }
    };

    let path = if page.user.is_some() { "/account" } else { "/login" };
    Ok(page.redirect_to(path, message))
}
