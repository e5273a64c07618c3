//! The rows of `users`.

use crate::db::Connection;
use crate::sql::{self, Lock};

use super::{Email, Roles, User};
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

type Row = (i64, String, Timestamp, Option<Timestamp>, String, bool, String, Option<Timestamp>);

impl Account {
    fn of(row: Row) -> Self {
        let (id, email, created_at, verified_at, roles, has_factor, hash, disabled_at) = row;
        let (email, roles) = (Email::from_stored(email), Roles::from_stored(&roles));
        Account {
            user: User { id, email, created_at, verified_at, roles, has_factor },
            password_hash: PasswordHash::from_stored(hash),
            disabled_at,
        }
    }
}

/// Adds an account and returns its user. A taken address breaks the constraint `users_email_key`: the
/// index decides, so that two sign-ups at once cannot both find the address free.
pub async fn insert(
    db: &mut Connection,
    email: &Email,
    password_hash: &PasswordHash,
    verified_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<User, Error> {
    let id = sql::query_scalar(
        "INSERT INTO users (email, password_hash, created_at, verified_at)
         VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(email.as_str())
    .bind(password_hash.as_str())
    .bind(now)
    .bind(verified_at)
    .declared() // nobody's sessions yet
    .surely()
    .fetch_one(db)
    .await?;
    let (email, roles) = (email.clone(), Roles::default());
    Ok(User { id, email, created_at: now, verified_at, roles, has_factor: false })
}

/// Returns the account of `email`, in any case. In a change nobody else can change the account
/// until the change ends; so with [`find()`] and [`is_current()`].
pub async fn find_by_email(db: &mut Connection, email: &Email) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, roles, has_factor, password_hash,
                disabled_at
         FROM users WHERE lower(email) = $1 $lock",
    )
    .locking(Lock::NoKeyUpdate)
    .bind(email.to_lower())
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns the account of `email` like [`find_by_email()`], but others may change it, only not
/// delete it. So two users who want each other's address do not wait for each other.
pub async fn see_by_email(db: &mut Connection, email: &Email) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, roles, has_factor, password_hash,
                disabled_at
         FROM users WHERE lower(email) = $1 $lock",
    )
    .locking(Lock::KeyShare)
    .bind(email.to_lower())
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns the account with the id `id`.
pub async fn find(db: &mut Connection, id: i64) -> Result<Option<Account>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT id, email, created_at, verified_at, roles, has_factor, password_hash,
                disabled_at
         FROM users WHERE id = $1 $lock",
    )
    .locking(Lock::NoKeyUpdate)
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
        "SELECT id, email, created_at, verified_at, roles, has_factor, password_hash,
                disabled_at
         FROM users WHERE id =
            (SELECT t.user_id FROM login_tokens t JOIN users u ON u.id = t.user_id
             WHERE lower(t.email) = $1 AND t.is_kept AND t.expires_at > $2 AND lower(u.email) <> $1
             LIMIT 1) $lock",
    )
    .locking(Lock::KeyShare)
    .bind(email.to_lower())
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(row.map(Account::of))
}

/// Returns whether the account's hash is still `hash`, and the account is neither deleted nor
/// disabled.
pub async fn is_current(db: &mut Connection, id: i64, hash: &PasswordHash) -> Result<bool, Error> {
    let unchanged: Option<i64> = sql::query_scalar(
        "SELECT id FROM users
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL $lock",
    )
    .locking(Lock::NoKeyUpdate)
    .bind(id)
    .bind(hash.as_str())
    .fetch_optional(db)
    .await?;
    Ok(unchanged.is_some())
}

/// Replaces the hash `old` by `new`, which may be equal. Returns `false` if the account has another
/// hash by now, or is deleted or disabled.
///
/// `changed_at` is the time if the user has chosen another password. `None` means that it is the
/// same password with another hash.
pub async fn confirm_password_hash(
    db: &mut Connection,
    id: i64,
    old: &PasswordHash,
    new: &PasswordHash,
    changed_at: Option<Timestamp>,
) -> Result<bool, Error> {
    if old == new {
        return is_current(db, id, old).await;
    }

    let updated = sql::query(
        "UPDATE users SET password_hash = $3,
                          password_changed_at = coalesce($4, password_changed_at)
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL",
    )
    .bind(id)
    .bind(old.as_str())
    .bind(new.as_str())
    .bind(changed_at)
    .declared() // no kept session shows it
    .execute(db)
    .await?;
    Ok(updated == 1)
}

/// Replaces the password, without a look at the present one.
pub async fn set_password_hash(
    db: &mut Connection,
    id: i64,
    hash: &PasswordHash,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query("UPDATE users SET password_hash = $2, password_changed_at = $3 WHERE id = $1")
        .bind(id)
        .bind(hash.as_str())
        .bind(now)
        .declared() // no kept session shows it
        .execute(db)
        .await?;
    Ok(())
}

/// Notes that the user wants no passkey.
pub async fn decline_passkey(db: &mut Connection, id: i64, now: Timestamp) -> Result<(), Error> {
    sql::query("UPDATE users SET passkey_declined_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now)
        .declared() // no kept session shows it
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
    db.changed_all();
    sql::query("UPDATE users SET email = $2, verified_at = $3 WHERE id = $1")
        .bind(id)
        .bind(email.as_str())
        .bind(now)
        .declared()
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
    db.changed_all();
    let verified = sql::query(
        "UPDATE users SET verified_at = coalesce(verified_at, $3)
         WHERE id = $1 AND lower(email) = $2",
    )
    .bind(id)
    .bind(email.to_lower())
    .bind(now)
    .declared()
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
    db.changed_all();
    sql::query("UPDATE users SET disabled_at = $2 WHERE id = $1")
        .bind(id)
        .bind(at)
        .declared()
        .execute(db)
        .await?;
    Ok(())
}

/// Replaces the account's roles.
pub async fn set_roles(db: &mut Connection, id: i64, roles: &Roles) -> Result<(), Error> {
    db.changed_all();
    sql::query("UPDATE users SET roles = $2 WHERE id = $1")
        .bind(id)
        .bind(roles.as_stored())
        .declared()
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes the account with all that is stored about it: the rows of every table that says `ON
/// DELETE CASCADE`, including the application's, and the rows that only name the address.
pub async fn delete(db: &mut Connection, user: &User) -> Result<(), Error> {
    db.changed_all();
    let delete = sql::query("DELETE FROM users WHERE id = $1").bind(user.id).declared().surely();
    delete.execute(&mut *db).await?;
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
