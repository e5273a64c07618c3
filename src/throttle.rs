//! How often somebody may try: counted in the database, so that a restart, a
//! second process and a second instance share it, and before any password is
//! hashed, so that attempts at the same time do not slip through.

use crate::db::Connection;
use crate::sql;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::config::ThrottleConfig;
use crate::error::Error;

/// Attempts at one thing that may be looked at beyond those that are free,
/// before the outcome of any of them is known: a hurried click, a household
/// behind one address.
const PARALLEL: i64 = 40;

/// An attempt whose outcome was never told has been abandoned after a minute.
const ABANDONED: Timestamp = 60;

/// Clocks of several instances may differ by so much.
const CLOCK_SKEW: Timestamp = 5 * 60;

/// Failures in a row are forgotten after a day without one; those that only a
/// new password makes good, after a month.
const MEMORY: Timestamp = 24 * 60 * 60;
const LONG_MEMORY: Timestamp = 30 * 24 * 60 * 60;

/// The most rows. Beyond it those go that hold nobody up: a flood of made-up
/// addresses must neither fill the disk nor push out what is blocked.
const MOST_ROWS: i64 = 500_000;

/// What is throttled together, hashed: 128 bits, of which none can be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Key {
    /// Of `parts`, which are of the same kind and number for each `kind`.
    pub fn of(kind: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(&kind).chain(parts) {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Key(key)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A limit on attempts.
#[derive(Debug, Clone)]
pub enum Limit {
    /// On failures in a row: so many are free, then each costs a longer delay.
    InARow { key: Key, account: Option<Key>, free: i64 },
    /// On attempts in a time, in seconds. One that succeeds is given back.
    Rate { key: Key, count: i64, window: Timestamp },
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
    /// Nobody knows: our side failed.
    Abandoned,
}

#[derive(Debug, Default, Clone, sqlx::FromRow)]
struct Row {
    failures: i64,
    pending: i64,
    blocked_until: Timestamp,
    updated_at: Timestamp,
    expires_at: Timestamp,
}

/// Counts an attempt against each of `limits`, or refuses it.
///
/// # Errors
///
/// [`is_throttled()`](Error::is_throttled()) when one of them is reached: nothing
/// is counted then. Otherwise when the database fails.
pub async fn begin(
    db: &mut Connection,
    limits: &[Limit],
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<(), Error> {
    if !config.enabled {
        return Ok(());
    }

    let limits = in_order(limits);
    let mut rows = Vec::new();
    let mut longest = 0;
    for limit in &limits {
        let row = lock(&mut *db, limit, now).await?;
        longest = longest.max(limit.wait(&row, config, now));
        rows.push(row);
    }
    if longest > 0 {
        return Err(Error::throttled(longest));
    }

    for (limit, mut row) in limits.into_iter().zip(rows) {
        match limit {
            Limit::InARow { .. } => row.pending += 1,
            Limit::Rate { .. } => row.blocked_until = row.blocked_until.max(now) + limit.step(),
        }
        store(&mut *db, limit, &row, config, now).await?;
    }
    Ok(())
}

/// Takes down what became of an attempt that [`begin()`] has let through.
pub async fn settle(
    db: &mut Connection,
    limits: &[Limit],
    outcome: Outcome,
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<(), Error> {
    if !config.enabled {
        return Ok(());
    }

    for limit in in_order(limits) {
        match (limit, outcome) {
            (Limit::Rate { .. }, Outcome::Failed) => continue,
            (Limit::InARow { .. }, Outcome::Succeeded) => {
                forget(&mut *db, limit.key()).await?;
                continue;
            }
            _ => {}
        }

        let mut row = lock(&mut *db, limit, now).await?;
        match limit {
            Limit::Rate { .. } => row.blocked_until = (row.blocked_until - limit.step()).max(now),
            Limit::InARow { free, .. } => {
                row.pending = (row.pending - 1).max(0);
                if outcome == Outcome::Failed {
                    row.failures += 1;
                    row.blocked_until = now + delay(row.failures - free, config);
                }
            }
        }
        store(&mut *db, limit, &row, config, now).await?;
    }
    Ok(())
}

/// Forgets all failures of the account.
pub async fn forget_account(db: &mut Connection, account: Key) -> Result<(), Error> {
    sql::query(
        "DELETE FROM login_throttle WHERE key IN
            (SELECT key FROM login_throttle WHERE account = $1 ORDER BY key /*pg FOR UPDATE*/)",
    )
    .bind(account.as_bytes())
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes at most `limit` rows that say nothing any longer.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let expired = sql::query(
        "DELETE FROM login_throttle WHERE key IN
            (SELECT key FROM login_throttle WHERE expires_at <= $1 LIMIT $2
             /*pg FOR UPDATE SKIP LOCKED*/)",
    )
    .bind(now)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(expired)
}

/// How many rows there are too many.
pub async fn excess(db: &mut Connection) -> Result<i64, Error> {
    let rows: i64 = sql::query_scalar("SELECT count(*) FROM login_throttle").fetch_one(db).await?;
    Ok((rows - MOST_ROWS).max(0))
}

/// Deletes at most `limit` rows that hold nobody up at present, those of the
/// fewest failures first.
pub async fn shrink(
    db: &mut Connection,
    config: &ThrottleConfig,
    now: Timestamp,
    limit: u32,
) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_throttle WHERE key IN
            (SELECT key FROM login_throttle WHERE failures < $1 AND blocked_until <= $2
             ORDER BY failures, expires_at LIMIT $3 /*pg FOR UPDATE SKIP LOCKED*/)",
    )
    .bind(config.failure_limit)
    .bind(now)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}

impl Limit {
    fn key(&self) -> Key {
        match self {
            Limit::InARow { key, .. } | Limit::Rate { key, .. } => *key,
        }
    }

    fn account(&self) -> Option<Key> {
        match self {
            Limit::InARow { account, .. } => *account,
            Limit::Rate { .. } => None,
        }
    }

    /// What one attempt takes of a rate, in seconds: one at the least.
    fn step(&self) -> Timestamp {
        match self {
            Limit::InARow { .. } => 0,
            Limit::Rate { count, window, .. } => (window / count).max(1),
        }
    }

    /// How long to wait before the next attempt, in seconds. 0: not at all.
    fn wait(&self, row: &Row, config: &ThrottleConfig, now: Timestamp) -> Timestamp {
        match self {
            Limit::Rate { window, .. } => {
                let free_at = row.blocked_until.max(now) + self.step() - window;
                (free_at - now).max(0)
            }
            Limit::InARow { free, .. } => {
                let looked_at = row.failures + row.pending;
                if row.failures >= config.failure_limit {
                    config.longest_delay.as_secs() as Timestamp
                } else if row.blocked_until > now {
                    row.blocked_until - now
                } else if looked_at >= config.failure_limit
                    || row.pending > 0 && looked_at >= free + PARALLEL
                {
                    1
                } else {
                    0
                }
            }
        }
    }
}

/// After `beyond` more failures than are free.
fn delay(beyond: i64, config: &ThrottleConfig) -> Timestamp {
    let (first, longest) = (config.first_delay.as_secs(), config.longest_delay.as_secs());
    match u32::try_from(beyond) {
        Err(_) => 0,
        Ok(doublings) => {
            first.saturating_mul(2_u64.saturating_pow(doublings.min(62))).min(longest) as Timestamp
        }
    }
}

/// Two transactions that take the same rows take them in the same order, or
/// each would wait for the other.
fn in_order(limits: &[Limit]) -> Vec<&Limit> {
    let mut limits: Vec<&Limit> = limits.iter().collect();
    limits.sort_unstable_by_key(|limit| limit.key());
    limits
}

/// The row of `limit`, which is nobody else's until the transaction ends: two
/// attempts at once must not both be the last that is free. A row that is not
/// there cannot be locked, so it is made, expired from the start.
async fn lock(db: &mut Connection, limit: &Limit, now: Timestamp) -> Result<Row, Error> {
    let mut row: Row = sql::query_as(
        "INSERT INTO login_throttle (key, account, updated_at, expires_at) VALUES ($1, $2, $3, $3)
         ON CONFLICT (key) DO UPDATE SET key = excluded.key
         RETURNING failures, pending, blocked_until, updated_at, expires_at",
    )
    .bind(limit.key().as_bytes())
    .bind(limit.account().map(|key| key.as_bytes().to_vec()))
    .bind(now)
    .fetch_one(db)
    .await?;
    // From the future: a clock was ahead. It would hold everybody up until that time comes.
    if row.expires_at <= now || row.updated_at > now + CLOCK_SKEW {
        row = Row::default();
    }
    if row.updated_at + ABANDONED <= now {
        row.pending = 0;
    }
    Ok(row)
}

async fn store(
    db: &mut Connection,
    limit: &Limit,
    row: &Row,
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<(), Error> {
    let expires_at = match limit {
        Limit::Rate { .. } => row.blocked_until,
        Limit::InARow { .. } if row.failures >= config.failure_limit => now + LONG_MEMORY,
        Limit::InARow { .. } => now + MEMORY,
    };
    sql::query(
        "INSERT INTO login_throttle (key, account, failures, pending, blocked_until, updated_at,
                                     expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (key) DO UPDATE SET failures = $3, pending = $4, blocked_until = $5,
                                         updated_at = $6, expires_at = $7",
    )
    .bind(limit.key().as_bytes())
    .bind(limit.account().map(|key| key.as_bytes().to_vec()))
    .bind(row.failures)
    .bind(row.pending)
    .bind(row.blocked_until)
    .bind(now)
    .bind(expires_at)
    .execute(db)
    .await?;
    Ok(())
}

async fn forget(db: &mut Connection, key: Key) -> Result<(), Error> {
    sql::query("DELETE FROM login_throttle WHERE key = $1")
        .bind(key.as_bytes())
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_the_first_to_the_longest() {
        let config = ThrottleConfig::default();
        let delays: Vec<_> = (-1..=8).map(|beyond| delay(beyond, &config)).collect();
        assert_eq!(delays, [0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(delay(i64::MAX, &config), 0);
        assert_eq!(delay(1_000_000, &config), 3600);
    }

    #[test]
    fn keys_of_different_things_differ() {
        let keys = [
            Key::of("a", &["bc"]),
            Key::of("ab", &["c"]),
            Key::of("a", &["b", "c"]),
            Key::of("a", &["", "bc"]),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{i}");
        }
    }
}
