//! The sweep deletes the rows of sessions in the background. It deletes expired sessions, and those
//! that were ended many at a time.
//!
//! Nothing relies on it, because every query skips such rows.

use std::time::{Duration, Instant};

use rocket::fairing::AdHoc;
use rocket::tokio::time::sleep;
use rocket_db_pools::Database;

use super::store;
use crate::background;
use crate::clock::{Clock, Timestamp};
use crate::db::{Connection, Db, Pool};
use crate::error::Error;
use crate::metrics;

/// The average time from the end of one sweep to the start of the next. Each pause is between half
/// and one and a half times this, so that several instances do not sweep at the same time.
const INTERVAL: Duration = Duration::from_secs(60);

/// The number of rows that one statement deletes. Each row is in six places of the file, which are as
/// many pages to read if the file is large. So nobody knows before what a statement takes, and a few
/// rows are deleted at a time.
const STEP: u32 = 10;

/// How long a transaction goes on with another statement. On SQLite nobody else can write meanwhile.
const LONGEST: Duration = Duration::from_millis(6);

/// The largest number of rows in one transaction, so that its commit and the log that it leaves are
/// small, too. One statement for all rows blocked the writers of a large table for half a minute.
const BATCH: u64 = 100;

/// The number of users for whom one transaction notes that no ended session is left.
const SETTLED: u32 = 100;

/// The result of a sweep.
#[derive(Default)]
struct Swept {
    rows: u64,
    /// The duration of the longest transaction. On SQLite nobody else could write during that time.
    longest: Duration,
}

/// How far a sweep has come.
#[derive(Default)]
struct Place {
    /// `true` if no row is left of sessions that were ended together.
    is_past_ended: bool,
    /// When the last session that was deleted had expired.
    expired_at: Timestamp,
    /// `true` if nothing is left.
    is_end: bool,
}

impl Place {
    /// Deletes rows until the transaction that began at `start` should end, and returns how many it
    /// deleted. It runs at least one statement, so a slow database does not stop the sweep.
    async fn sweep(
        &mut self,
        tx: &mut Connection,
        now: Timestamp,
        start: Instant,
    ) -> Result<u64, Error> {
        let mut rows = 0;
        loop {
            if self.is_past_ended {
                let expired = store::delete_expired(tx, self.expired_at, now, STEP).await?;
                self.is_end = expired.len() < STEP as usize;
                self.expired_at = expired.iter().copied().fold(self.expired_at, Timestamp::max);
                rows += expired.len() as u64;
            } else {
                let ended = store::delete_ended(tx, STEP).await?;
                self.is_past_ended = ended < u64::from(STEP);
                rows += ended;
            }
            if self.is_end || rows >= BATCH || start.elapsed() >= LONGEST {
                return Ok(rows);
            }
        }
    }
}

/// Deletes the row of every session that has ended, in batches, and returns how many rows it
/// deleted.
///
/// # Errors
///
/// Returns an error (503) if the database fails. The batches before the failure stay deleted.
#[cfg(feature = "testing")]
pub async fn sweep(db: &Pool, clock: &Clock) -> Result<u64, Error> {
    Ok(sweep_all(db, clock).await?.rows)
}

async fn sweep_all(db: &Pool, clock: &Clock) -> Result<Swept, Error> {
    let (mut swept, mut place) = (Swept::default(), Place::default());
    while !place.is_end {
        let (mut tx, start) = (db.write().await?, Instant::now());
        // Only one of several instances sweeps at a time.
        if !tx.try_lock("session sweep").await? {
            break;
        }
        let rows = place.sweep(&mut tx, clock.now(), start).await?;
        tx.commit().await?;
        swept.rows += rows;
        swept.longest = swept.longest.max(start.elapsed());
        metrics::swept(rows);
        if !place.is_end {
            db.stand_back().await;
        }
    }

    if swept.rows > 0 {
        // This is a transaction of its own, because others lock a user before the user's sessions.
        let (mut tx, start) = (db.write().await?, Instant::now());
        store::settle_ended(&mut tx, SETTLED).await?;
        tx.commit().await?;
        swept.longest = swept.longest.max(start.elapsed()).max(db.tidy().await?);
    }

    Ok(swept)
}

/// Sweeps from lift-off to shutdown. It logs an error and tries again in the next round, because a
/// locked file must not end the sweep for good.
pub fn fairing() -> AdHoc {
    AdHoc::on_liftoff("Session Sweep", |rocket| {
        Box::pin(async move {
            let db = Pool::clone(Db::fetch(rocket).expect("the stage attaches the database"));
            let clock = rocket.state::<Clock>().expect("the stage manages a clock").clone();
            let work = move || {
                let (db, clock) = (db.clone(), clock.clone());
                async move {
                    match sweep_all(&db, &clock).await {
                        Ok(Swept { rows: 0, .. }) => {}
                        Ok(Swept { rows, longest }) => {
                            log::info!(
                                "swept {rows} sessions that had ended; the longest \
                                 transaction took {longest:.1?}"
                            );
                        }
                        Err(error) => {
                            log::warn!("the session sweep failed and will try again: {error}")
                        }
                    }
                }
            };
            background::repeat("session sweep", rocket.shutdown(), work, || sleep(pause()));
        })
    })
}

fn pause() -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    INTERVAL.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX))
}
