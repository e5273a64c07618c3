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
        None => Err(page.dead_link("verify").into()),
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
        auth.refuse_link().await?;
        return Err(page.dead_link("verify").into());
    };

    let refuse = |message: &str| {
        let errors = FieldErrors::from([("password", message.to_owned())]);
        page.refuse("verify", errors, context! { token, confirmation: &confirmation })
    };
    // Left empty is not left out: that makes the password void.
    if confirmation.wants_password && password.as_deref() == Some("") {
        return Err(refuse("Enter the password.").into());
    }

    let email = &confirmation.email;
    let password = password.as_deref().map(Password::typed);
    let way = match page.has_mail {
        true => "Choose a password for it now: \"Forgot your password?\"",
        false => "Ask whoever runs this site for a link to a password.",
    };
    let message = match auth.verify(token, password).await? {
        Verified::Dead => return Err(page.dead_link("verify").into()),
        Verified::WrongPassword => return Err(refuse("This is not the password.").into()),
        Verified::Confirmed => format!("The address {email} is confirmed."),
        Verified::Changed => format!("The account has the address {email} now."),
        Verified::WithoutPassword if confirmation.former.is_some() => {
            format!("The account has the address {email} now, and its password is void. {way}")
        }
        Verified::WithoutPassword => format!("The address {email} is confirmed. {way}"),
    };

    let path = if page.user.is_some() { "/account" } else { "/login" };
    Ok(page.redirect_to(path, &message))
}
