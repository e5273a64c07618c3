//! The address that was typed last, for the next form that asks for one.

use std::time::Duration;

use rocket::Request;

use crate::attached::attached;
use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookie, SealedCookies};
use crate::user::Email;

/// How long the address is filled in. After it somebody else may sit at the browser.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The cookie that carries the address. It is in managed state.
///
/// In the path, the address would get into logs and into the browser's history, and everybody could
/// make a link to our log-in page that fills in an address. The cookie is sealed, so that nobody
/// else reads it or makes one.
#[derive(Debug)]
pub struct TypedEmailCookie(SealedCookie);

impl TypedEmailCookie {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        TypedEmailCookie(SealedCookie::new(config, cookies, "email"))
    }
}

/// The address that was typed last in this browser.
#[derive(Debug)]
pub struct TypedEmail<'r> {
    cookie: &'r SealedCookie,
    email: Option<String>,
    pending: PendingCookies,
}

impl<'r> TypedEmail<'r> {
    pub fn of(request: &'r Request<'_>) -> Self {
        let TypedEmailCookie(cookie) = attached(request.rocket());
        let email = cookie.all_of(request).into_iter().next();
        TypedEmail { cookie, email, pending: PendingCookies::of(request) }
    }

    /// Returns the address. It is empty if there is none.
    pub fn get(&self) -> &str {
        self.email.as_deref().unwrap_or_default()
    }

    /// Keeps `email` for the next forms.
    pub fn keep(&self, email: &Email) {
        self.pending.set(self.cookie.seal(email, LIFETIME));
    }

    /// Removes the address, if there is one.
    pub fn forget(&self) {
        if self.email.is_some() {
            self.pending.set(self.cookie.removal());
        }
    }
}
