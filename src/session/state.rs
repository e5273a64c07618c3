//! What an application keeps in a session: values by key.
//!
//! A write reads the row, changes one key and writes it back under the
//! database's write lock. Parallel requests that change different keys both
//! survive, and parallel updates of one key all count. Reading costs nothing:
//! the state comes with the session.

use std::time::Instant;

use crate::db::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Session;
use super::group::Slot;
use super::store;
use crate::error::Error;
use crate::metrics::{self, Event};

/// How deep JSON may be nested for `serde_json` to read it.
const DEEPEST: usize = 127;

/// A session's values by key.
pub type State = Map<String, Value>;

/// Reads what a row holds. `None`: it is no state of ours.
pub fn parse(data: &str) -> Option<State> {
    match data {
        "{}" => Some(State::new()),
        _ => serde_json::from_str(data).ok(),
    }
}

impl Session {
    /// The value of `key`, or `None` where there is none.
    ///
    /// It is the value as of the start of the request or of this session's
    /// last write, whichever came later. For a value that other requests
    /// change meanwhile, use [`update()`](Session::update()).
    ///
    /// # Errors
    ///
    /// When the value is there but is no `T`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Error, Session};
    /// # fn example(session: &Session) -> Result<(), Error> {
    /// let language: Option<String> = session.get("language")?;
    /// # Ok(()) }
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.current().as_ref().map_or(Ok(None), |current| read(&current.state, key))
    }

    /// Whether `key` has a value.
    pub fn contains(&self, key: &str) -> bool {
        self.current().as_ref().is_some_and(|current| current.state.contains_key(key))
    }

    /// The keys that have a value, in alphabetical order.
    pub fn keys(&self) -> Vec<String> {
        let current = self.current();
        let mut keys: Vec<_> =
            current.iter().flat_map(|current| current.state.keys().cloned()).collect();
        keys.sort_unstable();
        keys
    }

    /// Gives `key` the value `value`.
    ///
    /// A visitor without a session gets one with the first write: the row and,
    /// with the response, the cookie.
    ///
    /// # Errors
    ///
    /// [`is_ended()`](Error::is_ended()) when the session was ended meanwhile,
    /// by another request or device: it is not made again.
    /// [`is_too_large()`](Error::is_too_large()) above `session.state_limit`,
    /// [`is_throttled()`](Error::is_throttled()) above `session.visitor_limit`.
    /// Otherwise when the database fails. Nothing is written then.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Error, Session};
    /// # async fn example(session: &Session) -> Result<(), Error> {
    /// session.set("language", "en").await?;
    /// # Ok(()) }
    /// ```
    pub async fn set(&self, key: &str, value: impl Serialize) -> Result<(), Error> {
        let value = to_json(key, &value)?;
        self.write(|state| {
            state.insert(key.to_owned(), value);
            Ok(())
        })
        .await
    }

    /// Replaces the value of `key` by what `change` makes of it, and returns
    /// the new value. No other write comes between.
    ///
    /// # Errors
    ///
    /// As [`set()`](Session::set()), and when the present value is no `T`.
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
        key: &str,
        change: impl FnOnce(Option<T>) -> T,
    ) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        self.write(|state| {
            let value = change(read(state, key)?);
            state.insert(key.to_owned(), to_json(key, &value)?);
            Ok(value)
        })
        .await
    }

    /// Removes the value of `key`, if it has one.
    ///
    /// # Errors
    ///
    /// As [`set()`](Session::set()).
    pub async fn remove(&self, key: &str) -> Result<(), Error> {
        self.write(|state| {
            state.remove(key);
            Ok(())
        })
        .await
    }

    /// Removes the value of `key` and returns it. Of parallel requests one
    /// gets it.
    ///
    /// # Errors
    ///
    /// As [`set()`](Session::set()), and when the value is no `T`: it stays
    /// then.
    pub async fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.write(|state| {
            let value = read(state, key)?;
            state.remove(key);
            Ok(value)
        })
        .await
    }

    /// Removes all values. The session itself goes on.
    ///
    /// # Errors
    ///
    /// As [`set()`](Session::set()).
    pub async fn clear(&self) -> Result<(), Error> {
        self.write(|state| {
            state.clear();
            Ok(())
        })
        .await
    }

    /// Runs `change` on the state as it is in the database, and stores what it
    /// changed. A change that changes nothing writes nothing.
    async fn write<R>(
        &self,
        change: impl FnOnce(&mut State) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // Two writes of one request must not make two sessions.
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
                // A state that is too large already, since the limit was lowered, may shrink.
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

    /// Starts a visitor's session with `state` in it.
    async fn begin(&self, state: State) -> Result<(), Error> {
        if serialize(&state)?.len() > self.sessions.state_limit {
            return Err(Error::too_large());
        }

        let mut tx = self.db.write_soon().await?;
        self.check_visitor_limit(&mut tx).await?;
        let started = self.insert(&mut tx, None, false, state).await?;
        self.commit(tx, started).await
    }

    /// Visitors' rows cost nothing to ask for, so one address may ask for so
    /// many in an hour.
    async fn check_visitor_limit(&self, tx: &mut Transaction) -> Result<(), Error> {
        const HOUR: i64 = 60 * 60;

        // All who come over a socket without addresses would be one.
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

    pub(super) fn current(&self) -> std::sync::MutexGuard<'_, Option<super::Current>> {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Another request, or another device, has ended the session.
pub(super) fn ended() -> Error {
    metrics::count(Event::Conflict);
    Error::ended()
}

/// The state as it is stored. What could not be read back is refused.
pub(super) fn serialize(state: &State) -> Result<String, Error> {
    let is_readable = state.values().all(|value| is_nested_in(value, DEEPEST - 1));
    let data = serde_json::to_string(state).ok().filter(|_| is_readable);
    data.ok_or_else(|| Error::value::<State>("state"))
}

/// Whether `value` has at most so many levels of lists and objects.
fn is_nested_in(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|v| is_nested_in(v, levels - 1)),
        Value::Object(values) => levels > 0 && values.values().all(|v| is_nested_in(v, levels - 1)),
        _ => true,
    }
}

fn to_json<T: Serialize>(key: &str, value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|_| Error::value::<T>(key))
}

fn read<T: DeserializeOwned>(state: &State, key: &str) -> Result<Option<T>, Error> {
    let value = state.get(key);
    value.map(|value| T::deserialize(value).map_err(|_| Error::value::<T>(key))).transpose()
}
