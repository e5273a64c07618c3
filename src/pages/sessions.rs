//! `/account/sessions`: shows where the user is logged in.

use rocket::{get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Page, View};
use crate::auth::{Auth, EndSessionError, RecentLogin, SessionPage, UserSession};
use crate::clock::in_rfc_3339;
use crate::error::Error;
use crate::user::User;
use crate::web::{Done, Json};

const PATH: &str = "/account/sessions";

/// A page of the list, for a program.
#[derive(Serialize)]
pub struct List {
    sessions: Vec<Listed>,
    page: u32,
    last_page: u32,
    total: i64,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    device: String,
    ip_address: String,
    created_at: Option<String>,
    last_seen_at: Option<String>,
    expires_at: Option<String>,
    is_strong: bool,
    /// The provider with which it began, by its name on the pages.
    provider: Option<String>,
    is_current: bool,
}

/// The content of the page.
#[derive(Serialize)]
pub struct SessionsPage {
    page: SessionPage,
}

impl Content for SessionsPage {
    const TEMPLATE: &'static str = "sessions";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        let session = |is_current: bool| UserSession {
            handle: "handle".into(),
            device: "Firefox on Linux".into(),
            ip_address: if is_current { String::new() } else { "192.0.2.1".into() },
            created_at: 0,
            last_seen_at: 0,
            expires_at: 0,
            is_strong: is_current,
            provider: (!is_current).then(|| "Example".into()),
            is_current,
        };
        let one = SessionPage { sessions: vec![session(true)], number: 1, last: 1, total: 1 };
        let many = (1..=3).map(|number| SessionPage {
            sessions: vec![session(true), session(false)],
            number,
            last: 3,
            total: 150,
        });
        many.chain([one]).map(|page| SessionsPage { page }).collect()
    }
}

#[get("/account/sessions?<page>")]
pub async fn list(
    page: Option<&str>,
    html: Page<'_>,
    user: &User,
    auth: Auth<'_>,
) -> Result<View<Json<List>>, Error> {
    let page = auth.sessions(user, page.map_or(1, number)).await?;
    let list = List {
        sessions: page.sessions.iter().map(Listed::from).collect(),
        page: page.number,
        last_page: page.last,
        total: page.total,
    };
    Ok(html.render(SessionsPage { page }).or(Json(list)))
}

impl From<&UserSession> for Listed {
    fn from(session: &UserSession) -> Self {
        Listed {
            id: session.handle.clone(),
            device: session.device.clone(),
            ip_address: session.ip_address.clone(),
            created_at: in_rfc_3339(session.created_at),
            last_seen_at: in_rfc_3339(session.last_seen_at),
            expires_at: in_rfc_3339(session.expires_at),
            is_strong: session.is_strong,
            provider: session.provider.clone(),
            is_current: session.is_current,
        }
    }
}

/// Returns the number of the page that `text` names: the first one if it is not a number, and the
/// last one if it is too large.
fn number(text: &str) -> u32 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().unwrap_or(u32::MAX) } else { 1 }
}

#[post("/account/sessions/<id>/revoke")]
pub async fn revoke(
    user: RecentLogin<'_>,
    id: &str,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, EndSessionError> {
    auth.end_session(&user, id).await?;
    Ok(page.redirect_to(PATH, "That device was logged out."))
}

#[post("/account/sessions/revoke-others")]
pub async fn revoke_others(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, Error> {
    let message = match auth.end_other_sessions(&user).await? {
        0 => "No other device was logged in.".into(),
        1 => "One other device was logged out.".into(),
        ended => format!("{ended} other devices were logged out."),
    };
    Ok(page.redirect_to(PATH, &message))
}
