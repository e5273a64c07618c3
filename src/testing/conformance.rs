//! The behaviour that every store of sessions must have, also under races.

use rocket::futures::future::join_all;
use rocket::tokio;
use serde_json::Value;

use crate::client::Client;
use crate::clock::Timestamp;
use crate::db::{Connection, Pool, Question};
use crate::error::Error;
use crate::session::store::{self, ById, Record, Touch};
use crate::session::value;
use crate::token::{Token, TokenId};
use crate::{password, sql, user};

/// A time in the year 2096, so that a site's own sweep does not interfere.
const NOW: Timestamp = 4_000_000_000;
const END: Timestamp = NOW + 100;

/// Runs the suite on the sessions of a database of any kind. `one` and `other` are two connections
/// to it, like those of two processes.
///
/// The database must be used for nothing else: the suite sweeps sessions that end before the year
/// 2096.
///
/// # Panics
///
/// Panics at the first behaviour that is wrong, with its name.
pub async fn conformance(one: &Pool, other: &Pool) {
    an_id_is_inserted_once(one, other).await;
    a_session_is_found_until_the_second_it_ends(one).await;
    an_ended_session_never_comes_back(one, other).await;
    a_new_id_leaves_nothing_under_the_old(one).await;
    one_of_several_parallel_new_ids_wins(one, other).await;
    an_end_finds_a_session_under_its_new_id(one, other).await;
    parallel_updates_all_count(one, other).await;
    parallel_writes_of_different_keys_all_survive(one, other).await;
    a_touch_counts_once(one, other).await;
    a_rolled_back_write_changes_nothing(one, other).await;
    only_an_object_is_a_state(one).await;
    a_sweep_deletes_ended_sessions_while_others_write(one, other).await;
    sessions_that_end_together_never_come_back(one, other).await;
    no_session_survives_an_end_of_all_at_the_same_time(one, other).await;
}

/// Returns one of the two, in turn.
fn turn<'p>(one: &'p Pool, other: &'p Pool, number: usize) -> &'p Pool {
    if number.is_multiple_of(2) { one } else { other }
}

fn record() -> Record {
    let id = Token::generate().id();
    Record {
        id,
        family: id,
        user_id: None,
        remember: false,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: END,
        authenticated_at: None,
        strong_at: None,
    }
}

async fn insert(db: &Pool, record: &Record) -> Result<(), Error> {
    let mut tx = db.write().await?;
    store::insert(&mut tx, record, "{}", &Client::default()).await?;
    tx.commit().await
}

async fn inserted(db: &Pool) -> Record {
    let record = record();
    insert(db, &record).await.expect("a new session");
    record
}

async fn delete(db: &Pool, family: TokenId) {
    let mut tx = db.write().await.unwrap();
    store::delete(&mut tx, family).await.unwrap();
    tx.commit().await.unwrap();
}

async fn touch(db: &mut Connection, read: &Record, now: Timestamp, expires_at: Timestamp) -> bool {
    let touch = Touch { read: read.clone(), now, expires_at };
    store::touch(db, &[touch]).await.unwrap() == [read.id]
}

async fn exists(db: &Pool, id: TokenId, now: Timestamp) -> bool {
    ById::ask_one(&mut db.read().await.unwrap(), id, now).await.unwrap().is_some()
}

async fn state_of(db: &Pool, id: TokenId) -> Value {
    let data = store::find_state(&mut db.read().await.unwrap(), id, NOW).await.unwrap();
    serde_json::from_str(&data.expect("the session exists")).unwrap()
}

/// Runs every statement that changes a session at `now`, and returns whether any of them found it.
async fn changes(db: &Pool, record: &Record, now: Timestamp) -> bool {
    let mut tx = db.write().await.unwrap();
    let prolonged = Record { last_seen_at: now, expires_at: now + 100, ..record.clone() };
    let touched = touch(&mut tx, record, now, now + 100).await;
    let prolonged = store::prolong(&mut tx, &prolonged).await.unwrap();
    let found = store::find_state(&mut tx, record.id, now).await.unwrap().is_some()
        || !store::find_states(&mut tx, &[record.id], now, false).await.unwrap().is_empty();
    let new = Token::generate().id();
    let renamed = store::rename(&mut tx, record.id, &named(record, new), now).await.unwrap();
    drop(tx);
    touched || prolonged || found || renamed
}

fn named(record: &Record, id: TokenId) -> Record {
    Record { id, ..record.clone() }
}

/// Sets `key` in the state as a request does.
async fn update(db: &Pool, id: TokenId, key: &str, change: impl FnOnce(i64) -> i64) {
    let mut tx = db.write().await.unwrap();
    let data = store::find_state(&mut tx, id, NOW).await.unwrap().expect("the session exists");
    let mut state = value::parse(&data).unwrap();
    let value = state.get(key).and_then(Value::as_i64).unwrap_or(0);
    state.insert(key.into(), change(value).into());
    let data = Value::Object(state).to_string();
    store::update_states(&mut tx, &[(id, &data)]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn an_id_is_inserted_once(db: &Pool, other: &Pool) {
    let record = inserted(db).await;
    update(db, record.id, "kept", |_| 1).await;
    assert!(insert(db, &record).await.is_err(), "an id was inserted twice");
    assert_eq!(state_of(db, record.id).await["kept"], 1, "a session was overwritten");

    // Two inserts at the same time, as if the source of randomness were broken.
    let record = self::record();
    let results = join_all((0..8).map(|i| insert(turn(db, other, i), &record))).await;
    let inserted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(inserted, 1, "an id was inserted {inserted} times at once");
}

async fn a_session_is_found_until_the_second_it_ends(db: &Pool) {
    let record = inserted(db).await;
    assert!(exists(db, record.id, END - 1).await, "a session ended early");
    assert!(changes(db, &record, END - 1).await, "a session ended early for writing");
    assert!(!exists(db, record.id, END).await, "a session outlived its end");
    assert!(!changes(db, &record, END).await, "an ended session was changed");
}

async fn an_ended_session_never_comes_back(db: &Pool, other: &Pool) {
    let record = inserted(db).await;
    delete(db, record.family).await;
    assert!(!changes(db, &record, NOW).await, "a deleted session was changed");
    assert!(!exists(db, record.id, NOW).await, "a deleted session came back");

    // One process deletes while another one writes.
    for number in 0..20 {
        let record = inserted(db).await;
        let touch = async {
            let mut tx = turn(db, other, number).write().await.unwrap();
            touch(&mut tx, &record, NOW + 1, END + 1).await;
            tx.commit().await.unwrap();
        };
        let delete = delete(turn(db, other, number + 1), record.family);
        match number % 4 {
            0 | 1 => drop(tokio::join!(touch, delete)),
            _ => drop(tokio::join!(delete, touch)),
        }
        assert!(!exists(db, record.id, NOW).await, "a touch brought a deleted session back");
    }
}

async fn a_new_id_leaves_nothing_under_the_old(db: &Pool) {
    let (old, new) = (inserted(db).await, Token::generate().id());
    update(db, old.id, "kept", |_| 1).await;
    let mut tx = db.write().await.unwrap();
    assert!(store::rename(&mut tx, old.id, &named(&old, new), NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!exists(db, old.id, NOW).await, "the old id still works");
    assert_eq!(state_of(db, new).await["kept"], 1, "the state was lost");
}

async fn one_of_several_parallel_new_ids_wins(db: &Pool, other: &Pool) {
    let old = inserted(db).await;
    let results = join_all((0..8).map(async |i| {
        let mut tx = turn(db, other, i).write().await.unwrap();
        let new = Token::generate().id();
        let changed = store::rename(&mut tx, old.id, &named(&old, new), NOW).await.unwrap();
        tx.commit().await.unwrap();
        changed
    }));
    let won = results.await.into_iter().filter(|changed| *changed).count();
    assert_eq!(won, 1, "one session became {won}");
}

async fn an_end_finds_a_session_under_its_new_id(db: &Pool, other: &Pool) {
    let (old, new) = (inserted(db).await, Token::generate().id());
    let mut tx = db.write().await.unwrap();
    assert!(store::rename(&mut tx, old.id, &named(&old, new), NOW).await.unwrap());
    tx.commit().await.unwrap();
    // The end comes from a request that has loaded the session earlier.
    delete(other, old.family).await;
    assert!(!exists(db, new, NOW).await, "a log-out missed a session with a new id");
}

async fn parallel_updates_all_count(db: &Pool, other: &Pool) {
    let record = inserted(db).await;
    let count = |i| update(turn(db, other, i), record.id, "count", |count| count + 1);
    join_all((0..50).map(count)).await;
    assert_eq!(state_of(db, record.id).await["count"], 50, "an update was lost");
}

async fn parallel_writes_of_different_keys_all_survive(db: &Pool, other: &Pool) {
    let record = inserted(db).await;
    let keys: Vec<String> = (0..50).map(|number| format!("key {number} \"ü\" $.")).collect();
    let set = |(i, key)| update(turn(db, other, i), record.id, key, |_| 1);
    join_all(keys.iter().map(String::as_str).enumerate().map(set)).await;
    let state = state_of(db, record.id).await;
    assert!(keys.iter().all(|key| state[key] == 1), "a key was lost");
}

async fn a_touch_counts_once(db: &Pool, other: &Pool) {
    let record = inserted(db).await;
    let results = join_all((0..8).map(async |i| {
        let mut tx = turn(db, other, i).write().await.unwrap();
        let touched = touch(&mut tx, &record, NOW + 60, END + 60).await;
        tx.commit().await.unwrap();
        touched
    }));
    let touched = results.await.into_iter().filter(|touched| *touched).count();
    assert_eq!(touched, 1, "eight requests at once wrote {touched} times");
    assert!(exists(db, record.id, END + 59).await, "a touch did not extend the session");
}

async fn a_rolled_back_write_changes_nothing(db: &Pool, other: &Pool) {
    let record = record();
    let mut tx = db.write().await.unwrap();
    store::insert(&mut tx, &record, "{}", &Client::default()).await.unwrap();
    let found = store::find_state(&mut tx, record.id, NOW).await.unwrap();
    assert!(found.is_some(), "a transaction does not see the session it has inserted");
    assert!(!exists(other, record.id, NOW).await, "an uncommitted session is seen");
    drop(tx);
    assert!(!exists(db, record.id, NOW).await, "a rolled back session exists");
}

async fn only_an_object_is_a_state(db: &Pool) {
    let record = inserted(db).await;
    for data in ["", "[]", "1", "null", "{", "text"] {
        let stored = async {
            let mut tx = db.write().await?;
            store::update_states(&mut tx, &[(record.id, data)]).await?;
            tx.commit().await
        };
        assert!(stored.await.is_err(), "{data:?} was stored as a state");
    }
    for data in ["", "[]", "1", "null", "{", "text"] {
        assert!(value::parse(data).is_none(), "{data:?} was read as a state");
    }
}

async fn a_sweep_deletes_ended_sessions_while_others_write(db: &Pool, other: &Pool) {
    let live = inserted(db).await;
    let mut ended = Vec::new();
    for _ in 0..30 {
        let record = Record { expires_at: NOW - 1, ..record() };
        insert(db, &record).await.unwrap();
        ended.push(record.id);
    }

    let sweep = async {
        let mut swept = 0;
        loop {
            let mut tx = db.write().await.unwrap();
            let deleted = store::delete_expired(&mut tx, 0, NOW, 10).await.unwrap().len();
            tx.commit().await.unwrap();
            assert!(deleted <= 10, "a batch of 10 deleted {deleted}");
            swept += deleted;
            if deleted < 10 {
                return swept;
            }
        }
    };
    let write = join_all((0..20).map(|_| update(other, live.id, "count", |count| count + 1)));
    let (swept, _) = tokio::join!(sweep, write);

    assert!(swept >= 30, "{swept} of 30 ended sessions were swept");
    for id in ended {
        let expired = ById::ask_one(&mut db.read().await.unwrap(), id, NOW - 2).await.unwrap();
        assert!(expired.is_none(), "an ended session was left");
    }
    assert_eq!(state_of(db, live.id).await["count"], 20, "a sweep disturbed a live session");
}

/// Inserts a user.
async fn user(db: &Pool) -> i64 {
    let text = format!("{}@example.org", &**Token::generate().to_text());
    let email = user::Email::parse(&text).unwrap();
    let hash = password::PasswordHash::from_stored("!".into());
    let mut tx = db.write().await.unwrap();
    let id = user::store::insert(&mut tx, &email, &hash, None, NOW).await.unwrap().id;
    tx.commit().await.unwrap();
    id
}

async fn inserted_of(db: &Pool, user_id: i64) -> Record {
    let record = Record { user_id: Some(user_id), authenticated_at: Some(NOW), ..record() };
    insert(db, &record).await.expect("a new session");
    record
}

async fn end_of_user(db: &Pool, user_id: i64, kept: Option<&Record>) -> u64 {
    let mut tx = db.write().await.unwrap();
    let kept = kept.map(|kept| kept.family);
    let ended = store::end_of_user(&mut tx, user_id, kept).await.unwrap();
    tx.commit().await.unwrap();
    ended
}

async fn sessions_that_end_together_never_come_back(db: &Pool, other: &Pool) {
    let (ada, bob) = (user(db).await, user(db).await);
    let (visitor, bobs) = (inserted(db).await, inserted_of(db, bob).await);
    let kept = inserted_of(db, ada).await;
    let mut ended = Vec::new();
    for _ in 0..30 {
        ended.push(inserted_of(db, ada).await);
    }

    assert_eq!(end_of_user(db, ada, Some(&kept)).await, 30, "not all were ended");
    for record in [&visitor, &bobs, &kept, &inserted_of(other, ada).await] {
        assert!(exists(other, record.id, NOW).await, "an end took another session along");
        assert!(changes(other, record, NOW + 1).await, "an end took another session along");
    }
    for record in &ended {
        assert!(!exists(other, record.id, NOW).await, "a session outlived the end of all");
        assert!(!changes(other, record, NOW + 1).await, "an ended session was changed");
    }
    let listed = store::families(&mut db.read().await.unwrap(), ada, NOW).await.unwrap();
    assert_eq!(listed.len(), 2, "the list has other sessions than those that exist");
    let counted = store::count(&mut db.read().await.unwrap(), ada, NOW).await.unwrap();
    assert_eq!(counted, 2, "the count differs from the sessions that exist");

    // The end comes from a session that has ended itself. Two sessions are left, and neither comes
    // back.
    assert_eq!(end_of_user(other, ada, Some(&ended[0])).await, 2, "not all were ended");
    for record in [&ended[0], &kept] {
        assert!(!exists(db, record.id, NOW).await, "an ended session came back");
    }
    assert_eq!(end_of_user(db, ada, None).await, 0, "a session ended twice");

    let mut swept = 1;
    while swept > 0 {
        let mut tx = db.write().await.unwrap();
        swept = store::delete_ended(&mut tx, 10).await.unwrap();
        store::settle_ended(&mut tx, 10).await.unwrap();
        tx.commit().await.unwrap();
        assert!(swept <= 10, "a batch of 10 deleted {swept}");
    }
    let left = async |user_id: i64| -> i64 {
        let count = sql::query_scalar("SELECT count(*) FROM sessions WHERE user_id = $1");
        count.bind(user_id).fetch_one(&mut db.read().await.unwrap()).await.unwrap()
    };
    assert_eq!(left(ada).await, 0, "rows of ended sessions were left");
    assert_eq!(left(bob).await, 1, "the sweep took a session that had not ended");
    assert!(exists(db, visitor.id, NOW).await, "the sweep took a session that had not ended");
}

async fn no_session_survives_an_end_of_all_at_the_same_time(db: &Pool, other: &Pool) {
    for _ in 0..10 {
        let ada = user(db).await;
        let (kept, ended) = (inserted_of(db, ada).await, inserted_of(db, ada).await);
        let count = join_all((0..4).map(async |i| {
            let mut tx = turn(db, other, i).write().await.unwrap();
            for record in [&kept, &ended] {
                if let Some(data) = store::find_state(&mut tx, record.id, NOW).await.unwrap() {
                    store::update_states(&mut tx, &[(record.id, &data)]).await.unwrap();
                } else {
                    assert_ne!(record.id, kept.id, "the session that was kept was not found");
                }
            }
            tx.commit().await.unwrap();
        }));
        let rename = async {
            let new = Token::generate().id();
            let mut tx = other.write().await.unwrap();
            store::rename(&mut tx, ended.id, &named(&ended, new), NOW).await.unwrap();
            tx.commit().await.unwrap();
            new
        };
        let (_, new, _) = tokio::join!(count, rename, end_of_user(db, ada, Some(&kept)));
        assert!(exists(other, kept.id, NOW).await, "the session that was kept has ended");
        for id in [ended.id, new] {
            assert!(!exists(db, id, NOW).await, "a session outlived the end of all");
        }
    }
}
