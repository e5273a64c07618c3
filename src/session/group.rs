//! Group commit for sessions: writes that come at the same time share a transaction, and so they
//! share the wait for the disk. The writes are changes of the state and last-seen times.
//!
//! A write joins the queue. One task leads. It takes the whole queue and locks the rows. Each write
//! then makes its change on the result of those before it. The leader stores the changes, commits,
//! and tells the writers. New writes queue up in the meantime. A write that is alone waits for
//! nobody.
//!
//! On PostgreSQL a round mostly waits for the server. So the next round begins as soon as the
//! present one has made its changes. It takes the writes that wait by then and whose sessions are
//! not in the present round.
//!
//! Three kinds of tasks wait for each other:
//!
//! ```text
//! a writer                   the leader                 a round
//! --------                   ----------                 -------
//! joins the queue ---------> takes the queue ---------> begins, locks the rows
//! waits for its seat <--------------------------------- hands out the seats
//! makes its change                                      waits until all seats are left
//! leaves its seat ------------------------------------>
//! waits for the outcome      PostgreSQL: goes on <----- has all changes
//!                                                       stores, commits, updates the cache
//! returns <-------------------------------------------- tells the outcome
//!                            SQLite: goes on <--------- is over
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::{Notify, oneshot, watch};
use rocket::tokio::task::JoinHandle;
use rocket::tokio::{self, time::timeout};

use super::cache::{Cache, Loaded};
use super::store::{self, Touch};
use super::value::{self, State};
use crate::background;
use crate::clock::Clock;
use crate::db::{Pool, Transaction};
use crate::error::Error;
use crate::token::TokenId;

/// The largest number of writes that share a transaction.
const MOST: usize = 64;

/// The largest number of last-seen times that wait. One that finds no room is written with a later
/// page.
const MOST_TOUCHES: usize = 1024;

/// The longest time that a round waits for the writes in it. A change takes microseconds, and a
/// task that does not get to run in this time must not delay the others.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);

/// The longest time that a write waits for a round. If the file is locked or the server hangs, the
/// rounds fail one after the other, and a write must not wait for all of them.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The writes that wait for the next round.
#[derive(Debug, Default)]
pub struct Group(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    touches: Vec<Touching>,
    is_led: bool,
    /// The sessions in the present rounds.
    held: HashSet<TokenId>,
}

/// The writes of one round.
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

#[derive(Debug)]
struct Waiting {
    id: TokenId,
    turn: oneshot::Sender<Result<Seat, Error>>,
}

/// The sessions of a round. No other shared round takes them until this is dropped.
struct Hold {
    group: Arc<Group>,
    ids: Vec<TokenId>,
}

/// The handles that the leader needs.
#[derive(Clone)]
pub struct Means {
    pub db: Pool,
    pub clock: Clock,
    pub cache: Option<Arc<Cache>>,
}

/// A round: the writes that share a transaction.
#[derive(Debug)]
struct Round {
    /// The sessions that were found. `None` means that it is too late for a change.
    slots: tokio::sync::Mutex<Option<HashMap<TokenId, Slot>>>,
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

/// A place in a round. The round continues when all its places are dropped.
#[derive(Debug)]
struct Seat(Arc<Round>);

impl Group {
    /// Runs `change` on the session `id` while nobody else can change it, and stores the state that
    /// `change` returns. When this returns `Ok`, the state is committed.
    ///
    /// # Errors
    ///
    /// Returns the error of `change`, an error with [`is_ended()`](Error::is_ended()) if there is
    /// no such session, or another error if the database fails. Nothing is stored then.
    pub async fn write<R>(
        self: &Arc<Self>,
        means: &Means,
        id: TokenId,
        change: impl FnOnce(&Slot) -> Result<(R, Option<Slot>), Error>,
    ) -> Result<(R, Arc<State>), Error> {
        let (turn, my_turn) = oneshot::channel();
        self.join(means, |queue| queue.waiting.push(Waiting { id, turn }));
        let seat = timeout(LONGEST_WAIT, my_turn).await.map_err(|_| given_up())?;
        // If there is no answer, the leader has panicked and nothing was stored.
        let seat = seat.unwrap_or_else(|_| Err(given_up()))?;
        let mut outcome = seat.0.outcome.subscribe();
        let (result, is_changed) = seat.take(id, change).await;
        // The write may have seen a change of another one that is not stored yet, so an error waits
        // for the commit too.
        if is_changed {
            let told = outcome.wait_for(Option::is_some).await;
            told.map_err(|_| given_up())?.clone().unwrap_or_else(|| Err(given_up()))?;
        }
        result
    }

    /// Moves the idle clock of a session. It returns `false` if another request has moved it, if
    /// another one is changing the session, or if the session has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails.
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

    /// Returns the writes of the next round. `None` means that there are none. The leader then
    /// ends, unless a round `is_under_way`.
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

impl Round {
    /// Begins a round with a place for each write of `seated`.
    fn begin(slots: HashMap<TokenId, Slot>, seated: Vec<Waiting>) -> Arc<Self> {
        let round = Arc::new(Round {
            slots: tokio::sync::Mutex::new(Some(slots)),
            busy: AtomicUsize::new(seated.len()),
            none_busy: Notify::new(),
            outcome: watch::Sender::new(None),
        });
        for waiting in seated {
            let _ = waiting.turn.send(Ok(Seat(round.clone())));
        }
        round
    }

    /// Waits until every write has made its change, at most for [`CHANGE_PATIENCE`].
    async fn wait_for_changes(&self) {
        if self.busy.load(Ordering::SeqCst) > 0 {
            let _ = timeout(CHANGE_PATIENCE, self.none_busy.notified()).await;
        }
    }

    /// Takes the sessions that were changed. It is too late for a change from now on. `None` means
    /// that a change is still being made.
    fn take_changed(&self) -> Option<Vec<(TokenId, Slot)>> {
        let slots = self.slots.try_lock().ok()?.take().unwrap_or_default();
        Some(slots.into_iter().filter(|(_, slot)| slot.is_changed).collect())
    }
}

impl Slot {
    pub fn new(state: State, data: String) -> Self {
        Slot { state: Arc::new(state), data, is_changed: true }
    }
}

impl Seat {
    /// Makes the change and leaves the round. The second value is `true` if the state that was seen
    /// is not stored yet.
    async fn take<R>(
        self,
        id: TokenId,
        change: impl FnOnce(&Slot) -> Result<(R, Option<Slot>), Error>,
    ) -> (Result<(R, Arc<State>), Error>, bool) {
        let mut slots = self.0.slots.lock().await;
        let Some(slots) = slots.as_mut() else { return (Err(given_up()), false) };
        let Some(slot) = slots.get_mut(&id) else { return (Err(value::ended()), false) };
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

/// Takes the first free ones, at most as many as share a round.
fn take<T>(all: &mut Vec<T>, is_free: impl Fn(&T) -> bool) -> Vec<T> {
    all.extract_if(.., |one| is_free(one)).take(MOST).collect()
}

/// Leads round after round, until nothing waits.
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
        // If a round panics, its writers get no answer and return an error.
        let round = tokio::spawn(background::round("session writer", round));
        let _ = may_begin.await;
        if let Some(before) = before.replace(round) {
            let _ = before.await;
        }
    }
}

/// Runs a round. The next round may begin when `next` is dropped. Without `next` the round is for
/// one session alone, and waits for the lock on its row.
async fn round(means: &Means, batch: Batch, next: Option<oneshot::Sender<()>>) {
    let mut ids: Vec<TokenId> = Vec::new();
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

/// Tries to run a round. It returns the batch with the error if it fails before any write got its
/// turn.
async fn try_round(
    means: &Means,
    ids: &[TokenId],
    batch: Batch,
    next: Option<oneshot::Sender<()>>,
) -> Result<(), (Error, Batch)> {
    let is_apart = next.is_none();
    let (tx, found) = match begin(means, ids, is_apart).await {
        Ok(begun) => begun,
        Err(error) => return Err((error, batch)),
    };
    let Batch { waiting, touches, hold: _held } = batch;
    // Any other change of these sessions gives them a newer version from now on.
    let touched = touches.iter().map(|touching| &touching.touch.read.id);
    let versions: HashMap<_, _> =
        ids.iter().chain(touched).map(|id| (*id, means.db.version_of(*id))).collect();
    let slots = slots(found);

    // A round of several sessions skips a row that another instance has locked. Such a session, or
    // one that has ended, gets a round of its own, which finds out.
    let (seated, apart): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|waiting| is_apart || slots.contains_key(&waiting.id));
    rounds_apart(means, apart);

    let round = Round::begin(slots, seated);
    round.wait_for_changes().await;

    // Last-seen times without changes are better collected for longer.
    if tx.is_postgres() && !ids.is_empty() {
        drop(next);
    }

    // If a change takes longer, its round fails, because others wait for the write connection.
    let Some(changed) = round.take_changed() else { return give_up(&round, touches) };
    let outcome = commit(tx, &changed, &touches).await;
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

/// Begins the transaction of a round, and locks and reads the states of the sessions `ids`.
async fn begin(
    means: &Means,
    ids: &[TokenId],
    is_apart: bool,
) -> Result<(Transaction, Vec<(TokenId, String)>), Error> {
    let mut tx = means.db.write_soon().await?;
    let found = match ids {
        [] => Vec::new(),
        _ => store::find_states(&mut tx, ids, means.clock.now(), is_apart).await?,
    };
    Ok((tx, found))
}

/// Returns the sessions that were found and whose state can be read.
fn slots(found: Vec<(TokenId, String)>) -> HashMap<TokenId, Slot> {
    let slots = found.into_iter().filter_map(|(id, data)| {
        let state = Arc::new(value::parse(&data)?);
        Some((id, Slot { state, data, is_changed: false }))
    });
    slots.collect()
}

/// Stores and commits the changes and the last-seen times. Returns the sessions whose last-seen
/// time was moved.
async fn commit(
    mut tx: Transaction,
    changed: &[(TokenId, Slot)],
    touches: &[Touching],
) -> Result<Vec<TokenId>, Error> {
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
}

fn give_up(round: &Round, touches: Vec<Touching>) -> Result<(), (Error, Batch)> {
    round.outcome.send_replace(Some(Err(given_up())));
    Err((given_up(), Batch { waiting: Vec::new(), touches, hold: None }))
}

/// Updates the cache with the changes that were stored.
fn keep(
    cache: &Cache,
    changed: Vec<(TokenId, Slot)>,
    touches: &[Touching],
    touched: &[TokenId],
    versions: &HashMap<TokenId, u64>,
) {
    let touches = touches.iter().map(|touching| &touching.touch);
    let (moved, unmoved): (Vec<_>, Vec<_>) =
        touches.partition(|touch| touched.contains(&touch.read.id));
    // Another instance has moved this clock and may not have reported it, so the session is read
    // again.
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
    let mut by_session: HashMap<TokenId, Vec<Waiting>> = HashMap::new();
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
