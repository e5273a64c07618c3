//! `/reset`: sets a new password through a mailed link.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, ResetError};
use crate::clock::in_words;
use crate::user::Email;
use crate::web::{Posted, SecretPath};

/// The message about what a used link did.
const SET: &str =
    "Your password was changed, and all devices were logged out. Log in with the new one.";

/// The fields of the first form.
#[derive(FromForm)]
pub struct Address {
    #[field(default = String::new())]
    email: String,
}

/// The fields of the second form.
#[derive(FromForm)]
pub struct Choice {
    #[field(default = String::new())]
    new_password: String,
}

#[get("/reset")]
pub fn form(page: Page<'_>) -> Html {
    page.render("reset", context! { email: page.user.map_or("", |user| user.email.as_str()) })
}

/// Answers with one page, and does equal work, whether or not the address has an account (user
/// enumeration).
#[post("/reset", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Address>,
) -> Result<Html, Rejection> {
    let Posted(Address { email: typed }) = form;
    let email = match Email::parse(&typed) {
        Ok(email) => email,
        Err(error) => {
            let errors = FieldErrors::of("email", error.code(), error);
            return Err(page.refuse("reset", errors, context! { email: &typed }).into());
        }
    };

    auth.ask_reset(&email).await?;
    let lifetime = in_words(page.config.accounts.reset_lifetime);
    Ok(page.render("reset_sent", context! { email: email.as_str(), lifetime }))
}

/// Shows the page, and changes nothing: programs that scan mails open every link in them.
#[get("/reset/<token>")]
pub async fn choose(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    let link = auth.reset_link(token).await.map_err(|error| page.dead("reset", error))?;
    match link.is_spent() {
        false => Ok(page.render("reset_choose", context! { token, email: link.email() })),
        true => Err(page.spent_link("reset", SET).into()),
    }
}

#[post("/reset/<token>", data = "<form>")]
pub async fn set(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Choice>,
) -> Result<Redirect, Rejection> {
    let Posted(Choice { new_password }) = form;
    // This comes first: visitors should not correct a form in vain.
    let link = auth.reset_link(token).await.map_err(|error| page.dead("reset", error))?;
    let set = match auth.new_password(&new_password, link.email()) {
        Ok(new) => link.set(new).await,
        Err(_) if link.is_spent() => Err(ResetError::DeadLink),
        Err(error) => Err(error.into()),
    };
    match set {
        Ok(()) => Ok(page.redirect_to("/login", SET)),
        Err(ResetError::DeadLink) => Err(page.dead_link("reset").into()),
        Err(ResetError::Password(error)) => {
            let errors = FieldErrors::of("new_password", error.code(), error);
            let content = context! { token, email: link.email() };
            Err(page.refuse("reset_choose", errors, content).into())
        }
        Err(ResetError::Failed(error)) => Err(error.into()),
    }
}
