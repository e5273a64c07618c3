//! Limits the number of attempts. They are counted in the database, so that a restart, a second
//! process and a second instance share the count. They are counted before a password is hashed, so
//! that attempts at the same time do not slip through.

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::config::ThrottleConfig;
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};
use crate::sql::{places, places_of_rows};

/// The age in seconds at which an attempt without an outcome counts as abandoned: the process died.
/// Nobody has learnt anything from it, so it is not a failure.
const ABANDONED: Timestamp = 60;

/// The greatest difference in seconds between the clocks of several instances.
const CLOCK_SKEW: Timestamp = 5 * 60;

/// How many seconds failures in a row are remembered: a day after the last one, or a month for
/// those that only a new password clears.
const MEMORY: Timestamp = 24 * 60 * 60;
const LONG_MEMORY: Timestamp = 30 * 24 * 60 * 60;

/// The most rows in the table. Beyond it the sweep deletes rows that block nobody: a flood of
/// made-up addresses must neither fill the disk nor push out rows that block somebody.
const MOST_ROWS: i64 = 500_000;

/// The hash of what is throttled together. It has 128 bits, and nothing can be read back from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Key {
    /// Returns the key of `parts`. Every key of one `kind` has the same number of parts, in the
    /// same order.
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

    fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// A limit on attempts.
#[derive(Debug, Clone)]
pub enum Limit {
    /// A limit on failures in a row for one account: the first `free` ones cost nothing, and each
    /// further one a longer delay. An attempt in progress counts as a failure until its outcome is
    /// known. Otherwise any number of attempts at the same time would be checked.
    InARow { key: Key, account: Option<Key>, free: i64 },
    /// A limit on attempts in a time. An attempt that succeeds is given back.
    Rate { key: Key, rate: Rate, beyond: Beyond },
}

/// A rate: a bucket for `count` attempts that drains completely in `window` seconds. The level is
/// counted in parts of a second, `count` parts to each second, and an attempt takes `window` parts.
/// So every rate is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: i64,
    pub window: Timestamp,
}

/// What happens to an attempt beyond a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// The attempt is refused.
    Refused,
    /// The attempt is allowed. The bucket stays full, so attempts that can be refused are refused.
    Counted,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    Succeeded,
    Failed,
    /// Nobody knows the outcome, because our side failed.
    Abandoned,
}

#[derive(Debug, Default, Clone)]
struct Row {
    key: Vec<u8>,
    failures: i64,
    pending: i64,
    blocked_until: Timestamp,
    spare: i64,
    updated_at: Timestamp,
    expires_at: Timestamp,
}

sql::row!(Row { key, failures, pending, blocked_until, spare, updated_at, expires_at });

/// Counts an attempt against each of `limits`, or refuses it.
///
/// It locks their rows in the given order. Two transactions that lock the same rows must do so in
/// the same order. Otherwise each would wait for the other (deadlock).
///
/// # Errors
///
/// Returns an error with [`is_throttled()`](Error::is_throttled()) (429) if one of the limits is
/// reached; then nothing is counted. Returns another error if the database fails.
pub async fn begin(
    db: &mut Connection,
    limits: &[Limit],
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<(), Error> {
    if !config.enabled {
        return Ok(());
    }

    let mut rows = lock(&mut *db, limits.iter().collect(), now).await?;
    let longest = rows.iter().map(|(limit, row)| limit.wait(row, config, now)).max();
    if let Some(seconds @ 1..) = longest {
        return Err(Error::throttled(seconds));
    }

    for (limit, row) in &mut rows {
        match limit {
            Limit::InARow { .. } => row.pending += 1,
            Limit::Rate { rate, .. } => rate.take(row, now),
        }
    }
    store(db, &rows, config, now).await
}

/// Looks whether the limit would refuse an attempt. It counts nothing and writes nothing.
///
/// # Errors
///
/// As [`begin()`].
#[cfg(feature = "passkeys")]
pub async fn look(
    db: &mut Connection,
    limit: &Limit,
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<(), Error> {
    if !config.enabled {
        return Ok(());
    }
    let row: Option<Row> = sql::query_as(
        "SELECT key, failures, pending, blocked_until, spare, updated_at, expires_at
         FROM login_throttle WHERE key = $1",
    )
    .bind(limit.key().to_vec())
    .fetch_optional(db)
    .await?;
    match limit.wait(&row.unwrap_or_default().settled(now), config, now) {
        0 => Ok(()),
        seconds => Err(Error::throttled(seconds)),
    }
}

/// Records the outcome of an attempt that [`begin()`] has allowed. It returns the number of
/// failures in a row, from the limit that has the most.
pub async fn settle(
    db: &mut Connection,
    limits: &[Limit],
    outcome: AttemptOutcome,
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<i64, Error> {
    if !config.enabled {
        return Ok(0);
    }

    // A failed attempt stays counted against the rates.
    let is_settled =
        |limit: &&Limit| outcome != AttemptOutcome::Failed || matches!(limit, Limit::InARow { .. });
    let mut rows = lock(&mut *db, limits.iter().filter(is_settled).collect(), now).await?;
    for (limit, row) in &mut rows {
        match limit {
            Limit::Rate { rate, .. } => rate.give_back(row, now),
            Limit::InARow { free, .. } => {
                row.pending = (row.pending - 1).max(0);
                match outcome {
                    AttemptOutcome::Failed => {
                        row.failures += 1;
                        row.blocked_until = now + delay(row.failures - free, config);
                    }
                    // Attempts in progress are not forgotten. Otherwise a success would make room
                    // for as many again.
                    AttemptOutcome::Succeeded => (row.failures, row.blocked_until) = (0, 0),
                    AttemptOutcome::Abandoned => {}
                }
            }
        }
    }

    let failures = rows.iter().map(|(_, row)| row.failures).max().unwrap_or(0);
    let is_over = |limit: &Limit, row: &Row| {
        outcome == AttemptOutcome::Succeeded
            && matches!(limit, Limit::InARow { .. })
            && row.pending == 0
    };
    let (over, left): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(limit, row)| is_over(limit, row));
    forget(&mut *db, &over).await?;
    store(db, &left, config, now).await?;
    Ok(failures)
}

/// Deletes all failures of the account.
pub async fn forget_account(db: &mut Connection, account: Key) -> Result<(), Error> {
    sql::query(
        "DELETE FROM login_throttle WHERE key IN
            (SELECT key FROM login_throttle WHERE account = $1 ORDER BY key $lock)",
    )
    .locking(Lock::Update)
    .bind(account.as_bytes())
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes up to `limit` rows that have expired, and returns how many.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let expired = sql::query(
        "DELETE FROM login_throttle WHERE key IN
            (SELECT key FROM login_throttle WHERE expires_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(expired)
}

/// Returns the keys of rows to delete, because there are more rows than are allowed: at most
/// `limit`, those with the fewest failures first. They block nobody now and are not attempts in
/// progress.
///
/// It reads the whole table, so it should not run in a write transaction.
pub async fn surplus(
    db: &mut Connection,
    config: &ThrottleConfig,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Key>, Error> {
    let rows: i64 =
        sql::query_scalar("SELECT count(*) FROM login_throttle").fetch_one(&mut *db).await?;
    // Usually there is nothing to delete, and the search is longer than the count.
    if rows <= MOST_ROWS {
        return Ok(Vec::new());
    }
    let keys: Vec<Vec<u8>> = sql::query_scalar(
        "SELECT key FROM login_throttle WHERE failures < $1 AND blocked_until <= $2
             AND (pending = 0 OR updated_at <= $3)
         ORDER BY failures, expires_at LIMIT $4",
    )
    .bind(config.failure_limit)
    .bind(now)
    .bind(now - ABANDONED)
    .bind(limit.min(rows - MOST_ROWS))
    .fetch_all(db)
    .await?;
    Ok(keys.iter().filter_map(|key| key.as_slice().try_into().ok().map(Key)).collect())
}

/// Deletes the row of `key`, unless an attempt is using it, or has changed it so that it must stay,
/// and returns how many rows it deleted.
pub async fn drop_surplus(
    db: &mut Connection,
    config: &ThrottleConfig,
    now: Timestamp,
    key: Key,
) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_throttle WHERE key IN
            (SELECT key FROM login_throttle WHERE key = $1 AND failures < $2
                 AND blocked_until <= $3 AND (pending = 0 OR updated_at <= $4) $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(key.as_bytes())
    .bind(config.failure_limit)
    .bind(now)
    .bind(now - ABANDONED)
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

    /// Returns how many seconds the next attempt has to wait. 0 means that it need not wait.
    fn wait(&self, row: &Row, config: &ThrottleConfig, now: Timestamp) -> Timestamp {
        match self {
            Limit::Rate { beyond: Beyond::Counted, .. } => 0,
            Limit::Rate { rate, .. } => rate.wait(row, now),
            Limit::InARow { free, .. } => {
                if row.failures >= config.failure_limit {
                    config.longest_delay.as_secs() as Timestamp
                } else if row.blocked_until > now {
                    row.blocked_until - now
                } else if row.pending > 0 && row.failures + row.pending >= *free {
                    // If the attempts in progress fail, there will be a delay.
                    1
                } else {
                    0
                }
            }
        }
    }
}

impl Rate {
    /// Returns the level of the bucket, in parts of a second.
    fn used(&self, row: &Row, now: Timestamp) -> i64 {
        // It is less than a second, even if the configured rate has changed.
        let spare = row.spare.clamp(0, self.count - 1);
        ((row.blocked_until - now).max(0) * self.count - spare).max(0)
    }

    fn set_used(&self, row: &mut Row, now: Timestamp, used: i64) {
        let seconds = div_ceil(used, self.count);
        (row.blocked_until, row.spare) = (now + seconds, seconds * self.count - used);
    }

    fn take(&self, row: &mut Row, now: Timestamp) {
        let used = (self.used(row, now) + self.window).min(self.count * self.window);
        self.set_used(row, now, used);
    }

    fn give_back(&self, row: &mut Row, now: Timestamp) {
        let used = (self.used(row, now) - self.window).max(0);
        self.set_used(row, now, used);
    }

    fn wait(&self, row: &Row, now: Timestamp) -> Timestamp {
        let excess = self.used(row, now) + self.window - self.count * self.window;
        div_ceil(excess.max(0), self.count)
    }
}

/// Divides a number that is not negative, and rounds up.
fn div_ceil(number: i64, by: i64) -> i64 {
    number / by + i64::from(number % by > 0)
}

/// Returns the delay in seconds after `beyond` failures more than the free ones.
fn delay(beyond: i64, config: &ThrottleConfig) -> Timestamp {
    let (first, longest) = (config.first_delay.as_secs(), config.longest_delay.as_secs());
    match u32::try_from(beyond) {
        Err(_) => 0,
        Ok(doublings) => {
            first.saturating_mul(2_u64.saturating_pow(doublings.min(62))).min(longest) as Timestamp
        }
    }
}

/// Locks the rows of `limits` until the transaction ends, and returns them: two attempts at the
/// same time must not both be the last free one. A missing row cannot be locked, so it is inserted,
/// already expired.
///
/// One statement locks all of them, and one stores them. An account's log-in has more limits if the
/// device is known, and the time must not reveal that (timing side channel).
async fn lock<'l>(
    db: &mut Connection,
    limits: Vec<&'l Limit>,
    now: Timestamp,
) -> Result<Vec<(&'l Limit, Row)>, Error> {
    if limits.is_empty() {
        return Ok(Vec::new());
    }

    let mut query = sql::query_as_made(format!(
        "INSERT INTO login_throttle (key, account, updated_at, expires_at) VALUES {}
         ON CONFLICT (key) DO UPDATE SET key = excluded.key
         RETURNING key, failures, pending, blocked_until, spare, updated_at, expires_at",
        places_of_rows(limits.len(), 4)
    ));
    for limit in &limits {
        query = query.bind(limit.key().to_vec()).bind(limit.account().map(|key| key.to_vec()));
        query = query.bind(now).bind(now);
    }
    let rows: Vec<Row> = query.fetch_all(db).await?;
    let row_of = |limit: &'l Limit| {
        let found = rows.iter().find(|row| row.key == limit.key().as_bytes()).cloned();
        (limit, found.unwrap_or_default().settled(now))
    };
    Ok(limits.into_iter().map(row_of).collect())
}

impl Row {
    /// Returns the part of the row that is still valid.
    fn settled(self, now: Timestamp) -> Self {
        // A row from the future comes from a clock that was ahead. It would block everybody until
        // that time.
        if self.expires_at <= now || self.updated_at > now + CLOCK_SKEW {
            return Row { key: self.key, ..Row::default() };
        }
        let is_abandoned = self.updated_at + ABANDONED <= now;
        Row { pending: if is_abandoned { 0 } else { self.pending }, ..self }
    }
}

async fn store(
    db: &mut Connection,
    rows: &[(&Limit, Row)],
    config: &ThrottleConfig,
    now: Timestamp,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }

    let mut query = sql::query_made(format!(
        "INSERT INTO login_throttle (key, account, failures, pending, blocked_until, spare,
                                     updated_at, expires_at)
         VALUES {}
         ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, pending = excluded.pending,
             blocked_until = excluded.blocked_until, spare = excluded.spare,
             updated_at = excluded.updated_at, expires_at = excluded.expires_at",
        places_of_rows(rows.len(), 8)
    ));
    for (limit, row) in rows {
        let expires_at = match limit {
            Limit::Rate { .. } => row.blocked_until,
            Limit::InARow { .. } if row.failures >= config.failure_limit => now + LONG_MEMORY,
            Limit::InARow { .. } => now + MEMORY,
        };
        query = query.bind(limit.key().to_vec()).bind(limit.account().map(|key| key.to_vec()));
        for number in [row.failures, row.pending, row.blocked_until, row.spare, now, expires_at] {
            query = query.bind(number);
        }
    }
    query.execute(db).await?;
    Ok(())
}

/// Deletes the rows of `rows`, which have nothing left to count.
async fn forget(db: &mut Connection, rows: &[(&Limit, Row)]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }

    let mut query = sql::query_made(format!(
        "DELETE FROM login_throttle WHERE key IN ({})",
        places(0, rows.len())
    ));
    for (limit, _) in rows {
        query = query.bind(limit.key().to_vec());
    }
    query.execute(db).await?;
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

    /// Counts attempts at one instant until one is refused. Returns their number, and how long the
    /// refused one has to wait.
    fn burst(rate: Rate, row: &mut Row, now: Timestamp) -> (i64, Timestamp) {
        for taken in 0.. {
            match rate.wait(row, now) {
                0 => rate.take(row, now),
                wait => return (taken, wait),
            }
        }
        unreachable!("a burst without an end")
    }

    #[test]
    fn a_burst_gets_exactly_the_configured_count() {
        for window in [600, 3600] {
            for count in (1..=3600).chain([7_919, 99_991, 1_000_000]) {
                let (rate, now) = (Rate { count, window }, 1_767_225_600);
                let (taken, wait) = burst(rate, &mut Row::default(), now);
                assert_eq!(taken, count, "in {window}");
                assert_eq!(wait, div_ceil(window, count), "{count} in {window}");
            }
        }
    }

    #[test]
    fn constant_attempts_get_exactly_the_configured_rate() {
        for window in [600, 3600] {
            // A count of one is left out: its bucket drains while nobody asks, and that part is
            // lost.
            for count in (2..=4000).step_by(7).chain([1000, 1900, 3599, 3600, 99_991]) {
                let (rate, start) = (Rate { count, window }, 1_767_225_600);
                let mut row = Row::default();
                let (mut taken, mut now) = (burst(rate, &mut row, start).0, start);
                // The steps are uneven and cover two windows.
                for step in (1..).map(|i| 1 + i * 37 % 101) {
                    now += step;
                    taken += burst(rate, &mut row, now).0;
                    let refilled = count * (now - start) / window;
                    assert!((taken - count - refilled).abs() <= 1, "{count} in {window}");
                    assert!(taken <= count + refilled, "{count} in {window}");
                    if now > start + 2 * window {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn giving_back_undoes_taking() {
        for count in [1, 7, 1000, 1900, 3600] {
            let (rate, now) = (Rate { count, window: 3600 }, 1_767_225_600);
            let mut row = Row::default();
            for taken in 0..count {
                let before = row.clone();
                rate.take(&mut row, now);
                let mut after = row.clone();
                rate.give_back(&mut after, now);
                assert_eq!(rate.used(&before, now), rate.used(&after, now), "{taken} of {count}");
            }
        }
    }

    #[test]
    fn a_changed_rate_holds_within_a_second() {
        let now = 1_767_225_600;
        for (before, after) in [(3599, 7), (7, 3599), (1, 3600), (3600, 1)] {
            let (before, after) =
                (Rate { count: before, window: 3600 }, Rate { count: after, window: 3600 });
            let mut row = Row::default();
            burst(before, &mut row, now);
            let wait = after.wait(&row, now);
            let step = div_ceil(after.window, after.count);
            assert!((1..=step + 1).contains(&wait), "{before:?} {after:?}: {wait}");
        }
    }

    #[test]
    fn different_inputs_have_different_keys() {
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
