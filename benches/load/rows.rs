//! A table as after some time, with many sessions of many users.

use crate::home::Home;

/// The number of rows per statement.
const BATCH: u64 = 100_000;

/// The number of rows per statement that names them. PostgreSQL's client takes it as an argument,
/// which Linux lets have 128 KiB.
const NAMED_BATCH: usize = 1_500;

/// The number of sessions of each user.
const SESSIONS_PER_USER: u64 = 10;

const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A stored hash that matches no user's password.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA\
                    $AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs";

/// Adds `count` sessions, of which one in twenty is expired and one in ten is a visitor's.
/// No site may run on `home`.
pub fn add(home: &Home, count: u64, now: i64) {
    let users = count.div_ceil(SESSIONS_PER_USER);
    let (first, insertion) = of_users(home, "user", users, now);
    let mut statements = vec![insertion];
    for start in (0..count).step_by(BATCH as usize) {
        // A large prime, so that neighbouring rows belong to different users.
        let user = format!("{first} + i * 7919 % {users}");
        let expires = format!(
            "CASE WHEN i / 10 % 20 = 0 THEN {now} - 1 - i % 3600 ELSE {now} + 86400 - i % 3600 END"
        );
        let when = |value: &str| format!("CASE WHEN i % 10 = 0 THEN NULL ELSE {value} END");
        let (user, authenticated) = (when(&user), when(&format!("{now} - i % 3600")));
        let numbers = numbers(start, count.min(start + BATCH));
        statements.push(insert(home, now, &numbers, &user, &expires, &authenticated));
    }
    run(home, statements);
}

/// Adds `count` sessions of one user.
pub fn add_of(home: &Home, user: i64, count: u64, now: i64) {
    let (numbers, expires) = (numbers(0, count), format!("{now} + 3600"));
    let user = user.to_string();
    run(home, vec![insert(home, now, &numbers, &user, &expires, &now.to_string())]);
}

/// Adds sessions with these ids, in hexadecimal digits, whose last-seen time is due. Neighbours
/// belong to different users. No site may run on `home`.
pub fn add_known(home: &Home, ids: &[String], now: i64) {
    let users = (ids.len() as u64).div_ceil(SESSIONS_PER_USER);
    let (first, insertion) = of_users(home, "known", users, now);
    let bytes = if home.kind() == "SQLite" { "unhex(id)" } else { "decode(id, 'hex')" };
    let rows = ids.iter().enumerate();
    let rows: Vec<_> = rows.map(|(i, id)| format!("('{id}', {})", i as u64 % users)).collect();
    let sessions = rows.chunks(NAMED_BATCH).map(|rows| {
        format!(
            "WITH known (id, i) AS (VALUES {})
             INSERT INTO sessions (id, family, user_id, data, created_at, last_seen_at, expires_at,
                                   authenticated_at, ip_address, ip_network, user_agent)
             SELECT {bytes}, {bytes}, {first} + i, '{{}}', {now} - 3600, {now} - 120, {now} + 3600,
                    {now} - 3600, '192.0.2.' || i % 250, '192.0.2.' || i % 250, '{USER_AGENT}'
             FROM known;",
            rows.join(", ")
        )
    });
    run(home, std::iter::once(insertion).chain(sessions).collect());
}

/// Returns a statement that adds `count` users, and the id that the first of them gets.
fn of_users(home: &Home, name: &str, count: u64, now: i64) -> (i64, String) {
    let first = 1 + home.number("SELECT max(id) FROM users");
    let insertion = format!(
        "{} INSERT INTO users (email, password_hash, created_at)
         SELECT '{name}' || i || '@example.org', '{HASH}', {now} FROM n;",
        numbers(0, count)
    );
    (first, insertion)
}

fn numbers(start: u64, end: u64) -> String {
    format!(
        "WITH RECURSIVE n (i) AS
             (SELECT CAST({start} AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {end})"
    )
}

fn insert(
    home: &Home,
    now: i64,
    numbers: &str,
    user: &str,
    expires: &str,
    authenticated: &str,
) -> String {
    let random = match home.kind() {
        "SQLite" => "randomblob(32)",
        _ => "sha256((gen_random_uuid()::text || i)::bytea)",
    };
    format!(
        "{numbers}
         INSERT INTO sessions (id, family, user_id, data, created_at, last_seen_at, expires_at,
                               authenticated_at, ip_address, ip_network, user_agent)
         SELECT {random}, {random}, {user}, '{{\"views\":3}}', {now} - i % 3600, {now} - i % 600,
                {expires}, {authenticated}, '192.0.2.' || i % 250, '192.0.2.' || i % 250,
                '{USER_AGENT}' FROM n;"
    )
}

fn run(home: &Home, statements: Vec<String>) {
    if home.kind() == "SQLite" {
        // Durability does not matter, because the rows can be made again.
        let quick = "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;
                     PRAGMA cache_size = -1000000;";
        let statements = statements.concat();
        home.execute(format!("{quick} {statements} PRAGMA journal_mode = WAL;"));
        // Otherwise the disk would be busy with it during the measurements.
        home.sync();
        return;
    }

    statements.into_iter().for_each(|statement| home.execute(statement));
    // Do this now and not during the measurements.
    home.execute("VACUUM ANALYZE".to_owned());
}
