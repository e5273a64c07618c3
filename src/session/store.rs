//! The rows of `sessions`.
//!
//! Insert, touch and delete are different statements. A touch that finds no
//! row reports so and never makes one: an upsert would log a visitor back in
//! who logged out while a slower request was running.

use crate::db::Connection;
use crate::sql;

use super::SessionId;
use super::client::Client;
use super::group::Touch;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::user::User;

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
    let row: Option<Row> = sql::query_as(
        "SELECT s.family, s.user_id, s.data, s.remember, s.created_at, s.last_seen_at, s.expires_at,
                s.authenticated_at, u.email, u.created_at AS user_created_at, u.verified_at
         FROM sessions s LEFT JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND s.expires_at > $2",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;

    Ok(row.map(|row| {
        let user = match (row.user_id, row.email, row.user_created_at) {
            (Some(id), Some(email), Some(created_at)) => {
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
/// else changes or ends it until that ends.
pub async fn find_state(
    db: &mut Connection,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let data = sql::query_scalar(
        "SELECT data FROM sessions WHERE id = $1 AND expires_at > $2 /*pg FOR UPDATE*/",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(data)
}

/// The states of those of the sessions `ids` that have not ended. In a transaction
/// nobody else changes or ends them until that ends. Those that another instance holds
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
        "SELECT id, data FROM sessions WHERE expires_at > $1 AND id IN ({})
         /*pg FOR UPDATE SKIP LOCKED*/",
        sql::places(1, rounded(ids.len()))
    );
    let mut query = sql::query_as_made(text).bind(now);
    for id in padded(ids) {
        query = query.bind(*id);
    }
    Ok(query.fetch_all(db).await?)
}

/// Replaces the states of sessions that were found in the same transaction.
pub async fn update_states(
    db: &mut Connection,
    changed: &[(SessionId, &str)],
) -> Result<(), Error> {
    let text = match changed {
        [_] => "UPDATE sessions SET data = $2 WHERE id = $1".to_owned(),
        _ => format!(
            "WITH changed (id, data) AS (VALUES {})
             UPDATE sessions SET data = changed.data FROM changed WHERE sessions.id = changed.id",
            sql::places_of_rows(rounded(changed.len()), 2)
        ),
    };
    let mut query = sql::query_made(text).declared();
    for (id, data) in padded(changed) {
        query = query.bind(*id).bind(*data);
    }
    query.execute(&mut *db).await?;
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
    let renamed = sql::query(
        "UPDATE sessions SET id = $2, authenticated_at = $3 WHERE id = $1 AND expires_at > $4",
    )
    .bind(old)
    .bind(record.id)
    .bind(record.authenticated_at)
    .bind(now)
    .declared()
    .execute(&mut *db)
    .await?;
    db.changes().add(old);
    Ok(renamed == 1)
}

/// Sets both clocks as `record` has them. `false`: the session has ended.
pub async fn prolong(db: &mut Connection, record: &Record) -> Result<bool, Error> {
    let changed = sql::query(
        "UPDATE sessions SET remember = $2, last_seen_at = $3, expires_at = $4
         WHERE id = $1 AND expires_at > $3",
    )
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
                               expires_at, authenticated_at, ip_address, ip_network, user_agent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
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
    .execute(db)
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
              free AS (SELECT s.id FROM sessions s JOIN used u ON u.id = s.id
                       WHERE s.expires_at > u.now AND s.last_seen_at = u.seen_at
                       /*pg FOR UPDATE OF s SKIP LOCKED*/)
         UPDATE sessions SET last_seen_at = used.now, expires_at = used.expires_at
         FROM used WHERE sessions.id = used.id AND sessions.id IN (SELECT id FROM free)
         RETURNING sessions.id",
        sql::places_of_rows(rounded(touches.len()), 4)
    );
    let mut query = sql::query_scalar_made(text).declared();
    for Touch { read, now, expires_at } in padded(touches) {
        query = query.bind(read.id).bind(read.last_seen_at).bind(*now).bind(*expires_at);
    }
    let touched: Vec<SessionId> = query.fetch_all(&mut *db).await?;
    touched.iter().for_each(|id| db.changes().add(*id));
    Ok(touched)
}

/// Ends the session that began with the id `family`, under whichever id it goes
/// on, if it has not ended already.
pub async fn delete(db: &mut Connection, family: SessionId) -> Result<(), Error> {
    let ended: Vec<SessionId> =
        sql::query_scalar("DELETE FROM sessions WHERE family = $1 RETURNING id")
            .bind(family)
            .declared()
            .fetch_all(&mut *db)
            .await?;
    ended.into_iter().for_each(|id| db.changes().add(id));
    Ok(())
}

/// A session as its owner sees it.
#[derive(Debug, sqlx::FromRow)]
pub struct Listed {
    pub family: SessionId,
    pub data: String,
    pub remember: bool,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub authenticated_at: Option<Timestamp>,
    pub ip_address: String,
    pub user_agent: String,
}

/// The user's sessions that have not expired at `now`, the last used first.
pub async fn list(db: &mut Connection, user_id: i64, now: Timestamp) -> Result<Vec<Listed>, Error> {
    let listed = sql::query_as(
        "SELECT family, data, remember, created_at, last_seen_at, expires_at, authenticated_at,
                ip_address, user_agent
         FROM sessions WHERE user_id = $1 AND expires_at > $2
         ORDER BY last_seen_at DESC, created_at DESC",
    )
    .bind(user_id)
    .bind(now)
    .fetch_all(db)
    .await?;
    Ok(listed)
}

/// Ends all sessions of the user but the one that began as `kept`, and says how
/// many it were.
pub async fn delete_of_user(
    db: &mut Connection,
    user_id: i64,
    kept: Option<SessionId>,
) -> Result<u64, Error> {
    let deleted =
        sql::query("DELETE FROM sessions WHERE user_id = $1 AND family IS DISTINCT FROM $2")
            .bind(user_id)
            .bind(kept)
            .execute(db)
            .await?;
    Ok(deleted)
}

/// Ends everybody's sessions, and says how many it were.
pub async fn delete_all(db: &mut Connection) -> Result<u64, Error> {
    // Rows one by one would meet those who hold one and want another.
    if db.is_postgres() {
        sql::query("LOCK TABLE sessions IN EXCLUSIVE MODE").execute(&mut *db).await?;
    }
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
