//! `/reauthenticate`: asks for the password again, before something sensitive.

#[cfg(feature = "providers")]
use rocket::uri;
use rocket::{FromForm, get, post};
use serde::Serialize;

use super::content::{Audience, Content};
use super::provider_links::ProviderLink;
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
    /// The user's providers that can be asked to log them in again.
    own_providers: Vec<ProviderLink>,
    /// `true` if a provider has just confirmed the user, and only the second factor is missing.
    is_provider_given: bool,
    /// The page to go to afterwards.
    next: Option<ReturnTo>,
}

impl ReauthenticatePage {
    pub async fn of(
        page: &Page<'_>,
        auth: &Auth<'_>,
        user: &User,
        next: Option<ReturnTo>,
    ) -> Result<Self, Error> {
        let Ways { has_app, has_passkey, .. } = auth.ways(user).await?;
        let has_password = auth.has_password(user).await?;
        let mut own_providers = page.providers.to_vec();
        if !own_providers.is_empty() {
            let identities = auth.factors(user).await?.identities;
            own_providers.retain(|link| {
                link.can_reauthenticate && identities.iter().any(|own| own.provider == link.name)
            });
        }
        let is_provider_given = is_provider_given(auth, user).await?;
        Ok(ReauthenticatePage {
            has_password,
            has_app,
            has_passkey,
            own_providers,
            is_provider_given,
            next,
        })
    }
}

impl Content for ReauthenticatePage {
    const TEMPLATE: &'static str = "reauthenticate";
    const AUDIENCE: Audience = Audience::Users;
    const FIELDS: &'static [&'static str] = &["form", "password", "code"];

    fn samples() -> Vec<Self> {
        let paths = [None, ReturnTo::parse("/notes"), ReturnTo::parse("/account/export")];
        let samples = |next: Option<ReturnTo>| {
            SAMPLES.into_iter().flat_map(move |([has_password, has_app, has_passkey], is_given)| {
                let page = |own_providers| ReauthenticatePage {
                    has_password,
                    has_app,
                    has_passkey,
                    own_providers,
                    is_provider_given: is_given,
                    next: next.clone(),
                };
                [page(Vec::new()), page(ProviderLink::samples())]
            })
        };
        paths.into_iter().flat_map(samples).collect()
    }
}

/// Samples: an account with a password, an app and a passkey, and that a provider has confirmed the
/// user.
const SAMPLES: [([bool; 3], bool); 8] = [
    ([true, true, false], false),
    ([true, false, true], false),
    ([false, false, true], false),
    ([false, false, false], false),
    ([true, true, false], true),
    ([false, false, true], true),
    ([true, false, false], true),
    ([true, true, true], true),
];

/// Returns whether a provider has just confirmed the user, whose second factor is missing.
#[cfg(feature = "providers")]
async fn is_provider_given(auth: &Auth<'_>, user: &User) -> Result<bool, Error> {
    Ok(user.has_factor && auth.is_provider_given(user).await?)
}

#[cfg(not(feature = "providers"))]
async fn is_provider_given(_: &Auth<'_>, _: &User) -> Result<bool, Error> {
    Ok(false)
}

/// Takes the second factor of a user whom a provider has just confirmed.
#[cfg(feature = "providers")]
async fn after_provider(
    auth: &Auth<'_>,
    user: &User,
    second: SecondFactor<'_>,
) -> Result<(), ReauthenticateError> {
    auth.reauthenticate_after_provider(user, second).await
}

#[cfg(not(feature = "providers"))]
async fn after_provider(
    _: &Auth<'_>,
    _: &User,
    _: SecondFactor<'_>,
) -> Result<(), ReauthenticateError> {
    Err(ReauthenticateError::WrongPassword)
}

/// Returns the path of this page. `next` is the page to go to afterwards.
#[cfg(feature = "providers")]
pub fn path(page: &Page<'_>, next: Option<ReturnTo>) -> String {
    page.base.join(uri!(form(next = next)))
}

#[get("/reauthenticate?<next>")]
pub async fn form(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
    next: Option<ReturnTo>,
) -> Result<Html, Error> {
    Ok(page.render(ReauthenticatePage::of(&page, &auth, user, next).await?))
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
    let content = ReauthenticatePage::of(&page, &auth, user, next.clone()).await;
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
                own_providers: Vec::new(),
                is_provider_given: false,
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
        let is_given = self.password.is_empty()
            && is_provider_given(auth, user).await.map_err(Refused::Failed)?;
        let done = match (self.password.is_empty(), self.has_passkey()) {
            (true, false) if is_given && self.code.trim().is_empty() => {
                return Err(Refused::NoCode);
            }
            // A passkey that asks for no PIN is a second factor here.
            (true, _) if is_given => after_provider(auth, user, self.second()).await,
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
