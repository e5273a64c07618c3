//! The pages of all errors, and the way to the log-in page.

use rocket::http::uri::Origin;
use rocket::http::{Method, Status};
use rocket::outcome::Outcome;
use rocket::response::{self, Redirect, Responder};
use rocket::{Catcher, Request, Route, catch, catchers as catchers_of, uri};
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Html, login, reauthenticate, security};
use crate::attached::attached;
use crate::auth::{Auth, Overtaken, RecentLogin, StrongLogin};
use crate::base::Base;
use crate::client::Client;
use crate::clock::{Clock, Timestamp, wait_in_words};
use crate::config::Config;
use crate::error::{RetryAfter, Said};
use crate::history::{EventKind, Line, Polled};
use crate::routing::{self, covers};
use crate::session::{Flash, Session};
use crate::web::{
    FieldErrors, Problem, ReturnTo, is_program, is_refused, mark_ours, prefers_json, secure_unseen,
};

/// Returns the catchers for every error.
pub fn catchers() -> Vec<Catcher> {
    catchers_of![default]
}

/// Returns the catcher for visitors who are not logged in, for an application that answers all
/// other errors itself.
pub fn log_in_catcher() -> Vec<Catcher> {
    catchers_of![unauthorized]
}

#[catch(401)]
async fn unauthorized(status: Status, request: &Request<'_>) -> Caught {
    tell_done(request).await;
    Caught(status)
}

#[catch(default)]
async fn default(status: Status, request: &Request<'_>) -> Caught {
    if status == Status::Unauthorized {
        tell_done(request).await;
    }
    Caught(status)
}

/// Tells visitors on the log-in page why their session does not exist any more, if one of their own
/// requests has replaced or ended it, and its answer was lost.
async fn tell_done(request: &Request<'_>) {
    let Outcome::Success(auth) = request.guard::<Auth<'_>>().await else { return };
    if is_program(request) {
        // Without the database it is a visitor like any other.
        let is_half_way = auth.pending_log_in().await.is_ok_and(|log_in| log_in.is_some());
        request.local_cache(|| HalfWay(is_half_way));
        return;
    }
    if is_logged_in(request).await {
        // They are only asked for the password again.
        return;
    }
    match auth.overtaken().await {
        Ok(Some(done)) => Flash::of(request).set(told(done)),
        Ok(None) => {}
        // The log-in page works without this message.
        Err(error) => log::warn!("cannot tell the visitor what was done: {error}"),
    }
}

async fn is_logged_in(request: &Request<'_>) -> bool {
    let session = request.guard::<&Session>().await;
    session.succeeded().is_some_and(|session| session.user().is_some())
}

/// `true` if a log-in of this browser waits for its second step. It is in the request's local cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HalfWay(bool);

fn told(done: Overtaken) -> &'static str {
    match done {
        Overtaken::PasswordChanged => "Your password was changed. Log in again.",
        Overtaken::Reauthenticated => "Your password was confirmed. Log in again.",
        Overtaken::FactorAdded => "The second step was added. Log in again.",
        Overtaken::FactorRemoved => "The second step was removed. Log in again.",
        Overtaken::PasswordRemoved => "The password was removed. Log in again.",
        Overtaken::ProviderDisconnected => "The provider was disconnected. Log in again.",
        Overtaken::Deleted => "Your account was deleted.",
    }
}

/// The content of the page of an error.
#[derive(Serialize)]
pub struct ErrorPage<'p> {
    status: u16,
    title: &'p str,
    text: &'p str,
    /// Where the visitor can go on.
    way: Option<Way<'p>>,
}

/// A link to another page.
#[derive(Serialize)]
struct Way<'p> {
    href: String,
    text: &'p str,
}

impl Content for ErrorPage<'_> {
    const TEMPLATE: &'static str = "error";
    const AUDIENCE: Audience = Audience::Unknown;

    fn samples() -> Vec<Self> {
        let ways = [None, Some(Way { href: "/reset".into(), text: "Forgot your password?" })];
        let sample =
            |way| ErrorPage { status: 429, title: "Too many attempts", text: "Wait.", way };
        ways.map(sample).into()
    }
}

/// An error as a page or as JSON, with the headers for its status.
struct Caught(Status);

impl<'r> Responder<'r, 'static> for Caught {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let (Caught(status), base) = (self, attached(request.rocket()));
        mark_ours(request);
        let allowed = match status {
            Status::NotFound => other_methods(request),
            _ => Vec::new(),
        };

        log_refusal(request, status);
        let status = if allowed.is_empty() { status } else { Status::MethodNotAllowed };
        let mut response = match status {
            _ if prefers_json(request) => problem(request, status).respond_to(request),
            // A script would follow a redirect, and take the log-in page for the answer.
            Status::Unauthorized if is_program(request) => {
                problem(request, status).respond_to(request)
            }
            Status::Unauthorized => log_in(request, base).respond_to(request),
            _ if is_refused(request) => (status, cross_site_error()).respond_to(request),
            _ => {
                let page = throttled(request, status, base);
                let page = page.or_else(|| refusal(request, status));
                let page = page.unwrap_or_else(|| error(request, status));
                (status, page).respond_to(request)
            }
        }?;

        if status == Status::MethodNotAllowed {
            response.set_raw_header("Allow", allowed.join(", "));
        }
        secure_unseen(request, &mut response);
        Ok(response)
    }
}

/// The error for a program, with the code of what led to it. It gets `403` where a browser is led to the
/// page that asks for the password again: the user is known, but must not do this yet.
fn problem(request: &Request<'_>, status: Status) -> Problem {
    let problem = Problem::new(status);
    let Said { code, message, .. } = request.local_cache(Said::default);
    match (status, code) {
        _ if is_refused(request) => problem.with_code("cross_site"),
        (Status::MethodNotAllowed, _) => problem,
        (Status::Unauthorized, _) if StrongLogin::is_factor_wanted(request) => {
            Problem::new(Status::Forbidden).with_code("factor_required")
        }
        (Status::Unauthorized, _) if RecentLogin::is_wanted(request) => {
            Problem::new(Status::Forbidden).with_code("reauthentication_required")
        }
        (Status::Unauthorized, None)
            if *request.local_cache(|| HalfWay(false)) == HalfWay(true) =>
        {
            problem.with_code("second_factor_required")
        }
        (_, Some(code)) => {
            let problem = problem.with_errors(request.local_cache(FieldErrors::new).clone());
            match message {
                Some(message) => problem.with_code(code).with_detail(message),
                None => problem.with_code(code),
            }
        }
        (_, None) => problem,
    }
}

/// The page of an act that was refused in a route of the application.
fn refusal(request: &Request<'_>, status: Status) -> Option<Html> {
    let text = request.local_cache(Said::default).message.as_deref()?;
    let config: &Config = attached(request.rocket());
    Some(error_with(status, "That didn't work", &config.site.name_support(text), None))
}

/// Returns the page for 429 with the time to wait, if it is known. Our own forms say it themselves.
fn throttled(request: &Request<'_>, status: Status, base: &Base) -> Option<Html> {
    let RetryAfter(wait) = *request.local_cache(|| RetryAfter(None));
    let seconds = wait.filter(|_| status == Status::TooManyRequests)?;
    let config: &Config = attached(request.rocket());
    Some(too_often(base, seconds, request.uri().path().as_str(), config))
}

/// Writes a line to the log for each refusal (ASVS 5.0, 16.3.2): a request from another site, or a
/// private page without a log-in. A front end that asks again and again has one line a minute.
fn log_refusal(request: &Request<'_>, status: Status) {
    let kind = match status {
        _ if is_refused(request) => EventKind::CrossSite,
        Status::Unauthorized | Status::Forbidden => EventKind::Denied,
        _ => return,
    };

    let config: &Config = attached(request.rocket());
    let client = Client::of(request, &config.site.trusted_proxies);
    let (at, ip_address) = (attached::<Clock>(request.rocket()).now(), client.ip_address());
    if status == Status::Unauthorized && is_program(request) {
        let polled: &Polled = attached(request.rocket());
        if !polled.is_new(&ip_address, request.uri().path().as_str(), at) {
            return;
        }
    }
    Line { at, kind, ip_address, user_id: None, email: None, detail: String::new() }.log();
}

/// Redirects to the log-in page, or to the page that asks for the password again. Afterwards the
/// visitor comes back here, if this page can be asked for again.
fn log_in(request: &Request<'_>, base: &Base) -> Redirect {
    if StrongLogin::is_factor_wanted(request) {
        return Redirect::to(base.join(security::PATH));
    }
    if RecentLogin::is_wanted(request) {
        let next = page_of(request).and_then(|path| ReturnTo::parse(&path));
        return Redirect::to(base.join(uri!(reauthenticate::form(next = next))));
    }

    let next = match request.method() {
        Method::Get | Method::Head => ReturnTo::parse(&request.uri().to_string()),
        _ => None,
    };
    Redirect::to(login::path(base, next))
}

/// Returns the page to come back to: the requested page itself if it can be asked for, or else the
/// page with the form, which is one or several steps up in its path. A catch-all route has no such
/// page.
fn page_of(request: &Request<'_>) -> Option<String> {
    if matches!(request.method(), Method::Get | Method::Head) {
        return Some(request.uri().to_string());
    }

    let base: &Base = attached(request.rocket());
    let own = request.uri().path().as_str().strip_prefix(base.as_str())?;
    if security::FORMS.iter().any(|form| own.starts_with(form)) {
        return Some(base.join(security::PATH));
    }
    let form: Vec<&str> = routing::segments(&request.route()?.uri).collect();
    let mut path = request.uri().path().to_string();
    loop {
        let uri = Origin::parse(&path).ok()?;
        let depth = uri.path().segments().filter(|segment| !segment.is_empty()).count();
        let is_page = |route: &Route| {
            let above = form.iter().copied().take(depth);
            route.method == Method::Get
                && covers(&route.uri, &uri)
                && routing::is_as_specific(routing::segments(&route.uri), above)
        };
        if request.rocket().routes().any(is_page) {
            return Some(path);
        }
        path.truncate(path.rfind('/').filter(|end| *end > 0)?);
    }
}

/// Returns the methods that exist for the request's path, if the request's own method is not among
/// them. Rocket answers 404 for a path with another method.
fn other_methods(request: &Request<'_>) -> Vec<&'static str> {
    let mut methods = Vec::new();
    for route in request.rocket().routes().filter(|route| covers(&route.uri, request.uri())) {
        if route.method == request.method() {
            return Vec::new();
        }

        // A route for GET answers HEAD too.
        let implied = if route.method == Method::Get { Method::Head } else { route.method };
        methods.extend([route.method.as_str(), implied.as_str()]);
    }

    methods.sort_unstable();
    methods.dedup();
    methods
}

/// Returns the page for too many attempts at `path`, with what visitors can do meanwhile.
fn too_often(base: &Base, seconds: Timestamp, path: &str, config: &Config) -> Html {
    let (text, way, way_text) = if path == base.join("/account/verify") {
        ("A link we emailed before may still work.", "/account", "Your account")
    } else if config.has_mail() {
        ("You can reset a forgotten password by email.", "/reset", "Forgot your password?")
    } else {
        (
            "If you have forgotten your password, ask the operator of this site for a reset link.",
            "/login",
            "Log in",
        )
    };

    let text = format!("Try again in {}. {text}", wait_in_words(seconds));
    let text = config.site.name_support(&text);
    let (status, title) = (Status::TooManyRequests, "Too many attempts");
    error_with(status, title, &text, Some(Way { href: base.join(way), text: way_text }))
}

/// Returns the link to the page itself, or to the page with the form. `None`: there is no such page.
fn again(request: &Request<'_>) -> Option<Way<'static>> {
    let path = page_of(request).and_then(|path| ReturnTo::parse(&path))?;
    Some(Way { href: path.to_string(), text: "Try again" })
}

/// Returns the page of the error `status`. It does not read the session, because the database may
/// be the cause of the error.
fn error(request: &Request<'_>, status: Status) -> Html {
    let (title, text) = match status.code {
        400 => ("We couldn't read this request", "Go back and try again."),
        403 => ("This is not allowed", "You don't have permission to do this."),
        404 => ("Page not found", "There is nothing at this address."),
        405 => ("This page can't be used that way", "Go back and use the form on the page."),
        409 => {
            ("Your session has ended", "It ended while we got your request. Log in and try again.")
        }
        408 => ("This took too long", "The form did not arrive in time. Try again."),
        413 => {
            ("This is too large", "The form contains more than we accept. Shorten what you typed.")
        }
        415 => ("Unsupported request", "Go back and use the form on the page."),
        422 => ("We couldn't read this form", "Go back, reload the page and try again."),
        429 => ("Too many attempts", "Wait a little and try again."),
        500 => ("Something went wrong on our side", "The problem has been logged. Try again."),
        503 => (
            "We're busy at the moment",
            "Nothing was lost, and you have not been logged out. Try again in a few seconds.",
        ),
        _ => (status.reason_lossy(), "Go back and try again."),
    };

    let way = match status.code {
        408 | 500 | 503 => again(request),
        _ => None,
    };
    error_with(status, title, text, way)
}

/// Returns the page for a request that another site made.
fn cross_site_error() -> Html {
    let text = "The request came from another site, so it was blocked and nothing was changed.";
    error_with(Status::Forbidden, "Request blocked", text, None)
}

fn error_with(status: Status, title: &str, text: &str, way: Option<Way<'_>>) -> Html {
    Html::without_session(ErrorPage { status: status.code, title, text, way })
}
