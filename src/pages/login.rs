//! `/login`: the way back in.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, LogIn};
use crate::password::Password;
use crate::user::Email;
use crate::web::{Posted, ReturnTo};

/// One answer to everything, or it would tell which addresses have accounts.
const WRONG: &str = "Wrong email address or password.";

/// Said only to who knows the password.
pub(super) const DISABLED: &str =
    "This account is disabled. Ask the operator of this site for help.";

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
    let message = match auth.log_in(email.as_ref(), Password::typed(&password), remember).await? {
        LogIn::Done => return Ok(page.redirect(next, "You are logged in.")),
        LogIn::Wrong => WRONG,
        LogIn::Disabled => DISABLED,
    };
    Err(refuse(FieldErrors::from([("form", message.into())])).into())
}
