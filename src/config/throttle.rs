//! The table `throttle`: how often somebody may try.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, check_duration, check_range};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The table `throttle`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleConfig {
    /// `enabled` (`true`): whether attempts are throttled.
    pub enabled: bool,
    /// `failures` (10): wrong passwords in a row before the first delay, for one
    /// account from one address, on one device that has logged in to it before,
    /// or in one session.
    pub failures: i64,
    /// `account_failures` (50): the same for one account from all addresses,
    /// known devices aside.
    pub account_failures: i64,
    /// `failure_limit` (100, the most that NIST SP 800-63B-4, section 3.2.2,
    /// allows): from so many in a row on, only a new password by mail, or the
    /// operator's `user unlock`, helps.
    pub failure_limit: i64,
    /// `first_delay` (30 seconds): after the failures that are free. It doubles
    /// with each further one.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub first_delay: Duration,
    /// `longest_delay` (1 hour).
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub longest_delay: Duration,
    /// `address_failures` (100): wrong passwords and dead links from one client
    /// address in ten minutes, whichever the accounts.
    pub address_failures: i64,
    /// `sign_ups` (1000): from one client address in an hour.
    pub sign_ups: i64,
    /// `mails` (10): that anybody may have sent to one mail address in an hour.
    pub mails: i64,
    /// `address_mails` (100): that one client address may have sent in an hour.
    pub address_mails: i64,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        ThrottleConfig {
            enabled: true,
            failures: 10,
            account_failures: 50,
            failure_limit: 100,
            first_delay: Duration::from_secs(30),
            longest_delay: Duration::from_secs(60 * 60),
            address_failures: 100,
            sign_ups: 1000,
            mails: 10,
            address_mails: 100,
        }
    }
}

impl ThrottleConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_range("throttle.failure_limit", self.failure_limit, 1..=100)?;
        check_range("throttle.failures", self.failures, 1..=self.failure_limit)?;
        check_range("throttle.account_failures", self.account_failures, 1..=self.failure_limit)?;
        check_duration("throttle.longest_delay", self.longest_delay, DAY)?;
        check_duration("throttle.first_delay", self.first_delay, self.longest_delay)?;
        // More than one a second would not hold anybody up.
        for (key, value, most) in [
            ("throttle.address_failures", self.address_failures, 600),
            ("throttle.sign_ups", self.sign_ups, 3_600),
            ("throttle.mails", self.mails, 3_600),
            ("throttle.address_mails", self.address_mails, 3_600),
        ] {
            check_range(key, value, 1..=most)?;
        }
        Ok(())
    }

    pub(super) fn warning(&self, debug: bool) -> Option<String> {
        (!self.enabled && !debug).then(|| {
            "throttle.enabled is false: nothing stops anybody from guessing passwords; remove the \
             key"
            .to_owned()
        })
    }
}
