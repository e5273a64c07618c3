//! Reads SQLite's own account of all commits, whichever process made them.
//!
//! The file `…-shm` begins with the header of the log's index
//! (<https://sqlite.org/walformat.html#the_wal_index_header>). Every commit of every process
//! changes this header, and every reader checks it to see what there is to read. If the header has
//! not changed, neither have the rows. Reading the header costs one `pread`, while a statement
//! costs two changes of threads.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Instant;

use crate::db::versions::{Effects, Versions, Written};

/// True on systems where reading a file shows at once what was written to it through a memory map.
pub const IS_READABLE: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
));

/// The only version of the header so far. A header of a later version is not trusted.
const VERSION: u32 = 3_007_000;

/// How long one look at the header serves all, in microseconds: under load, a system call for each
/// page would be a twentieth of the page's cost. Our own commits are known without a look.
const INDEX_SEEN_FOR: u64 = 250;

/// The header of the index: version, a counter of commits, sizes, checksums, salts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header([u8; 48]);

/// The index of one file's log, and its last state that we know.
///
/// The file stays open for as long as SQLite has it open; see
/// [`DatabaseFile`](super::file::DatabaseFile).
#[derive(Debug)]
pub struct WalIndex {
    file: File,
    known: RwLock<Known>,
    versions: Arc<Versions>,
    start: Instant,
    /// When the header was last looked at, in microseconds since the start.
    looked_at: AtomicU64,
    /// A commit of ours did not show in the header, so commits of others would not either.
    is_blind: AtomicBool,
}

#[derive(Debug)]
struct Known {
    header: Option<Header>,
    /// A commit of ours is under way: a header that we do not know probably comes from it.
    is_committing: bool,
}

/// A commit of ours that is under way.
pub struct SqliteCommit<'i> {
    index: &'i WalIndex,
    before: Option<Header>,
}

impl Header {
    /// Returns the counter that each commit increases.
    fn commits(&self) -> u32 {
        self.number(8)
    }

    /// Returns how many pages the log holds.
    fn pages(&self) -> u32 {
        self.number(16)
    }

    /// Returns the number at the offset `at`, in the byte order of the machine.
    fn number(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// Returns whether nothing has been committed since `before`. The log may have been restarted
    /// since, after everything in it was written into the database.
    fn tells_as(&self, before: &Header) -> bool {
        self == before || (self.commits() == before.commits() && self.pages() == 0)
    }

    /// Returns whether exactly one commit has come after `before`.
    fn is_next_of(&self, before: &Header) -> bool {
        self.commits() == before.commits().wrapping_add(1)
    }
}

impl WalIndex {
    /// Opens the index of the database at `path`, which SQLite must have open. `None` means that
    /// the index cannot be read here.
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

    /// Returns whether the versions include everything that has been committed so far, or up to
    /// [`INDEX_SEEN_FOR`] ago by others. Returns `false` while a commit of ours changes the header, if the
    /// header cannot be read, or if `is_in_place` returns that the path names another file by now.
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
        // This reads again: the first header may be older than the one that is known by now.
        let header = self.read();
        if known.is_committing {
            return false;
        }
        let is_known = matches!((known.header, header), (Some(known), Some(header)) if header.tells_as(&known));
        if !is_known {
            // Another process has committed, or a connection that is not ours.
            self.versions.advance_all();
        }
        known.header = header;
        header.is_some()
    }

    /// Notes that a commit of ours begins, and the header before it.
    pub fn begin_commit(&self) -> SqliteCommit<'_> {
        let mut known = self.known();
        known.is_committing = true;
        SqliteCommit { index: self, before: self.read() }
    }

    /// Returns how many pages the log holds, or 0 if the header cannot be read.
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
    /// Notes that the commit has succeeded and had `effects`. Returns how many pages the log
    /// holds.
    pub fn end(self, effects: &Effects) -> u32 {
        let versions = &self.index.versions;
        versions.advance(effects);
        let mut known = self.index.known();
        let after = self.index.read();
        let is_written = effects.written() == Written::Surely;
        if is_written && after.is_some() && after == self.before {
            // This happens on some network file systems and in some sandboxes.
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
                // A transaction that has written no page adds no commit to the log: a commit that
                // shows was made by another program.
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

/// Ends a commit. If it was given up or failed and has happened all the same, the next look at the
/// header treats it as another program's.
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

        // It is also noticed if one of our own commits comes in between.
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
