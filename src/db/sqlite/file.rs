//! The database file: created for us alone, and watched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The database file as it was opened, to notice if it or its log is deleted, moved, replaced or
/// overwritten.
///
/// It stays open for as long as SQLite has it open. Closing any handle of a file drops all locks
/// that the process holds on it (POSIX), including SQLite's. The next process to look at the file
/// would then take itself for the last one, and delete the log with what was committed to it.
#[derive(Debug)]
pub struct DatabaseFile {
    file: Mutex<File>,
    opened: Vec<(PathBuf, Option<(u64, u64)>)>,
    start: Instant,
    /// When all files were last found in place, in microseconds since the start.
    found_at: AtomicU64,
}

/// How long one look serves those who only read what is cached, in microseconds.
const FILE_SEEN_FOR: u64 = 10_000;

impl DatabaseFile {
    /// Watches also the log that SQLite has created beside the file.
    pub fn watch_log(&mut self) {
        // Its index is watched too: without it, another process creates an index of its own, and
        // the commits of the two overwrite each other.
        for suffix in ["-wal", "-shm"] {
            let mut path = self.opened[0].0.clone().into_os_string();
            path.push(suffix);
            self.watch(path.into());
        }
    }

    fn watch(&mut self, path: PathBuf) {
        let identity = identity(&path);
        self.opened.push((path, identity));
    }

    /// Returns whether the paths still name the files that were opened. This costs a `stat` for
    /// each.
    pub fn is_in_place(&self) -> bool {
        self.opened.iter().all(|(path, opened)| identity(path) == *opened)
    }

    /// Returns [`is_in_place()`](Self::is_in_place()) as it was found within the last hundredth of
    /// a second.
    pub fn was_in_place(&self) -> bool {
        let now = self.start.elapsed().as_micros() as u64;
        if now < self.found_at.load(SeqCst) + FILE_SEEN_FOR {
            return true;
        }
        let is_in_place = self.is_in_place();
        self.found_at.store(if is_in_place { now } else { 0 }, SeqCst);
        is_in_place
    }

    /// Returns whether the file begins as an SQLite database does. SQLite itself would not notice
    /// for as long as it finds the pages in its log.
    pub fn is_database(&self) -> bool {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind().is_ok() && begins_as_database(&mut file)
    }
}

/// Creates the file and its directory, readable by nobody else: a copy of it holds every address
/// and every password hash.
pub fn create(path: &Path) -> io::Result<DatabaseFile> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory)?;
    }

    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.create(true).read(true).append(true).open(path)?;

    // Another tool may have created it, with the usual rights.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0
            && let Err(error) = file.set_permissions(fs::Permissions::from_mode(0o600))
        {
            log::warn!("others can read {}: {error}", path.display());
        }
    }

    let (start, found_at) = (Instant::now(), AtomicU64::new(0));
    let mut file = DatabaseFile { file: Mutex::new(file), opened: Vec::new(), start, found_at };
    file.watch(path.to_owned());
    Ok(file)
}

/// Returns whether the file at `path`, which this process must not have open, begins as an SQLite
/// database does.
#[cfg(feature = "cli")]
pub fn is_database(path: &Path) -> bool {
    File::open(path).is_ok_and(|mut file| begins_as_database(&mut file))
}

fn begins_as_database(file: &mut File) -> bool {
    let mut start = [0; 16];
    file.read_exact(&mut start).is_ok() && start == *b"SQLite format 3\0"
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Returns `None`: on these systems an open file cannot be deleted, or not without trace.
#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}
