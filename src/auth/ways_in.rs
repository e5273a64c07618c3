//! The ways into an account: its password, passkeys that log in alone, and accounts at providers.

use serde::Serialize;

use super::Factors;
use super::change::Change;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::Connection;
use crate::error::Error;
use crate::factor::pending;
use crate::history::EventKind;
use crate::identity::{self, Identity};
use crate::mail::Content;
use crate::user::User;

refusals! {
    /// Why [`Auth::disconnect_provider()`](super::Auth::disconnect_provider()) or
    /// [`Operator::disconnect_provider()`](super::Operator::disconnect_provider()) disconnected nothing.
    DisconnectError {
        NotConnected,
        /// Only from [`Auth::disconnect_provider()`](super::Auth::disconnect_provider()).
        LastWayIn,
    }
}

/// An account at a provider that logs in to an account here, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectedIdentity {
    /// The number by which it is disconnected. It is no secret.
    pub id: i64,
    /// The provider's name, as in the paths.
    pub provider: String,
    /// The provider's name on the pages.
    pub label: String,
    /// What the provider calls itself: for OpenID Connect its address.
    pub issuer: String,
    /// What the provider calls the person.
    pub subject: String,
    /// The address that the provider named last. The account's own address may be another one.
    pub email: Option<String>,
    /// When it was connected, in seconds since 1970.
    pub created_at: Timestamp,
    /// When it was last used, in seconds since 1970. `None`: only to connect it.
    pub last_used_at: Option<Timestamp>,
    /// `false` if the provider is no longer in the configuration, so that it logs nobody in.
    pub is_offered: bool,
}

impl ConnectedIdentity {
    pub(super) fn of(identity: Identity, config: &Config) -> Self {
        let Identity { id, issuer, subject, provider, email, created_at, last_used_at, .. } =
            identity;
        let name = offered(config, &issuer, &provider);
        let is_offered = name.is_some();
        let provider = name.map_or(provider, str::to_owned);
        let label = label_of(config, &provider);
        ConnectedIdentity {
            id,
            provider,
            label,
            issuer,
            subject,
            email,
            created_at,
            last_used_at,
            is_offered,
        }
    }
}

/// Returns the accounts at providers of the user, the oldest first.
pub(super) async fn identities(
    db: &mut Connection,
    user_id: i64,
    config: &Config,
) -> Result<Vec<ConnectedIdentity>, Error> {
    let found = identity::list(db, user_id).await?.into_iter();
    Ok(found.map(|identity| ConnectedIdentity::of(identity, config)).collect())
}

/// Returns the name of the configured provider of an identity. Its name may have changed since. `None`:
/// the provider is gone.
fn offered<'c>(config: &'c Config, issuer: &str, name: &str) -> Option<&'c str> {
    if !cfg!(feature = "providers") {
        return None;
    }
    let same = config.providers.iter().filter(|(_, provider)| provider.issuer() == issuer);
    let mut names = same.map(|(name, _)| name.as_str());
    names.clone().find(|same| *same == name).or_else(|| names.next())
}

/// Returns what the provider of this name is called on the pages.
pub(super) fn label_of(config: &Config, name: &str) -> String {
    config.providers.get(name).map_or_else(|| name.to_owned(), |provider| provider.label(name))
}

impl Change<'_> {
    /// Disconnects `identity` from the account of `user`, whom the change has locked, and tells them.
    pub(super) async fn disconnect(
        &mut self,
        user: &User,
        identity: &ConnectedIdentity,
    ) -> Result<(), Error> {
        let now = self.now;
        identity::remove(self, user.id, identity.id, now).await?;
        // Otherwise a log-in that it has begun could still be completed with the second step.
        pending::delete_of_identity(self, identity.id, None).await?;
        self.record_detail(EventKind::ProviderUnlinked, &identity.provider, user).await?;
        let provider = identity.label.clone();
        let content = Content { provider, ..self.content(&user.email) };
        self.notify_factor("provider_unlinked", user, content).await
    }
}

/// Something that is about to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Factor(i64),
    Identity(i64),
}

impl Factors {
    /// Returns whether something beside the password would still log in after the removal.
    pub(super) fn has_way_after(&self, removal: Removal) -> bool {
        let passkeys = self.factors.iter().filter(|factor| factor.is_sufficient);
        let has_passkey = passkeys.map(|factor| factor.id).any(|id| removal != Removal::Factor(id));
        let identities = self.identities.iter().filter(|identity| identity.is_offered);
        let mut ids = identities.map(|identity| identity.id);
        has_passkey || ids.any(|id| removal != Removal::Identity(id))
    }

    /// Returns whether the user could do without a password: with two other ways in, or, if the site has
    /// mail, with one that a reset by mail can stand in for. A reset by mail asks for a recovery code if
    /// the way that was lost is a passkey.
    pub(super) fn suffice(&self, offers_passkeys: bool, has_mail: bool) -> bool {
        let passkeys = match offers_passkeys {
            true => self.factors.iter().filter(|factor| factor.is_sufficient).count(),
            false => 0,
        };
        let identities = self.identities.iter().filter(|identity| identity.is_offered).count();
        match (passkeys, identities) {
            (1, 0) => self.codes.is_some() && has_mail,
            (0, 1) => has_mail,
            (passkeys, identities) => passkeys + identities >= 2,
        }
    }
}
