//! Locks an account through a mailed link: "this was not me".

use super::change::Change;
use super::{Auth, LinkError};
use crate::done::Act;
use crate::error::Error;
use crate::factor;
use crate::history::EventKind;
use crate::identity;
use crate::link::{self, Link, Purpose};
use crate::metrics;
use crate::notice::{self, Notice};
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};

/// The outcome of [`NotMeLink::lock_account()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the owner must be told how they get a new password"]
pub enum Locked {
    /// The account is locked, and a mail with a link to a new password is on its way.
    Mailed,
    /// The account is locked; the operator must help.
    Unmailed,
}

/// A link "this was not me". [`Auth::not_me_link()`] looks it up. It is good, or this browser has just
/// used it: see [`done()`](Self::done()).
#[derive(Debug)]
#[must_use = "nothing has changed before `lock_account()`"]
pub struct NotMeLink<'a> {
    auth: &'a Auth<'a>,
    id: TokenId,
    email: Email,
    user_id: i64,
    /// This browser has just used the link.
    done: Option<Locked>,
}

impl Auth<'_> {
    /// Looks up the link "this was not me" of `token`. Nothing changes.
    ///
    /// The browser that has used a link still finds it for ten minutes: see [`NotMeLink::done()`].
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::LinkError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// auth.set_notices(user, &[]).await.expect("a notice of that is on its way");
    /// # let token = site.token("/not-me/").await;
    /// let link = auth.not_me_link(&token).await.expect("a good link");
    /// assert_eq!(*link.email(), user.email);
    ///
    /// let refused = auth.not_me_link("made up").await.unwrap_err();
    /// assert!(matches!(refused, LinkError::DeadLink));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeadLink`](LinkError::DeadLink), which counts against the client's address unless the request is a
    /// `GET`. `Failed` if the database fails, or, with [`is_throttled()`](Error::is_throttled()), after too
    /// many dead links.
    pub async fn not_me_link(&self, token: &str) -> Result<NotMeLink<'_>, LinkError> {
        let Some(id) = Token::parse(token).map(|token| token.id()) else {
            return Err(self.dead_link().await);
        };
        let link = {
            let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
            link::find(&mut db, id, &[Purpose::NotMe], now).await?
        };
        if let Some(Link { email, user_id: Some(user_id), .. }) = link {
            return Ok(NotMeLink { auth: self, id, email, user_id, done: None });
        }

        let found = self.done_here(id).await?;
        let locked = found.as_ref().and_then(|done| locked_by(done.act));
        match found.and_then(|done| done.email.zip(done.user_id)) {
            Some((email, user_id)) if locked.is_some() => {
                Ok(NotMeLink { auth: self, id, email, user_id, done: locked })
            }
            _ => Err(self.dead_link().await),
        }
    }
}

impl NotMeLink<'_> {
    /// Returns the address that the link was mailed to. For a link that this browser has used, it is
    /// the account's present address.
    pub fn email(&self) -> &Email {
        &self.email
    }

    /// Returns what this browser has done with the link within the last ten minutes. `None`: nothing,
    /// the link is good.
    pub fn done(&self) -> Option<Locked> {
        self.done
    }

    /// Takes the account out of the hands of somebody who has got hold of it. In one transaction it
    ///
    ///   * ends every session and every pending link, and every "this was not me" that was mailed
    ///     elsewhere since;
    ///   * makes the password void;
    ///   * removes the second factors that were added since the event that the mail tells of, and brings
    ///     those back that were removed since, and likewise with accounts at providers;
    ///   * switches all notices on;
    ///   * gives the account back the address that the mail went to, if it has been changed since, and
    ///     tells the address that the account had until then;
    ///   * mails a link to a new password.
    ///
    /// If this browser has done that a moment ago, nothing changes, and the outcome is the same.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::Locked;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # auth.set_notices(user, &[]).await.unwrap();
    /// # let token = site.token("/not-me/").await;
    /// let link = auth.not_me_link(&token).await.expect("a good link");
    /// assert_eq!(link.lock_account().await.expect("an answer"), Locked::Mailed);
    /// # });
    /// ```
    ///
    /// ```rust
    /// # use rocket_login::Password;
    /// use rocket_login::auth::LinkError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # auth.set_notices(user, &[]).await.unwrap();
    /// # let token = site.token("/not-me/").await;
    /// let link = auth.not_me_link(&token).await.expect("a good link");
    /// # auth.delete(user, Password::typed("correct horse battery")).await.unwrap();
    /// // The account was deleted meanwhile.
    /// let refused = link.lock_account().await.unwrap_err();
    /// assert!(matches!(refused, LinkError::DeadLink));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeadLink`](LinkError::DeadLink). `Failed` if the database fails.
    pub async fn lock_account(&self) -> Result<Locked, LinkError> {
        if let Some(done) = self.done {
            return Ok(done);
        }
        let (auth, id, email) = (self.auth, self.id, &self.email);
        let mut change = auth.accounts.change().await?;
        change.lock_address(email).await?;
        let account = user::store::find(&mut change, self.user_id).await?;
        let Account { mut user, disabled_at, .. } = account.ok_or(LinkError::DeadLink)?;

        link::end_later_not_me(&mut change, user.id, email, id).await?;
        let Some(link) = change.take(id, &[Purpose::NotMe]).await? else {
            drop(change);
            let done = auth.done_here(id).await?;
            return done.and_then(|done| locked_by(done.act)).ok_or(LinkError::DeadLink);
        };
        let former = user.email.clone();
        let is_reached = take_address_back(&mut change, &mut user, email).await?;
        let ended = change.replace_password(&user, &auth.hasher.unusable()).await?;
        // The thief may have removed the owner's factors, and have added one.
        factor::store::roll_back(&mut change, user.id, link.created_at).await?;
        identity::roll_back(&mut change, user.id, link.created_at).await?;
        notice::set(&mut change, user.id, &Notice::ALL).await?;
        change.record(EventKind::Locked, &user).await?;
        let is_mailed = is_reached && disabled_at.is_none() && auth.has_mail();
        if is_mailed {
            // It is the owner's way back, and the link that caused it was mailed, so it is sent in
            // any case.
            change.count_mail().await?;
            change.mail_link("locked", Purpose::Reset, &user, &user.email).await?;
        }
        let act = if is_mailed { Act::Locked } else { Act::LockedUnmailed };
        auth.note_link(&mut change, id, act, user.id).await?;
        if user.email != former {
            change.email_changed(&user, &former).await?;
        }
        change.commit().await?;
        metrics::ended(ended);
        auth.forget_session_of(&user);
        auth.send_done(id);
        Ok(if is_mailed { Locked::Mailed } else { Locked::Unmailed })
    }
}

fn locked_by(act: Act) -> Option<Locked> {
    match act {
        Act::Locked => Some(Locked::Mailed),
        Act::LockedUnmailed => Some(Locked::Unmailed),
        _ => None,
    }
}

/// Gives `user` the address `email` back: otherwise the new password would go to the person who changed
/// it. Returns `false` if somebody else has got it, which only another program can do.
async fn take_address_back(
    change: &mut Change<'_>,
    user: &mut User,
    email: &Email,
) -> Result<bool, Error> {
    if user.email.is_same(email) {
        return Ok(true);
    }
    let is_reached = is_free(change, email).await?;
    change.tell_overruled(user, email, is_reached).await?;
    if is_reached {
        let now = change.now;
        user::store::set_email(change, user.id, email, now).await?;
        change.record(EventKind::EmailChanged, user).await?;
        (user.email, user.verified_at) = (email.clone(), Some(now));
    }
    Ok(is_reached)
}

async fn is_free(change: &mut Change<'_>, email: &Email) -> Result<bool, Error> {
    Ok(user::store::see_by_email(change, email).await?.is_none())
}
