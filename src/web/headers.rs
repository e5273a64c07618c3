//! The headers of every response, errors and static files included.

use rocket::fairing::{Fairing, Info, Kind};
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
pub fn fairing(config: &Config) -> impl Fairing {
    Headers { is_https: config.session.is_secure(config.debug) && !config.debug }
}

struct Headers {
    is_https: bool,
}

#[rocket::async_trait]
impl Fairing for Headers {
    fn info(&self) -> Info {
        Info { name: "Security Headers", kind: Kind::Response | Kind::Singleton }
    }

    async fn on_response<'r>(&self, _: &'r Request<'_>, response: &mut Response<'r>) {
        let https = self.is_https.then_some(STRICT_TRANSPORT_SECURITY);
        for (name, value) in HEADERS.into_iter().chain(https) {
            // Rocket's own shield has set weaker ones of the same name.
            let from_shield = matches!(name, "X-Frame-Options" | "Permissions-Policy");
            if from_shield || !response.headers().contains(name) {
                response.set_header(Header::new(name, value));
            }
        }
    }
}
