//! `/register`: creates an account.

use rocket::{get, post};
use serde::Serialize;

use super::content::Content;
use super::{FieldErrors, Html, Page, Rejection, factor};
use crate::auth::{Auth, RegisterError, Registered, SignUpOptions};
use crate::user::Email;
use crate::web::{Done, Fields, Posted, ReturnTo};

/// The fields that are ours.
struct Ours {
    email: String,
    password: String,
    next: Option<ReturnTo>,
}

/// The content of the page.
#[derive(Serialize)]
pub struct SignUpPage<'p> {
    /// What was typed as the address.
    email: &'p str,
    /// The page to go to afterwards.
    next: Option<ReturnTo>,
    /// What was typed into fields that are not ours.
    fields: Fields,
    /// The name of the provider that this browser has logged in with before.
    last_provider: Option<String>,
}

impl<'p> SignUpPage<'p> {
    fn new(email: &'p str, next: Option<ReturnTo>, fields: Fields) -> Self {
        SignUpPage { email, next, fields, last_provider: None }
    }

    fn seen_by(self, page: &Page<'_>) -> Self {
        SignUpPage { last_provider: page.last_provider(), ..self }
    }
}

impl Content for SignUpPage<'_> {
    const TEMPLATE: &'static str = "register";
    const IS_FOR_SEARCH: bool = true;
    const FIELDS: &'static [&'static str] = &["form", "email", "password"];
    const CODES: &'static [(&'static str, &'static str)] = &[("email", "email_taken")];

    fn samples() -> Vec<Self> {
        vec![
            SignUpPage::new("", None, Fields::new()),
            SignUpPage {
                last_provider: Some("google-id".into()),
                ..SignUpPage::new("typed", ReturnTo::parse("/notes?page=2"), Fields::new())
            },
        ]
    }
}

/// The page that says that nobody may sign up.
#[derive(Serialize)]
pub struct ClosedPage {}

impl Content for ClosedPage {
    const TEMPLATE: &'static str = "closed";

    fn samples() -> Vec<Self> {
        vec![ClosedPage {}]
    }
}

/// The page that says that a mail was sent.
#[derive(Serialize)]
pub struct SentPage<'p> {
    /// The address that was typed last in this browser, so where it was sent. It is empty if none
    /// was typed recently.
    email: &'p str,
}

impl Content for SentPage<'_> {
    const TEMPLATE: &'static str = "register_sent";

    fn samples() -> Vec<Self> {
        vec![SentPage { email: "" }, SentPage { email: "ada@example.org" }]
    }
}

impl Ours {
    /// Takes our fields out of the form. The others are for the application's hooks.
    fn of(form: &mut Fields) -> Self {
        let mut taken = |name| form.remove(name).unwrap_or_default();
        let (email, password) = (taken("email"), taken("password"));
        let next = ReturnTo::parse(&taken("next"));
        form.remove("_method"); // it is not about the account
        Ours { email, password, next }
    }
}

/// Shows the form. What the address of the page says for fields of the application is filled in, so
/// that a link can bring an invitation along.
#[get("/register?<query..>")]
pub fn form(page: Page<'_>, mut query: Fields) -> Result<Html, Rejection> {
    let Ours { next, .. } = Ours::of(&mut query);
    match page.is_registration_open() {
        true => Ok(page.render(SignUpPage::new(page.typed_email(), next, query).seen_by(&page))),
        false => Err(page.forbid(ClosedPage {}, RegisterError::Closed).into()),
    }
}

#[post("/register", data = "<form>")]
pub async fn submit(
    page: Page<'_>,
    auth: Auth<'_>,
    form: Posted<Fields>,
) -> Result<Done, Rejection> {
    // This comes before the check of the fields: visitors should not correct a form in vain.
    if !auth.is_registration_open() {
        return Err(page.forbid(ClosedPage {}, RegisterError::Closed).into());
    }

    let Posted(mut fields) = form;
    let Ours { email: typed, password, next } = Ours::of(&mut fields);
    let again = || SignUpPage::new(&typed, next.clone(), fields.clone()).seen_by(&page);
    let refuse = |errors| -> Rejection { page.refuse(errors, again()).into() };

    let mut errors = FieldErrors::new();
    let email = Email::parse(&typed).map_err(|error| errors.add("email", error.code(), error));
    let password = auth
        .new_password(&password, &typed)
        .map_err(|error| errors.add("password", error.code(), error));
    let (Ok(email), Ok(password)) = (email, password) else {
        return Err(refuse(errors));
    };

    let options = SignUpOptions::new().fields(fields.clone());
    let done = auth.register_with(&email, password, options).await;
    match done {
        // For the page that says where the mail was sent, and for the log-in.
        Ok(Registered::MailSent) | Err(RegisterError::EmailTaken) => page.keep_email(&email),
        Ok(Registered::LoggedIn(_) | Registered::HadAccount(_)) => page.forget_email(),
        Ok(Registered::FactorNeeded) | Err(_) => {}
    }
    match done {
        Ok(Registered::LoggedIn(_)) => Ok(page.redirect(next, "Welcome! Your account is ready.")),
        Ok(Registered::HadAccount(_)) => {
            Ok(page.redirect(next, "You already had an account. You are logged in."))
        }
        Ok(Registered::FactorNeeded) => Ok(Done::to(factor::path(&page, next))),
        Ok(Registered::MailSent) => Ok(page.go_to("/register/sent")),
        Err(RegisterError::Closed) => Err(page.forbid(ClosedPage {}, RegisterError::Closed).into()),
        Err(RegisterError::Failed(error)) => Err(page.failed(error, again())),
        Err(RegisterError::Refused(errors)) => Err(refuse(errors)),
        Err(RegisterError::Password(error)) => {
            Err(refuse(FieldErrors::of("password", error.code(), error)))
        }
        Err(error @ RegisterError::Disabled) => {
            Err(refuse(FieldErrors::of("form", error.code(), error)))
        }
        Err(error) => Err(refuse(FieldErrors::of("email", error.code(), error))),
    }
}

/// Shows where the mail was sent. The page does not depend on whether the address has an account
/// already (user enumeration).
#[get("/register/sent")]
pub fn sent(page: Page<'_>) -> Html {
    page.render(SentPage { email: page.typed_email() })
}
