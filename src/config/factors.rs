//! The table `factors`: second factors.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, check_duration};

/// The longest time for which a device may skip the second factor.
const LONGEST_TRUST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The table `factors`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FactorsConfig {
    /// `app` (`true`): users can add an app that shows codes. Without it, one that exists goes on
    /// working, and can be removed.
    pub app: bool,
    /// `required` (`false`): an account without a second factor reaches only the pages on which it
    /// gets one.
    pub required: bool,
    /// `trusted_for` (0, never): how long a device may skip the second factor, if its user has asked
    /// for it. At most 30 days.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub trusted_for: Duration,
}

impl Default for FactorsConfig {
    fn default() -> Self {
        FactorsConfig { app: true, required: false, trusted_for: Duration::ZERO }
    }
}

impl FactorsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.required && !self.app {
            return Err(ConfigError::new(
                "factors.required",
                "is true, but factors.app is false, so nobody could get a second factor; write \
                 true for both",
            ));
        }
        match self.trusted_for.is_zero() {
            true => Ok(()),
            false => check_duration("factors.trusted_for", self.trusted_for, LONGEST_TRUST),
        }
    }

    /// Returns a warning if nobody can meet `required`: a factor needs a confirmed address.
    pub(super) fn warning(&self, has_mail: bool) -> Option<String> {
        (self.required && !has_mail).then(|| {
            "factors.required is true, but mail.url is not set: an account whose address is not \
             confirmed can never get a second factor; set mail.url"
                .to_owned()
        })
    }
}
