//! Confirms an address through a mailed link.

use super::change::Change;
use super::register::{StoredSignUp, text};
use super::{Auth, LinkError, SignUp};
use crate::done::{Act, Done};
use crate::error::Error;
use crate::history::EventKind;
use crate::link::{self, Link, Purpose};
use crate::mail::Content;
use crate::notice::{self, Notice};
use crate::password::Password;
use crate::throttle::AttemptOutcome;
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};
use crate::web::FieldErrors;
use crate::{device, metrics};

/// The purposes of links that confirm an address.
const CONFIRMING: [Purpose; 3] = [Purpose::SignUp, Purpose::Verify, Purpose::ChangeEmail];

refusals! {
    /// Why [`VerifyLink::confirm()`] confirmed nothing.
    VerifyError {
        /// The link is still good.
        WrongPassword,
        DeadLink,
        ;
        /// A [hook](super::Hooks::before_sign_up()) of the application refuses the sign-up now, for example
        /// because its invitation was used meanwhile. The link is still good.
        Refused(FieldErrors),
    }
}

/// The outcome of a link that confirms an address, with the account's user. Nobody is logged in by it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the user must be told if the password no longer works"]
pub enum Verified {
    /// The address is confirmed.
    Confirmed(User),
    /// The account has a new address.
    Changed(User),
    /// The account has the address. Its former password is void, and its second factors are removed: its
    /// owner needs a reset to log in.
    WithoutPassword(User),
}

impl Verified {
    /// Returns the account's user.
    pub fn user(&self) -> &User {
        match self {
            Verified::Confirmed(user)
            | Verified::Changed(user)
            | Verified::WithoutPassword(user) => user,
        }
    }
}

/// A link that confirms an address. [`Auth::verify_link()`] looks it up. It is good, or this browser has
/// just used it: see [`done()`](Self::done()).
#[derive(Debug)]
#[must_use = "nothing has changed before `confirm()`"]
pub struct VerifyLink<'a> {
    auth: &'a Auth<'a>,
    id: TokenId,
    email: Email,
    state: State,
}

#[derive(Debug)]
enum State {
    Good(Box<Found>),
    /// This browser has just used the link.
    Spent(Verified),
}

/// A link, and the account that it is about.
#[derive(Debug)]
struct Found {
    link: Link,
    account: Option<Account>,
    /// `true` if this visitor has chosen the password, as far as we can tell.
    is_own: bool,
}

impl Auth<'_> {
    /// Looks up the link of `token`, which confirms the address that it was mailed to. Nothing changes.
    ///
    /// The browser that has used a link still finds it for ten minutes: see [`VerifyLink::done()`].
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::LinkError;
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// // The mail of the sign-up has a link.
    /// # let token = site.token("/verify/").await;
    /// let link = auth.verify_link(&token).await.expect("a good link");
    /// assert_eq!((link.email(), link.wants_password()), (&user.email, false));
    ///
    /// let refused = auth.verify_link("made up").await.unwrap_err();
    /// assert!(matches!(refused, LinkError::DeadLink));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeadLink`](LinkError::DeadLink), which counts against the client's address unless the request is a
    /// `GET`. `Failed` if the database fails, or, with [`is_throttled()`](Error::is_throttled()), after too
    /// many dead links.
    pub async fn verify_link(&self, token: &str) -> Result<VerifyLink<'_>, LinkError> {
        let Some(id) = Token::parse(token).map(|token| token.id()) else {
            return Err(self.dead_link().await);
        };
        if let Some(found) = self.find_confirming(id).await? {
            let (email, state) = (found.link.email.clone(), State::Good(Box::new(found)));
            return Ok(VerifyLink { auth: self, id, email, state });
        }

        match self.verified_here(id).await? {
            Some(verified) => {
                let email = verified.user().email.clone();
                Ok(VerifyLink { auth: self, id, email, state: State::Spent(verified) })
            }
            None => Err(self.dead_link().await),
        }
    }

    /// Returns what this browser has just done with the link `id`.
    async fn verified_here(&self, id: TokenId) -> Result<Option<Verified>, Error> {
        let Some(Done { act, user_id: Some(user_id), .. }) = self.done_here(id).await? else {
            return Ok(None);
        };
        let user = self.find_user(user_id).await?;
        Ok(user.and_then(|user| verified_by(act, user)))
    }

    async fn confirm_sign_up(
        &self,
        mut change: Change<'_>,
        token: TokenId,
        link: &Link,
        is_own: bool,
    ) -> Result<Verified, VerifyError> {
        let (Some(chosen), Some(sign_up)) = (&link.password_hash, self.sign_up_of(link)) else {
            return Err(VerifyError::DeadLink);
        };
        // Somebody else has got the address meanwhile.
        if self.is_taken(&mut change, &link.email, None).await? {
            return Err(VerifyError::DeadLink);
        }

        change.before_sign_up::<VerifyError>(&sign_up).await?;
        let (now, void) = (change.now, self.hasher.unusable());
        let hash = if is_own { chosen } else { &void };
        let user = user::store::insert(&mut change, &link.email, hash, Some(now), now).await?;
        change.record(EventKind::SignedUp, &user).await?;
        change.record(EventKind::EmailVerified, &user).await?;
        let device = match is_own {
            true => Some(self.meet(&mut change, &user, false).await?.token),
            false => None,
        };
        change.signed_up::<VerifyError>(&user, &sign_up).await?;
        change.email_verified(&user).await?;
        let Some(device) = device else {
            return self.verified(change, token, Verified::WithoutPassword(user)).await;
        };
        let done = self.verified(change, token, Verified::Confirmed(user)).await?;
        self.device_cookie.send(&device, &self.pending);
        self.pending.set(self.sign_up_cookie.0.removal());
        Ok(done)
    }

    async fn confirm_account(
        &self,
        mut change: Change<'_>,
        token: TokenId,
        email: &Email,
        Account { user, password_hash, .. }: &Account,
        is_own: bool,
    ) -> Result<Verified, VerifyError> {
        let now = change.now;
        if !user::store::verify(&mut change, user.id, email, now).await?
            || !user::store::is_current(&mut change, user.id, password_hash).await?
        {
            return Err(VerifyError::DeadLink);
        }

        change.record(EventKind::EmailVerified, user).await?;
        let is_first = user.verified_at.is_none();
        let verified_at = user.verified_at.or(Some(now));
        let user = User { verified_at, has_factor: user.has_factor && is_own, ..user.clone() };
        let mut ended = 0;
        if !is_own {
            ended = change.replace_password(&user, &self.hasher.unusable()).await?;
            change.drop_factors(&user).await?;
            notice::set(&mut change, user.id, &Notice::ALL).await?;
        }
        if is_first {
            change.email_verified(&user).await?;
        }
        let done = match is_own {
            true => Verified::Confirmed(user),
            false => Verified::WithoutPassword(user),
        };
        let done = self.verified(change, token, done).await?;
        metrics::ended(ended);
        Ok(done)
    }

    async fn confirm_change(
        &self,
        mut change: Change<'_>,
        token: TokenId,
        email: &Email,
        Account { user, .. }: &Account,
        is_own: bool,
    ) -> Result<Verified, VerifyError> {
        if self.is_taken(&mut change, email, Some(user.id)).await? {
            return Err(VerifyError::DeadLink);
        }

        let now = change.now;
        user::store::set_email(&mut change, user.id, email, now).await?;
        let ended = match is_own {
            true => {
                link::end_all(&mut change, user.id).await?;
                0
            }
            false => {
                notice::set(&mut change, user.id, &Notice::ALL).await?;
                change.drop_factors(user).await?;
                change.replace_password(user, &self.hasher.unusable()).await?
            }
        };
        change.record(EventKind::EmailChanged, user).await?;
        let content = Content { new_address: email.to_string(), ..change.content(&user.email) };
        change.notify(Notice::EmailChanged, user, &user.email, content).await?;
        let has_factor = user.has_factor && is_own;
        let changed =
            User { email: email.clone(), verified_at: Some(now), has_factor, ..user.clone() };
        change.email_changed(&changed, &user.email).await?;
        let done = match is_own {
            true => Verified::Changed(changed),
            false => Verified::WithoutPassword(changed),
        };
        let done = self.verified(change, token, done).await?;
        metrics::ended(ended);
        Ok(done)
    }

    /// Commits the outcome of the link `id`, and remembers it.
    async fn verified(
        &self,
        mut change: Change<'_>,
        id: TokenId,
        done: Verified,
    ) -> Result<Verified, VerifyError> {
        let act = match done {
            Verified::Changed(_) => Act::EmailChanged,
            Verified::WithoutPassword(_) => Act::PasswordVoid,
            Verified::Confirmed(_) => Act::EmailVerified,
        };
        self.note_link(&mut change, id, act, done.user().id).await?;
        change.commit().await?;
        self.send_done(id);
        Ok(done)
    }

    /// Returns the sign-up that the link makes an account of. `None`: what it has to remember was sealed with
    /// a key that is not known any more.
    fn sign_up_of(&self, link: &Link) -> Option<SignUp> {
        let stored = match &link.sign_up {
            Some(sealed) => self.sign_up_cookie.open(sealed)?,
            None => StoredSignUp::default(),
        };
        Some(stored.sign_up(&link.email))
    }

    async fn find_confirming(&self, id: TokenId) -> Result<Option<Found>, Error> {
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let Some(link) = link::find(&mut db, id, &CONFIRMING, now).await? else { return Ok(None) };
        if link.purpose == Purpose::SignUp {
            let sign_up = self.sign_up_of(&link);
            if !sign_up.is_some_and(|one| one.is_invited || self.is_registration_open()) {
                return Ok(None);
            }
        }
        let account = match link.user_id {
            Some(user_id) => user::store::find(&mut db, user_id).await?,
            None => None,
        };

        let is_own = match (link.purpose, &account, &self.device) {
            (Purpose::SignUp, ..) => self.signed_up.contains(&text(id)),
            (_, Some(Account { user, .. }), device) => {
                self.session.user_id() == Some(user.id)
                    || match device {
                        Some(device) => device::is_known(&mut db, user.id, device.id()).await?,
                        None => false,
                    }
            }
            _ => false,
        };
        Ok(Some(Found { link, account, is_own }))
    }

    /// Returns whether the address belongs, or belonged until recently, to another account than
    /// `user_id`.
    async fn is_taken(
        &self,
        change: &mut Change<'_>,
        email: &Email,
        user_id: Option<i64>,
    ) -> Result<bool, Error> {
        let owner = change.owner(email).await?.map(|account| account.user.id);
        Ok(owner.is_some() && owner != user_id)
    }
}

impl VerifyLink<'_> {
    /// Returns the address that the link confirms.
    pub fn email(&self) -> &Email {
        &self.email
    }

    /// Returns the account's present address, if the link gives it another.
    pub fn former(&self) -> Option<&Email> {
        match &self.state {
            State::Good(found) if found.link.purpose == Purpose::ChangeEmail => {
                found.account.as_ref().map(|account| &account.user.email)
            }
            _ => None,
        }
    }

    /// Returns whether the page should ask for the account's password, because nothing shows that
    /// this visitor has chosen it, or has asked for the new address.
    pub fn wants_password(&self) -> bool {
        matches!(&self.state, State::Good(found) if !found.is_own)
    }

    /// Returns whether the account, or the sign-up, has a password that could be given here.
    pub fn has_password(&self) -> bool {
        let State::Good(found) = &self.state else { return false };
        let of_account = found.account.as_ref().map(|account| &account.password_hash);
        let hash = of_account.or(found.link.password_hash.as_ref());
        hash.is_some_and(|hash| !hash.is_unusable())
    }

    /// Returns what this browser has done with the link within the last ten minutes. `None`: nothing,
    /// the link is good.
    pub fn done(&self) -> Option<&Verified> {
        match &self.state {
            State::Good(_) => None,
            State::Spent(verified) => Some(verified),
        }
    }

    /// Confirms the address, and logs nobody in. If this browser has done that a moment ago,
    /// nothing changes, and the outcome is the same.
    ///
    /// Anybody can sign up with another person's address and a password of their own, and wait
    /// until the owner of the address, out of curiosity, confirms it (pre-hijacking). So the
    /// password stays only if it was chosen by the person who confirms: in the browser that signed
    /// up, on a device of the account, or with the password given again as `password`. Otherwise it
    /// becomes void, and the owner of the address gets one by a reset.
    ///
    /// Nor may two people share an account that one of them has made with their own address and
    /// then moved to the other's (the "unexpired e-mail change" and the "trojan identifier"). So a
    /// new address follows the same rule: the link moves the account as it is only in a browser
    /// that uses the account already, or with its password. Otherwise the password becomes void, the
    /// second factors are removed, and all sessions end.
    ///
    /// The new address is stored with the token. If the account held one pending address, two
    /// changes at once could confirm one address with the mail of the other (CVE-2026-32700).
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::auth::{Verified, VerifyError};
    ///
    /// # #[cfg(feature = "testing")]
    /// # rocket_login::testing::example(async |auth, user, site| {
    /// # let token = site.token("/verify/").await;
    /// let link = auth.verify_link(&token).await.expect("a good link");
    /// # let newer = { auth.ask_verification(user).await.unwrap(); site.token("/verify/").await };
    /// // A newer link has been mailed meanwhile.
    /// let refused = link.confirm(None).await.unwrap_err();
    /// assert!(matches!(refused, VerifyError::DeadLink));
    ///
    /// let link = auth.verify_link(&newer).await.expect("a good link");
    /// let done = link.confirm(None).await.expect("an answer");
    /// assert!(matches!(done, Verified::Confirmed(ada) if ada.verified_at.is_some()));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The reasons of [`VerifyError`]. `Failed` if the database or the hashing workers fail, or, with [`is_throttled()`](Error::is_throttled()), after too
    /// many wrong passwords.
    pub async fn confirm(&self, password: Option<Password>) -> Result<Verified, VerifyError> {
        let (auth, id) = (self.auth, self.id);
        let found = match &self.state {
            State::Good(found) => found,
            State::Spent(verified) => return Ok(verified.clone()),
        };
        let is_own = match password {
            Some(password) if !found.is_own => {
                self.check_password(found, password).await?;
                true
            }
            _ => found.is_own,
        };

        let Found { link, account, .. } = &**found;
        let mut change = auth.accounts.change().await?;
        change.lock_address(&link.email).await?;
        if change.take(id, &CONFIRMING).await?.is_none() {
            drop(change);
            // The first of two requests at once has taken it.
            return auth.verified_here(id).await?.ok_or(VerifyError::DeadLink);
        }
        match (link.purpose, account) {
            (Purpose::SignUp, _) => auth.confirm_sign_up(change, id, link, is_own).await,
            (Purpose::Verify, Some(account)) => {
                auth.confirm_account(change, id, &link.email, account, is_own).await
            }
            (_, Some(account)) => {
                auth.confirm_change(change, id, &link.email, account, is_own).await
            }
            _ => Err(VerifyError::DeadLink),
        }
    }

    /// Makes sure that `password` is the account's, or the one that was chosen at the sign-up.
    async fn check_password(&self, found: &Found, password: Password) -> Result<(), VerifyError> {
        let (auth, user) = (self.auth, found.account.as_ref().map(|account| &account.user));
        let stored = found.account.as_ref().map(|account| &account.password_hash);
        let stored = stored.or(found.link.password_hash.as_ref());
        let limits = auth.limits_of_link(self.id);
        auth.begin(&limits, user).await?;
        let verified = auth.verify_hash(password, stored);
        let is_right = auth.looked_at(&limits, verified).await?.matches;
        let mut change = auth.accounts.change().await?;
        if is_right {
            // Whatever becomes of the act: a hook may refuse it, and the link is used again then.
            change.settle(&limits, AttemptOutcome::Succeeded).await?;
            return Ok(change.commit().await?);
        }
        let (kind, user_id) = (EventKind::ConfirmationFailed, user.map(|user| user.id));
        change.settle(&limits, AttemptOutcome::Failed).await?;
        change.record_of(kind, user_id, Some(&self.email)).await?;
        change.commit().await?;
        Err(VerifyError::WrongPassword)
    }
}

fn verified_by(act: Act, user: User) -> Option<Verified> {
    match act {
        Act::EmailVerified => Some(Verified::Confirmed(user)),
        Act::EmailChanged => Some(Verified::Changed(user)),
        Act::PasswordVoid => Some(Verified::WithoutPassword(user)),
        _ => None,
    }
}
