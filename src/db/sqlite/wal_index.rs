//! SQLite's own account of what has been committed, whoever did it.
//!
//! The file `…-shm` begins with the header of the index of the log
//! (<https://sqlite.org/walformat.html#the_wal_index_header>), which every commit of
//! every process changes, and which every reader looks at to see what there is to
//! read. Who reads the same header as before would read the same rows as before: that
//! costs one `pread`, where a statement costs two changes of threads.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Instant;

use crate::db::versions::{Effects, Versions, Written};

/// Where a file that is mapped and the same file read are one and the same.
pub const IS_READABLE: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
));

/// The only version of the header that there has been. A later one is not trusted.
const VERSION: u32 = 3_007_000;

/// How long a look at it serves others, in microseconds: under load a system call for each
/// page would be a twentieth of its cost. Our own commits are known without it.
const INDEX_SEEN_FOR: u64 = 250;

/// The header: version, a counter of commits, sizes, checksums, salts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header([u8; 48]);

/// The index of one file's log, and how far we know it.
///
/// The file stays open for as long as SQLite has it; see
/// [`DatabaseFile`](super::file::DatabaseFile).
#[derive(Debug)]
pub struct WalIndex {
    file: File,
    known: RwLock<Known>,
    versions: Arc<Versions>,
    start: Instant,
    /// When it was last looked at, in microseconds since the start.
    looked_at: AtomicU64,
    /// A commit of ours was not to be seen in it, so others' are not either.
    is_blind: AtomicBool,
}

#[derive(Debug)]
struct Known {
    header: Option<Header>,
    /// A commit of ours is under way: a header that we do not know is likely its.
    is_committing: bool,
}

/// A commit of ours that is under way.
pub struct SqliteCommit<'i> {
    index: &'i WalIndex,
    before: Option<Header>,
}

impl Header {
    /// A counter that each commit moves on.
    fn commits(&self) -> u32 {
        self.number(8)
    }

    /// How many pages the log holds.
    fn pages(&self) -> u32 {
        self.number(16)
    }

    /// In the byte order of the machine.
    fn number(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// Whether nothing has been committed since `before`. The log may have been begun
    /// anew, when everything in it was in the database.
    fn tells_as(&self, before: &Header) -> bool {
        self == before || (self.commits() == before.commits() && self.pages() == 0)
    }

    /// Whether one commit came after `before`.
    fn is_next_of(&self, before: &Header) -> bool {
        self.commits() == before.commits().wrapping_add(1)
    }
}

impl WalIndex {
    /// That of the database at `path`, which SQLite has open. `None`: it cannot be
    /// read here.
    pub fn open(path: &Path, versions: Arc<Versions>) -> Option<Self> {
        if !IS_READABLE {
            return None;
        }
        let mut shm = path.as_os_str().to_owned();
        shm.push("-shm");
        let known = RwLock::new(Known { header: None, is_committing: false });
        let (file, start) = (File::open(shm).ok()?, Instant::now());
        let (looked_at, is_blind) = Default::default();
        Some(WalIndex { file, known, versions, start, looked_at, is_blind })
    }

    /// Whether the versions tell of everything that has been committed by now, by
    /// others up to [`INDEX_SEEN_FOR`] ago. Not at the moment of a commit of ours, or when the
    /// header cannot be read, or `is_in_place` says that it is another file's by now.
    pub fn is_known(&self, is_in_place: impl FnOnce() -> bool) -> bool {
        if self.is_blind.load(SeqCst) {
            return false;
        }
        let now = self.start.elapsed().as_micros() as u64;
        let looked_at = self.looked_at.load(SeqCst);
        if looked_at > 0 && now < looked_at + INDEX_SEEN_FOR {
            return true;
        }

        let header = self.read();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).header;
        let is_known = is_in_place() && ((header.is_some() && header == known) || self.learn());
        if is_known {
            self.looked_at.store(now, SeqCst);
        }
        is_known
    }

    fn learn(&self) -> bool {
        let mut known = self.known();
        // Again, since the first one may be older than what is known by now.
        let header = self.read();
        if known.is_committing {
            return false;
        }
        let is_known = matches!((known.header, header), (Some(known), Some(header)) if header.tells_as(&known));
        if !is_known {
            // Somebody else: another process, or a connection that is not ours.
            self.versions.advance_all();
        }
        known.header = header;
        header.is_some()
    }

    /// Before a commit of ours.
    pub fn begin_commit(&self) -> SqliteCommit<'_> {
        let mut known = self.known();
        known.is_committing = true;
        SqliteCommit { index: self, before: self.read() }
    }

    /// How many pages the log holds.
    pub fn pages(&self) -> u32 {
        self.read().map_or(0, |header| header.pages())
    }

    #[cfg(unix)]
    fn read(&self) -> Option<Header> {
        use std::os::unix::fs::FileExt;

        let mut header = [0; 48];
        self.file.read_exact_at(&mut header, 0).ok()?;
        let version = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        (version == VERSION).then_some(Header(header))
    }

    #[cfg(not(unix))]
    fn read(&self) -> Option<Header> {
        None
    }

    fn known(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteCommit<'_> {
    /// After the commit, which has made `changes`. Returns how many pages are in the log.
    pub fn end(self, effects: &Effects) -> u32 {
        let versions = &self.index.versions;
        versions.advance(effects);
        let mut known = self.index.known();
        let after = self.index.read();
        let is_written = effects.written() == Written::Surely;
        if is_written && after.is_some() && after == self.before {
            // As on some file systems of other machines, or of sandboxes.
            if !self.index.is_blind.swap(true, SeqCst) {
                log::warn!(
                    "a commit does not show in the -shm file beside the database, so every session is \
                     looked up in the database"
                );
            }
            versions.advance_all();
        }
        let is_ours = match (known.header, self.before, after) {
            (Some(known), Some(before), Some(after)) => {
                // A transaction that has written no page commits nothing: the one commit
                // that there is was somebody else's.
                before.tells_as(&known)
                    && (after.tells_as(&before) || (is_written && after.is_next_of(&before)))
            }
            _ => false,
        };
        if !is_ours {
            versions.advance_all();
        }
        known.header = after;
        after.map_or(0, |after| after.pages())
    }
}

/// Given up, or failed: if it has happened all the same, the next look at the header
/// takes it for somebody else's.
impl Drop for SqliteCommit<'_> {
    fn drop(&mut self) {
        self.index.known().is_committing = false;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{Connection, SqliteConnection};

    use super::*;
    use crate::db::deferred::{Deferred, WithDeferred};
    use crate::sql;

    /// Opens a database with two connections, and its index.
    async fn two() -> (tempfile::TempDir, [SqliteConnection; 2], WalIndex) {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("x.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut ours = SqliteConnection::connect_with(&options).await.unwrap();
        let other = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (x); INSERT INTO t VALUES (0)")
            .execute(&mut ours)
            .await
            .unwrap();
        let index = WalIndex::open(&path, Arc::new(Versions::default())).unwrap();
        assert!(index.is_known(|| true));
        (dir, [ours, other], index)
    }

    #[rocket::async_test]
    async fn an_empty_commit_is_not_mistaken_for_another_processes_commit() {
        let (_dir, [mut ours, mut other], index) = two().await;
        let id = [7; 32];
        let before = index.versions.of(id);

        // The sweep of every minute does this, and usually finds nothing.
        let mut tx = ours.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("DELETE FROM t WHERE x = 1").execute(&mut *tx).await.unwrap();
        let committing = index.begin_commit();
        tx.commit().await.unwrap();
        // Another process gets the lock before this task is woken.
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut other).await.unwrap();
        committing.end(&Effects::default());

        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(index.is_known(|| true));
        assert_ne!(index.versions.of(id), before, "the other commit is never noticed");
    }

    #[rocket::async_test]
    async fn a_commit_without_changes_is_not_mistaken_for_another_processes() {
        let (_dir, [mut ours, mut other], index) = two().await;
        let id = [7; 32];
        for statement in [
            "UPDATE t SET x = x",
            "INSERT INTO t (rowid, x) VALUES (1, 0) ON CONFLICT DO UPDATE SET x = excluded.x",
            "INSERT INTO temporary VALUES (1)",
            "DELETE FROM t WHERE x = 99; UPDATE t SET x = x",
        ] {
            let create = "CREATE TEMPORARY TABLE IF NOT EXISTS temporary (x)";
            sqlx::query(create).execute(&mut ours).await.unwrap();
            let (mut effects, mut deferred) = (Effects::default(), Deferred::default());
            let mut tx = ours.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let sqlite =
                WithDeferred { db: &mut tx, deferred: &mut deferred, effects: &mut effects };
            let affected = sqlite.run(sql::query(statement)).await.unwrap().affected;
            assert_eq!(affected, 1, "{statement}");
            let before = (index.versions.of(id), index.read());
            let committing = index.begin_commit();
            tx.commit().await.unwrap();
            assert!(index.read() == before.1, "SQLite commits it");
            sqlx::query("INSERT INTO t VALUES (1)").execute(&mut other).await.unwrap();
            committing.end(&effects);
            assert_ne!(index.versions.of(id), before.0, "the other commit is never noticed");
            sqlx::query("DELETE FROM t WHERE x = 1").execute(&mut other).await.unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
            assert!(index.is_known(|| true));
        }
    }

    #[rocket::async_test]
    async fn acts_of_other_programs_that_change_nothing_cause_no_look_up() {
        let (_dir, [mut ours, mut other], index) = two().await;
        let id = [7; 32];
        let mut version = async |statements: &'static str| {
            sqlx::raw_sql(statements).execute(&mut other).await.unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
            assert!(index.is_known(|| true), "{statements}");
            index.versions.of(id)
        };
        let before = version("SELECT 1").await;
        for statements in [
            "BEGIN IMMEDIATE; COMMIT",
            "UPDATE t SET x = x",
            "BEGIN IMMEDIATE; DELETE FROM t; ROLLBACK",
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(RESTART)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ] {
            assert_eq!(version(statements).await, before, "{statements}");
        }
        // The first commit is seen even if it starts the log over.
        for statements in ["INSERT INTO t VALUES (1)", "VACUUM"] {
            let before = index.versions.of(id);
            assert_ne!(version(statements).await, before, "{statements}");
        }
        let before = version("PRAGMA wal_checkpoint(RESTART)").await;
        let both = "INSERT INTO t VALUES (1); PRAGMA wal_checkpoint(TRUNCATE)";
        assert_ne!(version(both).await, before);

        // The same holds with one of our own commits in between.
        let before = version("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let committing = index.begin_commit();
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut ours).await.unwrap();
        let mut effects = Effects::default();
        effects.note_written(Written::Surely);
        committing.end(&effects);
        assert_eq!(version("PRAGMA wal_checkpoint(TRUNCATE)").await, before);
        assert_ne!(version("DELETE FROM t").await, before);
    }

    #[rocket::async_test]
    async fn an_index_that_misses_a_commit_is_not_trusted_again() {
        let (dir, [mut ours, mut other], _) = two().await;
        let (path, copy) = (dir.path().join("x.db-shm"), dir.path().join("y.db-shm"));
        std::fs::copy(path, copy).unwrap();
        let index = WalIndex::open(&dir.path().join("y.db"), Arc::default()).unwrap();
        assert!(index.is_known(|| true));
        let committing = index.begin_commit();
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut ours).await.unwrap();
        let mut effects = Effects::default();
        effects.note_written(Written::Surely);
        committing.end(&effects);
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut other).await.unwrap();
        assert!(!index.is_known(|| true));
    }
}
