//! Keeps what a provider has published: its metadata and its keys.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocket::tokio;
use rocket::tokio::sync::Mutex as Gate;
use rocket::tokio::time::timeout_at;

use super::Trouble;
use super::http::{Budget, PATIENCE};
use crate::clock::Timestamp;

/// How long a copy is used without a question, in seconds.
const FRESH: Range<Timestamp> = 0..60 * 60;

/// How long a copy is used while another one is fetched in the background, in seconds.
const KEPT: Range<Timestamp> = 0..24 * 60 * 60;

/// How long nobody asks again after a failure, in seconds. Otherwise each visitor would wait for a
/// provider that is down.
const FAILED: Range<Timestamp> = 0..30;

/// How long nobody asks again for a copy that a token has made us doubt, in seconds. Anybody can send
/// logout tokens, each with the name of another key.
const DOUBTED: Range<Timestamp> = 0..60;

/// What was fetched last, and when.
pub struct Cache<T>(Arc<Inner<T>>);

struct Inner<T> {
    state: Mutex<State<T>>,
    /// Its holder fetches; the others wait for what comes of it.
    gate: Arc<Gate<()>>,
}

struct State<T> {
    copy: Option<(Arc<T>, Timestamp)>,
    failed: Option<Timestamp>,
    doubted: Option<Timestamp>,
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Cache(self.0.clone())
    }
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        let state = Mutex::new(State { copy: None, failed: None, doubted: None });
        Cache(Arc::new(Inner { state, gate: Arc::default() }))
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// Returns what is kept, or what `fetch` returns if nothing is kept, or if it is old. `warn` is
    /// told why a fetch failed for which nobody waits.
    ///
    /// The last good copy is used if the provider is down, however old it is: without its token
    /// address nobody can log in with it anyway.
    ///
    /// # Errors
    ///
    /// Returns the error of `fetch`, or `Known` if a fetch has failed less than 30 seconds ago.
    pub async fn get<F>(
        &self,
        now: Timestamp,
        budget: Budget,
        fetch: impl FnOnce(Budget) -> F,
        warn: impl FnOnce(&Trouble) + Send + 'static,
    ) -> Result<Arc<T>, Trouble>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let (copy, has_failed) = self.state().look(now);
        let old = match copy {
            Some((copy, at)) if FRESH.contains(&(now - at)) || has_failed => return Ok(copy),
            Some((copy, at)) if KEPT.contains(&(now - at)) => {
                self.renew(now, fetch(Budget::of(PATIENCE)), warn);
                return Ok(copy);
            }
            Some((copy, _)) => Some(copy),
            None if has_failed => return Err(Trouble::Known),
            None => None,
        };
        // With an old copy, the rest of the time is for its use.
        let wait = if old.is_some() { budget.half() } else { budget };
        let fetched = match timeout_at(wait.0, self.0.gate.lock()).await {
            Err(_) => Err(Trouble::Down("its metadata or keys do not come in time".into())),
            Ok(_gate) => {
                // Somebody else may have fetched it meanwhile, or have failed.
                let looked = self.state().look(now);
                match looked {
                    (Some((copy, at)), _) if FRESH.contains(&(now - at)) => return Ok(copy),
                    (_, true) => Err(Trouble::Known),
                    _ => self.keep(now, fetch(wait).await),
                }
            }
        };
        match (fetched, old) {
            (Err(trouble), Some(old)) => {
                warn(&trouble);
                Ok(old)
            }
            (fetched, _) => fetched,
        }
    }

    /// Fetches anew, because a token does not fit `doubted`. `None` means that there is nothing newer:
    /// it was asked for a moment ago.
    ///
    /// # Errors
    ///
    /// Returns the error of `fetch`.
    pub async fn doubt<F>(
        &self,
        doubted: &Arc<T>,
        now: Timestamp,
        budget: Budget,
        fetch: impl FnOnce(Budget) -> F,
    ) -> Result<Option<Arc<T>>, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let Ok(_gate) = timeout_at(budget.0, self.0.gate.lock()).await else {
            return Err(Trouble::Down("its keys do not come in time".into()));
        };
        {
            let mut state = self.state();
            if let Some((copy, _)) = &state.copy
                && !Arc::ptr_eq(copy, doubted)
            {
                return Ok(Some(copy.clone()));
            }
            if state.doubted.is_some_and(|at| DOUBTED.contains(&(now - at))) {
                return Ok(None);
            }
            state.doubted = Some(now);
        }
        self.keep(now, fetch(budget).await).map(Some)
    }

    /// Fetches in the background, unless somebody does so already.
    fn renew<F>(&self, now: Timestamp, fetch: F, warn: impl FnOnce(&Trouble) + Send + 'static)
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let Ok(gate) = self.0.gate.clone().try_lock_owned() else { return };
        let cache = self.clone();
        tokio::spawn(async move {
            let _gate = gate;
            if let Err(trouble) = cache.keep(now, fetch.await) {
                warn(&trouble);
            }
        });
    }

    /// Waits until nobody fetches.
    #[cfg(test)]
    pub async fn settled(&self) {
        drop(self.0.gate.lock().await);
    }

    fn keep(&self, now: Timestamp, fetched: Result<T, Trouble>) -> Result<Arc<T>, Trouble> {
        let fetched = fetched.map(Arc::new);
        let mut state = self.state();
        match &fetched {
            Ok(copy) => {
                state.copy = Some((copy.clone(), now));
                state.failed = None;
            }
            Err(_) => state.failed = Some(now),
        }
        fetched
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Returns the copy, and whether a fetch has failed a moment ago.
    fn look(&self, now: Timestamp) -> (Option<(Arc<T>, Timestamp)>, bool) {
        (self.copy.clone(), self.failed.is_some_and(|at| FAILED.contains(&(now - at))))
    }
}
