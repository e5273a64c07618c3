//! Our programs as real processes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rocket::tokio;
use tempfile::TempDir;

use super::{Running, clean};

/// Returns the path of `program`, which is `rocket-login` or an example: the one that cargo
/// has built for this test, or the one in the folder `PROGRAMS`, such as `target/release`.
pub fn built(program: &str) -> PathBuf {
    let folder = match std::env::var_os("PROGRAMS") {
        // Programs are started in other folders, so the path must be absolute.
        Some(folder) => std::path::absolute(folder).unwrap(),
        None => {
            let program = option_env!("CARGO_BIN_EXE_rocket-login");
            Path::new(program.expect("a test of this crate")).parent().unwrap().to_owned()
        }
    };
    match program {
        "rocket-login" => folder.join(program),
        example => folder.join("examples").join(example),
    }
}

/// A command for `program` in the folder `dir`, with nothing configured.
pub fn command(program: impl AsRef<Path>, dir: &TempDir) -> Command {
    let mut command = clean(program.as_ref());
    command.current_dir(dir.path()).env_clear().env("ROCKET_CLI_COLORS", "false");
    command
}

/// Copies the program `from` to `to`, where everybody may run it.
///
/// `cp` does it. If this process wrote the file, a program that another test starts at that moment
/// could inherit it open for writing, and starting the copy would fail with "Text file busy".
pub fn copy(from: impl AsRef<Path>, to: &Path) {
    let mut cp = Command::new("cp");
    assert!(cp.arg(from.as_ref()).arg(to).status().unwrap().success());
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A running program, which is killed when dropped.
pub struct Program {
    running: Running,
    port: u16,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Program {
    pub fn start(mut command: Command, variables: &[(&str, &str)]) -> Self {
        command.env("ROCKET_PORT", "0").envs(variables.iter().copied());
        command.stdout(Stdio::piped());
        let mut running = Running::spawn(command);

        // Rocket prints the port that it was given.
        let mut stdout = running.child.stdout.take().unwrap();
        let mut seen = Vec::new();
        let port = loop {
            let mut byte = [0];
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
            let text = String::from_utf8_lossy(&seen);
            let Some(line) = text.strip_suffix('\n') else { continue };
            // In release the last address is the one that it listens on, and in debug a name.
            let ports = ["http://127.0.0.1:", "http://localhost:"].into_iter();
            let ports = ports.filter_map(|start| line.rsplit_once(start));
            if let Some(port) = ports.filter_map(|(_, port)| port.trim().parse().ok()).next() {
                break port;
            }
        };
        let output = Arc::new(Mutex::new(seen));
        let log = output.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut chunk) {
                log.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        Program { running, port, output }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns everything that the program has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits until the program has printed `text`, in a test that is not asynchronous. Returns
    /// the output.
    pub fn wait_for(&self, text: &str) -> String {
        let start = Instant::now();
        while !self.output().contains(text) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = self.output();
        assert!(output.contains(text), "no {text:?} in\n{output}");
        output
    }

    /// Waits until the program has printed `text`.
    pub async fn until_output(&self, text: &str) {
        let waiting = async {
            while !self.output().contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "no {text:?} in\n{}", self.output());
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends one request on its own connection, and returns the whole response.
    pub fn request(&self, head: &str, cookie: Option<&str>, body: &str) -> String {
        let mut stream = self.connect();
        send(&mut stream, head, cookie, body);
        receive(&mut stream)
    }

    #[cfg(unix)]
    pub fn terminate(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let pid = self.running.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        (self.running.wait().code(), start.elapsed())
    }
}

pub fn send(stream: &mut TcpStream, head: &str, cookie: Option<&str>, body: &str) {
    try_send(stream, head, cookie, body).unwrap();
}

/// Sends a request. Unlike [`send`], it returns an error if the site is gone.
pub fn try_send(
    stream: &mut TcpStream,
    head: &str,
    cookie: Option<&str>,
    body: &str,
) -> std::io::Result<()> {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{cookie}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn receive(stream: &mut TcpStream) -> String {
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

pub fn session_cookie(response: &str) -> String {
    let line = response.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    line.split(';').next().unwrap().to_owned()
}
