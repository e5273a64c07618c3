//! `/verify/<token>`: confirms an address through a mailed link.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Content, sample_email};
use super::mailed_token::MailedToken;
use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, Verified, VerifyError, VerifyLink};
use crate::password::{Password, PasswordError};
use crate::user::Email;
use crate::web::{Done, PostedOrNothing, SecretPath};

/// The fields of the form, if it asks for a password.
#[derive(FromForm)]
pub struct Proof {
    password: Option<String>,
}

/// The content of the page.
#[derive(Serialize)]
pub struct VerifyPage {
    token: String,
    confirmation: Confirmation,
    /// The application refuses the sign-up that the link would complete.
    is_refused: bool,
}

/// What the link confirms.
#[derive(Serialize)]
struct Confirmation {
    email: Email,
    /// The present address of the account, if the link changes it.
    former: Option<Email>,
    wants_password: bool,
    /// `false` if the account has no password that could be wanted.
    has_password: bool,
}

impl VerifyPage {
    fn of(token: &str, link: &VerifyLink<'_>, is_refused: bool) -> Self {
        let (email, former) = (link.email().clone(), link.former().cloned());
        let (wants_password, has_password) = (link.wants_password(), link.has_password());
        let confirmation = Confirmation { email, former, wants_password, has_password };
        VerifyPage { token: token.to_owned(), confirmation, is_refused }
    }
}

impl Content for VerifyPage {
    const TEMPLATE: &'static str = "verify";
    const FIELDS: &'static [&'static str] = &["form", "password"];

    fn samples() -> Vec<Self> {
        let sample = |former: Option<Email>, wants_password, is_refused| VerifyPage {
            token: "token".into(),
            confirmation: Confirmation {
                email: sample_email(),
                former,
                wants_password,
                has_password: true,
            },
            is_refused,
        };
        let mut without = sample(Some(sample_email()), true, false);
        without.confirmation.has_password = false;
        vec![
            sample(None, true, false),
            sample(None, false, false),
            sample(None, false, true),
            sample(Some(sample_email()), true, false),
            sample(Some(sample_email()), false, false),
            without,
        ]
    }
}

/// Shows the page, and changes nothing: programs that scan mails open every link in them.
#[get("/verify/<token>")]
pub async fn form(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    let MailedToken(token) = token;
    let link = auth.verify_link(token).await.map_err(|error| page.dead("verify", error))?;
    match link.done() {
        None => Ok(page.render(VerifyPage::of(token, &link, false))),
        Some(done) => Err(page.spent_link("verify", &told(&page, done)).into()),
    }
}

#[post("/verify/<token>", data = "<form>")]
pub async fn submit(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: PostedOrNothing<Proof>,
) -> Result<Done, Rejection> {
    let MailedToken(token) = token;
    let PostedOrNothing(form) = form;
    let password = form.and_then(|Proof { password }| password);
    let link = auth.verify_link(token).await.map_err(|error| page.dead("verify", error))?;
    let refuse = |code, message: String| {
        let errors = FieldErrors::of("password", code, message);
        page.refuse(errors, VerifyPage::of(token, &link, false))
    };
    // An empty field is refused. A missing one is not: it makes the password void.
    if link.wants_password() && password.as_deref() == Some("") {
        let message = "Enter the password.".to_owned();
        return Err(refuse(PasswordError::Empty.code(), message).into());
    }

    match link.confirm(password.as_deref().map(Password::typed)).await {
        Ok(verified) => {
            let told = told(&page, &verified);
            if page.user.is_some() {
                return Ok(page.redirect_to("/account", &told));
            }
            page.keep_email(&verified.user().email);
            Ok(page.redirect_to("/login", &told))
        }
        Err(error @ VerifyError::WrongPassword) => {
            Err(refuse(error.code(), error.to_string()).into())
        }
        Err(VerifyError::Refused(errors)) => {
            Err(page.refuse(errors, VerifyPage::of(token, &link, true)).into())
        }
        Err(VerifyError::DeadLink) => Err(page.dead_link("verify").into()),
        Err(VerifyError::Failed(error)) => {
            Err(page.failed(error, VerifyPage::of(token, &link, false)))
        }
    }
}

fn told(page: &Page<'_>, verified: &Verified) -> String {
    let email = &verified.user().email;
    let way = match page.has_mail {
        true => "Choose a new one now: \"Forgot your password?\"",
        false => "Ask the operator of this site for a reset link.",
    };
    match verified {
        Verified::Changed(_) => format!("Your email address is now {email}."),
        Verified::WithoutPassword(_) => {
            format!(
                "Your email address {email} is confirmed. Its old password no longer works. {way}"
            )
        }
        Verified::Confirmed(_) => format!("Your email address {email} is confirmed."),
    }
}
