//! `/account/password`: changes the password of an account.

use std::ops::Deref;

use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, ChangePasswordError, RecentLogin};
use crate::error::Error;
use crate::password::Password;
use crate::user::User;
use crate::web::{Done, Posted};

/// The logged-in user who may change the password, as a request guard.
///
/// It succeeds like [`&User`](User), except for a user with a second factor or without a password: for them
/// it is [`RecentLogin`]. The form asks all others for the current password anyway.
#[derive(Debug)]
pub struct PasswordOwner<'r> {
    user: &'r User,
    has_password: bool,
}

impl Deref for PasswordOwner<'_> {
    type Target = User;

    fn deref(&self) -> &Self::Target {
        self.user
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for PasswordOwner<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        let auth = try_outcome!(request.guard::<Auth<'_>>().await);
        let has_password = match auth.has_password(user).await {
            Ok(has_password) => has_password,
            Err(error) => return error.outcome(request),
        };
        if user.has_factor || !has_password {
            try_outcome!(request.guard::<RecentLogin<'_>>().await);
        }
        Outcome::Success(PasswordOwner { user, has_password })
    }
}

/// The fields of the form.
#[derive(FromForm)]
pub struct ChosenPassword {
    #[field(default = String::new())]
    current_password: String,
    #[field(default = String::new())]
    new_password: String,
}

/// The content of the page.
#[derive(Serialize)]
pub struct ChangePasswordPage {
    /// `false` if the user sets a password for the first time, or again.
    has_password: bool,
}

impl Content for ChangePasswordPage {
    const TEMPLATE: &'static str = "password";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "current_password", "new_password"];

    fn samples() -> Vec<Self> {
        [true, false].map(|has_password| ChangePasswordPage { has_password }).into()
    }
}

#[get("/account/password")]
pub fn form(page: Page<'_>, user: PasswordOwner<'_>) -> Html {
    page.render(ChangePasswordPage { has_password: user.has_password })
}

#[post("/account/password", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    user: PasswordOwner<'_>,
    auth: Auth<'_>,
    form: Posted<ChosenPassword>,
) -> Result<Done, Rejection> {
    let Posted(ChosenPassword { current_password, new_password }) = form;
    let has_password = user.has_password;
    let refuse = |errors| page.refuse(errors, ChangePasswordPage { has_password });

    let mut errors = FieldErrors::new();
    let new = auth
        .new_password(&new_password, &user.email)
        .map_err(|error| errors.add("new_password", error.code(), error));
    if has_password && current_password.is_empty() {
        errors.merge(super::wrong_password("current_password", ""));
    }
    let (Ok(new), true) = (new, errors.is_empty()) else {
        return Err(refuse(errors).into());
    };

    match auth.change_password(&user, Password::typed(&current_password), new).await {
        Ok(()) => {
            let was = if has_password { "changed" } else { "set" };
            let message = format!("Your password was {was}. All other devices were logged out.");
            Ok(page.redirect_to("/account", &message))
        }
        Err(ChangePasswordError::Failed(error)) => {
            let path = page.base.join("/account");
            page.overtaken(error, &auth, path, ChangePasswordPage { has_password }).await
        }
        Err(ChangePasswordError::Password(error)) => {
            Err(refuse(FieldErrors::of("new_password", error.code(), error)).into())
        }
        Err(ChangePasswordError::WrongPassword) => {
            Err(refuse(super::wrong_password("current_password", &current_password)).into())
        }
    }
}
