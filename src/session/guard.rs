//! The guard `&Session`, and how it is loaded.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ipnet::IpNet;
use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::tokio;
use rocket::{Ignite, Orbit, Rocket, Sentinel};

use super::cache::{Cache, Loaded};
use super::clocks::Clocks;
use super::group::{Group, Means};
use super::seen::Seen;
use super::store::{ById, Found, Record, Touch};
use super::value::{self, State};
use crate::attached::attached;
use crate::client::Client;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::cookies::{self, Opened, PendingCookies, SealedCookies};
use crate::db::{Db, Pool, Together};
use crate::error::Error;
use crate::kept::Kept;
use crate::metrics::{self, SessionEvent};
use crate::token::{Token, TokenId};
use crate::user::User;

/// The settings and the parts that the session of each request needs. They are in managed state.
#[derive(Debug)]
pub struct Sessions {
    pub(super) cookie_name: String,
    pub(super) cookies: SealedCookies,
    pub(super) clocks: Clocks,
    pub(super) trusted_proxies: Vec<IpNet>,
    #[cfg(feature = "pages")]
    pub(super) keep_state: bool,
    #[cfg(feature = "pages")]
    pub(super) visitor_keys: Vec<String>,
    pub(super) state_limit: usize,
    pub(super) visitor_limit: i64,
    #[cfg(feature = "pages")]
    pub(super) account_limit: i64,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) lookups: Arc<Together<ById>>,
    pub(super) group: Arc<Group>,
    pub(super) seen: Arc<Seen>,
}

impl Sessions {
    /// Returns the name of the session cookie.
    #[cfg(feature = "testing")]
    pub fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    /// Waits until no last-seen time is left to be written.
    #[cfg(feature = "testing")]
    pub(crate) async fn settle(&self) {
        self.seen.settle().await;
    }

    pub(crate) fn new(config: &Config, cookies: SealedCookies) -> Self {
        Sessions {
            cookie_name: config.session.cookie_name(config.debug).to_owned(),
            cookies,
            clocks: Clocks::new(&config.session),
            trusted_proxies: config.site.trusted_proxies.clone(),
            #[cfg(feature = "pages")]
            keep_state: config.session.keep_state,
            #[cfg(feature = "pages")]
            visitor_keys: config.session.visitor_keys.clone(),
            state_limit: config.session.state_limit,
            visitor_limit: config.session.visitor_limit,
            #[cfg(feature = "pages")]
            account_limit: config.session.account_limit,
            cache: config.session.cache.then(|| Arc::new(Cache::new(config.session.cache_size))),
            lookups: Arc::default(),
            group: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Opens the cookies `values` and returns the tokens in them. It checks the form of each token,
    /// so that a guess costs no query.
    pub(crate) fn open<'v>(
        &self,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Vec<(Opened, Token)> {
        let mut is_any = false;
        let opened = values.into_iter().inspect(|_| is_any = true);
        let opened = opened.filter_map(|value| self.cookies.open(&self.cookie_name, value));
        let tokens = opened.filter_map(|opened| {
            let token = Token::parse(&opened.value)?;
            Some((opened, token))
        });
        let tokens: Vec<_> = tokens.take(cookies::MOST_OPENED).collect();
        if is_any && tokens.is_empty() {
            metrics::count(SessionEvent::Refused);
        }
        tokens
    }
}

/// The visitor's session, as the request guard `&Session`.
///
/// The session is loaded once per request, however many guards ask for it. That takes one query, or
/// none if the session is in the cache and has not changed (`session.cache`). A visitor who only
/// reads has no cookie and no row. The first write makes both, whatever status the response has.
///
/// The guard
///
///   * _succeeds_ for everybody. A visitor is anonymous if their cookie is absent, malformed,
///     sealed with another key, expired or unknown.
///   * _fails_ with `503 Service Unavailable` if it needs the database and the database does not
///     answer. The cookie stays, so an outage logs nobody out.
///
/// A [`Sentinel`] stops the launch if neither [`sessions()`](crate::sessions()) nor
/// [`stage()`](crate::stage()) is attached.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::Session;
///
/// #[get("/hello")]
/// async fn hello(session: &Session) -> Result<String, rocket_login::Error> {
///     let visits = session.update("visits", |visits| visits.unwrap_or(0) + 1).await?;
///     Ok(match session.user() {
///         Some(user) => format!("Hello, {}! Visit {visits}.", user.email),
///         None => format!("Hello! Visit {visits}."),
///     })
/// }
/// ```
pub struct Session {
    pub(super) sessions: Arc<Sessions>,
    pub(super) db: Pool,
    pub(super) clock: Clock,
    pub(super) pending: PendingCookies,
    pub(super) client: Client,
    /// The row as this request knows it. `None` means that there is no session.
    pub(super) current: Mutex<Option<Current>>,
    /// Held during a write.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// The user as the session was read with them.
    pub(super) first_user: Option<Arc<User>>,
    /// The users after that in this request: the last one is logged in. `None` is nobody. Most requests
    /// add nobody, and the list then takes no memory of its own.
    pub(super) later_users: Kept<Option<Arc<User>>>,
    /// The id of the first token that was sealed here and has no session any more.
    pub(super) dead: Option<TokenId>,
}

#[derive(Clone)]
pub struct Current {
    pub(super) token: Arc<Token>,
    pub(super) record: Record,
    pub(super) state: Arc<State>,
    pub(super) is_new: bool,
}

impl Session {
    /// Returns the user who is logged in, as the session was read with them. After a log-in or a
    /// log-out in this request it is the one who is logged in since. `None` means that nobody is.
    pub fn user(&self) -> Option<&User> {
        self.logged_in().map(Arc::as_ref)
    }

    /// Returns the user of [`user()`](Self::user()), to be shared.
    pub(crate) fn logged_in(&self) -> Option<&Arc<User>> {
        self.later_users.last().unwrap_or(&self.first_user).as_ref()
    }

    /// Returns the id of the session that the browser's cookie names, if that session has ended or
    /// has another token now.
    #[cfg(feature = "pages")]
    pub(crate) fn dead_id(&self) -> Option<TokenId> {
        self.dead
    }

    async fn load(request: &Request<'_>) -> Result<Session, Error> {
        let sessions: &Arc<Sessions> = attached(request.rocket());
        let client = Client::of(request, &sessions.trusted_proxies);
        let opened = sessions.open(cookies::values(request, &sessions.cookie_name));
        Session::of(request.rocket(), PendingCookies::of(request), client, opened).await
    }

    /// Returns the session that belongs to the cookies `opened`. The cookies that it sets go to
    /// `pending`.
    ///
    /// A browser may send several, for example after a change of `session.cookie_path`. The first
    /// session of a user is used, or the first session if none has a user.
    pub(crate) async fn of(
        rocket: &Rocket<Orbit>,
        pending: PendingCookies,
        client: Client,
        opened: Vec<(Opened, Token)>,
    ) -> Result<Session, Error> {
        let sessions: &Arc<Sessions> = attached(rocket);
        let mut session = Session {
            sessions: sessions.clone(),
            db: Pool::clone(attached::<Db>(rocket)),
            clock: attached::<Clock>(rocket).clone(),
            pending,
            client,
            current: Mutex::new(None),
            writing: tokio::sync::Mutex::new(()),
            first_user: None,
            later_users: Kept::default(),
            dead: None,
        };

        let mut found = None;
        for (opened, token) in opened {
            let Some(row) = session.row(token.id()).await? else {
                metrics::count(SessionEvent::Refused);
                session.dead = session.dead.or(Some(token.id()));
                continue;
            };
            let is_users = matches!(&row, Row::Loaded(loaded) if loaded.user.is_some());
            if is_users || found.is_none() {
                found = Some((opened, token, row));
            }
            if is_users {
                break;
            }
        }
        match found {
            Some((opened, token, Row::Loaded(loaded))) => Ok(session.opened(opened, token, loaded)),
            Some((_, token, Row::Unreadable(record))) => {
                Box::pin(session.drop_unreadable(token, record)).await
            }
            None => Ok(session),
        }
    }

    /// Returns whether the session `id` exists. It asks the database only if the session may have
    /// changed since it was read.
    pub(super) async fn exists(&self, id: TokenId) -> Result<bool, Error> {
        Ok(self.row(id).await?.is_some())
    }

    /// Returns the row of the session `id`, from the cache or from the database.
    async fn row(&self, id: TokenId) -> Result<Option<Row>, Error> {
        let now = self.clock.now();
        // The version is read before the row, so that a change in between makes the cached copy
        // invalid.
        let cache = self.sessions.cache.as_ref();
        let cache = cache.and_then(|cache| Some((cache, self.db.known(id)?)));
        if let Some(loaded) = cache.and_then(|(cache, version)| cache.get(id, version, now)) {
            return Ok(Some(Row::Loaded(loaded)));
        }

        // The future is in a box, here and elsewhere. Without it the memory for the statement would
        // be moved with every request.
        let Some(Found { record, user, data }) = Box::pin(self.find(id, now)).await? else {
            return Ok(None);
        };
        let Some(state) = value::parse(&data) else { return Ok(Some(Row::Unreadable(record))) };
        let (user, state) = (user.map(Arc::new), Arc::new(state));
        let loaded = Loaded { record, user, state, length: data.len() };
        if let Some((cache, version)) = cache {
            cache.put(id, version, now, loaded.clone());
        }
        Ok(Some(Row::Loaded(loaded)))
    }

    /// Completes the session with the row `loaded`. It moves the idle clock and renews the cookie
    /// if either is due.
    fn opened(mut self, opened: Opened, token: Token, loaded: Loaded) -> Session {
        let now = self.clock.now();
        let mut current = Current::new(token, loaded.record, loaded.state);
        let mut renew = opened.is_outdated;
        let record = &mut current.record;
        if self.sessions.clocks.is_touch_due(record.last_seen_at, now, record.remember) {
            let expires_at = self.sessions.clocks.expiry(record.created_at, now, record.remember);
            let touch = Touch { read: record.clone(), now, expires_at };
            // The page does not wait until it is written. If that fails, or a crash loses it, the
            // cookie lives longer than the session, and the row decides.
            if self.sessions.seen.note(&self.means(), touch) {
                (record.last_seen_at, record.expires_at) = (now, expires_at);
                renew |= record.remember;
            }
        }

        // The lifetime of the cookie follows the expiry of the row.
        if renew {
            self.pending.renew(current.record.id, self.cookie(&current));
        }

        self.current = Mutex::new(Some(current));
        self.first_user = loaded.user;
        self
    }

    /// Returns the handles that a write needs.
    pub(super) fn means(&self) -> Means {
        let (db, clock) = (self.db.clone(), self.clock.clone());
        Means { db, clock, cache: self.sessions.cache.clone() }
    }

    async fn find(&self, id: TokenId, now: Timestamp) -> Result<Option<Found>, Error> {
        let start = Instant::now();
        let found = self.sessions.lookups.ask(&self.db, id, now).await?;
        metrics::looked_up(start);
        Ok(found)
    }

    async fn drop_unreadable(mut self, token: Token, record: Record) -> Result<Session, Error> {
        log::error!("a session's state cannot be read, so the session is dropped");
        metrics::count(SessionEvent::Dropped);
        self.current = Mutex::new(Some(Current::new(token, record, Arc::default())));
        self.destroy().await?;
        Ok(self)
    }
}

/// The row of a session.
enum Row {
    Loaded(Loaded),
    /// The state is not in the format that we write.
    Unreadable(Record),
}

impl Current {
    fn new(token: Token, record: Record, state: Arc<State>) -> Self {
        Current { token: Arc::new(token), record, state, is_new: false }
    }
}

/// `Debug` prints neither the token nor the state, because both may be secrets.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("handle", &self.handle()).finish_non_exhaustive()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for &'r Session {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        PendingCookies::of(request).set_read();
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
