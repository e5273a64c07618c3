//! The table `throttle`: the number of attempts and mails that are allowed.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, check_duration, check_range};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The table `throttle`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ThrottleConfig {
    /// `enabled` (`true`): throttles attempts.
    pub enabled: bool,
    /// `failures` (10): the wrong passwords in a row before the first delay. They are counted for
    /// one account from one address, on one device that has logged in to it before, or in one
    /// session.
    pub failures: i64,
    /// `account_failures` (50): the wrong passwords in a row before the first delay, for one
    /// account from all addresses. Known devices are not counted.
    pub account_failures: i64,
    /// `failure_limit` (100, the most that NIST SP 800-63B-4, section 3.2.2, allows): the wrong
    /// passwords in a row after which the account is locked. Only a new password by mail, or the
    /// operator's `user unlock`, opens it again.
    pub failure_limit: i64,
    /// `first_delay` (30 seconds): the delay after the free failures. It doubles with each further
    /// failure.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub first_delay: Duration,
    /// `longest_delay` (1 hour): the upper bound of the delay.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub longest_delay: Duration,
    /// `address_failures` (100): the wrong passwords and dead links from one client address in ten
    /// minutes, for all accounts together.
    pub address_failures: i64,
    /// `sign_ups` (1000): the sign-ups from one client address in an hour.
    pub sign_ups: i64,
    /// `mails` (10): the mails to one address in an hour that visitors may cause.
    pub mails: i64,
    /// `address_mails` (100): the mails in an hour that one client address may cause.
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
        // A higher limit, of more than one attempt a second, would slow nobody down.
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
            "throttle.enabled is false: nothing slows down the guessing of passwords; remove the \
             key"
            .to_owned()
        })
    }
}
