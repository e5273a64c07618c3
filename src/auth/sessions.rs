//! The sessions of a user.

use serde::Serialize;

use super::Auth;
use super::done::of_handle;
use super::ways_in::label_of;
use crate::client::device_name;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::done::{self, Act};
use crate::error::Error;
use crate::history::{self, Event, EventKind};
use crate::metrics;
use crate::session::life::handle;
use crate::session::store::{self, Part};
use crate::user::User;

/// The most events that a user sees. The history keeps so many of each kind that a flood of one
/// kind leaves room for the others.
const MOST_EVENTS: u32 = 500;

/// How many sessions are on one page: as many as people scroll through.
const PAGE: u32 = 50;

/// A page of the list of a user's sessions.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions on this page, 50 at most.
    pub sessions: Vec<UserSession>,
    /// The page's number, from 1 to `last`.
    pub number: u32,
    /// The number of the last page. It is 1 if all sessions are on one page.
    pub last: u32,
    /// How many sessions the user has on all pages.
    pub total: i64,
}

refusals! {
    /// Why [`Auth::end_session()`] ended nothing.
    EndSessionError { NoSuchSession }
}

/// One of a user's sessions, as they see it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct UserSession {
    /// The session's name. It is no secret, and stays as long as the session lives.
    pub handle: String,
    /// The device's name, as in "Firefox on Linux".
    pub device: String,
    /// The client address that began the session. It is empty if it is unknown.
    pub ip_address: String,
    /// When the session began, in seconds since 1970.
    pub created_at: Timestamp,
    /// When the session was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When the session ends if it is not used again.
    pub expires_at: Timestamp,
    /// `true` if the user has given two factors in it.
    pub is_strong: bool,
    /// The provider with which it began, by its name on the pages. `None`: it began without one.
    pub provider: Option<String>,
    /// `true` if it is the session of this request.
    pub is_current: bool,
}

impl Auth<'_> {
    /// Returns the page `number` of the user's sessions, with 50 to a page: the present session
    /// first, then the last used. The first page has the number 1. For 0, and for a number past the
    /// last page, it returns the nearest page.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket::get;
    /// use rocket_login::{Auth, Error, User};
    ///
    /// #[get("/devices?<page>")]
    /// async fn devices(page: Option<u32>, user: &User, auth: Auth<'_>) -> Result<String, Error> {
    ///     let page = auth.sessions(user, page.unwrap_or(1)).await?;
    ///     let names: Vec<_> = page.sessions.iter().map(|one| one.device.as_str()).collect();
    ///     Ok(format!("{} (page {} of {})", names.join(", "), page.number, page.last))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn sessions(&self, user: &User, number: u32) -> Result<SessionPage, Error> {
        self.own(user)?;
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let (current, limit) = (self.session.family(), i64::from(PAGE));
        let total = store::count(&mut db, user.id, now).await?;
        let last = u32::try_from((total - 1) / limit + 1).unwrap_or(u32::MAX).max(1);
        let number = number.clamp(1, last);
        let part = Part { limit, offset: i64::from(number - 1) * limit };
        let listed = store::list(&mut db, user.id, current, part, now).await?.into_iter();
        let sessions = listed.map(|mut listed| {
            let is_current = Some(listed.family) == current;
            if is_current {
                // The time of this page may not be written yet.
                listed.last_seen_at = listed.last_seen_at.max(self.session.last_seen_at());
            }
            UserSession { is_current, ..UserSession::of(listed, self.config) }
        });
        Ok(SessionPage { sessions: sessions.collect(), number, last, total })
    }

    /// Ends the session of the user whose [`handle`](UserSession::handle) is `name`. Ending it again within
    /// ten minutes succeeds as well.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::EndSessionError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let refused = auth.end_session(user, "0123456789abcdef").await.unwrap_err();
    /// assert!(matches!(refused, EndSessionError::NoSuchSession));
    ///
    /// let page = auth.sessions(user, 1).await.expect("an answer");
    /// let name = &page.sessions[0].handle;
    /// auth.end_session(user, name).await.expect("the session is ended");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchSession`](EndSessionError::NoSuchSession). `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if this session was ended meanwhile or is not the user's.
    pub async fn end_session(&self, user: &User, name: &str) -> Result<(), EndSessionError> {
        self.own(user)?;
        let families = {
            let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
            store::families(&mut db, user.id, now).await?
        };
        let family = families.into_iter().find(|family| handle(*family) == name);

        let mut change = self.change_as_user(user).await?;
        let now = change.now;
        let is_ended = match family {
            Some(family) => store::delete(&mut change, family).await?,
            None => false,
        };
        if !is_ended {
            let done = done::find(&mut change, of_handle(name), now).await?;
            if done.is_some_and(|done| done.user_id == Some(user.id)) {
                return Ok(());
            }
            change.note(EventKind::Denied, Some(user.id), Some(&user.email));
            change.commit().await?;
            return Err(EndSessionError::NoSuchSession);
        }

        let id = of_handle(name);
        done::insert(&mut change, id, Act::SessionEnded, Some(user.id), None, now).await?;
        change.record(EventKind::SessionEnded, user).await?;
        change.commit().await?;
        metrics::ended(1);
        if self.session.family() == family {
            self.session.forget();
        }
        Ok(())
    }

    /// Ends all sessions of the user except this one, and returns how many ended. Log-ins whose second
    /// step is missing end as well, and no device is trusted any more.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// assert_eq!(auth.end_other_sessions(user).await.expect("an answer"), 0);
    ///
    /// auth.log_out().await.expect("nobody is logged in");
    /// assert!(auth.end_other_sessions(user).await.unwrap_err().is_ended());
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session was ended
    /// meanwhile or is not the user's.
    pub async fn end_other_sessions(&self, user: &User) -> Result<u64, Error> {
        let mut change = self.change_as_user(user).await?;
        let ended = change.end_sessions(user.id, self.session.family()).await?;
        if ended > 0 {
            change.record(EventKind::SessionsEnded, user).await?;
        }
        change.commit().await?;
        metrics::ended(ended);
        Ok(ended)
    }

    /// Returns the user's security history: the latest 500 events, the newest first.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn history(&self, user: &User) -> Result<Vec<Event>, Error> {
        self.own(user)?;
        let mut db = self.accounts.db.read().await?;
        Ok(history::list(&mut db, user.id, i64::MAX, MOST_EVENTS).await?.events)
    }
}

impl UserSession {
    /// Returns a session that is not the one of this request.
    pub(super) fn of(listed: store::Listed, config: &Config) -> Self {
        UserSession {
            handle: handle(listed.family),
            device: device_name(&listed.user_agent),
            ip_address: listed.ip_address,
            created_at: listed.created_at,
            last_seen_at: listed.last_seen_at,
            expires_at: listed.expires_at,
            is_strong: listed.is_strong,
            provider: listed.provider.map(|name| label_of(config, &name)),
            is_current: false,
        }
    }
}
