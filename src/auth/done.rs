//! Answers a request that is repeated.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use sha2::{Digest, Sha256};

use super::Auth;
use super::change::Change;
use super::register::text;
use crate::done::{self, Act, Done};
use crate::error::Error;
use crate::password::Password;
use crate::throttle;
use crate::token::TokenId;
use crate::user;

refusals! {
    /// Why a link cannot be used.
    LinkError { DeadLink }
}

/// The acts that replace or end the session in which they are done. [`Auth::overtaken()`] returns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overtaken {
    /// The password was changed.
    PasswordChanged,
    /// The password was given again.
    Reauthenticated,
    /// A second factor was added.
    FactorAdded,
    /// A second factor was removed.
    FactorRemoved,
    /// The password was removed.
    PasswordRemoved,
    /// A provider was disconnected.
    ProviderDisconnected,
    /// The account was deleted.
    Deleted,
}

impl Auth<'_> {
    /// Returns which act of this browser has replaced or ended the session with which the request came,
    /// within the last ten minutes: a form was sent twice, or the answer with the new cookie was lost.
    /// `None`: no act has.
    ///
    /// It is for two places. After an error with [`is_ended()`](Error::is_ended()) it tells that the act
    /// is done already. In a catcher for `401` it tells why the visitor is no longer logged in.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn overtaken(&self) -> Result<Option<Overtaken>, Error> {
        let id = match self.session.user() {
            Some(_) => self.session.current_id(),
            None => self.session.dead_id(),
        };
        let Some(id) = id else { return Ok(None) };
        let mut db = self.accounts.db.read().await?;
        let done = done::find(&mut db, id, self.accounts.clock.now()).await?;
        Ok(done.and_then(|done| match done.act {
            Act::PasswordChanged => Some(Overtaken::PasswordChanged),
            Act::Reauthenticated => Some(Overtaken::Reauthenticated),
            Act::FactorAdded => Some(Overtaken::FactorAdded),
            Act::FactorRemoved => Some(Overtaken::FactorRemoved),
            Act::PasswordRemoved => Some(Overtaken::PasswordRemoved),
            Act::ProviderDisconnected => Some(Overtaken::ProviderDisconnected),
            Act::Deleted => Some(Overtaken::Deleted),
            _ => None,
        }))
    }

    /// Returns the error for a dead link. Unless the request only looks at the link, it counts
    /// against the client's address: somebody may try many.
    pub(super) async fn dead_link(&self) -> LinkError {
        if self.is_unsafe
            && let Err(error) = self.refuse_link().await
        {
            return error.into();
        }
        LinkError::DeadLink
    }

    /// Returns what this browser has done with the link `id`. It is the same browser if it brings
    /// the first answer's cookie, or sends what it sent then. Somebody who pretends to be it needs
    /// the link's token, which is a secret, and learns only that the link was used.
    pub(super) async fn done_here(&self, id: TokenId) -> Result<Option<Done>, Error> {
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let found = done::find(&mut db, id, now).await?;
        Ok(found.filter(|done| {
            self.done.contains(&text(id))
                || done.browser.is_some() && done.browser == self.browser(id)
        }))
    }

    /// Remembers what was done with the link `id`. The caller sends its cookie after the commit.
    pub(super) async fn note_link(
        &self,
        change: &mut Change<'_>,
        id: TokenId,
        act: Act,
        user_id: i64,
    ) -> Result<(), Error> {
        let now = change.now;
        done::insert(change, id, act, Some(user_id), self.browser(id), now).await
    }

    pub(super) fn send_done(&self, id: TokenId) {
        self.pending.set(self.done_cookie.seal(text(id), &self.done));
    }

    /// Remembers for which act the session's present token dies. `user_id` is `None` if the account
    /// is deleted, too.
    pub(super) async fn note_session(
        &self,
        change: &mut Change<'_>,
        act: Act,
        user_id: Option<i64>,
    ) -> Result<(), Error> {
        let now = change.now;
        match self.session.current_id() {
            Some(id) => done::insert(change, id, act, user_id, None, now).await,
            None => Ok(()),
        }
    }

    /// Returns what is recorded of the link `id` if this browser has recently set a password with it.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub(super) async fn reset_here(&self, id: TokenId) -> Result<Option<Done>, Error> {
        let done = self.done_here(id).await?;
        Ok(done.filter(|done| done.act == Act::PasswordReset))
    }

    /// Returns whether this browser has just set exactly this password with the link `id`. The
    /// password counts like any other at a link, and a wrong one is the last: nobody may guess
    /// passwords at a spent link.
    pub(super) async fn was_reset_to(
        &self,
        id: TokenId,
        password: Password,
    ) -> Result<bool, Error> {
        let done = self.reset_here(id).await?;
        let Some(user_id) = done.and_then(|done| done.user_id) else { return Ok(false) };
        let account = user::store::find(&mut self.accounts.db.read().await?, user_id).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            return Ok(false);
        };

        let limits = self.limits_of_link(id);
        self.begin(&limits, Some(&account.user)).await?;
        let verified = self.verify_hash(password, Some(&account.password_hash));
        let is_same = self.looked_at(&limits, verified).await?.matches;
        let mut change = self.accounts.change().await?;
        if !is_same {
            done::forget(&mut change, id).await?;
        }
        let outcome = match is_same {
            true => throttle::AttemptOutcome::Succeeded,
            false => throttle::AttemptOutcome::Failed,
        };
        change.settle(&limits, outcome).await?;
        change.commit().await?;
        Ok(is_same)
    }

    /// Returns a hash of what this browser sends with every request, and of the link's id, so that
    /// two links do not show that it is the same browser. `None`: it sends nothing by which it
    /// could be recognized.
    fn browser(&self, id: TokenId) -> Option<String> {
        let device = self.device.as_ref().map(|device| text(device.id())).unwrap_or_default();
        let signed_up = self.signed_up.concat();
        let parts = [&*self.accounts.client.user_agent, &*device, &*signed_up];
        if parts.iter().all(|part| part.is_empty()) {
            return None;
        }
        let mut digest = Sha256::new_with_prefix("browser").chain_update(id.as_bytes());
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Some(BASE64_URL_SAFE_NO_PAD.encode(digest.finalize()))
    }
}

/// Returns the id under which it is remembered that the devices page has ended the session
/// `handle`.
pub(super) fn of_handle(handle: &str) -> TokenId {
    TokenId::of("session ended", handle)
}
