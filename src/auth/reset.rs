//! Sets a new password through a mailed link.

use super::change::Change;
use super::second_step::{Place, SecondFactor};
use super::{Auth, LinkError, Ways};
use crate::done::Act;
use crate::error::Error;
use crate::history::EventKind;
use crate::link::{self, Link, Purpose};
use crate::metrics;
use crate::notice::{self, Notice};
use crate::password::{NewPassword, Password, PasswordError, PasswordHash};
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};

refusals! {
    /// Why [`ResetLink::set()`] set no password.
    ResetError {
        DeadLink,
        /// The link is still good.
        WrongCode,
        ;
        /// The new password is the present one, or is known from a breach. The link is still good.
        Password(PasswordError),
    }
}

/// A link to a new password. [`Auth::reset_link()`] looks it up. It is good, or this browser has just
/// used it: see [`is_spent()`](Self::is_spent()).
#[derive(Debug)]
#[must_use = "nothing has changed before `set()`"]
pub struct ResetLink<'a> {
    auth: &'a Auth<'a>,
    id: TokenId,
    email: Email,
    /// `None`: this browser has just used the link.
    account: Option<Account>,
}

impl Auth<'_> {
    /// Mails a link to a new password to `email`, if it has an account that is not disabled.
    /// Nothing tells whether it has. On a site without mail it does nothing: see
    /// [`has_mail()`](Self::has_mail()).
    ///
    /// # Examples
    ///
    /// ```rust
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// auth.ask_reset(&user.email).await.expect("a link is on its way");
    ///
    /// // At some point `throttle.mails` mails were sent within an hour.
    /// let error = loop {
    ///     match auth.ask_reset(&user.email).await {
    ///         Ok(()) => continue,
    ///         Err(error) => break error,
    ///     }
    /// };
    /// assert!(error.is_throttled() && error.retry_after().is_some());
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_throttled()`](Error::is_throttled()), after too many
    /// mails.
    pub async fn ask_reset(&self, email: &Email) -> Result<(), Error> {
        // Without mail there is less to do for a known address than for an unknown one, and the
        // time would tell which of the two it is.
        if !self.has_mail() {
            return Ok(());
        }

        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        let account = user::store::find_by_email(&mut change, email).await?;
        change.begin(&self.limits_of_mail("reset", email)).await?;
        let user = account.filter(|account| account.disabled_at.is_none()).map(|found| found.user);
        let id = user.as_ref().map(|user| user.id);
        change.record_of(EventKind::ResetAsked, id, Some(email)).await?;
        change.begin_masked().await?;
        match &user {
            Some(user) => change.mail_link("reset", Purpose::Reset, user, &user.email).await?,
            None => {
                change.mail_sign_up(email, self.hasher.unusable(), None).await?;
            }
        }
        change.end_masked(user.is_some()).await?;
        change.commit().await
    }

    /// Looks up the link of `token`, which [`ask_reset()`](Self::ask_reset()) has mailed. Nothing changes.
    ///
    /// The browser that has used a link still finds it for ten minutes: see
    /// [`ResetLink::is_spent()`].
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::LinkError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// auth.ask_reset(&user.email).await.expect("a link is on its way");
    /// # let token = site.token("/reset/").await;
    /// let link = auth.reset_link(&token).await.expect("a good link");
    /// assert_eq!(*link.email(), user.email);
    ///
    /// let refused = auth.reset_link("made up").await.unwrap_err();
    /// assert!(matches!(refused, LinkError::DeadLink));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeadLink`](LinkError::DeadLink), which counts against the client's address unless the request is a
    /// `GET`. `Failed` if the database fails, or, with [`is_throttled()`](Error::is_throttled()), after too
    /// many dead links.
    pub async fn reset_link(&self, token: &str) -> Result<ResetLink<'_>, LinkError> {
        let Some(id) = Token::parse(token).map(|token| token.id()) else {
            return Err(self.dead_link().await);
        };
        if let Some((link, account)) = self.find_reset_of(id).await? {
            return Ok(ResetLink { auth: self, id, email: link.email, account: Some(account) });
        }
        match self.reset_here(id).await?.and_then(|done| done.email) {
            Some(email) => Ok(ResetLink { auth: self, id, email, account: None }),
            None => Err(self.dead_link().await),
        }
    }

    async fn find_reset_of(&self, id: TokenId) -> Result<Option<(Link, Account)>, Error> {
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let link = link::find(&mut db, id, &[Purpose::Reset], now).await?;
        let Some((link, user_id)) = link.and_then(|link| link.user_id.map(|id| (link, id))) else {
            return Ok(None);
        };
        let account = user::store::find(&mut db, user_id).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        Ok(account.map(|account| (link, account)))
    }
}

impl ResetLink<'_> {
    /// Returns the address that the link is for. The link was mailed to it, unless the operator made
    /// the link and handed it on. For a link that this browser has used, it is the account's present
    /// address.
    pub fn email(&self) -> &Email {
        &self.email
    }

    /// Returns whether this browser has set a password with the link within the last ten minutes.
    /// Then [`set()`](Self::set()) sets no other, but accepts that password again, so that a form
    /// that was sent twice succeeds twice.
    pub fn is_spent(&self) -> bool {
        self.account.is_none()
    }

    /// Returns what the account has as its second step.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn ways(&self) -> Result<Ways, Error> {
        match &self.account {
            Some(account) if self.wants_code() => self.auth.ways_of(account.user.id).await,
            _ => Ok(Ways { has_app: false, has_passkey: false }),
        }
    }

    #[cfg(feature = "passkeys")]
    pub(super) fn parts(&self) -> (&Auth<'_>, TokenId, Option<&User>) {
        (self.auth, self.id, self.account.as_ref().map(|account| &account.user))
    }

    /// Returns whether [`set()`](Self::set()) asks for a code, because the account has a second factor.
    /// Somebody who has got into the mailbox must not get into the account.
    pub fn wants_code(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.user.has_factor)
    }

    /// Sets the account's password. Every session and every link of the user ends, and nobody is
    /// logged in. All notices are switched on, and the user is told by mail. The second factors stay.
    ///
    /// `second` is a code from the app, a recovery code or a passkey, if the link
    /// [wants one](Self::wants_code()).
    ///
    /// Somebody with the link learns whether `new` is the present password. A link allows one
    /// guess: if the guess is wrong, it becomes the password. A spent link allows no other.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::PasswordError;
    /// use rocket_login::auth::ResetError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # auth.ask_reset(&user.email).await.expect("a link is on its way");
    /// # let token = site.token("/reset/").await;
    /// let link = auth.reset_link(&token).await.expect("a good link");
    /// let present = auth.new_password("correct horse battery", link.email()).unwrap();
    /// let refused = link.set(present, "").await.unwrap_err();
    /// assert!(matches!(refused, ResetError::Password(PasswordError::Present)));
    ///
    /// let new = auth.new_password("wooden battery horse", link.email()).unwrap();
    /// link.set(new, "").await.expect("a new password");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeadLink`](ResetError::DeadLink), [`WrongCode`](ResetError::WrongCode) and
    /// [`Password`](ResetError::Password). `Failed` if the database or the hashing workers fail, or, with
    /// [`is_throttled()`](Error::is_throttled()), after too many dead links or wrong codes.
    pub async fn set(
        &self,
        new: NewPassword,
        second: impl Into<SecondFactor<'_>>,
    ) -> Result<(), ResetError> {
        let second = second.into();
        let (auth, typed) = (self.auth, Password::from(new.clone()));
        // The link is checked before a password is hashed. A stranger without one must not be able
        // to make us work for nothing.
        let Some(account) = &self.account else {
            if auth.was_reset_to(self.id, typed).await? {
                return Ok(());
            }
            auth.refuse_link().await?;
            return Err(ResetError::DeadLink);
        };

        if auth.verify_hash(typed.clone(), Some(&account.password_hash)).await?.matches {
            // The first of two requests at once may have set it between two look-ups.
            return match auth.reset_here(self.id).await? {
                Some(_) => Ok(()),
                None => Err(PasswordError::Present.into()),
            };
        }
        auth.refuse_breached::<ResetError>(&new).await?;
        let hash = auth.hash(new).await?;
        if self.store(&hash, second).await? || auth.was_reset_to(self.id, typed).await? {
            return Ok(());
        }
        Err(ResetError::DeadLink)
    }

    /// Spends the link and stores the password. Returns `false`, and changes nothing, if the link
    /// is dead by now.
    async fn store(
        &self,
        hash: &PasswordHash,
        second: SecondFactor<'_>,
    ) -> Result<bool, ResetError> {
        let (auth, id) = (self.auth, self.id);
        let mut change = auth.accounts.change().await?;
        let Some((link, user)) = self.lock(&mut change).await? else { return Ok(false) };
        if user.has_factor {
            let place = Place::Link(id);
            if auth.check_factor(&mut change, &user, second, place).await?.is_none() {
                change.commit().await?;
                return Err(ResetError::WrongCode);
            }
        }
        if change.take(id, &[Purpose::Reset]).await?.is_none() {
            return Ok(false);
        }

        // Somebody who uses a mailed link reads the mail of its address.
        let is_first = link.is_mailed && user.verified_at.is_none();
        if link.is_mailed {
            let now = change.now;
            user::store::verify(&mut change, user.id, &link.email, now).await?;
        }
        let ended = change.replace_password(&user, hash).await?;
        // A thief may have switched them off, above all this one.
        notice::set(&mut change, user.id, &Notice::ALL).await?;
        change.forget_failures(&user.email).await?;
        change.record(EventKind::PasswordReset, &user).await?;
        auth.note_link(&mut change, id, Act::PasswordReset, user.id).await?;
        let content = change.content(&user.email);
        change.notify(Notice::PasswordReset, &user, &user.email, content).await?;
        if is_first {
            let user = User { verified_at: Some(change.now), ..user.clone() };
            change.email_verified(&user).await?;
        }
        change.commit().await?;
        metrics::ended(ended);
        auth.forget_session_of(&user);
        auth.send_done(id);
        Ok(true)
    }

    /// Finds the link again, and locks its user. `None`: it is dead by now.
    async fn lock(&self, change: &mut Change<'_>) -> Result<Option<(Link, User)>, Error> {
        let now = change.now;
        let link = link::find(change, self.id, &[Purpose::Reset], now).await?;
        let Some((link, user_id)) = link.and_then(|link| link.user_id.map(|id| (link, id))) else {
            return Ok(None);
        };
        let account = user::store::find(change, user_id).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        let account = account.filter(|found| found.user.email.is_same(&link.email));
        Ok(account.map(|Account { user, .. }| (link, user)))
    }
}
