//! Logs a user in.

use rocket::tokio::sync::MutexGuard;

use super::change::Change;
use super::{Auth, HookError};
use crate::clock::Timestamp;
use crate::device;
use crate::error::Error;
use crate::factor::pending::Begun;
use crate::history::{self, EventKind};
use crate::identity::Via;
use crate::notice::Notice;
use crate::password::Password;
use crate::session::{Given, store as sessions};
use crate::throttle::{AttemptOutcome, Limit};
use crate::token::Token;
use crate::user::store::Account;
use crate::user::{self, Email, User};
use crate::web::FieldErrors;

/// The owner is told after this many failures in a row.
const TELLING_FAILURES: i64 = 10;

/// The outcome of a log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "nobody is logged in before the second step"]
pub enum LogIn {
    /// The visitor is logged in as this user.
    LoggedIn(User),
    /// The account has a second factor, and nobody is logged in yet. Lead to our page
    /// `/login/factor`, or call [`Auth::pending_log_in()`].
    FactorNeeded,
}

impl LogIn {
    /// Returns the user who is logged in. `None`: the visitor must do more before they are logged in.
    pub fn user(&self) -> Option<&User> {
        match self {
            LogIn::LoggedIn(user) => Some(user),
            LogIn::FactorNeeded => None,
        }
    }
}

refusals! {
    /// Why [`Auth::log_in()`] logged nobody in.
    LogInError {
        /// Or the address has no account. Nothing tells which of the two it is.
        WrongPassword = "Wrong email address or password.",
        /// The password is right.
        Disabled,
        ;
        /// A [hook](super::Hooks::logged_in()) of the application has refused it. The password is right.
        Refused(FieldErrors),
    }
}

refusals! {
    /// Why [`Auth::log_in_as()`] did not log the user in.
    LogInAsError {
        Disabled,
        NoSuchUser,
        ;
        /// A [hook](super::Hooks::logged_in()) of the application has refused it.
        Refused(FieldErrors),
    }
}

/// How somebody gets in.
pub(super) struct Entry {
    pub given: Given,
    pub remember: bool,
    /// `true` if this device may skip the second factor from now on, for `factors.trusted_for`.
    pub is_trusted: bool,
    /// The identity that has come back from a provider.
    pub via: Option<Via>,
}

impl Entry {
    /// Returns the entry of somebody who has given one factor.
    pub fn with_one_factor(remember: bool) -> Self {
        Entry { given: Given::OneFactor, remember, is_trusted: false, via: None }
    }
}

/// A device that has logged in.
pub(super) struct Met {
    /// The token for its cookie.
    pub token: Token,
    /// `true` if it was not known to the account before.
    pub is_new: bool,
}

impl Auth<'_> {
    /// Logs the visitor in with address and password. If the account has a second factor, nobody is
    /// logged in yet: see [`LogIn::FactorNeeded`]. A user who was logged in in this browser is then
    /// logged out.
    ///
    /// `email` is `None` if the visitor typed a text that is not an address. It takes as much work
    /// as a known and an unknown address.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::{LogIn, LogInError};
    /// use rocket_login::{Email, Password};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let email = Email::parse("ada@example.org").unwrap();
    /// let right = Password::typed("correct horse battery");
    /// let done = auth.log_in(Some(&email), right, false).await.expect("an answer");
    /// assert!(matches!(done, LogIn::LoggedIn(ada) if ada.email == email));
    ///
    /// let wrong = Password::typed("wrong horse battery");
    /// let refused = auth.log_in(Some(&email), wrong, false).await.unwrap_err();
    /// assert!(matches!(refused, LogInError::WrongPassword));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`LogInError`]. `Failed` if the database or the hashing workers fail, or, with
    /// [`is_throttled()`](Error::is_throttled()), after too many attempts. The session then stays as it was.
    pub async fn log_in(
        &self,
        email: Option<&Email>,
        password: Password,
        remember: bool,
    ) -> Result<LogIn, LogInError> {
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

        let writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        // The password may have been changed during the check, and a second factor added. A log-in
        // with the old password must not outlive that.
        let present = user::store::find(&mut change, user.id).await?;
        let is_current =
            |account: &Account| account.disabled_at.is_none() && account.password_hash == *stored;
        let Some(Account { user, .. }) = present.filter(is_current) else {
            change.settle(&limits, AttemptOutcome::Abandoned).await?;
            change.commit().await?;
            return Err(LogInError::WrongPassword);
        };
        if current != *stored {
            user::store::confirm_password_hash(&mut change, user.id, stored, &current, None)
                .await?;
        }

        let begun = Begun { hash: &current, remember, via: None };
        self.admit(change, &user, &limits, (begun, writing)).await
    }

    /// Logs the user in, whom the change has locked, or waits for their second factor.
    pub(super) async fn admit<E>(
        &self,
        mut change: Change<'_>,
        user: &User,
        limits: &[Limit],
        (begun, writing): (Begun<'_>, MutexGuard<'_, ()>),
    ) -> Result<LogIn, E>
    where
        E: From<FieldErrors> + From<Error>,
    {
        if user.has_factor && !self.is_trusted(&mut change, user).await? {
            let waiting = self.wait_for_factor(change, user, limits, &begun).await?;
            drop(writing);
            self.leave().await?;
            return Ok(waiting);
        }
        let entry = Entry { via: begun.via, ..Entry::with_one_factor(begun.remember) };
        self.enter::<E>(change, user, limits, entry).await?;
        Ok(LogIn::LoggedIn(user.clone()))
    }

    /// Ends the session if somebody is logged in, because the visitor is about to log in as somebody
    /// else, or again.
    async fn leave(&self) -> Result<(), Error> {
        match self.session.user_id() {
            Some(_) => self.session.log_out().await,
            None => Ok(()),
        }
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
    /// If the account has a second factor, nobody is logged in yet: see [`LogIn::FactorNeeded`]. What
    /// the application knows counts as one factor, like the password.
    ///
    /// [`LogIn::LoggedIn`] has the user as they are now in the database.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::{LogIn, LogInAsError};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// // The application knows by other means that the visitor is this user.
    /// let user = auth.find_user(user.id).await.expect("an answer").expect("a user");
    /// let done = auth.log_in_as(&user, false).await.expect("an answer");
    /// assert!(matches!(done, LogIn::LoggedIn(ada) if ada.id == user.id));
    ///
    /// # site.disable().await; // as the operator does
    /// let refused = auth.log_in_as(&user, false).await.unwrap_err();
    /// assert!(matches!(refused, LogInAsError::Disabled));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`LogInAsError`]. `Failed` if the database fails. The session then stays as it was.
    pub async fn log_in_as(&self, user: &User, remember: bool) -> Result<LogIn, LogInAsError> {
        let writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        let account = user::store::find(&mut change, user.id).await?;
        let account = account.ok_or(LogInAsError::NoSuchUser)?;
        let Account { user, password_hash, disabled_at } = account;
        if disabled_at.is_some() {
            drop(change);
            self.fail(&[], Some(&user), Some(&user.email)).await?;
            return Err(LogInAsError::Disabled);
        }
        let begun = Begun { hash: &password_hash, remember, via: None };
        self.admit(change, &user, &[], (begun, writing)).await
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
    pub(super) async fn enter<E>(
        &self,
        mut change: Change<'_>,
        user: &User,
        limits: &[Limit],
        Entry { given, remember, is_trusted, via }: Entry,
    ) -> Result<(), E>
    where
        E: From<FieldErrors> + From<Error>,
    {
        let started = self.session.start(&mut change, user, given, remember).await?;
        if let Some(via) = &via {
            sessions::note_identity(&mut change, started.id(), via).await?;
        }
        change.settle(limits, AttemptOutcome::Succeeded).await?;
        let Met { token: device, is_new } = self.meet(&mut change, user, true).await?;
        let trusted_for = self.config.factors.trusted_for;
        if is_trusted && !trusted_for.is_zero() {
            let until = change.now + trusted_for.as_secs() as Timestamp;
            device::trust(&mut change, user.id, device.id(), until).await?;
        }
        change.record_log_in(user, is_new).await?;
        if let Err(stopped) = change.logged_in(user).await {
            drop(change);
            self.stop(limits, user, &stopped).await?;
            return Err(stopped.into_refusal());
        }
        change.commit_session(self.session, started).await?;
        self.device_cookie.send(&device, &self.pending);
        Ok(())
    }

    /// Settles an attempt that a hook has stopped, and records a refusal. The password was right, so this is
    /// not a failure, and the next attempt need not wait for it.
    async fn stop(&self, limits: &[Limit], user: &User, stopped: &HookError) -> Result<(), Error> {
        let HookError::Refused(_) = stopped else { return self.abandon(limits).await };
        let mut change = self.accounts.change().await?;
        change.settle(limits, AttemptOutcome::Abandoned).await?;
        change.record(EventKind::LogInRefused, user).await?;
        change.commit().await
    }

    /// Remembers the device, and tells the user if it is a new one. The caller sends the device's
    /// cookie after the commit.
    pub(super) async fn meet(
        &self,
        change: &mut Change<'_>,
        user: &User,
        is_told: bool,
    ) -> Result<Met, Error> {
        let now = change.now;
        let token = match &self.device {
            Some(token) if device::touch(change, user.id, token.id(), now).await? => {
                return Ok(Met { token: token.clone(), is_new: false });
            }
            Some(token) => token.clone(),
            None => Token::generate(),
        };

        device::insert(change, user.id, token.id(), now).await?;
        if is_told {
            let content = change.content(&user.email);
            change.notify(Notice::NewDevice, user, &user.email, content).await?;
        }
        Ok(Met { token, is_new: true })
    }

    /// Records a failure, for an unknown address like for a known one.
    pub(super) async fn fail(
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
