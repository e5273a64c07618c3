//! `/account/security`: all ways into the account, and how they are protected.

use rocket::{get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Page, View};
use crate::auth::{Auth, Factors, RecentLogin, RemoveFactorError};
use crate::clock::{Timestamp, in_rfc_3339};
use crate::error::Error;
use crate::factor::{Factor, FactorKind, RecoveryCodes};
use crate::user::User;
use crate::web::{Done, Json};

pub const PATH: &str = "/account/security";

/// The fewest recovery codes that are no reason to make new ones.
const ENOUGH_CODES: i64 = 3;

/// The content of the page.
#[derive(Serialize)]
pub struct SecurityPage {
    password_changed_at: Option<Timestamp>,
    /// The app that is on.
    app: Option<Factor>,
    codes: Option<RecoveryCodes>,
    trusted_devices: i64,
    /// `true` if users can add an app.
    has_apps: bool,
    /// What to do next.
    advice: Advice,
}

/// What the user should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Advice {
    /// Add a second step, or nothing else works.
    Required,
    ConfirmEmail,
    AddApp,
    MakeCodes,
    Nothing,
}

impl SecurityPage {
    fn of(page: &Page<'_>, user: &User, changed: Option<Timestamp>, factors: Factors) -> Self {
        let config = &page.config.factors;
        let Factors { factors, codes, trusted_devices, .. } = factors;
        let app = factors.into_iter().find(|factor| factor.kind == FactorKind::App);
        let has_enough = codes.is_some_and(|codes| codes.left >= ENOUGH_CODES);
        let advice = match (&app, config.app) {
            (None, true) if user.verified_at.is_none() && page.has_mail => Advice::ConfirmEmail,
            (None, true) if config.required => Advice::Required,
            (None, true) => Advice::AddApp,
            (Some(_), _) if !has_enough => Advice::MakeCodes,
            _ => Advice::Nothing,
        };
        let (password_changed_at, has_apps) = (changed, config.app);
        SecurityPage { password_changed_at, app, codes, trusted_devices, has_apps, advice }
    }
}

impl Content for SecurityPage {
    const TEMPLATE: &'static str = "security";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        let app = |last_used_at| Factor {
            id: 1,
            kind: FactorKind::App,
            name: String::new(),
            created_at: 0,
            last_used_at,
        };
        let codes = |left| Some(RecoveryCodes { left, created_at: 0 });
        let sample = |app: Option<Factor>, codes, trusted_devices, has_apps, advice| SecurityPage {
            password_changed_at: app.as_ref().map(|_| 1),
            app,
            codes,
            trusted_devices,
            has_apps,
            advice,
        };
        vec![
            sample(None, None, 0, true, Advice::ConfirmEmail),
            sample(None, None, 0, true, Advice::AddApp),
            sample(None, None, 0, true, Advice::Required),
            sample(None, None, 0, false, Advice::Nothing),
            sample(Some(app(None)), codes(10), 1, true, Advice::Nothing),
            sample(Some(app(Some(1))), codes(1), 2, true, Advice::MakeCodes),
            sample(Some(app(None)), None, 0, false, Advice::MakeCodes),
        ]
    }
}

/// The ways in, for a program.
#[derive(Serialize)]
pub struct Ways {
    password_changed_at: Option<String>,
    factors: Vec<Listed>,
    recovery_codes: Option<Codes>,
    trusted_devices: i64,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    kind: FactorKind,
    name: String,
    created_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct Codes {
    left: i64,
    created_at: Option<String>,
}

impl Ways {
    fn of(changed: Option<Timestamp>, factors: &Factors) -> Self {
        let listed = |factor: &Factor| Listed {
            id: factor.id.to_string(),
            kind: factor.kind,
            name: factor.name.clone(),
            created_at: in_rfc_3339(factor.created_at),
            last_used_at: factor.last_used_at.and_then(in_rfc_3339),
        };
        let codes = |codes: RecoveryCodes| Codes {
            left: codes.left,
            created_at: in_rfc_3339(codes.created_at),
        };
        Ways {
            password_changed_at: changed.and_then(in_rfc_3339),
            factors: factors.factors.iter().map(listed).collect(),
            recovery_codes: factors.codes.map(codes),
            trusted_devices: factors.trusted_devices,
        }
    }
}

#[get("/account/security")]
pub async fn form(page: Page<'_>, user: &User, auth: Auth<'_>) -> Result<View<Json<Ways>>, Error> {
    let changed = auth.settings(user).await?.password_changed_at;
    let factors = auth.factors(user).await?;
    let ways = Ways::of(changed, &factors);
    Ok(page.render(SecurityPage::of(&page, user, changed, factors)).or(Json(ways)))
}

/// Removes the app. If there is none, nothing changes.
#[post("/account/app/remove")]
pub async fn remove_app(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, RemoveFactorError> {
    let factors = auth.factors(&user).await?.factors;
    let app = factors.iter().find(|factor| factor.kind == FactorKind::App);
    let Some(app) = app else { return Ok(page.go_to(PATH)) };
    auth.remove_factor(&user, app.id).await?;
    Ok(page.redirect_to(PATH, "The authenticator app was removed."))
}
