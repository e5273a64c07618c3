//! What the acts of accounts do with a session: log-in, log-out, and acts in the user's name.

use std::time::Duration;

use rocket::tokio::sync::MutexGuard;

use super::guard::Session;
use super::life::{Given, Started};
use super::store;
use super::value::{self, State};
use crate::client::Client;
use crate::clock::Timestamp;
use crate::db::Transaction;
use crate::error::Error;
use crate::metrics::{self, SessionEvent};
use crate::user::User;

impl Session {
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

    /// Returns whether the user has shown at most `within` ago who they are: with the password, or,
    /// if the account has a second factor, with both. A thief who has the password and a session
    /// must not be able to add a factor of their own.
    pub(crate) fn is_recent(&self, within: Duration) -> bool {
        let has_factor = self.user().is_some_and(|user| user.has_factor);
        let given_at = self.current().as_ref().and_then(|current| match has_factor {
            true => current.record.strong_at,
            false => current.record.authenticated_at,
        });
        given_at.is_some_and(|at| self.clock.now() - at <= within.as_secs() as Timestamp)
    }

    /// Returns whether the user has given two factors in this session.
    pub(crate) fn is_strong(&self) -> bool {
        self.current().as_ref().is_some_and(|current| current.record.strong_at.is_some())
    }

    /// Returns when the session was last seen, this request included, or 0 if there is none.
    pub(crate) fn last_seen_at(&self) -> Timestamp {
        self.current().as_ref().map_or(0, |current| current.record.last_seen_at)
    }

    /// Returns the client that sent the request.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Starts a session for `user`, who has `given` something. It replaces the present session, of
    /// any user or none.
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
        user: &User,
        given: Given,
        remember: bool,
    ) -> Result<Started, Error> {
        let state = self.end(tx, Some(user.id)).await?;
        let (now, others) = (self.clock.now(), self.sessions.account_limit - 1);
        let ended = store::end_oldest(tx, user.id, others, now).await?;
        let started = self.insert(tx, Some((user, given)), remember, state).await?;
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

        let mut tx = self.db.write().await?;
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

    /// Returns the id of the user who is logged in.
    pub(crate) fn user_id(&self) -> Option<i64> {
        self.current().as_ref().and_then(|current| current.record.user_id)
    }

    /// Locks the session for a write. The lock is held from before the write connection is
    /// requested until after the commit, so that two writes of one request do not make two
    /// sessions.
    pub(crate) async fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }
}
