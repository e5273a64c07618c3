//! `/not-me/<token>`: the way out when somebody else has got in.

use rocket::response::Redirect;
use rocket::{get, post};
use rocket_dyn_templates::context;

use super::{Html, Page, Rejection};
use crate::auth::{Auth, Locked};
use crate::web::SecretPath;

/// Changes nothing: programs that scan mail open every link in it.
#[get("/not-me/<token>")]
pub async fn form(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    match auth.find_not_me(token).await? {
        Some(email) => Ok(page.render("not_me", context! { token, email })),
        None => {
            let done = auth.locked_before(token).await?;
            Err(page.spent_link("not_me", told(done).map(str::to_owned)).into())
        }
    }
}

#[post("/not-me/<token>")]
pub async fn submit(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Redirect, Rejection> {
    match told(auth.lock(token).await?) {
        Some(message) => Ok(page.redirect_to("/login", message)),
        None => Err(page.dead_link("not_me").into()),
    }
}

/// What has happened; `None`: nothing.
fn told(locked: Locked) -> Option<&'static str> {
    match locked {
        Locked::Mailed => Some(
            "All devices are logged out, and the old password no longer works. Check your email \
             for a reset link.",
        ),
        Locked::Unmailed => Some(
            "All devices are logged out, and the old password no longer works. Ask the operator \
             of this site for a reset link.",
        ),
        Locked::Dead => None,
    }
}
