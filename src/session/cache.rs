//! A cache of sessions, so that a page queries the database only if its session has changed.
//!
//! An entry is used as long as the database reports no change of it (`Pool::known()`). So a
//! session that has ended here is dead at once. If a report fails for any reason, no entry is used
//! for longer than [`LONGEST`].
//!
//! The cache is bounded by the memory that its entries take. When it is full, the entries that are
//! used least are dropped, and their sessions are looked up again.

mod entry;
mod size;

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use super::value::State;
use crate::clock::Timestamp;
use crate::token::TokenId;
use entry::Entry;

pub use entry::Loaded;

/// The longest time that an entry is used if no change is reported, in seconds. This bound should
/// never matter. Without it, a change that the database does not report would stay unseen as long
/// as the session is used. One query per minute costs nothing.
const LONGEST: Timestamp = 60;

/// The largest state that is cached, in bytes. A session with more state is read from the database
/// each time.
const LARGEST_STATE: usize = 8 * 1024;

const MIB: u64 = 1024 * 1024;

/// The memory that the cache takes for an entry, in bytes: the id, the entry, 16 for the links, and up to
/// 12 in its table. It also remembers half as many ids that it has dropped, in places of the same size.
/// Most entries own nothing else.
const PLACE: usize = 3 * (size_of::<TokenId>() + size_of::<Entry>() + 16 + 12) / 2;

/// The cache of the sessions that were used last. All entries together take at most as many bytes as
/// it was made for.
pub struct Cache(QuickCache<TokenId, Entry, BySize>);

#[derive(Clone)]
struct BySize;

impl Weighter<TokenId, Entry> for BySize {
    fn weight(&self, _: &TokenId, entry: &Entry) -> u64 {
        PLACE as u64 + u64::from(entry.owned)
    }
}

impl Cache {
    /// Creates a cache whose entries take at most `mebibytes`.
    pub fn new(mebibytes: u64) -> Self {
        let capacity = mebibytes * MIB;
        let sessions = capacity as usize / PLACE;
        Cache(QuickCache::with_weighter(sessions, capacity, BySize))
    }

    /// Returns the session `id` if its entry has this `version`, is younger than [`LONGEST`] and
    /// has not expired at `now`.
    pub fn get(&self, id: TokenId, version: u64, now: Timestamp) -> Option<Loaded> {
        let entry = self.0.get(&id)?;
        let is_fresh = (0..LONGEST).contains(&(now - entry.read_at));
        let is_good = entry.version == version && entry.expires_at > now;
        (is_fresh && is_good).then(|| entry.loaded(id))
    }

    /// Stores the session `id`. The caller has read `version` and `read_at` before the row, so the
    /// row may be newer but never older. A session whose state is larger than [`LARGEST_STATE`] is
    /// not stored.
    pub fn put(&self, id: TokenId, version: u64, read_at: Timestamp, loaded: Loaded) {
        if loaded.length <= LARGEST_STATE {
            self.0.insert(id, Entry::new(version, read_at, loaded));
        }
    }

    /// Deletes the entry of the session `id`, which differs from the row.
    pub fn forget(&self, id: TokenId) {
        self.0.remove(&id);
    }

    /// Moves the times in the entry of the session `id`. Its version stays, because a touch changes
    /// nobody's version (`store::touch()`).
    pub fn touch(&self, id: TokenId, last_seen_at: Timestamp, expires_at: Timestamp) {
        let Some(mut entry) = self.0.get(&id) else { return };
        (entry.last_seen_at, entry.expires_at) = (last_seen_at, expires_at);
        self.0.insert(id, entry);
    }

    /// Replaces the state in the entry, and raises its version by one. `length` is the length of the
    /// state as text, in bytes. The caller knows that this change is the only one since the session
    /// had this `version`. If the entry has another version, or the state is larger than
    /// [`LARGEST_STATE`], the entry stays as it is: `get()` does not return it any more.
    pub fn update(&self, id: TokenId, version: u64, state: Arc<State>, length: usize) {
        let Some(mut entry) = self.0.get(&id) else { return };
        if entry.version == version && length <= LARGEST_STATE {
            entry.version += 1;
            entry.set_state(state, length);
            self.0.insert(id, entry);
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
    use super::super::store::Record;
    use super::*;
    use crate::config::SessionConfig;
    use crate::token::Token;
    use crate::user::{Email, Roles, User};

    fn loaded(id: TokenId, text: &str) -> Loaded {
        let record = Record {
            id,
            family: id,
            user_id: None,
            remember: false,
            created_at: 1_000,
            last_seen_at: 1_000,
            expires_at: 9_000,
            authenticated_at: None,
            strong_at: None,
        };
        let state = Arc::new(serde_json::from_str(text).unwrap());
        Loaded { record, user: None, state, length: text.len() }
    }

    fn ada(email: &str, roles: &str) -> User {
        User {
            id: 1,
            email: Email::from_stored(email.to_owned()),
            created_at: 500,
            verified_at: None,
            roles: Roles::from_stored(roles),
            has_factor: false,
        }
    }

    /// Returns the address of this length.
    fn address(length: usize) -> String {
        format!("{}@example.org", "a".repeat(length - "@example.org".len()))
    }

    #[test]
    fn a_cached_session_is_read_again_after_a_minute() {
        let (cache, id) = (Cache::new(1), Token::generate().id());
        cache.put(id, 1, 1_000, loaded(id, "{}"));
        assert!(cache.get(id, 1, 1_059).is_some());
        // A write does not make the entry newer, because it does not read the user.
        cache.update(id, 1, Arc::default(), 2);
        assert!(cache.get(id, 2, 1_059).is_some());
        assert!(cache.get(id, 2, 1_060).is_none());
        // The entry is not used either if the clock was set back.
        assert!(cache.get(id, 2, 999).is_none());
    }

    #[test]
    fn a_session_comes_back_as_it_was_stored() {
        let (id, family) = (Token::generate().id(), Token::generate().id());
        for (family, text) in [(id, "{}"), (family, r#"{"views":3}"#)] {
            let (cache, mut stored) = (Cache::new(1), loaded(id, text));
            stored.user = Some(ada("ada@example.org", "").into());
            stored.record = Record {
                family,
                user_id: Some(1),
                remember: true,
                last_seen_at: 2_000,
                authenticated_at: Some(1_500),
                strong_at: Some(1_400),
                ..stored.record
            };
            cache.put(id, 1, 2_000, stored.clone());
            let found = cache.get(id, 1, 2_000).unwrap();
            assert_eq!(format!("{:?}", found.record), format!("{:?}", stored.record));
            assert!(found.record.family == family);
            assert_eq!((found.user, &*found.state), (stored.user, &*stored.state));
            assert_eq!(found.length, stored.length);
        }
    }

    #[test]
    fn a_user_comes_back_as_they_were_stored() {
        let plain = ada("Ada@example.org", "");
        let users = [
            User { verified_at: Some(600), has_factor: true, ..plain.clone() },
            User { has_factor: true, ..plain.clone() },
            User { verified_at: Some(600), ..plain },
            ada("ada@example.org", "admin editor"),
            ada(&address(38), ""),
            ada(&address(39), ""),
            ada(&address(254), "admin"),
        ];
        for user in users {
            let (cache, id) = (Cache::new(1), Token::generate().id());
            let mut stored = loaded(id, "{}");
            stored.record.user_id = Some(1);
            stored.user = Some(user.clone().into());
            cache.put(id, 1, 1_000, stored);
            cache.touch(id, 1_100, 9_100);
            let found = cache.get(id, 1, 1_000).unwrap();
            assert_eq!((found.record.last_seen_at, found.record.expires_at), (1_100, 9_100));
            assert_eq!(found.user.as_deref(), Some(&user));
        }
    }

    #[test]
    fn an_empty_session_takes_less_than_768_bytes() {
        let id = Token::generate().id();
        let mut empty = loaded(id, "{}");
        empty.user = Some(ada(&address(212), "").into());
        empty.record.family = Token::generate().id();
        let size = BySize.weight(&id, &Entry::new(1, 1_000, empty));
        assert!(size < 768, "{size}");
    }

    #[test]
    fn kept_sessions_take_no_more_than_the_bound_whatever_their_state() {
        let cache = Cache::new(2);
        for length in (0..3_000).map(|number: usize| number * 7919 % 9_000) {
            let id = Token::generate().id();
            let text = match length % 3 {
                0 => "{}".to_owned(),
                1 => format!(r#"{{"text":"{}"}}"#, "x".repeat(length)),
                _ => format!(r#"{{"list":[{}0],"more":{{"one":1}}}}"#, "0,".repeat(length / 2)),
            };
            cache.put(id, 1, 1_000, loaded(id, &text));
            assert!(cache.0.weight() <= 2 * MIB);
        }
        assert!(cache.0.weight() > MIB);
    }

    #[test]
    fn the_default_bound_has_room_for_200_000_plain_sessions() {
        let id = Token::generate().id();
        let mut plain = loaded(id, "{}");
        plain.record.user_id = Some(1);
        plain.user = Some(ada("ada.with.a.long.name@example.org", "").into());
        let entry = Entry::new(1, 1_000, plain);
        // Holes in the memory would be as much again (docs/performance.md).
        assert_eq!(entry.owned, 0);
        let bound = SessionConfig::default().cache_size * MIB;
        assert!(200_000 * BySize.weight(&id, &entry) < bound, "{PLACE} bytes each");
    }
}
