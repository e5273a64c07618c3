//! Tells owners in the background that somebody has given their password and no second factor.

use rocket::fairing::AdHoc;
use rocket::{Orbit, Rocket};
use rocket_db_pools::Database;

use super::change::Accounts;
use super::hooks::AttachedHooks;
use crate::background;
use crate::client::Client;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::db::{Db, Pool};
use crate::error::Error;
use crate::factor::pending::{self, Pending};
use crate::mail::Mail;
use crate::user;
use crate::user::store::Account;

/// The seconds from one look to the next. An owner is told some minutes after the log-in has ended: a
/// person who starts again meanwhile, in the same browser, causes no mail.
const INTERVAL: Timestamp = 2 * 60;

/// The log-ins of one look.
const BATCH: u32 = 100;

/// The means to change accounts beside a request.
#[derive(Clone)]
struct Means {
    db: Pool,
    clock: Clock,
    mail: Mail,
    config: Config,
    client: Client,
    hooks: AttachedHooks,
}

impl Means {
    fn of(rocket: &Rocket<Orbit>) -> Option<Self> {
        Some(Means {
            db: Pool::clone(Db::fetch(rocket)?),
            clock: rocket.state::<Clock>()?.clone(),
            mail: rocket.state::<Mail>()?.clone(),
            config: rocket.state::<Config>()?.clone(),
            client: Client::default(),
            hooks: rocket.state::<AttachedHooks>()?.clone(),
        })
    }

    fn accounts(&self) -> Accounts<'_> {
        let Means { db, clock, mail, config, client, hooks } = self;
        let (config, throttle) = (&config.accounts, &config.throttle);
        Accounts { db, clock, mail, config, throttle, client, hooks }
    }

    /// Tells the owners of all log-ins that have ended without their second step.
    async fn tell_all(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            let ended = pending::ended(&mut self.db.read().await?, now, BATCH).await?;
            for pending in &ended {
                self.tell(pending).await?;
            }
            if ended.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    async fn tell(&self, pending: &Pending) -> Result<(), Error> {
        let mut change = self.accounts().change().await?;
        let account = user::store::find(&mut change, pending.user_id).await?;
        // Another instance may have told them, or the same person may have logged in.
        if !pending::take(&mut change, pending.id).await? {
            return Ok(());
        }
        if let Some(Account { user, disabled_at: None, .. }) = account {
            change.tell_missed_step(&user, pending, &self.config).await?;
        }
        change.commit().await
    }
}

/// Looks from lift-off to shutdown. If a look fails, it logs the error, and the next one tries again.
pub fn fairing() -> AdHoc {
    AdHoc::on_liftoff("Missed Steps", |rocket| {
        Box::pin(async move {
            let means = Means::of(rocket).expect("the stage attaches all parts");
            let clock = means.clock.clone();
            let work = move || {
                let means = means.clone();
                async move {
                    if let Err(error) = means.tell_all().await {
                        log::warn!("the look for missed second steps will try again: {error}");
                    }
                }
            };
            let pause = move || {
                let clock = clock.clone();
                async move { clock.sleep(INTERVAL).await }
            };
            background::repeat("look for missed second steps", rocket.shutdown(), work, pause);
        })
    })
}
