//! What an application does together with an act, in the act's transaction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rocket::tokio::time::timeout;

use super::change::Change;
use crate::db::Transaction;
use crate::error::Error;
use crate::user::{Email, User};
use crate::web::{FieldErrors, Fields};

/// How long a hook may take. Meanwhile nobody else can write to SQLite, and others wait for two seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an application does together with an act on an account. [`Stage::hooks()`](crate::Stage::hooks())
/// takes it.
///
/// Every method does nothing unless you write it. It runs in the transaction of the act, on every way to
/// that act: our pages, mailed links, [`Auth`](crate::Auth), the commands of the application's own program
/// (`command::run()`), and `Browser::sign_in()` in tests. If it returns an error,
/// nothing has happened: there is no row, no session, no cookie, no mail and no event.
///
/// | act | hooks, in this order |
/// |---|---|
/// | sign-up that logs in (`open`, or invited) | `before_sign_up`, `signed_up`, `logged_in` |
/// | sign-up with the address and the password of an account | `logged_in` |
/// | sign-up that mails a link (`confirm`) | `before_sign_up`; what it writes is undone |
/// | the link of that mail | `before_sign_up`, `signed_up`, `email_verified` |
/// | sign-up with a provider | `before_sign_up`, `signed_up`, `email_verified`, `logged_in` |
/// | the link that confirms an account's address | `email_verified` |
/// | a new password by a mailed link, if the address was not confirmed before | `email_verified` |
/// | the link that gives an account another address | `email_changed` |
/// | "this was not me", if it gives an account its address back | `email_changed` |
/// | log-in with a password, a passkey or a provider, `log_in_as()` | `logged_in`, after the second step if there is one |
/// | deletion of an account | `before_delete` |
/// | `user add`, [`Operator::add()`](super::Operator::add()) | `before_sign_up`, `signed_up`; `email_verified` for a confirmed address |
/// | `user delete`, [`Operator::delete()`](super::Operator::delete()) | `before_delete` |
/// | `Browser::sign_in()` of `testing` | those of `user add` if it makes the account, then `logged_in` |
///
/// No hook runs for a password that is given again, a new password, a log-out, or a change that another
/// program makes by SQL.
///
/// # What a hook may do
///
/// Read and write through `tx`, and nothing else. SQLite has one writer, so everybody waits while a hook
/// runs: do not wait for the network in it, and do not write through another connection or through
/// [`Session`](crate::Session), which would wait for this one. A hook that takes longer than two seconds is
/// given up; the act then fails with 503. To tell another system, write a row and send it later.
///
/// Do not look up the address in `users` in `before_sign_up`. Where `accounts.registration` is `confirm`, it
/// must do the same whether or not the address has an account, or strangers learn who has one.
///
/// # Examples
///
/// Only who has an invitation signs up:
///
/// ```rust
/// use rocket_login::auth::{HookError, Hooks, SignUp};
/// use rocket_login::{Transaction, User, sql};
///
/// struct ByInvitation;
///
/// #[rocket::async_trait]
/// impl Hooks for ByInvitation {
///     async fn before_sign_up(
///         &self,
///         tx: &mut Transaction,
///         sign_up: &SignUp,
///     ) -> Result<(), HookError> {
///         let used = sql::query("DELETE FROM invitations WHERE code = $1")
///             .bind(sign_up.field("invitation"))
///             .execute(tx)
///             .await?;
///         match used {
///             0 => Err(HookError::refused("invitation", "unknown", "This invitation is not valid.")),
///             _ => Ok(()),
///         }
///     }
///
///     async fn signed_up(
///         &self,
///         tx: &mut Transaction,
///         user: &User,
///         sign_up: &SignUp,
///     ) -> Result<(), HookError> {
///         sql::query("INSERT INTO profiles (user_id, name) VALUES ($1, $2)")
///             .bind(user.id)
///             .bind(sign_up.field("name"))
///             .execute(tx)
///             .await?;
///         Ok(())
///     }
/// }
///
/// # #[cfg(all(feature = "testing", feature = "sqlite"))]
/// # {
/// use rocket::local::blocking::Client;
/// use rocket_login::Migrations;
/// use rocket_login::testing::{self, blocking::Browser};
///
/// let tables = Migrations::new()
///     .add(1, "invitations", "CREATE TABLE invitations (code TEXT NOT NULL)")
///     .add(2, "first", "INSERT INTO invitations VALUES ('K7QX')")
///     .add(3, "profiles", "CREATE TABLE profiles (user_id BIGINT NOT NULL, name TEXT NOT NULL)");
/// let stage = rocket_login::stage().hooks(ByInvitation).migrations(tables);
/// let client = Client::untracked(rocket::custom(testing::figment()).attach(stage)).unwrap();
///
/// let ada = Browser::new(&client);
/// let mut form = vec![("email", "ada@example.org"), ("password", "correct horse battery")];
/// ada.post("/register", &form).assert_status(422).assert_text("This invitation is not valid.");
///
/// form.push(("invitation", "K7QX"));
/// ada.post("/register", &form).assert_redirect("/account");
/// # }
/// ```
#[rocket::async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Runs before an account is made, and may refuse it with a message at a field.
    ///
    /// Where `accounts.registration` is `confirm`, it runs twice: when the form is sent, so that the
    /// visitor sees the message, and when the mailed link is used. What it writes the first time is undone.
    async fn before_sign_up(
        &self,
        tx: &mut Transaction,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        let _ = (tx, sign_up);
        Ok(())
    }

    /// Runs when an account is made, with what the form of the sign-up had. It may refuse the sign-up as
    /// well, for example if a user name is taken meanwhile.
    async fn signed_up(
        &self,
        tx: &mut Transaction,
        user: &User,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        let _ = (tx, user, sign_up);
        Ok(())
    }

    /// Runs when the address of an account is confirmed for the first time.
    async fn email_verified(&self, tx: &mut Transaction, user: &User) -> Result<(), Error> {
        let _ = (tx, user);
        Ok(())
    }

    /// Runs when an account gets another address, which is confirmed by that. `former` is the address that
    /// it had.
    async fn email_changed(
        &self,
        tx: &mut Transaction,
        user: &User,
        former: &Email,
    ) -> Result<(), Error> {
        let _ = (tx, user, former);
        Ok(())
    }

    /// Runs when a user is logged in, which includes a sign-up that logs in. It may refuse that. A refused
    /// log-in is the event `log_in_refused` in the user's history.
    async fn logged_in(&self, tx: &mut Transaction, user: &User) -> Result<(), HookError> {
        let _ = (tx, user);
        Ok(())
    }

    /// Runs before an account is deleted, and may refuse that. The rows of yours that say
    /// `ON DELETE CASCADE` are still there.
    async fn before_delete(
        &self,
        tx: &mut Transaction,
        user: &User,
        actor: Actor,
    ) -> Result<(), HookError> {
        let _ = (tx, user, actor);
        Ok(())
    }
}

/// The person who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// The visitor whose request it is: the user, or the person who becomes one.
    Visitor,
    /// The operator, by a command or on a page of the application; and `Browser::sign_in()` in tests.
    Operator,
}

/// A sign-up, as the hooks see it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignUp {
    /// The address that signs up.
    pub email: Email,
    /// The fields of the form that are not ours, or those of [`SignUpOptions::fields()`]. The password
    /// is never among them.
    pub fields: Fields,
    /// The person who acts. The operator fills in no form.
    pub actor: Actor,
    /// `true` if the application has [invited](SignUpOptions::invited()) the visitor.
    pub is_invited: bool,
}

impl SignUp {
    /// Returns the text of the field `name` without blanks around it. It is empty if there is no such
    /// field.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_default().trim()
    }

    /// Creates the sign-up of an account that the operator makes, without any field.
    pub fn by_operator(email: Email) -> Self {
        let fields = Fields::new();
        SignUp { email, fields, actor: Actor::Operator, is_invited: false }
    }

    pub(super) fn by_visitor(email: &Email, fields: Fields, is_invited: bool) -> Self {
        SignUp { email: email.clone(), fields, actor: Actor::Visitor, is_invited }
    }
}

/// What an application says about a sign-up on a page of its own, for
/// [`Auth::register_with()`](crate::Auth::register_with()).
///
/// # Examples
///
/// ```rust
/// use rocket_login::auth::SignUpOptions;
/// use rocket_login::web::Fields;
///
/// let fields = Fields::from_iter([("name", "Ada")]);
/// let options = SignUpOptions::new().fields(fields).invited();
/// # drop(options);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it has an effect in `Auth::register_with()`"]
pub struct SignUpOptions {
    pub(super) fields: Fields,
    pub(super) is_invited: bool,
    pub(super) is_by_mail: bool,
}

impl SignUpOptions {
    /// Creates the options of a sign-up on our page.
    pub fn new() -> Self {
        SignUpOptions::default()
    }

    /// Passes `fields` on to the hooks. They may have 8 KiB together, and no NUL.
    pub fn fields(self, fields: Fields) -> Self {
        SignUpOptions { fields, ..self }
    }

    /// Lets the visitor sign up although `accounts.registration` is `closed`. Call it only if the
    /// application has made sure that they may, for example by an invitation.
    pub fn invited(self) -> Self {
        SignUpOptions { is_invited: true, ..self }
    }

    /// Mails a link that makes the account, as if `accounts.registration` were `confirm`.
    pub fn by_mail(self) -> Self {
        SignUpOptions { is_by_mail: true, ..self }
    }

    pub(super) fn sign_up(self, email: &Email) -> SignUp {
        SignUp::by_visitor(email, self.fields, self.is_invited)
    }
}

/// Why a hook stops an act.
///
/// `?` makes one out of [`FieldErrors`], an [`Error`], and an error of a [statement](crate::sql).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HookError {
    /// The visitor is told why, at the fields of the form: 422.
    Refused(FieldErrors),
    /// Something failed: 503 or 500. The visitor learns nothing else, and the log says why.
    Failed(Error),
}

impl HookError {
    /// Creates a refusal at `field`. The field `form` stands for the whole form. `code` is a stable name
    /// for programs.
    pub fn refused(field: &'static str, code: &'static str, message: impl fmt::Display) -> Self {
        HookError::Refused(FieldErrors::of(field, code, message))
    }

    pub(super) fn into_refusal<E: From<FieldErrors> + From<Error>>(self) -> E {
        match self {
            HookError::Refused(errors) => errors.into(),
            HookError::Failed(error) => error.into(),
        }
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookError::Refused(errors) => errors.fmt(f),
            HookError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HookError::Refused(_) => None,
            HookError::Failed(error) => error.source(),
        }
    }
}

impl From<FieldErrors> for HookError {
    fn from(errors: FieldErrors) -> Self {
        HookError::Refused(errors)
    }
}

impl From<Error> for HookError {
    fn from(error: Error) -> Self {
        HookError::Failed(error)
    }
}

impl From<sqlx::Error> for HookError {
    fn from(error: sqlx::Error) -> Self {
        HookError::Failed(error.into())
    }
}

/// The hooks of the application, in the order in which it gave them. They are in managed state.
#[derive(Clone, Default)]
pub struct AttachedHooks(Vec<Arc<dyn Hooks>>);

impl AttachedHooks {
    /// Adds hooks, which run after those that are there.
    pub fn add(&mut self, hooks: impl Hooks) {
        self.0.push(Arc::new(hooks));
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs the hooks before an account is made.
    pub async fn before_sign_up(
        &self,
        tx: &mut Transaction,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        for hooks in &self.0 {
            within("before_sign_up", hooks.before_sign_up(tx, sign_up)).await?;
        }
        Ok(())
    }

    /// Runs the hooks of an account that was made.
    pub async fn signed_up(
        &self,
        tx: &mut Transaction,
        user: &User,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        for hooks in &self.0 {
            within("signed_up", hooks.signed_up(tx, user, sign_up)).await?;
        }
        Ok(())
    }

    /// Runs the hooks of a log-in.
    pub async fn logged_in(&self, tx: &mut Transaction, user: &User) -> Result<(), HookError> {
        for hooks in &self.0 {
            within("logged_in", hooks.logged_in(tx, user)).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for AttachedHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AttachedHooks").field(&self.0.len()).finish()
    }
}

/// Waits for a hook. One that takes too long is dropped, and then the transaction that it ran in.
async fn within<E: From<Error>>(
    name: &'static str,
    hook: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    timeout(PATIENCE, hook).await.unwrap_or_else(|_| Err(Error::slow_hook(name).into()))
}

/// The hooks run last in a change: it takes its own locks first, so that the application's rows are always
/// locked after ours.
impl Change<'_> {
    pub async fn before_sign_up<E>(&mut self, sign_up: &SignUp) -> Result<(), E>
    where
        E: From<FieldErrors> + From<Error>,
    {
        let hooks = self.accounts.hooks;
        hooks.before_sign_up(self, sign_up).await.map_err(HookError::into_refusal)
    }

    pub async fn signed_up<E>(&mut self, user: &User, sign_up: &SignUp) -> Result<(), E>
    where
        E: From<FieldErrors> + From<Error>,
    {
        let hooks = self.accounts.hooks;
        hooks.signed_up(self, user, sign_up).await.map_err(HookError::into_refusal)
    }

    pub async fn logged_in(&mut self, user: &User) -> Result<(), HookError> {
        let hooks = self.accounts.hooks;
        hooks.logged_in(self, user).await
    }

    pub async fn before_delete<E>(&mut self, user: &User, actor: Actor) -> Result<(), E>
    where
        E: From<FieldErrors> + From<Error>,
    {
        for hooks in &self.accounts.hooks.0 {
            let hook = hooks.before_delete(self, user, actor);
            within("before_delete", hook).await.map_err(HookError::into_refusal::<E>)?;
        }
        Ok(())
    }

    pub async fn email_verified(&mut self, user: &User) -> Result<(), Error> {
        for hooks in &self.accounts.hooks.0 {
            within("email_verified", hooks.email_verified(self, user)).await?;
        }
        Ok(())
    }

    pub async fn email_changed(&mut self, user: &User, former: &Email) -> Result<(), Error> {
        for hooks in &self.accounts.hooks.0 {
            within("email_changed", hooks.email_changed(self, user, former)).await?;
        }
        Ok(())
    }
}
