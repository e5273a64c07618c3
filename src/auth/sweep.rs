//! Deletes expired rows in the background: links, old events, devices, mails and failures. Nothing
//! depends on it except the size of the database.

use rocket::fairing::AdHoc;
use rocket_db_pools::Database;

use crate::background;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, ThrottleConfig};
use crate::db::{Db, Pool};
use crate::error::Error;
use crate::{device, done, factor, history, identity, link, mail, throttle};

/// The time from one sweep to the next: an hour.
const INTERVAL: Timestamp = 60 * 60;

/// The rows of each table per transaction, which take a few milliseconds of the writer's time.
const BATCH: u32 = 100;

/// The most surplus failures that one search returns. Their keys take 16 bytes each.
const MOST_SURPLUS: i64 = 100_000;

async fn sweep(db: &Pool, clock: &Clock, config: &ThrottleConfig) -> Result<(), Error> {
    loop {
        let (mut tx, now) = (db.write().await?, clock.now());
        // Only one of several instances sweeps at a time.
        if !tx.try_lock("account sweep").await? {
            return Ok(());
        }
        let swept = [
            link::sweep(&mut tx, now, BATCH).await?,
            history::sweep(&mut tx, now, BATCH).await?,
            device::sweep(&mut tx, now, BATCH).await?,
            mail::sweep(&mut tx, now, BATCH).await?,
            throttle::sweep(&mut tx, now, BATCH).await?,
            done::sweep(&mut tx, now, BATCH).await?,
            factor::store::sweep(&mut tx, now, BATCH).await?,
            factor::passkeys::sweep(&mut tx, now, BATCH).await?,
            identity::sweep(&mut tx, now, BATCH).await?,
        ];
        tx.commit().await?;
        if swept.iter().all(|swept| *swept < u64::from(BATCH)) {
            break;
        }
        db.stand_back().await;
    }

    shrink(db, clock, config).await
}

/// Deletes failures that block nobody, if there are too many.
async fn shrink(db: &Pool, clock: &Clock, config: &ThrottleConfig) -> Result<(), Error> {
    loop {
        let (mut reader, now) = (db.read().await?, clock.now());
        let surplus = throttle::surplus(&mut reader, config, now, MOST_SURPLUS).await?;
        drop(reader);

        let mut deleted = 0;
        for keys in surplus.chunks(BATCH as usize) {
            let (mut tx, now) = (db.write().await?, clock.now());
            if !tx.try_lock("account sweep").await? {
                return Ok(());
            }
            for key in keys {
                deleted += throttle::drop_surplus(&mut tx, config, now, *key).await?;
            }
            tx.commit().await?;
            db.stand_back().await;
        }
        if deleted == 0 {
            return Ok(());
        }
    }
}

/// Sweeps from lift-off to shutdown. If a sweep fails, it logs the error, and the next one tries
/// again.
pub fn fairing() -> AdHoc {
    AdHoc::on_liftoff("Account Sweep", |rocket| {
        Box::pin(async move {
            let db = Pool::clone(Db::fetch(rocket).expect("the stage attaches the database"));
            let clock = rocket.state::<Clock>().expect("the stage manages a clock").clone();
            let config: &Config = rocket.state().expect("the stage manages its configuration");
            let config = config.throttle.clone();
            let paused = clock.clone();
            let work = move || {
                let (db, clock, config) = (db.clone(), clock.clone(), config.clone());
                async move {
                    if let Err(error) = sweep(&db, &clock, &config).await {
                        log::warn!("the account sweep will try again: {error}");
                    }
                }
            };
            let pause = move || {
                let clock = paused.clone();
                async move { clock.sleep(INTERVAL).await }
            };
            background::repeat("account sweep", rocket.shutdown(), work, pause);
        })
    })
}
