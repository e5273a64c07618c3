//! `deploy/backup.sh` with all kinds of file names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::servers::{find, has};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/backup.sh");

/// The number of backups that the script keeps.
const KEPT: usize = 14;

/// Names that a shell, `rm`, `find` or SQLite could take for something else.
const NAMES: [&str; 16] = [
    "plain",
    "with a blank",
    " blanks  at the ends ",
    "-rf",
    "--help",
    "-readonly",
    "*",
    "[a-z]?",
    "line\nend",
    "\n",
    "at the end\n",
    "it's \"quoted\"",
    "$(touch injected)`touch injected`;touch injected",
    "back\\slash\\n",
    "file:login.db?mode=memory",
    "~",
];

fn back_up(dir: &Path, database: &Path, directory: &Path) -> Output {
    let mut script = Command::new("sh");
    // A relative name must be resolved in this folder even if `CDPATH` is set.
    script.arg(SCRIPT).arg(database).arg(directory).current_dir(dir).env("CDPATH", "/tmp:/");
    script.output().unwrap()
}

fn sqlite(database: &Path, sql: &str) -> String {
    assert!(database.is_absolute());
    let done = Command::new("sqlite3").arg(database).arg(sql).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// All files below `dir`, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(self::files(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

/// Makes `count` earlier backups in `directory`, the newest last.
fn earlier(directory: &Path, count: usize) -> Vec<PathBuf> {
    let name = |day| directory.join(format!("login-2025-01-{day:02}T031500.db"));
    let earlier: Vec<_> = (1..=count).map(name).collect();
    earlier.iter().for_each(|path| fs::write(path, "an earlier one").unwrap());
    earlier
}

#[test]
fn a_backup_is_made_and_only_the_oldest_are_deleted_under_any_name() {
    if !has(find("sqlite3").is_some(), "sqlite3") {
        return;
    }

    for name in NAMES {
        for is_absolute in [true, false] {
            let dir = TempDir::new().unwrap();
            let database = dir.path().join(format!("{name}.db"));
            let directory = dir.path().join(name);
            sqlite(&database, "CREATE TABLE names (name); INSERT INTO names VALUES ('ada')");
            fs::create_dir(&directory).unwrap();
            let earlier = earlier(&directory, KEPT + 3);

            // Files that the script would hit if it split a name or took it for a pattern.
            let mut strangers: Vec<PathBuf> = name
                .split_whitespace()
                .chain(["a", "login-2025-01-01T031500.db"])
                .map(|part| dir.path().join(part))
                .collect();
            strangers.extend(
                ["login.db", "login-old.db", "login-1.db", "login-2025-01-01T031500.db.part"]
                    .map(|name| directory.join(name)),
            );
            strangers.retain(|path| !path.exists());
            strangers.iter().for_each(|path| fs::write(path, "a stranger's").unwrap());
            let link = directory.join("login-2024-01-01T031500.db");
            std::os::unix::fs::symlink("login.db", &link).unwrap();

            let before = files(dir.path());
            let done = match is_absolute {
                true => back_up(dir.path(), &database, &directory),
                false => back_up(dir.path(), format!("{name}.db").as_ref(), name.as_ref()),
            };
            assert!(done.status.success(), "{name:?}: {done:?}");

            let after = files(dir.path());
            let new: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
            assert_eq!(new.len(), 1, "{name:?}: {new:?}");
            assert_eq!(new[0].parent(), Some(directory.as_path()));
            assert_eq!(sqlite(new[0], "SELECT name FROM names"), "ada\n");
            let gone: Vec<_> = before.into_iter().filter(|path| !after.contains(path)).collect();
            assert_eq!(gone, earlier[..earlier.len() + 1 - KEPT], "{name:?}");
        }
    }
}

#[test]
fn a_failed_backup_deletes_nothing_and_leaves_nothing_behind() {
    if !has(find("sqlite3").is_some(), "sqlite3") {
        return;
    }

    let dir = TempDir::new().unwrap();
    let (none, ruined) = (dir.path().join("none.db"), dir.path().join("ruined.db"));
    fs::write(&ruined, "no database".repeat(1_000)).unwrap();
    let directory = dir.path().join("backups");
    fs::create_dir(&directory).unwrap();
    earlier(&directory, KEPT + 3);
    let before = files(dir.path());
    for database in [none, ruined] {
        let done = back_up(dir.path(), &database, &directory);
        assert!(!done.status.success() && !done.stderr.is_empty(), "{done:?}");
        assert_eq!(files(dir.path()), before);
    }
}
