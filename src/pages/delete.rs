//! `/account/delete`: deletes an account.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Html, Page, Rejection};
use crate::auth::{Auth, DeleteError, RecentLogin};
use crate::error::Error;
use crate::password::Password;
use crate::web::{Done, Posted};

/// The fields of the form.
#[derive(FromForm)]
pub struct Deletion {
    #[field(default = String::new())]
    current_password: String,
}

/// The content of the page.
#[derive(Serialize)]
pub struct DeletePage {
    /// `false` if there is no password to ask for.
    has_password: bool,
}

impl Content for DeletePage {
    const TEMPLATE: &'static str = "delete";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "current_password"];

    fn samples() -> Vec<Self> {
        [true, false].map(|has_password| DeletePage { has_password }).into()
    }
}

#[get("/account/delete")]
pub async fn form(user: RecentLogin<'_>, page: Page<'_>, auth: Auth<'_>) -> Result<Html, Error> {
    Ok(page.render(DeletePage { has_password: auth.has_password(&user).await? }))
}

#[post("/account/delete", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Deletion>,
) -> Result<Done, Rejection> {
    let Posted(Deletion { current_password }) = form;
    // If it fails, the act below fails as well, and says more.
    let has_password = auth.has_password(&user).await.unwrap_or(true);
    match auth.delete(&user, Password::typed(&current_password)).await {
        Ok(()) => Ok(page.redirect_logged_out("Your account was deleted.")),
        Err(DeleteError::Failed(error)) => {
            let path = page.base.join("/account");
            page.overtaken(error, &auth, path, DeletePage { has_password }).await
        }
        Err(DeleteError::Refused(errors)) => {
            Err(page.refuse(errors, DeletePage { has_password }).into())
        }
        Err(DeleteError::WrongPassword) => {
            let errors = super::wrong_password("current_password", &current_password);
            Err(page.refuse(errors, DeletePage { has_password }).into())
        }
    }
}
