//! `/reauthenticate`: asks for the password again, before something sensitive.

use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{FieldErrors, Html, Page, Rejection};
use crate::auth::{Auth, ReauthenticateError, SecondFactor, Ways};
use crate::clock::in_words;
use crate::error::Error;
use crate::password::Password;
use crate::user::User;
use crate::web::{Done, Posted, ReturnTo};

/// The fields of the form.
#[derive(FromForm)]
pub struct Reauthentication {
    #[field(default = String::new())]
    password: String,
    /// Of the second factor, if the account has one.
    #[field(default = String::new())]
    code: String,
    /// The answer of a passkey.
    #[cfg(feature = "passkeys")]
    #[field(default = String::new())]
    credential: String,
    next: Option<ReturnTo>,
}

/// The content of the page.
#[derive(Serialize)]
pub struct ReauthenticatePage {
    /// `true` if the account has a password.
    has_password: bool,
    /// `true` if the account has an app.
    has_app: bool,
    /// `true` if the account has a passkey that can be used here.
    has_passkey: bool,
    /// The page to go to afterwards.
    next: Option<ReturnTo>,
}

impl ReauthenticatePage {
    async fn of(auth: &Auth<'_>, user: &User, next: Option<ReturnTo>) -> Result<Self, Error> {
        let Ways { has_app, has_passkey, .. } = auth.ways(user).await?;
        let has_password = auth.has_password(user).await?;
        Ok(ReauthenticatePage { has_password, has_app, has_passkey, next })
    }
}

impl Content for ReauthenticatePage {
    const TEMPLATE: &'static str = "reauthenticate";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "password", "code"];

    fn samples() -> Vec<Self> {
        let paths = [None, ReturnTo::parse("/notes"), ReturnTo::parse("/account/export")];
        let samples = |next: Option<ReturnTo>| {
            [(true, true, false), (true, false, true), (false, false, true), (false, false, false)]
                .map(|(has_password, has_app, has_passkey)| ReauthenticatePage {
                    has_password,
                    has_app,
                    has_passkey,
                    next: next.clone(),
                })
        };
        paths.into_iter().flat_map(samples).collect()
    }
}

#[get("/reauthenticate?<next>")]
pub async fn form(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
    next: Option<ReturnTo>,
) -> Result<Html, Error> {
    Ok(page.render(ReauthenticatePage::of(&auth, user, next).await?))
}

#[post("/reauthenticate", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
    form: Posted<Reauthentication>,
) -> Result<Done, Rejection> {
    let Posted(typed) = form;
    let (next, field) = (typed.next.clone(), if typed.has_passkey() { "form" } else { "code" });
    let done = typed.submit(user, &auth).await;
    let content = ReauthenticatePage::of(&auth, user, next.clone()).await;
    let errors = match done {
        Ok(()) => {
            let window = in_words(page.config.session.reauthenticate_after);
            return Ok(
                page.redirect(next, &format!("Thanks. You won't be asked again for {window}."))
            );
        }
        Err(Refused::Failed(error)) => {
            // The session has another token if a form was sent twice.
            let content = content.unwrap_or(ReauthenticatePage {
                has_password: true,
                has_app: false,
                has_passkey: false,
                next: next.clone(),
            });
            return page.overtaken(error, &auth, page.path_of(next), content).await;
        }
        Err(Refused::Password) if content.as_ref().is_ok_and(|page| !page.has_password) => {
            let message = "Use a passkey that asks for your PIN, finger or face.";
            FieldErrors::of("form", "passkey_refused", message)
        }
        Err(Refused::NoCode) => FieldErrors::of("code", "empty", "Enter the code."),
        Err(Refused::Password) => super::wrong_password("password", &typed.password),
        Err(Refused::Code(error)) => FieldErrors::of(field, error.code(), error),
    };
    Err(page.refuse(errors, content?).into())
}

/// Why what was typed is refused.
enum Refused {
    NoCode,
    Password,
    Code(ReauthenticateError),
    Failed(Error),
}

impl Reauthentication {
    #[cfg(feature = "passkeys")]
    fn has_passkey(&self) -> bool {
        !self.credential.is_empty()
    }

    #[cfg(not(feature = "passkeys"))]
    fn has_passkey(&self) -> bool {
        false
    }

    async fn submit(&self, user: &User, auth: &Auth<'_>) -> Result<(), Refused> {
        let done = match (self.password.is_empty(), self.has_passkey()) {
            #[cfg(feature = "passkeys")]
            (true, true) => auth.reauthenticate_with_passkey(user, &self.credential).await,
            (true, _) => return Err(Refused::Password),
            (false, false) if user.has_factor && self.code.trim().is_empty() => {
                return Err(Refused::NoCode);
            }
            (false, _) => auth.reauthenticate(user, self.password(), self.second()).await,
        };
        done.map_err(|error| match error {
            ReauthenticateError::Failed(error) => Refused::Failed(error),
            ReauthenticateError::WrongPassword => Refused::Password,
            error => Refused::Code(error),
        })
    }

    fn password(&self) -> Password {
        Password::typed(&self.password)
    }

    fn second(&self) -> SecondFactor<'_> {
        #[cfg(feature = "passkeys")]
        if self.has_passkey() {
            return SecondFactor::Passkey(&self.credential);
        }
        SecondFactor::Code(&self.code)
    }
}
