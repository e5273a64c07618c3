//! The headers of every response, errors and static files included.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::Header;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest};
use rocket::shield::{Hsts, Shield};
use rocket::{Data, Request, Response};
use time::Duration;

use crate::config::Config;

/// Nothing from elsewhere, nothing inline; `frame-ancestors` says who may put a frame
/// around us.
macro_rules! content_security_policy {
    ($frame_ancestors:literal) => {
        concat!(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; ",
            "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors ",
            $frame_ancestors
        )
    };
}

const CONTENT_SECURITY_POLICY: &str = content_security_policy!("'none'");

/// Where the application lets its own pages put a frame around one.
const FRAMED_POLICY: &str = content_security_policy!("'self'");

const HEADERS: [(&str, &str); 7] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    // For browsers that do not know `frame-ancestors`.
    ("X-Frame-Options", "DENY"),
    // Not `no-referrer`: browsers would send `Origin: null` with our own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Two years: over http nobody could be stopped from reading along.
const STRICT_TRANSPORT_SECURITY: (&str, &str) =
    ("Strict-Transport-Security", "max-age=63072000; includeSubDomains");

/// As above, for Rocket's `Shield`.
const TWO_YEARS: Duration = Duration::seconds(63_072_000);

/// Whether the fairings see this request. Rocket answers one that it cannot
/// parse without asking them.
struct IsSeen(bool);

/// A request whose path is a secret, as a request guard that always succeeds.
///
/// The response says `Referrer-Policy: strict-origin`, whatever becomes of it:
/// a link on the page must not hand the path on. Not `no-referrer`: browsers would
/// send `Origin: null` with our own form, and where they do not say
/// `Sec-Fetch-Site` beside it, as over http in a local network, it would be refused.
#[derive(Debug)]
pub struct SecretPath;

struct IsSecret(bool);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for SecretPath {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        request.local_cache(|| IsSecret(true));
        Outcome::Success(SecretPath)
    }
}

/// Takes the place of the `Shield` that every Rocket begins with.
///
/// That one sets `X-Frame-Options` and `Permissions-Policy` before anybody looks, and
/// nobody could tell them from what a route has set. Where Rocket serves https, a
/// `Shield` without a policy for it adds one of its own.
pub fn shield(debug: bool) -> Shield {
    match debug {
        true => Shield::new(),
        false => Shield::new().enable(Hsts::IncludeSubDomains(TWO_YEARS)),
    }
}

/// Sets them. A header that a route or an earlier fairing has set stays as it is, except
/// for the referrer policy of a path that is a secret.
#[derive(Debug)]
pub struct SecurityHeaders;

#[rocket::async_trait]
impl Fairing for SecurityHeaders {
    fn info(&self) -> Info {
        Info { name: "Security Headers", kind: Kind::Request | Kind::Response | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        request.local_cache(|| IsSeen(true));
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        secure(request, response);
    }
}

/// Sets them on a catcher's response that no fairing will see.
pub fn secure_unseen(request: &Request<'_>, response: &mut Response<'_>) {
    if !request.local_cache(|| IsSeen(false)).0 {
        secure(request, response);
    }
}

fn secure(request: &Request<'_>, response: &mut Response<'_>) {
    if request.local_cache(|| IsSecret(false)).0 {
        response.set_header(Header::new("Referrer-Policy", "strict-origin"));
    }

    if may_be_framed(response) && !response.headers().contains("Content-Security-Policy") {
        response.set_header(Header::new("Content-Security-Policy", FRAMED_POLICY));
    }

    let debug = request.rocket().state().is_some_and(|config: &Config| config.debug);
    let https = (!debug).then_some(STRICT_TRANSPORT_SECURITY);
    for (name, value) in HEADERS.into_iter().chain(https) {
        if !response.headers().contains(name) {
            response.set_header(Header::new(name, value));
        }
    }
}

/// Whether the application has set `X-Frame-Options: SAMEORIGIN`. Browsers that know
/// `frame-ancestors` do not look at it, so our policy must say the same.
fn may_be_framed(response: &Response<'_>) -> bool {
    let mut frames = response.headers().get("X-Frame-Options");
    frames.any(|frames| frames.trim().eq_ignore_ascii_case("SAMEORIGIN"))
}
