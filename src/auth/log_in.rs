//! Logs a user in.

use super::Auth;
use super::change::Change;
use crate::device;
use crate::error::Error;
use crate::history::{self, EventKind};
use crate::notice::Notice;
use crate::password::Password;
use crate::throttle::{AttemptOutcome, Limit};
use crate::token::Token;
use crate::user::store::Account;
use crate::user::{self, Email, User};

/// The owner is told after this many failures in a row.
const TELLING_FAILURES: i64 = 10;

refusals! {
    /// Why [`Auth::log_in()`] logged nobody in.
    LogInError {
        /// Or the address has no account. Nothing tells which of the two it is.
        WrongPassword = "Wrong email address or password.",
        /// The password is right.
        Disabled,
    }
}

refusals! {
    /// Why [`Auth::log_in_as()`] did not log the user in.
    LogInAsError { Disabled, NoSuchUser }
}

impl Auth<'_> {
    /// Logs the visitor in with address and password.
    ///
    /// `email` is `None` if the visitor typed a text that is not an address. It takes as much work
    /// as a known and an unknown address.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::LogInError;
    /// use rocket_login::{Email, Password};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let email = Email::parse("ada@example.org").unwrap();
    /// let right = Password::typed("correct horse battery");
    /// auth.log_in(Some(&email), right, false).await.expect("Ada is logged in");
    ///
    /// let wrong = Password::typed("wrong horse battery");
    /// let refused = auth.log_in(Some(&email), wrong, false).await.unwrap_err();
    /// assert!(matches!(refused, LogInError::WrongPassword));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WrongPassword`](LogInError::WrongPassword) and [`Disabled`](LogInError::Disabled). `Failed` if the
    /// database or the hashing workers fail, or, with [`is_throttled()`](Error::is_throttled()), after too
    /// many attempts. The session then stays as it was.
    pub async fn log_in(
        &self,
        email: Option<&Email>,
        password: Password,
        remember: bool,
    ) -> Result<(), LogInError> {
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
            return Err(LogInError::WrongPassword);
        };

        let (user, stored) = (&account.user, &account.password_hash);
        if account.disabled_at.is_some() {
            self.fail(&limits, Some(user), email).await?;
            return Err(LogInError::Disabled);
        }

        let current = match verdict.is_outdated {
            true => self.looked_at(&limits, self.hasher.hash_for("", password)).await?,
            false => stored.clone(),
        };

        let _writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        // The password may have been changed during the check. A log-in with the old one must not
        // outlive that.
        if !user::store::confirm_password_hash(&mut change, user.id, stored, &current).await? {
            change.settle(&limits, AttemptOutcome::Abandoned).await?;
            change.commit().await?;
            return Err(LogInError::WrongPassword);
        }

        Ok(self.enter(change, user, &limits, remember).await?)
    }

    /// Logs in a user whom the application itself has authenticated, for example at a provider or
    /// in a directory. It does all that a log-in with the password does: the session gets a new
    /// token, the device is remembered and announced to the user if it is new, and the history has
    /// the log-in. It is a recent log-in for [`RecentLogin`](crate::RecentLogin).
    ///
    /// The state of the session of a visitor, or of this user, stays if `session.keep_state` is on.
    /// Otherwise, and from the session of another user, only the keys of `session.visitor_keys` stay.
    ///
    /// Wrong passwords that were typed before stay counted, because this log-in does not tell who
    /// typed them.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::LogInAsError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// // The application knows by other means that the visitor is this user.
    /// let user = auth.find_user(user.id).await.expect("an answer").expect("a user");
    /// auth.log_in_as(&user, false).await.expect("Ada is logged in");
    ///
    /// # site.disable().await; // as the operator does
    /// let refused = auth.log_in_as(&user, false).await.unwrap_err();
    /// assert!(matches!(refused, LogInAsError::Disabled));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Disabled`](LogInAsError::Disabled) and [`NoSuchUser`](LogInAsError::NoSuchUser). `Failed` if the
    /// database fails. The session then stays as it was.
    pub async fn log_in_as(&self, user: &User, remember: bool) -> Result<(), LogInAsError> {
        let _writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        let account = user::store::find(&mut change, user.id).await?;
        let Account { user, disabled_at, .. } = account.ok_or(LogInAsError::NoSuchUser)?;
        if disabled_at.is_some() {
            drop(change);
            self.fail(&[], Some(&user), Some(&user.email)).await?;
            return Err(LogInAsError::Disabled);
        }
        Ok(self.enter(change, &user, &[], remember).await?)
    }

    /// Returns the user with the id `id`, for [`log_in_as()`](Self::log_in_as()). `None`: there is no such
    /// account.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn find_user(&self, id: i64) -> Result<Option<User>, Error> {
        let account = user::store::find(&mut self.accounts.db.read().await?, id).await?;
        Ok(account.map(|account| account.user))
    }

    /// Returns the user with the address `email`, in any case. `None`: there is no such account.
    ///
    /// An address proves nothing: at a provider, another person may have it. And if your answer
    /// differs for a known address, it tells strangers who has an account.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>, Error> {
        let mut db = self.accounts.db.read().await?;
        let account = user::store::find_by_email(&mut db, email).await?;
        Ok(account.map(|account| account.user))
    }

    /// Logs the user in. `change` has locked them, and found that they may log in.
    async fn enter(
        &self,
        mut change: Change<'_>,
        user: &User,
        limits: &[Limit],
        remember: bool,
    ) -> Result<(), Error> {
        let started = self.session.start(&mut change, user.id, remember).await?;
        change.settle(limits, AttemptOutcome::Succeeded).await?;
        change.record(EventKind::LoggedIn, user).await?;
        let device = self.meet(&mut change, user, true).await?;
        change.commit_session(self.session, started).await?;
        self.device_cookie.send(&device, &self.pending);
        Ok(())
    }

    /// Remembers the device, and tells the user if it is a new one. The caller sends the device's
    /// cookie after the commit.
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

    /// Records a failure, for an unknown address like for a known one.
    async fn fail(
        &self,
        limits: &[Limit],
        user: Option<&User>,
        email: Option<&Email>,
    ) -> Result<(), Error> {
        let mut change = self.accounts.change().await?;
        let user_id = user.map(|user| user.id);
        // It asks for nobody as well, here and below, so that the time tells nothing: no account
        // has the id 0.
        let account = user::store::find(&mut change, user_id.unwrap_or(0)).await?;
        let in_a_row = change.settle(limits, AttemptOutcome::Failed).await?;
        change.record_of(EventKind::LogInFailed, user_id, email).await?;
        let failures = history::failures(&mut change, user_id.unwrap_or(0)).await?;
        // The account as it is now: the owner may have taken the address back from a thief during
        // the check, and the thief must get no link.
        let user = account.map(|account| account.user);
        // Nobody is told about an unknown address, and the tenth answer must not reveal that.
        let count = if user.is_some() { failures } else { in_a_row };
        if let (TELLING_FAILURES, Some(email)) = (count, email) {
            let void = self.hasher.unusable();
            change.notify_failures(user.as_ref(), email, count, void).await?;
        }
        change.commit().await
    }
}
