//! `/reset`: sets a new password through a mailed link.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::Content;
use super::mailed_token::MailedToken;
use super::{FieldErrors, Html, Page, Rejection, View};
use crate::auth::{Auth, ResetError, ResetLink, SecondFactor};
use crate::clock::in_words;
use crate::error::Error;
use crate::user::Email;
use crate::web::{Done, Posted, SecretPath};

/// The message about what a used link did, and what to do then.
const SET: &str = "Your password was changed, and all devices were logged out.";
const LOG_IN: &str = "Log in with the new one.";

/// The fields of the first form.
#[derive(FromForm)]
pub struct Address {
    #[field(default = String::new())]
    email: String,
}

/// The fields of the second form.
#[derive(FromForm)]
pub struct Choice {
    #[field(default = String::new())]
    new_password: String,
    /// Of the second factor, if the account has one.
    #[field(default = String::new())]
    code: String,
    /// The answer of a passkey.
    #[cfg(feature = "passkeys")]
    #[field(default = String::new())]
    credential: String,
}

impl Choice {
    /// Returns what was given as the second factor, and the field of its error. `None`: nothing.
    fn second(&self) -> Option<(SecondFactor<'_>, &'static str)> {
        #[cfg(feature = "passkeys")]
        if !self.credential.is_empty() {
            return Some((SecondFactor::Passkey(&self.credential), "form"));
        }
        let is_there = !self.code.trim().is_empty();
        is_there.then_some((SecondFactor::Code(&self.code), "code"))
    }
}

/// The content of the first page.
#[derive(Serialize)]
pub struct ResetPage<'p> {
    /// What was typed as the address, or the address of the user.
    email: &'p str,
}

impl Content for ResetPage<'_> {
    const TEMPLATE: &'static str = "reset";
    const IS_FOR_SEARCH: bool = true;
    const FIELDS: &'static [&'static str] = &["form", "email"];

    fn samples() -> Vec<Self> {
        vec![ResetPage { email: "" }, ResetPage { email: "typed" }]
    }
}

/// The content of the page that says that a mail was sent.
#[derive(Serialize)]
pub struct ResetSentPage<'p> {
    email: &'p str,
    /// How long the link works, in words.
    lifetime: String,
}

impl Content for ResetSentPage<'_> {
    const TEMPLATE: &'static str = "reset_sent";

    fn samples() -> Vec<Self> {
        vec![ResetSentPage { email: "ada@example.org", lifetime: "1 hour".into() }]
    }
}

/// The content of the page for the new password.
#[derive(Serialize)]
pub struct ChoosePage<'p> {
    token: &'p str,
    /// The address of the account.
    email: &'p str,
    /// `true` if the account has a second factor.
    wants_code: bool,
    /// `true` if it has a passkey that can be used here.
    has_passkey: bool,
}

impl<'p> ChoosePage<'p> {
    async fn of(token: &'p str, link: &'p ResetLink<'_>) -> Result<Self, Error> {
        let (email, wants_code) = (link.email().as_str(), link.wants_code());
        let has_passkey = link.ways().await?.has_passkey;
        Ok(ChoosePage { token, email, wants_code, has_passkey })
    }
}

impl Content for ChoosePage<'_> {
    const TEMPLATE: &'static str = "reset_choose";
    const FIELDS: &'static [&'static str] = &["form", "new_password", "code"];

    fn samples() -> Vec<Self> {
        let page = |wants_code, has_passkey| ChoosePage {
            token: "token",
            email: "ada@example.org",
            wants_code,
            has_passkey,
        };
        vec![page(false, false), page(true, false), page(true, true)]
    }
}

#[get("/reset")]
pub fn form(page: Page<'_>) -> Html {
    let email = page.user.map_or(page.typed_email(), |user| &*user.email);
    page.render(ResetPage { email })
}

/// Answers with one page, and does equal work, whether or not the address has an account (user
/// enumeration).
#[post("/reset", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Address>,
) -> Result<View<Done>, Rejection> {
    let Posted(Address { email: typed }) = form;
    let email = match Email::parse(&typed) {
        Ok(email) => email,
        Err(error) => {
            let errors = FieldErrors::of("email", error.code(), error);
            return Err(page.refuse(errors, ResetPage { email: &typed }).into());
        }
    };

    page.keep_email(&email);
    let asked = auth.ask_reset(&email).await;
    asked.map_err(|error| page.failed(error, ResetPage { email: &typed }))?;
    let lifetime = in_words(page.config.accounts.reset_lifetime);
    let sent = page.render(ResetSentPage { email: email.as_str(), lifetime });
    Ok(sent.or(page.go_to("/login")))
}

/// Shows the page, and changes nothing: programs that scan mails open every link in them.
#[get("/reset/<token>")]
pub async fn choose(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Html, Rejection> {
    let MailedToken(token) = token;
    let link = auth.reset_link(token).await.map_err(|error| page.dead("reset", error))?;
    match link.is_spent() {
        false => Ok(page.render(ChoosePage::of(token, &link).await?)),
        true if page.user.is_some() => Err(page.spent_link("reset", SET).into()),
        true => Err(page.spent_link("reset", &format!("{SET} {LOG_IN}")).into()),
    }
}

#[post("/reset/<token>", data = "<form>")]
pub async fn set(
    _path: SecretPath,
    token: MailedToken<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Choice>,
) -> Result<Done, Rejection> {
    let MailedToken(token) = token;
    let Posted(choice) = form;
    // This comes first: visitors should not correct a form in vain.
    let link = auth.reset_link(token).await.map_err(|error| page.dead("reset", error))?;
    let second = choice.second();
    let set = match auth.new_password(&choice.new_password, link.email()) {
        Ok(_) if link.wants_code() && second.is_none() => {
            let errors = FieldErrors::of("code", "empty", "Enter the code.");
            return Err(page.refuse(errors, ChoosePage::of(token, &link).await?).into());
        }
        Ok(new) => link.set(new, second.map_or(SecondFactor::Code(""), |(given, _)| given)).await,
        Err(_) if link.is_spent() => Err(ResetError::DeadLink),
        Err(error) => Err(error.into()),
    };
    let errors = match set {
        Ok(()) => {
            page.keep_email(link.email());
            return Ok(page.redirect_to("/login", &format!("{SET} {LOG_IN}")));
        }
        Err(ResetError::DeadLink) => return Err(page.dead_link("reset").into()),
        Err(ResetError::Failed(error)) => {
            return Err(page.failed(error, ChoosePage::of(token, &link).await?));
        }
        Err(ResetError::Password(error)) => FieldErrors::of("new_password", error.code(), error),
        Err(error) => {
            let field = second.map_or("code", |(_, field)| field);
            FieldErrors::of(field, error.code(), error)
        }
    };
    Err(page.refuse(errors, ChoosePage::of(token, &link).await?).into())
}
