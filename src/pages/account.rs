//! `/account`: the user's own page, with links to all pages below it.

use rocket::response::Redirect;
use rocket::{get, post};
use rocket_dyn_templates::context;

use super::{Html, Page};
use crate::auth::Auth;
use crate::error::Error;
use crate::user::User;

#[get("/account")]
pub fn account(page: Page<'_>, _user: &User) -> Html {
    page.render("account", context! {})
}

/// Sends the link that confirms the address again.
#[post("/account/verify")]
pub async fn verify(page: Page<'_>, user: &User, auth: Auth<'_>) -> Result<Redirect, Error> {
    let message = match (auth.has_mail(), user.verified_at) {
        (false, _) => "This site doesn't send email, so nothing was sent.",
        (true, Some(_)) => "Your address is already confirmed.",
        (true, None) => {
            auth.ask_verification(user).await?;
            "We've emailed you a link. Open it to confirm your address."
        }
    };
    Ok(page.redirect(None, message))
}
