//! Where a user is logged in.

use serde::Serialize;

use super::Auth;
use super::done::of_handle;
use crate::clock::Timestamp;
use crate::done::{self, Act};
use crate::error::Error;
use crate::history::{self, Event, Kind};
use crate::metrics;
use crate::session::life::handle;
use crate::session::{device, store};
use crate::user::User;

/// The most events that are shown. So many of one kind are kept that a flood of
/// one leaves room for the others.
const MOST_EVENTS: u32 = 500;

/// One of a user's sessions, as he sees it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct UserSession {
    /// Its name: no secret, and the same for as long as it lives.
    pub handle: String,
    /// The device's name, as in "Firefox on Linux".
    pub device: String,
    /// Where it was begun; empty when unknown.
    pub ip_address: String,
    /// When it was begun, in seconds since 1970.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends if it is not used again.
    pub expires_at: Timestamp,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

impl Auth<'_> {
    /// The user's sessions, the present one first, then the last used.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sessions(&self, user: &User) -> Result<Vec<UserSession>, Error> {
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let current = self.session.family();
        let listed = store::list(&mut db, user.id, now).await?.into_iter();
        let mut sessions: Vec<UserSession> = listed
            .map(|listed| UserSession {
                is_current: Some(listed.family) == current,
                ..UserSession::from(listed)
            })
            .collect();
        sessions.sort_by_key(|session| !session.is_current);
        Ok(sessions)
    }

    /// Ends the session `handle` of the user. `false`: they have none of that name,
    /// and have ended none here within ten minutes.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when this session was ended meanwhile;
    /// otherwise when the database fails.
    pub async fn end_session(&self, user: &User, name: &str) -> Result<bool, Error> {
        let mut change = self.change_as_user().await?;
        let now = change.now;
        let listed = store::list(&mut change, user.id, now).await?;
        let Some(family) =
            listed.iter().map(|listed| listed.family).find(|family| handle(*family) == name)
        else {
            let done = done::find(&mut change, of_handle(name), now).await?;
            if done.is_some_and(|done| done.user_id == Some(user.id)) {
                return Ok(true);
            }
            change.note(Kind::Denied, Some(user.id), Some(&user.email));
            change.commit().await?;
            return Ok(false);
        };

        store::delete(&mut change, family).await?;
        let id = of_handle(name);
        done::insert(&mut change, id, Act::SessionEnded, Some(user.id), None, now).await?;
        change.record(Kind::SessionEnded, user).await?;
        change.commit().await?;
        metrics::ended(1);
        if self.session.family() == Some(family) {
            self.session.forget();
        }
        Ok(true)
    }

    /// Ends all sessions of the user but this one, and says how many it were.
    ///
    /// # Errors
    ///
    /// As [`end_session()`](Auth::end_session()).
    pub async fn end_other_sessions(&self, user: &User) -> Result<u64, Error> {
        let mut change = self.change_as_user().await?;
        let ended = store::end_of_user(&mut change, user.id, self.session.family()).await?;
        if ended > 0 {
            change.record(Kind::SessionsEnded, user).await?;
        }
        change.commit().await?;
        metrics::ended(ended);
        Ok(ended)
    }

    /// The user's security history: the latest 500 events, the newest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn history(&self, user: &User) -> Result<Vec<Event>, Error> {
        history::list(&mut self.accounts.db.read().await?, user.id, MOST_EVENTS).await
    }
}

impl From<store::Listed> for UserSession {
    fn from(listed: store::Listed) -> Self {
        UserSession {
            handle: handle(listed.family),
            device: device(&listed.user_agent),
            ip_address: listed.ip_address,
            created_at: listed.created_at,
            last_seen_at: listed.last_seen_at,
            expires_at: listed.expires_at,
            is_current: false,
        }
    }
}
