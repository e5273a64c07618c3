//! The headers of every response, errors and static files included.

use rocket::fairing::AdHoc;
use rocket::http::Header;
use rocket::{Request, Response};

use crate::config::Config;

/// Nothing from elsewhere, nothing inline, no frame around us.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

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

/// Sets them; a header that a route set itself stays as it is.
pub fn fairing() -> AdHoc {
    AdHoc::on_response("Security Headers", |request, response| {
        Box::pin(async move { secure(request, response) })
    })
}

/// Sets them on one response. The catchers do so too: Rocket answers a request
/// it cannot parse without asking the fairings.
pub fn secure(request: &Request<'_>, response: &mut Response<'_>) {
    let debug = request.rocket().state().is_some_and(|config: &Config| config.debug);
    let https = (!debug).then_some(STRICT_TRANSPORT_SECURITY);
    for (name, value) in HEADERS.into_iter().chain(https) {
        // Rocket's own shield has set weaker ones of the same name.
        let from_shield = matches!(name, "X-Frame-Options" | "Permissions-Policy");
        if from_shield || !response.headers().contains(name) {
            response.set_header(Header::new(name, value));
        }
    }
}
