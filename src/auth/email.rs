//! Changes the address of an account.

use super::Auth;
use crate::error::Error;
use crate::history::EventKind;
use crate::link::Purpose;
use crate::mail::Content;
use crate::password::Password;
use crate::user::{self, Email, User};

refusals! {
    /// Why [`Auth::change_email()`] mailed no link.
    ChangeEmailError { WrongPassword, EmailUnchanged, NoMail }
}

impl Auth<'_> {
    /// Mails the link that confirms the user's address again. It does nothing if the address is
    /// confirmed already, or if mail is off.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// auth.ask_verification(user).await.expect("a link is on its way");
    ///
    /// auth.log_out().await.expect("nobody is logged in");
    /// assert!(auth.ask_verification(user).await.unwrap_err().is_ended());
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if the session was ended
    /// meanwhile or is not the user's.
    pub async fn ask_verification(&self, user: &User) -> Result<(), Error> {
        self.own(user)?;
        if user.verified_at.is_some() || !self.has_mail() {
            return Ok(());
        }

        let mut change = self.change_as_user(user).await?;
        change.begin(&self.limits_of_mail("verify", &user.email)).await?;
        change.mail_link("verify", Purpose::Verify, user, &user.email).await?;
        change.commit().await
    }

    /// Mails a link to the address `email`, which becomes the user's when somebody uses the link.
    /// The present address gets a notice.
    ///
    /// The outcome does not tell whether the address has an account. Its owner is told by mail.
    ///
    /// If the account has a second factor, the log-in must be a recent one. If it has no password, too, and
    /// `password` is not looked at.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::ChangeEmailError;
    /// use rocket_login::{Email, Password};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// let email = Email::parse("countess@example.org").unwrap();
    /// let right = Password::typed("correct horse battery");
    /// auth.change_email(user, &email, right).await.expect("a link is on its way");
    ///
    /// let wrong = Password::typed("wrong horse battery");
    /// let refused = auth.change_email(user, &email, wrong).await.unwrap_err();
    /// assert!(matches!(refused, ChangeEmailError::WrongPassword));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`ChangeEmailError`]. `Failed` if the database or the hashing workers fail, with
    /// [`is_not_recent()`](Error::is_not_recent()) if the log-in is not recent and must be, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn change_email(
        &self,
        user: &User,
        email: &Email,
        password: Password,
    ) -> Result<(), ChangeEmailError> {
        self.own(user)?;
        if !self.has_mail() {
            return Err(ChangeEmailError::NoMail);
        }
        if *email == user.email {
            return Err(ChangeEmailError::EmailUnchanged);
        }
        // The person who opens the link may take the account over, without its factors. So the password is
        // not enough for an account with one.
        if user.has_factor {
            self.confirm_recent()?;
        }
        let stored = self.check_current(user, password).await?;
        let stored = stored.ok_or(ChangeEmailError::WrongPassword)?;

        let mut change = self.accounts.change().await?;
        change.lock_address(email).await?;
        self.confirm(&mut change, user).await?;
        if !user::store::is_current(&mut change, user.id, &stored).await? {
            return Err(ChangeEmailError::WrongPassword);
        }

        change.begin(&self.limits_of_mail("change", email)).await?;
        change.record(EventKind::EmailChangeAsked, user).await?;
        let owner = change.owner(email).await?;
        match owner.filter(|account| account.user.id != user.id) {
            None => {
                change.begin_masked().await?;
                change.pretend_record(EventKind::EmailChangeRefused).await?;
                change.end_masked(false).await?;
                change.mail_link("change_email", Purpose::ChangeEmail, user, email).await?;
            }
            Some(owner) => {
                change.begin_masked().await?;
                change.record(EventKind::EmailChangeRefused, &owner.user).await?;
                change.end_masked(true).await?;
                // It makes a link as for any address, which ends the older one and is in the
                // export, but mails it to nobody.
                change.link(Purpose::ChangeEmail, user, email).await?;
                change.mail_taken("change_email_taken", "/account", &owner.user, email).await?;
            }
        }

        let content = Content { new_address: email.to_string(), ..change.content(&user.email) };
        change.tell("change_email_asked", user, &user.email, content).await?;
        change.commit().await?;
        Ok(())
    }
}
