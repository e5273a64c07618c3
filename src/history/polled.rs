//! Which refused requests of programs have a line in the log already.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use quick_cache::sync::Cache;

use crate::clock::Timestamp;

/// How many seconds one line stands for equal requests.
const WINDOW: Timestamp = 60;

/// How many lines are remembered. A forgotten one is written again.
const REMEMBERED: usize = 1024;

/// The requests of programs that were refused within the last minute because nobody is logged in. It
/// is in managed state.
///
/// A front end that asks every few seconds for something new goes on asking after its session has
/// ended. Without this, that would fill the log.
pub struct Polled {
    last: Cache<u64, Timestamp>,
    hasher: RandomState,
}

impl Polled {
    /// Returns whether the request for `path` from `ip_address` needs a line: there was none for an
    /// equal one within a minute, or the address is unknown. It counts as written then.
    pub fn is_new(&self, ip_address: &str, path: &str, now: Timestamp) -> bool {
        if ip_address.is_empty() {
            return true;
        }
        let key = self.hasher.hash_one((ip_address, path));
        let is_new = self.last.get(&key).is_none_or(|at| !(at..at + WINDOW).contains(&now));
        if is_new {
            self.last.insert(key, now);
        }
        is_new
    }
}

impl Default for Polled {
    fn default() -> Self {
        Polled { last: Cache::new(REMEMBERED), hasher: RandomState::new() }
    }
}

/// The keys say nothing to a reader.
impl fmt::Debug for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled").field("len", &self.last.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_requests_have_one_line_a_minute() {
        let polled = Polled::default();
        let (ada, path) = ("192.0.2.1", "/account");
        assert!(polled.is_new(ada, path, 100));
        assert!(!polled.is_new(ada, path, 100));
        assert!(!polled.is_new(ada, path, 159));
        assert!(polled.is_new(ada, "/notes", 159));
        assert!(polled.is_new("192.0.2.2", path, 159));
        assert!(polled.is_new(ada, path, 160));
        assert!(!polled.is_new(ada, path, 219));
        // The clock was set back.
        assert!(polled.is_new(ada, path, 10));
        // Nobody's requests are hidden behind those of somebody else.
        assert!(polled.is_new("", path, 10) && polled.is_new("", path, 10));
    }

    #[test]
    fn a_flood_is_not_remembered_in_whole() {
        let polled = Polled::default();
        assert!((0..10_000).all(|number| polled.is_new("192.0.2.1", &format!("/{number}"), 1)));
        assert!(polled.last.len() <= REMEMBERED);
    }
}
