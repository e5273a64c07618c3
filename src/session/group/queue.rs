//! The writes that wait for the next round, and the task that leads round after round.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::oneshot;
use rocket::tokio::task::JoinHandle;
use rocket::tokio::{self, time::timeout};

use super::round::{self, Means, Seat, Slot, Write, given_up};
use crate::background;
use crate::error::Error;
use crate::session::value::{self, State};
use crate::token::TokenId;

/// The largest number of writes that share a transaction.
const MOST: usize = 64;

/// The longest time that a write waits for a round. If the file is locked or the server hangs, the
/// rounds fail one after the other, and a write must not wait for all of them.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The writes that wait for the next round.
#[derive(Debug, Default)]
pub struct Group(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    writes: Vec<Write>,
    is_led: bool,
    /// The sessions in the present rounds.
    held: HashSet<TokenId>,
}

/// The sessions of a round. No other shared round takes them until this is dropped.
struct Hold {
    group: Arc<Group>,
    ids: Vec<TokenId>,
}

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
        let seat = timeout(LONGEST_WAIT, self.seat(means, id)).await;
        seat.map_err(|_| given_up())??.make(id, change).await
    }

    /// Waits for a place in a round: first in one that is shared, and then alone.
    async fn seat(self: &Arc<Self>, means: &Means, id: TokenId) -> Result<Seat, Error> {
        let (turn, my_turn) = oneshot::channel();
        self.join(means, (id, turn));
        // If there is no answer, the round has panicked and nothing was stored.
        if let Some(seat) = my_turn.await.unwrap_or_else(|_| Err(given_up()))? {
            return Ok(seat);
        }

        let ((turn, my_turn), means) = (oneshot::channel(), means.clone());
        tokio::spawn(async move {
            let alone = round::run(&means, vec![(id, turn)], None);
            background::round("session writer", alone).await
        });
        let seat = my_turn.await.unwrap_or_else(|_| Err(given_up()))?;
        seat.ok_or_else(value::ended)
    }

    fn join(self: &Arc<Self>, means: &Means, write: Write) {
        let mut queue = self.queue();
        queue.writes.push(write);
        if !std::mem::replace(&mut queue.is_led, true) {
            tokio::spawn(lead(self.clone(), means.clone()));
        }
    }

    /// Returns the writes of the next round. `None` means that there are none. The leader then
    /// ends, unless a round `is_under_way`.
    fn next(self: &Arc<Self>, is_under_way: bool) -> Option<(Vec<Write>, Hold)> {
        let mut queue = self.queue();
        let Queue { writes, is_led, held } = &mut *queue;
        writes.retain(|(_, turn)| !turn.is_closed());
        let writes: Vec<_> =
            writes.extract_if(.., |(id, _)| !held.contains(id)).take(MOST).collect();
        *is_led = is_under_way || !writes.is_empty();
        let ids: Vec<_> = writes.iter().map(|(id, _)| *id).collect();
        held.extend(&ids);
        (!ids.is_empty()).then(|| (writes, Hold { group: self.clone(), ids }))
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

/// Leads round after round, until nothing waits.
async fn lead(group: Arc<Group>, means: Means) {
    let mut before: Option<JoinHandle<Option<()>>> = None;
    loop {
        let Some((writes, hold)) = group.next(before.is_some()) else {
            let Some(before) = before.take() else { return };
            let _ = before.await;
            continue;
        };
        let (next, may_begin) = oneshot::channel();
        let means = means.clone();
        let round = async move {
            let _hold = hold;
            round::run(&means, writes, Some(next)).await;
        };
        // If a round panics, its writers get no answer and return an error.
        let round = tokio::spawn(background::round("session writer", round));
        let _ = may_begin.await;
        if let Some(before) = before.replace(round) {
            let _ = before.await;
        }
    }
}
