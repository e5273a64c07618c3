//! Hears from PostgreSQL what other instances and other programs have changed.
//!
//! A connection listens to the triggers of `sessions` and `users`. It proves again and again that
//! it is told everything:
//!
//! * An answer on the connection comes after everything that was to be told before.
//! * The answer describes the triggers: all of them fire, whichever program changes a row, and none
//!   has been touched since the last answer. To change rows past the triggers, a program must
//!   change the triggers, and that shows even if it changes them back.
//! * At the start, the connection has heard what another connection told it while it was silent. A
//!   pooler that hands out a connection for each transaction keeps that to itself.
//!
//! What this instance has read is trusted for a little less than a second after the last proof, and
//! not at all without one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rocket::tokio::time::{Instant, sleep_until, timeout};
use rocket::tokio::{self, time::sleep};
use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};

use super::effects::{Effects, RowKey};
use super::versions::Versions;
use crate::db::deadline::{SERVER_PATIENCE, within};
use crate::db::server;
use crate::error::Error;

const CHANNEL: &str = "login_sessions";

/// The channel on which an instance tells itself something at the start. A number follows.
const PROOF: &str = "login_proof_";

/// Selects whether every trigger that tells us is there and fires: `A` in every session, `R` where
/// rows are applied that another server has changed. It also selects everything that would differ
/// if somebody had touched a trigger or rewritten a table: `xmin` is the transaction that did so
/// last.
const TRIGGERS: &str = "
    SELECT count(*) FILTER (WHERE (tgname, tgenabled) IN (
               ('login_session_changed', 'A'), ('login_sessions_ended', 'A'),
               ('login_sessions_unclear', 'A'), ('login_session_replicated', 'R'),
               ('login_user_changed', 'A'), ('login_user_deleted', 'A'))) = 6,
           coalesce(string_agg(concat_ws(' ', c.oid, relfilenode, relrowsecurity, t.oid, t.xmin,
                                         p.oid, p.xmin), ',' ORDER BY t.oid), '')
    FROM pg_class c JOIN pg_trigger t ON tgrelid = c.oid JOIN pg_proc p ON p.oid = tgfoid
    WHERE c.oid IN (to_regclass('sessions'), to_regclass('users')) AND NOT tgisinternal";

/// The warning if they do not, with the fix.
const NOT_TOLD: &str = "triggers of sessions and users are missing, or do not fire for everybody; \
    run ALTER TABLE … ENABLE ALWAYS TRIGGER for login_session_changed, login_sessions_ended, \
    login_sessions_unclear, login_user_changed and login_user_deleted, and ENABLE REPLICA TRIGGER \
    for login_session_replicated";

/// The warning if nothing is heard, with the fix.
const NOT_HEARD: &str = "a connection is not told what another one tells it; behind a pooler, set \
    databases.login.named_statements to false";

/// How often the connection must answer.
const BEAT: Duration = Duration::from_millis(250);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_millis(500);

/// How long what was read is trusted after the server has answered. A session that ended elsewhere
/// is dead here within a second, whatever happens to the server or the network.
const BELIEVED_FOR: Duration = Duration::from_millis(900);

/// The pause between a lost connection and the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// Tells whether this instance knows of all changes.
#[derive(Debug)]
pub struct Listener {
    pool: PgPool,
    versions: Arc<Versions>,
    start: Instant,
    /// Until when it knows, in microseconds since the start.
    until: AtomicU64,
    is_started: AtomicBool,
}

impl Listener {
    /// Tells `versions` what others change in the database of `pool`.
    pub fn new(pool: PgPool, versions: Arc<Versions>) -> Self {
        let (until, is_started) = (AtomicU64::new(0), AtomicBool::new(false));
        Listener { pool, versions, start: Instant::now(), until, is_started }
    }

    /// Returns whether the versions include everything that was committed up to a second ago, and
    /// usually everything up to a millisecond ago. The first call starts to listen.
    pub fn is_known(self: &Arc<Self>) -> bool {
        if !self.is_started.swap(true, SeqCst) {
            let (listener, versions) = (Arc::downgrade(self), self.versions.clone());
            let (pool, mut closed) = (self.pool.clone(), self.pool.close_event());
            tokio::spawn(async move {
                let _ = closed.do_until(listen(listener, pool, versions)).await;
            });
        }
        self.since_start(Instant::now()) < self.until.load(SeqCst)
    }

    fn believe(&self, answered: Instant) {
        self.until.store(self.since_start(answered + BELIEVED_FOR), SeqCst);
    }

    fn since_start(&self, at: Instant) -> u64 {
        at.duration_since(self.start).as_micros() as u64
    }
}

/// Listens until nobody asks any more.
async fn listen(listener: Weak<Listener>, pool: PgPool, versions: Arc<Versions>) {
    let mut said = String::new();
    while let Err(error) = hear(&listener, &pool, &versions).await {
        let Some(listener) = listener.upgrade() else { return };
        let is_new = listener.until.swap(0, SeqCst) > 0;
        drop(listener);
        let problem = Error::from(error).to_string();
        // A problem that stays the same is logged once.
        if is_new || said != problem {
            log::warn!(
                "every session is looked up in the database, because PostgreSQL sends no notifications: {problem}"
            );
            said = problem;
        }
        sleep(RETRY).await;
    }
}

async fn hear(
    listener: &Weak<Listener>,
    pool: &PgPool,
    versions: &Versions,
) -> Result<(), sqlx::Error> {
    // The connection is not one of the pool's: the library keeps waiting for a connection that has
    // fallen silent, and the pool would lack it.
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(SERVER_PATIENCE);
    let own = own.after_connect(|db, _| Box::pin(server::settle_or_drop(db, false)));
    let own = own.connect_with((*pool.connect_options()).clone()).await?;
    let mut connection = PgListener::connect_with(&own).await?;
    connection.eager_reconnect(false);
    prove(&mut connection, pool).await?;
    // Nothing was heard of what happened before.
    versions.advance_all();

    let mut triggers_before: Option<String> = None;
    loop {
        let asked = Instant::now();
        let answer = sqlx::query_as(TRIGGERS).fetch_one(&mut connection);
        let (do_all_fire, triggers): (bool, String) = within(Some(asked + ANSWER), answer).await?;
        while let Some(told) = connection.next_buffered() {
            hear_of(&told, versions);
        }
        if !do_all_fire {
            return Err(sqlx::Error::Configuration(NOT_TOLD.into()));
        }
        if triggers_before.replace(triggers.clone()).is_some_and(|before| before != triggers) {
            // The triggers may have been silent in between.
            versions.advance_all();
        }
        let Some(listener) = listener.upgrade() else { return Ok(()) };
        listener.believe(asked);
        drop(listener);

        loop {
            tokio::select! {
                told = connection.try_recv() => hear_of(&told?.ok_or_else(closed)?, versions),
                _ = sleep_until(asked + BEAT) => break,
            }
        }
    }
}

/// Listens, and checks that the connection hears what others tell while nothing is asked on it.
async fn prove(connection: &mut PgListener, pool: &PgPool) -> Result<(), sqlx::Error> {
    let channel = format!("{PROOF}{:016x}", getrandom::u64().map_err(std::io::Error::other)?);
    let channels = [CHANNEL, &channel];
    within(Some(Instant::now() + ANSWER), connection.listen_all(channels)).await?;
    let mut other = pool.acquire().await?;
    let tell = sqlx::query("SELECT pg_notify($1, '')").bind(&channel).persistent(false);
    within(Some(Instant::now() + ANSWER), tell.execute(&mut *other)).await?;
    drop(other);

    let heard = async {
        while connection.try_recv().await?.ok_or_else(closed)?.channel() != channel {}
        Ok(())
    };
    let not_heard = |_| sqlx::Error::Configuration(NOT_HEARD.into());
    timeout(ANSWER, heard).await.map_err(not_heard)?
}

fn closed() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
}

fn hear_of(told: &PgNotification, versions: &Versions) {
    if told.channel() == CHANNEL {
        hear_of_sessions(told.payload(), versions);
    }
}

/// Reads what the triggers tell: ids, and perhaps the name of the instance that has changed them.
/// Anything else in place of an id may mean any session.
fn hear_of_sessions(payload: &str, versions: &Versions) {
    let (ids, by) = payload.split_once('@').unwrap_or((payload, ""));
    // A commit of our own has advanced the versions itself.
    if by == versions.name() {
        return;
    }

    let mut effects = Effects::default();
    for id in ids.split(',') {
        match key(id) {
            Some(id) => effects.add(id),
            None => effects.add_all(),
        }
    }
    versions.advance(&effects);
}

/// Reads 64 hexadecimal digits. `None` means that `text` is anything else.
fn key(text: &str) -> Option<RowKey> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |n: usize| char::from(pair[n]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_of_our_own_commit_counts_only_after_a_failed_commit() {
        let (versions, id) = (Versions::default(), [0x5a; 32]);
        let is_news = |by: &str| {
            let before = versions.of(id);
            hear_of_sessions(&format!("{}{by}", "5a".repeat(32)), &versions);
            versions.of(id) != before
        };
        let own = format!("@{}", versions.name());
        assert!(!is_news(&own));
        assert!(is_news("") && is_news("@") && is_news("@0000000000000000"));
        versions.rename();
        assert!(is_news(&own));
    }
}
