//! Locks on the rows that a statement finds.

use std::borrow::Cow;

/// The place of the lock in a statement's text.
const PLACE: &str = "$lock";

/// A lock on the rows that a statement finds, which [`Query::locking()`](super::Query::locking())
/// takes.
///
/// It ends with the transaction. Only a write transaction on PostgreSQL takes it. In a write
/// transaction on SQLite nobody else can write at all, and outside a transaction it would end at
/// once.
///
/// The two that skip rows wait for nobody, for work that can wait itself. Any other lock waits
/// until the transaction that has a lock in its way is over.
///
/// # Order
///
/// Two transactions that lock the same rows in different orders may each wait for the other; then
/// PostgreSQL ends one of them (deadlock). So every act locks in this order, as far as it needs to:
///
///  1. an address, whether it has an account or not;
///  2. the user of the act ([`NoKeyUpdate`](Lock::NoKeyUpdate)), and another user that it only looks
///     at ([`KeyShare`](Lock::KeyShare));
///  3. their session ([`Update`](Lock::Update)), and several sessions only if it need not wait for
///     the second;
///  4. the counts of attempts, by their keys ([`Update`](Lock::Update));
///  5. links, devices, mails and the history, which it changes without looking;
///  6. the rows of an application, whose hooks (`auth::Hooks`) run last.
///
/// A transaction of your own that locks rows of yours and then waits for one of ours would break
/// this order: do the other first.
///
/// # Examples
///
/// ```rust
/// use rocket_login::sql::{self, Lock};
/// use rocket_login::{Db, Error};
///
/// /// Takes one of the seats that are left. Of two requests for the last one, one gets it.
/// async fn take_seat(db: &Db, course: i64) -> Result<bool, Error> {
///     let mut tx = db.write().await?;
///     let left: Option<i64> =
///         sql::query_scalar("SELECT seats_left FROM courses WHERE id = $1 $lock")
///             .bind(course)
///             .locking(Lock::Update)
///             .fetch_optional(&mut tx)
///             .await?;
///     if left.is_none_or(|left| left == 0) {
///         return Ok(false);
///     }
///     sql::query("UPDATE courses SET seats_left = seats_left - 1 WHERE id = $1")
///         .bind(course)
///         .execute(&mut tx)
///         .await?;
///     tx.commit().await?;
///     Ok(true)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lock {
    /// Nobody else can change, delete or lock the rows (`FOR UPDATE`).
    Update,
    /// Nobody else can change or delete the rows, but others can insert rows that refer to them
    /// (`FOR NO KEY UPDATE`). It is the lock for a row that has many such rows, as a user has.
    NoKeyUpdate,
    /// Nobody else can delete the rows or change their keys, but others can change the rest
    /// (`FOR KEY SHARE`). It is the lock for a row that a new one refers to.
    KeyShare,
    /// As with [`Update`](Lock::Update), but rows that others have locked count as not found (`FOR
    /// UPDATE SKIP LOCKED`).
    UpdateSkipLocked,
    /// As with [`NoKeyUpdate`](Lock::NoKeyUpdate), but rows that others have locked count as not
    /// found (`FOR NO KEY UPDATE SKIP LOCKED`).
    NoKeyUpdateSkipLocked,
}

impl Lock {
    /// Returns the lock in PostgreSQL's words.
    fn clause(self) -> &'static str {
        match self {
            Lock::Update => "FOR UPDATE",
            Lock::NoKeyUpdate => "FOR NO KEY UPDATE",
            Lock::KeyShare => "FOR KEY SHARE",
            Lock::UpdateSkipLocked => "FOR UPDATE SKIP LOCKED",
            Lock::NoKeyUpdateSkipLocked => "FOR NO KEY UPDATE SKIP LOCKED",
        }
    }
}

/// Returns `text` with `lock` in its place if it `is_taken`, and otherwise without it. Both
/// databases refuse a text that has a place for a lock, and no lock.
///
/// # Errors
///
/// Returns an error if there is a lock, and not one place for it.
pub fn placed(
    text: Cow<'static, str>,
    lock: Option<Lock>,
    is_taken: bool,
) -> Result<Cow<'static, str>, sqlx::Error> {
    let Some(lock) = lock else { return Ok(text) };
    let clause = if is_taken { lock.clause() } else { "" };
    match text.split_once(PLACE) {
        Some((before, after)) if !after.contains(PLACE) => {
            Ok(Cow::Owned([before, clause, after].concat()))
        }
        _ => Err(sqlx::Error::Configuration(
            format!("a statement that locks rows needs one {PLACE}: {text}").into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_put_in_its_place_or_left_out() {
        const DELETE: &str = "DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT $1 $lock)";
        let text = |is_taken| {
            placed(DELETE.into(), Some(Lock::UpdateSkipLocked), is_taken).unwrap().into_owned()
        };
        assert_eq!(
            text(true),
            "DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT $1 FOR UPDATE SKIP LOCKED)"
        );
        assert_eq!(text(false), "DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT $1 )");
        for text in ["SELECT id FROM t", "SELECT id FROM (SELECT id FROM t $lock) $lock"] {
            assert!(placed(text.into(), Some(Lock::KeyShare), false).is_err(), "{text}");
        }
        assert_eq!(placed("SELECT 1".into(), None, true).unwrap(), "SELECT 1");
    }
}
