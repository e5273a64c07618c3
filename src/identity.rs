//! Identities: accounts at providers that log in to an account here.
//!
//! An identity is the pair of issuer and subject, and never an email address: an address may be
//! somebody else's at the provider, or become somebody else's (account take-over).

use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};

/// How long an identity that was disconnected is kept, in seconds, or a factor that was removed, so that
/// "this was not me" can bring it back: as long as such a link is good, a week.
pub const KEPT: Timestamp = 7 * 24 * 60 * 60;

/// An identity of a user.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: i64,
    #[cfg_attr(not(feature = "providers"), expect(dead_code, reason = "nobody comes with one"))]
    pub user_id: i64,
    pub issuer: String,
    pub subject: String,
    /// The name of the provider in the configuration when the identity was last used.
    pub provider: String,
    /// The address that the provider named when the identity was last used.
    pub email: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

sql::row!(Identity { id, user_id, issuer, subject, provider, email, created_at, last_used_at });

/// What a provider has just said of a person.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "providers"), expect(dead_code, reason = "no provider says anything"))]
pub struct Said<'a> {
    pub provider: &'a str,
    pub issuer: &'a str,
    pub subject: &'a str,
    pub email: Option<&'a str>,
}

/// By what a session has begun.
#[derive(Debug, Clone)]
pub struct Via {
    /// The id of the identity.
    pub id: i64,
    /// What the provider calls its own session, if it has said that.
    pub sid: Option<String>,
}

/// Selects identities that are in use.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, user_id, issuer, subject, provider, email, created_at, last_used_at
             FROM login_identities WHERE removed_at IS NULL AND ",
            $which
        )
    };
}

/// Returns the identity of this issuer and subject. `None`: nobody has it.
#[cfg(feature = "providers")]
pub async fn find(
    db: &mut Connection,
    issuer: &str,
    subject: &str,
) -> Result<Option<Identity>, Error> {
    let found = sql::query_as(select!("issuer = $1 AND subject = $2"))
        .bind(issuer)
        .bind(subject)
        .fetch_optional(db)
        .await?;
    Ok(found)
}

/// Returns the identity `id`. `None`: it was disconnected, or its account was deleted.
pub async fn find_by_id(db: &mut Connection, id: i64) -> Result<Option<Identity>, Error> {
    Ok(sql::query_as(select!("id = $1")).bind(id).fetch_optional(db).await?)
}

/// Returns the identities of the user, the oldest first.
pub async fn list(db: &mut Connection, user_id: i64) -> Result<Vec<Identity>, Error> {
    Ok(sql::query_as(select!("user_id = $1 ORDER BY id")).bind(user_id).fetch_all(db).await?)
}

/// Returns the identities of this issuer that have begun a session which the issuer calls `sid`.
#[cfg(feature = "providers")]
pub async fn list_by_sid(
    db: &mut Connection,
    issuer: &str,
    sid: &str,
) -> Result<Vec<Identity>, Error> {
    let found = sql::query_as(select!(
        "issuer = $1 AND id IN
            (SELECT identity_id FROM sessions WHERE provider_sid = $2
             UNION SELECT identity_id FROM login_pending WHERE provider_sid = $2)
         ORDER BY user_id, id"
    ))
    .bind(issuer)
    .bind(sid)
    .fetch_all(db)
    .await?;
    Ok(found)
}

/// Connects an identity to the user, and returns its id. One that somebody has breaks the index
/// `login_identities_subject_key`.
#[cfg(feature = "providers")]
pub async fn insert(
    db: &mut Connection,
    user_id: i64,
    said: Said<'_>,
    now: Timestamp,
) -> Result<i64, Error> {
    let id = sql::query_scalar(
        "INSERT INTO login_identities (user_id, issuer, subject, provider, email, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
    )
    .bind(user_id)
    .bind(said.issuer)
    .bind(said.subject)
    .bind(said.provider)
    .bind(said.email)
    .bind(now)
    .fetch_one(db)
    .await?;
    Ok(id)
}

/// Notes that the identity `id` was used. The account's own address stays as it is, whatever the
/// provider says.
#[cfg(feature = "providers")]
pub async fn note_use(
    db: &mut Connection,
    id: i64,
    said: Said<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "UPDATE login_identities SET provider = $2, email = coalesce($3, email), last_used_at = $4
         WHERE id = $1",
    )
    .bind(id)
    .bind(said.provider)
    .bind(said.email)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Disconnects the identity `id` of the user. It returns `false` if they have no such identity.
pub async fn remove(
    db: &mut Connection,
    user_id: i64,
    id: i64,
    now: Timestamp,
) -> Result<bool, Error> {
    let removed = sql::query(
        "UPDATE login_identities SET removed_at = $3
         WHERE id = $2 AND user_id = $1 AND removed_at IS NULL",
    )
    .bind(user_id)
    .bind(id)
    .bind(now)
    .execute(db)
    .await?;
    Ok(removed == 1)
}

/// Brings the identities of the user back to what they were at `since`, for "this was not me":
/// otherwise a thief would connect an account of their own, and get in again with it. One that has
/// become somebody else's meanwhile stays theirs.
pub async fn roll_back(db: &mut Connection, user_id: i64, since: Timestamp) -> Result<(), Error> {
    for text in [
        "DELETE FROM login_identities WHERE user_id = $1 AND created_at >= $2",
        "UPDATE login_identities SET removed_at = NULL
         WHERE user_id = $1 AND removed_at >= $2 AND NOT EXISTS
            (SELECT 1 FROM login_identities other
             WHERE other.issuer = login_identities.issuer
             AND other.subject = login_identities.subject AND other.removed_at IS NULL)
         AND id = (SELECT max(latest.id) FROM login_identities latest
             WHERE latest.issuer = login_identities.issuer
             AND latest.subject = login_identities.subject AND latest.user_id = $1)",
    ] {
        sql::query(text).bind(user_id).bind(since).execute(&mut *db).await?;
    }
    Ok(())
}

/// Deletes up to `limit` identities that were disconnected a week ago, and returns how many.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_identities WHERE id IN
            (SELECT id FROM login_identities WHERE removed_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now - KEPT)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
