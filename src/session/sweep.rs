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
use crate::clock::Clock;
use crate::db::{Db, Pool};
use crate::error::Error;
use crate::metrics;

/// The average time from the end of one sweep to the start of the next. Each pause is between half
/// and one and a half times this, so that several instances do not sweep at the same time.
const INTERVAL: Duration = Duration::from_secs(60);

/// The largest number of rows in one transaction. One statement for all rows blocked the writers of
/// a large table for half a minute.
const BATCH: u32 = 100;

/// The number of rows in the first transaction, because their cost is not known yet.
const FIRST_BATCH: u32 = 10;

/// The longest time that a transaction may hold the write connection. If it takes longer, the next
/// batch is smaller. Each row is in six places of the file, which are as many pages if the file is
/// large.
const LONGEST: Duration = Duration::from_millis(8);

/// The result of a sweep.
#[derive(Default)]
struct Swept {
    rows: u64,
    /// The duration of the longest transaction. On SQLite nobody else could write during that time.
    longest: Duration,
}

/// Deletes the row of every session that has ended, in batches, and returns how many rows it
/// deleted.
///
/// # Errors
///
/// Returns an error (503) if the database fails. The batches before the failure stay deleted.
pub async fn sweep(db: &Pool, clock: &Clock) -> Result<u64, Error> {
    Ok(sweep_all(db, clock).await?.rows)
}

async fn sweep_all(db: &Pool, clock: &Clock) -> Result<Swept, Error> {
    let (mut swept, mut batch) = (Swept::default(), FIRST_BATCH);
    loop {
        let (mut tx, start) = (db.write().await?, Instant::now());
        // Only one of several instances sweeps at a time.
        if !tx.try_lock("session sweep").await? {
            break;
        }
        let ended = store::delete_ended(&mut tx, batch).await?;
        let left = batch.saturating_sub(ended as u32);
        let expired = store::delete_expired(&mut tx, clock.now(), left).await?;
        tx.commit().await?;
        let taken = start.elapsed();
        swept.rows += expired + ended;
        swept.longest = swept.longest.max(taken);
        metrics::swept(expired + ended);
        if expired + ended < u64::from(batch) {
            break;
        }
        batch = match taken > LONGEST {
            true => (batch / 2).max(1),
            false => (batch + batch / 4 + 1).min(BATCH),
        };
        db.stand_back().await;
    }

    if swept.rows > 0 {
        // This is a transaction of its own, because others lock a user before the user's sessions.
        let (mut tx, start) = (db.write().await?, Instant::now());
        store::settle_ended(&mut tx, BATCH).await?;
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
