//! `/login`: logs a user in.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, LogInError};
use crate::password::Password;
use crate::user::{Email, EmailError};
use crate::web::{Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct Login {
    #[field(default = String::new())]
    email: String,
    #[field(default = String::new())]
    password: String,
    #[field(default = false)]
    remember: bool,
    next: Option<ReturnTo>,
}

#[get("/login?<next>")]
pub fn form(page: Page<'_>, next: Option<ReturnTo>) -> Html {
    page.render("login", context! { email: "", remember: false, next })
}

#[post("/login", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Login>,
) -> Result<Redirect, Rejection> {
    let Posted(Login { email: typed, password, remember, next }) = form;
    let refuse =
        |errors| page.refuse("login", errors, context! { email: &typed, remember, next: &next });

    let mut empty = FieldErrors::new();
    if typed.trim().is_empty() {
        empty.add("email", EmailError::Empty.code(), EmailError::Empty);
    }
    if password.is_empty() {
        empty.merge(super::wrong_password("password", ""));
    }
    if !empty.is_empty() {
        return Err(refuse(empty).into());
    }

    let email = Email::parse(&typed).ok();
    match auth.log_in(email.as_ref(), Password::typed(&password), remember).await {
        Ok(()) => Ok(page.redirect(next, "You are logged in.")),
        Err(LogInError::Failed(error)) => Err(error.into()),
        Err(error) => Err(refuse(FieldErrors::of("form", error.code(), error)).into()),
    }
}
