//! The rows of passkeys.

use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::password::PasswordHash;
use crate::sql::{self, Lock};
use crate::token::TokenId;

/// A passkey as it is stored.
#[derive(Debug)]
pub struct Passkey {
    pub id: i64,
    pub user_id: i64,
    pub name: String,
    pub credential: Vec<u8>,
    pub public_key: Vec<u8>,
    pub sign_count: i64,
    pub transports: String,
    /// `true` if it may log in alone.
    pub is_verified: bool,
    pub can_sync: bool,
    /// What the account is called in passkeys.
    pub handle: Option<Vec<u8>>,
}

sql::row!(Passkey {
    id,
    user_id,
    name,
    credential,
    public_key,
    sign_count,
    transports,
    is_verified,
    can_sync,
    handle,
});

/// A passkey that is added.
#[derive(Debug)]
pub struct NewPasskey<'a> {
    pub name: &'a str,
    pub credential: &'a [u8],
    pub public_key: &'a [u8],
    pub sign_count: i64,
    pub aaguid: [u8; 16],
    pub transports: &'a str,
    pub is_verified: bool,
    pub can_sync: bool,
    pub is_synced: bool,
    pub rp_id: &'a str,
}

macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT f.id, f.user_id, name, credential, public_key, sign_count, transports,
                    is_verified, can_sync, u.passkey_handle AS handle
             FROM login_factors f JOIN users u ON u.id = f.user_id
             WHERE kind = 'passkey' AND removed_at IS NULL AND rp_id = $1 AND ",
            $which
        )
    };
}

/// Returns the passkey with the id `credential` that is in use.
pub async fn find(
    db: &mut Connection,
    rp_id: &str,
    credential: &[u8],
) -> Result<Option<Passkey>, Error> {
    let found = sql::query_as(select!("credential = $2"))
        .bind(rp_id)
        .bind(credential.to_vec())
        .fetch_optional(db)
        .await?;
    Ok(found)
}

/// Returns the passkeys of the user that are in use. The oldest is first.
pub async fn list(db: &mut Connection, rp_id: &str, user_id: i64) -> Result<Vec<Passkey>, Error> {
    let passkeys = sql::query_as(select!("f.user_id = $2 ORDER BY f.id"))
        .bind(rp_id)
        .bind(user_id)
        .fetch_all(db)
        .await?;
    Ok(passkeys)
}

/// Adds a passkey. It returns `false`, and adds nothing, if somebody has registered it: nobody may
/// plant the passkey of somebody else in an account of their own.
pub async fn insert(
    db: &mut Connection,
    user_id: i64,
    new: &NewPasskey<'_>,
    now: Timestamp,
) -> Result<bool, Error> {
    let inserted = sql::query(
        "INSERT INTO login_factors (user_id, kind, name, credential, public_key, sign_count, aaguid,
                                    transports, is_verified, can_sync, is_synced, rp_id, created_at)
         VALUES ($1, 'passkey', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT DO NOTHING",
    )
    .bind(user_id)
    .bind(new.name)
    .bind(new.credential.to_vec())
    .bind(new.public_key.to_vec())
    .bind(new.sign_count)
    .bind(new.aaguid.to_vec())
    .bind(new.transports)
    .bind(new.is_verified)
    .bind(new.can_sync)
    .bind(new.is_synced)
    .bind(new.rp_id)
    .bind(now)
    .execute(&mut *db)
    .await?;
    super::store::note(db, user_id).await?;
    Ok(inserted == 1)
}

/// Stores what a use of the passkey has shown.
pub async fn note_use(
    db: &mut Connection,
    id: i64,
    sign_count: i64,
    is_synced: bool,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "UPDATE login_factors SET sign_count = $2, is_synced = $3, last_used_at = $4 WHERE id = $1",
    )
    .bind(id)
    .bind(sign_count)
    .bind(is_synced)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Returns what the account is called in passkeys. If it has no such name yet, it gets `new`.
pub async fn handle_of(
    db: &mut Connection,
    user_id: i64,
    new: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let handle = sql::query_scalar(
        "UPDATE users SET passkey_handle = coalesce(passkey_handle, $2) WHERE id = $1
         RETURNING passkey_handle",
    )
    .bind(user_id)
    .bind(new.to_vec())
    .declared() // no kept session shows it
    .fetch_optional(db)
    .await?;
    Ok(handle)
}

/// Returns the ids of the passkeys of the user that a browser with this session should keep: those in
/// use, and those that others have removed within the last week.
pub async fn kept(
    db: &mut Connection,
    rp_id: &str,
    user_id: i64,
    session: TokenId,
) -> Result<Vec<Vec<u8>>, Error> {
    let ids = sql::query_scalar(
        "SELECT credential FROM login_factors
         WHERE user_id = $2 AND kind = 'passkey' AND rp_id = $1
         AND (removed_at IS NULL OR removed_in IS NULL OR removed_in <> $3) ORDER BY id",
    )
    .bind(rp_id)
    .bind(user_id)
    .bind(session)
    .fetch_all(db)
    .await?;
    Ok(ids)
}

/// Returns whether the passkey with the id `credential` is stored, in use or removed.
pub async fn is_stored(db: &mut Connection, rp_id: &str, credential: &[u8]) -> Result<bool, Error> {
    let found: Option<i64> = sql::query_scalar(
        "SELECT id FROM login_factors WHERE kind = 'passkey' AND rp_id = $1 AND credential = $2",
    )
    .bind(rp_id)
    .bind(credential.to_vec())
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Returns whether an account has no password and a passkey that logs in without one.
pub async fn is_only_way(db: &mut Connection) -> Result<bool, Error> {
    let found: Option<i64> = sql::query_scalar(
        "SELECT f.id FROM login_factors f JOIN users u ON u.id = f.user_id
         WHERE kind = 'passkey' AND removed_at IS NULL AND is_verified AND u.password_hash LIKE $1
         LIMIT 1",
    )
    .bind(PasswordHash::LIKE_UNUSABLE)
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Returns what the account is called in passkeys. `None`: it never had one.
pub async fn find_handle(db: &mut Connection, user_id: i64) -> Result<Option<Vec<u8>>, Error> {
    let handle = sql::query_scalar(
        "SELECT passkey_handle FROM users WHERE id = $1 AND passkey_handle IS NOT NULL",
    )
    .bind(user_id)
    .fetch_optional(db)
    .await?;
    Ok(handle)
}

/// Returns the hosts of the passkeys of all accounts that are in use, except `rp_id`.
pub async fn other_hosts(db: &mut Connection, rp_id: &str) -> Result<Vec<String>, Error> {
    let hosts = sql::query_scalar(
        "SELECT DISTINCT rp_id FROM login_factors
         WHERE kind = 'passkey' AND removed_at IS NULL AND rp_id <> $1 ORDER BY rp_id LIMIT 3",
    )
    .bind(rp_id)
    .fetch_all(db)
    .await?;
    Ok(hosts)
}

/// Notes that the challenge with this `id` was answered. Of several answers, on all instances, one
/// gets `true` (replay).
pub async fn use_challenge(
    db: &mut Connection,
    id: TokenId,
    expires_at: Timestamp,
) -> Result<bool, Error> {
    let used = sql::query(
        "INSERT INTO login_challenges (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(expires_at)
    .execute(db)
    .await?;
    Ok(used == 1)
}

/// Deletes at most `limit` challenges that have expired, and returns how many.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_challenges WHERE id IN
            (SELECT id FROM login_challenges WHERE expires_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
