//! `/verify/<token>`: confirms an address through a mailed link.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;
use serde::Serialize;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, Verified, VerifyError, VerifyLink};
use crate::password::{Password, PasswordError};
use crate::web::{Posted, SecretPath};

/// The fields of the form, if it asks for a password.
#[derive(FromForm)]
pub struct Proof {
    password: Option<String>,
}

/// Shows the page, and changes nothing: programs that scan mails open every link in them.
#[get("/verify/<token>")]
pub async fn form(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    let link = auth.verify_link(token).await.map_err(|error| page.dead("verify", error))?;
    match link.done() {
        None => Ok(page.render("verify", content(token, &link))),
        Some(done) => Err(page.spent_link("verify", &told(&page, done, link.email())).into()),
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

/// Without a form, no field was typed either.
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
    let link = auth.verify_link(token).await.map_err(|error| page.dead("verify", error))?;
    let refuse = |code, message: String| {
        let errors = FieldErrors::of("password", code, message);
        page.refuse("verify", errors, content(token, &link))
    };
    // An empty field is refused. A missing one is not: it makes the password void.
    if link.wants_password() && password.as_deref() == Some("") {
        let message = "Enter the password.".to_owned();
        return Err(refuse(PasswordError::Empty.code(), message).into());
    }

    match link.confirm(password.as_deref().map(Password::typed)).await {
        Ok(verified) => {
            let path = if page.user.is_some() { "/account" } else { "/login" };
            Ok(page.redirect_to(path, &told(&page, verified, link.email())))
        }
        Err(error @ VerifyError::WrongPassword) => {
            Err(refuse(error.code(), error.to_string()).into())
        }
        Err(VerifyError::DeadLink) => Err(page.dead_link("verify").into()),
        Err(VerifyError::Failed(error)) => Err(error.into()),
    }
}

/// Returns the values about `link` for the template.
fn content(token: &str, link: &VerifyLink<'_>) -> impl Serialize {
    let (email, former) = (link.email().clone(), link.former().cloned());
    let wants_password = link.wants_password();
    context! {
        token: token.to_owned(),
        confirmation: context! { email, former, wants_password },
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
        Verified::Confirmed => format!("Your email address {email} is confirmed."),
    }
}
