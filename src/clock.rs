//! The only source of the present time.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::time::OffsetDateTime;
use ::time::macros::format_description;
use rocket::tokio::sync::Notify;
use rocket::tokio::time;

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

/// Formats an instant for people, as in "23 November 2026, 07:01 UTC".
pub(crate) fn in_utc(at: Timestamp) -> String {
    let format =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    let at = OffsetDateTime::from_unix_timestamp(at).ok();
    at.and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

/// Returns a waiting time in words, as in "10 minutes". It is rounded up, so that nobody who waits
/// that long comes too early.
pub(crate) fn wait_in_words(seconds: Timestamp) -> String {
    let seconds = seconds.max(1) as u64;
    let unit = match seconds {
        0..120 => 1,
        120..7_200 => 60,
        _ => 60 * 60,
    };
    in_words(Duration::from_secs(seconds.next_multiple_of(unit)))
}

/// Returns a duration in words, as in "1 day": in the largest unit that divides it.
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

    #[test]
    fn a_wait_is_rounded_up() {
        for (seconds, words) in [
            (0, "1 second"),
            (30, "30 seconds"),
            (119, "119 seconds"),
            (121, "3 minutes"),
            (3_541, "1 hour"),
            (7_201, "3 hours"),
            (86_399, "1 day"),
        ] {
            assert_eq!(wait_in_words(seconds), words);
        }
    }
}
