//! One message, shown once, on the page after an act.

use std::time::Duration;

use rocket::Request;

use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookies};

/// The next page comes at once; an old message would only confuse.
const LIFETIME: Duration = Duration::from_secs(60);

/// The cookie that carries the message, in managed state.
///
/// Sealed, so that nobody can put words into our pages; apart from the
/// session, so that a visitor who has just logged out can be told so.
#[derive(Debug)]
pub struct FlashCookie {
    name: String,
    cookies: SealedCookies,
}

impl FlashCookie {
    pub fn new(config: &Config, cookies: SealedCookies) -> Self {
        // Never the session's own name, and with its prefix.
        let name = format!("{}-flash", config.session.cookie_name(config.debug));
        FlashCookie { name, cookies }
    }

    /// The waiting message. It stays until [`Self::clear()`].
    pub fn read(&self, request: &Request<'_>) -> Option<String> {
        self.cookies.open(request, &self.name).map(|opened| opened.value)
    }

    /// Forgets the message: a page shows it. Requests that show none, such as
    /// the style sheet's, leave it alone.
    pub fn clear(&self, pending: &PendingCookies) {
        pending.set(self.cookies.removal(&self.name));
    }

    /// Leaves `message` for the next page.
    pub fn set(&self, pending: &PendingCookies, message: &str) {
        pending.set(self.cookies.seal(&self.name, message, Some(LIFETIME)));
    }
}
