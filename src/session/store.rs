//! The rows of `sessions`.
//!
//! Insert, touch and delete are different statements. A touch that finds no
//! row reports so and never makes one: an upsert would log a visitor back in
//! who logged out while a slower request was running.
//!
//! A session is there while it has not expired, its user is not disabled, and it is of
//! that user's present generation: "log out everywhere" begins another one, and so ends
//! ten thousand sessions as fast as one. Their rows wait for the sweep.

use crate::db::{Connection, Transaction};
use crate::sql;

use super::SessionId;
use super::group::Touch;
use crate::client::Client;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::user::{Email, User};

/// The row of `sessions` is of its user's generation. Not `=`: who waited for the row
/// on PostgreSQL sees it as it is by now, and the user as of before the wait.
///
/// A disabled user has no generation: the commands end all sessions of the account as
/// well, but somebody who sets `disabled_at` by SQL does not.
macro_rules! of_generation {
    () => {
        of_generation!(
            "(SELECT session_generation FROM users
              WHERE users.id = sessions.user_id AND users.disabled_at IS NULL)"
        )
    };
    ($users:literal) => {
        concat!("(sessions.user_id IS NULL OR sessions.generation >= ", $users, ")")
    };
}

/// A session's row, without its state and its origin.
#[derive(Debug, Clone)]
pub struct Record {
    pub id: SessionId,
    /// The id it began with. A log-out that has been overtaken by a new token
    /// finds the row by it.
    pub family: SessionId,
    pub user_id: Option<i64>,
    pub remember: bool,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub authenticated_at: Option<Timestamp>,
}

/// What a look-up finds.
#[derive(Debug)]
pub struct Found {
    pub record: Record,
    pub user: Option<User>,
    pub data: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    family: SessionId,
    user_id: Option<i64>,
    data: String,
    remember: bool,
    created_at: Timestamp,
    last_seen_at: Timestamp,
    expires_at: Timestamp,
    authenticated_at: Option<Timestamp>,
    email: Option<String>,
    user_created_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
}

/// The session `id` with its user, if it is there and has not expired at `now`.
pub async fn find(
    db: &mut Connection,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<Found>, Error> {
    let row: Option<Row> = sql::query_as(concat!(
        "SELECT family, user_id, data, remember, sessions.created_at, last_seen_at, expires_at,
                authenticated_at, email, u.created_at AS user_created_at, verified_at
         FROM sessions LEFT JOIN users u ON u.id = user_id
         WHERE sessions.id = $1 AND expires_at > $2 AND ",
        of_generation!("CASE WHEN u.disabled_at IS NULL THEN u.session_generation END"),
    ))
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;

    Ok(row.map(|row| {
        let user = match (row.user_id, row.email, row.user_created_at) {
            (Some(id), Some(email), Some(created_at)) => {
                let email = Email::from_stored(email);
                Some(User { id, email, created_at, verified_at: row.verified_at })
            }
            _ => None,
        };

        let record = Record {
            id,
            family: row.family,
            user_id: row.user_id,
            remember: row.remember,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: row.expires_at,
            authenticated_at: row.authenticated_at,
        };

        Found { record, user, data: row.data }
    }))
}

/// The state of the session `id`. `None`: it has ended. In a transaction nobody
/// else changes it, or ends it alone, until that ends.
pub async fn find_state(
    db: &mut Connection,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let data = sql::query_scalar(concat!(
        "SELECT data FROM sessions WHERE id = $1 AND expires_at > $2 AND ",
        of_generation!(),
        " /*pg FOR UPDATE*/",
    ))
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(data)
}

/// The states of those of the sessions `ids` that have not ended. In a transaction
/// nobody else changes them until that ends, as above. Those that another instance holds
/// are passed over, unless it is one, and to be waited for.
pub async fn find_states(
    db: &mut Connection,
    ids: &[SessionId],
    now: Timestamp,
    is_waited_for: bool,
) -> Result<Vec<(SessionId, String)>, Error> {
    if let ([id], true) = (ids, is_waited_for) {
        let found = find_state(db, *id, now).await?;
        return Ok(found.into_iter().map(|data| (*id, data)).collect());
    }

    let text = format!(
        "SELECT id, data FROM sessions WHERE expires_at > $1 AND id IN ({}) AND {}
         /*pg FOR UPDATE SKIP LOCKED*/",
        sql::places(1, rounded(ids.len())),
        of_generation!(),
    );
    let mut query = sql::query_as_made(text).bind(now);
    for id in padded(ids) {
        query = query.bind(*id);
    }
    Ok(query.fetch_all(db).await?)
}

/// Replaces the states of sessions that were found in the same transaction. One that is
/// as before is not written: SQLite would make no commit of it. On PostgreSQL
/// this instance says that it was itself, so that it does not read them anew.
pub async fn update_states(
    db: &mut Transaction,
    changed: &[(SessionId, &str)],
) -> Result<(), Error> {
    let text = format!(
        "WITH changed (id, data) AS (VALUES {})
         UPDATE sessions SET data = changed.data
         FROM changed /*pg , set_config('rocket_login.by', '{}', TRUE)*/
         WHERE sessions.id = changed.id AND sessions.data <> changed.data",
        sql::places_of_rows(rounded(changed.len()), 2),
        db.name(),
    );
    let mut query = sql::query_made(text).declared().surely();
    for (id, data) in padded(changed) {
        query = query.bind(*id).bind(*data);
    }
    query.defer(&mut *db).await?;
    changed.iter().for_each(|(id, _)| db.changes().add(*id));
    Ok(())
}

/// So that there are few texts to prepare.
fn rounded(count: usize) -> usize {
    count.next_power_of_two()
}

/// The last one takes the places that are left: once more does no harm.
fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let missing = rounded(values.len()) - values.len();
    values.iter().chain(values.last().into_iter().cycle().take(missing))
}

/// How many visitors' sessions were begun from `network` after `since`.
pub async fn count_visitors(
    db: &mut Connection,
    network: &str,
    since: Timestamp,
) -> Result<i64, Error> {
    let count = sql::query_scalar(
        "SELECT count(*) FROM sessions
         WHERE user_id IS NULL AND ip_network = $1 AND created_at > $2",
    )
    .bind(network)
    .bind(since)
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Gives the session `old` the id of `record`, and its time of authentication.
/// `false`: it has ended.
pub async fn rename(
    db: &mut Connection,
    old: SessionId,
    record: &Record,
    now: Timestamp,
) -> Result<bool, Error> {
    let renamed = sql::query(concat!(
        "UPDATE sessions SET id = $2, authenticated_at = $3
         WHERE id = $1 AND expires_at > $4 AND ",
        of_generation!(),
    ))
    .bind(old)
    .bind(record.id)
    .bind(record.authenticated_at)
    .bind(now)
    .declared()
    .surely()
    .execute(&mut *db)
    .await?;
    db.changes().add(old);
    Ok(renamed == 1)
}

/// Sets both clocks as `record` has them. `false`: the session has ended.
pub async fn prolong(db: &mut Connection, record: &Record) -> Result<bool, Error> {
    let changed = sql::query(concat!(
        "UPDATE sessions SET remember = $2, last_seen_at = $3, expires_at = $4
         WHERE id = $1 AND expires_at > $3 AND ",
        of_generation!(),
    ))
    .bind(record.id)
    .bind(record.remember)
    .bind(record.last_seen_at)
    .bind(record.expires_at)
    .declared()
    .execute(&mut *db)
    .await?;
    db.changes().add(record.id);
    Ok(changed == 1)
}

/// Adds a row. A repeated id is an error, never an overwritten session.
pub async fn insert(
    db: &mut Connection,
    record: &Record,
    data: &str,
    client: &Client,
) -> Result<(), Error> {
    sql::query(
        "INSERT INTO sessions (id, family, user_id, data, remember, created_at, last_seen_at,
                               expires_at, authenticated_at, ip_address, ip_network, user_agent,
                               generation)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
                 coalesce((SELECT session_generation FROM users WHERE id = $3), 0))",
    )
    .bind(record.id)
    .bind(record.family)
    .bind(record.user_id)
    .bind(data)
    .bind(record.remember)
    .bind(record.created_at)
    .bind(record.last_seen_at)
    .bind(record.expires_at)
    .bind(record.authenticated_at)
    .bind(client.ip_address())
    .bind(client.network())
    .bind(&client.user_agent)
    .declared()
    .defer(db)
    .await?;
    Ok(())
}

/// Moves the idle clocks of sessions as they were read, and returns whose. Not of those
/// that a request at the same time has moved already, that have ended, or that another
/// instance has just locked: that is not waited for.
pub async fn touch(db: &mut Connection, touches: &[Touch]) -> Result<Vec<SessionId>, Error> {
    if touches.is_empty() {
        return Ok(Vec::new());
    }

    let text = format!(
        "WITH used (id, seen_at, now, expires_at) AS (VALUES {}),
              free AS (SELECT sessions.id FROM sessions JOIN used u ON u.id = sessions.id
                       WHERE sessions.expires_at > u.now AND last_seen_at = u.seen_at AND {}
                       /*pg FOR UPDATE OF sessions SKIP LOCKED*/)
         UPDATE sessions SET last_seen_at = used.now, expires_at = used.expires_at
         FROM used WHERE sessions.id = used.id AND sessions.id IN (SELECT id FROM free)
         RETURNING sessions.id",
        sql::places_of_rows(rounded(touches.len()), 4),
        of_generation!(),
    );
    let mut query = sql::query_scalar_made(text).declared().surely();
    for Touch { read, now, expires_at } in padded(touches) {
        query = query.bind(read.id).bind(read.last_seen_at).bind(*now).bind(*expires_at);
    }
    let touched: Vec<SessionId> = query.fetch_all(&mut *db).await?;
    touched.iter().for_each(|id| db.changes().add(*id));
    Ok(touched)
}

/// Ends the session that began with the id `family`, under whichever id it goes
/// on. `false`: it has ended already.
pub async fn delete(db: &mut Connection, family: SessionId) -> Result<bool, Error> {
    let ended: Vec<SessionId> =
        sql::query_scalar("DELETE FROM sessions WHERE family = $1 RETURNING id")
            .bind(family)
            .declared()
            .fetch_all(&mut *db)
            .await?;
    ended.iter().for_each(|id| db.changes().add(*id));
    Ok(!ended.is_empty())
}

/// A session as its owner sees it.
#[derive(Debug, sqlx::FromRow)]
pub struct Listed {
    pub family: SessionId,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub ip_address: String,
    pub user_agent: String,
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub limit: i64,
    pub offset: i64,
}

/// A part of the user's sessions that have not expired at `now`: `first` of them all,
/// then the last used.
pub async fn list(
    db: &mut Connection,
    user_id: i64,
    first: Option<SessionId>,
    part: Part,
    now: Timestamp,
) -> Result<Vec<Listed>, Error> {
    let listed = sql::query_as(concat!(
        "SELECT family, created_at, last_seen_at, expires_at, ip_address, user_agent
         FROM sessions WHERE user_id = $1 AND expires_at > $2 AND ",
        of_generation!(),
        " ORDER BY CASE WHEN family = $3 THEN 0 ELSE 1 END,
                   last_seen_at DESC, created_at DESC, family
         LIMIT $4 OFFSET $5",
    ))
    .bind(user_id)
    .bind(now)
    .bind(first)
    .bind(part.limit)
    .bind(part.offset)
    .fetch_all(db)
    .await?;
    Ok(listed)
}

/// A session as it is exported.
#[derive(Debug, sqlx::FromRow)]
pub struct Exported {
    pub data: String,
    pub remember: bool,
    pub authenticated_at: Option<Timestamp>,
    #[sqlx(flatten)]
    pub listed: Listed,
}

/// Those of the sessions `families` that have not expired at `now`, the last used first.
///
/// It does not ask again for the user, whom a session never leaves: SQLite would look
/// through all of theirs for each few.
pub async fn export(
    db: &mut Connection,
    families: &[SessionId],
    now: Timestamp,
) -> Result<Vec<Exported>, Error> {
    let text = format!(
        "SELECT data, remember, authenticated_at, family, created_at, last_seen_at, expires_at,
                ip_address, user_agent
         FROM sessions WHERE expires_at > $1 AND family IN ({}) AND {}
         ORDER BY last_seen_at DESC, created_at DESC, family",
        sql::places(1, rounded(families.len())),
        of_generation!(),
    );
    let mut query = sql::query_as_made(text).bind(now);
    for family in padded(families) {
        query = query.bind(*family);
    }
    Ok(query.fetch_all(db).await?)
}

/// How many sessions of the user have not expired at `now`.
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

/// Which sessions of the user have not expired at `now`, the last used first.
pub async fn families(
    db: &mut Connection,
    user_id: i64,
    now: Timestamp,
) -> Result<Vec<SessionId>, Error> {
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

/// Ends the user's sessions but the `kept` last used ones, and says how many it were: at
/// most 100 at a time, those first that were not used for the longest. An account that
/// has thousands from before there was a limit loses them with its next log-ins, and no
/// log-in keeps everybody else from writing.
///
/// What another instance is just writing is passed over: it is in use.
pub async fn end_oldest(
    db: &mut Connection,
    user_id: i64,
    kept: i64,
    now: Timestamp,
) -> Result<u64, Error> {
    // PostgreSQL locks no rows of a query that numbers them.
    let ended: Vec<SessionId> = sql::query_scalar(
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE id IN
                (SELECT id FROM
                    (SELECT id, row_number() OVER (ORDER BY last_seen_at DESC, created_at DESC)
                            AS place
                     FROM sessions WHERE user_id = $1 AND expires_at > $3 AND generation >=
                        (SELECT session_generation FROM users WHERE id = $1)) AS numbered
                 WHERE place > $2 ORDER BY place DESC LIMIT 100)
             /*pg FOR UPDATE SKIP LOCKED*/)
         RETURNING id",
    )
    .bind(user_id)
    .bind(kept)
    .bind(now)
    .declared()
    .fetch_all(&mut *db)
    .await?;
    ended.iter().for_each(|id| db.changes().add(*id));
    Ok(ended.len() as u64)
}

/// Ends all sessions of the user, whom the transaction has locked, but the one that
/// began as `kept`, and says how many it were.
pub async fn end_of_user(
    db: &mut Connection,
    user_id: i64,
    kept: Option<SessionId>,
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
    .bind(kept)
    .fetch_optional(&mut *db)
    .await?;
    let (generation, all, kept_ones) = there.unwrap_or_default();
    // Every instance would look up anew what it keeps, and for nothing.
    if all == kept_ones {
        return Ok(0);
    }

    sql::query(
        "UPDATE users SET session_generation = $2 + 1, has_ended_sessions = TRUE WHERE id = $1",
    )
    .bind(user_id)
    .bind(generation)
    .execute(&mut *db)
    .await?;
    if kept_ones > 0 {
        // Of the generation before, or a session that had ended would come back.
        sql::query(
            "UPDATE sessions SET generation = $3 + 1
             WHERE family = $1 AND user_id = $2 AND generation = $3",
        )
        .bind(kept)
        .bind(user_id)
        .bind(generation)
        .execute(db)
        .await?;
    }
    Ok((all - kept_ones) as u64)
}

/// Ends everybody's sessions, and says how many it were.
pub async fn delete_all(db: &mut Connection) -> Result<u64, Error> {
    // Rows one by one would meet those who hold one and want another.
    if db.is_postgres() {
        sql::query("LOCK TABLE sessions IN EXCLUSIVE MODE").execute(&mut *db).await?;
    }
    // What has ended already counts once.
    delete_ended(db, u32::MAX).await?;
    Ok(sql::query("DELETE FROM sessions").execute(db).await?)
}

/// Deletes at most `limit` sessions that have expired at `now`, and says how
/// many it were.
pub async fn delete_expired(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
             /*pg FOR UPDATE SKIP LOCKED*/)",
    )
    .bind(now)
    .bind(limit)
    .declared() // nobody takes them for sessions any longer
    .execute(db)
    .await?;
    Ok(deleted)
}

/// Deletes at most `limit` rows of sessions that were ended together, and says how
/// many it were.
pub async fn delete_ended(db: &mut Connection, limit: u32) -> Result<u64, Error> {
    // From the users on, who are few: SQLite takes a cross join in its order.
    let deleted = sql::query(
        "DELETE FROM sessions WHERE id IN
            (SELECT s.id FROM users u CROSS JOIN sessions s
             WHERE u.has_ended_sessions AND s.user_id = u.id AND s.generation < u.session_generation
             LIMIT $1 /*pg FOR UPDATE OF s SKIP LOCKED*/)",
    )
    .bind(limit)
    .declared() // as above
    .execute(db)
    .await?;
    Ok(deleted)
}

/// Notes of whom `delete_ended()` has left no row: of at most `limit` users, and not of
/// those who are just being changed.
pub async fn settle_ended(db: &mut Connection, limit: u32) -> Result<(), Error> {
    // In a statement before, or PostgreSQL would not see what was ended meanwhile.
    let users: Vec<i64> = sql::query_scalar(
        "SELECT id FROM users WHERE has_ended_sessions LIMIT $1
         /*pg FOR NO KEY UPDATE SKIP LOCKED*/",
    )
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    if users.is_empty() {
        return Ok(());
    }

    let text = format!(
        "UPDATE users SET has_ended_sessions = FALSE
         WHERE id IN ({}) AND NOT EXISTS
            (SELECT 1 FROM sessions WHERE user_id = users.id AND generation < session_generation)",
        sql::places(0, rounded(users.len()))
    );
    let query = sql::query_made(text).declared().surely(); // nobody reads it but the sweep
    padded(&users).fold(query, |query, id| query.bind(*id)).execute(db).await?;
    Ok(())
}
