//! `/login`: the way back in.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, LogInError};
use crate::password::Password;
use crate::user::Email;
use crate::web::{Posted, ReturnTo};

/// What is typed into the form.
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
        empty.insert("email", "Enter your email address.".into());
    }
    if password.is_empty() {
        empty.insert("password", "Enter your password.".into());
    }
    if !empty.is_empty() {
        return Err(refuse(empty).into());
    }

    let email = Email::parse(&typed).ok();
    match auth.log_in(email.as_ref(), Password::typed(&password), remember).await {
        Ok(()) => Ok(page.redirect(next, "You are logged in.")),
        Err(LogInError::Failed(error)) => Err(error.into()),
        Err(error) => Err(refuse(FieldErrors::from([("form", error.to_string())])).into()),
    }
}
