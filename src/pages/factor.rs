//! `/login/factor`: the second step of a log-in.

use rocket::{Either, FromForm, get, post, uri};
use serde::Serialize;

use super::content::Content;
use super::{FieldErrors, Html, Page, Rejection, login};
use crate::auth::{Auth, PendingLogIn, SecondFactor, SecondStepError, Ways};
use crate::clock::in_words;
use crate::error::Error;
use crate::web::{Done, Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct SecondStep {
    #[field(default = String::new())]
    code: String,
    #[field(default = false)]
    trust: bool,
    next: Option<ReturnTo>,
}

/// The content of the page.
#[derive(Serialize)]
pub struct FactorPage {
    /// The address of the account.
    email: String,
    /// `true` if the account has an app.
    has_app: bool,
    /// `true` if the account has a passkey that can be used here.
    has_passkey: bool,
    /// `true` if the visitor has chosen to type a recovery code, or there is no app.
    is_recovery: bool,
    /// For how long this device can skip the second step, in words. It is empty if it never can.
    trusted_for: String,
    trust: bool,
    /// The page to go to afterwards.
    next: Option<ReturnTo>,
}

impl Content for FactorPage {
    const TEMPLATE: &'static str = "factor";
    const FIELDS: &'static [&'static str] = &["form", "code"];

    fn samples() -> Vec<Self> {
        let sample = |(has_app, has_passkey, is_recovery), trusted_for: &str, next| FactorPage {
            email: "ada@example.org".into(),
            has_app,
            has_passkey,
            is_recovery,
            trusted_for: trusted_for.into(),
            trust: is_recovery,
            next,
        };
        let notes = || ReturnTo::parse("/notes");
        vec![
            sample((true, false, false), "", None),
            sample((true, false, false), "", notes()),
            sample((true, false, true), "14 days", notes()),
            sample((true, true, false), "14 days", None),
            sample((false, true, true), "", None),
        ]
    }
}

impl FactorPage {
    async fn of(
        page: &Page<'_>,
        log_in: &PendingLogIn<'_>,
        trust: bool,
        next: Option<ReturnTo>,
    ) -> Result<Self, Error> {
        let Ways { has_app, has_passkey } = log_in.ways().await?;
        Ok(FactorPage {
            email: log_in.user().email.to_string(),
            has_app,
            has_passkey,
            is_recovery: !has_app,
            trusted_for: trusted_for(page),
            trust,
            next,
        })
    }
}

/// Returns the path of this page. `next` is the page to go to afterwards.
pub fn path(page: &Page<'_>, next: Option<ReturnTo>) -> String {
    page.base.join(uri!(form(next = next, recovery = None::<bool>)))
}

#[get("/login/factor?<next>&<recovery>")]
pub async fn form(
    page: Page<'_>,
    auth: Auth<'_>,
    next: Option<ReturnTo>,
    recovery: Option<bool>,
) -> Result<Either<Html, Done>, Error> {
    let Some(log_in) = auth.pending_log_in().await? else {
        return Ok(Either::Right(start_again(&page, next)));
    };
    let mut content = FactorPage::of(&page, &log_in, false, next).await?;
    content.is_recovery |= recovery.unwrap_or(false);
    Ok(Either::Left(page.render(content)))
}

#[post("/login/factor", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<SecondStep>,
) -> Result<Done, Rejection> {
    let Posted(SecondStep { code, trust, next }) = form;
    let Some(log_in) = auth.pending_log_in().await? else { return Ok(start_again(&page, next)) };
    if code.trim().is_empty() {
        let content = FactorPage::of(&page, &log_in, trust, next).await?;
        let errors = FieldErrors::of("code", "empty", "Enter the code.");
        return Err(page.refuse(errors, content).into());
    }
    complete(&page, &log_in, (SecondFactor::Code(&code), trust), next, "code").await
}

/// Completes the log-in with what was given, and whether to trust the device. `field` gets the error.
pub async fn complete(
    page: &Page<'_>,
    log_in: &PendingLogIn<'_>,
    (given, trust): (SecondFactor<'_>, bool),
    next: Option<ReturnTo>,
    field: &'static str,
) -> Result<Done, Rejection> {
    let error = match log_in.complete(given, trust).await {
        Ok(done) => {
            page.forget_email();
            return Ok(page.redirect(next, &welcome(done.codes_left)));
        }
        Err(error @ (SecondStepError::TooManyCodes | SecondStepError::LogInOver)) => {
            page.keep_email(&log_in.user().email);
            let login = login::path(page.base, next);
            return Ok(page.redirect_to_path(login, &error.to_string()));
        }
        Err(error) => error,
    };
    let mut content = FactorPage::of(page, log_in, trust, next).await?;
    // Only a recovery code has letters.
    content.is_recovery |=
        matches!(given, SecondFactor::Code(code) if code.chars().any(char::is_alphabetic));
    Err(match error {
        SecondStepError::Refused(errors) => page.refuse(errors, content).into(),
        SecondStepError::Failed(error) => page.failed(error, content),
        error => page.refuse(FieldErrors::of(field, error.code(), error), content).into(),
    })
}

/// Leads to the log-in page, if no log-in of this browser waits for its second step.
pub fn start_again(page: &Page<'_>, next: Option<ReturnTo>) -> Done {
    Done::to(login::path(page.base, next))
}

fn trusted_for(page: &Page<'_>) -> String {
    match page.config.factors.trusted_for {
        never if never.is_zero() => String::new(),
        trusted_for => in_words(trusted_for),
    }
}

fn welcome(codes_left: Option<i64>) -> String {
    match codes_left {
        None => "You are logged in.".into(),
        Some(0) => "You are logged in. That was your last recovery code. Make new ones.".into(),
        Some(1) => "You are logged in. One recovery code is left. Make new ones.".into(),
        Some(left) => format!("You are logged in. {left} recovery codes are left."),
    }
}
