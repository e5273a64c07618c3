//! Counts the changes of sessions, to tell whether one has changed since it was read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use super::effects::{Effects, RowKey};

/// The number of counters. Sessions share a counter by the first bits of their ids: if one of them
/// changes, the others are looked up once more, and nothing else happens. With five counters for
/// each of 200,000 sessions, a sixth of them is looked up once more if all change once. A last-seen
/// time changes no counter. The counters take 4 MiB, which the operating system gives as they are
/// used.
const COUNTERS: usize = 1 << 20;

/// A version of every session. It changes with each change of the session that is committed here,
/// or that may have been committed elsewhere.
#[derive(Debug)]
pub struct Versions {
    /// The name under which commits of this instance tell others of their changes.
    name: AtomicU64,
    all: AtomicU64,
    /// They may begin again at zero, because nothing is believed for long enough to see that.
    counters: Box<[AtomicU32]>,
}

impl Default for Versions {
    fn default() -> Self {
        // In rows, because a million steps take a tenth of a start in a debug build.
        let rows = (0..COUNTERS / 1024).map(|_| [const { AtomicU32::new(0) }; 1024]);
        let counters = rows.collect::<Vec<_>>().into_flattened().into_boxed_slice();
        let name = getrandom::u64().expect("the operating system gives random bytes");
        Versions { name: AtomicU64::new(name), all: AtomicU64::new(0), counters }
    }
}

impl Versions {
    /// Returns the version of the session `id`. It differs after every change of the session: both
    /// counters only grow, so their sum does not repeat before four billion changes.
    pub fn of(&self, id: RowKey) -> u64 {
        self.all.load(SeqCst) + u64::from(self.counters[counter(id)].load(SeqCst))
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

fn counter(id: RowKey) -> usize {
    u32::from_le_bytes([id[0], id[1], id[2], id[3]]) as usize % COUNTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_200_000_sessions_are_looked_up_again_if_all_change_once() {
        let versions = Versions::default();
        let kept: Vec<_> = (0..200_000)
            .map(|_| {
                let mut id: RowKey = [0; 32];
                getrandom::fill(&mut id).unwrap();
                let mut effects = Effects::default();
                effects.add(id);
                versions.advance(&effects);
                (id, versions.of(id))
            })
            .collect();
        let changed = kept.iter().filter(|(id, version)| versions.of(*id) != *version).count();
        assert!(changed < 30_000, "{changed}");
    }
}
