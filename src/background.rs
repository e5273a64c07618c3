//! Background work, from lift-off to shutdown.
//!
//! A panic in a round is logged and counted, and the next round runs. Otherwise a sweep could end
//! for good, and nobody would notice before the disk is full.

use std::panic::AssertUnwindSafe;

use rocket::futures::FutureExt;
use rocket::{Shutdown, tokio};

use crate::metrics;

/// Runs one round of the work called `name`. `None` means that it panicked.
pub async fn round<T>(name: &'static str, work: impl Future<Output = T>) -> Option<T> {
    // The state that a panic leaves behind belongs to the round alone, or is in the database.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Some(done),
        Err(_) => {
            panicked(name);
            None
        }
    }
}

/// Logs and counts a panic of the work called `name`.
pub fn panicked(name: &'static str) {
    log::error!("the {name} panicked; it continues");
    metrics::panicked(name);
}

/// Repeats the work called `name` until shutdown, with a pause between two rounds.
pub fn repeat<W, P>(
    name: &'static str,
    mut shutdown: Shutdown,
    mut work: impl FnMut() -> W + Send + 'static,
    mut pause: impl FnMut() -> P + Send + 'static,
) where
    W: Future<Output = ()> + Send,
    P: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut shutdown => break,
                _ = round(name, work()) => {}
            }
            tokio::select! {
                _ = &mut shutdown => break,
                _ = pause() => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rocket::figment::Figment;
    use rocket::tokio::sync::Notify;

    use super::*;

    #[rocket::async_test]
    async fn repeated_work_continues_after_a_panic() {
        let figment = Figment::from(rocket::Config::debug_default()).merge(("log_level", "off"));
        let rocket = rocket::custom(figment).ignite().await.unwrap();
        let (rounds, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, told) = (rounds.clone(), done.clone());
        let work = move || {
            let (counted, told) = (counted.clone(), told.clone());
            async move {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                assert!(number != 1, "the second round panics");
                if number == 4 {
                    told.notify_one();
                }
            }
        };
        repeat("test", rocket.shutdown(), work, async || tokio::task::yield_now().await);
        done.notified().await;
        assert!(rounds.load(Ordering::SeqCst) >= 5);
    }
}
