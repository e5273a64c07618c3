//! `/account/security`: all ways into the account, and how they are protected.

use rocket::{Either, FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::provider_links::{NO_MARK, ProviderLink};
use super::{FieldErrors, Page, Rejection, View};
use crate::auth::{
    Auth, ConnectedIdentity, Factors, RecentLogin, RemoveFactorError, RemovePasswordError,
    RenamePasskeyError, Settings,
};
use crate::clock::{Timestamp, in_rfc_3339};
use crate::error::Error;
use crate::factor::{Factor, FactorKind, RecoveryCodes};
use crate::user::User;
use crate::web::{Done, Json, Posted};

pub const PATH: &str = "/account/security";

/// Where the forms on the page lead. Their paths do not tell on which page they stand.
pub const FORMS: [&str; 5] = [
    "/account/app/remove",
    "/account/codes",
    "/account/passkeys",
    "/account/password/remove",
    "/account/providers",
];

/// The fewest recovery codes that are no reason to make new ones.
const ENOUGH_CODES: i64 = 3;

/// The content of the page.
#[derive(Serialize)]
pub struct SecurityPage {
    has_password: bool,
    /// `true` if the user could do without a password.
    is_password_optional: bool,
    password_changed_at: Option<Timestamp>,
    /// The app that is on.
    app: Option<Factor>,
    passkeys: Vec<Factor>,
    recovery_codes: Option<RecoveryCodes>,
    trusted_devices: i64,
    /// The user's accounts at providers.
    identities: Vec<ShownIdentity>,
    /// The providers that the user could connect.
    connectable: Vec<ProviderLink>,
    /// `true` if users can add an app.
    has_apps: bool,
    /// `true` if users can add a passkey.
    has_passkeys: bool,
    /// What to do next.
    advice: Advice,
}

/// An account at a provider, with which the user logs in.
#[derive(Serialize)]
pub struct ShownIdentity {
    #[serde(flatten)]
    identity: ConnectedIdentity,
    mark: &'static str,
}

impl ShownIdentity {
    fn samples() -> Vec<Self> {
        let identity = |link: ProviderLink, is_used: bool| ShownIdentity {
            mark: link.mark,
            identity: ConnectedIdentity {
                id: 1,
                provider: link.name,
                label: link.label,
                issuer: "https://provider.example".into(),
                subject: "1".into(),
                email: is_used.then(|| "ada@example.com".into()),
                created_at: 0,
                last_used_at: is_used.then_some(1),
                is_offered: is_used,
            },
        };
        let links = ProviderLink::samples().into_iter();
        links.zip([true, false]).map(|(link, is_used)| identity(link, is_used)).collect()
    }
}

/// What the user should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Advice {
    /// Add a second step, or nothing else works.
    Required,
    ConfirmEmail,
    AddFactor,
    MakeCodes,
    Nothing,
}

impl SecurityPage {
    fn of(
        page: &Page<'_>,
        user: &User,
        settings: &Settings,
        (found, is_password_optional): (Factors, bool),
    ) -> Self {
        let config = &page.config.factors;
        let has_passkeys = page.config.offers_passkeys();
        let (apps, passkeys): (Vec<_>, Vec<_>) =
            found.factors.into_iter().partition(|factor| factor.kind == FactorKind::App);
        let has_enough = found.codes.is_some_and(|codes| codes.left >= ENOUGH_CODES);
        let has_any = !apps.is_empty() || !passkeys.is_empty();
        let advice = match has_any {
            true if !has_enough => Advice::MakeCodes,
            false if !config.app && !has_passkeys => Advice::Nothing,
            false if user.verified_at.is_none() => Advice::ConfirmEmail,
            false if config.required => Advice::Required,
            false => Advice::AddFactor,
            true => Advice::Nothing,
        };
        let shown = |identity: ConnectedIdentity| ShownIdentity {
            mark: page.provider(&identity.provider).map_or(NO_MARK, |link| link.mark),
            identity,
        };
        let identities: Vec<_> = found.identities.into_iter().map(shown).collect();
        let is_free = |link: &ProviderLink| {
            identities.iter().all(|shown| shown.identity.provider != link.name)
        };
        let connectable = page.providers.iter().filter(|link| is_free(link)).cloned().collect();
        SecurityPage {
            has_password: settings.has_password,
            is_password_optional,
            password_changed_at: settings.password_changed_at,
            app: apps.into_iter().next(),
            passkeys,
            recovery_codes: found.codes,
            trusted_devices: found.trusted_devices,
            identities,
            connectable,
            has_apps: config.app,
            has_passkeys,
            advice,
        }
    }
}

/// Returns the content of the page.
pub async fn content(page: &Page<'_>, user: &User, auth: &Auth<'_>) -> Result<SecurityPage, Error> {
    let (settings, factors) = (auth.settings(user).await?, auth.factors(user).await?);
    let is_optional = auth.is_password_optional(&factors);
    Ok(SecurityPage::of(page, user, &settings, (factors, is_optional)))
}

impl Content for SecurityPage {
    const TEMPLATE: &'static str = "security";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "name"];

    fn samples() -> Vec<Self> {
        let factor = |kind, last_used_at: Option<Timestamp>| Factor {
            id: 1,
            kind,
            name: if kind == FactorKind::App { String::new() } else { "Bitwarden".into() },
            created_at: 0,
            last_used_at,
            is_synced: last_used_at.is_some(),
            is_sufficient: last_used_at.is_some(),
        };
        let bare = |advice| SecurityPage {
            has_password: true,
            is_password_optional: false,
            password_changed_at: None,
            app: None,
            passkeys: Vec::new(),
            recovery_codes: None,
            trusted_devices: 0,
            identities: Vec::new(),
            connectable: Vec::new(),
            has_apps: advice != Advice::Nothing,
            has_passkeys: advice != Advice::Nothing,
            advice,
        };
        let full = |used, left, trusted_devices, advice| SecurityPage {
            password_changed_at: Some(1),
            app: Some(factor(FactorKind::App, used)),
            passkeys: vec![factor(FactorKind::Passkey, used)],
            recovery_codes: Some(RecoveryCodes { left, created_at: 0 }),
            trusted_devices,
            ..bare(advice)
        };
        vec![
            bare(Advice::ConfirmEmail),
            bare(Advice::AddFactor),
            SecurityPage { has_passkeys: false, ..bare(Advice::AddFactor) },
            bare(Advice::Required),
            bare(Advice::Nothing),
            full(None, 10, 1, Advice::Nothing),
            full(Some(1), 1, 2, Advice::MakeCodes),
            SecurityPage { recovery_codes: None, ..full(None, 0, 0, Advice::MakeCodes) },
            SecurityPage { is_password_optional: true, ..full(Some(1), 10, 0, Advice::Nothing) },
            SecurityPage { has_password: false, ..full(Some(1), 10, 0, Advice::Nothing) },
            SecurityPage { has_password: false, ..bare(Advice::AddFactor) },
            SecurityPage { connectable: ProviderLink::samples(), ..bare(Advice::Nothing) },
            SecurityPage {
                is_password_optional: true,
                identities: ShownIdentity::samples(),
                connectable: ProviderLink::samples(),
                ..bare(Advice::Nothing)
            },
            SecurityPage {
                has_password: false,
                identities: ShownIdentity::samples(),
                ..bare(Advice::Nothing)
            },
        ]
    }
}

/// The ways in, for a program.
#[derive(Serialize)]
pub struct Ways {
    has_password: bool,
    password_changed_at: Option<String>,
    factors: Vec<Listed>,
    recovery_codes: Option<Codes>,
    trusted_devices: i64,
    identities: Vec<ListedIdentity>,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    kind: FactorKind,
    name: String,
    created_at: Option<String>,
    last_used_at: Option<String>,
    is_synced: bool,
    is_sufficient: bool,
}

/// An account at a provider. Its issuer and subject are in the export.
#[derive(Serialize)]
struct ListedIdentity {
    id: String,
    provider: String,
    label: String,
    email: Option<String>,
    created_at: Option<String>,
    last_used_at: Option<String>,
    is_offered: bool,
}

#[derive(Serialize)]
struct Codes {
    left: i64,
    created_at: Option<String>,
}

impl Ways {
    fn of(settings: &Settings, factors: &Factors) -> Self {
        let listed = |factor: &Factor| Listed {
            id: factor.id.to_string(),
            kind: factor.kind,
            name: factor.name.clone(),
            created_at: in_rfc_3339(factor.created_at),
            last_used_at: factor.last_used_at.and_then(in_rfc_3339),
            is_synced: factor.is_synced,
            is_sufficient: factor.is_sufficient,
        };
        let connected = |identity: &ConnectedIdentity| ListedIdentity {
            id: identity.id.to_string(),
            provider: identity.provider.clone(),
            label: identity.label.clone(),
            email: identity.email.clone(),
            created_at: in_rfc_3339(identity.created_at),
            last_used_at: identity.last_used_at.and_then(in_rfc_3339),
            is_offered: identity.is_offered,
        };
        let codes = |codes: RecoveryCodes| Codes {
            left: codes.left,
            created_at: in_rfc_3339(codes.created_at),
        };
        Ways {
            has_password: settings.has_password,
            password_changed_at: settings.password_changed_at.and_then(in_rfc_3339),
            factors: factors.factors.iter().map(listed).collect(),
            recovery_codes: factors.codes.map(codes),
            trusted_devices: factors.trusted_devices,
            identities: factors.identities.iter().map(connected).collect(),
        }
    }
}

#[get("/account/security")]
pub async fn form(page: Page<'_>, user: &User, auth: Auth<'_>) -> Result<View<Json<Ways>>, Error> {
    let (settings, factors) = (auth.settings(user).await?, auth.factors(user).await?);
    let (ways, is_optional) = (Ways::of(&settings, &factors), auth.is_password_optional(&factors));
    let content = SecurityPage::of(&page, user, &settings, (factors, is_optional));
    Ok(page.render(content).or(Json(ways)))
}

/// Shows the page again, with what is wrong at `field`.
pub async fn refuse(
    page: &Page<'_>,
    user: &User,
    auth: &Auth<'_>,
    errors: FieldErrors,
) -> Rejection {
    match content(page, user, auth).await {
        Ok(content) => page.refuse(errors, content).into(),
        Err(error) => error.into(),
    }
}

/// Removes the password. If there is none, nothing changes.
#[post("/account/password/remove")]
pub async fn remove_password(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, Rejection> {
    match auth.remove_password(&user).await {
        Ok(()) => {
            let message = "The password was removed. All other devices were logged out.";
            Ok(page.redirect_to(PATH, message))
        }
        Err(RemovePasswordError::Failed(error)) => {
            let content = content(&page, &user, &auth).await?;
            page.overtaken(error, &auth, page.base.join(PATH), content).await
        }
        Err(error) => {
            let errors = FieldErrors::of("form", error.code(), error);
            Err(refuse(&page, &user, &auth, errors).await)
        }
    }
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

/// The new name of a passkey.
#[derive(FromForm)]
pub struct Name {
    #[field(default = String::new())]
    name: String,
}

#[post("/account/passkeys/<id>/rename", data = "<form>")]
pub async fn rename(
    id: &str,
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Name>,
) -> Result<Done, Either<Rejection, RenamePasskeyError>> {
    let Posted(Name { name }) = form;
    let renamed = match id.parse() {
        Ok(id) => auth.rename_passkey(&user, id, &name).await,
        Err(_) => Err(RenamePasskeyError::NoSuchFactor),
    };
    match renamed {
        Ok(()) => Ok(page.redirect_to(PATH, "The passkey has a new name.")),
        Err(error @ RenamePasskeyError::NameInvalid) => {
            let errors = FieldErrors::of("name", error.code(), error);
            Err(Either::Left(refuse(&page, &user, &auth, errors).await))
        }
        Err(error) => Err(Either::Right(error)),
    }
}

#[post("/account/passkeys/<id>/remove")]
pub async fn remove(
    id: &str,
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, Either<Rejection, RemoveFactorError>> {
    let removed = match id.parse() {
        Ok(id) => auth.remove_factor(&user, id).await,
        Err(_) => Err(RemoveFactorError::NoSuchFactor),
    };
    match removed {
        Ok(()) => Ok(page.redirect_to(PATH, "The passkey was removed.")),
        Err(error @ RemoveFactorError::LastWayIn) => {
            let errors = FieldErrors::of("form", error.code(), error);
            Err(Either::Left(refuse(&page, &user, &auth, errors).await))
        }
        Err(error) => Err(Either::Right(error)),
    }
}
