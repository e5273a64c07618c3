//! The pages of everything that went wrong, and the way to the log-in page.

use rocket::http::uri::Origin;
use rocket::http::{Method, Status};
use rocket::response::{self, Redirect, Responder};
use rocket::{Catcher, Request, Route, catch, catchers as catchers_of, uri};

use super::headers::secure_unseen;
use super::problem::{Problem, is_program, prefers_json};
use super::return_to::ReturnTo;
use super::same_origin::is_refused;
use crate::attached::attached;
use crate::auth::{self, WantsPassword};
use crate::base::Base;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::RetryAfter;
use crate::history::{Kind, Line};
use crate::mail::Mail;
use crate::pages::{self, Html};
use crate::routing::{self, covers};
use crate::session::{Client, Flash};

/// For every error.
pub fn catchers() -> Vec<Catcher> {
    catchers_of![default]
}

/// For who is not logged in, where an application answers all other errors.
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

/// Says on the log-in page why the session that the browser believes to have is
/// none: an act has replaced or ended it, and the answer was lost.
async fn tell_done(request: &Request<'_>) {
    if prefers_json(request) {
        return;
    }
    match auth::done_in_session(request).await {
        Ok(Some(message)) => Flash::of(request).set(message),
        Ok(None) => {}
        // The log-in page works all the same.
        Err(error) => log::warn!("what was done is not told: {error}"),
    }
}

/// An error as a page or as JSON, with the headers that go with its status.
struct Caught(Status);

impl<'r> Responder<'r, 'static> for Caught {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let (Caught(status), base) = (self, attached(request.rocket()));
        let allowed = match status {
            Status::NotFound => other_methods(request),
            _ => Vec::new(),
        };

        log_refusal(request, status);
        let status = if allowed.is_empty() { status } else { Status::MethodNotAllowed };
        let mut response = match status {
            _ if prefers_json(request) => Problem::new(status).respond_to(request),
            // A script that followed the way to the log-in page would take it for its answer.
            Status::Unauthorized if is_program(request) => Problem::new(status).respond_to(request),
            Status::Unauthorized => log_in(request, base).respond_to(request),
            _ if is_refused(request) => (status, pages::cross_site_error(base)).respond_to(request),
            _ => {
                let page = throttled(request, status, base);
                let page = page.unwrap_or_else(|| pages::error(status, base));
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

/// The page of what may be tried again after a time that is known.
fn throttled(request: &Request<'_>, status: Status, base: &Base) -> Option<Html> {
    let RetryAfter(wait) = *request.local_cache(|| RetryAfter(None));
    let seconds = wait.filter(|_| status == Status::TooManyRequests)?;
    let has_mail = attached::<Mail>(request.rocket()).is_on();
    Some(pages::throttled(base, seconds, request.uri().path().as_str(), has_mail))
}

/// A line for each refusal (ASVS 5.0, 16.3.2): another site's request, a private
/// page without a log-in.
fn log_refusal(request: &Request<'_>, status: Status) {
    let kind = match status {
        _ if is_refused(request) => Kind::CrossSite,
        Status::Unauthorized | Status::Forbidden => Kind::Denied,
        _ => return,
    };

    let config: &Config = attached(request.rocket());
    let client = Client::of(request, &config.site.trusted_proxies);
    let (at, ip_address) = (attached::<Clock>(request.rocket()).now(), client.ip_address());
    Line { at, kind, ip_address, user_id: None, email: None }.log();
}

/// To the log-in page, or to the page that asks for the password again, and
/// back here afterwards if here can be come back to.
fn log_in(request: &Request<'_>, base: &Base) -> Redirect {
    if request.local_cache(|| WantsPassword(false)).0 {
        let next = page_of(request).and_then(|path| ReturnTo::parse(&path));
        return Redirect::to(base.join(uri!(pages::reauthenticate::form(next = next))));
    }

    let next = match request.method() {
        Method::Get | Method::Head => ReturnTo::parse(&request.uri().to_string()),
        _ => None,
    };
    Redirect::to(base.join(uri!(pages::login::form(next = next))))
}

/// The page that the request came from or leads to: itself, if it can be asked
/// for, or else what the form stands on, one or several steps up its path. A
/// catch-all has no page for it.
fn page_of(request: &Request<'_>) -> Option<String> {
    if matches!(request.method(), Method::Get | Method::Head) {
        return Some(request.uri().to_string());
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

/// The methods under which the request's path exists, if none of them is the
/// request's own. Rocket answers 404 for a path under another method.
fn other_methods(request: &Request<'_>) -> Vec<&'static str> {
    let mut methods = Vec::new();
    for route in request.rocket().routes().filter(|route| covers(&route.uri, request.uri())) {
        if route.method == request.method() {
            return Vec::new();
        }

        // A route that answers GET answers HEAD.
        let implied = if route.method == Method::Get { Method::Head } else { route.method };
        methods.extend([route.method.as_str(), implied.as_str()]);
    }

    methods.sort_unstable();
    methods.dedup();
    methods
}
