//! `/reauthenticate`: asks for the password again, before something sensitive.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, ReauthenticateError};
use crate::clock::in_words;
use crate::password::Password;
use crate::user::User;
use crate::web::{Done, Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct Reauthentication {
    #[field(default = String::new())]
    password: String,
    /// Of the second factor, if the account has one.
    #[field(default = String::new())]
    code: String,
    next: Option<ReturnTo>,
}

/// The content of the page.
#[derive(Serialize)]
pub struct ReauthenticatePage {
    /// The page to go to afterwards.
    next: Option<ReturnTo>,
}

impl Content for ReauthenticatePage {
    const TEMPLATE: &'static str = "reauthenticate";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "password", "code"];

    fn samples() -> Vec<Self> {
        let paths = [None, ReturnTo::parse("/notes"), ReturnTo::parse("/account/export")];
        paths.map(|next| ReauthenticatePage { next }).into()
    }
}

#[get("/reauthenticate?<next>")]
pub fn form(page: Page<'_>, _user: &User, next: Option<ReturnTo>) -> Html {
    page.render(ReauthenticatePage { next })
}

#[post("/reauthenticate", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
    form: Posted<Reauthentication>,
) -> Result<Done, Rejection> {
    let Posted(Reauthentication { password, code, next }) = form;
    if user.has_factor && code.trim().is_empty() && !password.is_empty() {
        let errors = FieldErrors::of("code", "empty", "Enter the code.");
        return Err(page.refuse(errors, ReauthenticatePage { next }).into());
    }
    let confirmed = match password.is_empty() {
        true => Err(ReauthenticateError::WrongPassword),
        false => auth.reauthenticate(user, Password::typed(&password), &code).await,
    };
    match confirmed {
        Ok(()) => {
            let window = in_words(page.config.session.reauthenticate_after);
            Ok(page.redirect(next, &format!("Thanks. You won't be asked again for {window}.")))
        }
        Err(ReauthenticateError::Failed(error)) => {
            let path = page.path_of(next.clone());
            page.overtaken(error, &auth, path, ReauthenticatePage { next }).await
        }
        Err(error @ ReauthenticateError::WrongCode) => {
            let errors = FieldErrors::of("code", error.code(), error);
            Err(page.refuse(errors, ReauthenticatePage { next }).into())
        }
        Err(ReauthenticateError::WrongPassword) => {
            let errors = super::wrong_password("password", &password);
            Err(page.refuse(errors, ReauthenticatePage { next }).into())
        }
    }
}
