//! Sets the security headers of every response, including errors and static files.

use std::borrow::Cow;

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::Header;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest};
use rocket::shield::{Hsts, Shield};
use rocket::{Data, Request, Response};
use time::Duration;

use super::marks::Marks;
use crate::config::{Config, HeadersConfig};
use crate::error::Error;

/// Returns a policy that allows nothing from elsewhere and nothing inline. `frame-ancestors` names
/// the sites that may frame our pages (clickjacking).
macro_rules! content_security_policy {
    ($frame_ancestors:literal) => {
        concat!(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; ",
            "img-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors ",
            $frame_ancestors
        )
    };
}

const CONTENT_SECURITY_POLICY: &str = content_security_policy!("'none'");

/// The policy if the application lets its own pages frame one.
const FRAMED_POLICY: &str = content_security_policy!("'self'");

/// The name of the header that says what a page may load.
const POLICY: &str = "Content-Security-Policy";

const HEADERS: [(&str, &str); 7] = [
    (POLICY, CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    // This header is for browsers that do not know `frame-ancestors`.
    ("X-Frame-Options", "DENY"),
    // With `no-referrer`, browsers would send `Origin: null` with our own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The name of the header that browsers keep to https with.
const HSTS: &str = "Strict-Transport-Security";

/// Two years of https only: over http, nobody could stop an attacker on the network from reading
/// along.
const TWO_YEARS: Duration = Duration::seconds(63_072_000);

/// The values of [`HSTS`] for [`TWO_YEARS`]. Every response has one of them, so neither is made anew.
const TWO_YEARS_ALONE: &str = "max-age=63072000";
const TWO_YEARS_WITH_SUBDOMAINS: &str = "max-age=63072000; includeSubDomains";

/// The security headers that the responses of an application's own routes get, for
/// [`Stage::headers()`](crate::Stage::headers).
///
/// Our pages, files and error pages always have [ours](crate::stage()#security-headers). A header
/// that a route sets itself always stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Headers {
    /// All of ours.
    #[default]
    Ours,
    /// None of ours: those of the application's [`Shield`], or of the one that every Rocket begins
    /// with, and nothing else.
    Own,
    /// Ours with this `Content-Security-Policy`. See [`with_policy()`](Self::with_policy).
    WithPolicy(Cow<'static, str>),
}

impl Headers {
    /// Returns all of our headers, with `policy` as the `Content-Security-Policy`.
    ///
    /// If `policy` is empty, or has a character that no header may have, the launch fails.
    ///
    /// # Examples
    ///
    /// A map from another host, and everything else from this site:
    ///
    /// ```rust,no_run
    /// use rocket_login::stage_at;
    /// use rocket_login::web::Headers;
    ///
    /// let headers = Headers::with_policy(
    ///     "default-src 'self'; img-src 'self' https://tiles.example; \
    ///      base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    /// );
    /// let rocket = rocket::build().attach(stage_at("/auth").headers(headers));
    /// ```
    pub fn with_policy(policy: impl Into<Cow<'static, str>>) -> Self {
        Headers::WithPolicy(policy.into())
    }

    /// Checks the policy.
    ///
    /// # Errors
    ///
    /// Returns a line for the log if it cannot be a header.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Headers::WithPolicy(policy) = self else { return Ok(()) };
        if policy.trim().is_empty() {
            return Err("Stage::headers: the policy is empty; write one, as in \
                        \"default-src 'self'\", or take Headers::Own"
                .into());
        }
        // A line end would start another header (header injection).
        match policy.chars().find(|c| !matches!(c, ' '..='~')) {
            Some(wrong) => Err(format!(
                "Stage::headers: the policy has the character {wrong:?}; write it in one line of \
                 ASCII"
            )),
            None => Ok(()),
        }
    }
}

impl From<HeadersConfig> for Headers {
    fn from(config: HeadersConfig) -> Self {
        match config {
            HeadersConfig::Ours => Headers::Ours,
            HeadersConfig::Own => Headers::Own,
        }
    }
}

/// A request whose path is a secret, as a request guard that always succeeds.
///
/// Every response to the request, even an error, has `Referrer-Policy: strict-origin`, so that a
/// link on the page does not pass the path on. It is not `no-referrer`, because browsers would send
/// `Origin: null` with our own form. Without `Sec-Fetch-Site`, as over http in a local network,
/// that form would be refused.
///
/// The response also has `X-Robots-Tag: noindex`, so that no search engine lists a link that somebody
/// has published.
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

/// Returns whether the route of `request` has declared that its path is secret.
#[cfg(feature = "cli")]
pub(crate) fn is_secret(request: &Request<'_>) -> bool {
    Marks::of(request).is_secret()
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for SecretPath {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        Marks::of(request).set_secret();
        Outcome::Success(SecretPath)
    }
}

/// Returns the replacement for the `Shield` that every Rocket begins with, unless the application
/// has headers of its own.
///
/// That one sets `X-Frame-Options` and `Permissions-Policy` at the start, so nobody could
/// distinguish them from headers that a route has set. If Rocket serves https, a `Shield` without a
/// policy for it would add its own.
pub fn shield(headers: &Headers, config: &Config) -> Option<Shield> {
    let hsts = match config.site.hsts_subdomains {
        true => Hsts::IncludeSubDomains(TWO_YEARS),
        false => Hsts::Enable(TWO_YEARS),
    };
    match headers {
        Headers::Own => None,
        _ if config.debug => Some(Shield::new()),
        _ => Some(Shield::new().enable(hsts)),
    }
}

/// The fairing that sets the headers. It keeps a header that a route or an earlier fairing has set,
/// except the referrer policy of a secret path.
#[derive(Debug)]
pub struct SecurityHeaders(pub Headers);

#[rocket::async_trait]
impl Fairing for SecurityHeaders {
    fn info(&self) -> Info {
        Info { name: "Security Headers", kind: Kind::Request | Kind::Response | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        Marks::of(request).set_seen();
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let marks = Marks::of(request);
        match (&self.0, marks.is_ours()) {
            (Headers::Own, true) => {
                // These are of a `Shield`, which cannot set a policy.
                for (name, _) in HEADERS.iter().filter(|(name, _)| *name != POLICY) {
                    response.remove_header(name);
                }
                response.remove_header(HSTS);
                secure(request, response, None);
            }
            (Headers::Own, false) => {}
            (Headers::WithPolicy(policy), false) => secure(request, response, Some(policy)),
            (Headers::Ours | Headers::WithPolicy(_), _) => secure(request, response, None),
        }
        if marks.is_secret() {
            response.set_header(Header::new("Referrer-Policy", "strict-origin"));
            response.set_header(not_for_search());
        }
    }
}

/// Returns the header that keeps a page out of search engines. It works in a layout of the
/// application's too, where a tag in the page would be missing.
pub fn not_for_search() -> Header<'static> {
    Header::new("X-Robots-Tag", "noindex")
}

/// Sets the headers of a response of our catchers that no fairing will see.
pub fn secure_unseen(request: &Request<'_>, response: &mut Response<'_>) {
    if !Marks::of(request).is_seen() {
        secure(request, response, None);
    }
}

/// Adds the headers that the response does not have, with `policy` in place of ours.
fn secure(request: &Request<'_>, response: &mut Response<'_>, policy: Option<&str>) {
    let config: Option<&Config> = request.rocket().state();
    let https = config.filter(|config| !config.debug);
    let https = https.map(|config| match config.site.hsts_subdomains {
        true => TWO_YEARS_WITH_SUBDOMAINS,
        false => TWO_YEARS_ALONE,
    });
    let framed = may_be_framed(response).then_some(FRAMED_POLICY);

    // A response has few headers before these. One walk past them costs less than to hash each name.
    let mut is_set = [false; HEADERS.len() + 1];
    for header in response.headers().iter() {
        let names = HEADERS.iter().map(|(name, _)| *name).chain([HSTS]);
        for (name, is_set) in names.zip(&mut is_set) {
            *is_set |= header.name().as_str().eq_ignore_ascii_case(name);
        }
    }
    let ours = HEADERS.into_iter().map(Some).chain([https.map(|value| (HSTS, value))]);
    for (name, value) in ours.zip(is_set).filter_map(|(ours, is_set)| ours.filter(|_| !is_set)) {
        match policy.or(framed).filter(|_| name == POLICY) {
            Some(policy) => response.set_header(Header::new(name, policy.to_owned())),
            None => response.set_header(Header::new(name, value)),
        };
    }
}

/// Returns whether the application has set `X-Frame-Options: SAMEORIGIN`. Browsers that know
/// `frame-ancestors` ignore that header, so our policy must allow it too.
fn may_be_framed(response: &Response<'_>) -> bool {
    let mut frames = response.headers().get("X-Frame-Options");
    frames.any(|frames| frames.trim().eq_ignore_ascii_case("SAMEORIGIN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_values_for_https_are_those_of_the_shield() {
        for (hsts, value) in [
            (Hsts::Enable(TWO_YEARS), TWO_YEARS_ALONE),
            (Hsts::IncludeSubDomains(TWO_YEARS), TWO_YEARS_WITH_SUBDOMAINS),
        ] {
            let header = Header::from(&hsts);
            assert_eq!((header.name().as_str(), header.value()), (HSTS, value));
        }
    }
}
