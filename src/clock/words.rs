//! Times and durations in words, for people.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::Timestamp;

/// Formats an instant for people, as in "23 November 2026, 07:01 UTC".
pub(crate) fn in_utc(at: Timestamp) -> String {
    let format =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    let at = OffsetDateTime::from_unix_timestamp(at).ok();
    at.and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

/// Formats an instant for programs, as in `2026-01-01T00:00:00Z`. `None` means that it is not in the
/// years 0 to 9999.
pub(crate) fn in_rfc_3339(at: Timestamp) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(at).ok()?.format(&Rfc3339).ok()
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
