//! `/verify/<token>`: an address is confirmed through a mailed link.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, Verified};
use crate::password::Password;
use crate::web::{Posted, SecretPath};

/// What is typed into the form, where a password is asked for.
#[derive(FromForm)]
pub struct Proof {
    password: Option<String>,
}

/// Changes nothing: programs that scan mail open every link in it.
#[get("/verify/<token>")]
pub async fn form(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    match auth.find_verification(token).await? {
        Some(confirmation) => Ok(page.render("verify", context! { token, confirmation })),
        None => {
            let done = auth.verified_before(token).await?;
            let done = done.map(|(verified, email)| told(&page, verified, &email));
            Err(page.spent_link("verify", done).into())
        }
    }
}

#[post("/verify/<token>", format = "form", data = "<form>")]
pub async fn submit(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Proof>,
) -> Result<Redirect, Rejection> {
    let Posted(Proof { password }) = form;
    confirm(token, page, auth, password).await
}

/// Without a form there is nothing typed either.
#[post("/verify/<token>", rank = 2)]
pub async fn submit_nothing(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Redirect, Rejection> {
    confirm(token, page, auth, None).await
}

async fn confirm(
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
    password: Option<String>,
) -> Result<Redirect, Rejection> {
    let Some(confirmation) = auth.find_verification(token).await? else {
        return match auth.verified_before(token).await? {
            Some((verified, email)) => Ok(lead_on(&page, verified, &email)),
            None => {
                auth.refuse_link().await?;
                Err(page.dead_link("verify").into())
            }
        };
    };

    let refuse = |message: &str| {
        let errors = FieldErrors::from([("password", message.to_owned())]);
        page.refuse("verify", errors, context! { token, confirmation: &confirmation })
    };
    // Left empty is not left out: that makes the password void.
    if confirmation.wants_password && password.as_deref() == Some("") {
        return Err(refuse("Enter the password.").into());
    }

    let password = password.as_deref().map(Password::typed);
    match auth.verify(token, password).await? {
        Verified::WrongPassword => Err(refuse("Wrong password.").into()),
        // The first of two at once has taken it.
        Verified::Dead => match auth.verified_before(token).await? {
            Some((verified, email)) => Ok(lead_on(&page, verified, &email)),
            None => Err(page.dead_link("verify").into()),
        },
        verified => Ok(lead_on(&page, verified, &confirmation.email)),
    }
}

fn told(page: &Page<'_>, verified: Verified, email: &str) -> String {
    let way = match page.has_mail {
        true => "Choose a new one now: \"Forgot your password?\"",
        false => "Ask the operator of this site for a reset link.",
    };
    match verified {
        Verified::Changed => format!("Your email address is now {email}."),
        Verified::WithoutPassword => {
            format!(
                "Your email address {email} is confirmed. Its old password no longer works. {way}"
            )
        }
        _ => format!("Your email address {email} is confirmed."),
    }
}

fn lead_on(page: &Page<'_>, verified: Verified, email: &str) -> Redirect {
    let path = if page.user.is_some() { "/account" } else { "/login" };
    page.redirect_to(path, &told(page, verified, email))
}
