//! Acts that were done in the last few minutes, so that a repeated request gets a true answer.
//!
//! A double click sends a form twice, and so does a visitor whose first answer was lost. By then
//! the link or the session of the request is dead, and it stays dead: this record lets
//! nobody do anything.

use std::time::Duration;

use rocket::Request;
use rocket::http::Cookie;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::cookies::{SealedCookie, SealedCookies};
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};
use crate::token::TokenId;
use crate::user::Email;

/// The time for which an act is remembered. A visitor whose train has left the tunnel tries again
/// within this time; after it the visitor must start again.
pub const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The kind of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    EmailVerified,
    EmailChanged,
    /// An address was confirmed or changed, and the password became void.
    PasswordVoid,
    PasswordReset,
    /// "This was not me", after which a mail went to the owner.
    Locked,
    /// "This was not me", without a mail.
    LockedUnmailed,
    PasswordChanged,
    Reauthenticated,
    Deleted,
    SessionEnded,
    FactorAdded,
    FactorRemoved,
    PasswordRemoved,
    /// A provider has confirmed the user again, and the second factor is missing.
    ProviderAsked,
    ProviderDisconnected,
}

impl Act {
    const ALL: [Act; 15] = [
        Act::EmailVerified,
        Act::EmailChanged,
        Act::PasswordVoid,
        Act::PasswordReset,
        Act::Locked,
        Act::LockedUnmailed,
        Act::PasswordChanged,
        Act::Reauthenticated,
        Act::Deleted,
        Act::SessionEnded,
        Act::FactorAdded,
        Act::FactorRemoved,
        Act::PasswordRemoved,
        Act::ProviderAsked,
        Act::ProviderDisconnected,
    ];

    fn name(self) -> &'static str {
        match self {
            Act::EmailVerified => "email_verified",
            Act::EmailChanged => "email_changed",
            Act::PasswordVoid => "password_void",
            Act::PasswordReset => "password_reset",
            Act::Locked => "locked",
            Act::LockedUnmailed => "locked_unmailed",
            Act::PasswordChanged => "password_changed",
            Act::Reauthenticated => "reauthenticated",
            Act::Deleted => "deleted",
            Act::SessionEnded => "session_ended",
            Act::FactorAdded => "factor_added",
            Act::FactorRemoved => "factor_removed",
            Act::PasswordRemoved => "password_removed",
            Act::ProviderAsked => "provider_asked",
            Act::ProviderDisconnected => "provider_disconnected",
        }
    }
}

/// A remembered act.
#[derive(Debug)]
pub struct Done {
    pub act: Act,
    /// The account. `None` means that it was deleted.
    pub user_id: Option<i64>,
    /// The hash of what the browser sends with each request. `None` means that it sends nothing by
    /// which it could be recognized.
    pub browser: Option<String>,
    /// The present address of the account.
    pub email: Option<Email>,
}

/// The most links that a browser is recognized by: somebody who gets into an account again may use
/// three within [`LIFETIME`].
const MOST_LINKS: usize = 4;

/// The cookie of a browser that has used links. It holds their ids, the latest first. It is in
/// managed state.
#[derive(Debug)]
pub struct DoneCookie(SealedCookie);

impl DoneCookie {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        DoneCookie(SealedCookie::new(config, cookies, "done"))
    }

    /// Returns the ids of the links that this browser has used.
    pub fn all_of(&self, request: &Request<'_>) -> Vec<String> {
        let values = self.0.all_of(request).into_iter();
        values.flat_map(|ids| ids.split('.').map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// Returns the cookie of a browser that has used the link `id`, and `earlier` ones before it.
    pub fn seal(&self, id: String, earlier: &[String]) -> Cookie<'static> {
        let ids: Vec<&str> =
            std::iter::once(&id).chain(earlier).map(String::as_str).take(MOST_LINKS).collect();
        self.0.seal(&ids.join("."), LIFETIME)
    }
}

/// Remembers `act`, for which the token with this `id` was used: a link's or a session's.
pub async fn insert(
    db: &mut Connection,
    id: TokenId,
    act: Act,
    user_id: Option<i64>,
    browser: Option<String>,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "INSERT INTO login_done (id, act, account_id, browser, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id)
    .bind(act.name())
    .bind(user_id)
    .bind(browser)
    .bind(now + LIFETIME.as_secs() as Timestamp)
    .execute(db)
    .await?;
    Ok(())
}

type Row = (String, Option<i64>, Option<String>, Option<String>);

/// Returns the act for which the token with this `id` was used within the last ten minutes
/// ([`LIFETIME`]).
pub async fn find(db: &mut Connection, id: TokenId, now: Timestamp) -> Result<Option<Done>, Error> {
    let row: Option<Row> = sql::query_as(
        "SELECT act, account_id, browser, email
         FROM login_done LEFT JOIN users ON users.id = account_id
         WHERE login_done.id = $1 AND expires_at > $2",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|(name, user_id, browser, email)| {
        let act = Act::ALL.into_iter().find(|act| act.name() == name)?;
        Some(Done { act, user_id, browser, email: email.map(Email::from_stored) })
    }))
}

/// Deletes the record of the act for which the token with this `id` was used.
pub async fn forget(db: &mut Connection, id: TokenId) -> Result<(), Error> {
    sql::query("DELETE FROM login_done WHERE id = $1").bind(id).execute(db).await?;
    Ok(())
}

/// Deletes at most `limit` expired rows, and returns how many.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM login_done WHERE id IN
            (SELECT id FROM login_done WHERE expires_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
