//! How a session begins, goes on and ends.

use std::sync::Arc;
use std::time::Duration;

use crate::db::Transaction;
use rocket::http::Cookie;
use rocket::tokio::sync::MutexGuard;
use sha2::{Digest, Sha256};

use super::state::{self, State};
use super::store::{self, Record};
use super::{Current, Session, Sessions};
use super::{SessionId, SessionToken};
use crate::client::Client;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::metrics::{self, Event};

/// A session whose row is written, or renamed, but not yet committed.
#[must_use = "the browser gets its cookie when this is committed"]
pub(crate) struct Started {
    current: Current,
    event: Event,
    /// How many of the account's other sessions end with it.
    ended: u64,
}

impl Session {
    /// Whether the session was started by this request.
    pub fn is_new(&self) -> bool {
        self.current().as_ref().is_some_and(|current| current.is_new)
    }

    /// When the session ends if it is not used again, in seconds since 1970.
    /// `None`: there is no session.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.current().as_ref().map(|current| current.record.expires_at)
    }

    /// A name for the session that is no secret: it may be logged, shown and
    /// put into a path. It stays when the token changes. 16 hexadecimal digits;
    /// `None`: there is no session.
    pub fn handle(&self) -> Option<String> {
        self.current().as_ref().map(|current| handle(current.record.family))
    }

    /// Replaces the token, and keeps state, user and both clocks. The old
    /// token is dead at once.
    ///
    /// Call it when what the session may do changes. Log-in does so by itself.
    /// Without a session there is nothing to do.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when the session was ended meanwhile;
    /// otherwise when the database fails.
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

    /// Gives the session a new token. `is_authenticated`: the password has just
    /// been given, which starts the clock of `session.reauthenticate_after`.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when there is no session any longer;
    /// otherwise when the database fails.
    pub(crate) async fn rename(
        &self,
        tx: &mut Transaction,
        is_authenticated: bool,
    ) -> Result<Started, Error> {
        self.check_head()?;
        let Some(mut current) = self.current().clone() else { return Err(state::ended()) };
        let (token, now) = (SessionToken::generate(), self.clock.now());
        let (old, record) = (current.record.id, &mut current.record);
        record.id = token.id();
        if is_authenticated {
            record.authenticated_at = record.user_id.map(|_| now);
        }

        if !store::rename(tx, old, record, now).await? {
            return Err(state::ended());
        }
        current.token = Arc::new(token);
        Ok(Started { current, event: Event::Regenerated, ended: 0 })
    }

    /// Makes sure that the session has not been ended since the request began:
    /// what is done next is done in its name.
    ///
    /// # Errors
    ///
    /// As [`rename()`](Self::rename()).
    pub(crate) async fn confirm(&self, tx: &mut Transaction) -> Result<(), Error> {
        let Some(id) = self.current_id() else { return Err(state::ended()) };
        match store::find_state(tx, id, self.clock.now()).await? {
            Some(_) => Ok(()),
            None => Err(state::ended()),
        }
    }

    /// Whether the password was given at most `within` ago.
    pub(crate) fn is_recent(&self, within: Duration) -> bool {
        let authenticated_at =
            self.current().as_ref().and_then(|current| current.record.authenticated_at);
        authenticated_at.is_some_and(|at| self.clock.now() - at <= within.as_secs() as Timestamp)
    }

    /// Where the request comes from.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Ends the session: the row first, then the cookie. Without a session it
    /// does nothing but make the browser forget a stale cookie.
    ///
    /// # Errors
    ///
    /// When the database fails. The session then goes on, and so does the
    /// cookie: an end that may not have happened is never reported as done.
    #[doc(alias = "invalidate")]
    #[doc(alias = "flush")]
    pub async fn destroy(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        if let Some(family) = self.family() {
            let mut tx = self.db.write_soon().await?;
            store::delete(&mut tx, family).await?;
            tx.commit().await?;
            metrics::count(Event::Ended);
        }

        self.forget();
        Ok(())
    }

    /// Reads the state anew, as other requests have left it.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when the session was ended meanwhile;
    /// otherwise when the database fails.
    pub async fn reload(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let Some(id) = self.current_id() else { return Ok(()) };
        let mut db = self.db.read().await?;
        let data = store::find_state(&mut db, id, self.clock.now()).await?;
        let state = data.as_deref().and_then(state::parse).ok_or_else(state::ended)?;
        if let Some(current) = self.current().as_mut() {
            current.state = Arc::new(state);
        }
        Ok(())
    }

    /// Moves the idle clock now. A request does so by itself, once a minute.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when the session was ended meanwhile;
    /// otherwise when the database fails.
    pub async fn touch(&self) -> Result<(), Error> {
        let remember = self.current().as_ref().is_some_and(|current| current.record.remember);
        self.prolong(remember).await
    }

    /// Lets the session live for the longer time-outs of "remember me", or for
    /// the shorter ones. The idle clock starts again, the absolute one goes on.
    ///
    /// # Errors
    ///
    /// As [`touch()`](Session::touch()).
    pub async fn set_remember(&self, remember: bool) -> Result<(), Error> {
        self.prolong(remember).await
    }

    async fn prolong(&self, remember: bool) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let (now, clocks) = (self.clock.now(), &self.sessions.clocks);
        let Some(before) = self.current().as_ref().map(|current| current.record.clone()) else {
            return Ok(());
        };

        // The browser must also learn that it need not remember any longer.
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
            return Err(state::ended());
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

    /// Starts a session for the user `user_id`, in place of the present one,
    /// whoever that belonged to.
    ///
    /// Always a new token and a new row, the old row gone in the same
    /// transaction: a token that somebody planted or saw before the log-in is
    /// worth nothing after it (session fixation; ASVS 5.0, 7.2.4). The state of
    /// a visitor or of the same user is kept, if so configured; of another
    /// user's only the visitor's own keys.
    ///
    /// Beyond `session.account_limit` the user's session that was not used for the
    /// longest ends. The caller has locked the user: of two log-ins at once, each counts
    /// the other's session.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Ends the session, and starts a visitor's with the keys that are the
    /// visitor's own, if there are any.
    ///
    /// # Errors
    ///
    /// As [`destroy()`](Session::destroy()).
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

        metrics::count(Event::Ended);
        Ok(())
    }

    /// Deletes the present row, and returns what of its state goes over to a
    /// session of `user_id`.
    async fn end(&self, tx: &mut Transaction, user_id: Option<i64>) -> Result<State, Error> {
        let Some((record, loaded)) =
            self.current().as_ref().map(|current| (current.record.clone(), current.state.clone()))
        else {
            return Ok(State::new());
        };

        let owner = record.user_id;
        let data = store::find_state(tx, record.id, self.clock.now()).await?;
        let mut state = match data.as_deref().and_then(state::parse) {
            Some(state) => state,
            // Of two log-ins at once, as by a double click, the first has taken
            // the visitor's row; the second must not lose the basket.
            None if owner.is_none() => State::clone(&loaded),
            None => State::new(),
        };
        store::delete(tx, record.family).await?;

        let is_same = user_id.is_some() && (owner.is_none() || owner == user_id);
        if !(is_same && self.sessions.keep_state) {
            state.retain(|key, _| self.sessions.visitor_keys.contains(key));
        }

        // Neither log-in nor log-out may fail for the size of what is left.
        if state::serialize(&state)?.len() > self.sessions.state_limit {
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
        let (token, now) = (SessionToken::generate(), self.clock.now());
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

        store::insert(tx, &record, &state::serialize(&state)?, &self.client).await?;
        let current =
            Current { token: Arc::new(token), record, state: Arc::new(state), is_new: true };
        Ok(Started { current, event: Event::Created, ended: 0 })
    }

    /// Commits `tx`, and then hands the browser the cookie of the session that
    /// was started or renamed in it: there is never a cookie without a row.
    ///
    /// # Errors
    ///
    /// When the database fails. The session then stays as it was.
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

    pub(crate) fn current_id(&self) -> Option<SessionId> {
        self.current().as_ref().map(|current| current.record.id)
    }

    pub(crate) fn family(&self) -> Option<SessionId> {
        self.current().as_ref().map(|current| current.record.family)
    }

    /// Held from before the writer is asked for until after the commit, so that
    /// two writes of one request do not make two sessions.
    pub(crate) async fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// A cookie goes with the head of the response. A row that is made or
    /// renamed later, by a streamed body, would be nobody's.
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
        // Without "remember me" the browser forgets it when it is closed.
        let record = &current.record;
        let left = (record.expires_at - self.clock.now()).max(0) as u64;
        let max_age = record.remember.then_some(Duration::from_secs(left));
        let Sessions { cookies, cookie_name, .. } = &*self.sessions;
        cookies.seal(cookie_name, &current.token.to_text(), max_age)
    }

    /// Makes the browser forget the session, which has ended.
    pub(crate) fn forget(&self) {
        *self.current() = None;
        self.pending.set(self.sessions.cookies.removal(&self.sessions.cookie_name));
    }
}

/// Of an id, so it says nothing of the token; hashed, so it does not even lead
/// to the row's key.
pub(crate) fn handle(family: SessionId) -> String {
    let digest = Sha256::new_with_prefix("handle").chain_update(family.as_bytes()).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
