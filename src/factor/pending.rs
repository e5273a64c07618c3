//! Log-ins whose second step is missing. The password was right, and nobody is logged in yet.
//!
//! This is a row and a cookie of its own, and never the session: a session without a user stays a
//! visitor's, and one with a user is theirs.

use std::time::Duration;

use rocket::Request;
use rocket::http::SameSite;
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::cookies::{PendingCookies, SealedCookies};
use crate::db::Connection;
use crate::error::Error;
use crate::identity::Via;
use crate::password::PasswordHash;
use crate::sql;
use crate::token::{Token, TokenId};

/// How long the second step may take: as long as a code sent by another way may be good (ASVS 5.0,
/// 6.5.5).
pub const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How many wrong codes one log-in may give. Then it starts again with the password.
pub const MOST_FAILURES: i64 = 5;

/// The most of them that one user has at a time. Somebody who knows the password could otherwise
/// fill the table.
const MOST: i64 = 100;

/// The cookie of a browser that has given the password. It is in managed state.
#[derive(Debug)]
pub struct PendingCookie {
    name: &'static str,
    cookies: SealedCookies,
}

impl PendingCookie {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        let is_secure = config.session.is_secure(config.debug);
        let name = if is_secure { "__Host-login" } else { "login" };
        // A form of another site must not complete a log-in, so it is never `None`. And the link in
        // a mail must find it, so it is not `Strict`.
        let cookies = cookies.clone().at_root(SameSite::Lax);
        PendingCookie { name, cookies }
    }

    /// Returns the tokens that the request brings.
    pub fn all_of(&self, request: &Request<'_>) -> Vec<Token> {
        let opened = self.cookies.open_all(request, self.name).into_iter();
        opened.filter_map(|opened| Token::parse(&opened.value)).collect()
    }

    /// Sends `token`. The browser keeps it until it is closed.
    pub fn send(&self, token: &Token, pending: &PendingCookies) {
        pending.set(self.cookies.seal(self.name, &token.to_text(), None));
    }

    /// Makes the browser delete the cookie.
    pub fn remove(&self, pending: &PendingCookies) {
        pending.set(self.cookies.removal(self.name));
    }
}

/// A log-in whose second step is missing.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: TokenId,
    pub user_id: i64,
    /// [`fingerprint()`] of the password's hash when it was given.
    password: Vec<u8>,
    pub remember: bool,
    pub created_at: Timestamp,
    ip_address: String,
    user_agent: String,
    identity_id: Option<i64>,
    provider_sid: Option<String>,
}

sql::row!(Pending {
    id,
    user_id,
    password,
    remember,
    created_at,
    ip_address,
    user_agent,
    identity_id,
    provider_sid,
});

/// What has begun a log-in.
#[derive(Debug, Clone)]
pub struct Begun<'a> {
    /// The hash of the account's password.
    pub hash: &'a PasswordHash,
    pub remember: bool,
    /// The identity, if it was a provider and not the password.
    pub via: Option<Via>,
}

impl Pending {
    /// Returns by which identity the log-in has begun. `None`: with the password.
    pub fn via(&self) -> Option<Via> {
        let sid = self.provider_sid.clone();
        self.identity_id.map(|id| Via { id, sid })
    }

    /// Returns whether `hash` is still the one of the password that was given.
    pub fn is_of(&self, hash: &PasswordHash) -> bool {
        self.password == fingerprint(hash)
    }

    /// Returns the client that has given the password.
    pub fn client(&self) -> Client {
        Client::stored(&self.ip_address, &self.user_agent)
    }
}

/// Returns a value that is another one for another password.
fn fingerprint(hash: &PasswordHash) -> [u8; 32] {
    Sha256::digest(hash.as_str()).into()
}

/// Adds a log-in of the user, whom the transaction has locked. Beyond [`MOST`] the oldest ends.
pub async fn insert(
    db: &mut Connection,
    id: TokenId,
    user_id: i64,
    begun: &Begun<'_>,
    client: &Client,
    now: Timestamp,
) -> Result<(), Error> {
    sql::query(
        "DELETE FROM login_pending WHERE user_id = $1 AND id IN
            (SELECT id FROM login_pending WHERE user_id = $1
             ORDER BY created_at DESC LIMIT 1000 OFFSET $2)",
    )
    .bind(user_id)
    .bind(MOST - 1)
    .execute(&mut *db)
    .await?;
    sql::query(
        "INSERT INTO login_pending (id, user_id, password, remember, created_at, expires_at,
                                    ip_address, user_agent, identity_id, provider_sid)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id)
    .bind(user_id)
    .bind(fingerprint(begun.hash).to_vec())
    .bind(begun.remember)
    .bind(now)
    .bind(now + LIFETIME.as_secs() as Timestamp)
    .bind(client.ip_address())
    .bind(&client.user_agent)
    .bind(begun.via.as_ref().map(|via| via.id))
    .bind(begun.via.as_ref().and_then(|via| via.sid.as_deref()))
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the log-in `id` if it is not over at `now`.
pub async fn find(
    db: &mut Connection,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<Pending>, Error> {
    let pending = sql::query_as(
        "SELECT id, user_id, password, remember, created_at, ip_address, user_agent,
                identity_id, provider_sid
         FROM login_pending WHERE id = $1 AND expires_at > $2",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(pending)
}

/// Counts a wrong code, and returns how many there were. `None`: the log-in has ended.
pub async fn fail(db: &mut Connection, id: TokenId, now: Timestamp) -> Result<Option<i64>, Error> {
    let failures = sql::query_scalar(
        "UPDATE login_pending SET failures = failures + 1 WHERE id = $1 AND expires_at > $2
         RETURNING failures",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await?;
    Ok(failures)
}

/// Deletes the log-in `id`, of which nobody is to be told. Of several uses at once, one gets `true`.
pub async fn take(db: &mut Connection, id: TokenId) -> Result<bool, Error> {
    let taken = sql::query("DELETE FROM login_pending WHERE id = $1").bind(id).execute(db).await?;
    Ok(taken == 1)
}

/// Ends the log-in `id`. Its row stays until the owner is told.
pub async fn end(db: &mut Connection, id: TokenId, now: Timestamp) -> Result<(), Error> {
    sql::query("UPDATE login_pending SET expires_at = $2 WHERE id = $1 AND expires_at > $2")
        .bind(id)
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

/// Ends every log-in of the user like [`end()`].
pub async fn end_of_user(db: &mut Connection, user_id: i64, now: Timestamp) -> Result<(), Error> {
    sql::query("UPDATE login_pending SET expires_at = $2 WHERE user_id = $1 AND expires_at > $2")
        .bind(user_id)
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes every log-in that the identity has begun, of which nobody is to be told. With a `sid`,
/// only those of this session of the provider, and those whose provider did not say which it was.
pub async fn delete_of_identity(
    db: &mut Connection,
    identity_id: i64,
    sid: Option<&str>,
) -> Result<(), Error> {
    sql::query(
        "DELETE FROM login_pending WHERE identity_id = $1
         AND (CAST($2 AS TEXT) IS NULL OR provider_sid IS NULL OR provider_sid = $2)",
    )
    .bind(identity_id)
    .bind(sid)
    .execute(db)
    .await?;
    Ok(())
}

/// Ends every log-in of all users like [`end()`].
pub async fn end_all(db: &mut Connection, now: Timestamp) -> Result<(), Error> {
    sql::query("UPDATE login_pending SET expires_at = $1 WHERE expires_at > $1")
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes the log-ins of the user that this browser has begun, `ids`. The browser begins a later
/// one, or has completed it, and no stranger knows the password because of the earlier ones.
pub async fn replace(db: &mut Connection, user_id: i64, ids: &[TokenId]) -> Result<(), Error> {
    for id in ids {
        sql::query("DELETE FROM login_pending WHERE id = $1 AND user_id = $2")
            .bind(*id)
            .bind(user_id)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Returns up to `limit` log-ins that have ended, and of which nobody was told yet.
pub async fn ended(db: &mut Connection, now: Timestamp, limit: u32) -> Result<Vec<Pending>, Error> {
    let ended = sql::query_as(
        "SELECT id, user_id, password, remember, created_at, ip_address, user_agent,
                identity_id, provider_sid
         FROM login_pending WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(ended)
}
