//! Counts the changes of sessions, to tell whether one has changed since it was read.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The key of a session's row. It is a hash, so all of its bits are equally random.
pub type RowKey = [u8; 32];

/// The number of counters. Sessions share a counter by the first two bytes of their ids: if one of
/// them changes, the others are looked up once more, and nothing else happens.
const COUNTERS: usize = 4096;

/// A version of every session. It changes with each change of the session that is committed here,
/// or that may have been committed elsewhere.
#[derive(Debug)]
pub struct Versions {
    /// The name under which commits of this instance tell others of their changes.
    name: AtomicU64,
    all: AtomicU64,
    counters: Box<[AtomicU64]>,
}

/// The effects of a transaction on sessions and on the users they belong to.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    all: bool,
    sessions: Vec<RowKey>,
    written: Written,
}

/// How sure it is that a transaction on SQLite has written a page of the file, so that its commit
/// shows in the log. A statement that changes a row may write none: SQLite skips what is stored
/// already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    #[default]
    Nothing,
    Perhaps,
    Surely,
}

impl Default for Versions {
    fn default() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        let name = getrandom::u64().expect("the operating system gives random bytes");
        Versions { name: AtomicU64::new(name), all: AtomicU64::new(0), counters }
    }
}

impl Versions {
    /// Returns the version of the session `id`. It differs after every change of the session: both
    /// counters only grow, so their sum never repeats.
    pub fn of(&self, id: RowKey) -> u64 {
        self.all.load(SeqCst) + self.counters[counter(id)].load(SeqCst)
    }

    /// Returns the name under which this instance tells others of its changes on PostgreSQL: 16
    /// hexadecimal digits.
    pub fn name(&self) -> String {
        format!("{:016x}", self.name.load(SeqCst))
    }

    /// Changes the name, so that what is told under the old one counts as a change from now on. It
    /// may come from a commit that happens at an unknown time, or never.
    pub fn rename(&self) {
        self.name.fetch_add(1, SeqCst);
    }

    /// Notes that every session may have changed.
    pub fn advance_all(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    /// Notes that each session of `effects` has changed. Its version is one more than before,
    /// unless others have changed something too.
    pub fn advance(&self, effects: &Effects) {
        let mut counters: Vec<usize> = effects.sessions.iter().copied().map(counter).collect();
        counters.sort_unstable();
        counters.dedup();
        for counter in counters {
            self.counters[counter].fetch_add(1, SeqCst);
        }
        if effects.all {
            self.advance_all();
        }
    }
}

impl Effects {
    pub fn add(&mut self, id: impl Into<RowKey>) {
        self.sessions.push(id.into());
    }

    pub fn add_all(&mut self) {
        self.all = true;
    }

    /// Notes what a statement has written.
    pub fn note_written(&mut self, written: Written) {
        self.written = self.written.max(written);
    }

    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "PostgreSQL says so itself"))]
    pub fn written(&self) -> Written {
        self.written
    }
}

fn counter(id: RowKey) -> usize {
    usize::from(u16::from_le_bytes([id[0], id[1]])) % COUNTERS
}
