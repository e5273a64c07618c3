//! `/account/activity`: the security history.

use rocket::get;
use rocket_dyn_templates::context;
use serde::Serialize;

use super::{Html, Page};
use crate::auth::Auth;
use crate::error::Error;
use crate::history::Event;
use crate::user::User;

/// An event, and its name for the user.
#[derive(Serialize)]
struct Entry {
    text: String,
    #[serde(flatten)]
    event: Event,
}

#[get("/account/activity")]
pub async fn list(page: Page<'_>, user: &User, auth: Auth<'_>) -> Result<Html, Error> {
    let history = auth.history(user).await?.into_iter();
    let entries: Vec<Entry> =
        history.map(|event| Entry { text: event.kind.to_string(), event }).collect();
    Ok(page.render("activity", context! { entries }))
}
