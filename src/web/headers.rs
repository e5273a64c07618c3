//! Sets the security headers of every response, including errors and static files.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::Header;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest};
use rocket::shield::{Hsts, Shield};
use rocket::{Data, Request, Response};
use time::Duration;

use crate::config::Config;

/// Returns a policy that allows nothing from elsewhere and nothing inline. `frame-ancestors` names
/// the sites that may frame our pages (clickjacking).
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

/// The policy if the application lets its own pages frame one.
const FRAMED_POLICY: &str = content_security_policy!("'self'");

const HEADERS: [(&str, &str); 7] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    // This header is for browsers that do not know `frame-ancestors`.
    ("X-Frame-Options", "DENY"),
    // With `no-referrer`, browsers would send `Origin: null` with our own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Two years of https only: over http, nobody could stop an attacker on the network from reading
/// along.
const STRICT_TRANSPORT_SECURITY: (&str, &str) =
    ("Strict-Transport-Security", "max-age=63072000; includeSubDomains");

/// The time of [`STRICT_TRANSPORT_SECURITY`], for Rocket's `Shield`.
const TWO_YEARS: Duration = Duration::seconds(63_072_000);

/// `true` if the fairings see this request. Rocket answers a request that it cannot parse without
/// them.
struct IsSeen(bool);

/// A request whose path is a secret, as a request guard that always succeeds.
///
/// Every response to the request, even an error, has `Referrer-Policy: strict-origin`, so that a
/// link on the page does not pass the path on. It is not `no-referrer`, because browsers would send
/// `Origin: null` with our own form. Without `Sec-Fetch-Site`, as over http in a local network,
/// that form would be refused.
///
/// # Examples
///
/// ```rust
/// use rocket::get;
/// use rocket_login::Auth;
/// use rocket_login::auth::LinkError;
/// use rocket_login::web::SecretPath;
///
/// #[get("/new-password/<token>")]
/// async fn choose(_path: SecretPath, token: &str, auth: Auth<'_>) -> Result<String, LinkError> {
///     let link = auth.reset_link(token).await?;
///     Ok(format!("Choose a new password for {}", link.email()))
/// }
/// ```
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

/// Returns the replacement for the `Shield` that every Rocket begins with.
///
/// That one sets `X-Frame-Options` and `Permissions-Policy` at the start, so nobody could
/// distinguish them from headers that a route has set. If Rocket serves https, a `Shield` without a
/// policy for it would add its own.
pub fn shield(debug: bool) -> Shield {
    match debug {
        true => Shield::new(),
        false => Shield::new().enable(Hsts::IncludeSubDomains(TWO_YEARS)),
    }
}

/// The fairing that sets the headers. It keeps a header that a route or an earlier fairing has set,
/// except the referrer policy of a secret path.
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

/// Sets the headers of a catcher's response that no fairing will see.
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

/// Returns whether the application has set `X-Frame-Options: SAMEORIGIN`. Browsers that know
/// `frame-ancestors` ignore that header, so our policy must allow it too.
fn may_be_framed(response: &Response<'_>) -> bool {
    let mut frames = response.headers().get("X-Frame-Options");
    frames.any(|frames| frames.trim().eq_ignore_ascii_case("SAMEORIGIN"))
}
