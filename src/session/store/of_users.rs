//! Statements about all sessions of a user.

use super::texts::of_generation;
use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::identity::Via;
use crate::sql::{self, Lock};
use crate::token::TokenId;

/// A session as its owner sees it.
#[derive(Debug)]
pub struct Listed {
    pub family: TokenId,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub ip_address: String,
    pub user_agent: String,
    /// `true` if two factors were given in the session.
    pub is_strong: bool,
    /// The name of the provider with which it began.
    pub provider: Option<String>,
}

sql::row!(Listed {
    family,
    created_at,
    last_seen_at,
    expires_at,
    ip_address,
    user_agent,
    is_strong,
    provider,
});

/// A page of a list: its largest number of rows, and the number of rows before it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub limit: i64,
    pub offset: i64,
}

/// Returns a part of the user's sessions that have not expired at `now`. The session `first` comes
/// first, and the others follow in the order of their last use, the latest first.
pub async fn list(
    db: &mut Connection,
    user_id: i64,
    first: Option<TokenId>,
    part: Part,
    now: Timestamp,
) -> Result<Vec<Listed>, Error> {
    let listed = sql::query_as(concat!(
        "SELECT family, created_at, last_seen_at, expires_at, ip_address, user_agent,
                strong_at IS NOT NULL AS is_strong,
                (SELECT provider FROM login_identities i WHERE i.id = identity_id) AS provider
         FROM sessions WHERE user_id = $1 AND expires_at > $2 AND ",
        of_generation!(),
        " ORDER BY CASE WHEN family = $3 THEN 0 ELSE 1 END,
                   last_seen_at DESC, created_at DESC, family
         LIMIT $4 OFFSET $5",
    ))
    .bind(user_id)
    .bind(now)
    .bind(first.map(Vec::from))
    .bind(part.limit)
    .bind(part.offset)
    .fetch_all(db)
    .await?;
    Ok(listed)
}

/// A session as it is exported.
#[derive(Debug)]
pub struct Exported {
    pub data: String,
    pub remember: bool,
    pub authenticated_at: Option<Timestamp>,
    pub strong_at: Option<Timestamp>,
    pub listed: Listed,
}

sql::row!(Exported { data, remember, authenticated_at, strong_at } with listed);

/// Returns those of the sessions `families` that have not expired at `now`. The session that was
/// used last is first.
///
/// It does not take the user as a condition, because a session never changes its user. With it,
/// SQLite would search all the user's sessions for each few.
pub async fn export(
    db: &mut Connection,
    families: &[TokenId],
    now: Timestamp,
) -> Result<Vec<Exported>, Error> {
    let text = format!(
        "SELECT data, remember, authenticated_at, strong_at, family, created_at, last_seen_at, expires_at,
                ip_address, user_agent, strong_at IS NOT NULL AS is_strong,
                (SELECT provider FROM login_identities i WHERE i.id = identity_id) AS provider
         FROM sessions WHERE expires_at > $1 AND family IN ({}) AND {}
         ORDER BY last_seen_at DESC, created_at DESC, family",
        sql::places_for(1, families),
        of_generation!(),
    );
    Ok(sql::query_as_made(text).bind(now).bind_each(families).fetch_all(db).await?)
}

/// Returns the number of the user's sessions that have not expired at `now`.
pub async fn count(db: &mut Connection, user_id: i64, now: Timestamp) -> Result<i64, Error> {
    let count = sql::query_scalar(concat!(
        "SELECT count(*) FROM sessions WHERE user_id = $1 AND expires_at > $2 AND ",
        of_generation!(),
    ))
    .bind(user_id)
    .bind(now)
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Returns the families of the user's sessions that have not expired at `now`. The session that was
/// used last is first.
pub async fn families(
    db: &mut Connection,
    user_id: i64,
    now: Timestamp,
) -> Result<Vec<TokenId>, Error> {
    let families = sql::query_scalar(concat!(
        "SELECT family FROM sessions WHERE user_id = $1 AND expires_at > $2 AND ",
        of_generation!(),
        " ORDER BY last_seen_at DESC, created_at DESC, family",
    ))
    .bind(user_id)
    .bind(now)
    .fetch_all(db)
    .await?;
    Ok(families)
}

/// Ends the user's sessions except the `kept` ones that were used last, and returns how many it
/// ended.
///
/// It ends at most 100 at once, and begins with those that were not used for the longest time. So
/// an account with thousands of sessions, from before there was a limit, loses them over its next
/// log-ins, and no log-in blocks all other writers. It skips a session that another instance is
/// writing, because that one is in use.
pub async fn end_oldest(
    db: &mut Connection,
    user_id: i64,
    kept: i64,
    now: Timestamp,
) -> Result<u64, Error> {
    // PostgreSQL cannot lock the rows of a query with a window function, so the locking query is
    // around it.
    let ended: Vec<TokenId> = sql::query_scalar(
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE id IN
                (SELECT id FROM
                    (SELECT id, row_number() OVER (ORDER BY last_seen_at DESC, created_at DESC)
                            AS place
                     FROM sessions WHERE user_id = $1 AND expires_at > $3 AND generation >=
                        (SELECT session_generation FROM users WHERE id = $1)) AS numbered
                 WHERE place > $2 ORDER BY place DESC LIMIT 100) $lock)
         RETURNING id",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(user_id)
    .bind(kept)
    .bind(now)
    .declared()
    .surely()
    .fetch_all(&mut *db)
    .await?;
    ended.iter().for_each(|id| db.changed(*id));
    Ok(ended.len() as u64)
}

/// Ends all sessions of the user except the one that began as `kept`, and returns how many it
/// ended. The transaction has locked the user.
pub async fn end_of_user(
    db: &mut Connection,
    user_id: i64,
    kept: Option<TokenId>,
) -> Result<u64, Error> {
    let there: Option<(i64, i64, i64)> = sql::query_as(
        "SELECT session_generation,
                (SELECT count(*) FROM sessions
                 WHERE user_id = users.id AND generation = session_generation),
                (SELECT count(*) FROM sessions
                 WHERE family = $2 AND user_id = users.id AND generation = session_generation)
         FROM users WHERE id = $1",
    )
    .bind(user_id)
    .bind(kept.map(Vec::from))
    .fetch_optional(&mut *db)
    .await?;
    let (generation, all, kept_ones) = there.unwrap_or_default();
    // A new generation would make every instance read the user's cached sessions again, for
    // nothing.
    if all == kept_ones {
        return Ok(0);
    }

    db.changed_all();
    sql::query(
        "UPDATE users SET session_generation = $2 + 1, has_ended_sessions = TRUE WHERE id = $1",
    )
    .bind(user_id)
    .bind(generation)
    .declared()
    .surely()
    .execute(&mut *db)
    .await?;
    if kept_ones > 0 {
        // Only a session of the previous generation may be kept. Otherwise one that had ended would
        // come back.
        sql::query(
            "UPDATE sessions SET generation = $3 + 1
             WHERE family = $1 AND user_id = $2 AND generation = $3",
        )
        .bind(kept.map(Vec::from))
        .bind(user_id)
        .bind(generation)
        .declared()
        .execute(db)
        .await?;
    }
    Ok((all - kept_ones) as u64)
}

/// Notes by which identity the session `id`, which this transaction has begun, was begun.
pub async fn note_identity(db: &mut Connection, id: TokenId, via: &Via) -> Result<(), Error> {
    sql::query("UPDATE sessions SET identity_id = $2, provider_sid = $3 WHERE id = $1")
        .bind(id)
        .bind(via.id)
        .bind(via.sid.as_deref())
        .declared() // nobody has read it yet
        .execute(db)
        .await?;
    Ok(())
}

/// Returns by which identity the session `id` was begun. `None`: it began without a provider.
#[cfg(feature = "providers")]
pub async fn identity_of(db: &mut Connection, id: TokenId) -> Result<Option<i64>, Error> {
    let found: Option<Option<i64>> =
        sql::query_scalar("SELECT identity_id FROM sessions WHERE id = $1")
            .bind(id)
            .fetch_optional(db)
            .await?;
    Ok(found.flatten())
}

/// Returns the families of the sessions that the identity `identity_id` has begun; with a `sid`, only
/// those of this session of the provider, and those whose provider did not say which it was.
#[cfg(feature = "providers")]
pub async fn families_of_identity(
    db: &mut Connection,
    identity_id: i64,
    sid: Option<&str>,
) -> Result<Vec<TokenId>, Error> {
    let families = sql::query_scalar(
        "SELECT family FROM sessions WHERE identity_id = $1
         AND (CAST($2 AS TEXT) IS NULL OR provider_sid IS NULL OR provider_sid = $2)",
    )
    .bind(identity_id)
    .bind(sid)
    .fetch_all(db)
    .await?;
    Ok(families)
}
