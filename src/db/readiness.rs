//! Checks whether the database is ready, once for all who ask.

use std::time::Duration;

use rocket::tokio::sync::Mutex;

use crate::clock::Clock;

/// How long one look serves all. A look takes the writer: if 1,500 connections asked one after the
/// other, log-ins would wait for the looks.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// The last look at the database.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    /// When the look began, so that what has happened since is noticed within [`SHARED_FOR`].
    at: Duration,
    is_ready: bool,
}

impl Readiness {
    /// Returns the result of the last look, or that of `look` if the last one was too long ago. If
    /// a look is under way, this waits for it.
    pub async fn ask(&self, clock: &Clock, look: impl Future<Output = bool>) -> bool {
        let mut seen = self.0.lock().await;
        let now = clock.elapsed();
        if let Some(seen) = &*seen
            // Callers may use two clocks. If a clock is behind, it does not tell the look's age.
            && now.checked_sub(seen.at).is_some_and(|age| age < SHARED_FOR)
        {
            return seen.is_ready;
        }

        let is_ready = look.await;
        *seen = Some(Seen { at: now, is_ready });
        is_ready
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use rocket::futures::future::join_all;
    use rocket::tokio::task::yield_now;

    use super::*;

    #[rocket::async_test]
    async fn one_check_answers_all_requests_within_a_second() {
        let (clock, readiness, looks) =
            (Clock::manual(1_000), Readiness::default(), AtomicUsize::new(0));
        let ask = |found: bool| {
            let looks = &looks;
            readiness.ask(&clock, async move {
                looks.fetch_add(1, SeqCst);
                for _ in 0..10 {
                    yield_now().await; // all others ask in the meantime
                }
                found
            })
        };

        // A failure is shared as well as a success.
        for found in [true, false, true] {
            let before = looks.load(SeqCst);
            let answers = join_all((0..1_500).map(|_| ask(found))).await;
            assert!(answers.iter().all(|answer| *answer == found));
            assert_eq!(ask(!found).await, found, "a second check ran within a second");
            assert_eq!(looks.load(SeqCst), before + 1);
            clock.advance(SHARED_FOR);
        }
    }

    #[rocket::async_test]
    async fn a_clock_that_is_behind_gets_its_own_check() {
        let readiness = Readiness::default();
        assert!(readiness.ask(&Clock::manual(1_000), async { true }).await);
        assert!(!readiness.ask(&Clock::manual(10), async { false }).await);
    }
}
