//! `/reauthenticate`: asks for the password again, before something sensitive.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{Html, Page, Rejection};
use crate::auth::{Auth, ReauthenticateError};
use crate::clock::in_words;
use crate::password::Password;
use crate::user::User;
use crate::web::{Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct Reauthentication {
    #[field(default = String::new())]
    password: String,
    next: Option<ReturnTo>,
}

#[get("/reauthenticate?<next>")]
pub fn form(page: Page<'_>, _user: &User, next: Option<ReturnTo>) -> Html {
    page.render("reauthenticate", context! { next })
}

#[post("/reauthenticate", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
    form: Posted<Reauthentication>,
) -> Result<Redirect, Rejection> {
    let Posted(Reauthentication { password, next }) = form;
    let confirmed = match password.is_empty() {
        true => Err(ReauthenticateError::WrongPassword),
        false => auth.reauthenticate(user, Password::typed(&password)).await,
    };
    match confirmed {
        Ok(()) => {
            let window = in_words(page.config.session.reauthenticate_after);
            Ok(page.redirect(next, &format!("Thanks. You won't be asked again for {window}.")))
        }
        Err(ReauthenticateError::Failed(error)) => Ok(page.overtaken(error, &auth, next).await?),
        Err(ReauthenticateError::WrongPassword) => {
            let errors = super::wrong_password("password", &password);
            Err(page.refuse("reauthenticate", errors, context! { next }).into())
        }
    }
}
