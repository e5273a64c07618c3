//! The state of a session: the application's values by key.
//!
//! A write reads the row, changes one key and writes the row back, under the database's write lock.
//! So parallel requests that change different keys both survive, and parallel updates of one key
//! all count. Reading needs no query, because the state is loaded with the session.

use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::group::Slot;
use super::guard::{Current, Session};
use super::key::{AnyKey, KeyOf};
use super::store;
use super::value::{State, read, serialize, to_json};
use crate::db::Transaction;
use crate::error::Error;
use crate::metrics;

impl Session {
    /// Returns the value of `key`. `None` means that `key` has no value.
    ///
    /// It is the value at the start of the request, or after this session's last write in this
    /// request. For a value that other requests may change at the same time, use
    /// [`update()`](Session::update()).
    ///
    /// # Errors
    ///
    /// Returns an error with [`is_value()`](Error::is_value()) (500) if the value is not a `T`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Error, Session};
    /// # fn example(session: &Session) -> Result<(), Error> {
    /// let language: Option<String> = session.get("language")?;
    /// # Ok(()) }
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, Error> {
        self.current().as_ref().map_or(Ok(None), |current| read(&current.state, key.name()))
    }

    /// Returns whether `key` has a value.
    pub fn contains(&self, key: impl AnyKey) -> bool {
        self.current().as_ref().is_some_and(|current| current.state.contains_key(key.name()))
    }

    /// Returns the keys that have a value, in alphabetical order.
    pub fn keys(&self) -> Vec<String> {
        let current = self.current();
        let mut keys: Vec<_> =
            current.iter().flat_map(|current| current.state.keys().cloned()).collect();
        keys.sort_unstable();
        keys
    }

    /// Sets the value of `key` to `value`.
    ///
    /// The first write of a visitor without a session starts one: it makes the row, and the
    /// response sets the cookie.
    ///
    /// # Errors
    ///
    /// Nothing is written if it returns an error:
    ///
    ///   * [`is_ended()`](Error::is_ended()) (409) if another request or device ended the session
    ///     in the meantime. The session is not made again.
    ///   * [`is_too_large()`](Error::is_too_large()) (413) if the state would be larger than
    ///     `session.state_limit`.
    ///   * [`is_throttled()`](Error::is_throttled()) (429) if the address of the visitor has
    ///     started more sessions than `session.visitor_limit` allows.
    ///   * [`is_value()`](Error::is_value()) (500) if `value` cannot be stored as JSON.
    ///   * An error (503) if the database fails.
    ///   * An error (500) if the write would start a session and the head of the response was
    ///     already sent, because the cookie could not be sent any more.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Error, Session};
    /// # async fn example(session: &Session) -> Result<(), Error> {
    /// session.set("language", "en").await?;
    /// # Ok(()) }
    /// ```
    pub async fn set<T: Serialize>(&self, key: impl KeyOf<T>, value: T) -> Result<(), Error> {
        let value = to_json(key.name(), &value)?;
        self.write(|state| {
            state.insert(key.name().to_owned(), value);
            Ok(())
        })
        .await
    }

    /// Replaces the value of `key` with the result of `change`, and returns the new value. No other
    /// write of this session comes in between.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`set()`](Session::set()), and one with
    /// [`is_value()`](Error::is_value()) (500) if the present value is not a `T`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Error, Session};
    /// # async fn example(session: &Session) -> Result<(), Error> {
    /// let views = session.update("views", |views| views.unwrap_or(0) + 1).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update<T>(
        &self,
        key: impl KeyOf<T>,
        change: impl FnOnce(Option<T>) -> T,
    ) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        self.write(|state| {
            let value = change(read(state, key.name())?);
            state.insert(key.name().to_owned(), to_json(key.name(), &value)?);
            Ok(value)
        })
        .await
    }

    /// Removes the value of `key`, if it has one.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`set()`](Session::set()).
    pub async fn remove(&self, key: impl AnyKey) -> Result<(), Error> {
        self.write(|state| {
            state.remove(key.name());
            Ok(())
        })
        .await
    }

    /// Removes the value of `key` and returns it. If several requests call this at once, only one
    /// of them gets the value.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`set()`](Session::set()), and one with
    /// [`is_value()`](Error::is_value()) (500) if the value is not a `T`. The value then stays.
    pub async fn take<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, Error> {
        self.write(|state| {
            let value = read(state, key.name())?;
            state.remove(key.name());
            Ok(value)
        })
        .await
    }

    /// Removes all values. The session itself continues.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`set()`](Session::set()).
    pub async fn clear(&self) -> Result<(), Error> {
        self.write(|state| {
            state.clear();
            Ok(())
        })
        .await
    }

    /// Runs `change` on the state in the database, and stores the result. If nothing has changed,
    /// it writes nothing.
    async fn write<R>(
        &self,
        change: impl FnOnce(&mut State) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // Two writes of one request must not start two sessions.
        let _writing = self.writing.lock().await;
        let Some(id) = self.current_id() else {
            let mut state = State::new();
            let result = change(&mut state)?;
            if !state.is_empty() {
                self.begin(state).await?;
            }
            return Ok(result);
        };

        let (start, limit) = (Instant::now(), self.sessions.state_limit);
        let group = &self.sessions.group;
        let (result, state) = group
            .write(&self.means(), id, |before| {
                let mut state = State::clone(&before.state);
                let result = change(&mut state)?;
                let after = serialize(&state)?;
                // The limit may have been lowered. A state that is too large already may still
                // shrink.
                if after.len() > limit.max(before.data.len()) {
                    return Err(Error::too_large());
                }
                let is_changed = after != before.data;
                Ok((result, is_changed.then(|| Slot::new(state, after))))
            })
            .await?;
        metrics::written(start);
        if let Some(current) = self.current().as_mut() {
            current.state = state;
        }
        Ok(result)
    }

    /// Starts a visitor's session with `state`.
    async fn begin(&self, state: State) -> Result<(), Error> {
        if serialize(&state)?.len() > self.sessions.state_limit {
            return Err(Error::too_large());
        }

        let mut tx = self.db.write().await?;
        self.check_visitor_limit(&mut tx).await?;
        let started = self.insert(&mut tx, None, false, state).await?;
        self.commit(tx, started).await
    }

    /// Checks the number of visitors' sessions that this address has started within an hour. A
    /// visitor's row costs its sender nothing, so without a limit one address could fill the
    /// database.
    async fn check_visitor_limit(&self, tx: &mut Transaction) -> Result<(), Error> {
        const HOUR: i64 = 60 * 60;

        // All visitors without an address would count as one, for example those on a Unix socket.
        let network = self.client.network();
        if network.is_empty() {
            return Ok(());
        }

        tx.lock(&format!("visitors from {network}")).await?;
        let since = self.clock.now() - HOUR;
        let begun = store::count_visitors(tx, &network, since).await?;
        match begun < self.sessions.visitor_limit {
            true => Ok(()),
            false => Err(Error::too_many()),
        }
    }

    pub(super) fn current(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
