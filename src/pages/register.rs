//! `/register`: creates an account.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, RegisterError, Registered};
use crate::user::Email;
use crate::web::{Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct Registration {
    #[field(default = String::new())]
    email: String,
    #[field(default = String::new())]
    password: String,
    next: Option<ReturnTo>,
}

#[get("/register?<next>")]
pub fn form(page: Page<'_>, next: Option<ReturnTo>) -> Result<Html, Rejection> {
    match page.is_registration_open() {
        true => Ok(page.render("register", context! { email: "", next })),
        false => Err(page.forbid("closed").into()),
    }
}

#[post("/register", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Registration>,
) -> Result<Redirect, Rejection> {
    // This comes before the check of the fields: visitors should not correct a form in vain.
    if !auth.is_registration_open() {
        return Err(page.forbid("closed").into());
    }

    let Posted(Registration { email: typed, password, next }) = form;
    let refuse = |errors| -> Rejection {
        page.refuse("register", errors, context! { email: &typed, next: &next }).into()
    };

    let mut errors = FieldErrors::new();
    let email = Email::parse(&typed).map_err(|error| errors.add("email", error.code(), error));
    let password = auth
        .new_password(&password, &typed)
        .map_err(|error| errors.add("password", error.code(), error));
    let (Ok(email), Ok(password)) = (email, password) else {
        return Err(refuse(errors));
    };

    match auth.register(&email, password).await {
        Ok(Registered::LoggedIn) => Ok(page.redirect(next, "Welcome! Your account is ready.")),
        Ok(Registered::HadAccount) => {
            Ok(page.redirect(next, "Your account is ready, and you are logged in."))
        }
        Ok(Registered::MailSent) => Ok(page.go_to("/register/sent")),
        Err(RegisterError::Closed) => Err(page.forbid("closed").into()),
        Err(RegisterError::Failed(error)) => Err(error.into()),
        Err(RegisterError::Password(error)) => {
            Err(refuse(FieldErrors::of("password", error.code(), error)))
        }
        Err(error) => Err(refuse(FieldErrors::of("email", error.code(), error))),
    }
}

/// Shows where the mail was sent. The page does not depend on whether the address has an account
/// already (user enumeration).
#[get("/register/sent")]
pub fn sent(page: Page<'_>) -> Html {
    page.render("register_sent", context! {})
}
