//! The parts that all pages share, and the answers to a form.

use std::collections::BTreeMap;

use rocket::Responder as DeriveResponder;
use rocket::http::Status;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::response::{self, Redirect, Responder, Response};
use rocket_dyn_templates::context;
use serde::Serialize;

use crate::attached::attached;
use crate::auth::{Auth, LinkError, ReauthenticateError};
use crate::base::Base;
use crate::config::Config;
use crate::error::Error;
use crate::mail::Mail;
use crate::password::PasswordError;
use crate::session::{Flash, Session};
use crate::user::User;
use crate::web::{FieldErrors, Problem, ReturnTo, prefers_json};

use super::Rendered;

/// A rendered page.
///
/// No browser and no proxy may store it: the back button after a log-out must find nothing, and a
/// shared cache must not hold private pages.
#[derive(Debug)]
pub struct Html(Box<Rendered>);

/// A page that refuses something; a program gets a problem instead. For a form it is `422`, with
/// each message at its field. Typed values are kept, except passwords.
#[derive(Debug)]
pub struct Refused {
    status: Status,
    page: Html,
    problem: Problem,
}

/// The reason why a submitted form failed.
#[derive(Debug, DeriveResponder)]
pub enum Rejection {
    /// The visitor's input was refused.
    Refused(Refused),
    /// Our side failed: `503`.
    Failed(Error),
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Rejection::Refused(refused)
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Rejection::Failed(error)
    }
}

/// The content that every page shows beside its own, as a request guard.
///
/// It _succeeds_ and _fails_ as [`&Session`](Session) does.
#[derive(Debug)]
pub struct Page<'r> {
    pub user: Option<&'r User>,
    pub config: &'r Config,
    pub base: &'r Base,
    pub has_mail: bool,
    flash: Flash<'r>,
}

impl Page<'_> {
    /// `true` if anybody may sign up.
    pub fn is_registration_open(&self) -> bool {
        self.config.accounts.is_open()
    }

    /// Renders the template `name` with `content`.
    pub fn render(&self, name: &'static str, content: impl Serialize) -> Html {
        self.render_with(name, &FieldErrors::new(), content)
    }

    /// Shows the form again, with the messages.
    pub fn refuse(
        &self,
        name: &'static str,
        errors: FieldErrors,
        content: impl Serialize,
    ) -> Refused {
        let status = Status::UnprocessableEntity;
        let page = self.render_with(name, &errors, content);
        Refused { status, page, problem: Problem::new(status).with_errors(errors) }
    }

    /// Refuses something that nobody may do on this site. The template `name` says why.
    pub fn forbid(&self, name: &'static str) -> Refused {
        self.deny(Status::Forbidden, name, context! {})
    }

    /// Answers a link that was used, has expired or never existed: `404`, with the way to a new
    /// one.
    pub fn dead_link(&self, purpose: &'static str) -> Refused {
        self.deny(Status::NotFound, "dead_link", context! { purpose })
    }

    /// [`dead_link()`](Self::dead_link()), or an error of our side.
    pub fn dead(&self, purpose: &'static str, error: LinkError) -> Rejection {
        match error {
            LinkError::DeadLink => self.dead_link(purpose).into(),
            LinkError::Failed(error) => error.into(),
        }
    }

    /// The page of a dead link for the browser that has used it a moment ago: it says what that
    /// has done.
    pub fn spent_link(&self, purpose: &'static str, done: &str) -> Refused {
        self.deny(Status::NotFound, "dead_link", context! { purpose, done })
    }

    fn deny(&self, status: Status, name: &'static str, content: impl Serialize) -> Refused {
        let problem = Problem::new(status).with_code(name);
        Refused { status, page: self.render(name, content), problem }
    }

    /// Redirects (`303 See Other`) to `next`, or to the account page, with a message for that page.
    pub fn redirect(&self, next: Option<ReturnTo>, message: &str) -> Redirect {
        self.flash.set(message);
        Redirect::to(self.path_of(next))
    }

    fn path_of(&self, next: Option<ReturnTo>) -> String {
        next.map_or_else(|| self.base.join("/account"), |next| next.to_string())
    }

    /// Redirects to our page `path`, with a message.
    pub fn redirect_to(&self, path: &str, message: &str) -> Redirect {
        self.flash.set(message);
        Redirect::to(self.base.join(path))
    }

    /// Redirects to our page `path`, without a message.
    pub fn go_to(&self, path: &str) -> Redirect {
        Redirect::to(self.base.join(path))
    }

    /// Redirects to `next` if the error means that an equal request has just done the act, as after
    /// a double click, and has replaced or ended the session. With the first answer's cookie the
    /// browser gets there. Without it the browser gets to the log-in page, which says what was
    /// done.
    pub async fn overtaken(
        &self,
        error: Error,
        auth: &Auth<'_>,
        next: Option<ReturnTo>,
    ) -> Result<Redirect, Error> {
        match error.is_ended() && auth.overtaken().await?.is_some() {
            true => Ok(Redirect::to(self.path_of(next))),
            false => Err(error),
        }
    }

    /// Redirects to the front page, which may be an application's.
    pub fn redirect_home(&self, message: &str) -> Redirect {
        self.flash.set(message);
        Redirect::to("/")
    }

    fn render_with(
        &self,
        name: &'static str,
        errors: &FieldErrors,
        content: impl Serialize,
    ) -> Html {
        #[derive(Serialize)]
        struct Whole<'p, C> {
            base: &'p str,
            user: Option<&'p User>,
            message: Option<String>,
            is_registration_open: bool,
            has_mail: bool,
            min_length: usize,
            /// The message at each field, and its code for templates that say it otherwise.
            errors: BTreeMap<&'p str, &'p str>,
            codes: BTreeMap<&'p str, &'p str>,
            #[serde(flatten)]
            content: C,
        }

        Html::new(
            name,
            Whole {
                base: self.base.as_str(),
                user: self.user,
                message: self.flash.take(),
                is_registration_open: self.is_registration_open(),
                has_mail: self.has_mail,
                min_length: self.config.password.min_length,
                errors: errors.iter().map(|error| (error.field, &*error.message)).collect(),
                codes: errors.iter().map(|error| (error.field, error.code)).collect(),
                content,
            },
        )
    }
}

/// The error at `field`, which should hold the present password.
pub fn wrong_password(field: &'static str, typed: &str) -> FieldErrors {
    match (typed, ReauthenticateError::WrongPassword) {
        ("", _) => FieldErrors::of(field, PasswordError::Empty.code(), "Enter your password."),
        (_, wrong) => FieldErrors::of(field, wrong.code(), wrong),
    }
}

impl Html {
    pub(super) fn new(name: &'static str, content: impl Serialize) -> Self {
        Html(Box::new(Rendered::new(name, content)))
    }
}

impl<'r> Responder<'r, 'static> for Html {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        Response::build_from(self.0.respond_to(request)?)
            .raw_header("Cache-Control", "no-store")
            .raw_header("Vary", "Cookie")
            .ok()
    }
}

impl<'r> Responder<'r, 'static> for Refused {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match prefers_json(request) {
            true => self.problem.respond_to(request),
            false => (self.status, self.page).respond_to(request),
        }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Page<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let session = try_outcome!(request.guard::<&Session>().await);
        Outcome::Success(Page {
            user: session.user(),
            config: attached(request.rocket()),
            base: attached(request.rocket()),
            has_mail: attached::<Mail>(request.rocket()).is_on(),
            flash: Flash::of(request),
        })
    }
}
