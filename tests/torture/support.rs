//! Helpers that the other files share.

use std::fs::OpenOptions;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::servers::client::{ask, status};
use crate::servers::program::{built, command};
use crate::servers::{Running, free_port, signal};

/// Returns the body of a sign-up or log-in form.
pub fn form(email: &str) -> String {
    format!("email={}&password=correct+horse+battery", email.replace('@', "%40"))
}

/// Returns true if the long form of the tests is requested.
pub fn is_long() -> bool {
    std::env::var("TORTURE").is_ok_and(|length| length == "long")
}

/// Our programs on one database and with one key: the site, and `views`, which counts
/// in the same sessions.
pub struct Programs {
    pub dir: TempDir,
    /// The addresses of the database, which the programs use in turn. None means SQLite in the
    /// folder.
    urls: Vec<String>,
    /// The program that starts each program, with its arguments.
    tracer: Vec<String>,
    pub all: Vec<Slot>,
}

/// A program at its port, which different processes run one after the other.
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

    /// Starts the programs on one database with several addresses, which they use in turn.
    pub fn on(urls: Vec<String>, names: &[&'static str]) -> Self {
        Self::all(TempDir::new().unwrap(), urls, names, &[])
    }

    /// Starts the programs in `dir`, each by `tracer`.
    pub fn traced(
        dir: TempDir,
        url: Option<String>,
        names: &[&'static str],
        tracer: &[&str],
    ) -> Self {
        Self::all(dir, url.into_iter().collect(), names, tracer)
    }

    fn all(dir: TempDir, urls: Vec<String>, names: &[&'static str], tracer: &[&str]) -> Self {
        let slots = names.iter().map(|name| Slot {
            name,
            port: free_port(),
            process: AtomicUsize::new(0),
            running: Mutex::new(None),
        });
        let tracer = tracer.iter().map(|word| (*word).to_owned()).collect();
        let programs = Programs { dir, urls, tracer, all: slots.collect() };
        for number in 0..names.len() {
            programs.resume(number);
        }
        programs
    }

    /// The numbers of the programs called `name`.
    pub fn of(&self, name: &str) -> Vec<usize> {
        (0..self.all.len()).filter(|number| self.all[*number].name == name).collect()
    }

    /// Starts a program, and returns the time until it served.
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
            // A connection must be lost only with its server.
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
        if let Some(url) = self.urls.get(number % self.urls.len().max(1)) {
            command.env("ROCKET_DATABASES", format!("{{login={{url=\"{url}\"}}}}"));
        }
        let path = self.dir.path().join(format!("{number}.log"));
        let log = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);

        let (start, mut running) = (Instant::now(), Running::spawn(command));
        // `views` has no such page, but any answer shows that it serves.
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

    /// Kills a program with `SIGKILL`, so it finishes nothing.
    pub fn kill(&self, number: usize) {
        self.all[number].process.store(0, Ordering::SeqCst);
        self.all[number].running.lock().unwrap().take();
    }

    /// Kills only the program with `SIGKILL`, so its tracer sees that.
    pub fn kill_alone(&self, number: usize) {
        if let Some(running) = &*self.all[number].running.lock().unwrap() {
            signal("KILL", running.id());
        }
    }

    /// Suspends a program, or resumes it.
    pub fn freeze(&self, number: usize, is_frozen: bool) {
        if let Some(running) = &*self.all[number].running.lock().unwrap() {
            signal(if is_frozen { "STOP" } else { "CONT" }, running.id());
        }
    }
}

impl Slot {
    /// The unique number of the present process, or 0 if there is none that serves.
    pub fn process(&self) -> usize {
        self.process.load(Ordering::SeqCst)
    }
}
