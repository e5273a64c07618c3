//! An address is confirmed by a link that was mailed to it.

use serde::Serialize;

use super::Auth;
use super::change::Change;
use super::register::text;
use crate::done::Act;
use crate::error::Error;
use crate::history::Kind;
use crate::link::{self, Link, Purpose};
use crate::mail::Content;
use crate::notice::{self, Notice};
use crate::password::Password;
use crate::throttle::Outcome;
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, Email, User};
use crate::{device, metrics};

/// The purposes of links that confirm an address.
const CONFIRMING: [Purpose; 3] = [Purpose::SignUp, Purpose::Verify, Purpose::ChangeEmail];

/// What a link would confirm.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Confirmation {
    /// The address.
    pub email: Email,
    /// The address that the account has had so far, if it is to get another.
    pub former: Option<Email>,
    /// Whether nothing shows that it was this visitor who chose the account's
    /// password, or asked for its new address: they are asked for the password.
    pub wants_password: bool,
}

/// What a link has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing has happened unless it says so"]
pub enum Verified {
    /// The address is confirmed.
    Confirmed,
    /// The account has a new address.
    Changed,
    /// The account has the address, and the password that it had so far is void: it
    /// takes a reset to log in.
    WithoutPassword,
    /// The password is wrong. The link is still good.
    WrongPassword,
    /// The link is spent, has expired, or never was one.
    Dead,
}

impl Auth<'_> {
    /// What the link `token` would confirm. Nothing changes. `None`: it is
    /// spent, has expired, or never was one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_verification(&self, token: &str) -> Result<Option<Confirmation>, Error> {
        let Some(found) = self.find(token).await? else { return Ok(None) };
        let former = found.account.filter(|_| found.link.purpose == Purpose::ChangeEmail);
        Ok(Some(Confirmation {
            email: found.link.email,
            former: former.map(|account| account.user.email),
            wants_password: !found.is_own,
        }))
    }

    /// Confirms the address that the link `token` was mailed to, and logs
    /// nobody in.
    ///
    /// Anybody can sign up with somebody else's address and a password of his
    /// own, and wait until the owner, out of curiosity, confirms it
    /// (pre-hijacking). So the password outlasts that only if it was chosen by
    /// the one who confirms: in the browser that signed up, on a device of the
    /// account, or by who can give it as `password`. Otherwise it is void from
    /// then on, and the owner of the address gets one by a reset.
    ///
    /// Nor must an account be shared that somebody has made with an address of
    /// their own and then moves to the victim's (the "unexpired e-mail change" and
    /// the "trojan identifier"). So the same holds for a new address: its link
    /// moves the account as it is only where the account is used already, or with
    /// its password; otherwise the password is void, and all sessions have ended.
    ///
    /// A new address is the one that stands with the token. Of an account that
    /// held a pending address, two changes at once would confirm one with the
    /// mail of the other (CVE-2026-32700).
    ///
    /// # Errors
    ///
    /// When the database or the hashing workers fail.
    pub async fn verify(&self, token: &str, password: Option<Password>) -> Result<Verified, Error> {
        let Some(Found { id, link, account, mut is_own }) = self.find(token).await? else {
            if self.verified_before(token).await?.is_none() {
                self.refuse_link().await?;
            }
            return Ok(Verified::Dead);
        };

        let user = account.as_ref().map(|account| &account.user);
        if let (false, Some(password)) = (is_own, password) {
            let stored = account.as_ref().map(|account| &account.password_hash);
            let stored = stored.or(link.password_hash.as_ref());
            let limits = self.limits_of_link(id);
            self.begin(&limits, user).await?;
            let verified = self.verify_hash(password, stored);
            is_own = self.looked_at(&limits, verified).await?.matches;
            if !is_own {
                let (kind, id) = (Kind::ReauthenticationFailed, user.map(|user| user.id));
                let mut change = self.accounts.change().await?;
                change.settle(&limits, Outcome::Failed).await?;
                change.record_of(kind, id, Some(&link.email)).await?;
                change.commit().await?;
                return Ok(Verified::WrongPassword);
            }
        }

        let mut change = self.accounts.change().await?;
        change.lock_address(&link.email).await?;
        if change.take(id, &CONFIRMING).await?.is_none() {
            return Ok(Verified::Dead);
        }
        match (link.purpose, account) {
            (Purpose::SignUp, _) => self.confirm_sign_up(change, id, link, is_own).await,
            (Purpose::Verify, Some(account)) => {
                self.confirm_account(change, id, &link.email, account, is_own).await
            }
            (_, Some(account)) => {
                self.confirm_change(change, id, &link.email, account, is_own).await
            }
            _ => Ok(Verified::Dead),
        }
    }

    async fn confirm_sign_up(
        &self,
        mut change: Change<'_>,
        token: TokenId,
        link: Link,
        is_own: bool,
    ) -> Result<Verified, Error> {
        let Some(chosen) = link.password_hash else { return Ok(Verified::Dead) };
        // Somebody has got it meanwhile.
        if self.is_taken(&mut change, &link.email, None).await? {
            return Ok(Verified::Dead);
        }

        let (now, void) = (change.now, self.hasher.unusable());
        let hash = if is_own { &chosen } else { &void };
        let id = user::store::insert(&mut change, &link.email, hash, Some(now), now).await?;
        let user = User { id, email: link.email, created_at: now, verified_at: Some(now) };
        change.record(Kind::SignedUp, &user).await?;
        change.record(Kind::EmailVerified, &user).await?;
        if !is_own {
            let done = Verified::WithoutPassword;
            return self.verified(change, token, user.id, done).await;
        }

        let device = self.meet(&mut change, &user, false).await?;
        let done = self.verified(change, token, user.id, Verified::Confirmed).await?;
        self.device_cookie.send(&device, &self.pending);
        self.pending.set(self.sign_up_cookie.0.removal());
        Ok(done)
    }

    async fn confirm_account(
        &self,
        mut change: Change<'_>,
        token: TokenId,
        email: &Email,
        Account { user, password_hash, .. }: Account,
        is_own: bool,
    ) -> Result<Verified, Error> {
        let now = change.now;
        if !user::store::verify(&mut change, user.id, email, now).await?
            || !user::store::is_current(&mut change, user.id, &password_hash).await?
        {
            return Ok(Verified::Dead);
        }

        change.record(Kind::EmailVerified, &user).await?;
        if is_own {
            return self.verified(change, token, user.id, Verified::Confirmed).await;
        }

        let ended = change.replace_password(&user, &self.hasher.unusable()).await?;
        notice::set(&mut change, user.id, &Notice::ALL).await?;
        let done = self.verified(change, token, user.id, Verified::WithoutPassword).await?;
        metrics::ended(ended);
        Ok(done)
    }

    async fn confirm_change(
        &self,
        mut change: Change<'_>,
        token: TokenId,
        email: &Email,
        Account { user, .. }: Account,
        is_own: bool,
    ) -> Result<Verified, Error> {
        if self.is_taken(&mut change, email, Some(user.id)).await? {
            return Ok(Verified::Dead);
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
                change.replace_password(&user, &self.hasher.unusable()).await?
            }
        };
        change.record(Kind::EmailChanged, &user).await?;
        let content = Content { new_address: email.to_string(), ..change.content(&user.email) };
        change.notify(Notice::EmailChanged, &user, &user.email, content).await?;
        let done = if is_own { Verified::Changed } else { Verified::WithoutPassword };
        let done = self.verified(change, token, user.id, done).await?;
        metrics::ended(ended);
        Ok(done)
    }

    /// Commits what the link `id` has done, and remembers it.
    async fn verified(
        &self,
        mut change: Change<'_>,
        id: TokenId,
        user_id: i64,
        done: Verified,
    ) -> Result<Verified, Error> {
        let act = match done {
            Verified::Changed => Act::EmailChanged,
            Verified::WithoutPassword => Act::PasswordVoid,
            _ => Act::EmailVerified,
        };
        self.note_link(&mut change, id, act, user_id).await?;
        change.commit().await?;
        self.send_done(id);
        Ok(done)
    }

    /// What the link `token` has done a moment ago in this browser, and for which
    /// address.
    pub(crate) async fn verified_before(
        &self,
        token: &str,
    ) -> Result<Option<(Verified, Email)>, Error> {
        let Some(done) = self.done_by_link(token).await? else { return Ok(None) };
        let verified = match done.act {
            Act::EmailVerified => Verified::Confirmed,
            Act::EmailChanged => Verified::Changed,
            Act::PasswordVoid => Verified::WithoutPassword,
            _ => return Ok(None),
        };
        Ok(done.email.map(|email| (verified, email)))
    }

    async fn find(&self, token: &str) -> Result<Option<Found>, Error> {
        let Some(id) = Token::parse(token).map(|token| token.id()) else { return Ok(None) };
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let Some(link) = link::find(&mut db, id, &CONFIRMING, now).await? else { return Ok(None) };
        if link.purpose == Purpose::SignUp && !self.is_registration_open() {
            return Ok(None);
        }
        let account = match link.user_id {
            Some(user_id) => user::store::find(&mut db, user_id).await?,
            None => None,
        };

        let is_own = match (link.purpose, &account, &self.device) {
            (Purpose::SignUp, ..) => self.signed_up.contains(&text(id)),
            (_, Some(Account { user, .. }), device) => {
                self.session.user().is_some_and(|present| present.id == user.id)
                    || match device {
                        Some(device) => device::is_known(&mut db, user.id, device.id()).await?,
                        None => false,
                    }
            }
            _ => false,
        };
        Ok(Some(Found { id, link, account, is_own }))
    }

    /// Whether the address is, or was until lately, somebody's but `user_id`'s.
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

/// A link, and what it is about.
struct Found {
    id: TokenId,
    link: Link,
    account: Option<Account>,
    /// Whether it was this visitor who chose the password.
    is_own: bool,
}
