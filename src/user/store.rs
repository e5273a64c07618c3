//! The rows of `users`.

use crate::db::Connection;
use crate::sql;

use super::{Email, User};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::password::PasswordHash;

/// A user, with what decides whether they may log in.
#[derive(Debug)]
pub struct Account {
    pub user: User,
    pub password_hash: PasswordHash,
    pub disabled_at: Option<Timestamp>,
}

type Row = (i64, String, Timestamp, Option<Timestamp>, String, Option<Timestamp>);

impl Account {
    fn of((id, email, created_at, verified_at, hash, disabled_at): Row) -> Self {
        Account {
            user: User { id, email: Email::from_stored(email), created_at, verified_at },
            password_hash: PasswordHash::from_stored(hash),
            disabled_at,
        }
    }
}

/// Adds an account and returns its id. A taken address breaks the constraint `users_email_key`: the
/// index decides, so that two sign-ups at once cannot both find the address free.
pub async fn insert(
    db: &mut Connection,
    email: &Email,
    password_hash: &PasswordHash,
    verified_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<i64, Error> {
    let id = sql::query_scalar(
        "INSERT INTO users (email, password_hash, created_at, verified_at)
         VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(email.as_str())
    .bind(password_hash.as_str())
    .bind(now)
    .bind(verified_at)
    .declared() // nobody's sessions yet
    .fetch_one(db)
    .await?;
    Ok(id)
}

/// Returns the account of `email`, in any case. In a change nobody else can change the account
/// until the change ends; so with [`find()`] and [`is_current()`].
pub async fn find_by_email(db: &mut Connection, email: &Email) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, password_hash, disabled_at
         FROM users WHERE lower(email) = $1 /*pg FOR NO KEY UPDATE*/",
    )
    .bind(email.to_lower())
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns the account of `email` like [`find_by_email()`], but others may change it, only not
/// delete it. So two users who want each other's address do not wait for each other.
pub async fn see_by_email(db: &mut Connection, email: &Email) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, password_hash, disabled_at
         FROM users WHERE lower(email) = $1 /*pg FOR KEY SHARE*/",
    )
    .bind(email.to_lower())
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns the account with the id `id`.
pub async fn find(db: &mut Connection, id: i64) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, password_hash, disabled_at
         FROM users WHERE id = $1 /*pg FOR NO KEY UPDATE*/",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns the account whose address was `email` until recently, and whose owner may still take it
/// back with "this was not me". Nobody else can have the address until then, except if it was never
/// confirmed: otherwise strangers could block it.
pub async fn see_former(
    db: &mut Connection,
    email: &Email,
    now: Timestamp,
) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, password_hash, disabled_at
         FROM users WHERE id =
            (SELECT t.user_id FROM login_tokens t JOIN users u ON u.id = t.user_id
             WHERE lower(t.email) = $1 AND t.is_kept AND t.expires_at > $2 AND lower(u.email) <> $1
             LIMIT 1) /*pg FOR KEY SHARE*/",
    )
    .bind(email.to_lower())
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns every account, the oldest first.
pub async fn list(db: &mut Connection) -> Result<Vec<Account>, Error> {
    let rows: Vec<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, password_hash, disabled_at
         FROM users ORDER BY id",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Account::of).collect())
}

/// Returns whether the account's hash is still `hash`, and the account is neither deleted nor
/// disabled.
pub async fn is_current(db: &mut Connection, id: i64, hash: &PasswordHash) -> Result<bool, Error> {
    let unchanged: Option<i64> = sql::query_scalar(
        "SELECT id FROM users
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL /*pg FOR NO KEY UPDATE*/",
    )
    .bind(id)
    .bind(hash.as_str())
    .fetch_optional(db)
    .await?;
    Ok(unchanged.is_some())
}

/// Replaces the hash `old` by `new`, which may be equal. Returns `false` if the account has another
/// hash by now, or is deleted or disabled.
pub async fn confirm_password_hash(
    db: &mut Connection,
    id: i64,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<bool, Error> {
    if old == new {
        return is_current(db, id, old).await;
    }

    let updated = sql::query(
        "UPDATE users SET password_hash = $3
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL",
    )
    .bind(id)
    .bind(old.as_str())
    .bind(new.as_str())
    .execute(db)
    .await?;
    Ok(updated == 1)
}

/// Replaces the password, without a look at the present one.
pub async fn set_password_hash(
    db: &mut Connection,
    id: i64,
    hash: &PasswordHash,
) -> Result<(), Error> {
    sql::query("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(id)
        .bind(hash.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Gives the account the address `email`, which has been shown to be the
/// user's. A taken one breaks the constraint `users_email_key`.
pub async fn set_email(
    db: &mut Connection,
    id: i64,
    email: &Email,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query("UPDATE users SET email = $2, verified_at = $3 WHERE id = $1")
        .bind(id)
        .bind(email.as_str())
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

/// Marks the address `email` as confirmed. Returns `false` if the account has another one by now.
pub async fn verify(
    db: &mut Connection,
    id: i64,
    email: &Email,
    now: Timestamp,
) -> Result<bool, Error> {
    let verified = sql::query(
        "UPDATE users SET verified_at = coalesce(verified_at, $3)
         WHERE id = $1 AND lower(email) = $2",
    )
    .bind(id)
    .bind(email.to_lower())
    .bind(now)
    .execute(db)
    .await?;
    Ok(verified == 1)
}

/// Sets when the account was disabled. `None` enables it.
pub async fn set_disabled(
    db: &mut Connection,
    id: i64,
    at: Option<Timestamp>,
) -> Result<(), Error> {
    sql::query("UPDATE users SET disabled_at = $2 WHERE id = $1")
        .bind(id)
        .bind(at)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes the account with all that is stored about it: the rows of every table that says `ON
/// DELETE CASCADE`, including the application's, and the rows that only name the address.
pub async fn delete(db: &mut Connection, user: &User) -> Result<(), Error> {
    sql::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&mut *db).await?;
    sql::query("DELETE FROM login_tokens WHERE lower(email) = $1 AND purpose = 'sign_up'")
        .bind(user.email.to_lower())
        .execute(&mut *db)
        .await?;
    sql::query("DELETE FROM login_mails WHERE lower(recipient) = $1")
        .bind(user.email.to_lower())
        .execute(db)
        .await?;
    Ok(())
}
