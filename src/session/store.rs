//! The rows of the table `sessions`.
//!
//! A session exists if its row has not expired, its user is not disabled, and the row has that
//! user's present generation. "Log out everywhere" starts a new generation, and so it ends ten
//! thousand sessions as fast as one. The sweep deletes their rows later.
//!
//! # Invariants
//!
//! `testing::conformance` checks them, also with two processes at once. The name of the test
//! follows each one.
//!
//!   * Insert, update, touch and delete are different statements. An update or a touch that finds
//!     no session returns that, and never makes a row. An upsert would log a visitor in again if
//!     they had logged out during a slower request: `an_ended_session_never_comes_back`.
//!   * An id is inserted once. A repeated id is an error, and the session that has it stays as it
//!     is: `an_id_is_inserted_once`.
//!   * A session ends in the second of `expires_at`, by our clock and in the query:
//!     `a_session_is_found_until_the_second_it_ends`.
//!   * A renamed session is found only by its new id, with its state:
//!     `a_new_id_leaves_nothing_under_the_old`.
//!   * If several requests rename one session at once, one of them succeeds, and there is still one
//!     session: `one_of_several_parallel_new_ids_wins`.
//!   * A session keeps its `family` when it is renamed, and an end finds it by that:
//!     `an_end_finds_a_session_under_its_new_id`.
//!   * No update is lost, of one key or of several: `parallel_updates_all_count`,
//!     `parallel_writes_of_different_keys_all_survive`.
//!   * If several requests touch one session at once, one of them writes: `a_touch_counts_once`.
//!   * A transaction sees its own changes, and others see them only after the commit:
//!     `a_rolled_back_write_changes_nothing`.
//!   * The state of a session is a JSON object: `only_an_object_is_a_state`.
//!   * A sweep deletes at most `limit` rows, and only those of sessions that have ended. It does
//!     not disturb writes: `a_sweep_deletes_ended_sessions_while_others_write`.
//!   * An end of all the user's sessions ends all except the one that is kept, and no other user's.
//!     None of them comes back: `sessions_that_end_together_never_come_back`.
//!   * This holds for writes and renames at the same time too:
//!     `no_session_survives_an_end_of_all_at_the_same_time`.

use crate::db::{Connection, Transaction};
use crate::sql;

use crate::client::Client;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::token::TokenId;
use crate::user::{Email, User};

/// The SQL condition that the row of `sessions` has the present generation of its user, or has no
/// user. It uses `>=` and not `=`: a statement that has waited for the row on PostgreSQL sees the
/// row after the wait, but the user before it.
///
/// A disabled user has no generation. The commands that disable an account end its sessions as
/// well, but an operator who sets `disabled_at` by SQL does not.
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

/// The row of a session, without its state and its origin.
#[derive(Debug, Clone)]
pub struct Record {
    pub id: TokenId,
    /// The id with which the session began. A log-out that a new token has overtaken finds the row
    /// by it.
    pub family: TokenId,
    pub user_id: Option<i64>,
    pub remember: bool,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub authenticated_at: Option<Timestamp>,
}

/// A use of a session: the row as it was read, and its new times.
#[derive(Debug, Clone)]
pub struct Touch {
    pub read: Record,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

/// The result of a look-up.
#[derive(Debug)]
pub struct Found {
    pub record: Record,
    pub user: Option<User>,
    pub data: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    family: TokenId,
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

/// Returns the session `id` with its user. `None` means that there is no such session, or that it
/// has expired at `now`.
pub async fn find(
    db: &mut Connection,
    id: TokenId,
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

/// Returns the state of the session `id`. `None` means that it has ended. In a transaction nobody
/// else can change the session until the transaction ends, and nobody can end it alone. An end of
/// all the user's sessions can.
pub async fn find_state(
    db: &mut Connection,
    id: TokenId,
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

/// Returns the states of those sessions among `ids` that have not ended. In a transaction it locks
/// them like [`find_state()`]. It skips a session that another instance has locked, unless
/// `is_waited_for` is true and there is only one id: then it waits.
pub async fn find_states(
    db: &mut Connection,
    ids: &[TokenId],
    now: Timestamp,
    is_waited_for: bool,
) -> Result<Vec<(TokenId, String)>, Error> {
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

/// Replaces the states of sessions that were found in this transaction. It skips a state that has
/// not changed, because SQLite would make no commit for it. On PostgreSQL the statement carries
/// this instance's name, so that the instance does not read its own changes again.
pub async fn update_states(db: &mut Transaction, changed: &[(TokenId, &str)]) -> Result<(), Error> {
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
    changed.iter().for_each(|(id, _)| db.effects().add(*id));
    Ok(())
}

/// Rounds up the number of values in a statement, so that there are few different texts to prepare.
fn rounded(count: usize) -> usize {
    count.next_power_of_two()
}

/// Repeats the last value until the rounded number is reached, which changes nothing.
fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let missing = rounded(values.len()) - values.len();
    values.iter().chain(values.last().into_iter().cycle().take(missing))
}

/// Returns the number of visitors' sessions that were started from `network` after `since`.
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

/// Gives the session `old` the id and the time of authentication in `record`. It returns `false` if
/// the session has ended.
pub async fn rename(
    db: &mut Connection,
    old: TokenId,
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
    db.effects().add(old);
    Ok(renamed == 1)
}

/// Sets both clocks to those in `record`. It returns `false` if the session has ended.
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
    db.effects().add(record.id);
    Ok(changed == 1)
}

/// Inserts a row. A repeated id is an error, and never overwrites a session.
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

/// Moves the idle clocks of sessions from the values that were read, and returns the ids of those
/// that were moved. It skips a session that another request has just touched, that has ended, or
/// that another instance has locked.
pub async fn touch(db: &mut Connection, touches: &[Touch]) -> Result<Vec<TokenId>, Error> {
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
    let touched: Vec<TokenId> = query.fetch_all(&mut *db).await?;
    touched.iter().for_each(|id| db.effects().add(*id));
    Ok(touched)
}

/// Ends the session that began with the id `family`, whatever its present id. It returns `false` if
/// the session has ended already.
pub async fn delete(db: &mut Connection, family: TokenId) -> Result<bool, Error> {
    let ended: Vec<TokenId> =
        sql::query_scalar("DELETE FROM sessions WHERE family = $1 RETURNING id")
            .bind(family)
            .declared()
            .fetch_all(&mut *db)
            .await?;
    ended.iter().for_each(|id| db.effects().add(*id));
    Ok(!ended.is_empty())
}

/// A session as its owner sees it.
#[derive(Debug, sqlx::FromRow)]
pub struct Listed {
    pub family: TokenId,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub ip_address: String,
    pub user_agent: String,
}

/// A page of a list: its largest number of rows, and the number of rows before it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub limit: i64,
    pub offset: i64,
}

/// Returns a part of the user's sessions that have not expired at `now`. The session `first` comes
/// first, and the others follow in the order of their last use, the latest first.
pub async fn list(
    db: &mut Connection,
    user_id: i64,
    first: Option<TokenId>,
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
    .bind(first.map(Vec::from))
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

/// Returns those of the sessions `families` that have not expired at `now`. The session that was
/// used last is first.
///
/// It does not take the user as a condition, because a session never changes its user. With it,
/// SQLite would search all the user's sessions for each few.
pub async fn export(
    db: &mut Connection,
    families: &[TokenId],
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

/// Returns the number of the user's sessions that have not expired at `now`.
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

/// Returns the families of the user's sessions that have not expired at `now`. The session that was
/// used last is first.
pub async fn families(
    db: &mut Connection,
    user_id: i64,
    now: Timestamp,
) -> Result<Vec<TokenId>, Error> {
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

/// Ends the user's sessions except the `kept` ones that were used last, and returns how many it
/// ended.
///
/// It ends at most 100 at once, and begins with those that were not used for the longest time. So
/// an account with thousands of sessions, from before there was a limit, loses them over its next
/// log-ins, and no log-in blocks all other writers. It skips a session that another instance is
/// writing, because that one is in use.
pub async fn end_oldest(
    db: &mut Connection,
    user_id: i64,
    kept: i64,
    now: Timestamp,
) -> Result<u64, Error> {
    // PostgreSQL cannot lock the rows of a query with a window function, so the locking query is
    // around it.
    let ended: Vec<TokenId> = sql::query_scalar(
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
    ended.iter().for_each(|id| db.effects().add(*id));
    Ok(ended.len() as u64)
}

/// Ends all sessions of the user except the one that began as `kept`, and returns how many it
/// ended. The transaction has locked the user.
pub async fn end_of_user(
    db: &mut Connection,
    user_id: i64,
    kept: Option<TokenId>,
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
    .bind(kept.map(Vec::from))
    .fetch_optional(&mut *db)
    .await?;
    let (generation, all, kept_ones) = there.unwrap_or_default();
    // A new generation would make every instance read the user's cached sessions again, for
    // nothing.
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
        // Only a session of the previous generation may be kept. Otherwise one that had ended would
        // come back.
        sql::query(
            "UPDATE sessions SET generation = $3 + 1
             WHERE family = $1 AND user_id = $2 AND generation = $3",
        )
        .bind(kept.map(Vec::from))
        .bind(user_id)
        .bind(generation)
        .execute(db)
        .await?;
    }
    Ok((all - kept_ones) as u64)
}

/// Ends all sessions of all users and visitors, and returns how many it ended.
pub async fn delete_all(db: &mut Connection) -> Result<u64, Error> {
    // Locks on single rows could deadlock with transactions that hold one row and wait for another.
    if db.is_postgres() {
        sql::query("LOCK TABLE sessions IN EXCLUSIVE MODE").execute(&mut *db).await?;
    }
    // Sessions that were ended together already are not counted.
    delete_ended(db, u32::MAX).await?;
    Ok(sql::query("DELETE FROM sessions").execute(db).await?)
}

/// Deletes at most `limit` sessions that have expired at `now`, and returns how many it deleted.
pub async fn delete_expired(db: &mut Connection, now: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = sql::query(
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
             /*pg FOR UPDATE SKIP LOCKED*/)",
    )
    .bind(now)
    .bind(limit)
    .declared() // no query finds them any more
    .execute(db)
    .await?;
    Ok(deleted)
}

/// Deletes at most `limit` rows of sessions that were ended together, and returns how many it
/// deleted.
pub async fn delete_ended(db: &mut Connection, limit: u32) -> Result<u64, Error> {
    // The query starts with the users, because few have such rows. SQLite keeps the order of a
    // cross join.
    let deleted = sql::query(
        "DELETE FROM sessions WHERE id IN
            (SELECT s.id FROM users u CROSS JOIN sessions s
             WHERE u.has_ended_sessions AND s.user_id = u.id AND s.generation < u.session_generation
             LIMIT $1 /*pg FOR UPDATE OF s SKIP LOCKED*/)",
    )
    .bind(limit)
    .declared() // no query finds them any more
    .execute(db)
    .await?;
    Ok(deleted)
}

/// Clears `has_ended_sessions` for up to `limit` users who have no rows of ended sessions any more.
/// It skips users whom another transaction has locked.
pub async fn settle_ended(db: &mut Connection, limit: u32) -> Result<(), Error> {
    // The users are locked in a statement of their own. In one statement PostgreSQL would not see
    // sessions that were ended in the meantime.
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
    let query = sql::query_made(text).declared().surely(); // only the sweep reads it
    padded(&users).fold(query, |query, id| query.bind(*id)).execute(db).await?;
    Ok(())
}
