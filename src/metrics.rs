//! Counts what happens to sessions and mails, through the [`metrics`] facade. The application
//! installs a recorder; without one, nothing is recorded.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `rocket_login_sessions_total` | counter | `event`: one of [`SessionEvent`] |
//! | `rocket_login_sessions_swept_total` | counter | |
//! | `rocket_login_mails_total` | counter | `event`: one of [`MailEvent`] |
//! | `rocket_login_factors_total` | counter | `event`: one of [`FactorEvent`] |
//! | `rocket_login_providers_total` | counter | `provider`: its name; `event`: one of [`ProviderEvent`] |
//! | `rocket_login_session_lookup_seconds` | histogram | |
//! | `rocket_login_session_write_seconds` | histogram | |
//! | `rocket_login_panics_total` | counter | `task`: the background task, which continues after the panic |
//! | `rocket_login_connections` | gauge | `state`: `used` or `idle`; only on PostgreSQL |
//!
//! No label contains anything about a visitor.

#[cfg(feature = "prometheus")]
mod prometheus;

use std::time::{Duration, Instant};

use metrics::{counter, histogram};

#[cfg(feature = "prometheus")]
pub use prometheus::prometheus;

/// An event in the life of a session. The code is the value of the label `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// `created`: a visitor or a log-in began a session.
    Created,
    /// `regenerated`: the session got a new token.
    Regenerated,
    /// `ended`: a log-out or the application ended the session.
    Ended,
    /// `refused`: a cookie belongs to no session, because it was tampered with, or the session has
    /// expired or ended.
    Refused,
    /// `conflict`: a write found that the session had ended meanwhile.
    Conflict,
    /// `dropped`: the state of the session could not be read.
    Dropped,
}

pub(crate) fn count(event: SessionEvent) {
    let name = match event {
        SessionEvent::Created => "created",
        SessionEvent::Regenerated => "regenerated",
        SessionEvent::Ended => "ended",
        SessionEvent::Refused => "refused",
        SessionEvent::Conflict => "conflict",
        SessionEvent::Dropped => "dropped",
    };
    counter!("rocket_login_sessions_total", "event" => name).increment(1);
}

/// An event in the life of a mail. The code is the value of the label `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailEvent {
    /// `sent`: the server accepted the mail.
    Sent,
    /// `failed`: the server did not accept the mail, which waits for another attempt.
    Failed,
    /// `dropped`: the mail will never be sent.
    Dropped,
}

#[cfg(feature = "pages")]
pub(crate) fn mail(event: MailEvent) {
    let name = match event {
        MailEvent::Sent => "sent",
        MailEvent::Failed => "failed",
        MailEvent::Dropped => "dropped",
    };
    counter!("rocket_login_mails_total", "event" => name).increment(1);
}

/// What was given as the second factor. The code is the value of the label `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactorEvent {
    /// `app`: a code from an app.
    App,
    /// `recovery_code`: a recovery code.
    RecoveryCode,
    /// `passkey`: a passkey, at a log-in with it alone as well.
    Passkey,
    /// `failed`: a wrong code, or a passkey that was refused.
    Failed,
}

#[cfg(feature = "pages")]
pub(crate) fn factor(event: FactorEvent) {
    let name = match event {
        FactorEvent::App => "app",
        FactorEvent::RecoveryCode => "recovery_code",
        FactorEvent::Passkey => "passkey",
        FactorEvent::Failed => "failed",
    };
    counter!("rocket_login_factors_total", "event" => name).increment(1);
}

/// What was done with a provider. The code is the value of the label `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderEvent {
    /// `signed_up`: a visitor got a new account.
    SignedUp,
    /// `logged_in`: a user came back; the second factor may still be missing.
    LoggedIn,
    /// `linked`: a user connected an account at the provider.
    Linked,
    /// `unlinked`: a user disconnected one.
    Unlinked,
    /// `reauthenticated`: a user showed again who they are.
    Reauthenticated,
    /// `logged_out`: the provider ended sessions.
    LoggedOut,
    /// `refused`: the answer did not hold, or the site refused the visitor.
    Refused,
    /// `down`: the provider did not answer.
    Down,
}

#[cfg(feature = "pages")]
pub(crate) fn provider(name: &str, event: ProviderEvent) {
    let event = match event {
        ProviderEvent::SignedUp => "signed_up",
        ProviderEvent::LoggedIn => "logged_in",
        ProviderEvent::Linked => "linked",
        ProviderEvent::Unlinked => "unlinked",
        ProviderEvent::Reauthenticated => "reauthenticated",
        ProviderEvent::LoggedOut => "logged_out",
        ProviderEvent::Refused => "refused",
        ProviderEvent::Down => "down",
    };
    let name = name.to_owned();
    counter!("rocket_login_providers_total", "provider" => name, "event" => event).increment(1);
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

#[cfg(feature = "postgres")]
pub(crate) fn connections(used: usize, idle: usize) {
    metrics::gauge!("rocket_login_connections", "state" => "used").set(used as f64);
    metrics::gauge!("rocket_login_connections", "state" => "idle").set(idle as f64);
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
