//! Reads and writes the table `login_mails`, which holds the mails that wait.

use super::{Content, Letter};
use crate::clock::Timestamp;
use crate::cookies::SealedCookies;
use crate::db::Connection;
use crate::error::Error;
use crate::sql::{self, Lock};
use crate::user::Email;

/// The purpose of the seal on a mail's content.
const SEAL: &str = "login_mails";

/// How many seconds a claimed mail belongs to its sender, which renews the claim while it sends. A
/// sender that does not renew it has died, and another sender takes the mail over.
const CLAIM: Timestamp = 60;

/// How many seconds a sender waits before it renews its claim.
pub const RENEWAL: Timestamp = CLAIM / 3;

/// The most mails that the dev mailbox holds.
const KEPT: i64 = 200;

/// A mail in the outbox.
#[derive(Debug)]
pub struct Queued {
    pub id: i64,
    pub recipient: String,
    pub template: String,
    pub content: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub attempts: i64,
}

sql::row!(Queued { id, recipient, template, content, created_at, expires_at, attempts });

impl Queued {
    /// Opens the values for the template. `None` means that they were sealed with a key that is not
    /// known any more.
    pub fn open(&self, cookies: &SealedCookies) -> Option<Content> {
        let content = cookies.open_text(SEAL, &self.content)?;
        serde_json::from_str(&content).ok()
    }
}

/// Adds a mail, which is due at once.
pub async fn insert(
    db: &mut Connection,
    cookies: &SealedCookies,
    letter: Letter<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    // The content is sealed: an attacker who reads the database, or a copy of it, must not find the
    // links.
    let content =
        serde_json::to_string(&letter.content).map_err(|_| Error::value::<Content>("mail"))?;
    sql::query(
        "INSERT INTO login_mails (user_id, recipient, template, content, created_at, expires_at,
                                  next_attempt_at)
         VALUES ($1, $2, $3, $4, $5, $6, $5)",
    )
    .bind(letter.user_id)
    .bind(letter.recipient.as_str())
    .bind(letter.template)
    .bind(cookies.seal_text(SEAL, content))
    .bind(now)
    .bind(letter.expires_at)
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the mails that `letter` replaces and that wait after a first attempt: their link does
/// not work any more.
pub async fn delete_replaced(db: &mut Connection, letter: &Letter<'_>) -> Result<(), Error> {
    sql::query(
        "DELETE FROM login_mails WHERE user_id IS NOT DISTINCT FROM $1 AND lower(recipient) = $2
         AND template = $3
         AND sent_at IS NULL AND attempts > 0",
    )
    .bind(letter.user_id)
    .bind(letter.recipient.to_lower())
    .bind(letter.template)
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the time of the next attempt. `None` means that no mail waits.
pub async fn next_attempt_at(db: &mut Connection) -> Result<Option<Timestamp>, Error> {
    let next = sql::query_scalar(
        "SELECT next_attempt_at FROM login_mails WHERE sent_at IS NULL
         ORDER BY next_attempt_at LIMIT 1",
    )
    .fetch_optional(db)
    .await?;
    Ok(next)
}

/// Claims a mail that is due, for one attempt. It takes the mail with the fewest attempts, and
/// among these the one that has been due for the longest time. Without `may_retry` it takes only a
/// mail without any attempt. Only one of several senders gets a mail. If that sender dies, another
/// one gets it a minute later.
pub async fn claim(
    db: &mut Connection,
    now: Timestamp,
    may_retry: bool,
) -> Result<Option<Queued>, Error> {
    let most: i64 = if may_retry { i64::MAX } else { 0 };
    let claimed = sql::query_as(
        "UPDATE login_mails SET attempts = attempts + 1, next_attempt_at = $1 + $2
         WHERE id = (SELECT id FROM login_mails
                     WHERE sent_at IS NULL AND next_attempt_at <= $1 AND attempts <= $3
                     ORDER BY attempts, next_attempt_at, id
                     LIMIT 1 $lock)
         RETURNING id, recipient, template, content, created_at, expires_at, attempts",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now)
    .bind(CLAIM)
    .bind(most)
    .fetch_optional(db)
    .await?;
    Ok(claimed)
}

/// Extends the sender's claim to a mail that is being sent.
pub async fn renew(db: &mut Connection, id: i64, now: Timestamp) -> Result<(), Error> {
    put_off(db, id, now + CLAIM).await
}

/// Postpones the next attempt.
pub async fn put_off(db: &mut Connection, id: i64, until: Timestamp) -> Result<(), Error> {
    sql::query("UPDATE login_mails SET next_attempt_at = $2 WHERE id = $1 AND sent_at IS NULL")
        .bind(id)
        .bind(until)
        .execute(db)
        .await?;
    Ok(())
}

/// Marks the mail as sent, in a run that keeps sent mails, and deletes the oldest ones.
pub async fn keep(db: &mut Connection, id: i64, now: Timestamp) -> Result<(), Error> {
    sql::query("UPDATE login_mails SET sent_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now)
        .execute(&mut *db)
        .await?;
    sql::query("DELETE FROM login_mails WHERE id <= $1 - $2 AND sent_at IS NOT NULL")
        .bind(id)
        .bind(KEPT)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes a mail that was sent or never will be.
pub async fn delete(db: &mut Connection, id: i64) -> Result<(), Error> {
    sql::query("DELETE FROM login_mails WHERE id = $1").bind(id).execute(db).await?;
    Ok(())
}

/// A mail, as the user it is about may see it.
#[derive(Debug)]
pub struct Listed {
    pub recipient: String,
    pub template: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub sent_at: Option<Timestamp>,
}

sql::row!(Listed { recipient, template, created_at, expires_at, sent_at });

/// Returns the mails to the user that are in the outbox. It leaves out mails about them to other
/// addresses: these would reveal whether such an address has an account.
pub async fn list(db: &mut Connection, user_id: i64, email: &Email) -> Result<Vec<Listed>, Error> {
    let mails = sql::query_as(
        "SELECT recipient, template, created_at, expires_at, sent_at
         FROM login_mails WHERE user_id = $1 AND lower(recipient) = $2 ORDER BY id",
    )
    .bind(user_id)
    .bind(email.to_lower())
    .fetch_all(db)
    .await?;
    Ok(mails)
}

/// Returns all mails in the outbox, the newest first.
pub async fn list_all(db: &mut Connection) -> Result<Vec<Queued>, Error> {
    let mails = sql::query_as(
        "SELECT id, recipient, template, content, created_at, expires_at, attempts
         FROM login_mails ORDER BY id DESC",
    )
    .fetch_all(db)
    .await?;
    Ok(mails)
}

/// Deletes up to `limit` mails that are too old to be sent, and those of an earlier debug run.
/// Returns how many it deleted. It also runs if mail has been switched off.
pub async fn sweep(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    const GRACE: Timestamp = 24 * 60 * 60;

    let deleted = sql::query(
        "DELETE FROM login_mails WHERE id IN
            (SELECT id FROM login_mails WHERE expires_at <= $1 LIMIT $2 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(now - GRACE)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(deleted)
}
