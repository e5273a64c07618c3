//! Ends sessions because their provider says so: back-channel log-out
//! (<https://openid.net/specs/openid-connect-backchannel-1_0.html>).

use super::Auth;
use super::change::Change;
use crate::error::Error;
use crate::factor::{passkeys, pending};
use crate::history::EventKind;
use crate::identity::{self, Identity};
use crate::metrics::{self, ProviderEvent};
use crate::provider::{LoggedOut, ProviderFailure};
use crate::session::store as sessions;
use crate::throttle::{AttemptOutcome, Limit};
use crate::token::TokenId;
use crate::user;

refusals! {
    /// Why [`Auth::log_out_by_provider()`] ended nothing.
    ProviderLogOutError {
        NoSuchProvider,
        ProviderDown,
        /// Or it was used before.
        LogOutTokenInvalid,
    }
}

impl Auth<'_> {
    /// Ends the sessions that a logout token of the provider `name` is about: those that began with this
    /// session of the provider, or, if the token names none, all that began with this account at the
    /// provider. Each token counts once. Returns how many sessions ended.
    ///
    /// # Errors
    ///
    /// The reasons of [`ProviderLogOutError`]. `Failed` if the database fails, or, with
    /// [`is_throttled()`](Error::is_throttled()), after too many wrong tokens from one address.
    pub async fn log_out_by_provider(
        &self,
        name: &str,
        token: &str,
    ) -> Result<u64, ProviderLogOutError> {
        let provider = self.providers.get(name).ok_or(ProviderLogOutError::NoSuchProvider)?;
        let limits: Vec<Limit> = self.limit_of_address().into_iter().collect();
        self.begin(&limits, None).await?;
        let asked = provider.log_out_token(token, self.accounts.clock.now()).await;
        if matches!(asked, Err(ProviderFailure::Down)) {
            self.abandon(&limits).await?;
            return Err(ProviderLogOutError::ProviderDown);
        }
        let mut change = self.accounts.change().await?;
        let is_new = match &asked {
            Ok(token) => change.use_log_out_token(token).await?,
            Err(_) => false,
        };
        let Some(token) = asked.ok().filter(|_| is_new) else {
            change.settle(&limits, AttemptOutcome::Failed).await?;
            change.commit().await?;
            metrics::provider(name, ProviderEvent::Refused);
            return Err(ProviderLogOutError::LogOutTokenInvalid);
        };
        change.settle(&limits, AttemptOutcome::Succeeded).await?;
        let ended = change.end_by_provider(name, &token).await?;
        change.commit().await?;
        metrics::ended(ended);
        metrics::provider(name, ProviderEvent::LoggedOut);
        Ok(ended)
    }
}

impl Change<'_> {
    /// Notes that a logout token was used. Of several uses, on all instances, one gets `true` (replay).
    async fn use_log_out_token(&mut self, token: &LoggedOut) -> Result<bool, Error> {
        let LoggedOut { issuer, jti, expires_at, .. } = token;
        let id = TokenId::of("logout token", &format!("{} {issuer} {jti}", issuer.len()));
        passkeys::use_challenge(self, id, *expires_at).await
    }

    async fn end_by_provider(&mut self, name: &str, token: &LoggedOut) -> Result<u64, Error> {
        let mut all = 0;
        for Identity { id, user_id, .. } in self.identities_of(token).await? {
            let Some(account) = user::store::find(self, user_id).await? else { continue };
            let sid = token.sid.as_deref();
            pending::delete_of_identity(self, id, sid).await?;
            let mut ended = 0;
            for family in sessions::families_of_identity(self, id, sid).await? {
                ended += u64::from(sessions::delete(self, family).await?);
            }
            if ended > 0 {
                self.record_detail(EventKind::SessionsEnded, name, &account.user).await?;
            }
            all += ended;
        }
        Ok(all)
    }

    /// Returns the identities that a logout token is about. A token with a session alone may be about
    /// several, if people have shared a session of the provider.
    async fn identities_of(&mut self, token: &LoggedOut) -> Result<Vec<Identity>, Error> {
        match (&token.subject, &token.sid) {
            (Some(subject), _) => {
                let found = identity::find(self, &token.issuer, subject).await?;
                Ok(found.into_iter().collect())
            }
            (None, Some(sid)) => identity::list_by_sid(self, &token.issuer, sid).await,
            (None, None) => Ok(Vec::new()),
        }
    }
}
