//! `/login`: logs a user in.

use rocket::{FromForm, get, post, uri};
use serde::Serialize;

use super::content::Content;
use super::provider_links::ProviderLink;
use super::{FieldErrors, Html, Page, Rejection, factor};
#[cfg(feature = "passkeys")]
use crate::auth::UnknownPasskey;
use crate::auth::{Auth, LogIn, LogInError};
use crate::base::Base;
use crate::password::Password;
use crate::user::{Email, EmailError};
use crate::web::{Done, Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct Login {
    #[field(default = String::new())]
    email: String,
    #[field(default = String::new())]
    password: String,
    #[field(default = false)]
    remember: bool,
    next: Option<ReturnTo>,
}

/// The content of the page.
#[derive(Serialize)]
pub struct LogInPage<'p> {
    /// What was typed as the address.
    email: &'p str,
    remember: bool,
    /// The page to go to afterwards.
    next: Option<ReturnTo>,
    /// A mailed link makes the account, so there may be none before the link is used.
    is_sign_up_by_mail: bool,
    /// `true` if visitors can log in with a passkey.
    has_passkeys: bool,
    /// The passkey with which the visitor has just tried in vain, if no account has it.
    #[cfg(feature = "passkeys")]
    unknown_passkey: Option<UnknownPasskey>,
    /// The name of the provider that this browser has logged in with before.
    last_provider: Option<String>,
    /// The provider that the visitor has come from, if the address that it has sent belongs to an
    /// account which is not connected to it.
    connect: Option<ProviderLink>,
}

impl<'p> LogInPage<'p> {
    pub fn new(page: &Page<'_>, email: &'p str, remember: bool, next: Option<ReturnTo>) -> Self {
        let is_sign_up_by_mail = page.is_sign_up_by_mail();
        let has_passkeys = page.has_passkeys;
        LogInPage {
            email,
            remember,
            next,
            is_sign_up_by_mail,
            has_passkeys,
            #[cfg(feature = "passkeys")]
            unknown_passkey: None,
            last_provider: page.last_provider(),
            connect: None,
        }
    }

    /// Returns this content for a visitor who has come from `provider` with the address of an account
    /// that is not connected to it. The form leads to the page that connects the two.
    #[cfg(feature = "providers")]
    pub fn connecting(self, page: &Page<'_>, provider: ProviderLink) -> Self {
        let path = format!("/account/providers/{}/link", provider.name);
        let next = ReturnTo::parse(&page.base.join(&path));
        LogInPage { next, connect: Some(provider), ..self }
    }

    /// Returns this content for a visitor whose passkey no account has.
    #[cfg(feature = "passkeys")]
    pub fn without(self, unknown: UnknownPasskey) -> Self {
        LogInPage { unknown_passkey: Some(unknown), ..self }
    }
}

impl Content for LogInPage<'_> {
    const TEMPLATE: &'static str = "login";
    const IS_FOR_SEARCH: bool = true;
    const FIELDS: &'static [&'static str] = &["form", "email", "password"];
    const CODES: &'static [(&'static str, &'static str)] = &[("form", "wrong_password")];

    fn samples() -> Vec<Self> {
        let sample = |email, next, is| LogInPage {
            email,
            remember: is,
            next,
            is_sign_up_by_mail: is,
            has_passkeys: is,
            #[cfg(feature = "passkeys")]
            unknown_passkey: is.then(|| UnknownPasskey {
                rp_id: "example.org".into(),
                credential_id: "AAAA".into(),
            }),
            last_provider: is.then(|| "google-id".into()),
            connect: None,
        };
        let connect = ProviderLink::samples().pop();
        let next = ReturnTo::parse("/notes?page=2");
        vec![
            sample("", None, false),
            sample("typed", next.clone(), true),
            LogInPage { connect, ..sample("", next, false) },
        ]
    }
}

/// Returns the path of this page. `next` is the page to go to afterwards.
pub fn path(base: &Base, next: Option<ReturnTo>) -> String {
    base.join(uri!(form(next = next)))
}

#[get("/login?<next>")]
pub fn form(page: Page<'_>, next: Option<ReturnTo>) -> Html {
    page.render(LogInPage::new(&page, page.typed_email(), false, next))
}

#[post("/login", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Login>,
) -> Result<Done, Rejection> {
    let Posted(Login { email: typed, password, remember, next }) = form;
    let again = || LogInPage::new(&page, &typed, remember, next.clone());
    let refuse = |errors| page.refuse(errors, again());

    let mut empty = FieldErrors::new();
    if typed.trim().is_empty() {
        empty.add("email", EmailError::Empty.code(), EmailError::Empty);
    }
    if password.is_empty() {
        empty.merge(super::wrong_password("password", ""));
    }
    if !empty.is_empty() {
        return Err(refuse(empty).into());
    }

    let email = Email::parse(&typed).ok();
    let done = auth.log_in(email.as_ref(), Password::typed(&password), remember).await;
    if let (Err(_), Some(email)) = (&done, &email) {
        // For the page that resets the password.
        page.keep_email(email);
    }
    match done {
        Ok(LogIn::LoggedIn(_)) => {
            page.forget_email();
            Ok(page.redirect(next, "You are logged in."))
        }
        Ok(LogIn::FactorNeeded) => Ok(Done::to(factor::path(&page, next))),
        Err(LogInError::Failed(error)) => Err(page.failed(error, again())),
        Err(LogInError::Refused(errors)) => Err(refuse(errors).into()),
        Err(error) => Err(refuse(FieldErrors::of("form", error.code(), error)).into()),
    }
}
