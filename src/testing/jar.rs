//! The cookies of a browser, and what it does without a request.

#[cfg(feature = "pages")]
mod accounts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::http::Cookie;
use rocket::tokio::time::timeout;
use rocket::{Orbit, Rocket};

use crate::attached::attached;
use crate::client::Client;
use crate::cookies::PendingCookies;
use crate::session::{Session, Sessions};

#[cfg(feature = "pages")]
pub use accounts::mails;

/// The longest wait for last-seen times.
const LONGEST: Duration = Duration::from_millis(500);

/// The cookies of a browser, by name.
#[derive(Debug, Default)]
pub struct Jar(Mutex<BTreeMap<String, String>>);

impl Jar {
    /// Returns all cookies.
    pub fn all(&self) -> Vec<Cookie<'static>> {
        self.cookies().clone().into_iter().map(Cookie::from).collect()
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.cookies().get(name).cloned()
    }

    pub fn set(&self, name: &str, value: String) {
        self.cookies().insert(name.to_owned(), value);
    }

    /// Keeps the cookie of an answer, or deletes it if the answer says so.
    pub fn keep(&self, cookie: &Cookie<'_>) {
        match cookie.max_age() {
            Some(age) if age.is_zero() => self.cookies().remove(cookie.name()),
            _ => self.cookies().insert(cookie.name().into(), cookie.value().into()),
        };
    }

    fn cookies(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the session of these cookies.
    pub async fn with_session<R>(
        &self,
        rocket: &Rocket<Orbit>,
        act: impl AsyncFnOnce(&Session) -> R,
    ) -> R {
        let sessions: &Arc<Sessions> = attached(rocket);
        let sent = self.get(sessions.cookie_name());
        let opened = sessions.open(sent.as_deref());
        let pending = PendingCookies::default();
        let session = Session::of(rocket, pending.clone(), Client::default(), opened).await;
        let result = act(&session.expect("the session")).await;
        pending.take().iter().for_each(|cookie| self.keep(cookie));
        settle(rocket).await;
        result
    }
}

/// Waits until no last-seen time is left to be written, but not much longer than a page may take: the
/// file may be locked.
pub async fn settle(rocket: &Rocket<Orbit>) {
    if let Some(sessions) = rocket.state::<Arc<Sessions>>() {
        let _ = timeout(LONGEST, sessions.settle()).await;
    }
}

/// Returns a form with these fields.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encode =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    fields.join("&")
}
