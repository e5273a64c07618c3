//! Sessions: an opaque token in a sealed cookie, and its row in the database.

mod client;
mod clocks;
mod store;
mod sweep;
mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::tokio::{self, time::timeout};
use rocket::{Ignite, Rocket, Sentinel};
use sqlx::{Sqlite, Transaction};

use crate::attached;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookies};
use crate::db::{Db, Pools};
use crate::error::Error;
use crate::user::User;
use client::Client;
use clocks::Clocks;
use ipnet::IpNet;
use store::Record;

pub use sweep::{fairing as sweeper, sweep};
pub use token::{SessionId, SessionToken};

/// How long a page waits for its last-seen time to be written. A locked file
/// must not slow reading down; the write itself goes on meanwhile.
const TOUCH_PATIENCE: Duration = Duration::from_millis(50);

/// What every request's session needs, in managed state.
#[derive(Debug)]
pub struct Sessions {
    cookie_name: String,
    cookies: SealedCookies,
    clocks: Clocks,
    trusted_proxies: Vec<IpNet>,
}

impl Sessions {
    pub(crate) fn new(config: &Config, cookies: SealedCookies) -> Self {
        Sessions {
            cookie_name: config.session.cookie_name(config.debug).to_owned(),
            cookies,
            clocks: Clocks::new(&config.session),
            trusted_proxies: config.site.trusted_proxies.clone(),
        }
    }
}

/// The visitor's session, as the request guard `&Session`.
///
/// It is loaded once per request, with one query, however many guards ask for
/// it. A visitor who only reads has neither a cookie nor a row.
///
/// The guard
///
///   * _succeeds_ for everybody: a cookie that is absent, malformed, sealed
///     with another key, expired or unknown makes an anonymous visitor;
///   * _fails_ with `503 Service Unavailable` when the database does not
///     answer. The cookie stays: nobody is logged out by an outage.
///
/// A [`Sentinel`] stops the launch when [`stage()`](crate::stage()) is not
/// attached.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::Session;
///
/// #[get("/hello")]
/// fn hello(session: &Session) -> String {
///     match session.user() {
///         Some(user) => format!("Hello, {}!", user.email),
///         None => "Hello!".into(),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Session {
    sessions: Arc<Sessions>,
    pending: PendingCookies,
    client: Client,
    /// The row that the next act replaces or ends.
    current: Mutex<Option<Record>>,
    user: Option<User>,
}

/// A session whose row is written but not yet committed.
#[must_use = "the browser gets its cookie when this is committed"]
#[derive(Debug)]
pub(crate) struct Started {
    token: SessionToken,
    record: Record,
}

impl Session {
    /// The user who was logged in when the request came, if anybody was.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Starts a session for the user `user_id`, in place of the present one,
    /// whoever that belonged to.
    ///
    /// Always a new token and a new row, the old row gone in the same
    /// transaction: a token that somebody planted or saw before the log-in is
    /// worth nothing after it (session fixation; ASVS 5.0, 7.2.4).
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub(crate) async fn start(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        now: Timestamp,
        user_id: i64,
        remember: bool,
    ) -> Result<Started, Error> {
        if let Some(id) = self.current_id() {
            store::delete(tx, id).await?;
        }

        let token = SessionToken::generate();
        let record = Record {
            id: token.id(),
            remember,
            created_at: now,
            last_seen_at: now,
            expires_at: self.sessions.clocks.expiry(now, now, remember),
            authenticated_at: Some(now),
        };

        store::insert(tx, &record, user_id, &self.client).await?;
        Ok(Started { token, record })
    }

    /// Commits `tx`, and then hands the browser the cookie of the session that
    /// was started in it: there is never a cookie without a row.
    ///
    /// # Errors
    ///
    /// When the database fails. The session then stays as it was.
    pub(crate) async fn commit(
        &self,
        tx: Transaction<'static, Sqlite>,
        started: Started,
    ) -> Result<(), Error> {
        tx.commit().await?;
        self.send_cookie(&started.token, &started.record);
        self.set_current(Some(started.record));
        Ok(())
    }

    /// Ends the session: the row first, then the cookie. Without a session it
    /// does nothing but make the browser forget a stale cookie.
    ///
    /// # Errors
    ///
    /// When the database fails. The session then goes on, and so does the
    /// cookie: a log-out that may not have happened is never reported as done.
    pub(crate) async fn destroy(&self, db: &Db) -> Result<(), Error> {
        if let Some(id) = self.current_id() {
            let mut tx = db.write().await?;
            store::delete(&mut tx, id).await?;
            tx.commit().await?;
        }

        self.set_current(None);
        self.pending.set(self.sessions.cookies.removal(&self.sessions.cookie_name));
        Ok(())
    }

    fn current_id(&self) -> Option<SessionId> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|record| record.id)
    }

    fn set_current(&self, record: Option<Record>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }

    fn send_cookie(&self, token: &SessionToken, record: &Record) {
        // Without "remember me" the browser forgets it when it is closed.
        let left = (record.expires_at - record.last_seen_at).max(0) as u64;
        let max_age = record.remember.then_some(Duration::from_secs(left));
        let Sessions { cookies, cookie_name, .. } = &*self.sessions;
        self.pending.set(cookies.seal(cookie_name, &token.to_text(), max_age));
    }

    async fn load(request: &Request<'_>) -> Result<Session, Error> {
        let sessions: &Arc<Sessions> = attached(request);
        let (db, now) = (attached::<Db>(request), attached::<Clock>(request).now());
        let mut session = Session {
            sessions: sessions.clone(),
            pending: PendingCookies::of(request),
            client: Client::of(request, &sessions.trusted_proxies),
            current: Mutex::new(None),
            user: None,
        };

        // The shape is checked before the database is asked: guessing costs it nothing.
        let opened = sessions.cookies.open(request, &sessions.cookie_name);
        let token = opened.as_ref().and_then(|opened| SessionToken::parse(&opened.value));
        let (Some(opened), Some(token)) = (opened, token) else {
            return Ok(session);
        };

        let found = store::find(&mut *db.read().await?, token.id(), now).await?;
        let Some((mut record, user)) = found else {
            return Ok(session);
        };

        let mut renew = opened.is_outdated;
        if sessions.clocks.is_touch_due(record.last_seen_at, now, record.remember) {
            let expires_at = sessions.clocks.expiry(record.created_at, now, record.remember);
            if touch(db, &record, now, expires_at).await {
                record = Record { last_seen_at: now, expires_at, ..record };
                renew |= record.remember;
            }
        }

        // The cookie's life follows the row's.
        if renew {
            session.send_cookie(&token, &record);
        }

        session.current = Mutex::new(Some(record));
        session.user = user;
        Ok(session)
    }
}

/// Writes the last-seen time. `true`: it is written, or is about to be. On a
/// slow disk the cookie would otherwise never be renewed.
async fn touch(db: &Pools, read: &Record, now: Timestamp, expires_at: Timestamp) -> bool {
    let (db, read) = (db.clone(), read.clone());
    let write = tokio::spawn(async move {
        let mut tx = db.write().await?;
        let touched = store::touch(&mut tx, &read, now, expires_at).await?;
        tx.commit().await?;
        Ok::<_, Error>(touched)
    });

    match timeout(TOUCH_PATIENCE, write).await {
        Ok(Ok(Ok(touched))) => touched,
        Ok(Ok(Err(error))) => {
            log::warn!("a session's last-seen time was not written: {error}");
            false
        }
        Ok(Err(_)) => false,
        Err(_) => true,
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for &'r Session {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let loaded = request
            .local_cache_async(async {
                Session::load(request).await.inspect_err(|error| log::error!("{error}"))
            })
            .await;

        match loaded {
            Ok(session) => Outcome::Success(session),
            Err(error) => Outcome::Error((Status::ServiceUnavailable, error)),
        }
    }
}

impl Sentinel for Session {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Arc<Sessions>>().is_none()
    }
}
