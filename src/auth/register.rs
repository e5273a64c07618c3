//! Signs a visitor up.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize};

use super::{Auth, HookError, LogIn, LogInError, SignUp, SignUpOptions};
use crate::config::{Config, Registration};
use crate::cookies::{SealedCookie, SealedCookies};
use crate::error::Error;
use crate::history::EventKind;
use crate::link::Purpose;
use crate::password::{NewPassword, PasswordError, PasswordHash};
use crate::session::Given;
use crate::throttle::Limit;
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};
use crate::web::{FieldErrors, Fields};

/// The purpose of the seal on what is stored with the link of a sign-up.
const SEAL: &str = "login_tokens";

/// How many bytes the fields for the hooks may have.
const MAX_FIELDS: usize = 8 * 1024;

/// The outcome of a sign-up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "nobody is logged in where a mail was sent"]
pub enum Registered {
    /// There is a new account, and the visitor is logged in to it.
    LoggedIn(User),
    /// There was an account already, with this password, and the visitor is logged in to it.
    HadAccount(User),
    /// There was an account already, with this password. It has a second factor, and nobody is logged
    /// in yet: see [`LogIn::FactorNeeded`].
    FactorNeeded,
    /// A mail is on its way, whether or not the address has an account already. Its link makes the
    /// account.
    MailSent,
}

impl Registered {
    /// Returns the user who is logged in. `None`: nobody is.
    pub fn user(&self) -> Option<&User> {
        match self {
            Registered::LoggedIn(user) | Registered::HadAccount(user) => Some(user),
            Registered::FactorNeeded | Registered::MailSent => None,
        }
    }
}

refusals! {
    /// Why [`Auth::register()`] made no account.
    ///
    /// If a link is mailed, nothing but `Closed`, `NoMail`, `Password`, `Refused` and `Failed` is returned:
    /// the answer must not tell whether the address has an account.
    RegisterError {
        Closed,
        /// Another password was given.
        EmailTaken,
        EmailReserved,
        /// The right password was given.
        Disabled,
        /// [`SignUpOptions::by_mail()`] wants a mail.
        NoMail = "Signing up needs an emailed link. Ask the operator of this site for help.",
        ;
        /// The password is known from a breach.
        Password(PasswordError),
        /// A [hook](super::Hooks::before_sign_up()) of the application has refused it, or the fields have
        /// more than 8 KiB or a NUL.
        Refused(FieldErrors),
    }
}

/// The part of a sign-up that is stored with its link.
///
/// The release that opens it may be newer or older than the one that sealed it, and a mailed link must
/// stay good. So a field that is absent has its default, and one that is not known is passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredSignUp {
    fields: Fields,
    is_invited: bool,
}

impl StoredSignUp {
    pub(super) fn sign_up(self, email: &Email) -> SignUp {
        SignUp::by_visitor(email, self.fields, self.is_invited)
    }
}

/// The cookie of a browser in which somebody has signed up, until the address is confirmed. It is
/// in managed state.
#[derive(Debug)]
pub struct SignUpCookie(pub(super) SealedCookie, SealedCookies);

impl SignUpCookie {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        SignUpCookie(SealedCookie::new(config, cookies, "sign-up"), cookies.clone())
    }

    /// Seals what is stored with the link of a sign-up. It may be personal, and the database or a copy of
    /// it may get into other hands.
    fn seal(&self, stored: &StoredSignUp) -> Result<String, Error> {
        let text = serde_json::to_string(stored);
        let text = text.map_err(|_| Error::value::<StoredSignUp>("sign_up"))?;
        Ok(self.1.seal_text(SEAL, text))
    }

    /// Opens what [`seal()`](Self::seal()) has sealed. `None`: it was sealed with a key that is not known
    /// any more.
    pub(super) fn open(&self, sealed: &str) -> Option<StoredSignUp> {
        serde_json::from_str(&self.1.open_text(SEAL, sealed)?).ok()
    }

    pub(super) fn all_of(&self, request: &rocket::Request<'_>) -> Vec<String> {
        self.0.all_of(request)
    }
}

impl Auth<'_> {
    /// Makes an account and logs the visitor in to it, in one transaction. If
    /// `accounts.registration` is `confirm`, it mails a link to the address instead, which makes
    /// the account.
    ///
    /// If the address has an account already, this is a log-in with the password, with all that
    /// belongs to one: a form that was sent twice gets the answer of a form that was sent once, and
    /// people forget that they have signed up. In `confirm` it is not, because nothing may tell
    /// whether the address has an account.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::{RegisterError, Registered};
    /// use rocket_login::{Email, PasswordError};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let email = Email::parse("bob@example.org").unwrap();
    /// assert!(matches!(auth.new_password("short", &email), Err(PasswordError::TooShort(12))));
    /// let password = auth.new_password("wooden battery horse", &email).unwrap();
    /// let registered = auth.register(&email, password.clone()).await.expect("a new account");
    /// assert!(matches!(registered, Registered::LoggedIn(bob) if bob.email == email));
    ///
    /// let taken = Email::parse("ada@example.org").unwrap();
    /// let refused = auth.register(&taken, password).await.unwrap_err();
    /// assert!(matches!(refused, RegisterError::EmailTaken));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`RegisterError`]. `Failed` if the database or the hashing workers fail, or,
    /// with [`is_throttled()`](Error::is_throttled()), after too many sign-ups from one address.
    /// Nothing is stored then.
    pub async fn register(
        &self,
        email: &Email,
        password: NewPassword,
    ) -> Result<Registered, RegisterError> {
        self.register_with(email, password, SignUpOptions::new()).await
    }

    /// Makes an account like [`register()`](Self::register()), as `options` say: with fields for the
    /// [hooks](super::Hooks), for a visitor whom the application has invited, or with a mailed link.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::Email;
    /// use rocket_login::auth::{RegisterError, SignUpOptions};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example_with(("accounts.registration", "closed"), async |auth, site| {
    /// // `accounts.registration` is `closed`.
    /// let email = Email::parse("bob@example.org").unwrap();
    /// let password = auth.new_password("wooden battery horse", &email).unwrap();
    /// let refused = auth.register(&email, password.clone()).await.unwrap_err();
    /// assert!(matches!(refused, RegisterError::Closed));
    ///
    /// // The application has checked the visitor's invitation.
    /// let invited = SignUpOptions::new().invited();
    /// auth.register_with(&email, password, invited).await.expect("a new account");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`register()`](Self::register()), and [`NoMail`](RegisterError::NoMail).
    pub async fn register_with(
        &self,
        email: &Email,
        password: NewPassword,
        options: SignUpOptions,
    ) -> Result<Registered, RegisterError> {
        let is_by_mail =
            options.is_by_mail || self.config.accounts.registration == Registration::Confirm;
        self.check_options(&options)?;
        let sign_up = options.sign_up(email);

        let mails = match is_by_mail {
            true => self.limits_of_mail("sign-up", email),
            false => Vec::new(),
        };
        let limits = [self.limits_of_sign_up(), mails.clone()].concat();
        self.begin(&limits, None).await?;

        // An answer by mail must not depend on whether the address has an account. Otherwise it is not
        // necessary to ask the service for breaches, or to hash a password for nobody.
        if !is_by_mail && self.find_user_by_email(email).await?.is_some() {
            return self.log_in_instead(email, password).await;
        }
        if is_by_mail {
            let asked = self.ask_hooks(&sign_up).await;
            self.unless_refused(&mails, asked).await?;
        }
        let asked = self.refuse_breached::<RegisterError>(&password).await;
        self.unless_refused(&mails, asked).await?;

        let hash = self.hash(password.clone()).await?;
        if is_by_mail {
            self.ask_to_confirm(&sign_up, hash).await?;
            return Ok(Registered::MailSent);
        }
        match self.sign_up(&sign_up, &hash).await {
            // Somebody has signed up with this address a moment ago.
            Err(RegisterError::EmailTaken) => self.log_in_instead(email, password).await,
            done => done,
        }
    }

    /// Refuses what this site cannot do.
    fn check_options(&self, options: &SignUpOptions) -> Result<(), RegisterError> {
        if !(self.is_registration_open() || options.is_invited) {
            return Err(RegisterError::Closed);
        }
        if options.is_by_mail && !self.has_mail() {
            return Err(RegisterError::NoMail);
        }
        if options.fields.size() > MAX_FIELDS {
            let message = "This form is too long. Shorten your answers.";
            return Err(FieldErrors::of("form", "form_too_long", message).into());
        }
        Ok(options.fields.refuse_nul()?)
    }

    /// Asks the hooks whether they refuse a sign-up that mails a link, for a known address like for an
    /// unknown one. What they write is undone.
    async fn ask_hooks(&self, sign_up: &SignUp) -> Result<(), RegisterError> {
        if self.accounts.hooks.is_empty() {
            return Ok(());
        }
        let mut change = self.accounts.change().await?;
        change.before_sign_up(sign_up).await
    }

    /// Lets the mails of a refused sign-up not count: none is sent.
    async fn unless_refused(
        &self,
        mails: &[Limit],
        asked: Result<(), RegisterError>,
    ) -> Result<(), RegisterError> {
        if asked.is_err() {
            self.abandon(mails).await?;
        }
        asked
    }

    /// Logs the visitor in who has signed up with the address of an account.
    async fn log_in_instead(
        &self,
        email: &Email,
        password: NewPassword,
    ) -> Result<Registered, RegisterError> {
        match self.log_in(Some(email), password.into(), false).await {
            Ok(LogIn::LoggedIn(user)) => Ok(Registered::HadAccount(user)),
            Ok(LogIn::FactorNeeded) => Ok(Registered::FactorNeeded),
            Err(LogInError::WrongPassword) => Err(RegisterError::EmailTaken),
            Err(LogInError::Disabled) => Err(RegisterError::Disabled),
            Err(LogInError::Refused(errors)) => Err(errors.into()),
            Err(LogInError::Failed(error)) => Err(error.into()),
        }
    }

    async fn sign_up(
        &self,
        sign_up: &SignUp,
        hash: &PasswordHash,
    ) -> Result<Registered, RegisterError> {
        let email = &sign_up.email;
        let _writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        if let Some(owner) = change.owner(email).await? {
            return Err(match owner.user.email.is_same(email) {
                true => RegisterError::EmailTaken,
                false => RegisterError::EmailReserved,
            });
        }

        // Otherwise somebody who signs up, deletes the account and signs up again could mail the
        // owner of the address without end.
        let may_mail = change.may_mail("sign-up", email).await?;
        change.before_sign_up::<RegisterError>(sign_up).await?;
        let now = change.now;
        let inserted = user::store::insert(&mut change, email, hash, None, now).await;
        let user = inserted.map_err(|error| match error.is_duplicate_email() {
            true => RegisterError::EmailTaken,
            false => error.into(),
        })?;
        change.record(EventKind::SignedUp, &user).await?;
        if may_mail {
            change.mail_link("verify", Purpose::Verify, &user, email).await?;
        }
        let device = self.meet(&mut change, &user, false).await?.token;
        let started = self.session.start(&mut change, &user, Given::OneFactor, false).await?;
        change.signed_up::<RegisterError>(&user, sign_up).await?;
        change.logged_in(&user).await.map_err(HookError::into_refusal::<RegisterError>)?;
        change.commit_session(self.session, started).await?;
        self.device_cookie.send(&device, &self.pending);
        Ok(Registered::LoggedIn(user))
    }

    /// Mails a link that makes the account, or tells the owner of a taken address. Both take as
    /// much work and send as many cookies, or a sign-up would tell strangers who has an account.
    async fn ask_to_confirm(&self, sign_up: &SignUp, hash: PasswordHash) -> Result<(), Error> {
        let (email, kept) = (&sign_up.email, self.kept_with_link(sign_up)?);
        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        let owner = change.owner(email).await?;
        let id = match owner {
            Some(Account { user, .. }) => {
                change.record(EventKind::SignUpRefused, &user).await?;
                change.mail_taken("sign_up_taken", "/login", &user, email).await?;
                change.begin_masked().await?;
                change.pretend_link(email, hash, kept).await?;
                change.end_masked(false).await?;
                Token::generate().id()
            }
            None => {
                change.record_of(EventKind::SignUpAsked, None, Some(email)).await?;
                change.begin_masked().await?;
                let id = change.mail_sign_up(email, hash, kept).await?;
                change.end_masked(true).await?;
                id
            }
        };

        let lifetime = change.lifetime(Purpose::SignUp);
        change.commit().await?;
        self.pending.set(self.sign_up_cookie.0.seal(&text(id), lifetime));
        Ok(())
    }

    /// Returns what the link of a sign-up must remember, sealed. `None`: nothing. Fields that no hook reads
    /// are not stored.
    fn kept_with_link(&self, sign_up: &SignUp) -> Result<Option<String>, Error> {
        let fields = match self.accounts.hooks.is_empty() {
            true => Fields::new(),
            false => sign_up.fields.clone(),
        };
        if fields.is_empty() && !sign_up.is_invited {
            return Ok(None);
        }
        let stored = StoredSignUp { fields, is_invited: sign_up.is_invited };
        self.sign_up_cookie.seal(&stored).map(Some)
    }
}

/// Returns what the cookie holds. It is not the link's token, which only the mail has.
pub(super) fn text(id: TokenId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_another_release_has_mailed_is_still_read() {
        let read = |text| serde_json::from_str::<StoredSignUp>(text).unwrap();
        let fields = Fields::from_iter([("name", "Ada")]);
        for (text, expected) in [
            (r#"{"fields":{"name":"Ada"},"is_invited":true}"#, (&fields, true)),
            (r#"{"fields":{"name":"Ada"}}"#, (&fields, false)),
            (r#"{"is_invited":true,"added_later":[1]}"#, (&Fields::new(), true)),
        ] {
            let kept = read(text);
            assert_eq!((&kept.fields, kept.is_invited), expected, "{text}");
        }
    }
}
