//! Work beside the requests, from lift-off to shutdown.
//!
//! A panic in it is logged and counted, and the next round goes on: a sweep that
//! ended for good would be noticed when the disk is full.

use std::panic::AssertUnwindSafe;

use rocket::futures::FutureExt;
use rocket::{Shutdown, tokio};

use crate::metrics;

/// One round of the work called `name`. `None`: it panicked.
pub async fn round<T>(name: &'static str, work: impl Future<Output = T>) -> Option<T> {
    // What a panic leaves behind is the round's own, or in the database.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Some(done),
        Err(_) => {
            panicked(name);
            None
        }
    }
}

/// Notes that the work called `name` has panicked, and goes on.
pub fn panicked(name: &'static str) {
    log::error!("the {name} panicked, and goes on");
    metrics::panicked(name);
}

/// Does the work called `name` round after round, with a pause between.
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
