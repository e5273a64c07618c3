//! The cookies that a response will set, whatever produces it.
//!
//! Rocket drops the cookies in its jar if a catcher answers. That would leave a session's row
//! without a cookie, or a visitor with a cookie whose row is deleted.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocket::Request;
use rocket::http::{Cookie, Status};

use crate::token::TokenId;

/// The cookies that the response to this request will set. Clones share them.
#[derive(Clone, Default)]
pub struct PendingCookies(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    cookies: Vec<Pend>,
    renewal: Option<(TokenId, Cookie<'static>)>,
    is_read: bool,
    are_sent: bool,
}

struct Pend {
    cookie: Cookie<'static>,
    /// The cookie is sent only with a page (2xx or 422), not with a redirect or another error.
    if_shown: bool,
}

impl PendingCookies {
    /// Returns the pending cookies of `request`.
    pub fn of(request: &Request<'_>) -> Self {
        request.local_cache(PendingCookies::default).clone()
    }

    /// Sends `cookie` with the response. It replaces an earlier pending cookie with this name.
    pub fn set(&self, cookie: Cookie<'static>) {
        self.push(cookie, false);
    }

    /// Sends `cookie` only with a response that shows a page, and only if no cookie with this name
    /// is pending.
    pub fn set_if_shown(&self, cookie: Cookie<'static>) {
        if self.lock().cookies.iter().all(|earlier| earlier.cookie.name() != cookie.name()) {
            self.push(cookie, true);
        }
    }

    /// Sends `cookie` if no other cookie with its name is sent, and if the session `id` still
    /// exists when the response is sent. Otherwise a slow response would restore a token that a
    /// log-in has replaced in the meantime.
    pub fn renew(&self, id: TokenId, cookie: Cookie<'static>) {
        self.lock().renewal = Some((id, cookie));
    }

    /// Records that the response may depend on the session.
    pub fn set_read(&self) {
        self.lock().is_read = true;
    }

    /// Returns whether the response may depend on the session.
    pub fn is_read(&self) -> bool {
        self.lock().is_read
    }

    /// Returns whether the head of the response has been sent. No cookie can be set after that.
    pub fn are_sent(&self) -> bool {
        self.lock().are_sent
    }

    /// Takes the pending cookies, which are then not sent.
    #[cfg(feature = "testing")]
    pub fn take(&self) -> Vec<Cookie<'static>> {
        std::mem::take(&mut self.lock().cookies).into_iter().map(|pend| pend.cookie).collect()
    }

    fn push(&self, cookie: Cookie<'static>, if_shown: bool) {
        let mut pending = self.lock();
        pending.cookies.retain(|earlier| earlier.cookie.name() != cookie.name());
        pending.cookies.push(Pend { cookie, if_shown });
    }

    /// Returns the cookies for a response with this status, and the renewal, if there is one. From
    /// now on [`are_sent()`](Self::are_sent()) is true.
    pub fn send(
        &self,
        status: Status,
    ) -> (Vec<Cookie<'static>>, Option<(TokenId, Cookie<'static>)>) {
        let is_shown = status.class().is_success() || status == Status::UnprocessableEntity;
        let mut pending = self.lock();
        pending.are_sent = true;
        let cookies = std::mem::take(&mut pending.cookies).into_iter();
        let cookies: Vec<_> =
            cookies.filter(|pend| is_shown || !pend.if_shown).map(|pend| pend.cookie).collect();
        let renewal = pending.renewal.take();
        let is_free = |cookie: &Cookie<'_>| cookies.iter().all(|c| c.name() != cookie.name());
        let renewal = renewal.filter(|(_, cookie)| is_free(cookie));
        (cookies, renewal)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PendingCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            self.lock().cookies.iter().map(|p| p.cookie.name().to_owned()).collect();
        f.debug_tuple("PendingCookies").field(&names).finish()
    }
}
