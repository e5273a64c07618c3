//! SQLite's own account of what has been committed, whoever did it.
//!
//! The file `…-shm` begins with the header of the index of the log
//! (<https://sqlite.org/walformat.html#the_wal_index_header>), which every commit of
//! every process changes, and which every reader looks at to see what there is to
//! read. Who reads the same header as before would read the same rows as before: that
//! costs one `pread`, where a statement costs two changes of threads.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::versions::{Changes, Versions};

/// The only version of the header that there has been. A later one is not trusted.
const VERSION: u32 = 3_007_000;

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
    known: Mutex<Known>,
    versions: Arc<Versions>,
}

#[derive(Debug)]
struct Known {
    header: Option<Header>,
    /// A commit of ours is under way: a header that we do not know is likely its.
    is_committing: bool,
}

/// A commit of ours that is under way.
pub struct Committing<'i> {
    index: &'i WalIndex,
    before: Option<Header>,
}

impl Header {
    fn commits(&self) -> u32 {
        u32::from_ne_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }

    /// Whether this comes after `before`, with one commit between at most.
    fn is_next_of(&self, before: &Header) -> bool {
        self == before || self.commits() == before.commits().wrapping_add(1)
    }
}

impl WalIndex {
    /// That of the database at `path`, which SQLite has open. `None`: it cannot be
    /// read here.
    pub fn open(path: &Path, versions: Arc<Versions>) -> Option<Self> {
        let mut shm = path.as_os_str().to_owned();
        shm.push("-shm");
        let known = Mutex::new(Known { header: None, is_committing: false });
        let index = WalIndex { file: File::open(shm).ok()?, known, versions };
        index.read()?;
        Some(index)
    }

    /// Whether the versions tell of everything that has been committed by now. Not at
    /// the moment of a commit of ours, or when the header cannot be read.
    pub fn is_known(&self) -> bool {
        let mut known = self.known();
        // Under the lock, or it might be older than what is known.
        let header = self.read();
        if header.is_none() || header != known.header {
            if known.is_committing {
                return false;
            }
            // Somebody else: another process, or a connection that is not ours.
            self.versions.advance_all();
            known.header = header;
        }
        header.is_some()
    }

    /// Before a commit of ours.
    pub fn begin_commit(&self) -> Committing<'_> {
        let mut known = self.known();
        known.is_committing = true;
        Committing { index: self, before: self.read() }
    }

    #[cfg(unix)]
    fn read(&self) -> Option<Header> {
        use std::os::unix::fs::FileExt;

        let mut header = [0; 48];
        self.file.read_exact_at(&mut header, 0).ok()?;
        let version = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        (version == VERSION).then_some(Header(header))
    }

    /// Elsewhere what is mapped and what is read need not agree.
    #[cfg(not(unix))]
    fn read(&self) -> Option<Header> {
        None
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Committing<'_> {
    /// After the commit, which has made `changes`.
    pub fn end(self, changes: &Changes) {
        let versions = &self.index.versions;
        versions.advance(changes);
        let mut known = self.index.known();
        let after = self.index.read();
        let is_ours = known.header == self.before
            && matches!((self.before, after), (Some(before), Some(after)) if after.is_next_of(&before));
        if !is_ours {
            versions.advance_all();
        }
        known.header = after;
    }
}

/// Given up, or failed: if it has happened all the same, the next look at the header
/// takes it for somebody else's.
impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.index.known().is_committing = false;
    }
}
