//! Cookies that only this site can read or write.
//!
//! Like Rocket's private cookies, and in their format, but sealed with keys of
//! our own, for two things Rocket's jar cannot do: former keys stay readable
//! (rwf2/Rocket#1085), and a cookie set by a handler is sent whatever answers
//! the request in the end. Rocket drops its queued cookies when a catcher
//! answers, which would leave a session row without a cookie, or a visitor
//! with the cookie of a row that is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cookie::{CookieJar, Key};
use rocket::Request;
use rocket::fairing::AdHoc;
use rocket::http::{Cookie, Header, SameSite, Status};

use crate::config::{self, Config};
use crate::session::{self, SessionId};

/// The longest that browsers keep (RFC 6265bis, section 5.6).
const MAX_SEALED_LENGTH: usize = 4096;

/// When to come back after a 503: a restart or a busy moment is over by then.
const BUSY_SECONDS: &str = "5";

/// When to come back after a 429 that says nothing else.
const THROTTLED_SECONDS: &str = "600";

/// Seals, opens and removes cookies with the configured attributes.
#[derive(Clone)]
pub struct SealedCookies {
    /// The current key first: it seals. All of them open.
    keys: Vec<Key>,
    path: String,
    domain: Option<String>,
    partitioned: bool,
    secure: bool,
    same_site: SameSite,
}

/// What an opened cookie holds.
#[derive(Debug)]
pub struct Opened {
    pub value: String,
    /// It was sealed under a former key and should be sent anew.
    pub is_outdated: bool,
}

impl SealedCookies {
    pub fn new(config: &Config) -> Self {
        let session = &config.session;
        let keys = std::iter::once(&config.secret_key).chain(&session.previous_keys);
        SealedCookies {
            keys: keys.map(|key| key.key().clone()).collect(),
            path: session.cookie_path.clone(),
            domain: session.cookie_domain.clone(),
            partitioned: session.partitioned,
            secure: session.is_secure(config.debug),
            same_site: match session.same_site {
                config::SameSite::Lax => SameSite::Lax,
                config::SameSite::Strict => SameSite::Strict,
                config::SameSite::None => SameSite::None,
            },
        }
    }

    /// The content of `cookie`, as a request has brought it.
    ///
    /// One that is over-long, tampered with or sealed by somebody else is
    /// `None`: whoever sends it is a visitor without one.
    pub fn open(&self, cookie: &Cookie<'static>) -> Option<Opened> {
        if cookie.value().len() > MAX_SEALED_LENGTH {
            return None;
        }

        let jar = CookieJar::new();
        self.keys.iter().enumerate().find_map(|(position, key)| {
            let opened = jar.private(key).decrypt(cookie.clone())?;
            Some(Opened { value: opened.value().to_owned(), is_outdated: position > 0 })
        })
    }

    /// Seals `value`. Without `max_age` the browser keeps it until it closes.
    pub fn seal(&self, name: &str, value: &str, max_age: Option<Duration>) -> Cookie<'static> {
        let mut cookie = self.with_attributes(name, value);
        if let Some(max_age) = max_age {
            cookie.set_max_age(time::Duration::seconds(max_age.as_secs() as i64));
        }

        let mut jar = CookieJar::new();
        let current = self.keys.first().expect("the secret key comes first");
        jar.private_mut(current).add(cookie);
        jar.get(name).expect("it was just added").clone()
    }

    /// Tells the browser to forget the cookie `name`.
    ///
    /// With the attributes it was set with: browsers ignore a removal of a
    /// `__Host-` cookie that lacks `Secure`, and the log-out would not show.
    pub fn removal(&self, name: &str) -> Cookie<'static> {
        let mut cookie = self.with_attributes(name, "");
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        cookie
    }

    fn with_attributes(&self, name: &str, value: &str) -> Cookie<'static> {
        let mut cookie = Cookie::build((name.to_owned(), value.to_owned()))
            .path(self.path.clone())
            .secure(self.secure)
            .http_only(true)
            .same_site(self.same_site)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain.clone());
        }
        cookie.build()
    }
}

impl std::fmt::Debug for SealedCookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCookies").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// The cookies that this request's response will set.
#[derive(Clone, Default)]
pub struct PendingCookies(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    cookies: Vec<Pend>,
    renewal: Option<(SessionId, Cookie<'static>)>,
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
    pub fn renew(&self, id: SessionId, cookie: Cookie<'static>) {
        self.lock().renewal = Some((id, cookie));
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
    fn send(&self, status: Status) -> (Vec<Cookie<'static>>, Option<(SessionId, Cookie<'static>)>) {
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

impl std::fmt::Debug for PendingCookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> =
            self.lock().cookies.iter().map(|p| p.cookie.name().to_owned()).collect();
        f.debug_tuple("PendingCookies").field(&names).finish()
    }
}

/// Writes the pending cookies into the response, whoever produced it, and when
/// to come back after an error that passes.
///
/// Such a response is nobody else's, so no cache may keep it.
pub fn fairing() -> AdHoc {
    AdHoc::on_response("Session", |request, response| {
        Box::pin(async move {
            let (mut cookies, renewal) = PendingCookies::of(request).send(response.status());
            if let Some((id, cookie)) = renewal
                && session::exists(request.rocket(), id).await
            {
                cookies.push(cookie);
            }

            // Whoever answers, an application's own catcher included.
            let retry_after = match response.status() {
                Status::ServiceUnavailable => Some(BUSY_SECONDS),
                Status::TooManyRequests => Some(THROTTLED_SECONDS),
                _ => None,
            };
            if let Some(seconds) =
                retry_after.filter(|_| !response.headers().contains("Retry-After"))
            {
                response.set_header(Header::new("Retry-After", seconds));
            }

            for cookie in cookies {
                response.adjoin_header(Header::new("Set-Cookie", cookie.encoded().to_string()));
                response.set_header(Header::new("Cache-Control", "no-store"));
            }
        })
    })
}
