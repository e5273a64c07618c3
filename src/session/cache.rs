//! Sessions as they were last read, so that a page asks the database only for what
//! has changed since.
//!
//! What is kept is believed for as long as the database says that nothing has changed
//! (`Pools::version()`), so a session that has ended here is dead at once. However that
//! may fail, nothing is believed for longer than [`LONGEST`].

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use super::SessionId;
use super::state::State;
use super::store::Record;
use crate::clock::Timestamp;
use crate::user::User;

/// What all that is kept may take, in bytes: some 20,000 sessions with little in them.
const CAPACITY: u64 = 16 * 1024 * 1024;

/// How long, in seconds, what was read is believed when nobody has told of a change. That
/// should never matter; but what a database does not tell would otherwise be believed for
/// as long as the session is used. A look-up in a minute costs nothing.
const LONGEST: Timestamp = 60;

/// A session with more state than this is read anew each time.
const LARGEST_STATE: usize = 8 * 1024;

/// What a session takes beside its state: the row, the user, the cache's own.
const OVERHEAD: u64 = 768;

/// A session as it was read.
#[derive(Clone)]
pub struct Loaded {
    pub record: Record,
    pub user: Option<Arc<User>>,
    pub state: Arc<State>,
    /// How long the state is as text.
    pub length: usize,
}

/// The sessions that were used last.
pub struct Cache(QuickCache<SessionId, Arc<Entry>, ByLength>);

struct Entry {
    version: u64,
    read_at: Timestamp,
    loaded: Loaded,
}

#[derive(Clone)]
struct ByLength;

impl Weighter<SessionId, Arc<Entry>> for ByLength {
    fn weight(&self, _: &SessionId, entry: &Arc<Entry>) -> u64 {
        OVERHEAD + 16 * entry.loaded.length as u64
    }
}

impl Cache {
    pub fn new() -> Self {
        let sessions = (CAPACITY / OVERHEAD) as usize;
        Cache(QuickCache::with_weighter(sessions, CAPACITY, ByLength))
    }

    /// The session `id`, if it was kept at this `version` and has not expired at `now`.
    pub fn get(&self, id: SessionId, version: u64, now: Timestamp) -> Option<Loaded> {
        let entry = self.0.get(&id)?;
        let is_fresh = (0..LONGEST).contains(&(now - entry.read_at));
        let is_good = entry.version == version && entry.loaded.record.expires_at > now;
        (is_fresh && is_good).then(|| entry.loaded.clone())
    }

    /// Keeps what was read of the session `id`, at `read_at` or after, when it had this
    /// `version`, or after.
    pub fn put(&self, id: SessionId, version: u64, read_at: Timestamp, loaded: Loaded) {
        if loaded.length <= LARGEST_STATE {
            self.0.insert(id, Arc::new(Entry { version, read_at, loaded }));
        }
    }

    /// What is kept of the session `id` is not what is stored.
    pub fn forget(&self, id: SessionId) {
        self.0.remove(&id);
    }

    /// Makes the change that was the only one since the session had this `version`.
    pub fn update(&self, id: SessionId, version: u64, change: impl FnOnce(&mut Loaded)) {
        match self.0.get(&id) {
            Some(entry) if entry.version == version => {
                let mut loaded = entry.loaded.clone();
                change(&mut loaded);
                self.put(id, version + 1, entry.read_at, loaded);
            }
            // Read at another version: it would be read anew in any case.
            _ => {}
        }
    }
}

/// Nothing of what is kept: it may be secret.
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
