//! The acts of the operator on accounts, behind the commands and an administrator's pages.

use rocket::{Phase, Rocket};

use super::change::{Accounts, Change};
use super::hooks::{Actor, AttachedHooks, SignUp};
use super::search::{self, Account, AccountPage, AccountSearch};
use super::ways_in::identities;
use super::{Auth, DisconnectError, EndSessionError, Factors, RemoveFactorError, UserSession};
use crate::base::Base;
use crate::client::Client;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, HIGHEST_ACCOUNT_LIMIT};
use crate::db::{Db, Pool};
use crate::device;
use crate::error::Error;
use crate::factor;
use crate::factor::pending;
use crate::history::EventKind;
use crate::link::{self, Purpose};
use crate::mail::{Content, Mail};
use crate::metrics::{self, ProviderEvent};
use crate::password::{Hasher, NewPassword, PasswordError, PasswordHash};
use crate::session::Session;
use crate::session::life::handle;
use crate::session::store::{self as sessions, Part};
use crate::user::store::Account as Stored;
use crate::user::{self, Email, RoleName, User};
use crate::web::{FieldErrors, Fields};

refusals! {
    /// Why [`Operator::add()`] made no account.
    AddError {
        EmailTaken = "This address already has an account.",
        EmailReserved,
        ;
        /// The password is known from a breach.
        Password(PasswordError),
        /// A [hook](super::Hooks::before_sign_up()) of the application has refused it.
        Refused(FieldErrors),
    }
}

refusals! {
    /// Why an act of the [`Operator`] on an account was not done.
    AccountError {
        NoSuchUser,
        /// Only from [`Operator::disable()`], [`Operator::delete()`] and [`Operator::revoke()`].
        OwnAccount,
        ;
        /// A [hook](super::Hooks::before_delete()) of the application has refused the deletion.
        Refused(FieldErrors),
    }
}

refusals! {
    /// Why [`Operator::grant()`] gave no role.
    GrantError { NoSuchUser, TooManyRoles }
}

refusals! {
    /// Why [`Operator::reset_link()`] made no link, or [`Operator::mail_reset_link()`] mailed none.
    ResetLinkError {
        NoSuchUser,
        Disabled = "This account is disabled. Enable it first.",
        /// Only from [`Operator::mail_reset_link()`].
        NoMail = "This site sends no mail.",
    }
}

/// The acts on all accounts, for an administrator's pages and for programs.
///
/// They need no password, and they are recorded in the history of the account as acts of the
/// operator. Running instances see them at once.
///
///   * [`Auth::operator()`] makes one for an administrator who is logged in. **It does not check that
///     the user is an administrator.** The guards of the route do that. Take
///     [`RecentLogin`](crate::RecentLogin) as well, because these acts can take any account over.
///   * [`of()`](Self::of()) makes one for a program: a task in the background, or a test.
///   * [The commands](crate::command) do the same acts.
///
/// # Examples
///
/// ```rust
/// # use rocket::post;
/// use rocket::response::Redirect;
/// use rocket_login::auth::AccountError;
/// use rocket_login::{Auth, RecentLogin};
///
/// const ADMINISTRATOR: &str = "ada@example.org";
///
/// #[post("/admin/users/<id>/disable")]
/// async fn disable(
///     id: i64,
///     admin: RecentLogin<'_>,
///     auth: Auth<'_>,
/// ) -> Result<Option<Redirect>, AccountError> {
///     if admin.email != ADMINISTRATOR {
///         return Ok(None);
///     }
///     let operator = auth.operator(&admin);
///     let Some(account) = operator.find(id).await? else { return Ok(None) };
///     operator.disable(&account.user).await?;
///     Ok(Some(Redirect::to("/admin/users")))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Operator<'a> {
    db: &'a Pool,
    clock: &'a Clock,
    mail: &'a Mail,
    config: &'a Config,
    base: &'a Base,
    hashers: Hashers<'a>,
    client: Client,
    hooks: &'a AttachedHooks,
    /// The administrator who acts, and their session. `None`: a program acts.
    by: Option<(i64, &'a Session)>,
}

/// The parts of a site that a command acts on.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub struct OperatedSite {
    db: Pool,
    clock: Clock,
    mail: Mail,
    config: Config,
    base: Base,
    hooks: AttachedHooks,
}

#[cfg(feature = "cli")]
impl OperatedSite {
    /// Returns the site with the pages under `base`, whose acts run `hooks`, and which sends no mail.
    pub fn new(db: Pool, config: Config, base: Base, hooks: AttachedHooks) -> Self {
        OperatedSite { db, clock: Clock::system(), mail: Mail::off(), config, base, hooks }
    }

    /// Leaves the mails of the acts to the running site, which sends them.
    pub fn with_mail(self, mail: Mail) -> Self {
        OperatedSite { mail, ..self }
    }

    /// Returns the acts of a command.
    pub fn operator(&self) -> Operator<'_> {
        let OperatedSite { db, clock, mail, config, base, hooks } = self;
        let (hashers, client) = (Hashers::Startable, Client::operator());
        Operator { db, clock, mail, config, base, hashers, client, hooks, by: None }
    }
}

/// What hashes the password of a new account.
#[derive(Debug, Clone)]
enum Hashers<'a> {
    /// The site's own.
    Running(&'a Hasher),
    /// One that is started if it is needed.
    #[cfg(feature = "cli")]
    Startable,
}

/// An account that [`Operator::add()`] makes. Without a password the user can log in only after a
/// reset.
#[derive(Debug, Clone)]
#[must_use = "there is no account before it is given to `Operator::add()`"]
pub struct NewAccount {
    email: Email,
    password: Option<Given>,
    created_at: Option<Timestamp>,
    is_verified: bool,
    fields: Fields,
}

#[derive(Debug, Clone)]
enum Given {
    Password(NewPassword),
    Hash(PasswordHash),
}

impl NewAccount {
    /// Begins an account of the address `email`, which is not confirmed.
    pub fn new(email: Email) -> Self {
        let fields = Fields::new();
        NewAccount { email, password: None, created_at: None, is_verified: false, fields }
    }

    /// Sets the password.
    pub fn password(mut self, password: NewPassword) -> Self {
        self.password = Some(Given::Password(password));
        self
    }

    /// Sets the hash of the password, from another program. [`PasswordHash::parse()`] reads it. If
    /// it has other parameters than `[default.password]` says, the next log-in replaces it.
    pub fn password_hash(mut self, hash: PasswordHash) -> Self {
        self.password = Some(Given::Hash(hash));
        self
    }

    /// Sets when the account was made, in seconds since 1970. Otherwise it is made now.
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.created_at = Some(at);
        self
    }

    /// Says that the user was shown to read the mail of the address.
    pub fn verified(mut self) -> Self {
        self.is_verified = true;
        self
    }

    /// Passes `fields` on to the [hooks](super::Hooks).
    pub fn fields(mut self, fields: Fields) -> Self {
        self.fields = fields;
        self
    }
}

impl Auth<'_> {
    /// Returns the acts on all accounts, in the name of the administrator `by`, who is logged in.
    ///
    /// It does not check that they are an administrator. Each act confirms that they are still
    /// logged in. The record of an act says "The operator"; the row and the log have the address of
    /// this request.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let operator = auth.operator(user);
    /// let account = operator.find(user.id).await.expect("an answer").expect("an account");
    /// assert_eq!((account.sessions, account.failed_log_ins), (1, 0));
    /// # });
    /// ```
    pub fn operator(&self, by: &User) -> Operator<'_> {
        Operator {
            db: self.accounts.db,
            clock: self.accounts.clock,
            mail: self.accounts.mail,
            config: self.config,
            base: self.base,
            hashers: Hashers::Running(self.hasher),
            client: self.accounts.client.as_operator(),
            hooks: self.accounts.hooks,
            by: Some((by.id, self.session)),
        }
    }
}

impl<'a> Operator<'a> {
    /// Returns the acts of a program. `None`: [`stage()`](crate::stage()) is not attached to
    /// `rocket`, or has not been ignited yet.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket::fairing::AdHoc;
    /// use rocket_login::auth::{AccountSearch, Operator};
    ///
    /// let count = AdHoc::on_liftoff("Count", |rocket| {
    ///     Box::pin(async move {
    ///         let operator = Operator::of(rocket).expect("the stage is attached");
    ///         let disabled = AccountSearch::new().disabled();
    ///         match operator.list(&disabled).await {
    ///             Ok(page) => log::info!("{} accounts are disabled", page.accounts.len()),
    ///             Err(error) => log::warn!("{error}"),
    ///         }
    ///     })
    /// });
    /// # drop(count);
    /// ```
    pub fn of<P: Phase>(rocket: &'a Rocket<P>) -> Option<Self> {
        Some(Operator {
            db: rocket.state::<Db>()?,
            clock: rocket.state()?,
            mail: rocket.state()?,
            config: rocket.state()?,
            base: rocket.state()?,
            hashers: Hashers::Running(rocket.state()?),
            client: Client::operator(),
            hooks: rocket.state()?,
            by: None,
        })
    }

    /// Returns a page of the accounts that `search` selects, in the order of their addresses. It
    /// asks the database once.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn list(&self, search: &AccountSearch) -> Result<AccountPage, Error> {
        search::list(&mut self.db.read().await?, search, self.clock.now()).await
    }

    /// Returns the account with the id `id`. `None`: there is no such account.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn find(&self, id: i64) -> Result<Option<Account>, Error> {
        search::find(&mut self.db.read().await?, id, self.clock.now()).await
    }

    /// Returns the account of `email`, in any case. `None`: there is no such account.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn find_by_email(&self, email: &Email) -> Result<Option<Account>, Error> {
        search::find_by_email(&mut self.db.read().await?, email, self.clock.now()).await
    }

    /// Makes an account and returns its user. No mail is sent.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Email;
    /// use rocket_login::auth::{AddError, NewAccount};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let operator = auth.operator(user);
    /// let bob = Email::parse("bob@example.org").unwrap();
    /// let password = auth.new_password("wooden battery horse", &bob).unwrap();
    /// let added = operator.add(NewAccount::new(bob).password(password).verified()).await;
    /// assert!(added.expect("a new account").verified_at.is_some());
    ///
    /// let refused = operator.add(NewAccount::new(user.email.clone())).await.unwrap_err();
    /// assert!(matches!(refused, AddError::EmailTaken));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`AddError`]. `Failed` if the database or the hashing workers fail.
    pub async fn add(&self, account: NewAccount) -> Result<User, AddError> {
        let NewAccount { email, password, created_at, is_verified, fields } = account;
        fields.refuse_nul()?;
        let hash = self.hash(password).await?;
        let mut change = self.begin().await?;
        change.lock_address(&email).await?;
        self.confirm(&mut change, None).await?;
        if let Some(owner) = change.owner(&email).await? {
            return Err(match owner.user.email.is_same(&email) {
                true => AddError::EmailTaken,
                false => AddError::EmailReserved,
            });
        }

        let sign_up = SignUp { fields, ..SignUp::by_operator(email.clone()) };
        change.before_sign_up::<AddError>(&sign_up).await?;
        let created_at = created_at.unwrap_or(change.now);
        let verified_at = is_verified.then_some(created_at);
        let user = user::store::insert(&mut change, &email, &hash, verified_at, created_at).await?;
        change.record(EventKind::SignedUp, &user).await?;
        change.signed_up::<AddError>(&user, &sign_up).await?;
        if is_verified {
            change.email_verified(&user).await?;
        }
        change.commit().await?;
        Ok(user)
    }

    /// Disables the account: nobody can log in to it, and its sessions and links end.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::Email;
    /// use rocket_login::auth::{AccountError, NewAccount};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # let bob = Email::parse("bob@example.org").unwrap();
    /// let operator = auth.operator(user);
    /// let bob = operator.add(NewAccount::new(bob)).await.expect("a new account");
    /// operator.disable(&bob).await.expect("the account is disabled");
    ///
    /// let refused = operator.disable(user).await.unwrap_err();
    /// assert!(matches!(refused, AccountError::OwnAccount));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchUser`](AccountError::NoSuchUser), and [`OwnAccount`](AccountError::OwnAccount) for the
    /// account of the administrator who acts. `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the administrator is not logged in any more.
    pub async fn disable(&self, user: &User) -> Result<(), AccountError> {
        self.refuse_own(user)?;
        let mut ended = 0;
        self.act(user, async |change, account| {
            let (id, now) = (account.user.id, change.now);
            user::store::set_disabled(change, id, Some(account.disabled_at.unwrap_or(now))).await?;
            ended = change.end_sessions(id, None).await?;
            link::end_all(change, id).await?;
            change.record(EventKind::Disabled, &account.user).await
        })
        .await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Undoes [`disable()`](Self::disable()). Ended sessions stay ended. If the account was
    /// disabled by SQL, its sessions end now.
    ///
    /// # Errors
    ///
    /// [`NoSuchUser`](AccountError::NoSuchUser). `Failed` as in [`disable()`](Self::disable()).
    pub async fn enable(&self, user: &User) -> Result<(), AccountError> {
        self.act(user, async |change, account| {
            let id = account.user.id;
            if account.disabled_at.is_some() {
                change.end_sessions(id, None).await?;
            }
            user::store::set_disabled(change, id, None).await?;
            change.record(EventKind::Enabled, &account.user).await
        })
        .await
    }

    /// Deletes the account and everything that is stored about it, at once and for good. Rows of
    /// the application that reference `users (id) ON DELETE CASCADE` are deleted as well.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::Email;
    /// use rocket_login::auth::{AccountError, NewAccount};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # let bob = Email::parse("bob@example.org").unwrap();
    /// let operator = auth.operator(user);
    /// let bob = operator.add(NewAccount::new(bob)).await.expect("a new account");
    /// operator.delete(&bob).await.expect("the account is gone");
    ///
    /// let refused = operator.delete(&bob).await.unwrap_err();
    /// assert!(matches!(refused, AccountError::NoSuchUser));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`disable()`](Self::disable()), and [`Refused`](AccountError::Refused).
    pub async fn delete(&self, user: &User) -> Result<(), AccountError> {
        self.refuse_own(user)?;
        let mut ended = 0;
        self.act(user, async |change, account| {
            ended = change.end_sessions(account.user.id, None).await?;
            change.before_delete::<AccountError>(&account.user, Actor::Operator).await?;
            user::store::delete(change, &account.user).await?;
            change.note(EventKind::Deleted, Some(account.user.id), Some(&account.user.email));
            Ok::<(), AccountError>(())
        })
        .await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Deletes the failed log-ins, and ends the delays that they have caused.
    ///
    /// # Errors
    ///
    /// As [`enable()`](Self::enable()).
    pub async fn unlock(&self, user: &User) -> Result<(), AccountError> {
        self.act(user, async |change, account| {
            change.forget_failures(&account.user.email).await?;
            change.forget_factor_failures(account.user.id).await?;
            change.record(EventKind::Unlocked, &account.user).await
        })
        .await
    }

    /// Returns the second factors of the user, and their accounts at providers.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn factors(&self, user: &User) -> Result<Factors, Error> {
        let (mut db, now) = (self.db.read().await?, self.clock.now());
        Factors::read(&mut db, user.id, now, self.config).await
    }

    /// Removes the factor `id` of the user, for somebody who has lost it, and ends their sessions. The
    /// owner is told by mail. Make sure that it is the owner who asks: afterwards the password alone
    /// opens the account.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::RemoveFactorError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let operator = auth.operator(user);
    /// let refused = operator.remove_factor(user, 7).await.unwrap_err();
    /// assert!(matches!(refused, RemoveFactorError::NoSuchFactor));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchFactor`](RemoveFactorError::NoSuchFactor), also for a user who does not exist any more.
    /// `Failed` as in [`disable()`](Self::disable()).
    pub async fn remove_factor(&self, user: &User, id: i64) -> Result<(), RemoveFactorError> {
        let mut change = self.begin().await?;
        self.confirm(&mut change, Some(user.id)).await?;
        let account = user::store::find(&mut change, user.id).await?;
        let user = account.ok_or(RemoveFactorError::NoSuchFactor)?.user;
        if !change.remove_factor(&user, id, None).await? {
            return Err(RemoveFactorError::NoSuchFactor);
        }
        let ended = change.end_sessions(user.id, None).await?;
        change.commit().await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Makes the recovery codes of the user void, and ends their sessions, like
    /// [`remove_factor()`](Self::remove_factor()).
    ///
    /// # Errors
    ///
    /// As [`enable()`](Self::enable()).
    pub async fn void_recovery_codes(&self, user: &User) -> Result<(), AccountError> {
        let mut ended = 0;
        self.act(user, async |change, Stored { user, .. }| {
            let now = change.now;
            factor::store::void_codes(change, user.id, now).await?;
            ended = change.end_sessions(user.id, None).await?;
            change.record_detail(EventKind::FactorRemoved, "recovery_codes", user).await?;
            let factor = "recovery codes".into();
            let content = Content { factor, ..change.content(&user.email) };
            change.notify_factor("factor_removed", user, content).await
        })
        .await?;
        metrics::ended(ended);
        Ok(())
    }

    /// Disconnects the account at a provider, `id`, from the account of the user, and ends their sessions,
    /// like [`remove_factor()`](Self::remove_factor()). [`factors()`](Self::factors()) returns the ids.
    /// An account that has no password, and nothing else, then needs
    /// [`reset_link()`](Self::reset_link()).
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::DisconnectError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let operator = auth.operator(user);
    /// let refused = operator.disconnect_provider(user, 7).await.unwrap_err();
    /// assert!(matches!(refused, DisconnectError::NotConnected));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotConnected`](DisconnectError::NotConnected), also for a user who does not exist any more.
    /// `Failed` as in [`disable()`](Self::disable()).
    pub async fn disconnect_provider(&self, user: &User, id: i64) -> Result<(), DisconnectError> {
        let mut change = self.begin().await?;
        self.confirm(&mut change, Some(user.id)).await?;
        let account = user::store::find(&mut change, user.id).await?;
        let user = account.ok_or(DisconnectError::NotConnected)?.user;
        let found = identities(&mut change, user.id, self.config).await?;
        let identity = found.into_iter().find(|identity| identity.id == id);
        let identity = identity.ok_or(DisconnectError::NotConnected)?;
        change.disconnect(&user, &identity).await?;
        let ended = change.end_sessions(user.id, None).await?;
        change.commit().await?;
        metrics::ended(ended);
        metrics::provider(&identity.provider, ProviderEvent::Unlinked);
        Ok(())
    }

    /// Removes all second factors of the user with their recovery codes, disconnects all their accounts at
    /// providers, and ends their sessions, like [`remove_factor()`](Self::remove_factor()). Afterwards
    /// the password alone opens the account. Returns how many factors and accounts at providers there
    /// were together.
    ///
    /// # Errors
    ///
    /// As [`enable()`](Self::enable()).
    pub async fn remove_all_factors(&self, user: &User) -> Result<usize, AccountError> {
        let (mut removed, mut ended, mut disconnected) = (0, 0, Vec::new());
        self.act(user, async |change, Stored { user, .. }| {
            for factor in factor::store::list(change, user.id).await? {
                change.remove_factor(user, factor.id, None).await?;
                removed += 1;
            }
            // Somebody else may have connected one of them, and would get in with it without the password.
            disconnected = identities(change, user.id, self.config).await?;
            for identity in &disconnected {
                change.disconnect(user, identity).await?;
            }
            let now = change.now;
            factor::store::void_codes(change, user.id, now).await?;
            ended = change.end_sessions(user.id, None).await?;
            Ok::<(), Error>(())
        })
        .await?;
        metrics::ended(ended);
        for identity in &disconnected {
            metrics::provider(&identity.provider, ProviderEvent::Unlinked);
        }
        Ok(removed + disconnected.len())
    }

    /// Gives the user the role. If they have it already, nothing changes. Every instance sees the role
    /// with the user's next request, and their sessions stay.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::Email;
    /// use rocket_login::RoleName;
    /// use rocket_login::auth::{GrantError, NewAccount};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # let bob = Email::parse("bob@example.org").unwrap();
    /// let operator = auth.operator(user);
    /// let editor = RoleName::parse("editor").unwrap();
    /// operator.grant(user, &editor).await.expect("Ada is an editor");
    ///
    /// # let bob = operator.add(NewAccount::new(bob)).await.unwrap();
    /// operator.delete(&bob).await.unwrap();
    /// let refused = operator.grant(&bob, &editor).await.unwrap_err();
    /// assert!(matches!(refused, GrantError::NoSuchUser));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchUser`](GrantError::NoSuchUser) and [`TooManyRoles`](GrantError::TooManyRoles). `Failed`
    /// as in [`disable()`](Self::disable()).
    pub async fn grant(&self, user: &User, role: &RoleName) -> Result<(), GrantError> {
        let mut change = self.begin().await?;
        self.confirm(&mut change, Some(user.id)).await?;
        let account = user::store::find(&mut change, user.id).await?;
        let user = account.ok_or(GrantError::NoSuchUser)?.user;
        let roles = user.roles.with(role).ok_or(GrantError::TooManyRoles)?;
        if roles != user.roles {
            user::store::set_roles(&mut change, user.id, &roles).await?;
            change.record_detail(EventKind::RoleGranted, role, &user).await?;
        }
        Ok(change.commit().await?)
    }

    /// Takes the role from the user. If they do not have it, nothing changes.
    ///
    /// # Errors
    ///
    /// As [`disable()`](Self::disable()).
    pub async fn revoke(&self, user: &User, role: &RoleName) -> Result<(), AccountError> {
        self.refuse_own(user)?;
        self.act(user, async |change, Stored { user, .. }| {
            let roles = user.roles.without(role);
            if roles == user.roles {
                return Ok(());
            }
            user::store::set_roles(change, user.id, &roles).await?;
            change.record_detail(EventKind::RoleRevoked, role, user).await
        })
        .await
    }

    /// Makes a link to a new password and returns it, for you to hand on. It begins with the path
    /// if `site.url` is not known. It works once, and does not confirm the address, because nobody
    /// has read a mail. The link before it stops working.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::ResetLinkError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let operator = auth.operator(user);
    /// let link = operator.reset_link(user).await.expect("a link");
    /// assert!(link.contains("/reset/"));
    ///
    /// # site.disable().await; // as another administrator does
    /// # let operator = rocket_login::auth::Operator::of(site.rocket()).unwrap();
    /// let refused = operator.reset_link(user).await.unwrap_err();
    /// assert!(matches!(refused, ResetLinkError::Disabled));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchUser`](ResetLinkError::NoSuchUser) and [`Disabled`](ResetLinkError::Disabled). `Failed` as
    /// in [`disable()`](Self::disable()).
    pub async fn reset_link(&self, user: &User) -> Result<String, ResetLinkError> {
        let (mut change, user) = self.begin_reset(user).await?;
        let token = change.print_link(Purpose::Reset, &user).await?;
        change.record(EventKind::ResetAsked, &user).await?;
        change.commit().await?;
        let origin = self.config.site.url.as_deref().unwrap_or_default();
        Ok(format!("{origin}{}", self.base.join(format_args!("/reset/{}", *token.to_text()))))
    }

    /// Mails a link to a new password to the user. `throttle.mails` does not apply. The link before
    /// it stops working.
    ///
    /// # Errors
    ///
    /// The reasons of [`ResetLinkError`]. `Failed` as in [`disable()`](Self::disable()).
    pub async fn mail_reset_link(&self, user: &User) -> Result<(), ResetLinkError> {
        if !self.mail.is_on() {
            return Err(ResetLinkError::NoMail);
        }
        let (mut change, user) = self.begin_reset(user).await?;
        change.record(EventKind::ResetAsked, &user).await?;
        change.mail_link("reset", Purpose::Reset, &user, &user.email).await?;
        change.commit().await?;
        Ok(())
    }

    /// Returns the user's sessions, the last used first, and 10,000 at most. Only an account from
    /// before there was a `session.account_limit` has more.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn sessions(&self, user: &User) -> Result<Vec<UserSession>, Error> {
        let part = Part { limit: HIGHEST_ACCOUNT_LIMIT, offset: 0 };
        let (mut db, now) = (self.db.read().await?, self.clock.now());
        let listed = sessions::list(&mut db, user.id, None, part, now).await?;
        Ok(listed.into_iter().map(|listed| UserSession::of(listed, self.config)).collect())
    }

    /// Ends the user's sessions and returns how many ended.
    ///
    /// # Errors
    ///
    /// As [`enable()`](Self::enable()).
    pub async fn end_sessions(&self, user: &User) -> Result<u64, AccountError> {
        let mut ended = 0;
        self.act(user, async |change, account| {
            ended = change.end_sessions(account.user.id, None).await?;
            change.record(EventKind::SessionsEnded, &account.user).await
        })
        .await?;
        metrics::ended(ended);
        Ok(ended)
    }

    /// Ends the session of the user whose [`handle`](UserSession::handle) is `name`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::EndSessionError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # let operator = rocket_login::auth::Operator::of(site.rocket()).unwrap();
    /// let sessions = operator.sessions(user).await.expect("an answer");
    /// let name = &sessions[0].handle;
    /// operator.end_session(user, name).await.expect("the session is ended");
    ///
    /// let refused = operator.end_session(user, name).await.unwrap_err();
    /// assert!(matches!(refused, EndSessionError::NoSuchSession));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchSession`](EndSessionError::NoSuchSession), also for a user who does not exist any more.
    /// `Failed` as in [`disable()`](Self::disable()).
    pub async fn end_session(&self, user: &User, name: &str) -> Result<(), EndSessionError> {
        let families = {
            let (mut db, now) = (self.db.read().await?, self.clock.now());
            sessions::families(&mut db, user.id, now).await?
        };
        let family = families.into_iter().find(|family| handle(*family) == name);
        let family = family.ok_or(EndSessionError::NoSuchSession)?;

        let mut change = self.begin().await?;
        self.confirm(&mut change, Some(user.id)).await?;
        let account = user::store::find(&mut change, user.id).await?;
        let user = account.ok_or(EndSessionError::NoSuchSession)?.user;
        if !sessions::delete(&mut change, family).await? {
            return Err(EndSessionError::NoSuchSession);
        }
        change.record(EventKind::SessionEnded, &user).await?;
        change.commit().await?;
        metrics::ended(1);
        Ok(())
    }

    /// Ends the sessions of all users and visitors and returns how many ended.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if the administrator is not
    /// logged in any more.
    pub async fn end_all_sessions(&self) -> Result<u64, Error> {
        let mut change = self.begin().await?;
        change.take_time().await?;
        self.confirm(&mut change, None).await?;
        let now = change.now;
        pending::end_all(&mut change, now).await?;
        device::distrust_all(&mut change).await?;
        let ended = sessions::delete_all(&mut change).await?;
        change.note(EventKind::SessionsEnded, None, None);
        change.commit().await?;
        metrics::ended(ended);
        Ok(ended)
    }

    /// Runs `act` on the account of `user` in one change.
    async fn act<E: Into<AccountError>>(
        &self,
        user: &User,
        act: impl AsyncFnOnce(&mut Change<'_>, &Stored) -> Result<(), E>,
    ) -> Result<(), AccountError> {
        let mut change = self.begin().await?;
        self.confirm(&mut change, Some(user.id)).await?;
        let account = user::store::find(&mut change, user.id).await?;
        let account = account.ok_or(AccountError::NoSuchUser)?;
        act(&mut change, &account).await.map_err(Into::into)?;
        change.commit().await?;
        Ok(())
    }

    async fn begin_reset(&self, user: &User) -> Result<(Change<'_>, User), ResetLinkError> {
        let mut change = self.begin().await?;
        self.confirm(&mut change, Some(user.id)).await?;
        let account = user::store::find(&mut change, user.id).await?;
        let Stored { user, disabled_at, .. } = account.ok_or(ResetLinkError::NoSuchUser)?;
        match disabled_at {
            Some(_) => Err(ResetLinkError::Disabled),
            None => Ok((change, user)),
        }
    }

    async fn begin(&self) -> Result<Change<'_>, Error> {
        let Operator { db, clock, mail, config, client, hooks, .. } = self;
        let (config, throttle) = (&config.accounts, &config.throttle);
        Accounts { db, clock, mail, config, throttle, client, hooks }.change().await
    }

    /// Makes sure that the administrator is still logged in. It locks them and the user `other`, in
    /// the order of their ids: otherwise two administrators who act on each other would wait for
    /// each other.
    async fn confirm(&self, change: &mut Change<'_>, other: Option<i64>) -> Result<(), Error> {
        let Some((by, session)) = self.by else { return Ok(()) };
        let mut users = [other.unwrap_or(by), by];
        users.sort_unstable();
        for id in users {
            user::store::find(change, id).await?;
        }
        session.confirm(change, by).await
    }

    /// Refuses an act with which administrators would lock themselves out.
    fn refuse_own(&self, user: &User) -> Result<(), AccountError> {
        match self.by {
            Some((by, _)) if by == user.id => Err(AccountError::OwnAccount),
            _ => Ok(()),
        }
    }

    /// Returns the hash of the password of a new account. Without one it is a hash that no password
    /// matches.
    async fn hash(&self, password: Option<Given>) -> Result<PasswordHash, AddError> {
        let new = match password {
            Some(Given::Hash(hash)) => return Ok(hash),
            Some(Given::Password(new)) => Some(new),
            None => None,
        };
        #[cfg(feature = "cli")]
        let started;
        #[cfg_attr(
            not(feature = "cli"),
            expect(
                clippy::infallible_destructuring_match,
                reason = "without the commands a hasher always runs"
            )
        )]
        let hasher = match self.hashers {
            Hashers::Running(hasher) => hasher,
            #[cfg(feature = "cli")]
            Hashers::Startable => {
                started = Hasher::start(&self.config.password).map_err(|error| {
                    log::error!("password.concurrent_hashes: {error}");
                    Error::overloaded()
                })?;
                &started
            }
        };
        let Some(new) = new else { return Ok(hasher.unusable()) };
        if let Some(url) = &self.config.password.breached_url
            && new.is_breached(url, &self.client.network()).await?
        {
            return Err(PasswordError::Breached.into());
        }
        Ok(hasher.hash_for(&self.client.network(), new.into()).await?)
    }
}
