//! A change to an account: a write transaction, with the events that it records and the links that
//! it makes. The file `mails` has what it mails.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::db::{Pool, Transaction};

use super::hooks::AttachedHooks;
use crate::client::Client;
use crate::clock::{Clock, Timestamp};
use crate::config::{AccountsConfig, ThrottleConfig};
use crate::device;
use crate::error::Error;
use crate::factor::pending;
use crate::history::{self, EventKind, Line};
use crate::link::{self, Link, Purpose};
use crate::mail::Mail;
use crate::password::PasswordHash;
use crate::session::store as sessions;
use crate::session::{Session, Started};
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};

/// How long "this was not me" is good. It is a week, because people read mail late.
const NOT_ME_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The parts that every change needs, on behalf of a visitor or of the operator.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    pub db: &'a Pool,
    pub clock: &'a Clock,
    pub mail: &'a Mail,
    pub config: &'a AccountsConfig,
    pub throttle: &'a ThrottleConfig,
    pub client: &'a Client,
    pub hooks: &'a AttachedHooks,
}

/// A change that is in progress. If it is dropped without a commit, nothing has happened.
#[must_use = "nothing has happened before it is committed"]
pub struct Change<'a> {
    pub(super) accounts: Accounts<'a>,
    tx: Transaction,
    pub now: Timestamp,
    lines: Vec<Line>,
}

impl<'a> Accounts<'a> {
    /// Begins a change. It holds the only writer until it ends.
    ///
    /// # Errors
    ///
    /// Fails like [`Pool::write()`].
    pub async fn change(&self) -> Result<Change<'a>, Error> {
        let tx = self.db.write().await?;
        Ok(Change { accounts: *self, tx, now: self.clock.now(), lines: Vec::new() })
    }
}

impl Change<'_> {
    /// Records an event of `user` in the history, and in the log after the commit.
    pub async fn record(&mut self, kind: EventKind, user: &User) -> Result<(), Error> {
        self.record_of(kind, Some(user.id), Some(&user.email)).await
    }

    /// Records an event like [`record()`](Self::record()), also of nobody's account.
    pub async fn record_of(
        &mut self,
        kind: EventKind,
        user_id: Option<i64>,
        email: Option<&Email>,
    ) -> Result<(), Error> {
        self.record_with(kind, "", user_id, email).await
    }

    /// Records an event of `user`, whose `detail` says what it is about: the name of a role, or the
    /// kind of a factor.
    pub async fn record_detail(
        &mut self,
        kind: EventKind,
        detail: &str,
        user: &User,
    ) -> Result<(), Error> {
        self.record_with(kind, detail, Some(user.id), Some(&user.email)).await
    }

    /// Records a log-in of `user`, and whether the device was not known.
    pub async fn record_log_in(&mut self, user: &User, is_new_device: bool) -> Result<(), Error> {
        let detail = if is_new_device { history::NEW_DEVICE } else { "" };
        self.record_with(EventKind::LoggedIn, detail, Some(user.id), Some(&user.email)).await
    }

    async fn record_with(
        &mut self,
        kind: EventKind,
        detail: &str,
        user_id: Option<i64>,
        email: Option<&Email>,
    ) -> Result<(), Error> {
        let client = self.accounts.client;
        history::insert(&mut self.tx, user_id, (kind, detail), client, self.now).await?;
        let line = self.line(kind, user_id, email);
        self.lines.push(Line { detail: detail.to_owned(), ..line });
        Ok(())
    }

    /// Records an event of nobody's account, which is undone later. The log never has it.
    pub async fn pretend_record(&mut self, kind: EventKind) -> Result<(), Error> {
        history::insert(&mut self.tx, None, (kind, ""), self.accounts.client, self.now).await
    }

    /// Records an event in the log alone, after the commit.
    pub fn note(&mut self, kind: EventKind, user_id: Option<i64>, email: Option<&Email>) {
        self.lines.push(self.line(kind, user_id, email));
    }

    pub(super) fn line(
        &self,
        kind: EventKind,
        user_id: Option<i64>,
        email: Option<&Email>,
    ) -> Line {
        let (ip_address, email) = (self.accounts.client.ip_address(), email.cloned());
        Line { at: self.now, kind, ip_address, user_id, email, detail: String::new() }
    }

    /// Makes a link for `user`, which the caller mails to `email`.
    pub async fn link(
        &mut self,
        purpose: Purpose,
        user: &User,
        email: &Email,
    ) -> Result<(Token, Timestamp), Error> {
        let is_kept = purpose == Purpose::NotMe && user.verified_at.is_some();
        let new = self.new_link(purpose, email);
        self.insert_link(Link { user_id: Some(user.id), is_kept, ..new }).await
    }

    /// Makes a link for `user` that is not mailed: the operator hands it on.
    pub async fn print_link(&mut self, purpose: Purpose, user: &User) -> Result<Token, Error> {
        let new = self.new_link(purpose, &user.email);
        let link = Link { user_id: Some(user.id), is_mailed: false, ..new };
        Ok(self.insert_link(link).await?.0)
    }

    /// Locks the address `email` until the change ends: nobody else can look whether it is free, or
    /// take it.
    ///
    /// Every change takes its locks in this order, or two changes would wait for each other: the
    /// address, the user, their session, the rows of the throttle, the rest.
    pub async fn lock_address(&mut self, email: &Email) -> Result<(), Error> {
        self.tx.lock(&format!("address {}", email.to_lower())).await
    }

    /// Spends the link `id` for one of `purposes` and returns it. `None`: the link is dead. Of
    /// several uses at once, one gets it.
    pub async fn take(&mut self, id: TokenId, purposes: &[Purpose]) -> Result<Option<Link>, Error> {
        let Some(link) = link::find(&mut self.tx, id, purposes, self.now).await? else {
            return Ok(None);
        };
        if let Some(user_id) = link.user_id {
            user::store::find(&mut self.tx, user_id).await?;
        }
        Ok(link::take(&mut self.tx, id).await?.then_some(link))
    }

    /// Returns the account that has the address `email`, or had it until recently. It always looks
    /// for both, so that the time does not tell which of the two it is.
    pub async fn owner(&mut self, email: &Email) -> Result<Option<Account>, Error> {
        let present = user::store::see_by_email(&mut self.tx, email).await?;
        let former = user::store::see_former(&mut self.tx, email, self.now).await?;
        Ok(present.or(former))
    }

    /// Replaces the password by one that the former holder of the account does not know. Every
    /// session, log-in without its second step, known device and link of the account ends as well.
    /// Returns how many sessions ended.
    pub async fn replace_password(
        &mut self,
        user: &User,
        hash: &PasswordHash,
    ) -> Result<u64, Error> {
        user::store::set_password_hash(&mut self.tx, user.id, hash, self.now).await?;
        let ended = self.end_sessions(user.id, None).await?;
        device::forget_others(&mut self.tx, user.id, None).await?;
        link::end_all(&mut self.tx, user.id).await?;
        Ok(ended)
    }

    /// Ends all sessions of the user except the one that began as `kept`, every log-in without its
    /// second step, and the trust in their devices. Returns how many sessions ended.
    pub async fn end_sessions(
        &mut self,
        user_id: i64,
        kept: Option<TokenId>,
    ) -> Result<u64, Error> {
        pending::end_of_user(&mut self.tx, user_id, self.now).await?;
        device::distrust(&mut self.tx, user_id).await?;
        sessions::end_of_user(&mut self.tx, user_id, kept).await
    }

    /// Returns how long links for `purpose` are good.
    pub fn lifetime(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Reset => self.accounts.config.reset_lifetime,
            Purpose::NotMe => NOT_ME_LIFETIME,
            Purpose::SignUp | Purpose::Verify | Purpose::ChangeEmail => {
                self.accounts.config.verify_lifetime
            }
        }
    }

    /// Commits the change, writes its events to the log and wakes the sender of mails.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await?;
        happened(self.accounts, self.lines);
        Ok(())
    }

    /// Commits the change like [`commit()`](Self::commit()), with the session that it has started
    /// or renamed.
    pub async fn commit_session(self, session: &Session, started: Started) -> Result<(), Error> {
        session.commit(self.tx, started).await?;
        happened(self.accounts, self.lines);
        Ok(())
    }

    /// Returns a link from now on that is mailed to `email`.
    pub(super) fn new_link(&self, purpose: Purpose, email: &Email) -> Link {
        Link {
            purpose,
            user_id: None,
            email: email.clone(),
            password_hash: None,
            sign_up: None,
            is_kept: false,
            is_mailed: true,
            created_at: self.now,
            expires_at: self.now + self.lifetime(purpose).as_secs() as Timestamp,
        }
    }

    /// Stores the link of a user or of a sign-up, and returns its token and when it expires.
    pub(super) async fn insert_link(&mut self, link: Link) -> Result<(Token, Timestamp), Error> {
        let token = Token::generate();
        link::insert(&mut self.tx, &token, &link).await?;
        Ok((token, link.expires_at))
    }
}

/// Says what is true only after the commit.
fn happened(accounts: Accounts<'_>, lines: Vec<Line>) {
    lines.iter().for_each(Line::log);
    accounts.mail.wake();
}

/// The statements of a change run in its transaction.
impl Deref for Change<'_> {
    type Target = Transaction;

    fn deref(&self) -> &Self::Target {
        &self.tx
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.tx
    }
}
