//! `/login/factor`: the second step of a log-in.

use rocket::{Either, FromForm, get, post, uri};
use serde::Serialize;

use super::content::Content;
use super::{FieldErrors, Html, Page, Rejection, login};
use crate::auth::{Auth, SecondStepError};
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
    /// `true` if the visitor has chosen to type a recovery code.
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
        let sample = |is_recovery, trusted_for: &str, next| FactorPage {
            email: "ada@example.org".into(),
            is_recovery,
            trusted_for: trusted_for.into(),
            trust: is_recovery,
            next,
        };
        let notes = || ReturnTo::parse("/notes");
        vec![sample(false, "", None), sample(false, "", notes()), sample(true, "14 days", notes())]
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
    let content = FactorPage {
        email: log_in.user().email.to_string(),
        is_recovery: recovery.unwrap_or(false),
        trusted_for: trusted_for(&page),
        trust: false,
        next,
    };
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
    let again = || FactorPage {
        email: log_in.user().email.to_string(),
        // Only a long code has letters.
        is_recovery: code.chars().any(char::is_alphabetic),
        trusted_for: trusted_for(&page),
        trust,
        next: next.clone(),
    };
    let refuse = |errors| -> Rejection { page.refuse(errors, again()).into() };
    if code.trim().is_empty() {
        return Err(refuse(FieldErrors::of("code", "empty", "Enter the code.")));
    }
    match log_in.complete(&code, trust).await {
        Ok(done) => {
            page.forget_email();
            Ok(page.redirect(next, &welcome(done.codes_left)))
        }
        Err(error @ SecondStepError::WrongCode) => {
            Err(refuse(FieldErrors::of("code", error.code(), error)))
        }
        Err(SecondStepError::Refused(errors)) => Err(refuse(errors)),
        Err(SecondStepError::Failed(error)) => Err(page.failed(error, again())),
        Err(error) => {
            page.keep_email(&log_in.user().email);
            let login = page.base.join(uri!(login::form(next = next)));
            Ok(page.redirect_to_path(login, &error.to_string()))
        }
    }
}

/// Leads to the log-in page, if no log-in of this browser waits for its second step.
fn start_again(page: &Page<'_>, next: Option<ReturnTo>) -> Done {
    Done::to(page.base.join(uri!(login::form(next = next))))
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
