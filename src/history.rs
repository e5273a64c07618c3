//! The security history: the events of an account, which its owner can read, and which are also
//! lines in the log.

mod kind;
mod line;
mod polled;

use std::fmt;

use serde::Serialize;

use crate::client::{Client, device_name, is_operator};
use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};

pub use kind::EventKind;
pub(crate) use line::Line;
#[cfg(feature = "cli")]
pub(crate) use line::TARGET;
pub(crate) use polled::Polled;

/// How many seconds an event is kept: 180 days.
const KEPT: Timestamp = 180 * 24 * 60 * 60;

/// The most events of one kind that are kept for one account, or for all addresses without an
/// account together. The limit is lower for events that strangers can cause: these must neither
/// fill the disk nor push out what the owner did. And an attacker who has got in must not be able
/// to push out the event of their own log-in.
const KEPT_OF_A_KIND: i64 = 100;
const KEPT_OF_STRANGERS: i64 = 20;

/// The detail of a log-in from a device that was not known. No role has such a name.
pub(crate) const NEW_DEVICE: &str = "new_device";

/// An event in the history of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The kind of event.
    pub kind: EventKind,
    /// The time, in seconds since 1970.
    pub at: Timestamp,
    /// The name of the device, such as "Firefox on Linux".
    pub device: String,
    /// The client's IP address. It is empty if it is not known.
    pub ip_address: String,
    /// The `User-Agent` that the browser sent.
    pub user_agent: String,
    /// What the event is about, if its kind does not say it all: the name of the role that was
    /// granted or revoked, the kind of the factor that was added or removed (`password` for a removed
    /// password), or `new_device` for a log-in from a device that was not known. It is empty for all
    /// other events.
    pub detail: String,
}

impl Event {
    /// Returns whether it is a log-in from a device that was not known.
    pub(crate) fn is_from_new_device(&self) -> bool {
        self.kind == EventKind::LoggedIn && self.detail == NEW_DEVICE
    }
}

/// Describes the event in words, for the user.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_about_factor =
            matches!(self.kind, EventKind::FactorAdded | EventKind::FactorRemoved);
        match &*self.detail {
            "" => self.kind.fmt(f),
            NEW_DEVICE if self.is_from_new_device() => {
                write!(f, "{} from a new device", self.kind)
            }
            "password" if is_about_factor => write!(f, "Password removed"),
            "app" if is_about_factor => write!(f, "{}: authenticator app", self.kind),
            "recovery_codes" if is_about_factor => write!(f, "{}: recovery codes", self.kind),
            detail => write!(f, "{}: {detail}", self.kind),
        }
    }
}

/// Adds an event of a kind, with its detail or `""`, and deletes the oldest ones beyond the limit. `user_id` is `None` for an address
/// without an account, and the work stays equal, so that the time reveals nothing (user
/// enumeration). If the account is deleted at the same time, the event belongs to no account.
pub(crate) async fn insert(
    db: &mut Connection,
    user_id: Option<i64>,
    (kind, detail): (EventKind, &str),
    client: &Client,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "INSERT INTO login_events (user_id, kind, created_at, ip_address, user_agent, detail)
         VALUES ((SELECT id FROM users WHERE id = $1 $lock), $2, $3, $4, $5, $6)",
    )
    .locking(Lock::KeyShare)
    .bind(user_id)
    .bind(kind.name())
    .bind(now)
    .bind(client.ip_address())
    .bind(&client.user_agent)
    .bind(detail)
    .surely()
    .execute(&mut *db)
    .await?;

    // There are two statements, because PostgreSQL uses no index for `IS NOT DISTINCT FROM`.
    let kept = if kind.is_anybodys() { KEPT_OF_STRANGERS } else { KEPT_OF_A_KIND };
    let trim = match user_id {
        Some(user_id) => sql::query(
            "DELETE FROM login_events WHERE user_id = $3 AND kind = $1 AND id <=
                (SELECT id FROM login_events WHERE user_id = $3 AND kind = $1
                 ORDER BY id DESC LIMIT 1 OFFSET $2)",
        )
        .bind(kind.name())
        .bind(kept)
        .bind(user_id),
        None => sql::query(
            "DELETE FROM login_events WHERE user_id IS NULL AND kind = $1 AND id <=
                (SELECT id FROM login_events WHERE user_id IS NULL AND kind = $1
                 ORDER BY id DESC LIMIT 1 OFFSET $2)",
        )
        .bind(kind.name())
        .bind(kept),
    };
    trim.execute(db).await?;
    Ok(())
}

/// A part of a user's events.
pub(crate) struct Part {
    /// The events, the newest first.
    pub events: Vec<Event>,
    /// The id of the oldest event that was read. `None` means that there is none.
    pub oldest: Option<i64>,
}

/// Returns the id of the user's newest event, or 0 if there is none.
pub(crate) async fn newest(db: &mut Connection, user_id: i64) -> Result<i64, Error> {
    let newest =
        sql::query_scalar("SELECT coalesce(max(id), 0) FROM login_events WHERE user_id = $1")
            .bind(user_id)
            .fetch_one(db)
            .await?;
    Ok(newest)
}

/// Returns up to `limit` of the user's events, from the one with the id `newest` backwards.
pub(crate) async fn list(
    db: &mut Connection,
    user_id: i64,
    newest: i64,
    limit: u32,
) -> Result<Part, Error> {
    let rows: Vec<(i64, String, Timestamp, String, String, String)> = sql::query_as(
        "SELECT id, kind, created_at, ip_address, user_agent, detail FROM login_events
         WHERE user_id = $1 AND id <= $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(user_id)
    .bind(newest)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let oldest = rows.last().map(|(id, ..)| *id);
    let event = |row: (_, String, _, String, String, _)| {
        let (_, kind, at, mut ip_address, user_agent, detail) = row;
        if is_operator(&user_agent) {
            // Where an administrator works is nothing for the user. It is in the row and the log.
            ip_address.clear();
        }
        let (kind, device) = (EventKind::parse(&kind)?, device_name(&user_agent));
        Some(Event { kind, at, device, ip_address, user_agent, detail })
    };
    Ok(Part { events: rows.into_iter().filter_map(event).collect(), oldest })
}

/// Returns the number of log-ins that have failed since the last successful one, or since the
/// operator's `user unlock`.
pub(crate) async fn failures(db: &mut Connection, user_id: i64) -> Result<i64, Error> {
    let count = sql::query_scalar(
        "SELECT count(*) FROM login_events WHERE user_id = $1 AND kind = $2
         AND id > coalesce((SELECT max(id) FROM login_events
                            WHERE user_id = $1 AND kind IN ($3, $4)), 0)",
    )
    .bind(user_id)
    .bind(EventKind::LogInFailed.name())
    .bind(EventKind::LoggedIn.name())
    .bind(EventKind::Unlocked.name())
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Deletes up to `limit` events that are too old, and returns how many.
pub(crate) async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_events WHERE id IN
            (SELECT id FROM login_events WHERE created_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now - KEPT)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}

/// When something last happened, by the clock of then. 0: never.
#[cfg(feature = "cli")]
pub(crate) async fn latest_event(db: &mut Connection) -> Result<Timestamp, Error> {
    let latest = sql::query_scalar(
        "SELECT coalesce(max(at), 0) FROM (SELECT max(created_at) AS at FROM login_events
                                           UNION ALL SELECT max(created_at) FROM users) AS latest",
    )
    .fetch_one(db)
    .await?;
    Ok(latest)
}
