//! A cache of sessions, so that a page queries the database only if its session has changed.
//!
//! An entry is used as long as the database reports no change of it (`Pool::version()`). So a
//! session that has ended here is dead at once. If a report fails for any reason, no entry is used
//! for longer than [`LONGEST`].

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use super::store::Record;
use super::value::State;
use crate::clock::Timestamp;
use crate::token::TokenId;
use crate::user::User;

/// The largest size of all entries, in bytes: about 20,000 sessions with little state.
const CAPACITY: u64 = 16 * 1024 * 1024;

/// The longest time that an entry is used if no change is reported, in seconds. This bound should
/// never matter. Without it, a change that the database does not report would stay unseen as long
/// as the session is used. One query per minute costs nothing.
const LONGEST: Timestamp = 60;

/// The largest state that is cached, in bytes. A session with more state is read from the database
/// each time.
const LARGEST_STATE: usize = 8 * 1024;

/// The size of an entry without its state, in bytes: the row, the user and the cache's own data.
const OVERHEAD: u64 = 768;

/// A session as it was read from the database.
#[derive(Clone)]
pub struct Loaded {
    pub record: Record,
    pub user: Option<Arc<User>>,
    pub state: Arc<State>,
    /// The length of the state as text, in bytes.
    pub length: usize,
}

/// The cache of the sessions that were used last.
pub struct Cache(QuickCache<TokenId, Arc<Entry>, ByLength>);

struct Entry {
    version: u64,
    read_at: Timestamp,
    loaded: Loaded,
}

#[derive(Clone)]
struct ByLength;

impl Weighter<TokenId, Arc<Entry>> for ByLength {
    fn weight(&self, _: &TokenId, entry: &Arc<Entry>) -> u64 {
        OVERHEAD + 16 * entry.loaded.length as u64
    }
}

impl Cache {
    pub fn new() -> Self {
        let sessions = (CAPACITY / OVERHEAD) as usize;
        Cache(QuickCache::with_weighter(sessions, CAPACITY, ByLength))
    }

    /// Returns the session `id` if its entry has this `version`, is younger than [`LONGEST`] and
    /// has not expired at `now`.
    pub fn get(&self, id: TokenId, version: u64, now: Timestamp) -> Option<Loaded> {
        let entry = self.0.get(&id)?;
        let is_fresh = (0..LONGEST).contains(&(now - entry.read_at));
        let is_good = entry.version == version && entry.loaded.record.expires_at > now;
        (is_fresh && is_good).then(|| entry.loaded.clone())
    }

    /// Stores the session `id`. The caller has read `version` and `read_at` before the row, so the
    /// row may be newer but never older. A session whose state is larger than [`LARGEST_STATE`] is
    /// not stored.
    pub fn put(&self, id: TokenId, version: u64, read_at: Timestamp, loaded: Loaded) {
        if loaded.length <= LARGEST_STATE {
            self.0.insert(id, Arc::new(Entry { version, read_at, loaded }));
        }
    }

    /// Deletes the entry of the session `id`, which differs from the row.
    pub fn forget(&self, id: TokenId) {
        self.0.remove(&id);
    }

    /// Applies `change` to the entry, and raises its version by one. The caller knows that this
    /// change is the only one since the session had this `version`.
    pub fn update(&self, id: TokenId, version: u64, change: impl FnOnce(&mut Loaded)) {
        match self.0.get(&id) {
            Some(entry) if entry.version == version => {
                let mut loaded = entry.loaded.clone();
                change(&mut loaded);
                self.put(id, version + 1, entry.read_at, loaded);
            }
            // An entry with another version is not used any more.
            _ => {}
        }
    }
}

/// `Debug` prints no session, because the state may be secret.
impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Token;

    #[test]
    fn a_cached_session_is_read_again_after_a_minute() {
        let (cache, id) = (Cache::new(), Token::generate().id());
        let record = Record {
            id,
            family: id,
            user_id: None,
            remember: false,
            created_at: 1_000,
            last_seen_at: 1_000,
            expires_at: 9_000,
            authenticated_at: None,
        };
        cache.put(id, 1, 1_000, Loaded { record, user: None, state: Arc::default(), length: 2 });
        assert!(cache.get(id, 1, 1_059).is_some());
        // A write does not make the entry newer, because it does not read the user.
        cache.update(id, 1, |_| ());
        assert!(cache.get(id, 2, 1_059).is_some());
        assert!(cache.get(id, 2, 1_060).is_none());
        // The entry is not used either if the clock was set back.
        assert!(cache.get(id, 2, 999).is_none());
    }
}
