//! `/account/notices`: chooses the notices that the user gets by mail.

use std::collections::BTreeMap;

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Page, View};
use crate::auth::{Auth, RecentLogin};
use crate::error::Error;
use crate::notice::Notice;
use crate::web::{Done, Json, Posted};

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
    #[field(default = false)]
    factors: bool,
    #[field(default = false)]
    factor_missed: bool,
}

/// The content of the page.
#[derive(Serialize)]
pub struct NoticesPage {
    boxes: [Choice; Notice::ALL.len()],
}

/// A box to tick.
#[derive(Serialize)]
struct Choice {
    name: &'static str,
    text: &'static str,
    is_ticked: bool,
}

impl Choice {
    fn of(notice: Notice, is_ticked: bool) -> Self {
        Choice { name: notice.name(), text: text(notice), is_ticked }
    }
}

impl Content for NoticesPage {
    const TEMPLATE: &'static str = "notices";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        [false, true]
            .map(|is| NoticesPage { boxes: Notice::ALL.map(|notice| Choice::of(notice, is)) })
            .into()
    }
}

#[get("/account/notices")]
pub async fn form(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<View<Json<BTreeMap<&'static str, bool>>>, Error> {
    let wanted = auth.notices(&user).await?;
    let by_name = Notice::ALL.map(|notice| (notice.name(), wanted.contains(&notice)));
    let boxes = Notice::ALL.map(|notice| Choice::of(notice, wanted.contains(&notice)));
    Ok(page.render(NoticesPage { boxes }).or(Json(BTreeMap::from(by_name))))
}

#[post("/account/notices", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Wanted>,
) -> Result<Done, Error> {
    let Posted(form) = form;
    let wanted: Vec<Notice> = Notice::ALL
        .into_iter()
        .filter(|notice| match notice {
            Notice::NewDevice => form.new_device,
            Notice::PasswordChanged => form.password_changed,
            Notice::PasswordReset => form.password_reset,
            Notice::EmailChanged => form.email_changed,
            Notice::Failures => form.failures,
            Notice::Factors => form.factors,
            Notice::FactorMissed => form.factor_missed,
        })
        .collect();
    auth.set_notices(&user, &wanted).await?;
    Ok(page.redirect_to("/account/notices", "Saved."))
}

fn text(notice: Notice) -> &'static str {
    match notice {
        Notice::NewDevice => "Log-in from a new device",
        Notice::PasswordChanged => "Password changed",
        Notice::PasswordReset => "Password reset with an emailed link",
        Notice::EmailChanged => "Email address changed",
        Notice::Failures => "Ten failed log-ins in a row",
        Notice::Factors => "Second step changed, or recovery code used",
        Notice::FactorMissed => "Right password entered, but no second step",
    }
}
