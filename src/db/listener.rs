//! PostgreSQL tells what other instances, and whoever else, have changed.
//!
//! A connection listens to the triggers of `sessions` and `users`. That it hears
//! everything is proved again and again: an answer that comes on it comes after whatever
//! was to be told before. What this instance has read is believed for a little less than
//! a second after the last proof, and not at all when there is none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rocket::tokio::time::{Instant, sleep_until};
use rocket::tokio::{self, time::sleep};
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};

use super::connection::within;
use super::postgres::{PATIENCE, refuse_standby};
use super::versions::{Changes, Versions};
use crate::token::TokenId;

const CHANNEL: &str = "login_sessions";

/// How often the connection has to answer.
const BEAT: Duration = Duration::from_millis(250);

/// How long it may take for that.
const ANSWER: Duration = Duration::from_millis(500);

/// How long what was read is believed after the server has answered. A session that
/// ended elsewhere is dead here within a second, whatever happens to server or network.
const LEASE: Duration = Duration::from_millis(900);

/// From a lost connection to the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// Whether this instance knows of all changes.
#[derive(Debug)]
pub struct Listener {
    start: Instant,
    /// In microseconds since the start.
    until: AtomicU64,
    is_started: AtomicBool,
}

impl Listener {
    pub fn new() -> Self {
        let (until, is_started) = (AtomicU64::new(0), AtomicBool::new(false));
        Listener { start: Instant::now(), until, is_started }
    }

    /// Whether the versions tell of everything that was committed up to a second ago,
    /// and mostly of all that was committed up to a millisecond ago. The first time it
    /// begins to listen.
    pub fn is_known(self: &Arc<Self>, pool: &PgPool, versions: &Arc<Versions>) -> bool {
        if !self.is_started.swap(true, SeqCst) {
            let (listener, versions) = (Arc::downgrade(self), versions.clone());
            let (pool, mut closed) = (pool.clone(), pool.close_event());
            tokio::spawn(async move {
                let _ = closed.do_until(listen(listener, pool, versions)).await;
            });
        }
        self.since_start(Instant::now()) < self.until.load(SeqCst)
    }

    fn believe(&self, answered: Instant) {
        self.until.store(self.since_start(answered + LEASE), SeqCst);
    }

    fn since_start(&self, at: Instant) -> u64 {
        at.duration_since(self.start).as_micros() as u64
    }
}

/// Until nobody asks any longer.
async fn listen(listener: Weak<Listener>, pool: PgPool, versions: Arc<Versions>) {
    while let Err(error) = hear(&listener, &pool, &versions).await {
        let Some(listener) = listener.upgrade() else { return };
        listener.until.store(0, SeqCst);
        drop(listener);
        log::warn!("sessions are looked up each time while PostgreSQL tells nothing: {error}");
        sleep(RETRY).await;
    }
}

async fn hear(
    listener: &Weak<Listener>,
    pool: &PgPool,
    versions: &Versions,
) -> Result<(), sqlx::Error> {
    // Not one of the pool's: the library goes on waiting for one that has fallen silent,
    // and the pool would be short of it.
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
    let own = own.after_connect(|db, _| Box::pin(refuse_standby(db)));
    let own = own.connect_with((*pool.connect_options()).clone()).await?;
    let mut connection = PgListener::connect_with(&own).await?;
    connection.eager_reconnect(false);
    within(Some(Instant::now() + ANSWER), connection.listen(CHANNEL)).await?;
    // Nobody has told what happened before.
    versions.advance_all();

    loop {
        let asked = Instant::now();
        let answer = sqlx::query("SELECT 1").persistent(false).execute(&mut connection);
        within(Some(asked + ANSWER), answer).await?;
        while let Some(told) = connection.next_buffered() {
            hear_of(told.payload(), versions);
        }
        let Some(listener) = listener.upgrade() else { return Ok(()) };
        listener.believe(asked);
        drop(listener);

        loop {
            tokio::select! {
                told = connection.try_recv() => match told? {
                    Some(told) => hear_of(told.payload(), versions),
                    None => return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
                },
                _ = sleep_until(asked + BEAT) => break,
            }
        }
    }
}

/// What the triggers say: ids, and perhaps by whom it was. Anything else may mean
/// anything.
fn hear_of(payload: &str, versions: &Versions) {
    let (ids, by) = payload.split_once('@').unwrap_or((payload, ""));
    // A commit of our own has moved on the versions by itself.
    if by == versions.name() {
        return;
    }

    let mut changes = Changes::default();
    for id in ids.split(',') {
        match TokenId::from_hex(id) {
            Some(id) => changes.add(id),
            None => changes.add_all(),
        }
    }
    versions.advance(&changes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_commit_of_our_own_counts_only_when_one_has_failed() {
        let (versions, id) = (Versions::default(), TokenId::from_hex(&"5a".repeat(32)).unwrap());
        let is_news = |by: &str| {
            let before = versions.of(id);
            hear_of(&format!("{}{by}", "5a".repeat(32)), &versions);
            versions.of(id) != before
        };
        let own = format!("@{}", versions.name());
        assert!(!is_news(&own));
        assert!(is_news("") && is_news("@") && is_news("@0000000000000000"));
        versions.rename();
        assert!(is_news(&own));
    }
}
