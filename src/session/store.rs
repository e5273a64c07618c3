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

#[cfg(feature = "pages")]
mod of_users;
mod texts;

use crate::client::Client;
use crate::clock::Timestamp;
use crate::db::{Answers, Connection, Question, Transaction};
use crate::error::Error;
use crate::sql::{self, Lock};
use crate::token::TokenId;
use crate::user::{Email, Roles, User};
#[cfg(feature = "pages")]
pub use of_users::{
    Exported, Listed, Part, count, end_of_user, end_oldest, export, families, list, note_identity,
};
#[cfg(feature = "providers")]
pub use of_users::{families_of_identity, identity_of};
use texts::of_generation;

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
    /// When two factors were last given.
    pub strong_at: Option<Timestamp>,
}

/// A use of a session: the row as it was read, and its new times.
#[derive(Debug, Clone)]
pub struct Touch {
    pub read: Record,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

impl Touch {
    /// Returns the row of [`touch()`]'s value.
    fn to_json(&self) -> String {
        let Touch { read, now, expires_at } = self;
        format!("[\"{}\",{},{now},{expires_at}]", read.id.to_hex(), read.last_seen_at)
    }
}

/// The result of a look-up.
#[derive(Debug, Clone)]
pub struct Found {
    pub record: Record,
    pub user: Option<User>,
    pub data: String,
}

struct Row {
    id: TokenId,
    family: TokenId,
    user_id: Option<i64>,
    data: String,
    remember: bool,
    created_at: Timestamp,
    last_seen_at: Timestamp,
    expires_at: Timestamp,
    authenticated_at: Option<Timestamp>,
    strong_at: Option<Timestamp>,
    email: Option<String>,
    user_created_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
    roles: Option<String>,
    has_factor: Option<bool>,
}

sql::row!(Row {
    id,
    family,
    user_id,
    data,
    remember,
    created_at,
    last_seen_at,
    expires_at,
    authenticated_at,
    strong_at,
    email,
    user_created_at,
    verified_at,
    roles,
    has_factor,
});

/// Selects the rows of sessions with their users. The ids follow.
const SELECT: &str = concat!(
    "SELECT sessions.id, family, user_id, data, remember, sessions.created_at,
            last_seen_at, expires_at, authenticated_at, strong_at, email,
            u.created_at AS user_created_at, verified_at, roles, has_factor
     FROM sessions LEFT JOIN users u ON u.id = user_id
     WHERE expires_at > $1 AND ",
    of_generation!("CASE WHEN u.disabled_at IS NULL THEN u.session_generation END"),
    " AND sessions.id IN",
);

/// The look-up of a session by its id, with its user.
pub struct ById;

impl Question for ById {
    type Key = TokenId;
    type Answer = Found;

    async fn ask(
        db: &mut Connection,
        ids: &[TokenId],
        now: Timestamp,
    ) -> Result<Answers<Self>, Error> {
        let text = format!("{SELECT} ({})", sql::places_for(1, ids));
        let rows: Vec<Row> =
            sql::query_as_made(text).bind(now).bind_each(ids).fetch_all(db).await?;
        Ok(rows.into_iter().map(|row| (row.id, Found::from(row))).collect())
    }
}

impl From<Row> for Found {
    fn from(row: Row) -> Self {
        let user = match (row.user_id, row.email, row.user_created_at) {
            (Some(id), Some(email), Some(created_at)) => {
                let email = Email::from_stored(email);
                let roles = Roles::from_stored(row.roles.as_deref().unwrap_or_default());
                let has_factor = row.has_factor.unwrap_or_default();
                let verified_at = row.verified_at;
                Some(User { id, email, created_at, verified_at, roles, has_factor })
            }
            _ => None,
        };

        let record = Record {
            id: row.id,
            family: row.family,
            user_id: row.user_id,
            remember: row.remember,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: row.expires_at,
            authenticated_at: row.authenticated_at,
            strong_at: row.strong_at,
        };

        Found { record, user, data: row.data }
    }
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
        " $lock",
    ))
    .locking(Lock::Update)
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
        "SELECT id, data FROM sessions WHERE expires_at > $1 AND id IN ({}) AND {} $lock",
        sql::places_for(1, ids),
        of_generation!(),
    );
    let query = sql::query_as_made(text).locking(Lock::UpdateSkipLocked);
    Ok(query.bind(now).bind_each(ids).fetch_all(db).await?)
}

/// Replaces the states of sessions that were found in this transaction. It skips a state that has
/// not changed, because SQLite would make no commit for it. On PostgreSQL the statement carries
/// this instance's name, so that the instance does not read its own changes again.
pub async fn update_states(db: &mut Transaction, changed: &[(TokenId, &str)]) -> Result<(), Error> {
    let by = match db.is_postgres() {
        true => format!(", set_config('rocket_login.by', '{}', TRUE)", db.name()),
        false => String::new(),
    };
    let text = format!(
        "WITH changed (id, data) AS (VALUES {})
         UPDATE sessions SET data = changed.data FROM changed{by}
         WHERE sessions.id = changed.id AND sessions.data <> changed.data",
        sql::places_of_rows(sql::rounded(changed.len()), 2),
    );
    let mut query = sql::query_made(text).declared().surely();
    for (id, data) in sql::padded(changed) {
        query = query.bind(*id).bind(*data);
    }
    query.execute(&mut *db).await?;
    changed.iter().for_each(|(id, _)| db.changed(*id));
    Ok(())
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

/// Gives the session `old` the id and the times of authentication in `record`. It returns `false` if
/// the session has ended.
pub async fn rename(
    db: &mut Connection,
    old: TokenId,
    record: &Record,
    now: Timestamp,
) -> Result<bool, Error> {
    let renamed = sql::query(concat!(
        "UPDATE sessions SET id = $2, authenticated_at = $3, strong_at = $4
         WHERE id = $1 AND expires_at > $5 AND ",
        of_generation!(),
    ))
    .bind(old)
    .bind(record.id)
    .bind(record.authenticated_at)
    .bind(record.strong_at)
    .bind(now)
    .declared()
    .surely()
    .execute(&mut *db)
    .await?;
    db.changed(old);
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
    db.changed(record.id);
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
                               strong_at, generation)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
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
    .bind(record.strong_at)
    .declared() // nobody has read it yet
    .surely()
    .execute(db)
    .await?;
    Ok(())
}

/// The statement of [`touch()`]. Its one value is a JSON array with an array for each session. With
/// a value for each field, SQLite would search the names of all values for the name of each.
macro_rules! touch_text {
    ($id:literal, $rows:literal) => {
        concat!(
            "WITH used (id, seen_at, now, expires_at) AS
                 (SELECT ",
            $id,
            ", CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT)
                  FROM ",
            $rows,
            "),
                  free AS (SELECT u.* FROM used u JOIN sessions ON sessions.id = u.id
                           WHERE sessions.expires_at > u.now AND last_seen_at = u.seen_at AND ",
            of_generation!(),
            " $lock)
             UPDATE sessions SET last_seen_at = free.now, expires_at = free.expires_at
             FROM free WHERE sessions.id = free.id
             RETURNING sessions.id"
        )
    };
}

/// Moves the idle clocks of sessions from the values that were read, and returns the ids of those
/// that were moved. It skips a session that another request has just touched, that has ended, or
/// that another instance has locked.
///
/// The versions of the sessions stay. An entry of the cache that has the earlier times is not wrong:
/// the session is looked up before it has ended, or touched once more, which finds it moved. Only an
/// end that comes earlier than before, after a change of the configuration, counts as a change.
pub async fn touch(db: &mut Connection, touches: &[Touch]) -> Result<Vec<TokenId>, Error> {
    if touches.is_empty() {
        return Ok(Vec::new());
    }

    let text = match db.is_postgres() {
        true => touch_text!("decode(value->>0, 'hex')", "json_array_elements($1::json)"),
        false => touch_text!("unhex(value->>0)", "json_each($1)"),
    };
    let rows: Vec<_> = touches.iter().map(Touch::to_json).collect();
    let query = sql::query_scalar(text).bind(format!("[{}]", rows.join(",")));
    let query = query.locking(Lock::UpdateSkipLocked).declared().surely();
    let touched: Vec<TokenId> = query.fetch_all(&mut *db).await?;
    for Touch { read, .. } in touches.iter().filter(|to| to.expires_at < to.read.expires_at) {
        db.changed(read.id);
    }
    Ok(touched)
}

/// Ends the session that began with the id `family`, whatever its present id. It returns `false` if
/// the session has ended already.
pub async fn delete(db: &mut Connection, family: TokenId) -> Result<bool, Error> {
    let ended: Vec<TokenId> =
        sql::query_scalar("DELETE FROM sessions WHERE family = $1 RETURNING id")
            .bind(family)
            .declared()
            .surely()
            .fetch_all(&mut *db)
            .await?;
    ended.iter().for_each(|id| db.changed(*id));
    Ok(!ended.is_empty())
}

/// Ends all sessions of all users and visitors, and returns how many it ended.
#[cfg(feature = "pages")]
pub async fn delete_all(db: &mut Connection) -> Result<u64, Error> {
    // Locks on single rows could deadlock with transactions that hold one row and wait for another.
    if db.is_postgres() {
        sql::query("LOCK TABLE sessions IN EXCLUSIVE MODE").execute(&mut *db).await?;
    }
    // Sessions that were ended together already are not counted.
    delete_ended(db, u32::MAX).await?;
    db.changed_all();
    Ok(sql::query("DELETE FROM sessions").declared().surely().execute(db).await?)
}

/// Deletes at most `limit` sessions that have expired between `from` and `now`, the oldest first.
/// Returns when each of them expired.
///
/// PostgreSQL reads the entries of deleted rows again until it has vacuumed the table. So a caller
/// that deletes many rows goes on `from` where it was.
pub async fn delete_expired(
    db: &mut Connection,
    from: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Timestamp>, Error> {
    let deleted = sql::query_scalar(
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE expires_at >= $1 AND expires_at <= $2
             ORDER BY expires_at LIMIT $3 $lock)
         RETURNING expires_at",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(from)
    .bind(now)
    .bind(limit)
    .declared() // no query finds them any more
    .surely()
    .fetch_all(db)
    .await?;
    Ok(deleted)
}

/// Deletes at most `limit` rows of sessions that were ended together, and returns how many it
/// deleted.
pub async fn delete_ended(db: &mut Connection, limit: u32) -> Result<u64, Error> {
    // The query starts with the users, because few have such rows. SQLite keeps the order of a
    // cross join. PostgreSQL does not lock what `WITH` has found, so the users stay free.
    let deleted = sql::query(
        "DELETE FROM sessions WHERE id IN
            (WITH ended AS (SELECT id, session_generation FROM users WHERE has_ended_sessions)
             SELECT s.id FROM ended CROSS JOIN sessions s
             WHERE s.user_id = ended.id AND s.generation < ended.session_generation
             LIMIT $1 $lock)",
    )
    .locking(Lock::UpdateSkipLocked)
    .bind(limit)
    .declared() // no query finds them any more
    .surely()
    .execute(db)
    .await?;
    Ok(deleted)
}

/// Clears `has_ended_sessions` for up to `limit` users who have no rows of ended sessions any more.
/// It skips users whom another transaction has locked.
pub async fn settle_ended(db: &mut Connection, limit: u32) -> Result<(), Error> {
    // The users are locked in a statement of their own. In one statement PostgreSQL would not see
    // sessions that were ended in the meantime.
    let users: Vec<i64> =
        sql::query_scalar("SELECT id FROM users WHERE has_ended_sessions LIMIT $1 $lock")
            .locking(Lock::NoKeyUpdateSkipLocked)
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
        sql::places_for(0, &users)
    );
    let query = sql::query_made(text).declared().surely(); // only the sweep reads it
    query.bind_each(&users).execute(db).await?;
    Ok(())
}
