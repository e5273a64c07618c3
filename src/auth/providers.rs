//! Logs in with providers, connects accounts at them, and disconnects them.

use std::sync::Arc;

use super::change::Change;
use super::log_in::Entry;
use super::second_step::{Place, SecondFactor};
use super::ways_in::{Removal, label_of};
use super::{Auth, DisconnectError, Factors, HookError, LogIn, ReauthenticateError, SignUp};
use crate::done::{self, Act};
use crate::error::Error;
use crate::factor::pending::Begun;
use crate::flow::Flow;
pub use crate::flow::FlowPurpose;
use crate::history::EventKind;
use crate::identity::{self, Identity, Said, Via};
use crate::mail::Content;
use crate::metrics::{self, ProviderEvent};
use crate::provider::{Answer, Ask, Brought, Kept, Provider, ProviderFailure};
use crate::session::{Given, store as sessions};
use crate::throttle::{AttemptOutcome, Limit};
use crate::token::TokenId;
use crate::user::store::Account;
use crate::user::{self, Email, User};
use crate::web::{FieldErrors, Fields, ReturnTo};

/// The most accounts at providers of one user.
const MOST: usize = 20;

refusals! {
    /// Why [`Auth::lead_to_provider()`] and the acts like it lead nowhere.
    LeadError { NoSuchProvider, ProviderDown }
}

refusals! {
    /// Why [`ProviderFlow::complete()`] did not do what the visitor went to the provider for.
    ProviderAnswerError {
        /// The state is not one that this browser went to the provider with within the last ten minutes.
        FlowOver,
        ProviderDown,
        ProviderDenied,
        ProviderRefused,
        ProviderEmailUnverified,
        ProviderEmailTaken,
        Closed,
        Disabled,
        IdentityTaken,
        IdentityUnknown,
        TooManyIdentities,
        ;
        /// A [hook](super::Hooks) of the application has refused the sign-up or the log-in.
        Refused(FieldErrors),
    }
}

/// What a provider sends with the browser: the parameters of the callback.
///
/// # Examples
///
/// ```rust
/// use rocket_login::auth::ProviderAnswer;
///
/// let answer = ProviderAnswer::new().code(Some("SplxlOBeZQQYbYS6WxSbIA"));
/// # drop(answer);
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "it has an effect in `ProviderFlow::complete()`"]
pub struct ProviderAnswer<'a> {
    code: Option<&'a str>,
    iss: Option<&'a str>,
    error: Option<&'a str>,
}

impl<'a> ProviderAnswer<'a> {
    /// Creates an answer without parameters.
    pub fn new() -> Self {
        ProviderAnswer::default()
    }

    /// Sets `code`: what the provider gives its answer for.
    pub fn code(self, code: Option<&'a str>) -> Self {
        ProviderAnswer { code, ..self }
    }

    /// Sets `iss`: the provider that has answered.
    pub fn iss(self, iss: Option<&'a str>) -> Self {
        ProviderAnswer { iss, ..self }
    }

    /// Sets `error`: why there is no code.
    pub fn error(self, error: Option<&'a str>) -> Self {
        ProviderAnswer { error, ..self }
    }
}

/// What [`ProviderFlow::complete()`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "nobody is logged in before the second step"]
pub enum Returned {
    /// There is a new account, and the visitor is logged in to it.
    SignedUp(User),
    /// The visitor is logged in.
    LoggedIn(User),
    /// The account has a second factor, and nobody is logged in yet: see [`LogIn::FactorNeeded`].
    FactorNeeded,
    /// The account at the provider logs in to this user's account from now on.
    Connected,
    /// The user has shown again who they are.
    Reauthenticated,
    /// The provider has confirmed the user. Their second factor is missing: see
    /// [`Auth::reauthenticate_after_provider()`].
    CodeNeeded,
}

/// A visitor who has come back from a provider. [`Auth::provider_flow()`] finds it.
#[derive(Debug)]
#[must_use = "nothing is done before `complete()`"]
pub struct ProviderFlow<'a> {
    auth: &'a Auth<'a>,
    provider: Arc<Provider>,
    flow: Flow,
}

impl Auth<'_> {
    /// Begins a log-in with the provider `name`, and returns the address to lead the browser to. The
    /// response sets a cookie, in which all is kept until the browser comes back.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket::get;
    /// use rocket::response::Redirect;
    /// use rocket_login::Auth;
    /// use rocket_login::auth::LeadError;
    ///
    /// #[get("/enter/<name>")]
    /// async fn enter(name: &str, auth: Auth<'_>) -> Result<Redirect, LeadError> {
    ///     let address = auth.lead_to_provider(name, None, false).await?;
    ///     Ok(Redirect::to(address))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchProvider`](LeadError::NoSuchProvider) and [`ProviderDown`](LeadError::ProviderDown).
    pub async fn lead_to_provider(
        &self,
        name: &str,
        next: Option<&ReturnTo>,
        remember: bool,
    ) -> Result<String, LeadError> {
        let now = self.accounts.clock.now();
        let flow = Flow::new(name, FlowPurpose::LogIn, now).leading_to(next);
        self.lead(flow.remembering(remember)).await
    }

    /// Begins to connect an account at the provider `name` to the account of the user, like
    /// [`lead_to_provider()`](Self::lead_to_provider()). A route for it should take
    /// [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Errors
    ///
    /// Those of [`lead_to_provider()`](Self::lead_to_provider()). `Failed`, with
    /// [`is_ended()`](Error::is_ended()), if this session is not the user's.
    pub async fn lead_to_connect(&self, user: &User, name: &str) -> Result<String, LeadError> {
        self.own(user)?;
        let flow = Flow::new(name, FlowPurpose::Connect, self.accounts.clock.now());
        self.lead(flow.of_session(self.family())).await
    }

    /// Begins to ask the provider `name` for the user again, like
    /// [`lead_to_provider()`](Self::lead_to_provider()). The provider is told to ask them to log in,
    /// even if it knows them.
    ///
    /// # Errors
    ///
    /// Those of [`lead_to_connect()`](Self::lead_to_connect()). For a provider that cannot be asked to log
    /// somebody in again, which is GitHub, [`NoSuchProvider`](LeadError::NoSuchProvider).
    pub async fn lead_to_reauthenticate(
        &self,
        user: &User,
        name: &str,
        next: Option<&ReturnTo>,
    ) -> Result<String, LeadError> {
        self.own(user)?;
        // One that would not ask shows nothing: somebody at an open machine would pass.
        if self.providers.get(name).is_none_or(|provider| !provider.can_reauthenticate()) {
            return Err(LeadError::NoSuchProvider);
        }
        let now = self.accounts.clock.now();
        let flow = Flow::new(name, FlowPurpose::Reauthenticate, now).leading_to(next);
        self.lead(flow.of_session(self.family())).await
    }

    async fn lead(&self, flow: Flow) -> Result<String, LeadError> {
        let provider = self.providers.get(&flow.provider).ok_or(LeadError::NoSuchProvider)?;
        let (callback, now) = (self.callback(provider), self.accounts.clock.now());
        let ask = Ask {
            callback: &callback,
            state: &flow.state,
            nonce: &flow.nonce,
            verifier: &flow.verifier,
            is_again: flow.purpose == FlowPurpose::Reauthenticate,
        };
        let Ok(address) = provider.lead(ask, now).await else {
            metrics::provider(provider.name(), ProviderEvent::Down);
            return Err(LeadError::ProviderDown);
        };
        self.flow_cookies.begin(&flow, &self.flows, &self.pending, now);
        Ok(address)
    }

    /// Finds what this browser went to the provider `name` for, by the `state` that has come back. It is
    /// over from then on, whatever comes of it.
    ///
    /// The provider leads to our page `/login/with/NAME/callback`, which calls this. An application needs it
    /// only for a callback of its own, which then takes the place of ours.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket::get;
    /// use rocket_login::Auth;
    /// use rocket_login::auth::{ProviderAnswer, ProviderAnswerError, Returned};
    ///
    /// #[get("/login/with/<name>/callback?<state>&<code>&<iss>&<error>")]
    /// async fn callback(
    ///     name: &str,
    ///     state: &str,
    ///     code: Option<&str>,
    ///     iss: Option<&str>,
    ///     error: Option<&str>,
    ///     auth: Auth<'_>,
    /// ) -> Result<String, ProviderAnswerError> {
    ///     let flow = auth.provider_flow(name, state)?;
    ///     let answer = ProviderAnswer::new().code(code).iss(iss).error(error);
    ///     match flow.complete(answer).await? {
    ///         Returned::LoggedIn(user) => Ok(format!("Hello, {}!", user.email)),
    ///         Returned::FactorNeeded => Ok("Go on at /login/factor.".into()),
    ///         _ => Ok("Done.".into()),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`FlowOver`](ProviderAnswerError::FlowOver).
    pub fn provider_flow(
        &self,
        name: &str,
        state: &str,
    ) -> Result<ProviderFlow<'_>, ProviderAnswerError> {
        let now = self.accounts.clock.now();
        let flow = self.flow_cookies.end(state, &self.flows, &self.pending, now);
        // Each provider has a callback of its own, and no other one's answer counts there (mix-up).
        let flow = flow.filter(|flow| flow.provider == name);
        match flow.zip(self.providers.get(name).cloned()) {
            Some((flow, provider)) => Ok(ProviderFlow { auth: self, provider, flow }),
            None => Err(ProviderAnswerError::FlowOver),
        }
    }

    /// Disconnects an account at the provider `name` from the account of the user: the one with this `id`,
    /// or else the oldest. The session gets a new token. A route for it should take
    /// [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Errors
    ///
    /// [`NotConnected`](DisconnectError::NotConnected), and [`LastWayIn`](DisconnectError::LastWayIn)
    /// if nothing else would log in. `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn disconnect_provider(
        &self,
        user: &User,
        name: &str,
        id: Option<i64>,
    ) -> Result<(), DisconnectError> {
        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let account = user::store::find(&mut change, user.id).await?.ok_or_else(Error::ended)?;
        let now = change.now;
        let factors = Factors::read(&mut change, user.id, now, self.config).await?;
        let mut same = factors.identities.iter().filter(|identity| identity.provider == name);
        let found = same.find(|identity| id.is_none_or(|id| identity.id == id));
        let identity = found.ok_or(DisconnectError::NotConnected)?;
        let is_last = identity.is_offered && !factors.has_way_after(Removal::Identity(identity.id));
        if account.password_hash.is_unusable() && is_last {
            return Err(DisconnectError::LastWayIn);
        }

        change.disconnect(user, identity).await?;
        let renamed = self.session.rename(&mut change, None).await?;
        self.note_session(&mut change, Act::ProviderDisconnected, Some(user.id)).await?;
        change.commit_session(self.session, renamed).await?;
        metrics::provider(name, ProviderEvent::Unlinked);
        Ok(())
    }

    /// Returns whether a provider has confirmed the user in this session within the last ten minutes, so
    /// that [`reauthenticate_after_provider()`](Self::reauthenticate_after_provider()) needs no more
    /// than the second factor.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn is_provider_given(&self, user: &User) -> Result<bool, Error> {
        let Some(id) = self.asked_id() else { return Ok(false) };
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        Ok(done::find(&mut db, id, now).await?.is_some_and(|done| done.user_id == Some(user.id)))
    }

    /// Checks the user's second factor after a provider has confirmed them. If it is right, the session
    /// gets a new token, and the clock of `session.reauthenticate_after` starts again.
    ///
    /// # Errors
    ///
    /// [`WrongPassword`](ReauthenticateError::WrongPassword) if no provider has confirmed the user within
    /// the last ten minutes, and [`WrongCode`](ReauthenticateError::WrongCode). `Failed` as in
    /// [`reauthenticate()`](Self::reauthenticate()).
    pub async fn reauthenticate_after_provider(
        &self,
        user: &User,
        second: impl Into<SecondFactor<'_>>,
    ) -> Result<(), ReauthenticateError> {
        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let id = self.asked_id().ok_or_else(Error::ended)?;
        let now = change.now;
        let asked = done::find(&mut change, id, now).await?;
        if asked.is_none_or(|done| done.user_id != Some(user.id)) {
            return Err(ReauthenticateError::WrongPassword);
        }
        if self.check_factor(&mut change, user, second.into(), Place::Session).await?.is_none() {
            change.commit().await?;
            return Err(ReauthenticateError::WrongCode);
        }
        done::forget(&mut change, id).await?;
        Ok(self.confirmed(change, user, Given::TwoFactors).await?)
    }

    /// Returns the address at which the browser ends the session of the provider that this session began
    /// with, and what the provider is called on the pages. `None`: it began without a provider, or the
    /// provider has no such address.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn provider_log_out(&self) -> Result<Option<(String, String)>, Error> {
        let Some(id) = self.session.current_id().filter(|_| !self.providers.is_empty()) else {
            return Ok(None);
        };
        let identity = {
            let mut db = self.accounts.db.read().await?;
            match sessions::identity_of(&mut db, id).await? {
                Some(id) => identity::find_by_id(&mut db, id).await?,
                None => None,
            }
        };
        let provider = identity.and_then(|identity| self.providers.of_issuer(&identity.issuer));
        let Some(provider) = provider else { return Ok(None) };
        let (back, now) = (self.absolute("/login"), self.accounts.clock.now());
        let address = provider.end_session(&back, now).await;
        Ok(address.map(|address| (provider.label().to_owned(), address)))
    }

    fn callback(&self, provider: &Provider) -> String {
        self.absolute(&format!("/login/with/{}/callback", provider.name()))
    }

    /// Returns the address of our page `path`. It begins with `site.url`, and never with what the request
    /// names as its host, which anybody can choose.
    fn absolute(&self, path: &str) -> String {
        let origin = self.config.site.url.as_deref().unwrap_or_default();
        format!("{}{}", origin.trim_end_matches('/'), self.base.join(path))
    }

    fn family(&self) -> Option<String> {
        self.session.family().map(TokenId::to_hex)
    }

    /// Returns the id under which it is remembered that a provider has confirmed the user in this session.
    fn asked_id(&self) -> Option<TokenId> {
        let family = self.session.family()?;
        Some(TokenId::of("provider asked", &family.to_hex()))
    }
}

impl ProviderFlow<'_> {
    /// Returns what the visitor went to the provider for.
    pub fn purpose(&self) -> FlowPurpose {
        self.flow.purpose
    }

    /// Returns the page to go to afterwards.
    pub fn next(&self) -> Option<ReturnTo> {
        self.flow.next()
    }

    /// Returns whether the visitor wants to stay logged in.
    pub fn remember(&self) -> bool {
        self.flow.remember
    }

    /// Does what the visitor went to the provider for, if the provider's answer proves who they are.
    ///
    /// A log-in is for the account that the provider's account is connected to, whatever address the
    /// provider names. Without one, and if nobody here has the address and the provider has confirmed
    /// it, there is a new account. An account that has the address already is never connected by that.
    ///
    /// # Errors
    ///
    /// The reasons of [`ProviderAnswerError`]. `Failed` if the database fails, or, with
    /// [`is_throttled()`](Error::is_throttled()), after too many refused answers or sign-ups. The session
    /// then stays as it was.
    pub async fn complete(
        &self,
        answer: ProviderAnswer<'_>,
    ) -> Result<Returned, ProviderAnswerError> {
        let auth = self.auth;
        let user = match self.flow.purpose {
            FlowPurpose::LogIn => None,
            FlowPurpose::Connect | FlowPurpose::Reauthenticate => Some(self.same_user()?),
        };
        let limits: Vec<Limit> = auth.limit_of_address().into_iter().collect();
        auth.begin(&limits, None).await?;
        let brought = self.ask(answer, &limits).await?;
        let done = match user {
            None => self.log_in(&brought, &limits).await,
            Some(user) if self.flow.purpose == FlowPurpose::Connect => {
                self.connect(user, &brought, &limits).await
            }
            Some(user) => self.reauthenticate(user, &brought, &limits).await,
        };
        let name = self.provider.name();
        match &done {
            Ok(Returned::SignedUp(_)) => metrics::provider(name, ProviderEvent::SignedUp),
            Ok(Returned::LoggedIn(_) | Returned::FactorNeeded) => {
                metrics::provider(name, ProviderEvent::LoggedIn);
            }
            Ok(Returned::Connected) => metrics::provider(name, ProviderEvent::Linked),
            Ok(Returned::Reauthenticated | Returned::CodeNeeded) => {
                metrics::provider(name, ProviderEvent::Reauthenticated);
            }
            Err(_) => metrics::provider(name, ProviderEvent::Refused),
        }
        done
    }

    /// Asks the provider what its answer says. No connection is held meanwhile.
    async fn ask(
        &self,
        ProviderAnswer { code, iss, error }: ProviderAnswer<'_>,
        limits: &[Limit],
    ) -> Result<Brought, ProviderAnswerError> {
        let (auth, flow) = (self.auth, &self.flow);
        let (callback, now) = (auth.callback(&self.provider), auth.accounts.clock.now());
        let kept = Kept {
            callback: &callback,
            nonce: &flow.nonce,
            verifier: &flow.verifier,
            is_again: flow.purpose == FlowPurpose::Reauthenticate,
        };
        let (outcome, event, error) =
            match self.provider.brought(kept, Answer { code, iss, error }, now).await {
                Ok(brought) => return Ok(brought),
                Err(ProviderFailure::Down) => (
                    AttemptOutcome::Abandoned,
                    ProviderEvent::Down,
                    ProviderAnswerError::ProviderDown,
                ),
                Err(ProviderFailure::Denied) => (
                    AttemptOutcome::Abandoned,
                    ProviderEvent::Refused,
                    ProviderAnswerError::ProviderDenied,
                ),
                Err(ProviderFailure::Refused(_)) => (
                    AttemptOutcome::Failed,
                    ProviderEvent::Refused,
                    ProviderAnswerError::ProviderRefused,
                ),
            };
        metrics::provider(self.provider.name(), event);
        let mut change = auth.accounts.change().await?;
        change.settle(limits, outcome).await?;
        change.commit().await?;
        Err(error)
    }

    fn said<'b>(&'b self, brought: &'b Brought) -> Said<'b> {
        Said {
            provider: self.provider.name(),
            issuer: &brought.issuer,
            subject: &brought.subject,
            email: brought.email.as_deref(),
        }
    }

    /// Lets the attempt not count against the client's address, and returns `error`.
    async fn give_up<E: Into<ProviderAnswerError>>(
        &self,
        limits: &[Limit],
        error: E,
    ) -> ProviderAnswerError {
        match self.auth.abandon(limits).await {
            Ok(()) => error.into(),
            Err(failed) => failed.into(),
        }
    }

    async fn log_in(
        &self,
        brought: &Brought,
        limits: &[Limit],
    ) -> Result<Returned, ProviderAnswerError> {
        let auth = self.auth;
        let known = {
            let mut db = auth.accounts.db.read().await?;
            identity::find(&mut db, &brought.issuer, &brought.subject).await?
        };
        let email = match known {
            Some(_) => None,
            None => Some(self.new_email(brought, limits).await?),
        };

        let writing = auth.session.writing().await;
        let mut change = auth.accounts.change().await?;
        change.lock_identity(brought).await?;
        // The same visitor may come back twice at the same time.
        let found = identity::find(&mut change, &brought.issuer, &brought.subject).await?;
        match (found, email) {
            (Some(identity), _) => {
                self.enter_by(change, (identity, brought), limits, writing).await
            }
            (None, Some(email)) => {
                let made = self.sign_up(change, &email, brought, limits).await;
                drop(writing);
                match made {
                    Ok(user) => Ok(Returned::SignedUp(user)),
                    Err(error) => Err(self.give_up(limits, error).await),
                }
            }
            // It was disconnected a moment ago.
            (None, None) => {
                drop(change);
                Err(self.give_up(limits, ProviderAnswerError::ProviderRefused).await)
            }
        }
    }

    /// Logs in the user whose identity has come back.
    async fn enter_by(
        &self,
        mut change: Change<'_>,
        (identity, brought): (Identity, &Brought),
        limits: &[Limit],
        writing: rocket::tokio::sync::MutexGuard<'_, ()>,
    ) -> Result<Returned, ProviderAnswerError> {
        let (auth, now) = (self.auth, change.now);
        let account = user::store::find(&mut change, identity.user_id).await?;
        let Account { user, password_hash, disabled_at } =
            account.ok_or(ProviderAnswerError::ProviderRefused)?;
        if disabled_at.is_some() {
            drop(change);
            auth.fail(limits, Some(&user), Some(&user.email)).await?;
            return Err(ProviderAnswerError::Disabled);
        }
        identity::note_use(&mut change, identity.id, self.said(brought), now).await?;
        let via = Some(Via { id: identity.id, sid: brought.sid.clone() });
        let remember = self.flow.remember;
        if self.provider.is_strong() {
            auth.forget_begun(&mut change, user.id).await?;
            let given = Given::TwoFactors;
            let entry = Entry { given, via, ..Entry::with_one_factor(remember) };
            auth.enter::<ProviderAnswerError>(change, &user, limits, entry).await?;
            if !auth.begun.is_empty() {
                auth.pending_cookie.remove(&auth.pending);
            }
            self.remember_way();
            return Ok(Returned::LoggedIn(user));
        }
        let begun = Begun { hash: &password_hash, remember, via };
        let entered =
            auth.admit::<ProviderAnswerError>(change, &user, limits, (begun, writing)).await?;
        self.remember_way();
        Ok(match entered {
            LogIn::LoggedIn(user) => Returned::LoggedIn(user),
            LogIn::FactorNeeded => Returned::FactorNeeded,
        })
    }

    fn remember_way(&self) {
        let auth = self.auth;
        auth.flow_cookies.remember(self.provider.name(), &auth.pending);
    }

    /// Returns the address of the account that a visitor with an unknown identity gets, if there may be
    /// one.
    async fn new_email(
        &self,
        brought: &Brought,
        limits: &[Limit],
    ) -> Result<Email, ProviderAnswerError> {
        let auth = self.auth;
        let email = brought.email.as_deref().filter(|_| brought.is_verified);
        // Without a confirmed address the answer is the same for a known and for an unknown one: a
        // visitor who makes an address up at a careless provider must not learn who has an account.
        let Some(email) = email.and_then(|email| Email::parse(email).ok()) else {
            return Err(self.give_up(limits, ProviderAnswerError::ProviderEmailUnverified).await);
        };
        if auth.find_user_by_email(&email).await?.is_some() {
            return Err(self.give_up(limits, ProviderAnswerError::ProviderEmailTaken).await);
        }
        if !auth.is_registration_open() {
            return Err(self.give_up(limits, ProviderAnswerError::Closed).await);
        }
        if let Err(error) = auth.begin(&auth.limits_of_sign_up(), None).await {
            return Err(self.give_up(limits, error).await);
        }
        Ok(email)
    }

    /// Makes an account with the address that the provider has confirmed, and logs the visitor in to it.
    async fn sign_up(
        &self,
        mut change: Change<'_>,
        email: &Email,
        brought: &Brought,
        limits: &[Limit],
    ) -> Result<User, ProviderAnswerError> {
        let (auth, now) = (self.auth, change.now);
        change.lock_address(email).await?;
        if change.owner(email).await?.is_some() {
            return Err(ProviderAnswerError::ProviderEmailTaken);
        }
        let sign_up = SignUp::by_visitor(email, Fields::new(), false);
        change.before_sign_up::<ProviderAnswerError>(&sign_up).await?;
        let void = auth.hasher.unusable();
        let inserted = user::store::insert(&mut change, email, &void, Some(now), now).await;
        let user = inserted.map_err(|error| match error.is_duplicate_email() {
            true => ProviderAnswerError::ProviderEmailTaken,
            false => error.into(),
        })?;
        change.record(EventKind::SignedUp, &user).await?;
        change.record(EventKind::EmailVerified, &user).await?;
        let name = self.provider.name();
        let id = identity::insert(&mut change, user.id, self.said(brought), now).await?;
        identity::note_use(&mut change, id, self.said(brought), now).await?;
        change.record_detail(EventKind::ProviderLinked, name, &user).await?;
        let device = auth.meet(&mut change, &user, false).await?.token;
        let (given, remember) = (self.given(), self.flow.remember);
        let started = auth.session.start(&mut change, &user, given, remember).await?;
        let via = Via { id, sid: brought.sid.clone() };
        sessions::note_identity(&mut change, started.id(), &via).await?;
        change.settle(limits, AttemptOutcome::Succeeded).await?;
        change.signed_up::<ProviderAnswerError>(&user, &sign_up).await?;
        change.email_verified(&user).await?;
        change.logged_in(&user).await.map_err(HookError::into_refusal::<ProviderAnswerError>)?;
        change.commit_session(auth.session, started).await?;
        auth.device_cookie.send(&device, &auth.pending);
        self.remember_way();
        Ok(user)
    }

    /// Returns the user who is still logged in to the session that has begun this. Without this check,
    /// another user who has logged in since would get the identity of the first one (forced linking).
    fn same_user(&self) -> Result<&User, ProviderAnswerError> {
        let is_same = self.auth.family() == self.flow.session;
        self.auth.session.user().filter(|_| is_same).ok_or(ProviderAnswerError::FlowOver)
    }

    /// Begins a change in the name of `user`, and returns whose identity has come back.
    async fn change_as(
        &self,
        user: &User,
        brought: &Brought,
    ) -> Result<(Change<'_>, Option<Identity>), Error> {
        let mut change = self.auth.accounts.change().await?;
        change.lock_identity(brought).await?;
        self.auth.confirm(&mut change, user).await?;
        let found = identity::find(&mut change, &brought.issuer, &brought.subject).await?;
        Ok((change, found))
    }

    /// Returns what a log-in with the provider counts as.
    fn given(&self) -> Given {
        match self.provider.is_strong() {
            true => Given::TwoFactors,
            false => Given::OneFactor,
        }
    }

    async fn connect(
        &self,
        user: &User,
        brought: &Brought,
        limits: &[Limit],
    ) -> Result<Returned, ProviderAnswerError> {
        let auth = self.auth;
        let _writing = auth.session.writing().await;
        let (mut change, found) = self.change_as(user, brought).await?;
        let now = change.now;
        change.settle(limits, AttemptOutcome::Succeeded).await?;
        match found {
            Some(identity) if identity.user_id == user.id => {
                identity::note_use(&mut change, identity.id, self.said(brought), now).await?;
                change.commit().await?;
                return Ok(Returned::Connected);
            }
            Some(_) => {
                change.commit().await?;
                return Err(ProviderAnswerError::IdentityTaken);
            }
            None if identity::list(&mut change, user.id).await?.len() >= MOST => {
                change.commit().await?;
                return Err(ProviderAnswerError::TooManyIdentities);
            }
            None => {}
        }

        let name = self.provider.name();
        identity::insert(&mut change, user.id, self.said(brought), now).await?;
        let renamed = auth.session.rename(&mut change, None).await?;
        change.record_detail(EventKind::ProviderLinked, name, user).await?;
        let provider = label_of(auth.config, name);
        let content = Content { provider, ..change.content(&user.email) };
        change.notify_factor("provider_linked", user, content).await?;
        change.commit_session(auth.session, renamed).await?;
        Ok(Returned::Connected)
    }

    async fn reauthenticate(
        &self,
        user: &User,
        brought: &Brought,
        limits: &[Limit],
    ) -> Result<Returned, ProviderAnswerError> {
        let auth = self.auth;
        let _writing = auth.session.writing().await;
        let (mut change, found) = self.change_as(user, brought).await?;
        let now = change.now;
        let own = found.filter(|identity| identity.user_id == user.id && brought.is_again);
        let Some(identity) = own else {
            change.settle(limits, AttemptOutcome::Failed).await?;
            change.record(EventKind::ReauthenticationFailed, user).await?;
            change.commit().await?;
            return Err(ProviderAnswerError::IdentityUnknown);
        };
        identity::note_use(&mut change, identity.id, self.said(brought), now).await?;
        change.settle(limits, AttemptOutcome::Succeeded).await?;
        if user.has_factor && !self.provider.is_strong() {
            let id = auth.asked_id().ok_or_else(Error::ended)?;
            done::forget(&mut change, id).await?;
            done::insert(&mut change, id, Act::ProviderAsked, Some(user.id), None, now).await?;
            change.commit().await?;
            return Ok(Returned::CodeNeeded);
        }
        auth.confirmed(change, user, self.given()).await?;
        Ok(Returned::Reauthenticated)
    }
}

impl Change<'_> {
    /// Locks an identity until the change ends, before all other locks: nobody else can look whether it
    /// is somebody's, or connect it.
    async fn lock_identity(&mut self, brought: &Brought) -> Result<(), Error> {
        let Brought { issuer, subject, .. } = brought;
        // The length comes first, so that no two pairs run into each other.
        self.lock(&format!("identity {} {issuer} {subject}", issuer.len())).await
    }
}
