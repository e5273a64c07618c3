//! A database in a temporary folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::{env, io};

use rocket::figment::Figment;

use super::PREFIX;

/// The file in a folder that is locked while the folder is used.
const LOCK: &str = "lock";

/// Returns a configuration for one test, with a new database in a temporary folder.
///
/// The folder exists as long as the configuration, a clone of it, or a rocket that was built with
/// it. Then it is deleted, also after a panic. If the process is killed, the next one that
/// calls this function deletes it. A site that is started twice with a clone of one configuration finds its
/// database again.
///
/// The profile is `debug`. Passwords are hashed as cheaply as Argon2 allows, nothing is throttled,
/// `secret_key` is a constant, and the log has only warnings and errors. Neither `Rocket.toml` nor
/// variables are read, so a test cannot reach the real database. `merge` sets what your application needs.
///
/// # Panics
///
/// Panics if the folder cannot be created.
///
/// # Examples
///
/// ```rust
/// # #[cfg(feature = "pages")] {
/// use rocket::local::blocking::Client;
/// use rocket_login::testing;
///
/// let figment = testing::figment().merge(("accounts.registration", "closed"));
/// let rocket = rocket::custom(figment).attach(rocket_login::stage());
/// let client = Client::untracked(rocket).unwrap();
/// assert_eq!(client.get("/register").dispatch().status().code, 403);
/// # }
/// ```
pub fn figment() -> Figment {
    let folder = Folder::create().expect("a folder for temporary files");
    let url = format!("sqlite:{}", folder.0.join("login.db").display());
    super::settings(&url, Arc::new(folder))
}

/// A folder that is deleted with this value.
struct Folder(PathBuf, #[expect(dead_code, reason = "it is locked while it is open")] File);

impl Folder {
    fn create() -> io::Result<Self> {
        static SWEPT: Once = Once::new();

        let path = env::temp_dir().join(super::name());
        create_private(&path)?;
        // The lock has its name only once it is held, so that nobody else takes it before.
        let new = path.join("lock.new");
        let lock = File::create(&new)?;
        lock.lock()?;
        fs::rename(new, path.join(LOCK))?;
        SWEPT.call_once(|| sweep(&path));
        Ok(Folder(path, lock))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A connection that closes meanwhile may still create a file.
        let is_left = |_: &u8| {
            let removed = fs::remove_dir_all(&self.0);
            removed.is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty)
        };
        (0..10).take_while(is_left).for_each(drop);
    }
}

/// Creates a folder that only this user may read.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Deletes the folders beside `own` whose process was killed. Those of other users stay.
fn sweep(own: &Path) {
    let Some(entries) = own.parent().and_then(|parent| fs::read_dir(parent).ok()) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_tests = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_tests && path != own && have_one_owner(&path, own) {
            let is_unused = File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
            if is_unused {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}

#[cfg(unix)]
fn have_one_owner(path: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let owner = |path| fs::symlink_metadata(path).ok().map(|metadata| metadata.uid());
    owner(path) == owner(other)
}

#[cfg(not(unix))]
fn have_one_owner(_: &Path, _: &Path) -> bool {
    true
}
