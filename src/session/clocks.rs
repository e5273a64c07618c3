//! The two clocks that end a session.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::SessionConfig;

/// A page view moves `last_seen_at` at most this often, so that reading does
/// not mean writing. A session may end early by no more than this.
const TOUCH_INTERVAL: Timestamp = 60;

/// Idle and absolute time-outs, with and without "remember me", in seconds.
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

    /// When a session ends: the earlier of its two ends.
    pub fn expiry(
        &self,
        created_at: Timestamp,
        last_seen_at: Timestamp,
        remember: bool,
    ) -> Timestamp {
        let pair = self.pair(remember);
        (last_seen_at + pair.idle).min(created_at + pair.absolute)
    }

    /// Whether `last_seen_at` is old enough to be worth a write. Never within the same
    /// second: nothing would be changed.
    pub fn is_touch_due(&self, last_seen_at: Timestamp, now: Timestamp, remember: bool) -> bool {
        now - last_seen_at >= TOUCH_INTERVAL.min(self.pair(remember).idle / 10).max(1)
    }

    fn pair(&self, remember: bool) -> &Pair {
        if remember { &self.remember } else { &self.plain }
    }
}
