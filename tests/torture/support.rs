//! What the other files share.

use std::fs::OpenOptions;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::servers::client::{ask, status};
use crate::servers::program::{built, command};
use crate::servers::{Running, free_port, signal};

/// What is posted to sign up and to log in.
pub fn form(email: &str) -> String {
    format!("email={}&password=correct+horse+battery", email.replace('@', "%40"))
}

/// Whether it is to go on for long.
pub fn is_long() -> bool {
    std::env::var("TORTURE").is_ok_and(|length| length == "long")
}

/// Programs of ours on one database and with one key: the site, and `views`,
/// which counts in the same sessions.
pub struct Programs {
    pub dir: TempDir,
    /// `None`: SQLite, in the folder.
    url: Option<String>,
    /// What each program is started by, with its arguments.
    tracer: Vec<String>,
    pub all: Vec<Slot>,
}

/// A program at its port, whichever process it is at the moment.
pub struct Slot {
    pub name: &'static str,
    pub port: u16,
    process: AtomicUsize,
    running: Mutex<Option<Running>>,
}

impl Programs {
    pub fn start(url: Option<String>, names: &[&'static str]) -> Self {
        Self::traced(TempDir::new().unwrap(), url, names, &[])
    }

    /// The same, in `dir`, each program started by `tracer`.
    pub fn traced(
        dir: TempDir,
        url: Option<String>,
        names: &[&'static str],
        tracer: &[&str],
    ) -> Self {
        let slots = names.iter().map(|name| Slot {
            name,
            port: free_port(),
            process: AtomicUsize::new(0),
            running: Mutex::new(None),
        });
        let tracer = tracer.iter().map(|word| (*word).to_owned()).collect();
        let programs = Programs { dir, url, tracer, all: slots.collect() };
        for number in 0..names.len() {
            programs.resume(number);
        }
        programs
    }

    /// Those that are `name`.
    pub fn of(&self, name: &str) -> Vec<usize> {
        (0..self.all.len()).filter(|number| self.all[*number].name == name).collect()
    }

    /// Starts one; how long it took until it served.
    pub fn resume(&self, number: usize) -> Duration {
        static PROCESSES: AtomicUsize = AtomicUsize::new(1);

        let slot = &self.all[number];
        let program = built(slot.name);
        let mut command = match self.tracer.split_first() {
            Some((tracer, words)) => {
                let mut command = command(tracer, &self.dir);
                command.args(words).arg(program);
                command
            }
            None => command(program, &self.dir),
        };
        command.envs([
            ("ROCKET_PROFILE", "release"),
            ("ROCKET_PORT", slot.port.to_string().as_str()),
            // A connection is lost when its server is, and not before.
            ("ROCKET_KEEP_ALIVE", "3600"),
            ("ROCKET_SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}"),
            ("ROCKET_THROTTLE", "{enabled=false}"),
            (
                "ROCKET_SESSION",
                "{secure=false,visitor_limit=1000000000,account_limit=10000,\
                 reauthenticate_after=\"24h\"}",
            ),
        ]);
        if let Some(url) = &self.url {
            command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}"));
        }
        let path = self.dir.path().join(format!("{number}.log"));
        let log = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);

        let (start, mut running) = (Instant::now(), Running::spawn(command));
        // `views` alone has no such page; any answer says as much.
        let expected = if slot.name == "rocket-login" { 200 } else { 404 };
        while ask(slot.port, "GET /readyz", None, "").is_none_or(|a| status(&a) != expected) {
            let is_over = running.has_ended();
            let log = || std::fs::read_to_string(&path).unwrap();
            assert!(!is_over && start.elapsed() < Duration::from_secs(20), "{}", log());
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = start.elapsed();
        *slot.running.lock().unwrap() = Some(running);
        slot.process.store(PROCESSES.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        took
    }

    /// `SIGKILL`: nothing is finished, nothing is said.
    pub fn kill(&self, number: usize) {
        self.all[number].process.store(0, Ordering::SeqCst);
        self.all[number].running.lock().unwrap().take();
    }

    /// `SIGKILL` for the program alone: whatever traces it sees that, and goes on.
    pub fn kill_alone(&self, number: usize) {
        if let Some(running) = &*self.all[number].running.lock().unwrap() {
            signal("KILL", running.id());
        }
    }

    /// Stops it where it is, or lets it go on.
    pub fn freeze(&self, number: usize, is_frozen: bool) {
        if let Some(running) = &*self.all[number].running.lock().unwrap() {
            signal(if is_frozen { "STOP" } else { "CONT" }, running.id());
        }
    }
}

impl Slot {
    /// Which process it is: no other has the number. 0: none, or not yet.
    pub fn process(&self) -> usize {
        self.process.load(Ordering::SeqCst)
    }
}
