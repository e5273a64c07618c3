//! The one door to what has changed.
//!
//! Sessions are kept in memory, so something must know whether what was read is still so. All of it
//! is behind two questions:
//!
//! * *Is what I read then still so?* [`Watch::known()`] returns a version of a session. While the
//!   version stays equal, so does what is stored of the session and its user.
//! * *This has changed.* [`Watch::begin_commit()`] takes the [`Effects`] of a transaction before it
//!   is committed, on either database. The versions move on before anybody is told of the commit.
//!
//! ```text
//!  a page                    a transaction of ours          another process, or psql
//!    │ known()                 │ Effects, begin_commit()      │
//!    ▼                         ▼                              ▼
//!  Watch ──────────────── Versions ◄── advance ── WalIndex (SQLite), Listener (PostgreSQL)
//! ```
//!
//! Our statements say what they change ([`Query::declared()`](crate::sql::Query::declared)), and an
//! application's may ([`Transaction::changes_sessions()`](super::Transaction::changes_sessions)).
//! Nobody reads their text. What is not said is noticed: on SQLite by the [`Witness`], which counts
//! the rows of our tables that the writer changes; on PostgreSQL by the triggers that also tell of
//! other instances.

mod effects;
#[cfg(feature = "postgres")]
mod listener;
mod versions;
#[cfg(feature = "sqlite")]
mod wal_index;
#[cfg(feature = "sqlite")]
mod witness;

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "postgres")]
use sqlx::postgres::PgPool;

pub use effects::{Effects, RowKey};
#[cfg(feature = "postgres")]
use listener::Listener;
use versions::Versions;
#[cfg(feature = "sqlite")]
pub use wal_index::IS_READABLE;
#[cfg(feature = "sqlite")]
use wal_index::{LogCommit, WalIndex};
#[cfg(feature = "sqlite")]
pub use witness::Witness;

/// The changes of one database, as far as they are known.
#[derive(Debug)]
pub struct Watch {
    versions: Arc<Versions>,
    others: Others,
}

/// What tells of the commits of others. With `None` nothing tells, so nothing is known.
#[derive(Debug)]
enum Others {
    #[cfg(feature = "sqlite")]
    Sqlite(Option<WalIndex>),
    #[cfg(feature = "postgres")]
    Postgres(Option<Arc<Listener>>),
}

/// A commit of ours that is under way. When it is over, the versions move on, whether it has
/// succeeded or not.
///
/// If this is dropped before the commit is known to have succeeded, the commit may have happened,
/// or may still happen. What others are told of it is then taken for another's.
#[must_use = "a commit that is not done counts as another's"]
pub struct Commit {
    watch: Arc<Watch>,
    effects: Effects,
    #[cfg(feature = "sqlite")]
    log: LogCommit,
    is_done: bool,
}

impl Watch {
    /// Watches the SQLite file at `path`, which SQLite must have open. Nothing is known while
    /// `is_in_place` returns that the path names another file by now.
    #[cfg(feature = "sqlite")]
    pub fn of_file(path: &Path, is_in_place: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let versions = Arc::new(Versions::default());
        let index = WalIndex::open(path, versions.clone(), Box::new(is_in_place));
        Watch { versions, others: Others::Sqlite(index) }
    }

    /// Watches the PostgreSQL database of `pool`. With `None` nobody may listen, as behind a pooler.
    #[cfg(feature = "postgres")]
    pub fn of_server(pool: Option<PgPool>) -> Self {
        let versions = Arc::new(Versions::default());
        let listener = pool.map(|pool| Arc::new(Listener::new(pool, versions.clone())));
        Watch { versions, others: Others::Postgres(listener) }
    }

    /// Returns whether the commits of others can be noticed here at all.
    #[cfg(feature = "sqlite")]
    pub fn can_know(&self) -> bool {
        match &self.others {
            Others::Sqlite(index) => index.is_some(),
            #[cfg(feature = "postgres")]
            Others::Postgres(listener) => listener.is_some(),
        }
    }

    /// Returns the version of the session `id`. While it stays equal, so does what is stored of the
    /// session. `None` means that this cannot be told now.
    pub fn known(&self, id: RowKey) -> Option<u64> {
        let is_known = match &self.others {
            #[cfg(feature = "sqlite")]
            Others::Sqlite(index) => index.as_ref().is_some_and(WalIndex::is_known),
            #[cfg(feature = "postgres")]
            Others::Postgres(listener) => listener.as_ref().is_some_and(Listener::is_known),
        };
        is_known.then(|| self.version_of(id))
    }

    /// Returns the version of the session `id` before a commit that changes it. After the commit it
    /// is one more, if nothing else has changed.
    pub fn version_of(&self, id: RowKey) -> u64 {
        self.versions.of(id)
    }

    /// Returns the name under which this instance hears of what it changes itself.
    pub fn name(&self) -> String {
        self.versions.name()
    }

    /// Notes that a commit begins that changes `effects`.
    pub fn begin_commit(self: &Arc<Self>, effects: Effects) -> Commit {
        #[cfg(feature = "sqlite")]
        let log = self.index().map(WalIndex::begin_commit).unwrap_or_default();
        Commit {
            watch: self.clone(),
            effects,
            #[cfg(feature = "sqlite")]
            log,
            is_done: false,
        }
    }

    /// Returns how many pages SQLite's log holds. It is 0 if that is not known.
    #[cfg(feature = "sqlite")]
    pub fn pages(&self) -> u32 {
        self.index().map_or(0, WalIndex::pages)
    }

    #[cfg(feature = "sqlite")]
    fn index(&self) -> Option<&WalIndex> {
        match &self.others {
            Others::Sqlite(index) => index.as_ref(),
            #[cfg(feature = "postgres")]
            Others::Postgres(_) => None,
        }
    }
}

impl Commit {
    /// Notes that the commit has succeeded.
    pub fn done(mut self) {
        self.is_done = true;
    }

    /// Returns the effects, of which some become known with the commit itself.
    #[cfg(feature = "sqlite")]
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }

    /// Notes that the commit has succeeded on SQLite. If the log shows one commit more and it is not
    /// certain that it is ours, `is_alone` is asked whether nobody else has committed. Returns how
    /// many pages the log holds, or 0 if that is not known.
    #[cfg(feature = "sqlite")]
    pub async fn done_in_log(mut self, is_alone: impl AsyncFnOnce() -> bool) -> u32 {
        let (watch, mut pages) = (self.watch.clone(), 0);
        if let Some(index) = watch.index() {
            let is_written = self.effects.is_written();
            let is_ours = match index.is_in_doubt(&mut self.log, is_written) {
                true => is_alone().await,
                false => is_written,
            };
            watch.versions.advance(&std::mem::take(&mut self.effects));
            pages = index.end_commit(&self.log, is_written, is_ours);
        }
        self.is_done = true;
        pages
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // A commit that has failed or was given up may still happen, and later than now.
        if !self.is_done {
            self.watch.versions.rename();
        }
        self.watch.versions.advance(&self.effects);
        #[cfg(feature = "sqlite")]
        if let Some(index) = self.watch.index() {
            index.leave_commit();
        }
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_commit_is_not_treated_as_known() {
        let watch = Arc::new(Watch::of_server(None));
        let commit = |is_done| {
            let mut effects = Effects::default();
            effects.add_all();
            let before = (watch.name(), watch.version_of([7; 32]));
            let commit = watch.begin_commit(effects);
            match is_done {
                true => commit.done(),
                false => drop(commit),
            }
            assert_ne!(watch.version_of([7; 32]), before.1);
            watch.name() == before.0
        };
        assert!(commit(true));
        assert!(!commit(false));
    }
}
