//! `/not-me/<token>`: lets users throw out somebody else who has got into their account.

use rocket::response::Redirect;
use rocket::{get, post};
use rocket_dyn_templates::context;

use super::{Html, Page, Rejection};
use crate::auth::{Auth, Locked};
use crate::web::SecretPath;

/// Shows the page, and changes nothing: programs that scan mails open every link in them.
#[get("/not-me/<token>")]
pub async fn form(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    let link = auth.not_me_link(token).await.map_err(|error| page.dead("not_me", error))?;
    match link.done() {
        None => Ok(page.render("not_me", context! { token, email: link.email() })),
        Some(done) => Err(page.spent_link("not_me", told(done)).into()),
    }
}

#[post("/not-me/<token>")]
pub async fn submit(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Redirect, Rejection> {
    let dead = |error| page.dead("not_me", error);
    let link = auth.not_me_link(token).await.map_err(dead)?;
    let locked = link.lock_account().await.map_err(dead)?;
    Ok(page.redirect_to("/login", told(locked)))
}

fn told(locked: Locked) -> &'static str {
    match locked {
        Locked::Mailed => {
            "All devices are logged out, and the old password no longer works. Check your email \
             for a reset link."
        }
        Locked::Unmailed => {
            "All devices are logged out, and the old password no longer works. Ask the operator \
             of this site for a reset link."
        }
    }
}
