//! Links in mails. Each has one purpose and is used once.

use crate::db::Connection;
use crate::sql::{self, Lock};

use crate::clock::Timestamp;
use crate::error::Error;
use crate::password::PasswordHash;
use crate::token::{Token, TokenId};
use crate::user::Email;

/// The most "this was not me" links that one address of an account has at a time. The links of
/// another address stay: a thief who has moved the account must not push out the links of its
/// owner.
const MOST_NOT_ME: i64 = 20;

/// The purpose of a link. The link is good for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Confirms the address of a pending sign-up.
    SignUp,
    /// Confirms the address of an account.
    Verify,
    /// Gives an account another address.
    ChangeEmail,
    /// Chooses a new password.
    Reset,
    /// "This was not me": ends all sessions and starts a reset.
    NotMe,
}

impl Purpose {
    /// Returns the purpose's stable name, in the table and in the export.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::SignUp => "sign_up",
            Purpose::Verify => "verify",
            Purpose::ChangeEmail => "change_email",
            Purpose::Reset => "reset",
            Purpose::NotMe => "not_me",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        use Purpose::{ChangeEmail, NotMe, Reset, SignUp, Verify};

        [SignUp, Verify, ChangeEmail, Reset, NotMe].into_iter().find(|known| known.name() == name)
    }
}

/// A good link.
#[derive(Debug)]
pub struct Link {
    pub purpose: Purpose,
    /// The user. `None`: it is the link of a sign-up.
    pub user_id: Option<i64>,
    /// The address that it was mailed to.
    pub email: Email,
    /// The password that was chosen at a sign-up.
    pub password_hash: Option<PasswordHash>,
    /// What else the sign-up has to remember, sealed.
    pub sign_up: Option<String>,
    /// `true` if nobody else may take the address while the link is good.
    pub is_kept: bool,
    /// `true` if its user reads the mail of the address. `false`: the operator has printed the
    /// link, and it proves nothing about the address.
    pub is_mailed: bool,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

type Row =
    (String, Option<i64>, String, Option<String>, Option<String>, bool, bool, Timestamp, Timestamp);

impl Link {
    fn of(row: Row) -> Option<Self> {
        let (purpose, user_id, email, hash, sign_up, is_kept, is_mailed, created_at, expires_at) =
            row;
        Some(Link {
            purpose: Purpose::parse(&purpose)?,
            user_id,
            email: Email::from_stored(email),
            password_hash: hash.map(PasswordHash::from_stored),
            sign_up,
            is_kept,
            is_mailed,
            created_at,
            expires_at,
        })
    }
}

/// Adds a link and ends the older one of its purpose, so that one mail at most can be acted on. A
/// link "this was not me" ends no other: each mail that has one keeps its promise.
pub async fn insert(db: &mut Connection, token: &Token, link: &Link) -> Result<(), Error> {
    match (link.purpose, link.user_id) {
        (Purpose::NotMe, _) => {
            sql::query(
                "DELETE FROM login_tokens
                 WHERE user_id = $1 AND purpose = 'not_me' AND lower(email) = $2
                 AND number <= (SELECT number FROM login_tokens
                                WHERE user_id = $1 AND purpose = 'not_me' AND lower(email) = $2
                                ORDER BY number DESC LIMIT 1 OFFSET $3)",
            )
            .bind(link.user_id)
            .bind(link.email.to_lower())
            .bind(MOST_NOT_ME - 1)
            .execute(&mut *db)
            .await?
        }
        (_, Some(user_id)) => {
            sql::query("DELETE FROM login_tokens WHERE user_id = $1 AND purpose = $2")
                .bind(user_id)
                .bind(link.purpose.name())
                .execute(&mut *db)
                .await?
        }
        (_, None) => {
            sql::query("DELETE FROM login_tokens WHERE lower(email) = $1 AND user_id IS NULL")
                .bind(link.email.to_lower())
                .execute(&mut *db)
                .await?
        }
    };

    sql::query(
        "INSERT INTO login_tokens (id, user_id, purpose, email, password_hash, sign_up, is_kept, is_mailed,
                                   created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(token.id())
    .bind(link.user_id)
    .bind(link.purpose.name())
    .bind(link.email.as_str())
    .bind(link.password_hash.as_ref().map(PasswordHash::as_str))
    .bind(link.sign_up.as_deref())
    .bind(link.is_kept)
    .bind(link.is_mailed)
    .bind(link.created_at)
    .bind(link.expires_at)
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the link `id` if it is good at `now` for one of `purposes`.
pub async fn find(
    db: &mut Connection,
    id: TokenId,
    purposes: &[Purpose],
    now: Timestamp,
) -> Result<Option<Link>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT purpose, user_id, email, password_hash, sign_up, is_kept, is_mailed, created_at,
                expires_at
         FROM login_tokens WHERE id = $1 AND expires_at > $2",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(Link::of).filter(|link| purposes.contains(&link.purpose)))
}

/// Spends the link `id`. Of several uses at once, one gets `true`.
pub async fn take(db: &mut Connection, id: TokenId) -> Result<bool, Error> {
    let deleted = sql::query("DELETE FROM login_tokens WHERE id = $1").bind(id).execute(db).await?;
    Ok(deleted == 1)
}

/// Ends every link of the user, for a new password or address. The links "this was not me" stay: a
/// thief would change the password or the address to end them.
pub async fn end_all(db: &mut Connection, user_id: i64) -> Result<(), Error> {
    sql::query("DELETE FROM login_tokens WHERE user_id = $1 AND purpose <> 'not_me'")
        .bind(user_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Ends the "this was not me" links of the user that were mailed to another address than `email`
/// after the link `id`: a thief who has moved the account would take it back with them. Links that
/// are older than `id` stay. Call it before you spend `id`.
pub async fn end_later_not_me(
    db: &mut Connection,
    user_id: i64,
    email: &Email,
    id: TokenId,
) -> Result<(), Error> {
    sql::query(
        "DELETE FROM login_tokens WHERE user_id = $1 AND purpose = 'not_me' AND lower(email) <> $2
         AND number > (SELECT number FROM login_tokens WHERE id = $3)",
    )
    .bind(user_id)
    .bind(email.to_lower())
    .bind(id)
    .execute(db)
    .await?;
    Ok(())
}

/// Returns every link of the user.
pub async fn list(db: &mut Connection, user_id: i64) -> Result<Vec<Link>, Error> {
    let rows: Vec<Row> = sql::query_as(
        "SELECT purpose, user_id, email, password_hash, sign_up, is_kept, is_mailed, created_at,
                expires_at
         FROM login_tokens WHERE user_id = $1 ORDER BY number",
    )
    .bind(user_id)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().filter_map(Link::of).collect())
}

/// Deletes at most `limit` expired links, and returns how many.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_tokens WHERE id IN
            (SELECT id FROM login_tokens WHERE expires_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
