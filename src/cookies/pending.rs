//! The cookies that a response will set, whoever produces it.
//!
//! Rocket drops the cookies in its jar when a catcher answers, which would
//! leave a session's row without a cookie, or a visitor with the cookie of a row
//! that is gone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocket::Request;
use rocket::http::{Cookie, Status};

use crate::token::TokenId;

/// The cookies that this request's response will set.
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
    /// Only with a page, not with a redirect or a failure.
    if_shown: bool,
}

impl PendingCookies {
    pub fn of(request: &Request<'_>) -> Self {
        request.local_cache(PendingCookies::default).clone()
    }

    /// Sends `cookie` with the response, in place of an earlier one of its name.
    pub fn set(&self, cookie: Cookie<'static>) {
        self.push(cookie, false);
    }

    /// Sends `cookie` only with a response that shows something, and only if
    /// none of its name is to be sent already.
    pub fn set_if_shown(&self, cookie: Cookie<'static>) {
        if self.lock().cookies.iter().all(|earlier| earlier.cookie.name() != cookie.name()) {
            self.push(cookie, true);
        }
    }

    /// Sends `cookie` if nothing else is sent under its name, and if the session
    /// `id` is still there by then. A slow response would otherwise put the
    /// token back that a log-in has replaced meanwhile.
    pub fn renew(&self, id: TokenId, cookie: Cookie<'static>) {
        self.lock().renewal = Some((id, cookie));
    }

    /// Notes that the response may depend on the session.
    pub fn set_read(&self) {
        self.lock().is_read = true;
    }

    /// Whether the response may depend on the session.
    pub fn is_read(&self) -> bool {
        self.lock().is_read
    }

    /// Whether the response's head is on its way, so that nothing can be set
    /// any longer.
    pub fn are_sent(&self) -> bool {
        self.lock().are_sent
    }

    /// What would be sent.
    #[cfg(feature = "testing")]
    pub fn take(&self) -> Vec<Cookie<'static>> {
        std::mem::take(&mut self.lock().cookies).into_iter().map(|pend| pend.cookie).collect()
    }

    fn push(&self, cookie: Cookie<'static>, if_shown: bool) {
        let mut pending = self.lock();
        pending.cookies.retain(|earlier| earlier.cookie.name() != cookie.name());
        pending.cookies.push(Pend { cookie, if_shown });
    }

    /// What goes with a response of this status.
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
