//! What a visitor can do: register, log in, log out.
//!
//! Each act is one function that pages, and an application of its own, call.
//! No database connection is held while a password is hashed.

use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::password::{Hasher, NewPassword, Password};
use crate::session::Session;
use crate::user::{self, Email};

/// The acts, on behalf of the present visitor, as a request guard.
///
/// It _succeeds_ and _fails_ as [`&Session`](Session) does. A [`Sentinel`] stops
/// the launch when [`stage()`](crate::stage()) is not attached.
#[derive(Debug)]
pub struct Auth<'r> {
    session: &'r Session,
    config: &'r Config,
    db: &'r Db,
    hasher: &'r Hasher,
    clock: &'r Clock,
}

/// Why there is no new account.
#[derive(Debug)]
pub enum RegisterError {
    /// `accounts.registration` is `closed`.
    Closed,
    /// The address has an account already.
    EmailTaken,
    /// Our side failed; nothing was stored.
    Failed(Error),
}

impl From<Error> for RegisterError {
    fn from(error: Error) -> Self {
        match error.is_duplicate("users.email") {
            true => RegisterError::EmailTaken,
            false => RegisterError::Failed(error),
        }
    }
}

impl Auth<'_> {
    /// Whether anybody may sign up.
    pub fn is_registration_open(&self) -> bool {
        self.config.accounts.is_open()
    }

    /// Makes an account and logs it in, in one transaction.
    ///
    /// # Errors
    ///
    /// When sign-up is closed, the address is taken, or the database or the
    /// hashing workers fail. Nothing is stored then.
    pub async fn register(
        &self,
        email: &Email,
        password: NewPassword,
    ) -> Result<(), RegisterError> {
        if !self.is_registration_open() {
            return Err(RegisterError::Closed);
        }

        let hash = self.hasher.hash(password.into()).await?;

        let _writing = self.session.writing().await;
        let (mut tx, now) = (self.db.write().await?, self.clock.now());
        let user_id = user::store::insert(&mut tx, email, &hash, now).await?;
        let started = self.session.start(&mut tx, user_id, false).await?;
        self.session.commit(tx, started).await?;
        Ok(())
    }

    /// Logs in with address and password; `false` when they do not belong
    /// together, whichever of them is wrong.
    ///
    /// `None` for the address stands for a text that is none: the same work is
    /// done for it as for a known and for an unknown one.
    ///
    /// # Errors
    ///
    /// When the database or the hashing workers fail. The session then stays
    /// as it was.
    pub async fn log_in(
        &self,
        email: Option<&Email>,
        password: Password,
        remember: bool,
    ) -> Result<bool, Error> {
        let account = match email {
            Some(email) => user::store::find_by_email(&mut *self.db.read().await?, email).await?,
            None => None,
        };

        let stored = account.as_ref().map(|(_, hash)| hash);
        let verdict = self.hasher.verify(password.clone(), stored).await?;
        let Some((user, stored)) = account.filter(|_| verdict.matches) else {
            return Ok(false);
        };

        let current = match verdict.is_outdated {
            true => self.hasher.hash(password).await?,
            false => stored.clone(),
        };

        let _writing = self.session.writing().await;
        let mut tx = self.db.write().await?;
        // The password may have been changed while it was being checked: a
        // log-in with the old one must not outlive that.
        if !user::store::confirm_password_hash(&mut tx, user.id, &stored, &current).await? {
            return Ok(false);
        }

        let started = self.session.start(&mut tx, user.id, remember).await?;
        self.session.commit(tx, started).await?;
        Ok(true)
    }

    /// Ends the present session. Without one there is nothing to do.
    ///
    /// # Errors
    ///
    /// When the database fails: the visitor is then still logged in.
    pub async fn log_out(&self) -> Result<(), Error> {
        self.session.log_out().await
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Auth<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let session = try_outcome!(request.guard::<&Session>().await);
        Outcome::Success(Auth {
            session,
            config: attached(request.rocket()),
            db: attached(request.rocket()),
            hasher: attached(request.rocket()),
            clock: attached(request.rocket()),
        })
    }
}

impl Sentinel for Auth<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}
