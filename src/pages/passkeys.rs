//! Passkeys: at the log-in, as the second step, and in the settings.

use rocket::http::Status;
use rocket::{Either, FromForm, State, get, post};
use serde_json::{Value, json};

use super::codes::{CodesPage, Shown};
use super::login::LogInPage;
use super::mailed_token::MailedToken;
use super::{FieldErrors, Page, Rejection, View, factor, security};
use crate::auth::{AddPasskeyError, Auth, PasskeyLogInError, RecentLogin, SecondFactor};
use crate::config::Config;
use crate::error::Error;
use crate::user::User;
use crate::web::{Done, Json, Posted, ReturnTo, SecretPath};

/// What a browser is to ask of a passkey, or 404 where there is nothing to ask.
type Options = Result<Json<Value>, Status>;

/// A new passkey.
#[derive(FromForm)]
pub struct New {
    /// `RegistrationResponseJSON`.
    #[field(default = String::new())]
    credential: String,
    #[field(default = String::new())]
    name: String,
}

/// The answer of a passkey at the log-in.
#[derive(FromForm)]
pub struct LogIn {
    /// `AuthenticationResponseJSON`.
    #[field(default = String::new())]
    credential: String,
    #[field(default = false)]
    remember: bool,
    next: Option<ReturnTo>,
}

/// The answer of a passkey as the second step.
#[derive(FromForm)]
pub struct SecondStep {
    #[field(default = String::new())]
    credential: String,
    #[field(default = false)]
    trust: bool,
    next: Option<ReturnTo>,
}

fn options(question: Option<Value>) -> Options {
    question.map(Json).ok_or(Status::NotFound)
}

#[post("/account/passkeys/options")]
pub async fn offer(user: RecentLogin<'_>, auth: Auth<'_>) -> Result<Options, Error> {
    Ok(options(auth.passkey_offer(&user).await?))
}

#[post("/account/passkeys", data = "<form>")]
pub async fn add(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<New>,
) -> Result<Either<View<Json<Shown>>, Done>, Rejection> {
    let Posted(New { credential, name }) = form;
    match auth.add_passkey(&user, &credential, &name).await {
        Ok(Some(codes)) => Ok(Either::Left(CodesPage::new(&user, &codes, true).render(&page))),
        Ok(None) => Ok(Either::Right(page.redirect_to(security::PATH, "The passkey was added."))),
        Err(AddPasskeyError::Failed(error)) => {
            let path = page.base.join(security::PATH);
            let content = security::content(&page, &user, &auth).await?;
            Ok(Either::Right(page.overtaken(error, &auth, path, content).await?))
        }
        Err(error) => {
            let field = match error {
                AddPasskeyError::NameInvalid => "name",
                _ => "form",
            };
            let errors = FieldErrors::of(field, error.code(), error);
            Err(security::refuse(&page, &user, &auth, errors).await)
        }
    }
}

/// Asks the user for no passkey any more.
#[post("/account/passkeys/decline")]
pub async fn decline(page: Page<'_>, user: &User, auth: Auth<'_>) -> Result<Done, Error> {
    auth.decline_passkey(user).await?;
    Ok(page
        .redirect_to("/account", "We won't ask you again. You can add a passkey under Security."))
}

/// The question names no account, so it tells a stranger nothing.
#[post("/login/passkey/options")]
pub async fn log_in_options(auth: Auth<'_>) -> Result<Options, Error> {
    Ok(options(auth.passkey_question().await?))
}

/// What a browser passes on to the place where the user's passkeys are kept.
#[get("/account/passkeys/known")]
pub async fn signals(user: &User, auth: Auth<'_>) -> Result<Json<Option<Value>>, Error> {
    Ok(Json(auth.passkey_signals(user).await?))
}

#[post("/login/passkey", data = "<form>")]
pub async fn log_in(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<LogIn>,
) -> Result<Done, Rejection> {
    let Posted(LogIn { credential, remember, next }) = form;
    let again = || LogInPage::new(&page, page.typed_email(), remember, next.clone());
    match auth.log_in_with_passkey(&credential, remember).await {
        Ok(_) => {
            page.forget_email();
            Ok(page.redirect(next, "You are logged in."))
        }
        Err(PasskeyLogInError::Failed(error)) => Err(page.failed(error, again())),
        Err(PasskeyLogInError::Refused(errors)) => Err(page.refuse(errors, again()).into()),
        Err(error) => {
            let content = match &error {
                PasskeyLogInError::Unknown(unknown) => again().without(unknown.clone()),
                _ => again(),
            };
            Err(page.refuse(FieldErrors::of("form", error.code(), error), content).into())
        }
    }
}

#[post("/login/factor/passkey/options")]
pub async fn second_step_options(auth: Auth<'_>) -> Result<Options, Error> {
    match auth.pending_log_in().await? {
        Some(log_in) => Ok(options(log_in.passkey_question().await?)),
        None => Ok(options(None)),
    }
}

#[post("/login/factor/passkey", data = "<form>")]
pub async fn second_step(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<SecondStep>,
) -> Result<Done, Rejection> {
    let Posted(SecondStep { credential, trust, next }) = form;
    let Some(log_in) = auth.pending_log_in().await? else {
        return Ok(factor::start_again(&page, next));
    };
    let given = SecondFactor::Passkey(&credential);
    factor::complete(&page, &log_in, (given, trust), next, "form").await
}

#[post("/reauthenticate/passkey/options")]
pub async fn reauthentication_options(user: &User, auth: Auth<'_>) -> Result<Options, Error> {
    Ok(options(auth.passkey_question_to(user).await?))
}

#[post("/reset/<token>/passkey/options")]
pub async fn reset_options(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Options, Rejection> {
    let MailedToken(token) = token;
    let link = auth.reset_link(token).await.map_err(|error| page.dead("reset", error))?;
    Ok(options(link.passkey_question().await?))
}

/// Tells password managers where users manage their passkeys
/// (<https://w3c.github.io/webappsec-passkey-endpoints/>).
#[get("/passkey-endpoints")]
pub fn endpoints(page: Page<'_>) -> Option<Json<Value>> {
    let url = page.config.site.url.as_deref()?;
    let place = format!("{url}{}", page.base.join(security::PATH));
    Some(Json(json!({ "enroll": place, "manage": place })))
}

/// Names the other sites that may use the passkeys of this one.
#[get("/webauthn")]
pub fn related(config: &State<Config>) -> Option<Json<Value>> {
    let origins = &config.factors.related_origins;
    (!origins.is_empty()).then(|| Json(json!({ "origins": origins })))
}
