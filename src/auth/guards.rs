//! The guards of the logged-in user.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rocket::http::Status;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached::attached;
use crate::config::Config;
use crate::error::{self, Error};
use crate::password::Hasher;
use crate::routing;
use crate::session::Session;
use crate::user::User;

/// The logged-in user who has given their password within `session.reauthenticate_after`, as a
/// request guard ("sudo").
///
/// A session that is hours old may be in other hands: on a machine that was left open, or through a
/// stolen cookie. Its holder should not be able to take the account over.
///
/// The guard
///
///   * _succeeds_ when the password was given recently;
///   * _forwards_ or _fails_ with `401 Unauthorized` when it was not, as
///     [`&User`](User) does. The registered catcher sends a browser to
///     `/reauthenticate`, and back to this page afterwards; from a form, to the
///     page it stands on;
///   * forwards and _fails_ as [`&User`](User) does otherwise.
///
/// # Examples
///
/// ```rust
/// # use rocket::post;
/// use rocket_login::RecentLogin;
///
/// #[post("/payout")]
/// fn pay_out(user: RecentLogin<'_>) -> String {
///     format!("Paid out to {}", user.email)
/// }
/// ```
#[derive(Debug)]
pub struct RecentLogin<'r>(&'r User);

/// `true` if the request was refused only because the password was given too long ago. It is in the
/// request's local cache.
#[derive(Debug, Default)]
struct WantsPassword(AtomicBool);

impl RecentLogin<'_> {
    /// Returns whether this guard has refused the request only because the user gave their password
    /// too long ago. A catcher for `401` asks it, and leads to a page that asks for the password
    /// again.
    pub fn is_wanted(request: &Request<'_>) -> bool {
        request.local_cache(WantsPassword::default).0.load(Relaxed)
    }
}

impl Deref for RecentLogin<'_> {
    type Target = User;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for RecentLogin<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        let session = try_outcome!(request.guard::<&Session>().await);
        let config: &Config = attached(request.rocket());
        if session.is_recent(config.session.reauthenticate_after) {
            return Outcome::Success(RecentLogin(user));
        }

        // Not by the first value of the cache: a fairing may have asked before.
        request.local_cache(WantsPassword::default).0.store(true, Relaxed);
        refuse(request)
    }
}

impl Sentinel for RecentLogin<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for &'r User {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let session = try_outcome!(request.guard::<&Session>().await);
        match session.user() {
            Some(user) => Outcome::Success(user),
            None => refuse(request),
        }
    }
}

/// Returns the outcome of a guard without a logged-in user: it forwards to a route for guests or to
/// the catcher, and never to a catch-all.
///
/// A catch-all would answer `404`, as if there were nothing here, and the catcher that leads to the
/// log-in page would never be asked.
fn refuse<'r, T>(request: &'r Request<'_>) -> request::Outcome<T, &'r Error> {
    match routing::is_swallowed(request) {
        true => Outcome::Error((Status::Unauthorized, &error::UNAUTHORIZED)),
        false => Outcome::Forward(Status::Unauthorized),
    }
}

impl Sentinel for User {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}
