//! The tests' own PostgreSQL, if it is installed, and our programs.

#![allow(dead_code)] // each of the test programs uses its part of it

pub mod client;
mod guard;
pub mod program;

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use guard::{Running, clean};

/// The id of `nobody`, because PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;

/// A server with an empty cluster, which is stopped and removed when dropped.
pub struct Cluster {
    dir: TempDir,
    running: Option<Running>,
    settings: Vec<String>,
}

/// The ways to stop a server.
#[derive(Clone, Copy)]
pub enum Stop {
    /// Aborts every transaction.
    Fast,
    /// Ends at once, so the next start must recover.
    Immediate,
}

impl Cluster {
    /// Starts a server that listens only on its socket.
    pub fn start() -> Self {
        // The data need not survive a crash.
        Self::with(&["fsync=off", "full_page_writes=off", "listen_addresses="])
    }

    /// Starts a server with these settings.
    pub fn with(settings: &[&str]) -> Self {
        let dir = folder();
        let data = dir.path().join("data");
        let init = command("initdb")
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut cluster = Cluster { dir, running: None, settings };
        cluster.resume();
        cluster
    }

    /// The folder of the socket.
    pub fn socket(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder, to which a test may add files before the start.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The address of the database `name`.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@localhost/{name}?host={}", self.socket().display())
    }

    /// Starts the server again, and waits until it accepts connections.
    pub fn resume(&mut self) {
        let mut log = fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut server = command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(self.socket());
        for setting in self.settings.iter().map(String::as_str).chain(["max_connections=200"]) {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.running = Some(Running::spawn(server));

        let start = Instant::now();
        while !self.is_up() {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(start.elapsed() < Duration::from_secs(30), "{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(&mut self, how: Stop) {
        let Some(mut running) = self.running.take() else { return };
        signal(if let Stop::Fast = how { "INT" } else { "QUIT" }, running.id());
        running.wait();
    }

    /// Suspends all processes of the server, or resumes them.
    pub fn freeze(&self, is_frozen: bool) {
        let main = self.running.as_ref().expect("it runs").id();
        for id in children(main).into_iter().chain([main]) {
            signal(if is_frozen { "STOP" } else { "CONT" }, id);
        }
    }

    fn is_up(&self) -> bool {
        self.psql("postgres", "SELECT 1").output().unwrap().status.success()
    }

    /// Runs `sql` in the database `name`, and returns the plain result.
    pub fn sql(&self, name: &str, sql: &str) -> String {
        self.try_sql(name, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs `sql` in the database `name`, and returns the result or the server's error.
    pub fn try_sql(&self, name: &str, sql: &str) -> Result<String, String> {
        let done = self.psql(name, sql).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        match done.status.success() {
            true => Ok(text(done.stdout)),
            false => Err(text(done.stderr)),
        }
    }
}

impl Cluster {
    /// Returns the database `name` as statements.
    pub fn dump(&self, name: &str) -> String {
        let mut dump = self.client("pg_dump");
        dump.args(["--inserts", "--no-owner", "--no-privileges", name]);
        let done = dump.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout).unwrap();
        // A line with a backslash is for `psql` alone.
        text.lines().filter(|line| !line.starts_with('\\')).flat_map(|line| [line, "\n"]).collect()
    }

    fn psql(&self, name: &str, sql: &str) -> Command {
        let mut psql = self.client("psql");
        psql.args(["-v", "ON_ERROR_STOP=1", "-qAtX", "-d", name, "-c", sql]);
        psql
    }

    /// A command for a `program` that connects to the server.
    fn client(&self, program: &str) -> Command {
        let port = self.settings.iter().find_map(|setting| setting.strip_prefix("port="));
        let mut client = command(program);
        client.arg("-h").arg(self.socket()).args(["-p", port.unwrap_or("5432"), "-U", "postgres"]);
        client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.freeze(false);
            self.stop(Stop::Immediate);
        }
    }
}

/// Returns true if tests with PostgreSQL can run. In CI they must. Elsewhere, a line reports
/// that they did not.
pub fn is_installed() -> bool {
    has(programs().is_some(), "PostgreSQL")
}

/// Returns true if tests with PostgreSQL and `program` can run, see [`is_installed`].
pub fn is_installed_with(program: &'static str) -> bool {
    is_installed() && has(find(program).is_some(), program)
}

/// Returns `is_there`. If it is false, fails in CI, and elsewhere reports that the test did
/// not run because it needs `name`.
pub fn has(is_there: bool, name: &str) -> bool {
    if !is_there {
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test").to_owned();
        assert!(std::env::var_os("CI").is_none(), "{test} needs {name} (./check --install)");
        report(name, &test);
    }
    is_there
}

/// Reports a skipped test after all tests have run. The harness calls such a test "ok", hides
/// the output of a passing test, and has no hook at its end. So another process waits for the
/// end of this one.
#[expect(clippy::disallowed_methods, reason = "it ends by itself when this process does")]
fn report(name: &str, test: &str) {
    static REPORTER: Mutex<Option<Child>> = Mutex::new(None);

    let mut reporter = REPORTER.lock().unwrap_or_else(PoisonError::into_inner);
    let reporter = reporter.get_or_insert_with(|| {
        let mut reporter = guard::bash(include_str!("report.sh"));
        reporter.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("bash starts")
    });
    writeln!(reporter.stdin.as_ref().unwrap(), "{name}\t{test}").unwrap();
}

/// Returns the path of `program`. nginx and pgbouncer are often not on the `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// Makes a folder for programs that do not run as root. Root's folder for temporary files
/// may be closed to them.
pub fn folder() -> TempDir {
    let is_open = |folder: &Path| fs::metadata(folder).unwrap().mode() & 0o001 != 0;
    let dir = match std::env::temp_dir().ancestors().all(is_open) || !is_root() {
        true => TempDir::new().unwrap(),
        false => TempDir::new_in("/tmp").unwrap(),
    };
    give_away(dir.path());
    dir
}

/// Writes a file that programs of other users may read, regardless of the umask.
pub fn write(path: impl AsRef<Path>, text: &str) {
    fs::write(&path, text).unwrap();
    give_away(path.as_ref());
}

fn give_away(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Lets `command` run as `nobody` if the tests run as root.
pub fn unprivileged(mut command: Command) -> Command {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A command for PostgreSQL's own `program`, of the newest installed version.
fn command(program: &str) -> Command {
    unprivileged(clean(programs().expect("asked for before").join(program)))
}

/// Returns the folder of PostgreSQL's programs.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    let on_path = find("initdb").and_then(|path| path.parent().map(Path::to_owned));
    folders.into_iter().rev().chain(on_path).find(|folder| folder.join("initdb").is_file())
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

pub fn signal(name: &str, id: u32) {
    let mut kill = Command::new("kill");
    let status = kill.arg(format!("-{name}")).arg(id.to_string()).stderr(Stdio::null()).status();
    assert!(status.is_ok());
}

/// Returns the line `name`, as `VmRSS` or `SigIgn`, of `/proc/<id>/status`.
pub fn status_line(id: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

/// Returns `true` in a process that runs the test `name` and nothing else. In every other process,
/// starts such a process, waits until the test has passed there, and returns `false`.
///
/// It is for measurements of the whole process, as its memory: the tests of one process run at the
/// same time, so a number of that process belongs to all of them.
pub fn is_alone(name: &str) -> bool {
    let arguments = ["--exact", name];
    if std::env::args().skip(1).eq(arguments) {
        return true;
    }
    let mut test = clean(std::env::current_exe().unwrap());
    test.args(arguments);
    let done = Running::output(test, "");
    let [said, warned] = [done.stdout, done.stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(done.status.success() && said.contains("1 passed"), "{said}{warned}");
    false
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        // "id (name) state parent …"
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        rest.split_whitespace().nth(1) == Some(&parent.to_string())
    })
    .collect()
}

/// Returns a free port for a server to start. It is outside the range of ports that the
/// system assigns by itself, because another test might get one of those in the meantime.
pub fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = 10_000 + (random % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
