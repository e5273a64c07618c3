//! A balancer learns first that an instance is about to stop.
//!
//! Between its last look at `/readyz` and the end of the listener it would hand
//! over requests that nobody answers. So `/readyz` says no at once, while
//! everything is still served for `site.drain`, and only then Rocket's own
//! shutdown begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rocket::fairing::{Fairing, Info, Kind};
use rocket::figment::Figment;
use rocket::tokio::{self, time::sleep};
use rocket::{Orbit, Rocket};

/// Waits for SIGTERM in Rocket's place.
#[derive(Debug)]
pub struct Drain(Duration);

/// Whether the instance is about to stop. In managed state.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    pub fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes SIGTERM from Rocket, if it would listen to it and there is something to
/// wait for.
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
                Err(error) => log::error!("SIGTERM will end the site at once: {error}"),
            }
        }
    }
}
