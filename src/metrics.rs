//! What happens to sessions and mails, counted, through the [`metrics`] facade: they go
//! to whatever recorder the application installs, and nowhere without one.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `rocket_login_sessions_total` | counter | `event`: one of [`Event`] |
//! | `rocket_login_sessions_swept_total` | counter | |
//! | `rocket_login_mails_total` | counter | `event`: one of [`MailEvent`] |
//! | `rocket_login_session_lookup_seconds` | histogram | |
//! | `rocket_login_session_write_seconds` | histogram | |
//! | `rocket_login_panics_total` | counter | `task`: the work beside the requests that goes on after it |
//! | `rocket_login_connections` | gauge | `state`: `used` or `idle`; PostgreSQL alone |
//!
//! No label holds anything of a visitor.

#[cfg(feature = "prometheus")]
mod prometheus;

use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

#[cfg(feature = "prometheus")]
pub use prometheus::prometheus;

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// `created`: a row was added, for a visitor or by a log-in.
    Created,
    /// `regenerated`: it got a new token.
    Regenerated,
    /// `ended`: by a log-out or by the application.
    Ended,
    /// `refused`: a cookie came that belongs to no session: tampered with,
    /// expired or ended.
    Refused,
    /// `conflict`: a write found that the session had ended meanwhile.
    Conflict,
    /// `dropped`: its state could not be read.
    Dropped,
}

pub(crate) fn count(event: Event) {
    let name = match event {
        Event::Created => "created",
        Event::Regenerated => "regenerated",
        Event::Ended => "ended",
        Event::Refused => "refused",
        Event::Conflict => "conflict",
        Event::Dropped => "dropped",
    };
    counter!("rocket_login_sessions_total", "event" => name).increment(1);
}

/// What can happen to a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailEvent {
    /// `sent`: the server took it.
    Sent,
    /// `failed`: it did not, and the mail waits for another attempt.
    Failed,
    /// `dropped`: it never will be sent.
    Dropped,
}

pub(crate) fn mail(event: MailEvent) {
    let name = match event {
        MailEvent::Sent => "sent",
        MailEvent::Failed => "failed",
        MailEvent::Dropped => "dropped",
    };
    counter!("rocket_login_mails_total", "event" => name).increment(1);
}

pub(crate) fn ended(sessions: u64) {
    counter!("rocket_login_sessions_total", "event" => "ended").increment(sessions);
}

pub(crate) fn swept(sessions: u64) {
    counter!("rocket_login_sessions_swept_total").increment(sessions);
}

pub(crate) fn panicked(task: &'static str) {
    counter!("rocket_login_panics_total", "task" => task).increment(1);
}

pub(crate) fn connections(used: usize, idle: usize) {
    gauge!("rocket_login_connections", "state" => "used").set(used as f64);
    gauge!("rocket_login_connections", "state" => "idle").set(idle as f64);
}

pub(crate) fn looked_up(start: Instant) {
    histogram!("rocket_login_session_lookup_seconds").record(seconds(start.elapsed()));
}

pub(crate) fn written(start: Instant) {
    histogram!("rocket_login_session_write_seconds").record(seconds(start.elapsed()));
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
