//! The endpoint for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rocket::fairing::{self, AdHoc};
use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::tokio::time::sleep;
use rocket::{Build, Rocket, State, get, routes};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::attached::attached;
use crate::background;

/// How often measurements are aggregated. Without it they would pile up if nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Returns the fairing that serves `GET /metrics` for Prometheus to clients that know `token`.
///
/// A request without `Authorization: Bearer <token>` gets `404`, because outsiders need not know
/// that a site counts its log-ins. The fairing installs the only recorder of the process, so attach
/// it once, and not together with another recorder. A token of fewer than 16 characters stops the
/// launch.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// #[launch]
/// fn rocket() -> _ {
///     let token = std::env::var("METRICS_TOKEN").expect("a long random token");
///     rocket_login::rocket().attach(rocket_login::metrics::prometheus(&token))
/// }
/// ```
pub fn prometheus(token: &str) -> AdHoc {
    let token = token.to_owned();
    AdHoc::try_on_ignite("Prometheus", |rocket| attach(rocket, token))
}

async fn attach(rocket: Rocket<Build>, token: String) -> fairing::Result {
    if token.len() < 16 {
        log::error!("prometheus: the token is too short; use at least 16 random characters");
        return Err(rocket);
    }

    let handle = match PrometheusBuilder::new().install_recorder() {
        Ok(handle) => handle,
        Err(error) => {
            log::error!("prometheus: {error}");
            return Err(rocket);
        }
    };

    let upkeep = handle.clone();
    Ok(rocket.manage(handle).manage(Token::new(&token)).mount("/", routes![metrics]).attach(
        AdHoc::on_liftoff("Prometheus Upkeep", |rocket| {
            let run = move || {
                let upkeep = upkeep.clone();
                async move { upkeep.run_upkeep() }
            };
            background::repeat("upkeep", rocket.shutdown(), run, || sleep(UPKEEP));
            Box::pin(async {})
        }),
    ))
}

/// The SHA-256 of the token, so that the comparison takes equally long for tokens of any length
/// (timing attack).
struct Token([u8; 32]);

impl Token {
    fn new(token: &str) -> Self {
        Token(Sha256::digest(token).into())
    }
}

struct Scraper;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Scraper {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let Token(expected) = attached(request.rocket());
        let sent = request.headers().get_one("Authorization").unwrap_or_default();
        let sent = sent.strip_prefix("Bearer ").unwrap_or_default();
        let sent: [u8; 32] = Sha256::digest(sent).into();
        match expected.ct_eq(&sent).into() {
            true => Outcome::Success(Scraper),
            false => Outcome::Forward(Status::NotFound),
        }
    }
}

#[get("/metrics")]
fn metrics(_scraper: Scraper, handle: &State<PrometheusHandle>) -> String {
    handle.render()
}
