//! A message that is shown once, on the page after an act.

use std::time::Duration;

use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached::attached;
use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookie, SealedCookies};
use crate::error::Error;

/// The longest time that a message waits. The next page is usually requested at once, and an old
/// message would confuse.
const LIFETIME: Duration = Duration::from_secs(60);

/// The longest message, in bytes: a sentence or two, which fits a cookie after sealing and
/// encoding.
const MAX_LENGTH: usize = 1000;

/// The cookie that carries the message. It is in managed state.
///
/// The cookie is sealed, so that nobody else can show text on our pages. It is separate from the
/// session, so that a visitor who has just logged out can get a message.
#[derive(Debug)]
pub struct FlashCookie(SealedCookie);

impl FlashCookie {
    pub(crate) fn new(config: &Config, cookies: &SealedCookies) -> Self {
        FlashCookie(SealedCookie::new(config, cookies, "flash"))
    }
}

/// A message from one page to the next. As a request guard it always succeeds.
///
/// A message waits for up to one minute, until a page shows it. A page shows it if it calls
/// [`take()`](Self::take()) and its response is 2xx, or 422 for a refused form. A redirect or
/// another error of that page keeps the message, and so do all requests that do not call `take()`,
/// however many there are.
///
/// A [`Sentinel`] stops the launch if neither [`sessions()`](crate::sessions()) nor
/// [`stage()`](crate::stage()) is attached.
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

    /// Sends `message` to the next page. It replaces a message that is still waiting. A message
    /// longer than 1,000 bytes is cut off.
    pub fn set(&self, message: &str) {
        let message = &message[..message.floor_char_boundary(MAX_LENGTH)];
        self.pending.set(self.cookie.seal(message, LIFETIME));
    }

    /// Returns whether a message is waiting.
    #[cfg(feature = "providers")]
    pub(crate) fn is_waiting(&self) -> bool {
        self.message.is_some()
    }

    /// Returns the waiting message. If the response is then 2xx or 422, the browser deletes the
    /// message. `None` means that no message is waiting.
    pub fn take(&self) -> Option<String> {
        if self.message.is_some() {
            self.pending.set_if_shown(self.cookie.removal());
        }
        self.message.clone()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Flash<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        Outcome::Success(Flash::of(request))
    }
}

impl Sentinel for Flash<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<FlashCookie>().is_none()
    }
}
