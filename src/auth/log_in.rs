//! Logging in.

use super::Auth;
use super::change::Change;
use crate::device;
use crate::error::Error;
use crate::history::{self, Kind};
use crate::notice::Notice;
use crate::password::Password;
use crate::throttle::{Limit, Outcome};
use crate::token::Token;
use crate::user::{self, Email, User};

/// After so many failures in a row the owner is told.
const TELLING_FAILURES: i64 = 10;

/// What became of a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nobody is logged in unless it says so"]
pub enum LogIn {
    /// The visitor is logged in.
    Done,
    /// Address and password do not belong together, whichever of them is wrong.
    Wrong,
    /// They do, but the operator has disabled the account.
    Disabled,
}

impl Auth<'_> {
    /// Logs in with address and password.
    ///
    /// `None` for the address stands for a text that is none: the same work is
    /// done for it as for a known and for an unknown one.
    ///
    /// # Errors
    ///
    /// When the database or the hashing workers fail. The session then stays
    /// as it was.
    pub async fn log_in(
        &self,
        email: Option<&Email>,
        password: Password,
        remember: bool,
    ) -> Result<LogIn, Error> {
        let account = match email {
            Some(email) => {
                user::store::find_by_email(&mut self.accounts.db.read().await?, email).await?
            }
            None => None,
        };

        let user = account.as_ref().map(|account| &account.user);
        let limits = self.limits_of_log_in(email, user).await?;
        self.begin(&limits, user).await?;

        let stored = account.as_ref().map(|account| &account.password_hash);
        let verified = self.verify_hash(password.clone(), stored);
        let verdict = self.looked_at(&limits, verified).await?;
        let Some(account) = account.as_ref().filter(|_| verdict.matches) else {
            self.fail(&limits, user, email).await?;
            return Ok(LogIn::Wrong);
        };

        let (user, stored) = (&account.user, &account.password_hash);
        if account.disabled_at.is_some() {
            self.fail(&limits, Some(user), email).await?;
            return Ok(LogIn::Disabled);
        }

        let current = match verdict.is_outdated {
            true => self.looked_at(&limits, self.hasher.hash_for("", password)).await?,
            false => stored.clone(),
        };

        let _writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        // The password may have been changed while it was being checked: a
        // log-in with the old one must not outlive that.
        if !user::store::confirm_password_hash(&mut change, user.id, stored, &current).await? {
            change.settle(&limits, Outcome::Abandoned).await?;
            change.commit().await?;
            return Ok(LogIn::Wrong);
        }

        let started = self.session.start(&mut change, user.id, remember).await?;
        change.settle(&limits, Outcome::Succeeded).await?;
        change.record(Kind::LoggedIn, user).await?;
        let device = self.meet(&mut change, user, true).await?;
        change.commit_session(self.session, started).await?;
        self.device_cookie.send(&device, &self.pending);
        Ok(LogIn::Done)
    }

    /// Remembers the device, and tells the user if it is a new one. Its cookie
    /// is to be sent after the commit.
    pub(super) async fn meet(
        &self,
        change: &mut Change<'_>,
        user: &User,
        is_told: bool,
    ) -> Result<Token, Error> {
        let now = change.now;
        let token = match &self.device {
            Some(token) if device::touch(change, user.id, token.id(), now).await? => {
                return Ok(token.clone());
            }
            Some(token) => token.clone(),
            None => Token::generate(),
        };

        device::insert(change, user.id, token.id(), now).await?;
        if is_told {
            let content = change.content(&user.email);
            change.notify(Notice::NewDevice, user, &user.email, content).await?;
        }
        Ok(token)
    }

    /// Records a failure, of an unknown address as of a known one.
    async fn fail(
        &self,
        limits: &[Limit],
        user: Option<&User>,
        email: Option<&Email>,
    ) -> Result<(), Error> {
        let mut change = self.accounts.change().await?;
        let user_id = user.map(|user| user.id);
        // For nobody as well, here and below: no account has the id 0.
        let account = user::store::find(&mut change, user_id.unwrap_or(0)).await?;
        let in_a_row = change.settle(limits, Outcome::Failed).await?;
        change.record_of(Kind::LogInFailed, user_id, email).await?;
        let failures = history::failures(&mut change, user_id.unwrap_or(0)).await?;
        // As it is now: the address may have been taken back from a thief while the
        // password was being checked, and they must get no link.
        let user = account.map(|account| account.user);
        // Nobody is told of an unknown address, and the tenth answer must not say so.
        let count = if user.is_some() { failures } else { in_a_row };
        if let (TELLING_FAILURES, Some(email)) = (count, email) {
            let void = self.hasher.unusable();
            change.notify_failures(user.as_ref(), email, count, void).await?;
        }
        change.commit().await
    }
}
