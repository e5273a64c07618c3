//! `/not-me/<token>`: lets users throw out somebody else who has got into their account.

use rocket::{get, post};
use serde::Serialize;

use super::content::Content;
use super::mailed_token::MailedToken;
use super::{Html, Page, Rejection};
use crate::auth::{Auth, Locked};
use crate::web::{Done, SecretPath};

/// The content of the page.
#[derive(Serialize)]
pub struct NotMePage<'p> {
    token: &'p str,
    /// The address that the link was mailed to.
    email: &'p str,
}

impl Content for NotMePage<'_> {
    const TEMPLATE: &'static str = "not_me";

    fn samples() -> Vec<Self> {
        vec![NotMePage { token: "token", email: "ada@example.org" }]
    }
}

/// Shows the page, and changes nothing: programs that scan mails open every link in them.
#[get("/not-me/<token>")]
pub async fn form(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    let MailedToken(token) = token;
    let link = auth.not_me_link(token).await.map_err(|error| page.dead("not_me", error))?;
    match link.done() {
        None => Ok(page.render(NotMePage { token, email: link.email() })),
        Some(done) => Err(page.spent_link("not_me", told(done)).into()),
    }
}

#[post("/not-me/<token>")]
pub async fn submit(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, Rejection> {
    let MailedToken(token) = token;
    let dead = |error| page.dead("not_me", error);
    let link = auth.not_me_link(token).await.map_err(dead)?;
    let locked = link.lock_account().await.map_err(dead)?;
    page.keep_email(link.email());
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
