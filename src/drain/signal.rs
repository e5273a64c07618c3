//! Waits for the signal that begins the draining.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rocket::fairing::{Fairing, Info, Kind};
use rocket::figment::Figment;
use rocket::tokio::{self, time::sleep};
use rocket::{Orbit, Rocket};

use super::Draining;

/// The fairing that waits for SIGTERM in place of Rocket.
#[derive(Debug)]
pub struct Drain(Duration);

/// Removes SIGTERM from the signals to which Rocket listens, and returns the fairing that waits for
/// it. It returns `None` and changes nothing if Rocket does not listen to SIGTERM, or if `drain` is
/// zero.
pub fn prepare(figment: Figment, drain: Duration) -> (Figment, Option<Drain>) {
    let signals: Option<Vec<String>> = figment.extract_inner("shutdown.signals").ok();
    let mut signals = signals.unwrap_or_else(|| vec!["term".into()]);
    let is_ours = |signal: &String| signal.eq_ignore_ascii_case("term");
    match cfg!(unix) && !drain.is_zero() && signals.iter().any(is_ours) {
        true => {
            signals.retain(|signal| !is_ours(signal));
            (figment.merge(("shutdown.signals", signals)), Some(Drain(drain)))
        }
        false => (figment, None),
    }
}

#[rocket::async_trait]
impl Fairing for Drain {
    fn info(&self) -> Info {
        Info { name: "Drain", kind: Kind::Liftoff }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};

            let draining = rocket.state::<Draining>().cloned().unwrap_or_default();
            let (drain, shutdown) = (self.0, rocket.shutdown());
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => drop(tokio::spawn(async move {
                    terminate.recv().await;
                    draining.0.store(true, Ordering::Relaxed);
                    sleep(drain).await;
                    shutdown.notify();
                })),
                Err(error) => log::error!(
                    "site.drain has no effect, so SIGTERM ends the site at once: {error}"
                ),
            }
        }
    }
}
