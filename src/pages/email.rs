//! `/account/email`: changes the address of an account.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, ChangeEmailError, RecentLogin};
use crate::password::Password;
use crate::user::Email;
use crate::web::{Done, Posted};

/// The fields of the form.
#[derive(FromForm)]
pub struct Move {
    #[field(default = String::new())]
    email: String,
    #[field(default = String::new())]
    current_password: String,
}

/// The content of the page.
#[derive(Serialize)]
pub struct ChangeEmailPage<'p> {
    /// What was typed as the new address.
    email: &'p str,
    /// `false` if there is no password to ask for.
    has_password: bool,
}

impl Content for ChangeEmailPage<'_> {
    const TEMPLATE: &'static str = "email";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "email", "current_password"];

    fn samples() -> Vec<Self> {
        [("", true), ("typed", true), ("", false)]
            .map(|(email, has_password)| ChangeEmailPage { email, has_password })
            .into()
    }
}

/// The page that says that nothing can be mailed.
#[derive(Serialize)]
pub struct NoMailPage {}

impl Content for NoMailPage {
    const TEMPLATE: &'static str = "no_mail";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        vec![NoMailPage {}]
    }
}

#[get("/account/email")]
pub async fn form(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    if !page.has_mail {
        return Err(page.forbid(NoMailPage {}, ChangeEmailError::NoMail).into());
    }
    let has_password = auth.has_password(&user).await?;
    Ok(page.render(ChangeEmailPage { email: "", has_password }))
}

#[post("/account/email", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Move>,
) -> Result<Done, Rejection> {
    if !auth.has_mail() {
        return Err(page.forbid(NoMailPage {}, ChangeEmailError::NoMail).into());
    }

    let Posted(Move { email: typed, current_password }) = form;
    // If it fails, the act below fails as well, and says more.
    let has_password = auth.has_password(&user).await.unwrap_or(true);
    let again = || ChangeEmailPage { email: &typed, has_password };
    let refuse = |errors| page.refuse(errors, again());

    let mut errors = FieldErrors::new();
    let email = Email::parse(&typed).map_err(|error| errors.add("email", error.code(), error));
    if email.as_ref().is_ok_and(|email| *email == user.email) {
        let error = ChangeEmailError::EmailUnchanged;
        errors.add("email", error.code(), error);
    }
    if has_password && current_password.is_empty() {
        errors.merge(super::wrong_password("current_password", ""));
    }
    let (Ok(email), true) = (email, errors.is_empty()) else {
        return Err(refuse(errors).into());
    };

    match auth.change_email(&user, &email, Password::typed(&current_password)).await {
        Ok(()) => {
            let message = format!(
                "We've emailed a link to {email}. Your address won't change until you confirm it there."
            );
            Ok(page.redirect_to("/account", &message))
        }
        Err(ChangeEmailError::Failed(error)) => Err(page.failed(error, again())),
        Err(ChangeEmailError::NoMail) => {
            Err(page.forbid(NoMailPage {}, ChangeEmailError::NoMail).into())
        }
        Err(error @ ChangeEmailError::EmailUnchanged) => {
            Err(refuse(FieldErrors::of("email", error.code(), error)).into())
        }
        Err(ChangeEmailError::WrongPassword) => {
            Err(refuse(super::wrong_password("current_password", &current_password)).into())
        }
    }
}
