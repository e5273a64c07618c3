//! `/account/app`: sets up an app that shows codes.

use rocket::{Either, FromForm, get, post};
use serde::Serialize;

use super::codes::{CodesPage, Shown};
use super::content::{Audience, Content};
use super::{FieldErrors, Page, Rejection, View, qr, security};
use crate::auth::{AddAppError, AppOffer, Auth, RecentLogin};
use crate::error::Error;
use crate::factor::FactorKind;
use crate::web::{Done, Json, Posted};

/// The fields of the form.
#[derive(FromForm)]
pub struct SetUp {
    #[field(default = String::new())]
    code: String,
    /// The secret, sealed.
    #[field(default = String::new())]
    secret: String,
}

/// The content of the page.
#[derive(Serialize)]
pub struct AppPage {
    /// The QR code, as SVG. It is empty if the address is too long for one.
    picture: String,
    /// What the QR code says. On a phone, it is a link to the app.
    uri: String,
    /// The secret in groups, for typing.
    secret: String,
    /// The secret, sealed for the form.
    sealed: String,
}

impl AppPage {
    fn of(AppOffer { secret, uri, sealed, .. }: AppOffer) -> Self {
        let picture = qr::svg(&uri, "QR code for your authenticator app").unwrap_or_default();
        AppPage { picture, uri, secret, sealed }
    }
}

impl Content for AppPage {
    const TEMPLATE: &'static str = "app";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "code"];

    fn samples() -> Vec<Self> {
        let sample = |picture: &str| AppPage {
            picture: picture.into(),
            uri: "otpauth://totp/Example:ada%40example.org?secret=ABCD&issuer=Example".into(),
            secret: "ABCD EFGH".into(),
            sealed: "sealed".into(),
        };
        vec![sample("<svg></svg>"), sample("")]
    }
}

/// What a program needs to set up an app.
#[derive(Serialize)]
pub struct Offer {
    secret: String,
    uri: String,
    sealed: String,
}

/// A new secret, or the way back if an app is on.
#[get("/account/app")]
pub async fn form(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Either<View<Json<Offer>>, Done>, Error> {
    let factors = auth.factors(&user).await?.factors;
    if factors.iter().any(|factor| factor.kind == FactorKind::App) {
        return Ok(Either::Right(page.go_to(security::PATH)));
    }
    let offer = auth.app_offer(&user);
    let for_program = Offer {
        secret: offer.secret.replace(' ', ""),
        uri: offer.uri.clone(),
        sealed: offer.sealed.clone(),
    };
    Ok(Either::Left(page.render(AppPage::of(offer)).or(Json(for_program))))
}

#[post("/account/app", data = "<form>")]
pub async fn submit(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<SetUp>,
) -> Result<Either<View<Json<Shown>>, Done>, Rejection> {
    let Posted(SetUp { code, secret }) = form;
    // The same secret again: the visitor has scanned it.
    let again = || {
        let offer = auth.same_app_offer(&user, &secret);
        AppPage::of(offer.unwrap_or_else(|| auth.app_offer(&user)))
    };
    let refuse = |field, code, text: &str| -> Rejection {
        page.refuse(FieldErrors::of(field, code, text), again()).into()
    };
    if code.trim().is_empty() {
        return Err(refuse("code", "empty", "Enter the code that the app shows."));
    }
    match auth.add_app(&user, &secret, &code).await {
        Ok(Some(codes)) => Ok(Either::Left(CodesPage::new(&user, &codes, true).render(&page))),
        Ok(None) => {
            Ok(Either::Right(page.redirect_to(security::PATH, "The authenticator app was added.")))
        }
        // It was added a moment ago, by a form that was sent twice.
        Err(AddAppError::AppOn) => Ok(Either::Right(page.go_to(security::PATH))),
        Err(AddAppError::Failed(error)) => {
            let path = page.base.join(security::PATH);
            Ok(Either::Right(page.overtaken(error, &auth, path, again()).await?))
        }
        Err(error @ (AddAppError::WrongCode | AddAppError::ClockOff(_))) => {
            Err(refuse("code", error.code(), &error.to_string()))
        }
        Err(error) => Err(refuse("form", error.code(), &error.to_string())),
    }
}
