//! Writes to sessions that come at the same time share a transaction, and with it the
//! wait for the disk: changes of the state, and last-seen times.
//!
//! A write joins those that wait. One task leads: it takes them all, locks their rows,
//! lets each make its change on what the ones before have made, stores what has changed,
//! commits, and tells them. Meanwhile the next ones gather. Alone, a write waits for nobody.
//!
//! On PostgreSQL, where a round is mostly waiting for the server, those who wait by the time
//! it has made its changes, and whose sessions are not in it, begin the next one at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::{Notify, oneshot, watch};
use rocket::tokio::task::JoinHandle;
use rocket::tokio::{self, time::timeout};

use super::SessionId;
use super::cache::{Cache, Loaded};
use super::state::{self, State};
use super::store::{self, Record};
use crate::background;
use crate::clock::{Clock, Timestamp};
use crate::db::Pools;
use crate::error::Error;

/// Most writes that share a transaction.
const MOST: usize = 64;

/// Most last-seen times that wait: they can also be written with the next page.
const MOST_TOUCHES: usize = 1024;

/// How long a round waits for those who have joined it. A change is made in
/// microseconds; whoever is not even asked meanwhile must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest wait for a round: a locked file, or a server that hangs, fails one after the
/// other.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The writes that wait for the next round.
#[derive(Debug, Default)]
pub struct Group(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    touches: Vec<Touching>,
    is_led: bool,
    /// Whose rows the rounds under way have.
    held: HashSet<SessionId>,
}

/// What shares a round.
struct Batch {
    waiting: Vec<Waiting>,
    touches: Vec<Touching>,
    hold: Option<Hold>,
}

#[derive(Debug)]
struct Touching {
    touch: Touch,
    done: oneshot::Sender<Result<bool, Error>>,
}

/// A session that is used: as it was read, and its new times.
#[derive(Debug, Clone)]
pub struct Touch {
    pub read: Record,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug)]
struct Waiting {
    id: SessionId,
    turn: oneshot::Sender<Result<Seat, Error>>,
}

/// The sessions of a round, which no other that is shared takes until it is over.
struct Hold {
    group: Arc<Group>,
    ids: Vec<SessionId>,
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
    slots: tokio::sync::Mutex<Option<HashMap<SessionId, Slot>>>,
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
        self.join(means, |queue| queue.waiting.push(Waiting { id, turn }));
        let seat = timeout(LONGEST_WAIT, my_turn).await.map_err(|_| given_up())?;
        // Without an answer the leader has died; nothing was stored.
        let seat = seat.unwrap_or_else(|_| Err(given_up()))?;
        let mut outcome = seat.0.outcome.subscribe();
        let (result, is_changed) = seat.take(id, change).await;
        // What was seen, be it wrong, may be what another one is about to store.
        if is_changed {
            let told = outcome.wait_for(Option::is_some).await;
            told.map_err(|_| given_up())?.clone().unwrap_or_else(|| Err(given_up()))?;
        }
        result
    }

    /// Moves the idle clock of a session. `false`: a request at the same time has
    /// moved it already, somebody else is just changing it, or it has ended.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn touch(self: &Arc<Self>, means: &Means, touch: Touch) -> Result<bool, Error> {
        let (done, answer) = oneshot::channel();
        self.join(means, |queue| match queue.touches.len() < MOST_TOUCHES {
            true => queue.touches.push(Touching { touch, done }),
            false => drop(done.send(Ok(false))),
        });
        answer.await.unwrap_or_else(|_| Err(given_up()))
    }

    fn join(self: &Arc<Self>, means: &Means, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        add(&mut queue);
        if !std::mem::replace(&mut queue.is_led, true) {
            tokio::spawn(lead(self.clone(), means.clone()));
        }
    }

    /// Those whose turn it is. `None`: it is nobody's, and unless a round `is_under_way`
    /// nobody waits any longer, and the leader may go.
    fn next(self: &Arc<Self>, is_under_way: bool) -> Option<Batch> {
        let mut queue = self.queue();
        let Queue { waiting, touches, is_led, held } = &mut *queue;
        waiting.retain(|waiting| !waiting.turn.is_closed());
        let waiting = take(waiting, |waiting| !held.contains(&waiting.id));
        let touches = take(touches, |touching| !held.contains(&touching.touch.read.id));
        let touched = touches.iter().map(|touching| touching.touch.read.id);
        let ids: Vec<_> = waiting.iter().map(|waiting| waiting.id).chain(touched).collect();
        *is_led = is_under_way || !ids.is_empty();
        held.extend(&ids);
        (!ids.is_empty()).then(|| {
            let hold = Some(Hold { group: self.clone(), ids });
            Batch { waiting, touches, hold }
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        for id in &self.ids {
            queue.held.remove(id);
        }
    }
}

impl Slot {
    pub fn new(state: State, data: String) -> Self {
        Slot { state: Arc::new(state), data, is_changed: true }
    }
}

impl Seat {
    /// Makes the change, and leaves. `true`: what was seen is not stored yet.
    async fn take<R>(
        self,
        id: SessionId,
        change: impl FnOnce(&Slot) -> Result<(R, Option<Slot>), Error>,
    ) -> (Result<(R, Arc<State>), Error>, bool) {
        let mut slots = self.0.slots.lock().await;
        let Some(slots) = slots.as_mut() else { return (Err(given_up()), false) };
        let Some(slot) = slots.get_mut(&id) else { return (Err(state::ended()), false) };
        let result = change(slot).map(|(result, changed)| {
            if let Some(changed) = changed {
                *slot = changed;
            }
            (result, slot.state.clone())
        });
        (result, slot.is_changed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_busy.notify_one();
        }
    }
}

/// The first of them that are free, as many as share a round.
fn take<T>(all: &mut Vec<T>, is_free: impl Fn(&T) -> bool) -> Vec<T> {
    all.extract_if(.., |one| is_free(one)).take(MOST).collect()
}

/// Leads round after round, until nobody waits.
async fn lead(group: Arc<Group>, means: Means) {
    let mut before: Option<JoinHandle<Option<()>>> = None;
    loop {
        let Some(batch) = group.next(before.is_some()) else {
            let Some(before) = before.take() else { return };
            let _ = before.await;
            continue;
        };
        let (next, may_begin) = oneshot::channel();
        let means = means.clone();
        let round = async move { round(&means, batch, Some(next)).await };
        // Should it panic, those of this round get no answer, and give up.
        let round = tokio::spawn(background::round("session writer", round));
        let _ = may_begin.await;
        if let Some(before) = before.replace(round) {
            let _ = before.await;
        }
    }
}

/// The next one may begin when `next` is dropped. Without it, this is for one session
/// alone, and waits for its row.
async fn round(means: &Means, batch: Batch, next: Option<oneshot::Sender<()>>) {
    let mut ids: Vec<SessionId> = Vec::new();
    for waiting in &batch.waiting {
        if !ids.contains(&waiting.id) {
            ids.push(waiting.id);
        }
    }

    if let Err((error, batch)) = try_round(means, &ids, batch, next).await {
        for waiting in batch.waiting {
            let _ = waiting.turn.send(Err(error.clone()));
        }
        for touching in batch.touches {
            let _ = touching.done.send(Err(error.clone()));
        }
    }
}

/// Fails while nobody has had his turn.
async fn try_round(
    means: &Means,
    ids: &[SessionId],
    batch: Batch,
    next: Option<oneshot::Sender<()>>,
) -> Result<(), (Error, Batch)> {
    let is_apart = next.is_none();
    let begun = async {
        let mut tx = means.db.write_soon().await?;
        let found = match ids {
            [] => Vec::new(),
            _ => store::find_states(&mut tx, ids, means.clock.now(), is_apart).await?,
        };
        Ok((tx, found))
    };
    let (mut tx, found) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return Err((error, batch)),
    };
    let Batch { waiting, touches, hold: _held } = batch;
    // Whoever else changes one of these from now on makes another version of it.
    let touched = touches.iter().map(|touching| &touching.touch.read.id);
    let versions: HashMap<_, _> =
        ids.iter().chain(touched).map(|id| (*id, means.db.version_of(*id))).collect();
    let slots: HashMap<_, _> = found
        .into_iter()
        .filter_map(|(id, data)| {
            let state = Arc::new(state::parse(&data)?);
            Some((id, Slot { state, data, is_changed: false }))
        })
        .collect();

    // In a round of several, a row that another instance holds is passed over. Whether
    // it is that or the session has ended, a round of its own finds out.
    let (seated, apart): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|waiting| is_apart || slots.contains_key(&waiting.id));
    rounds_apart(means, apart);

    let round = Arc::new(Round {
        slots: tokio::sync::Mutex::new(Some(slots)),
        busy: AtomicUsize::new(seated.len()),
        none_busy: Notify::new(),
        outcome: watch::Sender::new(None),
    });
    for waiting in seated {
        let _ = waiting.turn.send(Ok(Seat(round.clone())));
    }
    if round.busy.load(Ordering::SeqCst) > 0 {
        let _ = timeout(PATIENCE, round.none_busy.notified()).await;
    }

    // Last-seen times alone are better gathered.
    if tx.is_postgres() && !ids.is_empty() {
        drop(next);
    }

    // A change that takes that long fails with its round: others wait for the writer.
    let slots = match round.slots.try_lock() {
        Ok(mut slots) => slots.take().unwrap_or_default(),
        Err(_) => return give_up(&round, touches),
    };
    let changed: Vec<(SessionId, Slot)> =
        slots.into_iter().filter(|(_, slot)| slot.is_changed).collect();
    let stored = async {
        if !changed.is_empty() {
            let data: Vec<_> = changed.iter().map(|(id, slot)| (*id, &*slot.data)).collect();
            store::update_states(&mut tx, &data).await?;
        }
        let asked: Vec<Touch> = touches.iter().map(|touching| touching.touch.clone()).collect();
        let touched = store::touch(&mut tx, &asked).await?;
        if !changed.is_empty() || !touched.is_empty() {
            tx.commit().await?;
        }
        Ok(touched)
    };
    let outcome: Result<Vec<SessionId>, Error> = stored.await;
    if let (Ok(touched), Some(cache)) = (&outcome, &means.cache) {
        keep(cache, changed, &touches, touched, &versions);
    }
    for Touching { touch, done } in touches {
        let moved = outcome.as_ref().map(|touched| touched.contains(&touch.read.id));
        let _ = done.send(moved.map_err(Clone::clone));
    }
    round.outcome.send_replace(Some(outcome.map(|_| ())));
    Ok(())
}

fn give_up(round: &Round, touches: Vec<Touching>) -> Result<(), (Error, Batch)> {
    round.outcome.send_replace(Some(Err(given_up())));
    Err((given_up(), Batch { waiting: Vec::new(), touches, hold: None }))
}

/// What was stored is what would be read.
fn keep(
    cache: &Cache,
    changed: Vec<(SessionId, Slot)>,
    touches: &[Touching],
    touched: &[SessionId],
    versions: &HashMap<SessionId, u64>,
) {
    let touches = touches.iter().map(|touching| &touching.touch);
    let (moved, unmoved): (Vec<_>, Vec<_>) =
        touches.partition(|touch| touched.contains(&touch.read.id));
    // Another instance has moved it, and says nothing of it: it is read anew.
    unmoved.iter().for_each(|touch| cache.forget(touch.read.id));
    let mut touched: HashMap<_, _> =
        moved.into_iter().map(|touch| (touch.read.id, touch)).collect();
    let times = |loaded: &mut Loaded, touch: &Touch| {
        (loaded.record.last_seen_at, loaded.record.expires_at) = (touch.now, touch.expires_at);
    };
    for (id, slot) in changed {
        let touch = touched.remove(&id);
        cache.update(id, versions[&id], |loaded| {
            (loaded.length, loaded.state) = (slot.data.len(), slot.state);
            touch.into_iter().for_each(|touch| times(loaded, touch));
        });
    }
    for (id, touch) in touched {
        cache.update(id, versions[&id], |loaded| times(loaded, touch));
    }
}

fn rounds_apart(means: &Means, waiting: Vec<Waiting>) {
    let mut by_session: HashMap<SessionId, Vec<Waiting>> = HashMap::new();
    for waiting in waiting {
        by_session.entry(waiting.id).or_default().push(waiting);
    }
    for (_, waiting) in by_session {
        let means = means.clone();
        let batch = Batch { waiting, touches: Vec::new(), hold: None };
        tokio::spawn(async move { round(&means, batch, None).await });
    }
}

fn given_up() -> Error {
    Error::from(sqlx::Error::PoolTimedOut)
}
