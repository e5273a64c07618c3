//! Writes to sessions' state that come at the same time share a transaction, and with
//! it the wait for the disk.
//!
//! A write joins those that wait. One task leads: it takes them all, locks their rows,
//! lets each make its change on what the ones before have made, stores what has changed,
//! commits, and tells them. Meanwhile the next ones gather. Alone, a write waits for nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::{Notify, oneshot, watch};
use rocket::tokio::{self, time::timeout};

use super::cache::Cache;
use super::state::{self, State};
use super::{SessionId, store};
use crate::background;
use crate::clock::Clock;
use crate::db::Pools;
use crate::error::Error;

/// Most writes that share a transaction. It is what the longest of them waits for.
const MOST: usize = 64;

/// How long a round waits for those who have joined it. A change is made in
/// microseconds; whoever is not even asked meanwhile must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(1);

/// The writes that wait for the next round.
#[derive(Debug, Default)]
pub struct Group(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    is_led: bool,
}

#[derive(Debug)]
struct Waiting {
    id: SessionId,
    turn: oneshot::Sender<Result<Seat, Error>>,
}

/// What the leader works with.
#[derive(Clone)]
pub struct Means {
    pub db: Pools,
    pub clock: Clock,
    pub cache: Option<Arc<Cache>>,
}

/// Those who share a transaction.
#[derive(Debug)]
struct Round {
    /// The sessions that were found. `None`: it is too late.
    slots: Mutex<Option<HashMap<SessionId, Slot>>>,
    busy: AtomicUsize,
    none_busy: Notify,
    outcome: watch::Sender<Option<Result<(), Error>>>,
}

#[derive(Debug)]
pub struct Slot {
    pub state: Arc<State>,
    pub data: String,
    is_changed: bool,
}

/// A place in a round; the round goes on when all have been left.
#[derive(Debug)]
struct Seat(Arc<Round>);

impl Group {
    /// Lets `change` have the session `id` while nobody else does, and stores what it
    /// returns as the new state. It is stored for good when this returns.
    ///
    /// # Errors
    ///
    /// What `change` says; [`is_ended()`](Error::is_ended()) when there is no such session;
    /// otherwise when the database fails. Nothing is stored then.
    pub async fn write<R>(
        self: &Arc<Self>,
        means: &Means,
        id: SessionId,
        change: impl FnOnce(&Slot) -> Result<(R, Option<Slot>), Error>,
    ) -> Result<(R, Arc<State>), Error> {
        let (turn, my_turn) = oneshot::channel();
        if self.join(Waiting { id, turn }) {
            tokio::spawn(lead(self.clone(), means.clone()));
        }
        // Without an answer the leader has died; nothing was stored.
        let seat = my_turn.await.unwrap_or_else(|_| Err(given_up()))?;
        let mut outcome = seat.0.outcome.subscribe();
        let (result, state, is_changed) = seat.take(id, change)?;
        if is_changed {
            let told = outcome.wait_for(Option::is_some).await;
            told.map_err(|_| given_up())?.clone().unwrap_or_else(|| Err(given_up()))?;
        }
        Ok((result, state))
    }

    /// Says whether somebody has to lead.
    fn join(&self, waiting: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push(waiting);
        !std::mem::replace(&mut queue.is_led, true)
    }

    /// Those whose turn it is. None: the leader may go.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(MOST);
        queue.is_led = count > 0;
        queue.waiting.drain(..count).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub fn new(state: State, data: String) -> Self {
        Slot { state: Arc::new(state), data, is_changed: true }
    }
}

impl Seat {
    /// Makes the change, and leaves. `true`: what was seen is not stored yet.
    fn take<R>(
        self,
        id: SessionId,
        change: impl FnOnce(&Slot) -> Result<(R, Option<Slot>), Error>,
    ) -> Result<(R, Arc<State>, bool), Error> {
        let mut slots = self.0.slots();
        let slot = slots.as_mut().ok_or_else(given_up)?.get_mut(&id).ok_or_else(state::ended)?;
        let (result, changed) = change(slot)?;
        if let Some(changed) = changed {
            *slot = changed;
        }
        Ok((result, slot.state.clone(), slot.is_changed))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_busy.notify_one();
        }
    }
}

impl Round {
    fn slots(&self) -> MutexGuard<'_, Option<HashMap<SessionId, Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leads round after round, until nobody waits.
async fn lead(group: Arc<Group>, means: Means) {
    loop {
        let waiting = group.next();
        if waiting.is_empty() {
            break;
        }
        // Should it panic, those of this round get no answer, and give up.
        background::round("session writer", round(&means, waiting)).await;
    }
}

async fn round(means: &Means, waiting: Vec<Waiting>) {
    let mut ids: Vec<SessionId> = Vec::new();
    for waiting in &waiting {
        if !ids.contains(&waiting.id) {
            ids.push(waiting.id);
        }
    }

    if let Err((error, waiting)) = try_round(means, &ids, waiting).await {
        for waiting in waiting {
            let _ = waiting.turn.send(Err(error.clone()));
        }
    }
}

/// Fails while nobody has had his turn.
async fn try_round(
    means: &Means,
    ids: &[SessionId],
    waiting: Vec<Waiting>,
) -> Result<(), (Error, Vec<Waiting>)> {
    let begun = async {
        let mut tx = means.db.write().await?;
        let found = store::find_states(&mut tx, ids, means.clock.now()).await?;
        Ok((tx, found))
    };
    let (mut tx, found) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return Err((error, waiting)),
    };
    // Nobody else changes these before the commit.
    let versions: HashMap<_, _> = ids.iter().map(|id| (*id, means.db.version_of(*id))).collect();
    let slots: HashMap<_, _> = found
        .into_iter()
        .filter_map(|(id, data)| {
            let state = Arc::new(state::parse(&data)?);
            Some((id, Slot { state, data, is_changed: false }))
        })
        .collect();

    // In a round of several, a row that another instance holds is passed over. Whether
    // it is that or the session has ended, a round of its own finds out.
    let is_alone = ids.len() == 1;
    let (seated, apart): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|waiting| is_alone || slots.contains_key(&waiting.id));
    rounds_apart(means, apart);

    let round = Arc::new(Round {
        slots: Mutex::new(Some(slots)),
        busy: AtomicUsize::new(seated.len()),
        none_busy: Notify::new(),
        outcome: watch::Sender::new(None),
    });
    for waiting in seated {
        let _ = waiting.turn.send(Ok(Seat(round.clone())));
    }
    let _ = timeout(PATIENCE, round.none_busy.notified()).await;

    let slots = round.slots().take().unwrap_or_default();
    let changed: Vec<(SessionId, Slot)> =
        slots.into_iter().filter(|(_, slot)| slot.is_changed).collect();
    let stored = async {
        if !changed.is_empty() {
            let data: Vec<_> = changed.iter().map(|(id, slot)| (*id, &*slot.data)).collect();
            store::update_states(&mut tx, &data).await?;
            tx.commit().await?;
        }
        Ok(())
    };
    let outcome: Result<(), Error> = stored.await;
    if let (Ok(()), Some(cache)) = (&outcome, &means.cache) {
        for (id, slot) in changed {
            cache.update(id, versions[&id], slot.state, slot.data.len());
        }
    }
    round.outcome.send_replace(Some(outcome));
    Ok(())
}

fn rounds_apart(means: &Means, waiting: Vec<Waiting>) {
    let mut by_session: HashMap<SessionId, Vec<Waiting>> = HashMap::new();
    for waiting in waiting {
        by_session.entry(waiting.id).or_default().push(waiting);
    }
    for (_, waiting) in by_session {
        let means = means.clone();
        tokio::spawn(async move { round(&means, waiting).await });
    }
}

fn given_up() -> Error {
    Error::from(sqlx::Error::PoolTimedOut)
}
