//! Last-seen times. No page waits until the one that it moves is written.
//!
//! They are gathered for a moment, and many are written in one transaction. A crash may lose those
//! that wait: the idle clocks of these sessions then stand a moment earlier. That ends none of them
//! too late, and the next page moves the clock again. The shutdown waits until all are written.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::{Notify, watch};
use rocket::tokio::{self, time::timeout};

use super::cache::Cache;
use super::group::Means;
use super::store::{self, Touch};
use crate::background;
use crate::error::Error;
use crate::token::TokenId;

/// The time for which last-seen times are gathered. A crash may lose as much, and the transaction
/// in which they are being written.
const GATHERING: Duration = Duration::from_millis(100);

/// The largest number of last-seen times in a transaction. They are written at once when there are
/// so many. Other writers of SQLite wait for it meanwhile.
const MOST: usize = 1024;

/// The largest number that waits. One that finds no room is written with a later page.
const MOST_WAITING: usize = 8192;

/// The last-seen times that wait to be written.
#[derive(Debug, Default)]
pub struct Seen {
    queue: Mutex<Queue>,
    /// Ends the gathering.
    enough: Notify,
    /// Changes when some have been written.
    written: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Touch>,
    /// The sessions that wait or are being written.
    ids: HashSet<TokenId>,
    is_led: bool,
}

impl Seen {
    /// Takes a last-seen time to be written soon. `false` means that there is no room, or that a
    /// time of this session is already here.
    pub fn note(self: &Arc<Self>, means: &Means, touch: Touch) -> bool {
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST_WAITING || !queue.ids.insert(touch.read.id) {
            return false;
        }
        queue.waiting.push(touch);
        if queue.waiting.len() == MOST {
            self.enough.notify_one();
        }
        if !std::mem::replace(&mut queue.is_led, true) {
            let (seen, means, open) = (self.clone(), means.clone(), means.db.keep_open());
            tokio::spawn(async move {
                seen.write_all(&means).await;
                drop(open);
            });
        }
        true
    }

    /// Waits until everything that is here is written or has failed. Nothing is gathered
    /// meanwhile.
    #[cfg(feature = "testing")]
    pub async fn settle(&self) {
        let mut written = self.written.subscribe();
        while !self.queue().ids.is_empty() {
            self.enough.notify_one();
            let _ = written.changed().await;
        }
    }

    /// Writes until nothing is left.
    async fn write_all(&self, means: &Means) {
        loop {
            if self.queue().waiting.len() < MOST {
                let _ = timeout(GATHERING, self.enough.notified()).await;
            }
            let touches = self.next();
            if touches.is_empty() {
                return;
            }
            background::round("writer of last-seen times", write(means, &touches)).await;
            let mut queue = self.queue();
            for touch in &touches {
                queue.ids.remove(&touch.read.id);
            }
            drop(queue);
            self.written.send_replace(());
        }
    }

    /// Takes those of the next transaction. If there are none, the task that leads ends.
    fn next(&self) -> Vec<Touch> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(MOST);
        queue.is_led = count > 0;
        queue.waiting.drain(..count).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes `touches` in one transaction. If it fails, the next pages try again.
async fn write(means: &Means, touches: &[Touch]) {
    match store(means, touches).await {
        Ok(moved) => {
            if let Some(cache) = &means.cache {
                keep(cache, touches, &moved.into_iter().collect());
            }
        }
        Err(error) => {
            log::warn!("last-seen times of {} sessions were not written: {error}", touches.len());
        }
    }
}

async fn store(means: &Means, touches: &[Touch]) -> Result<Vec<TokenId>, Error> {
    let mut tx = means.db.write().await?;
    let moved = store::touch(&mut tx, touches).await?;
    if !moved.is_empty() {
        tx.commit().await?;
    }
    Ok(moved)
}

/// Updates the cache.
fn keep(cache: &Cache, touches: &[Touch], moved: &HashSet<TokenId>) {
    for touch in touches {
        match moved.contains(&touch.read.id) {
            true => cache.touch(touch.read.id, touch.now, touch.expires_at),
            // Another instance has moved this clock and may not have reported it, so the session
            // is read again.
            false => cache.forget(touch.read.id),
        }
    }
}
