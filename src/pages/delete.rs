//! `/account/delete`: deletes an account.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Html, Page, Rejection};
use crate::auth::{Auth, DeleteError, RecentLogin};
use crate::password::Password;
use crate::web::{Done, Posted};

/// The fields of the form.
#[derive(FromForm)]
pub struct Deletion {
    #[field(default = String::new())]
    current_password: String,
}

/// The page has only the shared values.
#[derive(Serialize)]
pub struct DeletePage {}

impl Content for DeletePage {
    const TEMPLATE: &'static str = "delete";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "current_password"];

    fn samples() -> Vec<Self> {
        vec![DeletePage {}]
    }
}

#[get("/account/delete")]
pub fn form(_user: RecentLogin<'_>, page: Page<'_>) -> Html {
    page.render(DeletePage {})
}

#[post("/account/delete", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Deletion>,
) -> Result<Done, Rejection> {
    let Posted(Deletion { current_password }) = form;
    match auth.delete(&user, Password::typed(&current_password)).await {
        Ok(()) => Ok(page.redirect_logged_out("Your account was deleted.")),
        Err(DeleteError::Failed(error)) => {
            page.overtaken(error, &auth, page.base.join("/account"), DeletePage {}).await
        }
        Err(DeleteError::Refused(errors)) => Err(page.refuse(errors, DeletePage {}).into()),
        Err(DeleteError::WrongPassword) => {
            let errors = super::wrong_password("current_password", &current_password);
            Err(page.refuse(errors, DeletePage {}).into())
        }
    }
}
