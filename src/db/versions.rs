//! Which sessions have changed since they were read.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The key of a session's row: a hash, so any of its bits are as good as others.
pub type Key = [u8; 32];

/// Sessions share a counter by the first bits of their ids. Of two that share one, a
/// change of the one costs the other a look-up, nothing else.
const COUNTERS: usize = 4096;

/// A counter for every session, which moves on with each change of it that is
/// committed here, or that may have been committed elsewhere.
#[derive(Debug)]
pub struct Versions {
    /// Under which name commits of this instance tell others of their changes.
    name: AtomicU64,
    all: AtomicU64,
    counters: Box<[AtomicU64]>,
}

/// What a transaction changes of the sessions, and of whom they belong to.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    all: bool,
    sessions: Vec<Key>,
    written: Written,
}

/// Whether a transaction on SQLite has written a page of the file, so that its commit is one
/// in the log. A statement that changes a row may write none: SQLite leaves out what is there
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
    /// It is another one after every change of the session `id`. Both counters only
    /// grow, so their sum never comes back.
    pub fn of(&self, id: Key) -> u64 {
        self.all.load(SeqCst) + self.counters[counter(id)].load(SeqCst)
    }

    /// The name of this instance, under which it tells others of its changes on
    /// PostgreSQL: hexadecimal digits.
    pub fn name(&self) -> String {
        format!("{:016x}", self.name.load(SeqCst))
    }

    /// What is told under the name so far counts from now on: it may be of a commit of
    /// which nobody knows when it happens, if it does.
    pub fn rename(&self) {
        self.name.fetch_add(1, SeqCst);
    }

    /// Every session may have changed.
    pub fn advance_all(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    /// Each session of `changes` has changed: its version is one more than before,
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
    pub fn add(&mut self, id: impl Into<Key>) {
        self.sessions.push(id.into());
    }

    pub fn add_all(&mut self) {
        self.all = true;
    }

    /// What a statement has written.
    pub fn note_written(&mut self, written: Written) {
        self.written = self.written.max(written);
    }

    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "PostgreSQL says so itself"))]
    pub fn written(&self) -> Written {
        self.written
    }
}

fn counter(id: Key) -> usize {
    usize::from(u16::from_le_bytes([id[0], id[1]])) % COUNTERS
}
