//! `/reset`: a new password, through a mailed link.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, ResetError};
use crate::clock::in_words;
use crate::password::PasswordError;
use crate::user::Email;
use crate::web::{Posted, SecretPath};

/// What a used link has done.
const SET: &str =
    "Your password was changed, and all devices were logged out. Log in with the new one.";

/// What is typed into the first form.
#[derive(FromForm)]
pub struct Request {
    #[field(default = String::new())]
    email: String,
}

/// What is typed into the second one.
#[derive(FromForm)]
pub struct Choice {
    #[field(default = String::new())]
    new_password: String,
}

#[get("/reset")]
pub fn form(page: Page<'_>) -> Html {
    page.render("reset", context! { email: page.user.map_or("", |user| user.email.as_str()) })
}

/// The same page, and the same work, whether or not the address is known.
#[post("/reset", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Request>,
) -> Result<Html, Rejection> {
    let Posted(Request { email: typed }) = form;
    let email = match Email::parse(&typed) {
        Ok(email) => email,
        Err(error) => {
            let errors = FieldErrors::from([("email", error.to_string())]);
            return Err(page.refuse("reset", errors, context! { email: &typed }).into());
        }
    };

    if auth.has_mail() {
        auth.ask_reset(&email).await?;
    }
    let lifetime = in_words(page.config.accounts.reset_lifetime);
    Ok(page.render("reset_sent", context! { email: email.as_str(), lifetime }))
}

/// Changes nothing: programs that scan mail open every link in it.
#[get("/reset/<token>")]
pub async fn choose(
    _path: SecretPath,
    token: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    match auth.find_reset(token).await? {
        Some(email) => Ok(page.render("reset_choose", context! { token, email })),
        None => {
            let done = auth.was_reset(token).await?.then(|| SET.to_owned());
            Err(page.spent_link("reset", done).into())
        }
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
    // First: nobody should mend a form for nothing.
    let email = auth.find_reset(token).await?.map(|email| email.to_string()).unwrap_or_default();
    let refuse = |error: PasswordError| -> Rejection {
        let errors = FieldErrors::from([("new_password", error.to_string())]);
        page.refuse("reset_choose", errors, context! { token, email: &email }).into()
    };
    let new = match auth.new_password(&new_password, &email) {
        Ok(new) => new,
        Err(_) if email.is_empty() => {
            auth.refuse_link().await?;
            return Err(page.dead_link("reset").into());
        }
        Err(error) => return Err(refuse(error)),
    };

    match auth.reset(token, new).await {
        Ok(()) => Ok(page.redirect_to("/login", SET)),
        Err(ResetError::Dead) => Err(page.dead_link("reset").into()),
        Err(ResetError::New(error)) => Err(refuse(error)),
        Err(ResetError::Failed(error)) => Err(error.into()),
    }
}
