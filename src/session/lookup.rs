//! Look-ups of sessions. Those that come together are one statement.
//!
//! Each statement costs a hand-over between threads on SQLite, and a round trip on PostgreSQL. So
//! while one is under way, the look-ups that come meanwhile wait, and then share the next one. A
//! look-up that is alone waits for nobody.
//!
//! ```text
//! the first look-up         one that comes meanwhile       the statement of many
//! -----------------         ------------------------       ---------------------
//! asks the database
//!                           joins the queue
//! has its answer --------------------------------------->  takes a reader, then the queue
//!                           (who comes now joins the next)
//!                                                          asks the database
//!                           has its answer <-------------  hands out the rows
//!                                                          goes on while somebody waits
//! ```
//!
//! A look-up joins only a statement that is sent later. So a request that began after a change was
//! acknowledged sees it. If the statement fails or takes long, each look-up asks alone, so that
//! nobody gets an error because of somebody else's row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::runtime::Handle;
use rocket::tokio::sync::oneshot;
use rocket::tokio::time::timeout;

use super::store::{self, Found};
use crate::background;
use crate::clock::Timestamp;
use crate::db::Pool;
use crate::error::Error;
use crate::token::TokenId;

/// The largest number of look-ups in a statement.
const MOST: usize = 64;

/// The longest time that a look-up waits for others. A statement takes a millisecond at most, unless
/// the database hangs.
const PATIENCE: Duration = Duration::from_millis(50);

/// The look-ups that wait for a statement.
#[derive(Debug)]
pub struct Lookups {
    queue: Mutex<Queue>,
    /// The largest number of statements at a time. The fewer there are, the more look-ups share
    /// one.
    most_at_a_time: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    under_way: usize,
}

#[derive(Debug)]
struct Waiting {
    id: TokenId,
    now: Timestamp,
    answer: oneshot::Sender<Option<Found>>,
}

/// A statement that is under way. When it is over, those who wait get theirs.
struct Turn {
    lookups: Arc<Lookups>,
    db: Pool,
}

impl Default for Lookups {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Lookups { queue: Mutex::default(), most_at_a_time: (processors / 2).clamp(1, 4) }
    }
}

impl Lookups {
    /// Returns the session `id` as [`store::find()`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails.
    pub async fn find(
        self: &Arc<Self>,
        db: &Pool,
        id: TokenId,
        now: Timestamp,
    ) -> Result<Option<Found>, Error> {
        let joined =
            self.join(id, now).ok_or_else(|| Turn { lookups: self.clone(), db: db.clone() });
        let _turn = match joined {
            Ok(answer) => match timeout(PATIENCE, answer).await {
                Ok(Ok(found)) => return Ok(found),
                _ => None,
            },
            Err(turn) => Some(turn),
        };
        store::find(&mut db.read().await?, id, now).await
    }

    /// Joins the queue. `None` means that the look-up may ask at once, as one that is under way.
    fn join(&self, id: TokenId, now: Timestamp) -> Option<oneshot::Receiver<Option<Found>>> {
        let mut queue = self.queue();
        if queue.under_way < self.most_at_a_time {
            queue.under_way += 1;
            return None;
        }
        let (answer, mine) = oneshot::channel();
        queue.waiting.push(Waiting { id, now, answer });
        Some(mine)
    }

    /// Takes those who wait and still want to know.
    fn take(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        let count = queue.waiting.len().min(MOST);
        queue.waiting.drain(..count).collect()
    }

    fn is_empty(&self) -> bool {
        self.queue().waiting.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Looks up those who wait, until nobody is left. Who gets no answer asks alone.
    async fn go_on(self) {
        let lookups = &self.lookups;
        while !lookups.is_empty() {
            let Ok(mut db) = self.db.read().await else { return drop(lookups.take()) };
            // Nobody may join a statement that was sent before they came.
            let waiting = lookups.take();
            let ids: Vec<_> = waiting.iter().map(|waiting| waiting.id).collect();
            let Some(now) = waiting.iter().map(|waiting| waiting.now).max() else { return };
            let Ok(found) = store::find_all(&mut db, &ids, now).await else { continue };
            drop(db);
            let found: HashMap<_, _> =
                found.into_iter().map(|found| (found.record.id, found)).collect();
            for Waiting { id, answer, .. } in waiting {
                let _ = answer.send(found.get(&id).cloned());
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.lookups.queue();
        queue.under_way -= 1;
        // At the shutdown there may be no runtime, and nobody who waits.
        let (false, Ok(runtime)) = (queue.waiting.is_empty(), Handle::try_current()) else {
            return;
        };
        queue.under_way += 1;
        drop(queue);
        let next = Turn { lookups: self.lookups.clone(), db: self.db.clone() };
        runtime.spawn(background::round("session look-up", next.go_on()));
    }
}
