//! The security history: what happened to an account, for its owner to read,
//! and as lines in the log.

mod kind;
mod line;

use crate::db::Connection;
use crate::sql;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::session::{Client, device};

pub use kind::Kind;
pub use line::Line;

/// How long an event is kept: 180 days.
const KEPT: Timestamp = 180 * 24 * 60 * 60;

/// How many events of one kind are kept, of one account or of all addresses
/// without one. Fewer of those that strangers can make: they must neither fill
/// the disk nor push out what the owner did. And whoever has got in must not push
/// his log-in out by what he does next.
const KEPT_OF_A_KIND: i64 = 100;
const KEPT_OF_STRANGERS: i64 = 20;

/// Something that happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// When, in seconds since 1970.
    pub at: Timestamp,
    /// The device's name, as in "Firefox on Linux".
    pub device: String,
    /// Where it came from; empty when unknown.
    pub ip_address: String,
    /// What the browser said it is.
    pub user_agent: String,
}

/// Adds an event. `user_id` is `None` for an address without an account: the
/// same is written for it, so that the time it takes tells nothing. Of an account
/// that is deleted at the same time it becomes nobody's.
pub(crate) async fn insert(
    db: &mut Connection,
    user_id: Option<i64>,
    kind: Kind,
    client: &Client,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "INSERT INTO login_events (user_id, kind, created_at, ip_address, user_agent)
         VALUES ((SELECT id FROM users WHERE id = $1 /*pg FOR KEY SHARE*/), $2, $3, $4, $5)",
    )
    .bind(user_id)
    .bind(kind.name())
    .bind(now)
    .bind(client.ip_address())
    .bind(&client.user_agent)
    .defer(&mut *db)
    .await?;

    // Two texts: PostgreSQL finds no index for `IS NOT DISTINCT FROM`.
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
    trim.defer(db).await?;
    Ok(())
}

/// Some events of a user.
pub(crate) struct Part {
    /// The newest first.
    pub events: Vec<Event>,
    /// The number of the oldest that was looked at. `None`: there is none.
    pub oldest: Option<i64>,
}

/// The number of the user's newest event; 0 without any.
pub(crate) async fn newest(db: &mut Connection, user_id: i64) -> Result<i64, Error> {
    let newest =
        sql::query_scalar("SELECT coalesce(max(id), 0) FROM login_events WHERE user_id = $1")
            .bind(user_id)
            .fetch_one(db)
            .await?;
    Ok(newest)
}

/// The user's latest events up to that of the number `newest`.
pub(crate) async fn list(
    db: &mut Connection,
    user_id: i64,
    newest: i64,
    limit: u32,
) -> Result<Part, Error> {
    let rows: Vec<(i64, String, Timestamp, String, String)> = sql::query_as(
        "SELECT id, kind, created_at, ip_address, user_agent FROM login_events
         WHERE user_id = $1 AND id <= $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(user_id)
    .bind(newest)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let oldest = rows.last().map(|(id, ..)| *id);
    let event = |(_, kind, at, ip_address, user_agent): (_, String, _, _, String)| {
        let (kind, device) = (Kind::parse(&kind)?, device(&user_agent));
        Some(Event { kind, at, device, ip_address, user_agent })
    };
    Ok(Part { events: rows.into_iter().filter_map(event).collect(), oldest })
}

/// How many log-ins have failed since the last one that did not, or since the
/// operator's `user unlock`.
pub(crate) async fn failures(db: &mut Connection, user_id: i64) -> Result<i64, Error> {
    let count = sql::query_scalar(
        "SELECT count(*) FROM login_events WHERE user_id = $1 AND kind = $2
         AND id > coalesce((SELECT max(id) FROM login_events
                            WHERE user_id = $1 AND kind IN ($3, $4)), 0)",
    )
    .bind(user_id)
    .bind(Kind::LogInFailed.name())
    .bind(Kind::LoggedIn.name())
    .bind(Kind::Unlocked.name())
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Deletes at most `limit` events that are too old.
pub(crate) async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_events WHERE id IN
            (SELECT id FROM login_events WHERE created_at <= $1 LIMIT $2
             /*pg FOR UPDATE SKIP LOCKED*/)",
    )
    .bind(now - KEPT)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
