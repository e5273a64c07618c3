//! The only source of the present time.

#[cfg(feature = "pages")]
mod words;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocket::tokio::sync::Notify;

#[cfg(feature = "pages")]
pub(crate) use words::{in_rfc_3339, in_utc, in_words, wait_in_words};

/// Whole seconds since 1970-01-01 UTC. Every table uses this unit of time.
pub type Timestamp = i64;

/// A clock that tells the present time and that a test can set.
///
/// The stage manages a [`Clock::system()`], unless the application manages its own clock before it
/// attaches the stage.
///
/// # Examples
///
/// ```rust
/// use std::time::Duration;
/// use rocket_login::Clock;
///
/// let clock = Clock::manual(1_000);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), 1_060);
/// ```
#[derive(Debug, Clone)]
pub struct Clock(Option<Arc<Manual>>);

#[derive(Debug)]
struct Manual {
    now: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// Returns the operating system's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// Returns a clock that stands still at `now`, in seconds since 1970, until
    /// [`advance()`](Self::advance()) moves it.
    ///
    /// Clones share the time, so a test can keep one clone and pass on another.
    pub fn manual(now: Timestamp) -> Self {
        Clock(Some(Arc::new(Manual { now: AtomicI64::new(now), moved: Notify::new() })))
    }

    /// Returns the present time, in whole seconds since 1970-01-01 UTC.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(manual) => manual.now.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() as Timestamp),
        }
    }

    /// Returns the time since an instant that is fixed within a process. A change of the system's
    /// clock does not affect it.
    pub(crate) fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Some(manual) => Duration::from_secs(manual.now.load(Ordering::SeqCst).max(0) as u64),
            None => START.elapsed(),
        }
    }

    /// Moves a manual clock forward, in whole seconds. It has no effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.now.fetch_add(by.as_secs() as Timestamp, Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Waits for a number of seconds on this clock.
    #[cfg(feature = "pages")]
    pub(crate) async fn sleep(&self, seconds: Timestamp) {
        let Some(manual) = &self.0 else {
            return rocket::tokio::time::sleep(Duration::from_secs(seconds.max(0) as u64)).await;
        };

        let end = self.now() + seconds;
        loop {
            let mut moved = std::pin::pin!(manual.moved.notified());
            moved.as_mut().enable();
            if self.now() >= end {
                return;
            }
            moved.await;
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}
