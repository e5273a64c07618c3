//! The database file: made for us alone, and watched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Makes the file and its directory, readable by nobody else: a copy of it
/// holds every address and every password hash.
pub fn create(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory)?;
    }

    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.create(true).append(true).open(path)?;

    // Another tool may have made it, with the usual rights.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0
            && let Err(error) = file.set_permissions(fs::Permissions::from_mode(0o600))
        {
            log::warn!("others can read {}: {error}", path.display());
        }
    }

    drop(file);
    Ok(())
}

/// Which file was opened, to notice when it is deleted, moved or replaced.
#[derive(Debug)]
pub struct FileIdentity {
    path: PathBuf,
    opened: Option<(u64, u64)>,
}

impl FileIdentity {
    pub fn of(path: &Path) -> Self {
        FileIdentity { path: path.to_owned(), opened: identity(path) }
    }

    /// Whether the path still names the file that was opened. One `stat`.
    pub fn is_in_place(&self) -> bool {
        self.opened.is_none() || identity(&self.path) == self.opened
    }
}

/// Whether the file at `path` begins as an SQLite database does. SQLite itself
/// would go on as long as it finds the pages in its log.
pub fn is_database(path: &Path) -> bool {
    let mut start = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"SQLite format 3\0"
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Elsewhere an open file cannot be deleted, or not without trace.
#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}
