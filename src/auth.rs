//! The acts on an account, from signing up to deleting it.
//!
//! [`Auth`] has each act as one function, which our own pages call as well. No database connection is
//! held while a password is hashed. What an act changes, records and mails is one transaction.
//!
//! # Outcomes
//!
//! If an act returns `Ok`, it was done. If it was not done, its error says why. Two acts that only mail
//! a link return `Ok` also if there was no mail to send: [`Auth::ask_reset()`], which must not tell
//! whether an address has an account, and [`Auth::ask_verification()`].
//!
//! The variants of an error are the reasons that lie with the visitor, and `Failed`, which holds what
//! failed on our side as an [`Error`]. A reason has the same name in every act, and is for
//!
//!   * the visitor, as a message: its `Display`;
//!   * a program, as a stable name: its `code()`. [The reference](crate::_documentation::reference) lists
//!     them all;
//!   * a route of the application that returns it: it is a responder. The registered catcher then
//!     answers with its status. Ours shows the message, and sends the code to a program.
//!
//! ```rust
//! # use rocket::post;
//! use rocket_login::auth::{LogIn, LogInError};
//! use rocket_login::web::Posted;
//! use rocket_login::{Auth, Email, Password};
//!
//! #[derive(rocket::FromForm)]
//! struct Form {
//!     email: String,
//!     password: String,
//! }
//!
//! #[post("/api/log-in", data = "<form>")]
//! async fn log_in(auth: Auth<'_>, form: Posted<Form>) -> Result<String, LogInError> {
//!     let Posted(Form { email, password }) = form;
//!     let email = Email::parse(&email).ok();
//!     match auth.log_in(email.as_ref(), Password::typed(&password), false).await? {
//!         LogIn::LoggedIn(user) => Ok(format!("You are logged in as {}.", user.email)),
//!         _ => Ok("Go on at /login/factor.".into()),
//!     }
//! }
//! ```
//!
//! A refusal cannot be overlooked. This does not compile, because of `unused_must_use`:
//!
//! ```rust,compile_fail
//! #![deny(unused_must_use)]
//! # use rocket_login::{Auth, Password, User};
//! async fn pay_out(user: &User, auth: Auth<'_>, password: Password) {
//!     auth.reauthenticate(user, password, "").await;
//! }
//! ```
//!
//! With `?` it compiles, and nothing goes on after a wrong password:
//!
//! ```rust
//! #![deny(unused_must_use)]
//! # use rocket_login::auth::ReauthenticateError;
//! # use rocket_login::{Auth, Password, User};
//! async fn pay_out(
//!     user: &User,
//!     auth: Auth<'_>,
//!     password: Password,
//! ) -> Result<(), ReauthenticateError> {
//!     auth.reauthenticate(user, password, "").await?;
//!     // Here the password was right.
//!     Ok(())
//! }
//! ```

#[macro_use]
mod refusal;

mod change;
mod delete;
mod done;
mod email;
mod export;
mod factors;
mod guards;
mod hooks;
mod log_in;
mod mails;
mod missed_steps;
mod not_me;
mod notices;
mod operate;
#[cfg(feature = "passkeys")]
mod passkeys;
mod passkeys_checked;
mod password;
mod protected;
#[cfg(feature = "providers")]
mod provider_log_out;
#[cfg(feature = "providers")]
mod providers;
mod register;
mod reseal;
mod reset;
mod search;
mod second_step;
mod sessions;
mod settings;
#[cfg(feature = "passkeys")]
mod signals;
mod sweep;
mod throttling;
mod verify;
mod ways_in;

use std::sync::Arc;

use rocket::http::Method;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached::attached;
use crate::base::Base;
use crate::clock::Clock;
use crate::config::Config;
use crate::cookies::PendingCookies;
use crate::db::{Db, Pool, Together};
use crate::device::DeviceCookie;
use crate::done::{Act, DoneCookie};
use crate::error::Error;
use crate::factor::Sealer;
use crate::factor::pending::PendingCookie;
#[cfg(feature = "providers")]
use crate::flow::{self, FlowCookies};
use crate::history::EventKind;
use crate::mail::Mail;
use crate::password::{Hasher, NewPassword, Password, PasswordError, PasswordHash};
#[cfg(feature = "providers")]
use crate::provider::Providers;
use crate::session::{Given, Session};
use crate::throttle;
use crate::token::Token;
use crate::user::{self, User};
use change::{Accounts, Change};

pub use delete::DeleteError;
pub use done::{LinkError, Overtaken};
pub use email::ChangeEmailError;
pub use export::Export;
pub use factors::{
    AddAppError, AppOffer, ClockOff, Factors, RecoveryCodesError, RemoveFactorError,
    RenamePasskeyError,
};
pub use guards::{HasRole, RecentLogin, StrongLogin};
pub(crate) use hooks::AttachedHooks;
pub use hooks::{Actor, HookError, Hooks, SignUp, SignUpOptions};
pub use log_in::{LogIn, LogInAsError, LogInError};
pub(crate) use missed_steps::fairing as missed_steps;
pub use not_me::{Locked, NotMeLink};
#[cfg(feature = "cli")]
pub(crate) use operate::OperatedSite;
pub use operate::{AccountError, AddError, GrantError, NewAccount, Operator, ResetLinkError};
#[cfg(feature = "passkeys")]
pub use passkeys::{AddPasskeyError, PasskeyLogInError};
pub(crate) use passkeys_checked::fairing as passkeys_checked;
pub use password::{ChangePasswordError, RemovePasswordError};
pub use protected::{protected, protected_by_role};
#[cfg(feature = "providers")]
pub use provider_log_out::ProviderLogOutError;
#[cfg(feature = "providers")]
pub use providers::{
    FlowPurpose, LeadError, ProviderAnswer, ProviderAnswerError, ProviderFlow, Returned,
};
pub(crate) use register::SignUpCookie;
pub use register::{RegisterError, Registered};
pub(crate) use reseal::fairing as resealer;
pub use reset::{ResetError, ResetLink};
pub use search::{Account, AccountPage, AccountSearch};
use second_step::Place;
pub use second_step::{Completed, PendingLogIn, SecondFactor, SecondStepError, Ways};
pub use sessions::{EndSessionError, SessionPage, UserSession};
pub(crate) use settings::OfUser;
pub use settings::Settings;
#[cfg(feature = "passkeys")]
pub use signals::UnknownPasskey;
pub(crate) use sweep::fairing as sweeper;
pub use verify::{Verified, VerifyError, VerifyLink};
pub use ways_in::{ConnectedIdentity, DisconnectError};

refusals! {
    /// Why [`Auth::reauthenticate()`] did not accept what was given.
    ReauthenticateError {
        WrongPassword,
        /// The password is right.
        WrongCode,
    }
}

/// The acts on behalf of the present visitor, as a request guard.
///
/// The acts that take a `&User` are for the user who is logged in: after a log-in or a log-out in
/// this request, for the one who is logged in since. For another user they fail with
/// [`is_ended()`](Error::is_ended()) and change nothing. Only [`log_in_as()`](Self::log_in_as()) takes
/// any user. A route for a sensitive act should also take [`RecentLogin`].
///
/// It _succeeds_ and _fails_ as [`&Session`](Session) does. A [`Sentinel`] stops
/// the launch when [`stage()`](crate::stage()) is not attached.
///
/// # Examples
///
/// ```rust
/// # use rocket::post;
/// use rocket::response::Redirect;
/// use rocket_login::{Auth, Error, User};
///
/// #[post("/log-out-elsewhere")]
/// async fn log_out_elsewhere(user: &User, auth: Auth<'_>) -> Result<Redirect, Error> {
///     auth.end_other_sessions(user).await?;
///     Ok(Redirect::to("/"))
/// }
/// ```
#[derive(Debug)]
pub struct Auth<'r> {
    session: &'r Session,
    accounts: Accounts<'r>,
    config: &'r Config,
    base: &'r Base,
    hasher: &'r Hasher,
    pending: PendingCookies,
    device_cookie: &'r DeviceCookie,
    device: Option<Token>,
    sign_up_cookie: &'r SignUpCookie,
    /// The pending sign-ups of this browser.
    signed_up: Vec<String>,
    done_cookie: &'r DoneCookie,
    /// The links that this browser has used a moment ago.
    done: Vec<String>,
    settings: &'r Arc<Together<OfUser>>,
    sealer: &'r Sealer,
    pending_cookie: &'r PendingCookie,
    /// The log-ins of this browser whose second step is missing.
    begun: Vec<Token>,
    #[cfg(feature = "providers")]
    providers: &'r Providers,
    #[cfg(feature = "providers")]
    flow_cookies: &'r FlowCookies,
    /// What this browser has gone to providers for.
    #[cfg(feature = "providers")]
    flows: flow::Brought,
    /// `true` if the request may change something, which a `GET` may not.
    is_unsafe: bool,
}

impl<'r> Auth<'r> {
    /// Returns whether anybody may sign up.
    pub fn is_registration_open(&self) -> bool {
        self.config.accounts.is_open()
    }

    /// Checks the text that was typed as the new password of the account of `email`. Unlike
    /// [`NewPassword::parse()`] it knows the site's name.
    ///
    /// It does not ask whether the password is known from a breach. The acts that store it do,
    /// after all other checks: [`register()`](Self::register()),
    /// [`change_password()`](Self::change_password()) and [`ResetLink::set()`].
    ///
    /// # Errors
    ///
    /// If it may not become a password, with the reason.
    pub fn new_password(&self, text: &str, email: &str) -> Result<NewPassword, PasswordError> {
        NewPassword::parse(text, &self.config.password, &self.config.password_context(email))
    }

    /// Returns whether the site sends mails. Without them nobody can reset a password or change an
    /// address themselves.
    pub fn has_mail(&self) -> bool {
        self.accounts.mail.is_on()
    }

    /// Ends the present session, and a log-in whose second step is missing. Without either it does
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Password;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// auth.log_out().await.expect("nobody is logged in");
    ///
    /// // The rest of the request can do nothing in the user's name.
    /// let password = Password::typed("correct horse battery");
    /// let refused = auth.reauthenticate(user, password, "").await.unwrap_err();
    /// assert_eq!(refused.code(), "session_ended");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails. The visitor is then still logged in.
    pub async fn log_out(&self) -> Result<(), Error> {
        self.end_begun().await?;
        let user = self.session.user();
        self.session.log_out().await?;
        if let Some(user) = user {
            // The log-out is done, even if its record fails.
            if let Err(error) = self.record_log_out(user).await {
                log::warn!("a log-out was not recorded: {error}");
            }
        }
        Ok(())
    }

    /// Checks the user's password again, and, if the account has a second factor, the `second` one: a code
    /// from the app, a recovery code, or a passkey. If both are right, the session gets a new token, and the clock of
    /// `session.reauthenticate_after` starts again.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Password;
    /// use rocket_login::auth::ReauthenticateError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let right = Password::typed("correct horse battery");
    /// auth.reauthenticate(user, right, "").await.expect("a recent log-in");
    ///
    /// let wrong = Password::typed("wrong horse battery");
    /// let refused = auth.reauthenticate(user, wrong, "").await.unwrap_err();
    /// assert!(matches!(refused, ReauthenticateError::WrongPassword));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WrongPassword`](ReauthenticateError::WrongPassword) and
    /// [`WrongCode`](ReauthenticateError::WrongCode). `Failed` if the database or the hashing workers
    /// fail, after too many wrong codes with [`is_throttled()`](Error::is_throttled()), or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn reauthenticate(
        &self,
        user: &User,
        password: Password,
        second: impl Into<SecondFactor<'_>>,
    ) -> Result<(), ReauthenticateError> {
        let stored = self.check_password(user, password).await?;
        let stored = stored.ok_or(ReauthenticateError::WrongPassword)?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let account = user::store::find(&mut change, user.id).await?.ok_or_else(Error::ended)?;
        if account.disabled_at.is_some() || account.password_hash != stored {
            return Err(ReauthenticateError::WrongPassword);
        }
        if !account.user.has_factor {
            return Ok(self.confirmed(change, user, Given::OneFactor).await?);
        }
        let place = Place::Session;
        if self.check_factor(&mut change, user, second.into(), place).await?.is_none() {
            change.commit().await?;
            return Err(ReauthenticateError::WrongCode);
        }
        Ok(self.confirmed(change, user, Given::TwoFactors).await?)
    }

    /// Completes the change in which the user has shown again who they are.
    async fn confirmed(
        &self,
        mut change: Change<'_>,
        user: &User,
        given: Given,
    ) -> Result<(), Error> {
        let renamed = self.session.rename(&mut change, Some(given)).await?;
        self.note_session(&mut change, Act::Reauthenticated, Some(user.id)).await?;
        change.record(EventKind::Reauthenticated, user).await?;
        change.commit_session(self.session, renamed).await
    }

    /// Checks the user's password and returns its hash. `None`: the password is wrong. That is
    /// recorded, because somebody who has got hold of a session may be guessing.
    async fn check_password(
        &self,
        user: &User,
        password: Password,
    ) -> Result<Option<PasswordHash>, Error> {
        let stored = self.stored_hash(user).await?;
        self.check_hash(user, stored, password).await
    }

    /// Returns the hash that is stored for the user. `None`: there is no such account any more.
    async fn stored_hash(&self, user: &User) -> Result<Option<PasswordHash>, Error> {
        self.own(user)?;
        let account = user::store::find(&mut self.accounts.db.read().await?, user.id).await?;
        Ok(account.map(|account| account.password_hash))
    }

    async fn check_hash(
        &self,
        user: &User,
        stored: Option<PasswordHash>,
        password: Password,
    ) -> Result<Option<PasswordHash>, Error> {
        let limits = self.limits_inside(user);
        self.begin(&limits, Some(user)).await?;
        let verdict = self.looked_at(&limits, self.verify_hash(password, stored.as_ref())).await?;

        let mut change = self.accounts.change().await?;
        let right = stored.filter(|_| verdict.matches);
        if right.is_none() {
            // If a form was sent twice, the first has replaced the password, and the second is not
            // a wrong one. A guess would tell the same, right or wrong.
            if let Err(ended) = self.confirm(&mut change, user).await {
                change.settle(&limits, throttle::AttemptOutcome::Abandoned).await?;
                change.commit().await?;
                return Err(ended);
            }
            change.record(EventKind::ReauthenticationFailed, user).await?;
        }
        let outcome = match right.is_some() {
            true => throttle::AttemptOutcome::Succeeded,
            false => throttle::AttemptOutcome::Failed,
        };
        change.settle(&limits, outcome).await?;
        change.commit().await?;
        Ok(right)
    }

    /// Checks the user's password like [`check_password()`](Self::check_password()), for an act that a user
    /// without one may do as well. In the place of the password they need a recent log-in.
    async fn check_current(
        &self,
        user: &User,
        password: Password,
    ) -> Result<Option<PasswordHash>, Error> {
        let stored = self.stored_hash(user).await?;
        if stored.as_ref().is_some_and(PasswordHash::is_unusable) {
            self.confirm_recent()?;
            return Ok(stored);
        }
        self.check_hash(user, stored, password).await
    }

    /// Makes sure that the user has shown recently who they are.
    fn confirm_recent(&self) -> Result<(), Error> {
        match self.session.is_recent(self.config.session.reauthenticate_after) {
            true => Ok(()),
            false => Err(Error::not_recent()),
        }
    }

    /// Makes sure that `user` is logged in, as far as this request knows. Every act that takes a
    /// `&User` asks it, at the latest in [`confirm()`](Self::confirm()): the application can look
    /// up anybody, for [`log_in_as()`](Self::log_in_as()), and a session has rights to the account
    /// of its own user alone.
    fn own(&self, user: &User) -> Result<(), Error> {
        match self.session.user_id() == Some(user.id) {
            true => Ok(()),
            false => Err(Error::ended()),
        }
    }

    /// Begins a change in the name of `user`, whose present session must still be there.
    async fn change_as_user(&self, user: &User) -> Result<Change<'r>, Error> {
        let mut change = self.accounts.change().await?;
        self.confirm(&mut change, user).await?;
        Ok(change)
    }

    /// Makes sure that the present session is the one of `user`, and has not been ended. It locks
    /// the user first, in the order of all locks.
    async fn confirm(&self, change: &mut Change<'_>, user: &User) -> Result<(), Error> {
        self.own(user)?;
        user::store::find(change, user.id).await?;
        self.session.confirm(change, user.id).await
    }

    async fn record_log_out(&self, user: &User) -> Result<(), Error> {
        let mut change = self.accounts.change().await?;
        change.record(EventKind::LoggedOut, user).await?;
        change.commit().await
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Auth<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let session = try_outcome!(request.guard::<&Session>().await);
        let rocket = request.rocket();
        let (config, db): (&Config, &Db) = (attached(rocket), attached(rocket));
        let (device_cookie, sign_up_cookie): (&DeviceCookie, &SignUpCookie) =
            (attached(rocket), attached(rocket));
        let (done_cookie, pending_cookie): (&DoneCookie, &PendingCookie) =
            (attached(rocket), attached(rocket));
        Outcome::Success(Auth {
            session,
            accounts: Accounts {
                db: db as &Pool,
                clock: attached::<Clock>(rocket),
                mail: attached::<Mail>(rocket),
                config: &config.accounts,
                throttle: &config.throttle,
                client: session.client(),
                hooks: attached::<AttachedHooks>(rocket),
            },
            config,
            base: attached(rocket),
            hasher: attached(rocket),
            pending: PendingCookies::of(request),
            device_cookie,
            device: device_cookie.of(request),
            sign_up_cookie,
            signed_up: sign_up_cookie.all_of(request),
            done_cookie,
            done: done_cookie.all_of(request),
            settings: attached(rocket),
            sealer: attached(rocket),
            pending_cookie,
            begun: pending_cookie.all_of(request),
            #[cfg(feature = "providers")]
            providers: attached(rocket),
            #[cfg(feature = "providers")]
            flow_cookies: attached(rocket),
            #[cfg(feature = "providers")]
            flows: attached::<FlowCookies>(rocket).of(request),
            is_unsafe: !matches!(request.method(), Method::Get | Method::Head | Method::Options),
        })
    }
}

impl Sentinel for Auth<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}
