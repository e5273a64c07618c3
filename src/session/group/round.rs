//! One round: the writes that share a transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rocket::tokio::sync::{Mutex, Notify, oneshot, watch};
use rocket::tokio::time::timeout;

use crate::clock::Clock;
use crate::db::{Pool, Transaction};
use crate::error::Error;
use crate::session::cache::Cache;
use crate::session::store;
use crate::session::value::{self, State};
use crate::token::TokenId;

/// The longest time that a round waits for the writes in it. A change takes microseconds, and a
/// task that does not get to run in this time must not delay the others.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);

/// A write that waits. It gets no seat if its session has ended, or if another instance has locked
/// it.
pub type Write = (TokenId, oneshot::Sender<Result<Option<Seat>, Error>>);

/// The handles that a round needs.
#[derive(Clone)]
pub struct Means {
    pub db: Pool,
    pub clock: Clock,
    pub cache: Option<Arc<Cache>>,
}

/// What the writers and the transaction of a round share.
#[derive(Debug)]
struct Round {
    /// The sessions that were found. `None` means that it is too late for a change.
    slots: Mutex<Option<HashMap<TokenId, Slot>>>,
    busy: AtomicUsize,
    none_busy: Notify,
    outcome: watch::Sender<Option<Result<(), Error>>>,
}

/// A session in a round.
#[derive(Debug)]
pub struct Slot {
    pub state: Arc<State>,
    pub data: String,
    is_changed: bool,
}

/// A place in a round. The round continues when all its places are dropped.
#[derive(Debug)]
pub struct Seat(Arc<Round>);

impl Slot {
    pub fn new(state: State, data: String) -> Self {
        Slot { state: Arc::new(state), data, is_changed: true }
    }
}

impl Seat {
    /// Makes the change, leaves the round, and waits until what was seen is committed.
    pub async fn make<R>(
        self,
        id: TokenId,
        change: impl FnOnce(&Slot) -> Result<(R, Option<Slot>), Error>,
    ) -> Result<(R, Arc<State>), Error> {
        let mut outcome = self.0.outcome.subscribe();
        let (result, is_changed) = self.take(id, change).await;
        // The write may have seen a change of another one that is not stored yet, so an error waits
        // for the commit too.
        if is_changed {
            let told = outcome.wait_for(Option::is_some).await;
            told.map_err(|_| given_up())?.clone().unwrap_or_else(|| Err(given_up()))?;
        }
        result
    }

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

impl Round {
    /// Begins a round on the sessions `found`, and hands out the seats. A write gets none if its
    /// session was not found, or if its state cannot be read.
    fn begin(found: Vec<(TokenId, String)>, writes: Vec<Write>) -> Arc<Self> {
        let slots = found.into_iter().filter_map(|(id, data)| {
            let state = Arc::new(value::parse(&data)?);
            Some((id, Slot { state, data, is_changed: false }))
        });
        let slots: HashMap<_, _> = slots.collect();
        let (seated, left): (Vec<_>, Vec<_>) =
            writes.into_iter().partition(|(id, _)| slots.contains_key(id));
        let round = Arc::new(Round {
            slots: Mutex::new(Some(slots)),
            busy: AtomicUsize::new(seated.len()),
            none_busy: Notify::new(),
            outcome: watch::Sender::new(None),
        });
        for (_, turn) in seated {
            let _ = turn.send(Ok(Some(Seat(round.clone()))));
        }
        for (_, turn) in left {
            let _ = turn.send(Ok(None));
        }
        round
    }

    /// Waits until every write has made its change, at most for [`CHANGE_PATIENCE`], and takes the
    /// sessions that were changed. It is too late for a change from then on. `None` means that a
    /// change is still being made: its round fails, because others wait for the write connection.
    async fn changed(&self) -> Option<Vec<(TokenId, Slot)>> {
        if self.busy.load(Ordering::SeqCst) > 0 {
            let _ = timeout(CHANGE_PATIENCE, self.none_busy.notified()).await;
        }
        let slots = self.slots.try_lock().ok()?.take().unwrap_or_default();
        Some(slots.into_iter().filter(|(_, slot)| slot.is_changed).collect())
    }

    fn tell(&self, outcome: Result<(), Error>) {
        self.outcome.send_replace(Some(outcome));
    }
}

/// Runs a round. The next round may begin when `next` is dropped. Without `next` the round is for
/// one session alone, and waits for the lock on its row.
pub async fn run(means: &Means, writes: Vec<Write>, next: Option<oneshot::Sender<()>>) {
    let ids: HashSet<TokenId> = writes.iter().map(|(id, _)| *id).collect();
    let ids: Vec<TokenId> = ids.into_iter().collect();
    let (tx, found) = match begin(means, &ids, next.is_none()).await {
        Ok(begun) => begun,
        Err(error) => {
            for (_, turn) in writes {
                let _ = turn.send(Err(error.clone()));
            }
            return;
        }
    };
    // Any other change of these sessions gives them a newer version from now on.
    let versions: HashMap<_, _> = ids.iter().map(|id| (*id, means.db.version_of(*id))).collect();

    let round = Round::begin(found, writes);
    let Some(changed) = round.changed().await else { return round.tell(Err(given_up())) };
    if tx.is_postgres() {
        drop(next);
    }
    let outcome = commit(tx, &changed).await;
    if let (Ok(()), Some(cache)) = (&outcome, &means.cache) {
        for (id, slot) in changed {
            cache.update(id, versions[&id], slot.state, slot.data.len());
        }
    }
    round.tell(outcome);
}

/// Begins the transaction of a round, and locks and reads the states of the sessions `ids`.
async fn begin(
    means: &Means,
    ids: &[TokenId],
    is_alone: bool,
) -> Result<(Transaction, Vec<(TokenId, String)>), Error> {
    let mut tx = means.db.write().await?;
    let found = store::find_states(&mut tx, ids, means.clock.now(), is_alone).await?;
    Ok((tx, found))
}

/// Stores and commits the changes.
async fn commit(mut tx: Transaction, changed: &[(TokenId, Slot)]) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let data: Vec<_> = changed.iter().map(|(id, slot)| (*id, &*slot.data)).collect();
    store::update_states(&mut tx, &data).await?;
    tx.commit().await
}

/// The error of a write that waited too long, or whose round has panicked. Nothing was stored.
pub fn given_up() -> Error {
    Error::from(sqlx::Error::PoolTimedOut)
}
