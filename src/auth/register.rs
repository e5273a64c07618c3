//! Signs a visitor up.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::{Auth, LogInError};
use crate::config::{Config, Registration};
use crate::cookies::{SealedCookie, SealedCookies};
use crate::error::Error;
use crate::history::EventKind;
use crate::link::Purpose;
use crate::password::{NewPassword, PasswordError, PasswordHash};
use crate::throttle::AttemptOutcome;
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};

/// The outcome of a sign-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "nobody is logged in where a mail was sent"]
pub enum Registered {
    /// There is a new account, and the visitor is logged in to it.
    LoggedIn,
    /// There was an account already, with this password, and the visitor is logged in to it.
    HadAccount,
    /// A mail is on its way, whether or not the address has an account already. Its link makes the
    /// account.
    MailSent,
}

refusals! {
    /// Why [`Auth::register()`] made no account.
    ///
    /// Where `accounts.registration` is `confirm`, nothing but `Closed`, `Password` and `Failed` is
    /// returned: the answer must not tell whether the address has an account.
    RegisterError {
        Closed,
        /// Another password was given.
        EmailTaken,
        EmailReserved,
        /// The right password was given.
        Disabled,
        ;
        /// The password is known from a breach.
        Password(PasswordError),
    }
}

/// The cookie of a browser in which somebody has signed up, until the address is confirmed. It is
/// in managed state.
#[derive(Debug)]
pub struct SignUpCookie(pub(super) SealedCookie);

impl SignUpCookie {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        SignUpCookie(SealedCookie::new(config, cookies, "sign-up"))
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
    /// assert_eq!(registered, Registered::LoggedIn);
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
        if !self.is_registration_open() {
            return Err(RegisterError::Closed);
        }

        let mails = match self.config.accounts.registration {
            Registration::Confirm => self.limits_of_mail("sign-up", email),
            _ => Vec::new(),
        };
        let limits = [self.limits_of_sign_up(), mails.clone()].concat();
        self.begin(&limits, None).await?;

        if self.is_openly_taken(email).await? {
            return self.log_in_instead(email, password).await;
        }
        let asked = self.refuse_breached::<RegisterError>(&password).await;
        if asked.is_err() && !mails.is_empty() {
            // No mail is sent, so none counts.
            let mut change = self.accounts.change().await?;
            change.settle(&mails, AttemptOutcome::Abandoned).await?;
            change.commit().await?;
        }
        asked?;

        let hash = self.hash(password.clone()).await?;
        if self.config.accounts.registration == Registration::Confirm {
            self.ask_to_confirm(email, hash).await?;
            return Ok(Registered::MailSent);
        }
        match self.sign_up(email, &hash).await {
            // Somebody has signed up with this address a moment ago.
            Err(RegisterError::EmailTaken) => self.log_in_instead(email, password).await,
            done => done,
        }
    }

    /// Returns whether the address has an account, if the answer may reveal that. Then it is not
    /// necessary to ask the service for breaches, or to hash a password for nobody.
    async fn is_openly_taken(&self, email: &Email) -> Result<bool, Error> {
        if self.config.accounts.registration == Registration::Confirm {
            return Ok(false);
        }
        let mut db = self.accounts.db.read().await?;
        Ok(user::store::find_by_email(&mut db, email).await?.is_some())
    }

    /// Logs the visitor in who has signed up with the address of an account.
    async fn log_in_instead(
        &self,
        email: &Email,
        password: NewPassword,
    ) -> Result<Registered, RegisterError> {
        match self.log_in(Some(email), password.into(), false).await {
            Ok(()) => Ok(Registered::HadAccount),
            Err(LogInError::WrongPassword) => Err(RegisterError::EmailTaken),
            Err(LogInError::Disabled) => Err(RegisterError::Disabled),
            Err(LogInError::Failed(error)) => Err(error.into()),
        }
    }

    async fn sign_up(
        &self,
        email: &Email,
        hash: &PasswordHash,
    ) -> Result<Registered, RegisterError> {
        let _writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        if let Some(owner) = change.owner(email).await? {
            return Err(match owner.user.email.is_same(email) {
                true => RegisterError::EmailTaken,
                false => RegisterError::EmailReserved,
            });
        }

        let now = change.now;
        let inserted = user::store::insert(&mut change, email, hash, None, now).await;
        let id = inserted.map_err(|error| match error.is_duplicate_email() {
            true => RegisterError::EmailTaken,
            false => error.into(),
        })?;
        let user = User { id, email: email.clone(), created_at: now, verified_at: None };
        change.record(EventKind::SignedUp, &user).await?;
        // Otherwise somebody who signs up, deletes the account and signs up again could mail the
        // owner of the address without end.
        if change.may_mail("sign-up", email).await? {
            change.mail_link("verify", Purpose::Verify, &user, email).await?;
        }
        let device = self.meet(&mut change, &user, false).await?;
        let started = self.session.start(&mut change, id, false).await?;
        change.commit_session(self.session, started).await?;
        self.device_cookie.send(&device, &self.pending);
        Ok(Registered::LoggedIn)
    }

    /// Mails a link that makes the account, or tells the owner of a taken address. Both take as
    /// much work and send as many cookies, or a sign-up would tell strangers who has an account.
    async fn ask_to_confirm(&self, email: &Email, hash: PasswordHash) -> Result<(), Error> {
        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        let owner = change.owner(email).await?;
        let id = match owner {
            Some(Account { user, .. }) => {
                change.record(EventKind::SignUpRefused, &user).await?;
                change.mail_taken("sign_up_taken", "/login", &user, email).await?;
                change.begin_masked().await?;
                change.pretend_link(email, hash).await?;
                change.end_masked(false).await?;
                Token::generate().id()
            }
            None => {
                change.record_of(EventKind::SignUpAsked, None, Some(email)).await?;
                change.begin_masked().await?;
                let id = change.mail_sign_up(email, hash).await?;
                change.end_masked(true).await?;
                id
            }
        };

        let lifetime = change.lifetime(Purpose::SignUp);
        change.commit().await?;
        self.pending.set(self.sign_up_cookie.0.seal(&text(id), lifetime));
        Ok(())
    }
}

/// Returns what the cookie holds. It is not the link's token, which only the mail has.
pub(super) fn text(id: TokenId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}
