//! Adds and removes second factors.

use serde::Serialize;

use super::Auth;
use super::change::Change;
use super::second_step::what;
use super::ways_in::{ConnectedIdentity, Removal, identities};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::Connection;
use crate::device;
use crate::done::Act;
use crate::error::Error;
use crate::factor::recovery::{self, RecoveryCode};
use crate::factor::totp::{self, TotpSecret};
use crate::factor::{Factor, FactorKind, RecoveryCodes, store};
use crate::history::EventKind;
use crate::identity;
use crate::mail::Content;
use crate::session::Given;
use crate::token::TokenId;
use crate::user::{self, User};

/// The longest name of a passkey, in characters.
const LONGEST_NAME: usize = 64;

/// How long the page that sets an app up may be open, in seconds: an hour.
const OFFERED: Timestamp = 60 * 60;

refusals! {
    /// Why [`Auth::add_app()`] added no app.
    AddAppError {
        AppsOff,
        AppOn,
        EmailUnverified,
        OfferExpired,
        WrongCode = "This code is not right. Type the one that the app shows now.",
        ;
        /// The code is right for another time than ours.
        ClockOff(ClockOff),
    }
}

refusals! {
    /// Why [`Auth::remove_factor()`] removed nothing.
    RemoveFactorError { NoSuchFactor, LastWayIn }
}

refusals! {
    /// Why [`Auth::rename_passkey()`] changed no name.
    RenamePasskeyError { NoSuchFactor, NameInvalid }
}

refusals! {
    /// Why [`Auth::new_recovery_codes()`] made no codes.
    RecoveryCodesError { NoFactor }
}

/// The clock of the phone is wrong, so its codes would not be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockOff {
    /// How many seconds it is ahead of ours. It is behind if the number is negative.
    pub seconds: i64,
}

impl ClockOff {
    /// Returns the reason's stable name.
    pub fn code(&self) -> &'static str {
        "clock_off"
    }
}

/// This is a message to the visitor.
impl std::fmt::Display for ClockOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = crate::clock::wait_in_words(self.seconds.abs());
        let direction = if self.seconds < 0 { "behind" } else { "ahead" };
        write!(
            f,
            "Your phone's clock is about {by} {direction}. Set it to the right time, then type the \
             next code."
        )
    }
}

/// What somebody needs to set up an app. Nothing of it is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct AppOffer {
    /// The secret in groups of four letters, for typing.
    pub secret: String,
    /// The address that a QR code shows (`otpauth:`).
    pub uri: String,
    /// The secret for [`Auth::add_app()`], sealed for the user. It is good for an hour.
    pub sealed: String,
}

/// What [`Auth::factors()`] returns.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Factors {
    /// The factors, the oldest first.
    pub factors: Vec<Factor>,
    /// The recovery codes. `None`: no code is left.
    pub codes: Option<RecoveryCodes>,
    /// How many devices may skip the second factor.
    pub trusted_devices: i64,
    /// The accounts at providers that log in to this one, the oldest first.
    pub identities: Vec<ConnectedIdentity>,
}

impl Factors {
    pub(super) async fn read(
        db: &mut Connection,
        user_id: i64,
        now: Timestamp,
        config: &Config,
    ) -> Result<Self, Error> {
        Ok(Factors {
            factors: store::list(db, user_id).await?,
            codes: store::codes(db, user_id).await?,
            trusted_devices: device::count_trusted(db, user_id, now).await?,
            identities: identities(db, user_id, config).await?,
        })
    }
}

impl Auth<'_> {
    /// Returns the second factors of the user.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let factors = auth.factors(user).await.expect("an answer");
    /// assert!(factors.factors.is_empty() && factors.codes.is_none());
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn factors(&self, user: &User) -> Result<Factors, Error> {
        self.own(user)?;
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        Factors::read(&mut db, user.id, now, self.config).await
    }

    /// Returns whether a user with these factors may remove the password: see
    /// [`remove_password()`](Self::remove_password()).
    pub fn is_password_optional(&self, factors: &Factors) -> bool {
        factors.suffice(self.config.offers_passkeys(), self.has_mail())
    }

    /// Makes a new secret for an app that shows codes. Nothing is stored before
    /// [`add_app()`](Self::add_app()).
    pub fn app_offer(&self, user: &User) -> AppOffer {
        self.offer_of(user, &TotpSecret::generate())
    }

    /// Returns the offer that [`app_offer()`](Self::app_offer()) made before, for the page that is
    /// shown again. `None`: it has expired, or is another user's.
    pub fn same_app_offer(&self, user: &User, sealed: &str) -> Option<AppOffer> {
        let secret = self.sealer.open_offer(user.id, sealed, self.accounts.clock.now())?;
        let offer = self.offer_of(user, &secret);
        // The hour goes on.
        Some(AppOffer { sealed: sealed.to_owned(), ..offer })
    }

    fn offer_of(&self, user: &User, secret: &TotpSecret) -> AppOffer {
        let expires_at = self.accounts.clock.now() + OFFERED;
        AppOffer {
            secret: secret.in_groups(),
            uri: totp::uri(secret, self.config.site_name(), &user.email),
            sealed: self.sealer.seal_offer(user.id, secret, expires_at),
        }
    }

    /// Adds the app of `sealed`, which [`app_offer()`](Self::app_offer()) has made, if `code` is one of
    /// its codes. The session gets a new token and is a strong and recent one from then on. The
    /// user's other sessions stay. No device is trusted any more.
    ///
    /// It returns ten recovery codes if the account had none. Nobody can see them again. A route for
    /// it should take [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::AddAppError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let offer = auth.app_offer(user);
    /// let refused = auth.add_app(user, &offer.sealed, "000000").await.unwrap_err();
    /// assert!(matches!(refused, AddAppError::EmailUnverified));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`AddAppError`]. `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn add_app(
        &self,
        user: &User,
        sealed: &str,
        code: &str,
    ) -> Result<Option<Vec<RecoveryCode>>, AddAppError> {
        self.own(user)?;
        if !self.config.factors.app {
            return Err(AddAppError::AppsOff);
        }
        let now = self.accounts.clock.now();
        let secret = self.sealer.open_offer(user.id, sealed, now);
        let secret = secret.ok_or(AddAppError::OfferExpired)?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let account = user::store::find(&mut change, user.id).await?.ok_or_else(Error::ended)?;
        // Somebody who signed up with another person's address must not lock its owner out.
        if account.user.verified_at.is_none() {
            return Err(AddAppError::EmailUnverified);
        }
        if store::app(&mut change, user.id).await?.is_some() {
            return Err(AddAppError::AppOn);
        }
        let step = step_at_set_up(&secret, code, now)?;
        let sealed = self.sealer.seal(user.id, &secret);
        store::insert_app(&mut change, user.id, &sealed, step, now).await?;
        self.added(change, user, (FactorKind::App, "")).await
    }

    /// Completes the change that has added a factor. Returns recovery codes if the account had none.
    pub(super) async fn added<E: From<Error>>(
        &self,
        mut change: Change<'_>,
        user: &User,
        (kind, name): (FactorKind, &str),
    ) -> Result<Option<Vec<RecoveryCode>>, E> {
        let codes = match store::codes(&mut change, user.id).await? {
            Some(_) => None,
            None => Some(change.make_codes(user).await?),
        };
        device::distrust(&mut change, user.id).await?;
        let renamed = self.session.rename(&mut change, Some(Given::TwoFactors)).await?;
        self.note_session(&mut change, Act::FactorAdded, Some(user.id)).await?;
        change.record_detail(EventKind::FactorAdded, kind.name(), user).await?;
        let content = Content { factor: what(kind, name), ..change.content(&user.email) };
        change.notify_factor("factor_added", user, content).await?;
        change.commit_session(self.session, renamed).await?;
        Ok(codes)
    }

    /// Removes the factor `id` of the user. If it was the last one, the recovery codes are void. The
    /// last passkey of an account without a password stays if nothing else logs in.
    ///
    /// The session gets a new token, and no device is trusted any more. A route for it should take
    /// [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::RemoveFactorError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let refused = auth.remove_factor(user, 7).await.unwrap_err();
    /// assert!(matches!(refused, RemoveFactorError::NoSuchFactor));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`RemoveFactorError`]. `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn remove_factor(&self, user: &User, id: i64) -> Result<(), RemoveFactorError> {
        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let account = user::store::find(&mut change, user.id).await?.ok_or_else(Error::ended)?;
        let now = change.now;
        let factors = Factors::read(&mut change, user.id, now, self.config).await?;
        let is_sufficient =
            factors.factors.iter().any(|factor| factor.id == id && factor.is_sufficient);
        let is_last = is_sufficient && !factors.has_way_after(Removal::Factor(id));
        if account.password_hash.is_unusable() && is_last {
            return Err(RemoveFactorError::LastWayIn);
        }
        if !change.remove_factor(user, id, self.session.family()).await? {
            return Err(RemoveFactorError::NoSuchFactor);
        }
        let renamed = self.session.rename(&mut change, None).await?;
        self.note_session(&mut change, Act::FactorRemoved, Some(user.id)).await?;
        change.commit_session(self.session, renamed).await?;
        Ok(())
    }

    /// Gives the passkey `id` of the user another name, of 1 to 64 characters.
    ///
    /// # Errors
    ///
    /// The reasons of [`RenamePasskeyError`]. `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn rename_passkey(
        &self,
        user: &User,
        id: i64,
        name: &str,
    ) -> Result<(), RenamePasskeyError> {
        let name = name_of(name).filter(|name| !name.is_empty());
        let name = name.ok_or(RenamePasskeyError::NameInvalid)?;
        let mut change = self.change_as_user(user).await?;
        if !store::rename(&mut change, user.id, id, &name).await? {
            return Err(RenamePasskeyError::NoSuchFactor);
        }
        change.commit().await?;
        Ok(())
    }

    /// Makes ten new recovery codes, which the caller shows to the user this once. The earlier ones
    /// are void. A route for it should take [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::RecoveryCodesError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let refused = auth.new_recovery_codes(user).await.unwrap_err();
    /// assert!(matches!(refused, RecoveryCodesError::NoFactor));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoFactor`](RecoveryCodesError::NoFactor). `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn new_recovery_codes(
        &self,
        user: &User,
    ) -> Result<Vec<RecoveryCode>, RecoveryCodesError> {
        let mut change = self.change_as_user(user).await?;
        if store::list(&mut change, user.id).await?.is_empty() {
            return Err(RecoveryCodesError::NoFactor);
        }
        let codes = change.make_codes(user).await?;
        change.record(EventKind::RecoveryRenewed, user).await?;
        let content = change.content(&user.email);
        change.notify_factor("recovery_renewed", user, content).await?;
        change.commit().await?;
        Ok(codes)
    }
}

impl Change<'_> {
    async fn make_codes(&mut self, user: &User) -> Result<Vec<RecoveryCode>, Error> {
        let codes = Vec::from(recovery::generate_set());
        let hashes: Vec<_> = codes.iter().map(|code| code.hash(user.id)).collect();
        let now = self.now;
        store::replace_codes(self, user.id, &hashes, now).await?;
        Ok(codes)
    }

    /// Removes all factors of `user`, their recovery codes and accounts at providers, and tells nobody:
    /// the account goes to somebody else. The former holder would otherwise get in again with a passkey
    /// or an identity of theirs (account pre-hijacking).
    pub(super) async fn drop_factors(&mut self, user: &User) -> Result<(), Error> {
        let now = self.now;
        for identity in identity::list(self, user.id).await? {
            identity::remove(self, user.id, identity.id, now).await?;
            self.record_detail(EventKind::ProviderUnlinked, &identity.provider, user).await?;
        }
        for factor in store::list(self, user.id).await? {
            store::remove(self, user.id, factor.id, None, now).await?;
            self.record_detail(EventKind::FactorRemoved, factor.kind.name(), user).await?;
        }
        store::void_codes(self, user.id, now).await
    }

    /// Removes the factor `id` of `user`, whom the change has locked, and tells them. `session` is the one
    /// in which they do it themselves. Returns `false` if they have no such factor.
    pub(super) async fn remove_factor(
        &mut self,
        user: &User,
        id: i64,
        session: Option<TokenId>,
    ) -> Result<bool, Error> {
        let (factors, now) = (store::list(self, user.id).await?, self.now);
        let Some(factor) = factors.iter().find(|factor| factor.id == id) else { return Ok(false) };
        store::remove(self, user.id, id, session, now).await?;
        if factors.len() == 1 {
            store::void_codes(self, user.id, now).await?;
        }
        device::distrust(self, user.id).await?;
        self.record_detail(EventKind::FactorRemoved, factor.kind.name(), user).await?;
        let factor = what(factor.kind, &factor.name);
        let content = Content { factor, ..self.content(&user.email) };
        self.notify_factor("factor_removed", user, content).await?;
        Ok(true)
    }
}

/// Returns the time step of `code`. It looks further than a log-in does, so that it can say by how
/// much the phone's clock is wrong: the user is logged in, and can set the clock now.
fn step_at_set_up(
    secret: &TotpSecret,
    typed: &str,
    now: Timestamp,
) -> Result<totp::Step, AddAppError> {
    let code = totp::normalise(typed).ok_or(AddAppError::WrongCode)?;
    let step = secret.find(&code, now, totp::AT_SET_UP).ok_or(AddAppError::WrongCode)?;
    match (step - totp::step_of(now)).abs() <= totp::AT_LOG_IN {
        true => Ok(step),
        false => Err(ClockOff { seconds: totp::drift(step, now) }.into()),
    }
}

/// Returns the name without blanks around it. `None`: it is too long, or has control characters.
pub(super) fn name_of(typed: &str) -> Option<String> {
    let name = typed.trim();
    let is_good = name.chars().count() <= LONGEST_NAME && !name.contains(char::is_control);
    is_good.then(|| name.to_owned())
}
