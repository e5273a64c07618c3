//! Devices: browsers that have logged in to an account before.
//!
//! A device is known by a cookie with its own token, which stays after a log-out. The cookie logs
//! nobody in. If a browser logs in without it, the owner gets a notice.

use std::time::Duration;

use rocket::Request;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookie, SealedCookies};
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};
use crate::token::{Token, TokenId};

/// The longest time that browsers keep a cookie (RFC 6265bis, section 5.5). It starts with the last
/// log-in.
const LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The largest number of devices of one user. Programs without a cookie jar would otherwise add one
/// with each log-in.
const MOST: i64 = 50;

/// The cookie of a device. It is in managed state.
#[derive(Debug)]
pub struct DeviceCookie(SealedCookie);

impl DeviceCookie {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        DeviceCookie(SealedCookie::new(config, cookies, "device"))
    }

    /// Returns the token of the device that sent the request: the first valid one if there are
    /// several. `None` means that the browser has no such cookie.
    pub fn of(&self, request: &Request<'_>) -> Option<Token> {
        self.0.all_of(request).iter().find_map(|text| Token::parse(text))
    }

    /// Sends `token` with the response.
    pub fn send(&self, token: &Token, pending: &PendingCookies) {
        pending.set(self.0.seal(&token.to_text(), LIFETIME));
    }
}

/// A device as its owner sees it.
#[derive(Debug)]
pub struct Device {
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// Until when it may skip the second factor.
    pub trusted_until: Option<Timestamp>,
}

sql::row!(Device { created_at, last_seen_at, trusted_until });

/// Returns whether the device has logged in to this account before.
pub async fn is_known(db: &mut Connection, user_id: i64, id: TokenId) -> Result<bool, Error> {
    let known: Option<i64> =
        sql::query_scalar("SELECT user_id FROM login_devices WHERE user_id = $1 AND id = $2")
            .bind(user_id)
            .bind(id)
            .fetch_optional(db)
            .await?;
    Ok(known.is_some())
}

/// Records a log-in of a device. It returns `false`, and records nothing, if the device has never
/// logged in to this account before.
pub async fn touch(
    db: &mut Connection,
    user_id: i64,
    id: TokenId,
    now: Timestamp,
) -> Result<bool, Error> {
    let touched =
        sql::query("UPDATE login_devices SET last_seen_at = $3 WHERE user_id = $1 AND id = $2")
            .bind(user_id)
            .bind(id)
            .bind(now)
            .execute(db)
            .await?;
    Ok(touched == 1)
}

/// Returns whether a log-in from the device needs no second factor.
pub async fn is_trusted(
    db: &mut Connection,
    user_id: i64,
    id: TokenId,
    now: Timestamp,
) -> Result<bool, Error> {
    let trusted: Option<i64> = sql::query_scalar(
        "SELECT user_id FROM login_devices WHERE user_id = $1 AND id = $2 AND trusted_until > $3",
    )
    .bind(user_id)
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(trusted.is_some())
}

/// Lets the device skip the second factor until `until`.
pub async fn trust(
    db: &mut Connection,
    user_id: i64,
    id: TokenId,
    until: Timestamp,
) -> Result<(), Error> {
    sql::query("UPDATE login_devices SET trusted_until = $3 WHERE user_id = $1 AND id = $2")
        .bind(user_id)
        .bind(id)
        .bind(until)
        .execute(db)
        .await?;
    Ok(())
}

/// Lets no device of the user skip the second factor any more.
pub async fn distrust(db: &mut Connection, user_id: i64) -> Result<(), Error> {
    sql::query(
        "UPDATE login_devices SET trusted_until = NULL
         WHERE user_id = $1 AND trusted_until IS NOT NULL",
    )
    .bind(user_id)
    .execute(db)
    .await?;
    Ok(())
}

/// Lets no device of anybody skip the second factor any more.
pub async fn distrust_all(db: &mut Connection) -> Result<(), Error> {
    sql::query("UPDATE login_devices SET trusted_until = NULL WHERE trusted_until IS NOT NULL")
        .execute(db)
        .await?;
    Ok(())
}

/// Returns how many devices of the user may skip the second factor.
pub async fn count_trusted(
    db: &mut Connection,
    user_id: i64,
    now: Timestamp,
) -> Result<i64, Error> {
    let count = sql::query_scalar(
        "SELECT count(*) FROM login_devices WHERE user_id = $1 AND trusted_until > $2",
    )
    .bind(user_id)
    .bind(now)
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Adds a device. If the user then has more than [`MOST`], it deletes those that were not seen for
/// the longest time.
pub async fn insert(
    db: &mut Connection,
    user_id: i64,
    id: TokenId,
    now: Timestamp,
) -> Result<(), Error> {
    // SQLite looks at the value of a `LIMIT` and plans the statement again for each value, so the
    // bound is in `OFFSET`.
    sql::query(
        "DELETE FROM login_devices WHERE user_id = $1 AND id IN
            (SELECT id FROM login_devices WHERE user_id = $1
             ORDER BY last_seen_at DESC LIMIT 1000 OFFSET $2)",
    )
    .bind(user_id)
    .bind(MOST - 1)
    .execute(&mut *db)
    .await?;
    sql::query(
        "INSERT INTO login_devices (id, user_id, created_at, last_seen_at) VALUES ($1, $2, $3, $3)",
    )
    .bind(id)
    .bind(user_id)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes all devices of the user except `kept`. Each of them causes a notice at its next log-in,
/// and its failures count with those of unknown browsers.
pub async fn forget_others(
    db: &mut Connection,
    user_id: i64,
    kept: Option<TokenId>,
) -> Result<(), Error> {
    sql::query("DELETE FROM login_devices WHERE user_id = $1 AND id IS DISTINCT FROM $2")
        .bind(user_id)
        .bind(kept.map(Vec::from))
        .execute(db)
        .await?;
    Ok(())
}

/// Returns the user's devices. The device that was seen last is first.
pub async fn list(db: &mut Connection, user_id: i64) -> Result<Vec<Device>, Error> {
    let devices = sql::query_as(
        "SELECT created_at, last_seen_at, trusted_until FROM login_devices WHERE user_id = $1
         ORDER BY last_seen_at DESC",
    )
    .bind(user_id)
    .fetch_all(db)
    .await?;
    Ok(devices)
}

/// Deletes at most `limit` devices whose cookie has expired, and returns how many.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_devices WHERE (user_id, id) IN
            (SELECT user_id, id FROM login_devices WHERE last_seen_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now - LIFETIME.as_secs() as Timestamp)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
