//! `/account/delete`: deletes an account.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;

use super::{Html, Page, Rejection};
use crate::auth::{Auth, DeleteError, RecentLogin};
use crate::password::Password;
use crate::web::Posted;

/// The fields of the form.
#[derive(FromForm)]
pub struct Deletion {
    #[field(default = String::new())]
    current_password: String,
}

#[get("/account/delete")]
pub fn form(_user: RecentLogin<'_>, page: Page<'_>) -> Html {
    page.render("delete", context! {})
}

#[post("/account/delete", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Deletion>,
) -> Result<Redirect, Rejection> {
    let Posted(Deletion { current_password }) = form;
    match auth.delete(&user, Password::typed(&current_password)).await {
        Ok(()) => Ok(page.redirect_home("Your account was deleted.")),
        Err(DeleteError::Failed(error)) => Ok(page.overtaken(error, &auth, None).await?),
        Err(DeleteError::WrongPassword) => {
            let errors = super::wrong_password("current_password", &current_password);
            Err(page.refuse("delete", errors, context! {}).into())
        }
    }
}
