//! `/account/notices`: chooses the notices that the user gets by mail.

use rocket::response::Redirect;
use rocket::{FromForm, get, post};
use rocket_dyn_templates::context;
use serde::Serialize;

use super::{Html, Page};
use crate::auth::{Auth, RecentLogin};
use crate::error::Error;
use crate::notice::Notice;
use crate::web::Posted;

/// The boxes that are ticked.
#[derive(FromForm)]
pub struct Wanted {
    #[field(default = false)]
    new_device: bool,
    #[field(default = false)]
    password_changed: bool,
    #[field(default = false)]
    password_reset: bool,
    #[field(default = false)]
    email_changed: bool,
    #[field(default = false)]
    failures: bool,
}

/// A box to tick.
#[derive(Serialize)]
struct Choice {
    name: &'static str,
    text: &'static str,
    is_ticked: bool,
}

#[get("/account/notices")]
pub async fn form(user: RecentLogin<'_>, page: Page<'_>, auth: Auth<'_>) -> Result<Html, Error> {
    let wanted = auth.notices(&user).await?;
    let boxes = Notice::ALL.map(|notice| Choice {
        name: notice.name(),
        text: text(notice),
        is_ticked: wanted.contains(&notice),
    });
    Ok(page.render("notices", context! { boxes }))
}

#[post("/account/notices", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Wanted>,
) -> Result<Redirect, Error> {
    let Posted(form) = form;
    let wanted: Vec<Notice> = Notice::ALL
        .into_iter()
        .filter(|notice| match notice {
            Notice::NewDevice => form.new_device,
            Notice::PasswordChanged => form.password_changed,
            Notice::PasswordReset => form.password_reset,
            Notice::EmailChanged => form.email_changed,
            Notice::Failures => form.failures,
        })
        .collect();
    auth.set_notices(&user, &wanted).await?;
    Ok(page.redirect(None, "Your notification settings are saved."))
}

fn text(notice: Notice) -> &'static str {
    match notice {
        Notice::NewDevice => "Log-in from a new device",
        Notice::PasswordChanged => "Password changed",
        Notice::PasswordReset => "Password reset with an emailed link",
        Notice::EmailChanged => "Email address changed",
        Notice::Failures => "Ten failed log-ins in a row",
    }
}
