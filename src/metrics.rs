//! What happens to sessions and mails, counted, through the [`metrics`] facade: they go
//! to whatever recorder the application installs, and nowhere without one.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `rocket_login_sessions_total` | counter | `event`: one of [`Event`] |
//! | `rocket_login_sessions_swept_total` | counter | |
//! | `rocket_login_mails_total` | counter | `event`: one of [`MailEvent`] |
//! | `rocket_login_session_lookup_seconds` | histogram | |
//! | `rocket_login_session_write_seconds` | histogram | |
//! | `rocket_login_panics_total` | counter | `task`: the work beside the requests that goes on after it |
//! | `rocket_login_connections` | gauge | `state`: `used` or `idle`; PostgreSQL alone |
//!
//! No label holds anything of a visitor.

use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// `created`: a row was added, for a visitor or by a log-in.
    Created,
    /// `regenerated`: it got a new token.
    Regenerated,
    /// `ended`: by a log-out or by the application.
    Ended,
    /// `refused`: a cookie came that belongs to no session: tampered with,
    /// expired or ended.
    Refused,
    /// `conflict`: a write found that the session had ended meanwhile.
    Conflict,
    /// `dropped`: its state could not be read.
    Dropped,
}

pub(crate) fn count(event: Event) {
    let name = match event {
        Event::Created => "created",
        Event::Regenerated => "regenerated",
        Event::Ended => "ended",
        Event::Refused => "refused",
        Event::Conflict => "conflict",
        Event::Dropped => "dropped",
    };
    counter!("rocket_login_sessions_total", "event" => name).increment(1);
}

/// What can happen to a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailEvent {
    /// `sent`: the server took it.
    Sent,
    /// `failed`: it did not, and the mail waits for another attempt.
    Failed,
    /// `dropped`: it never will be sent.
    Dropped,
}

pub(crate) fn mail(event: MailEvent) {
    let name = match event {
        MailEvent::Sent => "sent",
        MailEvent::Failed => "failed",
        MailEvent::Dropped => "dropped",
    };
    counter!("rocket_login_mails_total", "event" => name).increment(1);
}

pub(crate) fn ended(sessions: u64) {
    counter!("rocket_login_sessions_total", "event" => "ended").increment(sessions);
}

pub(crate) fn swept(sessions: u64) {
    counter!("rocket_login_sessions_swept_total").increment(sessions);
}

pub(crate) fn panicked(task: &'static str) {
    counter!("rocket_login_panics_total", "task" => task).increment(1);
}

pub(crate) fn connections(used: usize, idle: usize) {
    gauge!("rocket_login_connections", "state" => "used").set(used as f64);
    gauge!("rocket_login_connections", "state" => "idle").set(idle as f64);
}

pub(crate) fn looked_up(start: Instant) {
    histogram!("rocket_login_session_lookup_seconds").record(seconds(start.elapsed()));
}

pub(crate) fn written(start: Instant) {
    histogram!("rocket_login_session_write_seconds").record(seconds(start.elapsed()));
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Serves `GET /metrics` for Prometheus, to whoever knows `token`.
///
/// Anybody else, and any request without `Authorization: Bearer <token>`, gets
/// `404`: that a site counts its log-ins is nobody's business. It installs the
/// process's one recorder, so attach it once, and not beside another. A token
/// of fewer than 16 characters stops the launch.
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
#[cfg(feature = "prometheus")]
pub fn prometheus(token: &str) -> rocket::fairing::AdHoc {
    use rocket::fairing::AdHoc;

    let token = token.to_owned();
    AdHoc::try_on_ignite("Prometheus", |rocket| endpoint::attach(rocket, token))
}

#[cfg(feature = "prometheus")]
mod endpoint {
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

    use crate::background;

    /// What was measured is folded together this often; where nobody asks for
    /// it, it would pile up.
    const UPKEEP: Duration = Duration::from_secs(5);

    pub async fn attach(rocket: Rocket<Build>, token: String) -> fairing::Result {
        if token.len() < 16 {
            log::error!("prometheus: the token is too short; take 16 random characters or more");
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

    /// The SHA-256 of what must be sent, so that a comparison takes the same
    /// time for a token of any length.
    pub struct Token([u8; 32]);

    impl Token {
        pub fn new(token: &str) -> Self {
            Token(Sha256::digest(token).into())
        }
    }

    pub struct Scraper;

    #[rocket::async_trait]
    impl<'r> FromRequest<'r> for Scraper {
        type Error = std::convert::Infallible;

        async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
            let Token(expected) = crate::attached::attached(request.rocket());
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
    pub fn metrics(_scraper: Scraper, handle: &State<PrometheusHandle>) -> String {
        handle.render()
    }
}
