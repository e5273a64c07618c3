//! The rows of `login_factors` and `login_recovery_codes`.

use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};
use crate::token::TokenId;

use super::totp::Step;
use super::{Factor, FactorKind, KEPT, RecoveryCodes};

/// The app of an account.
#[derive(Debug)]
pub struct App {
    pub id: i64,
    /// Sealed for its user.
    pub secret: String,
}

sql::row!(App { id, secret });

type Row = (i64, String, String, Timestamp, Option<Timestamp>, Option<bool>, Option<bool>);

/// Returns the factors of the user that are in use. The oldest is first.
pub async fn list(db: &mut Connection, user_id: i64) -> Result<Vec<Factor>, Error> {
    let rows: Vec<Row> = sql::query_as(
        "SELECT id, kind, name, created_at, last_used_at, is_synced, is_verified FROM login_factors
         WHERE user_id = $1 AND removed_at IS NULL ORDER BY id",
    )
    .bind(user_id)
    .fetch_all(db)
    .await?;
    let factor = |(id, kind, name, created_at, last_used_at, is_synced, is_verified): Row| {
        let kind = FactorKind::parse(&kind)?;
        let (is_synced, is_sufficient) = (is_synced == Some(true), is_verified == Some(true));
        Some(Factor { id, kind, name, created_at, last_used_at, is_synced, is_sufficient })
    };
    Ok(rows.into_iter().filter_map(factor).collect())
}

/// Returns the app of the user that is in use.
pub async fn app(db: &mut Connection, user_id: i64) -> Result<Option<App>, Error> {
    let app = sql::query_as(
        "SELECT id, secret FROM login_factors
         WHERE user_id = $1 AND kind = 'app' AND removed_at IS NULL",
    )
    .bind(user_id)
    .fetch_optional(db)
    .await?;
    Ok(app)
}

/// Adds an app. `step` is that of the code with which it was set up, which no log-in accepts again.
pub async fn insert_app(
    db: &mut Connection,
    user_id: i64,
    sealed: &str,
    step: Step,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "INSERT INTO login_factors (user_id, kind, secret, last_step, created_at)
         VALUES ($1, 'app', $2, $3, $4)",
    )
    .bind(user_id)
    .bind(sealed)
    .bind(step)
    .bind(now)
    .execute(&mut *db)
    .await?;
    note(db, user_id).await
}

/// Uses the code of the time step `step`. Returns `false` if a code of this step or a later one was
/// used before: of several uses at once, on any instance, one gets `true` (replay).
pub async fn use_step(
    db: &mut Connection,
    id: i64,
    step: Step,
    now: Timestamp,
) -> Result<bool, Error> {
    let used = sql::query(
        "UPDATE login_factors SET last_step = $2, last_used_at = $3
         WHERE id = $1 AND removed_at IS NULL AND last_step < $2",
    )
    .bind(id)
    .bind(step)
    .bind(now)
    .execute(db)
    .await?;
    Ok(used == 1)
}

/// Seals the secret of the app `id` anew. It does nothing if the row has changed since `old` was
/// read.
pub async fn reseal(db: &mut Connection, id: i64, old: &str, new: &str) -> Result<(), Error> {
    sql::query("UPDATE login_factors SET secret = $3 WHERE id = $1 AND secret = $2")
        .bind(id)
        .bind(old)
        .bind(new)
        .execute(db)
        .await?;
    Ok(())
}

/// Returns up to `limit` apps of all users after the one with the id `after`, removed ones included,
/// each with its id, its user's, and its sealed secret.
pub async fn secrets(
    db: &mut Connection,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, i64, String)>, Error> {
    let rows = sql::query_as(
        "SELECT id, user_id, secret FROM login_factors WHERE id > $1 AND kind = 'app'
         ORDER BY id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// Removes the factor `id` of the user. `session` is the one in which they do that. It returns `false` if they have no such factor.
pub async fn remove(
    db: &mut Connection,
    user_id: i64,
    id: i64,
    session: Option<TokenId>,
    now: Timestamp,
) -> Result<bool, Error> {
    let removed = sql::query(
        "UPDATE login_factors SET removed_at = $3, removed_in = $4
         WHERE id = $2 AND user_id = $1 AND removed_at IS NULL",
    )
    .bind(user_id)
    .bind(id)
    .bind(now)
    .bind(session.map(Vec::from))
    .execute(&mut *db)
    .await?;
    note(db, user_id).await?;
    Ok(removed == 1)
}

/// Brings the factors and the codes of the user back to what they were at `since`: those that were
/// added from then on are deleted, and those that were removed from then on are in use again.
///
/// It is for "this was not me". A thief with the password and a session would remove the factor of
/// the owner, add one of their own, and keep the owner out for good.
pub async fn roll_back(db: &mut Connection, user_id: i64, since: Timestamp) -> Result<(), Error> {
    for text in [
        "DELETE FROM login_factors WHERE user_id = $1 AND created_at >= $2",
        "UPDATE login_factors SET removed_at = NULL, removed_in = NULL
         WHERE user_id = $1 AND removed_at >= $2",
        "DELETE FROM login_recovery_codes WHERE user_id = $1 AND created_at >= $2",
        "UPDATE login_recovery_codes SET removed_at = NULL WHERE user_id = $1 AND removed_at >= $2",
    ] {
        sql::query(text).bind(user_id).bind(since).execute(&mut *db).await?;
    }
    note(db, user_id).await
}

/// Gives the factor `id` of the user another name. It returns `false` if they have no such factor.
pub async fn rename(db: &mut Connection, user_id: i64, id: i64, name: &str) -> Result<bool, Error> {
    let renamed = sql::query(
        "UPDATE login_factors SET name = $3
         WHERE id = $2 AND user_id = $1 AND kind = 'passkey' AND removed_at IS NULL",
    )
    .bind(user_id)
    .bind(id)
    .bind(name)
    .execute(db)
    .await?;
    Ok(renamed == 1)
}

/// Notes in the user's row whether they have a factor. Every change of the factors ends with it.
pub(super) async fn note(db: &mut Connection, user_id: i64) -> Result<(), Error> {
    db.changed_all();
    sql::query(
        "UPDATE users SET has_factor = NOT has_factor WHERE id = $1 AND has_factor <> EXISTS
            (SELECT 1 FROM login_factors WHERE user_id = $1 AND removed_at IS NULL)",
    )
    .bind(user_id)
    .declared()
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces the recovery codes of the user by those with the hashes `codes`.
pub async fn replace_codes(
    db: &mut Connection,
    user_id: i64,
    codes: &[[u8; 32]],
    now: Timestamp,
) -> Result<(), Error> {
    void_codes(db, user_id, now).await?;
    for hash in codes {
        sql::query(
            "INSERT INTO login_recovery_codes (id, user_id, created_at) VALUES ($1, $2, $3)",
        )
        .bind(hash.to_vec())
        .bind(user_id)
        .bind(now)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Makes the recovery codes of the user void.
pub async fn void_codes(db: &mut Connection, user_id: i64, now: Timestamp) -> Result<(), Error> {
    sql::query(
        "UPDATE login_recovery_codes SET removed_at = $2
         WHERE user_id = $1 AND removed_at IS NULL",
    )
    .bind(user_id)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Uses a recovery code. Returns `false` if the user has no such code any more: of several uses at
/// once, one gets `true`.
pub async fn use_code(db: &mut Connection, user_id: i64, hash: [u8; 32]) -> Result<bool, Error> {
    let used = sql::query(
        "DELETE FROM login_recovery_codes WHERE id = $2 AND user_id = $1 AND removed_at IS NULL",
    )
    .bind(user_id)
    .bind(hash.to_vec())
    .execute(db)
    .await?;
    Ok(used == 1)
}

/// Returns the recovery codes of the user. `None`: none is left.
pub async fn codes(db: &mut Connection, user_id: i64) -> Result<Option<RecoveryCodes>, Error> {
    let row: (i64, Option<Timestamp>) = sql::query_as(
        "SELECT count(*), max(created_at) FROM login_recovery_codes
         WHERE user_id = $1 AND removed_at IS NULL",
    )
    .bind(user_id)
    .fetch_one(db)
    .await?;
    let (left, created_at) = row;
    Ok(created_at.map(|created_at| RecoveryCodes { left, created_at }))
}

/// Deletes up to `limit` factors, and as many codes, that were removed a week ago, and returns the
/// larger of the two numbers.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let factors = sql::query(
        "DELETE FROM login_factors WHERE id IN
            (SELECT id FROM login_factors WHERE removed_at <= $1 LIMIT $2 $lock)",
    );
    let codes = sql::query(
        "DELETE FROM login_recovery_codes WHERE id IN
            (SELECT id FROM login_recovery_codes WHERE removed_at <= $1 LIMIT $2 $lock)",
    );
    let mut most = 0;
    for delete in [factors, codes] {
        let delete = delete.locking(Lock::UpdateSkipLocked).bind(now - KEPT).bind(limit);
        most = delete.execute(&mut *db).await?.max(most);
    }
    Ok(most)
}
