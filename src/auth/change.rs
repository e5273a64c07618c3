//! One change to an account: a write transaction, with the events that it
//! records, the links that it makes and the mails that it announces.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::{Sqlite, Transaction};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::clock::{Clock, Timestamp};
use crate::config::AccountsConfig;
use crate::db::Pools;
use crate::error::Error;
use crate::history::{self, Kind, Line};
use crate::link::{self, Link, Purpose};
use crate::mail::{Content, Letter, Mail};
use crate::notice::{self, Notice};
use crate::password::PasswordHash;
use crate::session::{Client, Session, Started, device};
use crate::token::{Token, TokenId};
use crate::user::User;

/// How long "this was not me" is good for: people read mail late.
const NOT_ME_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a notice is worth sending.
const NOTICE_LIFETIME: Timestamp = 3 * 24 * 60 * 60;

/// What every change needs, on behalf of a visitor or of the operator.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    pub db: &'a Pools,
    pub clock: &'a Clock,
    pub mail: &'a Mail,
    pub config: &'a AccountsConfig,
    pub client: &'a Client,
}

/// A change under way. Dropped without a commit, nothing has happened.
#[must_use = "nothing has happened before it is committed"]
pub struct Change<'a> {
    accounts: Accounts<'a>,
    tx: Transaction<'static, Sqlite>,
    pub now: Timestamp,
    lines: Vec<Line>,
}

impl<'a> Accounts<'a> {
    /// Begins a change. It holds the one writer until it ends.
    ///
    /// # Errors
    ///
    /// As [`Pools::write()`].
    pub async fn change(&self) -> Result<Change<'a>, Error> {
        let tx = self.db.write().await?;
        Ok(Change { accounts: *self, tx, now: self.clock.now(), lines: Vec::new() })
    }
}

impl Change<'_> {
    /// Records what happened to `user`.
    pub async fn record(&mut self, kind: Kind, user: &User) -> Result<(), Error> {
        self.record_of(kind, Some(user.id), Some(&user.email)).await
    }

    /// The same where there is no account.
    pub async fn record_of(
        &mut self,
        kind: Kind,
        user_id: Option<i64>,
        email: Option<&str>,
    ) -> Result<(), Error> {
        let client = self.accounts.client;
        history::insert(&mut self.tx, user_id, kind, client, self.now).await?;
        self.note(kind, user_id, email);
        Ok(())
    }

    /// The same in the log alone.
    pub fn note(&mut self, kind: Kind, user_id: Option<i64>, email: Option<&str>) {
        let (ip_address, email) = (self.accounts.client.ip_address(), email.map(str::to_owned));
        self.lines.push(Line { kind, ip_address, user_id, email });
    }

    /// Makes a link for `user` that was, or will be, mailed to `email`.
    pub async fn link(
        &mut self,
        purpose: Purpose,
        user: &User,
        email: &str,
    ) -> Result<(Token, Timestamp), Error> {
        let lifetime = self.lifetime(purpose);
        self.insert_link(purpose, Some(user.id), email, None, lifetime).await
    }

    /// Takes the link `id` for one of `purposes`.
    pub async fn take(&mut self, id: TokenId, purposes: &[Purpose]) -> Result<Option<Link>, Error> {
        link::take(&mut self.tx, id, purposes, self.now).await
    }

    /// How long links for `purpose` are good.
    pub fn lifetime(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Reset => self.accounts.config.reset_lifetime,
            Purpose::NotMe => NOT_ME_LIFETIME,
            Purpose::SignUp | Purpose::Verify | Purpose::ChangeEmail => {
                self.accounts.config.verify_lifetime
            }
        }
    }

    /// Mails `template` with a link for `purpose` to `email`.
    pub async fn mail_link(
        &mut self,
        template: &'static str,
        purpose: Purpose,
        user: &User,
        email: &str,
    ) -> Result<(), Error> {
        if !self.accounts.mail.is_on() {
            return Ok(());
        }

        let (token, expires_at) = self.link(purpose, user, email).await?;
        let content = Content { new_address: email.to_owned(), ..self.content(&user.email) };
        self.mail_token(template, purpose, Some(user.id), email, (token, expires_at), content).await
    }

    /// Mails a link to `email` that makes an account with this password.
    pub async fn mail_sign_up(
        &mut self,
        email: &str,
        hash: PasswordHash,
    ) -> Result<TokenId, Error> {
        let (purpose, lifetime) = (Purpose::SignUp, self.lifetime(Purpose::SignUp));
        let (token, expires_at) =
            self.insert_link(purpose, None, email, Some(hash), lifetime).await?;
        let (id, content) = (token.id(), self.content(email));
        self.mail_token("verify", purpose, None, email, (token, expires_at), content).await?;
        Ok(id)
    }

    /// Tells `user`, whose address somebody else has given, and leads to `page`.
    pub async fn mail_taken(
        &mut self,
        template: &'static str,
        page: &str,
        user: &User,
    ) -> Result<(), Error> {
        let lifetime = self.lifetime(Purpose::SignUp).as_secs() as Timestamp;
        let link = self.accounts.mail.page(page);
        let letter = Letter {
            template,
            user_id: Some(user.id),
            recipient: &user.email,
            expires_at: self.now + lifetime,
            content: Content { link, ..self.content(&user.email) },
        };
        self.queue(letter).await
    }

    /// Does the work of a mailed link without any effect, for an address that
    /// gets none: how long an answer takes must not tell which addresses have
    /// accounts.
    pub async fn pretend(&mut self, email: &str, hash: PasswordHash) -> Result<(), Error> {
        sqlx::query("SAVEPOINT pretence").execute(&mut *self.tx).await?;
        self.mail_sign_up(email, hash).await?;
        sqlx::query("ROLLBACK TO pretence").execute(&mut *self.tx).await?;
        sqlx::query("RELEASE pretence").execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Mails `template` with the link of `token`.
    async fn mail_token(
        &mut self,
        template: &'static str,
        purpose: Purpose,
        user_id: Option<i64>,
        email: &str,
        (token, expires_at): (Token, Timestamp),
        content: Content,
    ) -> Result<(), Error> {
        let path = match purpose {
            Purpose::SignUp | Purpose::Verify | Purpose::ChangeEmail => "/verify",
            Purpose::Reset => "/reset",
            Purpose::NotMe => "/not-me",
        };
        let content = Content {
            link: self.accounts.mail.link(path, &token),
            lifetime: in_words(self.lifetime(purpose)),
            ..content
        };
        self.queue(Letter { template, user_id, recipient: email, expires_at, content }).await
    }

    /// Mails `template` to `recipient`, about the account of `user`, with the
    /// link "this was not me".
    pub async fn tell(
        &mut self,
        template: &'static str,
        user: &User,
        recipient: &str,
        content: Content,
    ) -> Result<(), Error> {
        if !self.accounts.mail.is_on() {
            return Ok(());
        }

        let (token, _) = self.link(Purpose::NotMe, user, recipient).await?;
        let content = Content { not_me: self.accounts.mail.link("/not-me", &token), ..content };
        let expires_at = self.now + NOTICE_LIFETIME;
        let user_id = Some(user.id);
        self.queue(Letter { template, user_id, recipient, expires_at, content }).await
    }

    /// Tells the user of `notice`, unless he has switched it off.
    pub async fn notify(
        &mut self,
        notice: Notice,
        user: &User,
        recipient: &str,
        content: Content,
    ) -> Result<(), Error> {
        match notice::is_wanted(&mut self.tx, user.id, notice).await? {
            true => self.tell(notice.name(), user, recipient, content).await,
            false => Ok(()),
        }
    }

    /// What can be said of this request, about the account of `address`.
    pub fn content(&self, address: &str) -> Content {
        let client = self.accounts.client;
        Content {
            address: address.to_owned(),
            device: device(&client.user_agent),
            ip_address: match client.ip_address() {
                unknown if unknown.is_empty() => "unknown".into(),
                address => address,
            },
            time: in_utc(self.now),
            ..Content::default()
        }
    }

    /// Makes it happen.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await?;
        happened(self.accounts, self.lines);
        Ok(())
    }

    /// Makes it happen, with the session that was started or renamed in it.
    pub async fn commit_session(self, session: &Session, started: Started) -> Result<(), Error> {
        session.commit(self.tx, started).await?;
        happened(self.accounts, self.lines);
        Ok(())
    }

    async fn insert_link(
        &mut self,
        purpose: Purpose,
        user_id: Option<i64>,
        email: &str,
        password_hash: Option<PasswordHash>,
        lifetime: Duration,
    ) -> Result<(Token, Timestamp), Error> {
        let (token, now) = (Token::generate(), self.now);
        let expires_at = now + lifetime.as_secs() as Timestamp;
        let link = Link {
            purpose,
            user_id,
            email: email.to_owned(),
            password_hash,
            created_at: now,
            expires_at,
        };
        link::insert(&mut self.tx, &token, &link).await?;
        Ok((token, expires_at))
    }

    async fn queue(&mut self, letter: Letter<'_>) -> Result<(), Error> {
        self.accounts.mail.queue(&mut self.tx, letter, self.now).await
    }
}

/// What is said only once it is true.
fn happened(accounts: Accounts<'_>, lines: Vec<Line>) {
    lines.iter().for_each(Line::log);
    accounts.mail.wake();
}

/// For the statements of a change.
impl Deref for Change<'_> {
    type Target = Transaction<'static, Sqlite>;

    fn deref(&self) -> &Self::Target {
        &self.tx
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.tx
    }
}

/// As in "23 November 2026, 07:01 UTC".
pub fn in_utc(at: Timestamp) -> String {
    let format =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    let at = OffsetDateTime::from_unix_timestamp(at).ok();
    at.and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

/// As in "24 hours": in the largest unit that divides it.
fn in_words(lifetime: Duration) -> String {
    let seconds = lifetime.as_secs();
    let (count, unit) = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute")]
        .into_iter()
        .find(|(length, _)| seconds.is_multiple_of(*length))
        .map_or((seconds, "second"), |(length, unit)| (seconds / length, unit));
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_as_people_tell_it() {
        assert_eq!(in_utc(1_767_225_600), "1 January 2026, 00:00 UTC");
        assert_eq!(in_utc(i64::MAX), "");
        for (seconds, words) in [
            (3_600, "1 hour"),
            (86_400, "1 day"),
            (7 * 86_400, "7 days"),
            (5_400, "90 minutes"),
            (61, "61 seconds"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
