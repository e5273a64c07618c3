//! The two clocks that end a session: the idle clock and the absolute clock.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::SessionConfig;

/// The shortest time between two writes of `last_seen_at`, in seconds, so that not every page view
/// writes. A session may end too early by this time at most.
const TOUCH_INTERVAL: Timestamp = 60;

/// The idle and absolute time-outs, with and without "remember me", in seconds.
#[derive(Debug, Clone)]
pub struct Clocks {
    plain: Pair,
    remember: Pair,
}

#[derive(Debug, Clone)]
struct Pair {
    idle: Timestamp,
    absolute: Timestamp,
}

impl Clocks {
    pub fn new(config: &SessionConfig) -> Self {
        let pair = |idle: Duration, absolute: Duration| Pair {
            idle: idle.as_secs() as Timestamp,
            absolute: absolute.as_secs() as Timestamp,
        };

        Clocks {
            plain: pair(config.idle_timeout, config.absolute_timeout),
            remember: pair(config.remember_idle_timeout, config.remember_absolute_timeout),
        }
    }

    /// Returns the time at which a session ends: that of the clock that ends first.
    pub fn expiry(
        &self,
        created_at: Timestamp,
        last_seen_at: Timestamp,
        remember: bool,
    ) -> Timestamp {
        let pair = self.pair(remember);
        (last_seen_at + pair.idle).min(created_at + pair.absolute)
    }

    /// Returns whether `last_seen_at` is so old that it should be written. It is never due again
    /// within one second, because the write would change nothing.
    pub fn is_touch_due(&self, last_seen_at: Timestamp, now: Timestamp, remember: bool) -> bool {
        now - last_seen_at >= TOUCH_INTERVAL.min(self.pair(remember).idle / 10).max(1)
    }

    fn pair(&self, remember: bool) -> &Pair {
        if remember { &self.remember } else { &self.plain }
    }
}
