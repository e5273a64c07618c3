//! Rows of sessions that have expired, or were ended many at a time, are deleted in
//! the background.
//!
//! Nothing relies on it: a look-up passes over such a row by itself.

use std::time::{Duration, Instant};

use rocket::fairing::AdHoc;
use rocket::tokio::time::sleep;
use rocket_db_pools::Database;

use super::store;
use crate::background;
use crate::clock::Clock;
use crate::db::{Db, Pools};
use crate::error::Error;
use crate::metrics;

/// From the end of one sweep to the start of the next, on average. Each pause
/// is between a half and one and a half of it, so that several instances do not
/// sweep in step.
const INTERVAL: Duration = Duration::from_secs(60);

/// Most rows per transaction. One statement for all was seen to block a large table's
/// writers for half a minute.
const BATCH: u32 = 100;

/// Rows of the first one: nobody knows yet how long they take.
const FIRST_BATCH: u32 = 10;

/// So long may a transaction have the writer. Each row is in six places of the file: of a
/// large one, as many pages.
const LONGEST: Duration = Duration::from_millis(8);

/// What a sweep came to.
#[derive(Default)]
struct Swept {
    rows: u64,
    /// The longest of its transactions: on SQLite it has kept others from writing for that.
    longest: Duration,
}

/// Deletes the row of every session that has ended, batch by batch, and says how many
/// it were.
///
/// # Errors
///
/// When the database fails; the batches before are done.
pub async fn sweep(db: &Pools, clock: &Clock) -> Result<u64, Error> {
    Ok(sweep_all(db, clock).await?.rows)
}

async fn sweep_all(db: &Pools, clock: &Clock) -> Result<Swept, Error> {
    let (mut swept, mut batch) = (Swept::default(), FIRST_BATCH);
    loop {
        let (mut tx, start) = (db.write().await?, Instant::now());
        // Of several instances one sweeps at a time.
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
        // Apart from the rows: others lock a user before his sessions.
        let (mut tx, start) = (db.write().await?, Instant::now());
        store::settle_ended(&mut tx, BATCH).await?;
        tx.commit().await?;
        swept.longest = swept.longest.max(start.elapsed()).max(db.tidy().await?);
    }

    Ok(swept)
}

/// Sweeps from lift-off to shutdown. An error is logged and the next round
/// tries again: a locked file must not end the sweep for good.
pub fn fairing() -> AdHoc {
    AdHoc::on_liftoff("Session Sweep", |rocket| {
        Box::pin(async move {
            let db = Pools::clone(Db::fetch(rocket).expect("the stage attaches the database"));
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
                        Err(error) => log::warn!("the session sweep will try again: {error}"),
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
