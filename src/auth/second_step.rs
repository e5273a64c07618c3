//! The second step of a log-in: a code from an app, a recovery code, or a passkey.

use super::change::Change;
use super::log_in::Entry;
use super::ways_in::label_of;
use super::{Auth, LogIn};
use crate::config::Config;
use crate::device;
use crate::error::Error;
use crate::factor::pending::{self, Begun, Pending};
use crate::factor::recovery::RecoveryCode;
use crate::factor::{FactorKind, Sealer, store, totp};
use crate::history::EventKind;
use crate::identity;
use crate::mail::Content;
use crate::metrics::{self, FactorEvent};
use crate::notice::Notice;
use crate::session::Given;
use crate::throttle::{AttemptOutcome, Limit};
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, User};
use crate::web::FieldErrors;

/// How many recovery codes are left when the owner is told to make new ones.
const FEW_CODES: i64 = 2;

refusals! {
    /// Why [`PendingLogIn::complete()`] logged nobody in.
    SecondStepError {
        /// Or the code was used before.
        WrongCode,
        /// It was the fifth wrong code.
        TooManyCodes,
        /// More than ten minutes have passed, the password was changed, or the account was disabled.
        LogInOver,
        ;
        /// A [hook](super::Hooks::logged_in()) of the application has refused it.
        Refused(FieldErrors),
    }
}

/// A log-in of this browser whose second step is missing. [`Auth::pending_log_in()`] looks it up.
#[derive(Debug)]
#[must_use = "nobody is logged in before `complete()`"]
pub struct PendingLogIn<'a> {
    auth: &'a Auth<'a>,
    pending: Pending,
    user: User,
}

/// What an account has as its second step, apart from recovery codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ways {
    /// An app for codes.
    pub has_app: bool,
    /// A passkey that can be used at the address of this site.
    pub has_passkey: bool,
}

/// What [`PendingLogIn::complete()`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completed {
    /// The user who is logged in.
    pub user: User,
    /// How many recovery codes are left, if it was one.
    pub codes_left: Option<i64>,
}

/// A second factor that a visitor gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecondFactor<'a> {
    /// A code from the app, or a recovery code, as it was typed.
    Code(&'a str),
    /// The answer of a passkey (`AuthenticationResponseJSON`).
    #[cfg(feature = "passkeys")]
    Passkey(&'a str),
}

impl<'a> From<&'a str> for SecondFactor<'a> {
    fn from(code: &'a str) -> Self {
        SecondFactor::Code(code)
    }
}

/// What was used as the second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    App,
    RecoveryCode {
        left: i64,
    },
    #[cfg(feature = "passkeys")]
    Passkey {
        is_verified: bool,
    },
}

/// Where a second factor is asked for. A passkey's answer is for one place.
#[cfg_attr(not(feature = "passkeys"), expect(dead_code, reason = "only a passkey asks which one"))]
pub(super) enum Place<'a> {
    LogIn(&'a Pending),
    Session,
    Link(TokenId),
}

impl Auth<'_> {
    /// Returns the log-in of this browser whose second step is missing. `None`: there is none, it is
    /// over, or somebody is logged in.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn pending_log_in(&self) -> Result<Option<PendingLogIn<'_>>, Error> {
        if self.session.user_id().is_some() || self.begun.is_empty() {
            return Ok(None);
        }
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        for token in &self.begun {
            let Some(pending) = pending::find(&mut db, token.id(), now).await? else { continue };
            let account = user::store::find(&mut db, pending.user_id).await?;
            if let Some(Account { user, .. }) = account.filter(|account| is_good(&pending, account))
            {
                return Ok(Some(PendingLogIn { auth: self, pending, user }));
            }
        }
        Ok(None)
    }

    /// Returns what the account has as its second step.
    pub(super) async fn ways_of(&self, user_id: i64) -> Result<Ways, Error> {
        let factors = store::list(&mut self.accounts.db.read().await?, user_id).await?;
        let has = |kind| factors.iter().any(|factor| factor.kind == kind);
        let has_passkey = has(FactorKind::Passkey) && self.config.passkey_site().is_ok();
        Ok(Ways { has_app: has(FactorKind::App), has_passkey })
    }

    /// Returns what the user has as their second step, for a page that asks for it.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn ways(&self, user: &User) -> Result<Ways, Error> {
        self.own(user)?;
        match user.has_factor {
            true => self.ways_of(user.id).await,
            false => Ok(Ways { has_app: false, has_passkey: false }),
        }
    }

    /// Begins the second step of a log-in of `user`, whom the change has locked. A user who is logged in
    /// is logged out: nobody is logged in until the second step is done.
    pub(super) async fn wait_for_factor(
        &self,
        mut change: Change<'_>,
        user: &User,
        limits: &[Limit],
        begun: &Begun<'_>,
    ) -> Result<LogIn, Error> {
        let (token, now) = (Token::generate(), change.now);
        self.forget_begun(&mut change, user.id).await?;
        let client = self.accounts.client;
        pending::insert(&mut change, token.id(), user.id, begun, client, now).await?;
        change.settle(limits, AttemptOutcome::Succeeded).await?;
        change.commit().await?;
        self.pending_cookie.send(&token, &self.pending);
        Ok(LogIn::FactorNeeded)
    }

    /// Deletes the earlier log-ins of this browser to the account `user_id`, and ends those to others.
    pub(super) async fn forget_begun(
        &self,
        change: &mut Change<'_>,
        user_id: i64,
    ) -> Result<(), Error> {
        let (ids, now): (Vec<TokenId>, _) =
            (self.begun.iter().map(Token::id).collect(), change.now);
        pending::replace(change, user_id, &ids).await?;
        for id in ids {
            pending::end(change, id, now).await?;
        }
        Ok(())
    }

    /// Ends the log-in of this browser whose second step is missing, for a log-out.
    pub(super) async fn end_begun(&self) -> Result<(), Error> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let mut change = self.accounts.change().await?;
        let now = change.now;
        for token in &self.begun {
            pending::end(&mut change, token.id(), now).await?;
        }
        change.commit().await?;
        self.pending_cookie.remove(&self.pending);
        Ok(())
    }

    /// Returns whether the device of this request may skip the second factor of the account.
    pub(super) async fn is_trusted(
        &self,
        change: &mut Change<'_>,
        user: &User,
    ) -> Result<bool, Error> {
        let (is_on, now) = (!self.config.factors.trusted_for.is_zero(), change.now);
        match self.device.as_ref().filter(|_| is_on) {
            Some(device) => device::is_trusted(change, user.id, device.id(), now).await,
            None => Ok(false),
        }
    }

    /// Checks the second factor of `user`, whom the change has locked, for an act beside a log-in. It
    /// counts with those of log-ins, and a right one clears no failures. `None`: it is wrong, which is
    /// recorded, and the caller commits that and nothing else.
    pub(super) async fn check_factor(
        &self,
        change: &mut Change<'_>,
        user: &User,
        given: SecondFactor<'_>,
        place: Place<'_>,
    ) -> Result<Option<Used>, Error> {
        let limits = self.limits_of_factor(change, user).await?;
        change.begin(&limits).await?;
        let used = self.use_factor(change, user, given, place).await?;
        let outcome = match used {
            Some(_) => AttemptOutcome::Abandoned,
            None => AttemptOutcome::Failed,
        };
        change.settle(&limits, outcome).await?;
        if used.is_none() {
            change.record(EventKind::FactorFailed, user).await?;
        }
        Ok(used)
    }

    /// Uses what `user`, whom the change has locked, has given. `None`: it is wrong, or was used before.
    async fn use_factor(
        &self,
        change: &mut Change<'_>,
        user: &User,
        given: SecondFactor<'_>,
        #[cfg_attr(
            not(feature = "passkeys"),
            expect(unused_variables, reason = "only a passkey asks for it")
        )]
        place: Place<'_>,
    ) -> Result<Option<Used>, Error> {
        let used = match given {
            SecondFactor::Code(code) => change.use_code(self.sealer, user, code).await?,
            #[cfg(feature = "passkeys")]
            SecondFactor::Passkey(credential) => match self.question_at(&place) {
                Some(question) => {
                    Used::passkey(self.answered(change, user, credential, &question).await?)
                }
                None => None,
            },
        };
        metrics::factor(match used {
            None => FactorEvent::Failed,
            Some(Used::App) => FactorEvent::App,
            Some(Used::RecoveryCode { .. }) => FactorEvent::RecoveryCode,
            #[cfg(feature = "passkeys")]
            Some(Used::Passkey { .. }) => FactorEvent::Passkey,
        });
        Ok(used)
    }
}

impl PendingLogIn<'_> {
    /// Returns the user whose password was right. They are not logged in.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Returns what the account has as its second step.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn ways(&self) -> Result<Ways, Error> {
        self.auth.ways_of(self.user.id).await
    }

    #[cfg(feature = "passkeys")]
    pub(super) fn auth(&self) -> &Auth<'_> {
        self.auth
    }

    #[cfg(feature = "passkeys")]
    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Logs the user in, if what is `given` is right: a code from their app, one of their recovery codes,
    /// or a passkey of theirs. Each code works once. If `trust` is true and `factors.trusted_for` is
    /// set, this device need not give a second factor for that time.
    ///
    /// # Errors
    ///
    /// The reasons of [`SecondStepError`]. `Failed` if the database fails, or, with
    /// [`is_throttled()`](Error::is_throttled()), after too many wrong codes.
    pub async fn complete(
        &self,
        given: impl Into<SecondFactor<'_>>,
        trust: bool,
    ) -> Result<Completed, SecondStepError> {
        let given = given.into();
        let (auth, id) = (self.auth, self.pending.id);
        let _writing = auth.session.writing().await;
        let mut change = auth.accounts.change().await?;
        // The password may have been changed meanwhile, the account disabled, or everybody logged
        // out. The log-in must not outlive that.
        let account = user::store::find(&mut change, self.pending.user_id).await?;
        let now = change.now;
        let pending = pending::find(&mut change, id, now).await?;
        let good = account.zip(pending).filter(|(account, pending)| is_good(pending, account));
        let Some((Account { user, .. }, pending)) = good else {
            auth.pending_cookie.remove(&auth.pending);
            return Err(SecondStepError::LogInOver);
        };

        let limits = auth.limits_of_factor(&mut change, &user).await?;
        change.begin(&limits).await?;
        let place = Place::LogIn(&pending);
        let Some(used) = auth.use_factor(&mut change, &user, given, place).await? else {
            return Err(auth.wrong_code(change, &user, &pending, &limits).await?);
        };
        auth.forget_begun(&mut change, user.id).await?;
        change.forget_factor_failures(user.id).await?;
        let entry = Entry {
            given: Given::TwoFactors,
            remember: pending.remember,
            is_trusted: trust,
            via: pending.via(),
        };
        auth.enter::<SecondStepError>(change, &user, &limits, entry).await?;
        auth.pending_cookie.remove(&auth.pending);
        let codes_left = match used {
            Used::RecoveryCode { left } => Some(left),
            _ => None,
        };
        Ok(Completed { user, codes_left })
    }
}

impl Auth<'_> {
    /// Records a wrong code. After the fifth one the log-in is over, and the owner is told.
    async fn wrong_code(
        &self,
        mut change: Change<'_>,
        user: &User,
        pending: &Pending,
        limits: &[Limit],
    ) -> Result<SecondStepError, Error> {
        let now = change.now;
        change.settle(limits, AttemptOutcome::Failed).await?;
        change.record(EventKind::FactorFailed, user).await?;
        let failures = pending::fail(&mut change, pending.id, now).await?;
        let is_last = failures.is_none_or(|failures| failures >= pending::MOST_FAILURES);
        if is_last && pending::take(&mut change, pending.id).await? {
            change.tell_missed_step(user, pending, self.config).await?;
        }
        change.commit().await?;
        if is_last {
            self.pending_cookie.remove(&self.pending);
            return Ok(SecondStepError::TooManyCodes);
        }
        Ok(SecondStepError::WrongCode)
    }
}

impl Change<'_> {
    /// Uses `typed`, a code from the app of `user`, or one of their recovery codes. `None`: it is
    /// neither, or was used before. The change has locked the user.
    pub(super) async fn use_code(
        &mut self,
        sealer: &Sealer,
        user: &User,
        typed: &str,
    ) -> Result<Option<Used>, Error> {
        if let Some(code) = totp::normalise(typed) {
            return Ok(self.use_app(sealer, user, &code).await?.then_some(Used::App));
        }
        let Some(code) = RecoveryCode::parse(typed) else { return Ok(None) };
        if !store::use_code(self, user.id, code.hash(user.id)).await? {
            return Ok(None);
        }

        let left = store::codes(self, user.id).await?.map_or(0, |codes| codes.left);
        self.record(EventKind::RecoveryUsed, user).await?;
        let content = Content { count: left, ..self.content(&user.email) };
        self.notify_factor("recovery_used", user, content.clone()).await?;
        if left == FEW_CODES {
            self.notify_factor("recovery_low", user, content).await?;
        }
        Ok(Some(Used::RecoveryCode { left }))
    }

    async fn use_app(&mut self, sealer: &Sealer, user: &User, code: &str) -> Result<bool, Error> {
        let Some(app) = store::app(self, user.id).await? else { return Ok(false) };
        let Some(opened) = sealer.open(user.id, &app.secret) else {
            log::warn!("the app of user {} was sealed with a secret_key that is gone", user.id);
            return Ok(false);
        };
        let now = self.now;
        let Some(step) = opened.secret.find(code, now, totp::AT_LOG_IN) else { return Ok(false) };
        let is_new = store::use_step(self, app.id, step, now).await?;
        if is_new && opened.is_outdated {
            let sealed = sealer.seal(user.id, &opened.secret);
            store::reseal(self, app.id, &app.secret, &sealed).await?;
        }
        Ok(is_new)
    }

    /// Tells the owner that somebody has given the right password and no second factor, at most once
    /// an hour.
    pub(super) async fn tell_missed_step(
        &mut self,
        user: &User,
        pending: &Pending,
        config: &Config,
    ) -> Result<(), Error> {
        if !self.may_tell_missed_step(user).await? {
            return Ok(());
        }
        let content = self.content_of(&user.email, &pending.client(), pending.created_at);
        let notice = Notice::FactorMissed;
        let Some(via) = pending.via() else {
            return self.notify(notice, user, &user.email, content).await;
        };
        let identity = identity::find_by_id(self, via.id).await?;
        let provider = identity.map(|identity| label_of(config, &identity.provider));
        let content = Content { provider: provider.unwrap_or_default(), ..content };
        self.notify_as(notice, "provider_missed", user, content).await
    }
}

fn is_good(pending: &Pending, account: &Account) -> bool {
    account.disabled_at.is_none()
        && account.user.has_factor
        && pending.is_of(&account.password_hash)
}

/// Returns what a factor is called in a mail.
pub(super) fn what(kind: FactorKind, name: &str) -> String {
    match (kind, name) {
        (FactorKind::App, _) => "authenticator app".into(),
        (FactorKind::Passkey, "") => "passkey".into(),
        (FactorKind::Passkey, name) => format!("passkey “{name}”"),
    }
}
