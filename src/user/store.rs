//! The rows of `users`.

use sqlx::SqliteConnection;

use super::{Email, User};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::password::PasswordHash;

/// Adds an account and returns its id. A taken address breaks the constraint
/// `users_email_key`: the column decides, so two sign-ups at once cannot both
/// find the address free.
pub async fn insert(
    db: &mut SqliteConnection,
    email: &Email,
    password_hash: &PasswordHash,
    now: Timestamp,
) -> Result<i64, Error> {
    let id = sqlx::query_scalar(
        "INSERT INTO users (email, password_hash, created_at) VALUES ($1, $2, $3) RETURNING id",
    )
    .bind(email.as_str())
    .bind(password_hash.as_str())
    .bind(now)
    .fetch_one(db)
    .await?;
    Ok(id)
}

/// The account of `email`, whatever its case, with its password hash.
pub async fn find_by_email(
    db: &mut SqliteConnection,
    email: &Email,
) -> Result<Option<(User, PasswordHash)>, Error> {
    let row: Option<(i64, String, Timestamp, String)> =
        sqlx::query_as("SELECT id, email, created_at, password_hash FROM users WHERE email = $1")
            .bind(email.as_str())
            .fetch_optional(db)
            .await?;

    Ok(row.map(|(id, email, created_at, hash)| {
        (User { id, email, created_at }, PasswordHash::from_stored(hash))
    }))
}

/// Replaces `old` by `new`, which may be the same. `false`: the account's
/// hash is no longer `old`, or the account is gone.
pub async fn confirm_password_hash(
    db: &mut SqliteConnection,
    id: i64,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<bool, Error> {
    if old == new {
        let unchanged: Option<i64> =
            sqlx::query_scalar("SELECT id FROM users WHERE id = $1 AND password_hash = $2")
                .bind(id)
                .bind(old.as_str())
                .fetch_optional(db)
                .await?;
        return Ok(unchanged.is_some());
    }

    let updated =
        sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
            .bind(id)
            .bind(old.as_str())
            .bind(new.as_str())
            .execute(db)
            .await?;
    Ok(updated.rows_affected() == 1)
}
