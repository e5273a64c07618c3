//! The life of a session: how it begins, continues and ends.

use std::sync::Arc;
use std::time::Duration;

use rocket::http::Cookie;
use rocket::tokio::sync::MutexGuard;
use sha2::{Digest, Sha256};

use super::guard::{Current, Session, Sessions};
use super::store::{self, Record};
use super::value::{self, State};
use crate::client::Client;
use crate::clock::Timestamp;
use crate::db::Transaction;
use crate::error::Error;
use crate::metrics::{self, SessionEvent};
use crate::token::{Token, TokenId};

/// A session whose row is inserted or renamed, but not yet committed.
#[must_use = "the browser gets its cookie when this is committed"]
pub(crate) struct Started {
    current: Current,
    event: SessionEvent,
    /// The number of the account's other sessions that this one ends.
    ended: u64,
}

impl Session {
    /// Returns whether this request has started the session.
    pub fn is_new(&self) -> bool {
        self.current().as_ref().is_some_and(|current| current.is_new)
    }

    /// Returns the time at which the session ends if it is not used again, in seconds since 1970.
    /// `None` means that there is no session.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.current().as_ref().map(|current| current.record.expires_at)
    }

    /// Returns a name for the session that is not a secret: 16 hexadecimal digits, which may be
    /// logged, shown and used in a path. The name stays if the token changes. `None` means that
    /// there is no session.
    pub fn handle(&self) -> Option<String> {
        self.current().as_ref().map(|current| handle(current.record.family))
    }

    /// Replaces the token. State, user and both clocks stay. The old token is dead at once.
    ///
    /// Call it if the rights of the session change. Log-in does so by itself. Without a session it
    /// does nothing.
    ///
    /// # Errors
    ///
    ///   * Returns an error with [`is_ended()`](Error::is_ended()) (409) if the session was ended
    ///     in the meantime.
    ///   * Returns an error (503) if the database fails.
    ///   * Returns an error (500) if the head of the response was already sent, because the new
    ///     cookie could not be sent any more.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "rotate")]
    pub async fn regenerate(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        if self.current_id().is_none() {
            return Ok(());
        }

        let mut tx = self.db.write_soon().await?;
        let renamed = self.rename(&mut tx, false).await?;
        self.commit(tx, renamed).await
    }

    /// Gives the session a new token in `tx`. If `is_authenticated` is true, the user has just
    /// given the password, and the clock of `session.reauthenticate_after` starts again.
    ///
    /// # Errors
    ///
    /// Returns an error with [`is_ended()`](Error::is_ended()) if the session has ended or there is
    /// none, and another error if the database fails or the head of the response was already sent.
    pub(crate) async fn rename(
        &self,
        tx: &mut Transaction,
        is_authenticated: bool,
    ) -> Result<Started, Error> {
        self.check_head()?;
        let Some(mut current) = self.current().clone() else { return Err(value::ended()) };
        let (token, now) = (Token::generate(), self.clock.now());
        let (old, record) = (current.record.id, &mut current.record);
        record.id = token.id();
        if is_authenticated {
            record.authenticated_at = record.user_id.map(|_| now);
        }

        if !store::rename(tx, old, record, now).await? {
            return Err(value::ended());
        }
        current.token = Arc::new(token);
        Ok(Started { current, event: SessionEvent::Regenerated, ended: 0 })
    }

    /// Checks that the session is the user `user_id`'s, and has not been ended since the request
    /// began. The caller is about to act in their name, in `tx`.
    ///
    /// # Errors
    ///
    /// Returns an error with [`is_ended()`](Error::is_ended()) if the session has ended, is another
    /// user's, or there is none, and another error if the database fails.
    pub(crate) async fn confirm(&self, tx: &mut Transaction, user_id: i64) -> Result<(), Error> {
        let record = self.current().as_ref().map(|current| current.record.clone());
        let Some(record) = record.filter(|record| record.user_id == Some(user_id)) else {
            return Err(value::ended());
        };
        match store::find_state(tx, record.id, self.clock.now()).await? {
            Some(_) => Ok(()),
            None => Err(value::ended()),
        }
    }

    /// Returns whether the user has given the password at most `within` ago.
    pub(crate) fn is_recent(&self, within: Duration) -> bool {
        let authenticated_at =
            self.current().as_ref().and_then(|current| current.record.authenticated_at);
        authenticated_at.is_some_and(|at| self.clock.now() - at <= within.as_secs() as Timestamp)
    }

    /// Returns the client that sent the request.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Ends the session. It deletes the row first and then the cookie. Without a session it only
    /// makes the browser delete an old cookie.
    ///
    /// # Errors
    ///
    /// Returns an error (503) if the database fails. The session and its cookie then stay: an end
    /// that may not have happened is never reported as done.
    #[doc(alias = "invalidate")]
    #[doc(alias = "flush")]
    pub async fn destroy(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        if let Some(family) = self.family() {
            let mut tx = self.db.write_soon().await?;
            store::delete(&mut tx, family).await?;
            tx.commit().await?;
            metrics::count(SessionEvent::Ended);
        }

        self.forget();
        Ok(())
    }

    /// Reads the state from the database again, with the changes of other requests. Without a
    /// session it does nothing.
    ///
    /// # Errors
    ///
    ///   * Returns an error with [`is_ended()`](Error::is_ended()) (409) if the session was ended
    ///     in the meantime.
    ///   * Returns an error (503) if the database fails.
    pub async fn reload(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let Some(id) = self.current_id() else { return Ok(()) };
        let mut db = self.db.read().await?;
        let data = store::find_state(&mut db, id, self.clock.now()).await?;
        let state = data.as_deref().and_then(value::parse).ok_or_else(value::ended)?;
        if let Some(current) = self.current().as_mut() {
            current.state = Arc::new(state);
        }
        Ok(())
    }

    /// Starts the idle clock again. A request does so by itself, at most once a minute. Without a
    /// session it does nothing.
    ///
    /// # Errors
    ///
    ///   * Returns an error with [`is_ended()`](Error::is_ended()) (409) if the session was ended
    ///     in the meantime.
    ///   * Returns an error (503) if the database fails.
    ///   * Returns an error (500) if the session has "remember me" and the head of the response was
    ///     already sent, because the new lifetime of the cookie could not be sent any more.
    pub async fn touch(&self) -> Result<(), Error> {
        let remember = self.current().as_ref().is_some_and(|current| current.record.remember);
        self.prolong(remember).await
    }

    /// Switches "remember me" on or off for this session, which selects its time-outs. The idle
    /// clock starts again, and the absolute clock continues. Without a session it does nothing.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`touch()`](Session::touch()), and the last one also if `remember` is
    /// true.
    pub async fn set_remember(&self, remember: bool) -> Result<(), Error> {
        self.prolong(remember).await
    }

    async fn prolong(&self, remember: bool) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let (now, clocks) = (self.clock.now(), &self.sessions.clocks);
        let Some(before) = self.current().as_ref().map(|current| current.record.clone()) else {
            return Ok(());
        };

        // If "remember me" is switched off, the browser must be told as well.
        let tell = remember || before.remember;
        if tell {
            self.check_head()?;
        }

        let record = Record {
            remember,
            last_seen_at: now,
            expires_at: clocks.expiry(before.created_at, now, remember),
            ..before
        };

        let mut tx = self.db.write_soon().await?;
        if !store::prolong(&mut tx, &record).await? {
            return Err(value::ended());
        }
        tx.commit().await?;

        if let Some(current) = self.current().as_mut() {
            current.record = record;
            if tell {
                self.send_cookie(current);
            }
        }
        Ok(())
    }

    /// Starts a session for the user `user_id`. It replaces the present session, of any user or
    /// none.
    ///
    /// The session always has a new token and a new row, and the old row is deleted in the same
    /// transaction. So a token that somebody planted or saw before the log-in is worth nothing
    /// after it (session fixation; ASVS 5.0, 7.2.4). The state of a visitor or of this user is kept
    /// if `session.keep_state` is set. From the state of another user only the visitor's own keys
    /// are kept.
    ///
    /// If the user then has more sessions than `session.account_limit`, those that were not used
    /// for the longest time end. The caller has locked the user, so that each of two log-ins at
    /// once counts the session of the other.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, or if the head of the response was already sent.
    pub(crate) async fn start(
        &self,
        tx: &mut Transaction,
        user_id: i64,
        remember: bool,
    ) -> Result<Started, Error> {
        let state = self.end(tx, Some(user_id)).await?;
        let (now, others) = (self.clock.now(), self.sessions.account_limit - 1);
        let ended = store::end_oldest(tx, user_id, others, now).await?;
        let started = self.insert(tx, Some(user_id), remember, state).await?;
        Ok(Started { ended, ..started })
    }

    /// Ends the session. If its state has keys that belong to the visitor, it starts a visitor's
    /// session with them.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, and the session then continues. It returns an error
    /// as well if a visitor's session is to start and the head of the response was already sent.
    pub(crate) async fn log_out(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        if self.current_id().is_none() {
            self.forget();
            return Ok(());
        }

        let mut tx = self.db.write_soon().await?;
        let state = self.end(&mut tx, None).await?;
        if state.is_empty() {
            tx.commit().await?;
            self.forget();
        } else {
            let started = self.insert(&mut tx, None, false, state).await?;
            self.commit(tx, started).await?;
        }

        metrics::count(SessionEvent::Ended);
        Ok(())
    }

    /// Deletes the present row, and returns the part of its state that a session of `user_id` may
    /// keep.
    async fn end(&self, tx: &mut Transaction, user_id: Option<i64>) -> Result<State, Error> {
        let Some((record, loaded)) =
            self.current().as_ref().map(|current| (current.record.clone(), current.state.clone()))
        else {
            return Ok(State::new());
        };

        let owner = record.user_id;
        let data = store::find_state(tx, record.id, self.clock.now()).await?;
        let mut state = match data.as_deref().and_then(value::parse) {
            Some(state) => state,
            // Of two log-ins at once, for example after a double click, the first one deletes the
            // visitor's row. The second one must not lose the basket.
            None if owner.is_none() => State::clone(&loaded),
            None => State::new(),
        };
        store::delete(tx, record.family).await?;

        let is_same = user_id.is_some() && (owner.is_none() || owner == user_id);
        if !(is_same && self.sessions.keep_state) {
            state.retain(|key, _| self.sessions.visitor_keys.contains(key));
        }

        // Neither a log-in nor a log-out may fail because of the size of the kept state.
        if value::serialize(&state)?.len() > self.sessions.state_limit {
            state.clear();
        }
        Ok(state)
    }

    pub(super) async fn insert(
        &self,
        tx: &mut Transaction,
        user_id: Option<i64>,
        remember: bool,
        state: State,
    ) -> Result<Started, Error> {
        self.check_head()?;
        let (token, now) = (Token::generate(), self.clock.now());
        let record = Record {
            id: token.id(),
            family: token.id(),
            user_id,
            remember,
            created_at: now,
            last_seen_at: now,
            expires_at: self.sessions.clocks.expiry(now, now, remember),
            authenticated_at: user_id.map(|_| now),
        };

        store::insert(tx, &record, &value::serialize(&state)?, &self.client).await?;
        let current =
            Current { token: Arc::new(token), record, state: Arc::new(state), is_new: true };
        Ok(Started { current, event: SessionEvent::Created, ended: 0 })
    }

    /// Commits `tx`, and then sends the cookie of the session that was started or renamed in it. So
    /// there is never a cookie without a row.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails. The session then stays as it was.
    pub(crate) async fn commit(
        &self,
        tx: Transaction,
        Started { current, event, ended }: Started,
    ) -> Result<(), Error> {
        tx.commit().await?;
        metrics::count(event);
        metrics::ended(ended);
        self.send_cookie(&current);
        *self.current() = Some(current);
        Ok(())
    }

    pub(crate) fn current_id(&self) -> Option<TokenId> {
        self.current().as_ref().map(|current| current.record.id)
    }

    /// Returns the id of the user who is logged in now. [`user()`](Session::user()) is the one who
    /// was when the request came.
    pub(crate) fn user_id(&self) -> Option<i64> {
        self.current().as_ref().and_then(|current| current.record.user_id)
    }

    pub(crate) fn family(&self) -> Option<TokenId> {
        self.current().as_ref().map(|current| current.record.family)
    }

    /// Locks the session for a write. The lock is held from before the write connection is
    /// requested until after the commit, so that two writes of one request do not make two
    /// sessions.
    pub(crate) async fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// Checks that a cookie can still be sent. It is part of the response's head. If the body of a
    /// streamed response made or renamed a row later, nobody would have its token.
    fn check_head(&self) -> Result<(), Error> {
        match self.pending.are_sent() {
            true => Err(Error::too_late()),
            false => Ok(()),
        }
    }

    fn send_cookie(&self, current: &Current) {
        self.pending.set(self.cookie(current));
    }

    pub(super) fn cookie(&self, current: &Current) -> Cookie<'static> {
        // Without "remember me" the browser deletes the cookie when it is closed.
        let record = &current.record;
        let left = (record.expires_at - self.clock.now()).max(0) as u64;
        let max_age = record.remember.then_some(Duration::from_secs(left));
        let Sessions { cookies, cookie_name, .. } = &*self.sessions;
        cookies.seal(cookie_name, &current.token.to_text(), max_age)
    }

    /// Makes the browser delete the cookie of the session, which has ended.
    pub(crate) fn forget(&self) {
        *self.current() = None;
        self.pending.set(self.sessions.cookies.removal(&self.sessions.cookie_name));
    }
}

/// Returns the handle of a session. It is made from an id, so it reveals nothing about the token.
/// It is a hash, so it does not even reveal the key of the row.
pub(crate) fn handle(family: TokenId) -> String {
    let digest = Sha256::new_with_prefix("handle").chain_update(family.as_bytes()).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
