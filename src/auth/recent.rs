//! The guard in front of what is sensitive.

use std::ops::Deref;

use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached::attached;
use crate::config::Config;
use crate::error::Error;
use crate::password::Hasher;
use crate::session::Session;
use crate::user::{self, User};

/// The logged-in user, if they have given their password not longer ago than
/// `session.reauthenticate_after`, as a request guard ("sudo").
///
/// A session that is hours old may be in other hands: on a machine left open,
/// or by a stolen cookie. Whoever holds it should not be able to take the
/// account over.
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

/// Whether the request was refused only because the password was given too
/// long ago. In the request's local cache, for the catcher.
#[derive(Debug, Clone, Copy)]
pub struct WantsPassword(pub bool);

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

        request.local_cache(|| WantsPassword(true));
        user::refuse(request)
    }
}

impl Sentinel for RecentLogin<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}
