//! The one source of "now".

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole seconds since 1970-01-01 UTC: the one unit of time in every table.
pub type Timestamp = i64;

/// Tells the time, and lets a test say what time it is.
///
/// The stage manages a [`Clock::system()`] unless the application manages a
/// clock of its own before attaching it.
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
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that stands at `now`, in seconds since 1970, until it is moved.
    ///
    /// Clones share the time, so a test keeps one and hands over another.
    pub fn manual(now: Timestamp) -> Self {
        Clock(Some(Arc::new(AtomicI64::new(now))))
    }

    /// The present time, in whole seconds.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() as Timestamp),
        }
    }

    /// Moves a manual clock forward. The system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(by.as_secs() as Timestamp, Ordering::SeqCst);
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}
