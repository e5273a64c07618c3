//! `/account`: the user's own page, with links to all pages below it.

use rocket::{Either, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Html, Page};
use crate::auth::{Auth, Settings};
use crate::clock::{Timestamp, in_rfc_3339};
use crate::error::Error;
use crate::notice::Notice;
use crate::user::{Email, Roles, User};
use crate::web::{Done, Json};

/// The language of all pages and mails.
const LANGUAGE: &str = "en";

/// The account, for a program.
#[derive(Serialize)]
pub struct Account {
    id: String,
    email: Email,
    created_at: Option<String>,
    verified_at: Option<String>,
    roles: Roles,
    language: &'static str,
}

impl Account {
    fn of(user: &User) -> Self {
        Account {
            // JavaScript would round a large number.
            id: user.id.to_string(),
            email: user.email.clone(),
            created_at: in_rfc_3339(user.created_at),
            verified_at: user.verified_at.and_then(in_rfc_3339),
            roles: user.roles.clone(),
            language: LANGUAGE,
        }
    }
}

/// The content of the page: the state of each setting.
#[derive(Serialize)]
pub struct AccountPage {
    has_password: bool,
    /// `true` if the page asks for a passkey, which the user can refuse for good.
    offers_passkey: bool,
    password_changed_at: Option<Timestamp>,
    devices: i64,
    notices_on: i64,
    notices: usize,
}

impl AccountPage {
    fn of(settings: &Settings, offers_passkey: bool) -> Self {
        AccountPage {
            has_password: settings.has_password,
            offers_passkey,
            password_changed_at: settings.password_changed_at,
            devices: settings.devices,
            notices_on: settings.notices,
            notices: Notice::ALL.len(),
        }
    }
}

impl Content for AccountPage {
    const TEMPLATE: &'static str = "account";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        let page = |has_password, password_changed_at, devices, offers_passkey| AccountPage {
            has_password,
            offers_passkey,
            password_changed_at,
            devices,
            notices_on: devices,
            notices: Notice::ALL.len(),
        };
        vec![page(true, None, 1, true), page(true, Some(1), 3, false), page(false, None, 0, false)]
    }
}

/// A program gets nothing that the session does not know, so it costs no further look-up.
#[get("/account")]
pub async fn account(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
) -> Result<Either<Html, Json<Account>>, Error> {
    if page.prefers_json {
        return Ok(Either::Right(Json(Account::of(user))));
    }
    let settings = auth.settings(user).await?;
    let offers_passkey = page.config.offers_passkeys()
        && user.verified_at.is_some()
        && !user.has_factor
        && !settings.wants_no_passkey;
    Ok(Either::Left(page.render(AccountPage::of(&settings, offers_passkey))))
}

/// Sends the link that confirms the address again.
#[post("/account/verify")]
pub async fn verify(page: Page<'_>, user: &User, auth: Auth<'_>) -> Result<Done, Error> {
    let message = match (auth.has_mail(), user.verified_at) {
        (false, _) => "This site doesn't send email, so nothing was sent.",
        (true, Some(_)) => "Your address is already confirmed.",
        (true, None) => {
            auth.ask_verification(user).await?;
            "We've emailed you a link. Open it to confirm your address."
        }
    };
    Ok(page.redirect_to("/account", message))
}
