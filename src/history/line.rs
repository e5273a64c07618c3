//! Writes an event as a line in the log.

use std::fmt;

use log::Level;

use super::EventKind;
use crate::clock::{Timestamp, in_rfc_3339};
use crate::user::Email;

/// The target of the lines.
pub const TARGET: &str = "rocket_login::security";

/// An event as one line, in a stable form:
///
/// ```text
/// security: time=2026-01-01T00:00:00Z event=log_in_failed ip=203.0.113.7 user=12 email=a***@example.org
/// ```
///
/// It always has these fields in this order, and the time is in UTC. An unknown value is `-`. It
/// contains no secret, and no complete address. An event of a role ends with its name:
/// `detail=editor`.
#[derive(Debug)]
pub struct Line {
    pub at: Timestamp,
    pub kind: EventKind,
    pub ip_address: String,
    pub user_id: Option<i64>,
    pub email: Option<Email>,
    /// What the event is about, or nothing. It has no blank and no control character.
    pub detail: String,
}

impl Line {
    /// Writes the line to the log.
    ///
    /// What was refused is a warning. Anything else is information, unless the log leaves that out,
    /// as Rocket's release profile does: then it is a warning too, because a log with only the
    /// refusals does not show whether an attack succeeded in the end (ASVS 5.0, 16.3.1).
    pub fn log(&self) {
        let is_warning = self.kind.is_refusal() || !log::log_enabled!(target: TARGET, Level::Info);
        let level = if is_warning { Level::Warn } else { Level::Info };
        log::log!(target: TARGET, level, "{self}");
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: Option<String>| match text {
            Some(text) if !text.is_empty() => text,
            _ => "-".into(),
        };
        write!(
            f,
            "security: time={} event={} ip={} user={} email={}",
            or_dash(in_rfc_3339(self.at)),
            self.kind.name(),
            or_dash(Some(self.ip_address.clone())),
            or_dash(self.user_id.map(|id| id.to_string())),
            or_dash(self.email.as_deref().map(masked)),
        )?;
        match &*self.detail {
            "" => Ok(()),
            detail => write!(f, " detail={detail}"),
        }
    }
}

/// Returns the first letter and the domain. An [`Email`] contains no blank and no control
/// character, so nobody can add lines of their own (log injection).
fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or(("", email));
    let first: String = local.chars().take(1).collect();
    format!("{first}***@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_has_a_stable_format() {
        let mut line = Line {
            at: 1_767_225_600,
            kind: EventKind::LogInFailed,
            ip_address: "203.0.113.7".into(),
            user_id: Some(12),
            email: Some(Email::parse("ada@example.org").unwrap()),
            detail: String::new(),
        };
        assert_eq!(
            line.to_string(),
            "security: time=2026-01-01T00:00:00Z event=log_in_failed ip=203.0.113.7 user=12 \
             email=a***@example.org"
        );

        let (kind, detail) = (EventKind::RoleGranted, "editor".into());
        line = Line { kind, detail, ..line };
        assert_eq!(
            line.to_string(),
            "security: time=2026-01-01T00:00:00Z event=role_granted ip=203.0.113.7 user=12 \
             email=a***@example.org detail=editor"
        );

        let (kind, detail) = (EventKind::LogInFailed, String::new());
        line = Line { kind, detail, ..line };
        line = Line { user_id: None, email: None, ip_address: String::new(), ..line };
        assert_eq!(
            line.to_string(),
            "security: time=2026-01-01T00:00:00Z event=log_in_failed ip=- user=- email=-"
        );
    }
}
