//! Reads SQLite's own account of all commits, whichever process made them.
//!
//! The file `…-shm` begins with the header of the log's index
//! (<https://sqlite.org/walformat.html#the_wal_index_header>). Every commit of every process
//! changes this header, and every reader checks it to see what there is to read. If the header has
//! not changed, neither have the rows. Reading the header costs one `pread`, while a statement
//! costs two changes of threads.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Instant;

use super::versions::Versions;

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
/// The file stays open for as long as SQLite has it open: see the file `sqlite/file.rs`.
pub struct WalIndex {
    file: File,
    known: RwLock<Known>,
    versions: Arc<Versions>,
    is_in_place: IsInPlace,
    start: Instant,
    /// When the header was last looked at, in microseconds since the start.
    looked_at: AtomicU64,
    /// A commit of ours did not show in the header, so commits of others would not either.
    is_blind: AtomicBool,
}

/// Returns whether the path still names the file that was opened.
type IsInPlace = Box<dyn Fn() -> bool + Send + Sync>;

struct Known {
    header: Option<Header>,
    /// A commit of ours is under way: a header that we do not know probably comes from it.
    is_committing: bool,
}

/// The header before a commit of ours, and after it.
#[derive(Default)]
pub struct LogCommit {
    before: Option<Header>,
    after: Option<Header>,
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
    pub fn open(path: &Path, versions: Arc<Versions>, is_in_place: IsInPlace) -> Option<Self> {
        if !IS_READABLE {
            return None;
        }
        let mut shm = path.as_os_str().to_owned();
        shm.push("-shm");
        let known = RwLock::new(Known { header: None, is_committing: false });
        let (file, start) = (File::open(shm).ok()?, Instant::now());
        let (looked_at, is_blind) = Default::default();
        Some(WalIndex { file, known, versions, is_in_place, start, looked_at, is_blind })
    }

    /// Returns whether the versions include everything that has been committed so far, or up to
    /// [`INDEX_SEEN_FOR`] ago by others. Returns `false` while a commit of ours changes the header,
    /// if the header cannot be read, or if the path names another file by now.
    pub fn is_known(&self) -> bool {
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
        let is_known =
            (self.is_in_place)() && ((header.is_some() && header == known) || self.learn());
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

    /// Notes that a commit of ours begins. It is under way until
    /// [`leave_commit()`](Self::leave_commit()).
    pub fn begin_commit(&self) -> LogCommit {
        self.known().is_committing = true;
        LogCommit { before: self.read(), after: None }
    }

    /// Looks at the header after the commit. Returns whether it shows exactly one commit more, and
    /// it is not certain that ours is in the log: a commit that has written no page adds none, so
    /// the one that shows may be another program's.
    pub fn is_in_doubt(&self, commit: &mut LogCommit, is_written: bool) -> bool {
        commit.after = self.read();
        let both = commit.before.zip(commit.after);
        !is_written && both.is_some_and(|(before, after)| after.is_next_of(&before))
    }

    /// Notes that the commit has succeeded, after the versions have moved on. `is_written` means
    /// that it must show in the log, and `is_ours` that one commit more is ours. Returns how many
    /// pages the log holds.
    pub fn end_commit(&self, commit: &LogCommit, is_written: bool, is_ours: bool) -> u32 {
        let LogCommit { before, after } = *commit;
        let mut known = self.known();
        if is_written && after.is_some() && after == before {
            // This happens on some network file systems and in some sandboxes.
            if !self.is_blind.swap(true, SeqCst) {
                log::warn!(
                    "a commit does not show in the -shm file beside the database, so every session is \
                     looked up in the database"
                );
            }
            self.versions.advance_all();
        }
        let is_all_ours = match (known.header, before, after) {
            (Some(known), Some(before), Some(after)) => {
                before.tells_as(&known)
                    && (after.tells_as(&before) || (is_ours && after.is_next_of(&before)))
            }
            _ => false,
        };
        if !is_all_ours {
            self.versions.advance_all();
        }
        known.header = after;
        after.map_or(0, |after| after.pages())
    }

    /// Notes that no commit of ours is under way any more. If it was given up or failed and has
    /// happened all the same, the next look at the header treats it as another program's.
    pub fn leave_commit(&self) {
        self.known().is_committing = false;
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

impl fmt::Debug for WalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalIndex").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
    use tempfile::TempDir;

    use super::*;
    use crate::db::watch::{Effects, Watch, Witness};
    use crate::sql::Promises;

    const ID: [u8; 32] = [7; 32];

    /// A database with our connection, which writes as the pool's writer does, and another one.
    struct Two {
        ours: SqliteConnection,
        other: SqliteConnection,
        watch: Arc<Watch>,
        witness: Arc<Witness>,
        _dir: TempDir,
    }

    impl Two {
        async fn new() -> Self {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("x.db");
            let options = SqliteConnectOptions::new()
                .filename(&path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal);
            let mut ours = SqliteConnection::connect_with(&options).await.unwrap();
            let witness = Arc::<Witness>::default();
            witness.attend(&mut ours).await.unwrap();
            let other = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql("CREATE TABLE t (x); INSERT INTO t VALUES (0)")
                .execute(&mut ours)
                .await
                .unwrap();
            let watch = Arc::new(Watch::of_file(&path, || true));
            assert!(watch.known(ID).is_some());
            Two { ours, other, watch, witness, _dir: dir }
        }

        /// Commits `statements`. Before this is noticed, another program commits `others`.
        async fn commit(&mut self, statements: &str, others: &str) {
            let mut tx = self.ours.begin_with("BEGIN IMMEDIATE").await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await.unwrap();
            let commit = self.watch.begin_commit(Effects::default());
            tx.commit().await.unwrap();
            self.others(others).await;
            commit.done_in_log(async || self.witness.is_alone(&mut self.ours).await).await;
        }

        async fn others(&mut self, statements: &str) {
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.other).await.unwrap();
        }

        /// Returns the version, once the last look at the header serves no more.
        fn version(&self) -> u64 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            self.watch.known(ID).expect("it is known")
        }
    }

    #[rocket::async_test]
    async fn an_empty_commit_is_not_mistaken_for_another_processes_commit() {
        let mut two = Two::new().await;
        let before = two.version();
        // The sweep of every minute does this, and usually finds nothing. Another process gets the
        // lock before this task is woken.
        two.commit("DELETE FROM t WHERE x = 1", "INSERT INTO t VALUES (1)").await;
        assert_ne!(two.version(), before, "the other commit is never noticed");
    }

    #[rocket::async_test]
    async fn a_commit_without_changes_is_not_mistaken_for_another_processes() {
        let mut two = Two::new().await;
        let create = "CREATE TEMPORARY TABLE temporary (x)";
        sqlx::query(create).execute(&mut two.ours).await.unwrap();
        for statement in [
            "UPDATE t SET x = x",
            "INSERT INTO t (rowid, x) VALUES (1, 0) ON CONFLICT DO UPDATE SET x = excluded.x",
            "INSERT INTO temporary VALUES (1)",
            "DELETE FROM t WHERE x = 99; UPDATE t SET x = x",
        ] {
            let pages = two.watch.pages();
            two.commit(statement, "").await;
            assert_eq!(two.watch.pages(), pages, "SQLite commits {statement}");
            let before = two.version();
            two.commit(statement, "INSERT INTO t VALUES (1)").await;
            assert_ne!(two.version(), before, "the other commit is never noticed");
            two.others("DELETE FROM t WHERE x = 1").await;
            two.version();
        }
    }

    #[rocket::async_test]
    async fn a_commit_of_our_own_causes_no_look_up_whatever_it_has_written() {
        let mut two = Two::new().await;
        let before = two.version();
        for statement in [
            "UPDATE t SET x = x + 1",
            "INSERT INTO t VALUES (1)",
            "DELETE FROM t",
            "CREATE TABLE u (x INTEGER PRIMARY KEY) WITHOUT ROWID",
            "INSERT INTO u VALUES (1)",
            "PRAGMA user_version = 7",
        ] {
            two.commit(statement, "").await;
            assert_eq!(two.version(), before, "{statement}");
        }
        two.commit("INSERT INTO u VALUES (2)", "INSERT INTO t VALUES (1)").await;
        assert_ne!(two.version(), before, "the other commit is never noticed");
    }

    #[rocket::async_test]
    async fn acts_of_other_programs_that_change_nothing_cause_no_look_up() {
        let mut two = Two::new().await;
        let before = two.version();
        for statements in [
            "BEGIN IMMEDIATE; COMMIT",
            "UPDATE t SET x = x",
            "BEGIN IMMEDIATE; DELETE FROM t; ROLLBACK",
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(RESTART)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ] {
            two.others(statements).await;
            assert_eq!(two.version(), before, "{statements}");
        }
        // The first commit is seen even if it starts the log over.
        for statements in ["INSERT INTO t VALUES (1)", "VACUUM"] {
            let before = two.version();
            two.others(statements).await;
            assert_ne!(two.version(), before, "{statements}");
        }
        two.others("PRAGMA wal_checkpoint(RESTART)").await;
        let before = two.version();
        two.others("INSERT INTO t VALUES (1); PRAGMA wal_checkpoint(TRUNCATE)").await;
        assert_ne!(two.version(), before);

        // It is also noticed if one of our own commits comes in between.
        two.commit("INSERT INTO t VALUES (1)", "").await;
        let before = two.version();
        two.commit("INSERT INTO t VALUES (1)", "").await;
        two.others("PRAGMA wal_checkpoint(TRUNCATE)").await;
        assert_eq!(two.version(), before);
        two.others("DELETE FROM t").await;
        assert_ne!(two.version(), before);
    }

    #[rocket::async_test]
    async fn an_index_that_misses_a_commit_is_not_trusted_again() {
        let mut two = Two::new().await;
        let dir = two._dir.path();
        std::fs::copy(dir.join("x.db-shm"), dir.join("y.db-shm")).unwrap();
        let watch = Arc::new(Watch::of_file(&dir.join("y.db"), || true));
        assert!(watch.known(ID).is_some());
        let mut effects = Effects::default();
        effects.note(Promises { is_sure: true, is_declared: false }, 1);
        let commit = watch.begin_commit(effects);
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut two.ours).await.unwrap();
        commit.done_in_log(async || true).await;
        two.others("INSERT INTO t VALUES (1)").await;
        assert!(watch.known(ID).is_none());
    }
}
