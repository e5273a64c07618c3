//! The hashing service: a fixed number of threads, each with its own memory.
//!
//! Hashing is the only expensive work that a stranger can ask for. On Tokio's blocking threads,
//! even behind a semaphore, it took 1 GiB with eight clients, because every thread has its own
//! allocator arena. Here each thread reuses its memory, and a request that cannot be served soon is
//! refused at once.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rocket::tokio::sync::oneshot;
use rocket::tokio::time::timeout;

use super::argon2id::{self, Memory};
use super::hash::{Cost, pretend};
use super::queue::{Answer, Next, Queue};
use super::{Password, PasswordHash};
use crate::background;
use crate::config::PasswordConfig;
use crate::error::Error;

/// How long a job may wait for a worker.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The number of jobs that may wait for each worker: about as many as it hashes in that time.
const QUEUE_PER_WORKER: usize = 64;

/// How long a worker keeps its memory without a job. To fault it in again takes as long as a fifth of
/// a hash, so a worker that is busy keeps it; a site at rest has the memory for other things.
const IDLE: Duration = Duration::from_secs(20);

const SLOW: &str = "the fast Argon2id gives wrong hashes on this processor; the slower one is used, and a log-in takes \
    twice as long; please report the processor's name";

/// How far the workers step back for the pages. At this value they still get a tenth of the time if
/// the pages use all of it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The service that hashes and checks passwords. It is in managed state.
#[derive(Debug)]
pub struct Hasher {
    queue: Arc<Queue<Job>>,
    dummy: PasswordHash,
    done: Arc<Done>,
    /// The number of jobs that each client address has here now.
    shares: Shares,
    share: usize,
}

/// Counters of the work that was done.
#[derive(Debug, Default)]
struct Done {
    /// The number of passwords that were hashed.
    count: AtomicU64,
    /// The effort of these hashes, in the unit of `Params::effort()`.
    effort: AtomicU64,
    /// The effort of a refusal, which is that of the costliest hash that was checked. After a
    /// change of the parameters there are hashes with the old ones and with the new ones, and a
    /// refusal must not show the difference between them and unknown addresses.
    refusal: AtomicU64,
}

type Shares = Arc<Mutex<HashMap<String, usize>>>;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The password matches the hash.
    pub matches: bool,
    /// The hash was made with other parameters than those configured now.
    pub is_outdated: bool,
}

enum Task {
    Hash(oneshot::Sender<Option<PasswordHash>>),
    Verify(PasswordHash, oneshot::Sender<Verdict>),
}

struct Job {
    password: Password,
    task: Task,
    /// Set by the first of two: the worker that starts the job, or the caller that has waited long
    /// enough.
    is_taken: Arc<AtomicBool>,
}

impl Job {
    /// Claims the job for a worker. It returns `false` if the caller has given it up.
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
    /// Returns an error if a thread cannot be started, or if Argon2 refuses the parameters.
    pub fn start(config: &PasswordConfig) -> std::io::Result<Self> {
        if !argon2id::is_fast() {
            log::warn!("{SLOW}");
        }
        let refused = || std::io::Error::other("Argon2 refuses these parameters");
        let cost = Cost::of(config).ok_or_else(refused)?;
        let dummy = PasswordHash::dummy(&cost.params).ok_or_else(refused)?;

        let places = QUEUE_PER_WORKER * config.concurrent_hashes;
        let hasher = Hasher {
            queue: Arc::new(Queue::new(places)),
            dummy,
            done: Arc::new(Done { refusal: cost.params.effort().into(), ..Done::default() }),
            shares: Shares::default(),
            // One address may use half of the places, so that the rest is free for others.
            share: places / 2,
        };
        for number in 0..config.concurrent_hashes {
            let (queue, cost, done) = (hasher.queue.clone(), cost.clone(), hasher.done.clone());
            let memory = Memory::new(&cost.params).ok_or_else(refused)?;
            thread::Builder::new()
                .name(format!("hasher-{number}"))
                .spawn(move || work(&queue, &cost, &done, memory))?;
        }
        Ok(hasher)
    }

    /// Returns the number of passwords that were hashed since the start.
    pub fn count(&self) -> u64 {
        self.done.count.load(Ordering::Relaxed)
    }

    /// Returns the effort since the start: the memory that all hashes wrote in all passes, in KiB.
    pub fn effort(&self) -> u64 {
        self.done.effort.load(Ordering::Relaxed)
    }

    /// Returns the hash of an account without a password. No password matches it, and a check takes as
    /// long as that of another.
    pub(crate) fn unusable(&self) -> PasswordHash {
        self.dummy.clone()
    }

    /// Hashes a password, to store it.
    ///
    /// # Errors
    ///
    /// Returns an error (503) if no worker was free within two seconds.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        self.hash_for("", password).await
    }

    /// Hashes a password on behalf of the client address `network`, which may use half of the
    /// queue. If the address is not known, `network` is empty and there is no such bound.
    pub(crate) async fn hash_for(
        &self,
        network: &str,
        password: Password,
    ) -> Result<PasswordHash, Error> {
        let _place = self.place(network)?;
        let (reply, answer) = oneshot::channel();
        self.run(password, Task::Hash(reply), answer).await?.ok_or_else(Error::overloaded)
    }

    /// Checks a password against a stored hash. Without a hash it checks against a dummy, so that
    /// an unknown address takes the same work as a known one. Otherwise the time would reveal which
    /// addresses have an account (user enumeration).
    ///
    /// # Errors
    ///
    /// Returns an error (503) if no worker was free within two seconds.
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<&PasswordHash>,
    ) -> Result<Verdict, Error> {
        self.verify_for("", password, hash).await
    }

    /// Checks a password like [`verify()`](Self::verify()), on behalf of the client address
    /// `network`.
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

    /// Reserves a place in the queue, which is released when it is dropped.
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

    /// Queues the task and waits for its answer. It waits for a worker to start the task for at
    /// most [`LONGEST_WAIT`].
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

fn work(queue: &Queue<Job>, cost: &Cost, done: &Done, mut memory: Memory) {
    // If there are as many workers as cores, a page would have to wait for a hash to end: a page
    // takes microseconds, and a hash takes milliseconds. Linux has a niceness for each thread.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);

    loop {
        let job = match queue.pop(IDLE) {
            Next::Job(job) => job,
            Next::Idle => {
                memory.release();
                continue;
            }
            Next::Closed => return,
        };
        if !job.take() {
            continue;
        }
        if !memory.reserve() {
            // The caller gets 503, since the job is dropped without an answer.
            log::error!("no memory to hash a password in");
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

/// Checks a password. A refusal always takes the same work, whatever hash it was checked against. A
/// cheaper hash, from before a change of the parameters, would be refused sooner than an unknown
/// address, and a costlier one later (CVE-2016-2513). So a refusal adds the work that is missing
/// to the costliest hash seen so far.
fn verify(
    hash: &PasswordHash,
    password: &Password,
    cost: &Cost,
    done: &Done,
    memory: &mut Memory,
) -> Verdict {
    let (verdict, used) = match hash.check(password, cost, memory) {
        Some((matches, used)) => {
            let is_outdated = !used.is_same(&cost.params);
            (Verdict { matches, is_outdated }, used.effort())
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
