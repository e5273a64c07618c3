//! The acts of the operator on accounts, behind the commands.

use serde::Serialize;

use super::UserSession;
use super::change::{Accounts, Change};
use crate::client::Client;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, HIGHEST_ACCOUNT_LIMIT};
use crate::db::{Connection, Pool};
use crate::error::Error;
use crate::history::{self, EventKind};
use crate::link::{self, Purpose};
use crate::mail::Mail;
use crate::password::PasswordHash;
use crate::session::store::{self as sessions, Part};
use crate::user::store::Account;
use crate::user::{self, Email};

/// The operator, at the command line. Their acts are recorded like all others, and the running site
/// sees them at once. No mail is sent.
#[derive(Debug)]
pub struct Operator {
    db: Pool,
    clock: Clock,
    mail: Mail,
    config: Config,
    client: Client,
}

/// An account, as the operator sees it.
#[derive(Debug, Serialize)]
pub struct Overview {
    pub id: i64,
    pub email: Email,
    pub created_at: Timestamp,
    pub verified_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    pub sessions: i64,
    pub failed_log_ins: i64,
}

impl Operator {
    pub fn new(db: Pool, config: Config) -> Self {
        let (clock, mail, client) = (Clock::system(), Mail::off(), Client::operator());
        Operator { db, clock, mail, config, client }
    }

    /// Returns every account, the oldest first.
    pub async fn list(&self) -> Result<Vec<Overview>, Error> {
        let accounts = user::store::list(&mut self.db.read().await?).await?;
        let mut overviews = Vec::new();
        for account in accounts {
            overviews.push(self.overview(&mut self.db.read().await?, account).await?);
        }
        Ok(overviews)
    }

    /// Returns the account of `email`.
    pub async fn show(&self, email: &Email) -> Result<Option<Overview>, Error> {
        let mut db = self.db.read().await?;
        match user::store::find_by_email(&mut db, email).await? {
            Some(account) => self.overview(&mut db, account).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes an account. Returns `false` if the address has one already, or is reserved for
    /// somebody who had it until recently.
    pub async fn add(&self, email: &Email, hash: &PasswordHash) -> Result<bool, Error> {
        let mut change = self.change().await?;
        change.lock_address(email).await?;
        if change.owner(email).await?.is_some() {
            return Ok(false);
        }

        let now = change.now;
        let id = user::store::insert(&mut change, email, hash, None, now).await?;
        change.record_of(EventKind::SignedUp, Some(id), Some(email)).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Disables the account: nobody can log in to it, and its sessions and links end. Like the acts
    /// below, it returns `false` if there is no such account.
    pub async fn disable(&self, email: &Email) -> Result<bool, Error> {
        self.act(email, async |change, account| {
            let (id, now) = (account.user.id, change.now);
            user::store::set_disabled(change, id, Some(account.disabled_at.unwrap_or(now))).await?;
            sessions::end_of_user(change, id, None).await?;
            link::end_all(change, id).await?;
            change.record(EventKind::Disabled, &account.user).await
        })
        .await
    }

    /// Undoes [`disable()`](Self::disable()). Ended sessions stay ended. If the account was
    /// disabled by SQL, its sessions end now.
    pub async fn enable(&self, email: &Email) -> Result<bool, Error> {
        self.act(email, async |change, account| {
            let id = account.user.id;
            if account.disabled_at.is_some() {
                sessions::end_of_user(change, id, None).await?;
            }
            user::store::set_disabled(change, id, None).await?;
            change.record(EventKind::Enabled, &account.user).await
        })
        .await
    }

    /// Deletes the account and everything that is stored about it.
    pub async fn delete(&self, email: &Email) -> Result<bool, Error> {
        self.act(email, async |change, account| {
            user::store::delete(change, &account.user).await?;
            change.note(EventKind::Deleted, Some(account.user.id), Some(&account.user.email));
            Ok(())
        })
        .await
    }

    /// Deletes the failed log-ins, and ends the delays that they have caused.
    pub async fn unlock(&self, email: &Email) -> Result<bool, Error> {
        self.act(email, async |change, account| {
            change.forget_failures(&account.user.email).await?;
            change.record(EventKind::Unlocked, &account.user).await
        })
        .await
    }

    /// Makes a link to a new password and returns its path, after `site.url` if that is known. The
    /// link does not confirm the address, because nobody has read a mail. `None`: there is no such
    /// account, or it is disabled.
    pub async fn reset(&self, email: &Email) -> Result<Option<String>, Error> {
        let mut change = self.change().await?;
        let account = user::store::find_by_email(&mut change, email).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            return Ok(None);
        };

        let token = change.print_link(Purpose::Reset, &account.user).await?;
        change.record(EventKind::ResetAsked, &account.user).await?;
        change.commit().await?;
        let origin = self.config.site.url.as_deref().unwrap_or_default();
        Ok(Some(format!("{origin}/reset/{}", *token.to_text())))
    }

    /// Returns the sessions of the account, the last used first, and 10,000 at most. Only an
    /// account from before there was a `session.account_limit` has more.
    pub async fn sessions(&self, email: &Email) -> Result<Option<Vec<UserSession>>, Error> {
        let mut db = self.db.read().await?;
        let Some(account) = user::store::find_by_email(&mut db, email).await? else {
            return Ok(None);
        };

        let part = Part { limit: HIGHEST_ACCOUNT_LIMIT, offset: 0 };
        let listed = sessions::list(&mut db, account.user.id, None, part, self.clock.now()).await?;
        Ok(Some(listed.into_iter().map(UserSession::from).collect()))
    }

    /// Ends the sessions of the account and returns how many ended.
    pub async fn end_sessions(&self, email: &Email) -> Result<Option<u64>, Error> {
        let mut change = self.change().await?;
        let Some(account) = user::store::find_by_email(&mut change, email).await? else {
            return Ok(None);
        };

        let ended = sessions::end_of_user(&mut change, account.user.id, None).await?;
        change.record(EventKind::SessionsEnded, &account.user).await?;
        change.commit().await?;
        Ok(Some(ended))
    }

    /// Ends the sessions of all users and visitors and returns how many ended.
    pub async fn end_all_sessions(&self) -> Result<u64, Error> {
        let mut change = self.change().await?;
        change.take_time().await?;
        let ended = sessions::delete_all(&mut change).await?;
        change.note(EventKind::SessionsEnded, None, None);
        change.commit().await?;
        Ok(ended)
    }

    async fn act(
        &self,
        email: &Email,
        act: impl AsyncFnOnce(&mut Change<'_>, &Account) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut change = self.change().await?;
        let Some(account) = user::store::find_by_email(&mut change, email).await? else {
            return Ok(false);
        };
        act(&mut change, &account).await?;
        change.commit().await?;
        Ok(true)
    }

    async fn change(&self) -> Result<Change<'_>, Error> {
        let Operator { db, clock, mail, config, client } = self;
        let (config, throttle) = (&config.accounts, &config.throttle);
        Accounts { db, clock, mail, config, throttle, client }.change().await
    }

    async fn overview(
        &self,
        db: &mut Connection,
        Account { user, disabled_at, .. }: Account,
    ) -> Result<Overview, Error> {
        Ok(Overview {
            id: user.id,
            sessions: sessions::count(db, user.id, self.clock.now()).await?,
            failed_log_ins: history::failures(db, user.id).await?,
            email: user.email,
            created_at: user.created_at,
            verified_at: user.verified_at,
            disabled_at,
        })
    }
}
