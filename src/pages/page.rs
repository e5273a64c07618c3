//! The parts that all pages share, and the answers to a form.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use rocket::Responder as DeriveResponder;
use rocket::http::Status;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::response::{self, Responder, Response};
use serde::Serialize;

use crate::attached::attached;
use crate::auth::{Auth, LinkError, ReauthenticateError};
use crate::base::Base;
use crate::clock::Timestamp;
use crate::config::{Config, Registration};
use crate::error::{Error, RetryAfter};
use crate::factor::NeedsPasskeys;
#[cfg(feature = "providers")]
use crate::flow::FlowCookies;
use crate::mail::Mail;
use crate::password::PasswordError;
use crate::session::{Flash, Session};
use crate::user::{Email, User};
use crate::web::{Done, FieldErrors, Problem, ReturnTo, not_for_search, prefers_json};

use super::content::{Content, Wait};
use super::provider_links::{ProviderLink, ProviderLinks};
use super::typed::TypedEmail;
use super::{Landing, Rendered};

/// A rendered page.
///
/// No browser and no proxy may store it: the back button after a log-out must find nothing, and a
/// shared cache must not hold private pages.
#[derive(Debug)]
pub struct Html {
    page: Box<Rendered>,
    is_for_search: bool,
}

/// A page for a person, and another answer for a program.
#[derive(Debug)]
pub struct View<R> {
    page: Html,
    for_program: R,
}

/// A page that refuses something; a program gets a problem instead. For a form it is `422`, with
/// each message at its field. Typed values are kept, except passwords.
#[derive(Debug)]
pub struct Refused {
    status: Status,
    page: Html,
    problem: Problem,
    /// After how many seconds the form may be sent again, if it must wait.
    retry_after: Option<Timestamp>,
}

/// The reason why a submitted form failed.
#[derive(Debug, DeriveResponder)]
pub enum Rejection {
    /// The visitor's input was refused.
    Refused(Refused),
    /// Our side failed, and a catcher answers.
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
    pub user: Option<&'r Arc<User>>,
    pub config: &'r Config,
    pub base: &'r Base,
    pub landing: &'r Landing,
    pub has_mail: bool,
    /// `true` if visitors can log in with a passkey.
    pub has_passkeys: bool,
    /// The providers that are configured.
    pub providers: &'r [ProviderLink],
    #[cfg(feature = "providers")]
    flow_cookies: &'r FlowCookies,
    /// The cookies of the provider that was used last. Few pages show it, so they are opened there.
    #[cfg(feature = "providers")]
    last_way: Vec<String>,
    /// `true` if a program asks, which gets data instead of a page.
    pub prefers_json: bool,
    flash: Flash<'r>,
    typed: TypedEmail<'r>,
}

impl Page<'_> {
    /// `true` if anybody may sign up.
    pub fn is_registration_open(&self) -> bool {
        self.config.accounts.is_open()
    }

    /// `true` if a sign-up mails a link, which makes the account.
    pub fn is_sign_up_by_mail(&self) -> bool {
        self.config.accounts.registration == Registration::Confirm
    }

    /// Renders the page of `content`.
    pub fn render(&self, content: impl Content) -> Html {
        self.render_with(&FieldErrors::new(), content)
    }

    /// Shows the form again, with the messages.
    pub fn refuse(&self, errors: FieldErrors, content: impl Content) -> Refused {
        self.refuse_as(Status::UnprocessableEntity, errors, content)
    }

    /// Shows the page again with another status than 422.
    pub fn refuse_as(
        &self,
        status: Status,
        mut errors: FieldErrors,
        content: impl Content,
    ) -> Refused {
        errors.change_messages(|message| self.config.site.name_support(message));
        let page = self.render_with(&errors, content);
        let problem = Problem::new(status).with_errors(errors);
        Refused { status, page, problem, retry_after: None }
    }

    /// Shows the form again if it was not checked: after too many attempts, or while our side is
    /// busy. The page says when to send it again. A catcher answers any other error.
    pub fn failed(&self, error: Error, content: impl Content) -> Rejection {
        let Some(wait) = error.retry_after() else { return error.into() };
        error.log();
        let (status, seconds) = (error.status(), wait.as_secs() as Timestamp);
        let wait = Wait::new(seconds);
        let reason = match error.is_throttled() {
            true => "Too many attempts.",
            false => "We're busy at the moment.",
        };
        let message = format!("{reason} Try again in {}.", wait.words);
        let errors = FieldErrors::of("form", error.code(), message);
        let page = self.render_whole(&errors, None, Some(wait), content);
        let problem = Problem::new(status).with_code(error.code());
        Rejection::Refused(Refused { status, page, problem, retry_after: Some(seconds) })
    }

    /// Refuses something that nobody may do on this site. The page says why to a person, and `reason`
    /// to a program.
    pub fn forbid(&self, content: impl Content, reason: impl Display) -> Refused {
        self.deny(Status::Forbidden, content, reason)
    }

    /// Answers a link that was used, has expired or never existed: `404`, with the way to a new
    /// one.
    pub fn dead_link(&self, purpose: &'static str) -> Refused {
        self.deny(Status::NotFound, DeadLinkPage { purpose, done: None }, LinkError::DeadLink)
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
        let done = &*self.config.site.name_support(done);
        self.deny(Status::NotFound, DeadLinkPage { purpose, done: Some(done) }, done)
    }

    fn deny<C: Content>(&self, status: Status, content: C, reason: impl Display) -> Refused {
        let reason = self.config.site.name_support(&reason.to_string());
        let problem = Problem::new(status).with_code(C::TEMPLATE).with_detail(reason);
        Refused { status, page: self.render(content), problem, retry_after: None }
    }

    /// Leads to `next`, or to the page after a log-in, with a message for that page.
    pub fn redirect(&self, next: Option<ReturnTo>, message: &str) -> Done {
        self.tell(message);
        Done::to(self.path_of(next))
    }

    /// Returns the path of `next`, or of the page after a log-in.
    pub fn path_of(&self, next: Option<ReturnTo>) -> String {
        next.map_or_else(|| self.landing.after_log_in.clone(), |next| next.to_string())
    }

    /// Leads to our page `path`, with a message.
    pub fn redirect_to(&self, path: &str, message: &str) -> Done {
        self.tell(message);
        self.go_to(path)
    }

    /// Leads to the path `path`, which has the base already, with a message.
    pub fn redirect_to_path(&self, path: String, message: &str) -> Done {
        self.tell(message);
        Done::to(path)
    }

    /// Leads to our page `path`, without a message.
    pub fn go_to(&self, path: &str) -> Done {
        Done::to(self.base.join(path))
    }

    /// Leads to `path` if the error means that an equal request has just done the act, as after
    /// a double click, and has replaced or ended the session. With the first answer's cookie the
    /// browser gets there. Without it the browser gets to the log-in page, which says what was
    /// done. Any other error is one of [`failed()`](Self::failed()).
    pub async fn overtaken(
        &self,
        error: Error,
        auth: &Auth<'_>,
        path: String,
        content: impl Content,
    ) -> Result<Done, Rejection> {
        match error.is_ended() && auth.overtaken().await?.is_some() {
            true => Ok(Done::to(path)),
            false => Err(self.failed(error, content)),
        }
    }

    /// Leads to the page after a log-out, with a message for it. The next person at this browser
    /// sees no address.
    pub fn redirect_logged_out(&self, message: &str) -> Done {
        self.forget_email();
        self.tell(message);
        Done::to(self.landing.after_log_out.clone())
    }

    /// Sends a message to the next page. A program gets none: it has words of its own, and the
    /// message would wait until somebody opens one of our pages.
    fn tell(&self, message: &str) {
        if !self.prefers_json {
            self.flash.set(&self.config.site.name_support(message));
        }
    }

    /// Returns the name of the provider with which somebody has logged in last in this browser.
    #[cfg(feature = "providers")]
    pub fn last_provider(&self) -> Option<String> {
        self.flow_cookies.open_last(&self.last_way)
    }

    #[cfg(not(feature = "providers"))]
    pub fn last_provider(&self) -> Option<String> {
        None
    }

    /// Returns the configured provider of this name. `None`: there is none, or it is gone.
    pub fn provider(&self, name: &str) -> Option<&ProviderLink> {
        self.providers.iter().find(|link| link.name == name)
    }

    /// Returns whether a message waits to be shown: the page before was a form.
    #[cfg(feature = "providers")]
    pub fn has_message(&self) -> bool {
        self.flash.is_waiting()
    }

    /// Returns the address that was typed on the page before, for a form that asks for one.
    pub fn typed_email(&self) -> &str {
        self.typed.get()
    }

    /// Fills `email` into the form that the visitor opens next.
    pub fn keep_email(&self, email: &Email) {
        // A program has the address already.
        if !self.prefers_json {
            self.typed.keep(email);
        }
    }

    /// Fills in no address any more.
    pub fn forget_email(&self) {
        self.typed.forget();
    }

    fn render_with<C: Content>(&self, errors: &FieldErrors, content: C) -> Html {
        self.render_whole(errors, self.flash.take(), None, content)
    }

    fn render_whole<C: Content>(
        &self,
        errors: &FieldErrors,
        message: Option<String>,
        retry_after: Option<Wait>,
        content: C,
    ) -> Html {
        /// The engine adds the other shared values, and these if they are absent.
        #[derive(Serialize)]
        struct Whole<'p, C> {
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<String>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            errors: BTreeMap<&'p str, &'p str>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            codes: BTreeMap<&'p str, &'p str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after: Option<Wait>,
            #[serde(flatten)]
            content: C,
        }

        let whole = Whole {
            message,
            errors: errors.iter().map(|error| (error.field, &*error.message)).collect(),
            codes: errors.iter().map(|error| (error.field, error.code)).collect(),
            retry_after,
            content,
        };
        Html::of::<C>(whole, self.user.cloned())
    }
}

/// The page of a link that is dead.
#[derive(Serialize)]
pub struct DeadLinkPage<'p> {
    purpose: &'p str,
    /// What the link has done, if this browser has just used it.
    done: Option<&'p str>,
}

impl Content for DeadLinkPage<'_> {
    const TEMPLATE: &'static str = "dead_link";

    fn samples() -> Vec<Self> {
        let purposes = ["reset", "verify", "not_me"].into_iter();
        let samples =
            |purpose| [None, Some("It is done.")].map(|done| DeadLinkPage { purpose, done });
        purposes.flat_map(samples).collect()
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
    /// Renders a page for nobody in particular, without a session.
    pub(super) fn without_session<C: Content>(content: C) -> Self {
        Html::of::<C>(content, None)
    }

    /// Renders the page of `C` with `whole`, which is what its template gets, and with `user`.
    fn of<C: Content>(whole: impl Serialize, user: Option<Arc<User>>) -> Self {
        let page = Box::new(Rendered::ours(C::TEMPLATE, whole, user));
        Html { page, is_for_search: C::IS_FOR_SEARCH }
    }

    /// Adds what a program gets instead of the page.
    pub fn or<R>(self, for_program: R) -> View<R> {
        View { page: self, for_program }
    }
}

impl<'r, R: Responder<'r, 'static>> Responder<'r, 'static> for View<R> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match prefers_json(request) {
            true => self.for_program.respond_to(request),
            false => self.page.respond_to(request),
        }
    }
}

impl<'r> Responder<'r, 'static> for Html {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build_from(self.page.respond_to(request)?)
            .raw_header("Cache-Control", "no-store")
            .raw_header("Vary", "Cookie")
            .finalize();
        // With a query it is the same page once more, as when every private page leads to the log-in.
        if !self.is_for_search || request.uri().query().is_some() {
            response.set_header(not_for_search());
        }
        Ok(response)
    }
}

impl<'r> Responder<'r, 'static> for Refused {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        if self.retry_after.is_some() {
            request.local_cache(|| RetryAfter(self.retry_after));
        }
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
        let config: &Config = attached(request.rocket());
        let NeedsPasskeys(needs_passkeys) = attached(request.rocket());
        Outcome::Success(Page {
            user: session.logged_in(),
            config,
            has_passkeys: config.offers_passkeys() || *needs_passkeys,
            base: attached(request.rocket()),
            landing: attached(request.rocket()),
            has_mail: attached::<Mail>(request.rocket()).is_on(),
            flash: Flash::of(request),
            typed: TypedEmail::of(request),
            providers: &attached::<ProviderLinks>(request.rocket()).0,
            #[cfg(feature = "providers")]
            flow_cookies: attached(request.rocket()),
            #[cfg(feature = "providers")]
            last_way: attached::<FlowCookies>(request.rocket()).last_of(request),
            prefers_json: prefers_json(request),
        })
    }
}
