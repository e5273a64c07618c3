//! Questions to the database that come together and are one statement.
//!
//! Each statement costs a hand-over between threads on SQLite, and a round trip on PostgreSQL. So
//! while one is under way, the questions of the same kind that come meanwhile wait, and then share
//! the next one. A question that is alone waits for nobody, and the same question of many is asked
//! once.
//!
//! ```text
//! the first question        one that comes meanwhile       the statement of many
//! ------------------        ------------------------       ---------------------
//! asks the database
//!                           joins the queue
//! has its answer --------------------------------------->  takes a reader, then the queue
//!                           (who comes now joins the next)
//!                                                          asks the database
//!                           has its answer <-------------  hands out the rows
//!                                                          goes on while somebody waits
//! ```
//!
//! A question joins only a statement that is sent later. So a request that began after a change was
//! acknowledged sees it. If the statement fails or takes long, each question is asked alone, so that
//! nobody gets an error because of somebody else's row.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::runtime::Handle;
use rocket::tokio::sync::oneshot;
use rocket::tokio::time::timeout;

use super::connection::Connection;
use super::pool::Pool;
use crate::background;
use crate::clock::Timestamp;
use crate::error::Error;

/// The largest number of keys in a statement.
const MOST: usize = 64;

/// The longest time that a question waits for others. A statement takes a millisecond at most, unless
/// the database hangs.
const PATIENCE: Duration = Duration::from_millis(50);

/// A kind of question: what is stored under a key.
pub trait Question: Sized + Send + Sync + 'static {
    type Key: Copy + Eq + Hash + Send + Sync + 'static;
    type Answer: Clone + Send + 'static;

    /// Returns what is stored under each of `keys` at `now`, in any order. A key under which there is
    /// nothing is left out.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, or if a row cannot be read.
    fn ask(
        db: &mut Connection,
        keys: &[Self::Key],
        now: Timestamp,
    ) -> impl Future<Output = Result<Answers<Self>, Error>> + Send;

    /// Returns what is stored under `key` at `now`. `None` means that there is nothing.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ask()`](Self::ask()).
    fn ask_one(
        db: &mut Connection,
        key: Self::Key,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Self::Answer>, Error>> + Send {
        async move {
            let found = Self::ask(db, &[key], now).await?;
            Ok(found.into_iter().next().map(|(_, answer)| answer))
        }
    }
}

/// What was found, each under its key.
pub type Answers<Q> = Vec<(<Q as Question>::Key, <Q as Question>::Answer)>;

/// The questions of one kind that wait for a statement.
pub struct Together<Q: Question> {
    queue: Mutex<Queue<Q>>,
    /// The largest number of statements at a time. The fewer there are, the more questions share
    /// one.
    most_at_a_time: usize,
}

struct Queue<Q: Question> {
    waiting: Vec<Waiting<Q>>,
    under_way: usize,
}

struct Waiting<Q: Question> {
    key: Q::Key,
    now: Timestamp,
    answer: oneshot::Sender<Option<Q::Answer>>,
}

/// A statement that is under way. When it is over, those who wait get theirs.
struct Turn<Q: Question> {
    together: Arc<Together<Q>>,
    db: Pool,
}

impl<Q: Question> Default for Together<Q> {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let queue = Mutex::new(Queue { waiting: Vec::new(), under_way: 0 });
        Together { queue, most_at_a_time: (processors / 2).clamp(1, 4) }
    }
}

impl<Q: Question> Together<Q> {
    /// Returns what is stored under `key`. `None` means that there is nothing.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Question::ask()`].
    pub async fn ask(
        self: &Arc<Self>,
        db: &Pool,
        key: Q::Key,
        now: Timestamp,
    ) -> Result<Option<Q::Answer>, Error> {
        let joined =
            self.join(key, now).ok_or_else(|| Turn { together: self.clone(), db: db.clone() });
        let _turn = match joined {
            Ok(answer) => match timeout(PATIENCE, answer).await {
                Ok(Ok(found)) => return Ok(found),
                _ => None,
            },
            Err(turn) => Some(turn),
        };
        Q::ask_one(&mut db.read().await?, key, now).await
    }

    /// Joins the queue. `None` means that the question may be asked at once, as one that is under way.
    fn join(&self, key: Q::Key, now: Timestamp) -> Option<oneshot::Receiver<Option<Q::Answer>>> {
        let mut queue = self.queue();
        if queue.under_way < self.most_at_a_time {
            queue.under_way += 1;
            return None;
        }
        let (answer, mine) = oneshot::channel();
        queue.waiting.push(Waiting { key, now, answer });
        Some(mine)
    }

    /// Takes those who wait and still want to know.
    fn take(&self) -> Vec<Waiting<Q>> {
        let mut queue = self.queue();
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        let count = queue.waiting.len().min(MOST);
        queue.waiting.drain(..count).collect()
    }

    fn is_empty(&self) -> bool {
        self.queue().waiting.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Q>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Question> Turn<Q> {
    /// Asks for those who wait, until nobody is left. Who gets no answer asks alone.
    async fn go_on(self) {
        let together = &self.together;
        while !together.is_empty() {
            let Ok(mut db) = self.db.read().await else { return drop(together.take()) };
            // Nobody may join a statement that was sent before they came.
            let waiting = together.take();
            let keys: HashSet<_> = waiting.iter().map(|waiting| waiting.key).collect();
            let keys: Vec<_> = keys.into_iter().collect();
            let Some(now) = waiting.iter().map(|waiting| waiting.now).max() else { return };
            let Ok(found) = Q::ask(&mut db, &keys, now).await else { continue };
            drop(db);
            let found: HashMap<_, _> = found.into_iter().collect();
            for Waiting { key, answer, .. } in waiting {
                let _ = answer.send(found.get(&key).cloned());
            }
        }
    }
}

impl<Q: Question> Drop for Turn<Q> {
    fn drop(&mut self) {
        let mut queue = self.together.queue();
        queue.under_way -= 1;
        // At the shutdown there may be no runtime, and nobody who waits.
        let (false, Ok(runtime)) = (queue.waiting.is_empty(), Handle::try_current()) else {
            return;
        };
        queue.under_way += 1;
        drop(queue);
        let next = Turn { together: self.together.clone(), db: self.db.clone() };
        runtime.spawn(background::round("shared question", next.go_on()));
    }
}

/// `Debug` prints no key, because it may be secret.
impl<Q: Question> fmt::Debug for Together<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("at_a_time", &self.most_at_a_time).finish_non_exhaustive()
    }
}
