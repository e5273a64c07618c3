//! The one source of "now".

use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::time::OffsetDateTime;
use ::time::macros::format_description;
use rocket::tokio::sync::Notify;
use rocket::tokio::time;

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
pub struct Clock(Option<Arc<Manual>>);

#[derive(Debug)]
struct Manual {
    now: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that stands at `now`, in seconds since 1970, until it is moved.
    ///
    /// Clones share the time, so a test keeps one and hands over another.
    pub fn manual(now: Timestamp) -> Self {
        Clock(Some(Arc::new(Manual { now: AtomicI64::new(now), moved: Notify::new() })))
    }

    /// The present time, in whole seconds.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(manual) => manual.now.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() as Timestamp),
        }
    }

    /// How much time has passed since an instant that stays the same in a process. Setting the
    /// system's clock does not move it.
    pub(crate) fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Some(manual) => Duration::from_secs(manual.now.load(Ordering::SeqCst).max(0) as u64),
            None => START.elapsed(),
        }
    }

    /// Moves a manual clock forward. The system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.now.fetch_add(by.as_secs() as Timestamp, Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Waits for whole seconds of this clock's time.
    pub(crate) async fn sleep(&self, seconds: Timestamp) {
        let Some(manual) = &self.0 else {
            return time::sleep(Duration::from_secs(seconds.max(0) as u64)).await;
        };

        let end = self.now() + seconds;
        loop {
            let mut moved = pin!(manual.moved.notified());
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

/// An instant for people to read, as in "23 November 2026, 07:01 UTC".
pub(crate) fn in_utc(at: Timestamp) -> String {
    let format =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    let at = OffsetDateTime::from_unix_timestamp(at).ok();
    at.and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

/// A duration for people to read, as in "24 hours": in the largest unit that divides it.
pub(crate) fn in_words(lifetime: Duration) -> String {
    let seconds = lifetime.as_secs();
    let (count, unit) = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute")]
        .into_iter()
        .find(|(length, _)| seconds.is_multiple_of(*length))
        .map_or((seconds, "second"), |(length, unit)| (seconds / length, unit));
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_formatted_for_people() {
        assert_eq!(in_utc(1_767_225_600), "1 January 2026, 00:00 UTC");
        assert_eq!(in_utc(i64::MAX), "");
    }

    #[test]
    fn a_duration_is_formatted_for_people() {
        for (seconds, words) in [
            (3_600, "1 hour"),
            (86_400, "1 day"),
            (7 * 86_400, "7 days"),
            (5_400, "90 minutes"),
            (61, "61 seconds"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
