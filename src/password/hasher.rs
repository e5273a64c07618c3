//! The hashing service: a fixed number of threads, each with its own memory.
//!
//! Hashing is the one expensive thing a stranger can ask for. On Tokio's
//! blocking threads, even behind a semaphore, it was seen to take 1 GiB with
//! eight clients, since every thread has an allocator arena of its own. Here
//! the memory is taken once, and who cannot be served soon is told so.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argon2::Params;
use rocket::tokio::sync::oneshot;
use rocket::tokio::time::timeout;

use super::hash::{Cost, Memory, effort, pretend};
use super::queue::{Answer, Queue};
use super::{Password, PasswordHash};
use crate::background;
use crate::config::PasswordConfig;
use crate::error::Error;

/// How long a job may wait for a worker.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Jobs that may wait, per worker: about as many as one hashes in that time.
const QUEUE_PER_WORKER: usize = 64;

/// How far the workers stand back for the pages: a tenth of the time is still theirs
/// when pages take all they can get.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Hashes and verifies passwords, in managed state.
#[derive(Debug)]
pub struct Hasher {
    queue: Arc<Queue<Job>>,
    dummy: PasswordHash,
    done: Arc<Done>,
    /// How many jobs each client address has here at the moment.
    shares: Shares,
    share: usize,
}

/// What the workers have done.
#[derive(Debug, Default)]
struct Done {
    /// How many passwords were hashed.
    count: AtomicU64,
    /// How much memory they went through for that.
    effort: AtomicU64,
    /// What a refusal takes: as much as the costliest hash that was checked. Hashes
    /// from before a change of the parameters are among those of now, and a refusal
    /// must not tell them from unknown addresses.
    refusal: AtomicU64,
}

type Shares = Arc<Mutex<HashMap<String, usize>>>;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The password is the one.
    pub matches: bool,
    /// The hash was made with other parameters than are configured now.
    pub is_outdated: bool,
}

enum Task {
    Hash(oneshot::Sender<Option<PasswordHash>>),
    Verify(PasswordHash, oneshot::Sender<Verdict>),
}

struct Job {
    password: Password,
    task: Task,
    /// Set by whoever comes first: the worker that starts it, or the caller
    /// who has waited long enough.
    is_taken: Arc<AtomicBool>,
}

impl Job {
    /// Whether to work on it: nobody has given it up.
    fn take(&self) -> bool {
        let is_given_up = match &self.task {
            Task::Hash(reply) => reply.is_closed(),
            Task::Verify(_, reply) => reply.is_closed(),
        };
        !is_given_up && !self.is_taken.swap(true, Ordering::SeqCst)
    }
}

impl Hasher {
    /// Starts the workers. They end when the hasher is dropped.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started, or the parameters are not Argon2's.
    pub fn start(config: &PasswordConfig) -> std::io::Result<Self> {
        let cost = Cost::of(config).map_err(|error| std::io::Error::other(error.to_string()))?;
        let dummy = PasswordHash::dummy(&cost.params)
            .ok_or_else(|| std::io::Error::other("no dummy hash with these parameters"))?;

        let places = QUEUE_PER_WORKER * config.concurrent_hashes;
        let hasher = Hasher {
            queue: Arc::new(Queue::new(places)),
            dummy,
            done: Arc::new(Done { refusal: effort(&cost.params).into(), ..Done::default() }),
            shares: Shares::default(),
            // One address may hold half of the places: the others are for the others.
            share: places / 2,
        };
        for number in 0..config.concurrent_hashes {
            let (queue, cost, done) = (hasher.queue.clone(), cost.clone(), hasher.done.clone());
            thread::Builder::new()
                .name(format!("hasher-{number}"))
                .spawn(move || work(&queue, &cost, &done))?;
        }
        Ok(hasher)
    }

    /// How many passwords have been hashed since the start.
    pub fn count(&self) -> u64 {
        self.done.count.load(Ordering::Relaxed)
    }

    /// How much work that was since the start: the memory that hashing went
    /// through, in KiB, once for each pass.
    pub fn effort(&self) -> u64 {
        self.done.effort.load(Ordering::Relaxed)
    }

    /// The hash of no password: who has it logs in only after a reset.
    pub(crate) fn unusable(&self) -> PasswordHash {
        self.dummy.clone()
    }

    /// Hashes a password that is to be stored.
    ///
    /// # Errors
    ///
    /// When no worker was free within two seconds.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        self.hash_for("", password).await
    }

    /// The same on behalf of the client address `network`, which may have half
    /// of the queue. Empty when unknown: then there is no such bound.
    pub(crate) async fn hash_for(
        &self,
        network: &str,
        password: Password,
    ) -> Result<PasswordHash, Error> {
        let _place = self.place(network)?;
        let (reply, answer) = oneshot::channel();
        self.run(password, Task::Hash(reply), answer).await?.ok_or_else(Error::overloaded)
    }

    /// Checks a password against a stored hash; without one, against a dummy:
    /// the work for an unknown address is the work for a known one, or the
    /// time would tell who has an account.
    ///
    /// # Errors
    ///
    /// When no worker was free within two seconds.
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<&PasswordHash>,
    ) -> Result<Verdict, Error> {
        self.verify_for("", password, hash).await
    }

    /// The same on behalf of the client address `network`.
    pub(crate) async fn verify_for(
        &self,
        network: &str,
        password: Password,
        hash: Option<&PasswordHash>,
    ) -> Result<Verdict, Error> {
        let _place = self.place(network)?;
        let (reply, answer) = oneshot::channel();
        let hash = hash.unwrap_or(&self.dummy).clone();
        self.run(password, Task::Verify(hash, reply), answer).await
    }

    /// A place in the queue, given back when it is dropped.
    fn place(&self, network: &str) -> Result<Option<Place>, Error> {
        if network.is_empty() {
            return Ok(None);
        }

        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shares.entry(network.to_owned()).or_default();
        if *held >= self.share {
            return Err(Error::overloaded());
        }
        *held += 1;
        Ok(Some(Place { shares: self.shares.clone(), network: network.to_owned() }))
    }

    /// Queues the task and waits for its answer; for a worker to start on it,
    /// no longer than [`LONGEST_WAIT`].
    async fn run<T>(
        &self,
        password: Password,
        task: Task,
        mut answer: oneshot::Receiver<T>,
    ) -> Result<T, Error> {
        let is_taken = Arc::new(AtomicBool::new(false));
        let job = Job { password, task, is_taken: is_taken.clone() };
        if !self.queue.push(job) {
            return Err(Error::overloaded());
        }

        let answered = match timeout(LONGEST_WAIT, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if !is_taken.swap(true, Ordering::SeqCst) => return Err(Error::overloaded()),
            Err(_) => answer.await,
        };
        answered.map_err(|_| Error::overloaded())
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct Place {
    shares: Shares,
    network: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = shares.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                shares.remove(&self.network);
            }
        }
    }
}

fn work(queue: &Queue<Job>, cost: &Cost, done: &Done) {
    // On as many threads as there are cores, hashing would keep a page waiting for its
    // turn: a page takes microseconds, a hash what it takes. Linux has it by thread.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);

    let mut memory = Memory::new(&cost.params);
    while let Some(job) = queue.pop() {
        if !job.take() {
            continue;
        }

        done.count.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let ran = panic::catch_unwind(AssertUnwindSafe(|| run(job, cost, done, &mut memory)));
        done.effort.fetch_add(memory.take_passed(), Ordering::Relaxed);
        match ran {
            Ok(answer) => queue.answer(answer, start.elapsed()),
            Err(_) => background::panicked("hashing worker"),
        }
    }
}

fn run(job: Job, cost: &Cost, done: &Done, memory: &mut Memory) -> Answer {
    match job.task {
        Task::Hash(reply) => {
            let hash = PasswordHash::compute(&job.password, cost, memory);
            Box::new(move || {
                let _ = reply.send(hash);
            })
        }
        Task::Verify(hash, reply) => {
            let verdict = verify(&hash, &job.password, cost, done, memory);
            Box::new(move || {
                let _ = reply.send(verdict);
            })
        }
    }
}

/// A refusal takes the same work whatever it was checked against: a cheaper hash,
/// from before a change of the parameters, would refuse sooner than an unknown
/// address is refused, and a costlier one later (CVE-2016-2513). So what is missing
/// to the costliest one that has been seen is done for nothing.
fn verify(
    hash: &PasswordHash,
    password: &Password,
    cost: &Cost,
    done: &Done,
    memory: &mut Memory,
) -> Verdict {
    let (verdict, used) = match hash.check(password, cost, memory) {
        Some((matches, used)) => {
            let is_outdated = !is_same(&used, &cost.params);
            (Verdict { matches, is_outdated }, effort(&used))
        }
        None => {
            log::error!("a stored password hash cannot be read; its account cannot log in");
            (Verdict { matches: false, is_outdated: false }, 0)
        }
    };
    let refusal = done.refusal.fetch_max(used, Ordering::Relaxed).max(used);
    if !verdict.matches {
        pretend(password, refusal - used, cost, memory);
    }
    verdict
}

fn is_same(a: &Params, b: &Params) -> bool {
    (a.m_cost(), a.t_cost(), a.p_cost(), a.keyid())
        == (b.m_cost(), b.t_cost(), b.p_cost(), b.keyid())
}
