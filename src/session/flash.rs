//! One message, shown once, on the page after an act.

use std::time::Duration;

use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached::attached;
use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookie, SealedCookies};

/// The next page comes at once; an old message would only confuse.
const LIFETIME: Duration = Duration::from_secs(60);

/// A sentence or two; sealed and encoded it fits a cookie.
const MAX_LENGTH: usize = 1000;

/// The cookie that carries the message, in managed state.
///
/// Sealed, so that nobody can put words into our pages; apart from the
/// session, so that a visitor who has just logged out can be told so.
#[derive(Debug)]
pub struct FlashCookie(SealedCookie);

impl FlashCookie {
    pub(crate) fn new(config: &Config, cookies: &SealedCookies) -> Self {
        FlashCookie(SealedCookie::new(config, cookies, "flash"))
    }
}

/// A message from one page to the next, as a request guard that always
/// succeeds.
///
/// It waits, for a minute, until a page shows it: a response of 2xx, or a
/// refused form of 422. Requests that do not ask for it leave it alone, however
/// many run meanwhile, and so does a redirect or an error of a page that did
/// ask.
///
/// A [`Sentinel`] stops the launch when neither [`sessions()`](crate::sessions())
/// nor [`stage()`](crate::stage()) is attached.
///
/// # Examples
///
/// ```rust
/// # use rocket::{get, post};
/// use rocket::response::Redirect;
/// use rocket_login::Flash;
///
/// #[post("/notes")]
/// fn add(flash: Flash<'_>) -> Redirect {
///     flash.set("The note is saved.");
///     Redirect::to("/notes")
/// }
///
/// #[get("/notes")]
/// fn list(flash: Flash<'_>) -> String {
///     flash.take().unwrap_or_default()
/// }
/// ```
#[derive(Debug)]
pub struct Flash<'r> {
    cookie: &'r SealedCookie,
    message: Option<String>,
    pending: PendingCookies,
}

impl<'r> Flash<'r> {
    pub(crate) fn of(request: &'r Request<'_>) -> Self {
        let FlashCookie(cookie) = attached(request.rocket());
        let message = cookie.all_of(request).into_iter().next();
        Flash { cookie, message, pending: PendingCookies::of(request) }
    }

    /// Leaves `message` for the next page, in place of one that waits. What is
    /// longer than 1,000 bytes is cut off.
    pub fn set(&self, message: &str) {
        let message = &message[..message.floor_char_boundary(MAX_LENGTH)];
        self.pending.set(self.cookie.seal(message, LIFETIME));
    }

    /// The waiting message, to be shown now.
    pub fn take(&self) -> Option<String> {
        if self.message.is_some() {
            self.pending.set_if_shown(self.cookie.removal());
        }
        self.message.clone()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Flash<'r> {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        Outcome::Success(Flash::of(request))
    }
}

impl Sentinel for Flash<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<FlashCookie>().is_none()
    }
}
