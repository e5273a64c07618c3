//! What a browser should know of the passkeys here, so that it offers none in vain
//! (<https://w3c.github.io/webauthn/#sctn-signal-methods>).

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Auth, PasskeyLogInError};
use crate::error::Error;
use crate::factor::passkeys;
use crate::user::User;
use crate::webauthn::{AuthenticationResponse, base64url};

/// A passkey that no account has, nor had within the last week. A page can tell the browser so
/// (`signalUnknownCredential()`), which then offers it no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnknownPasskey {
    /// The domain that the passkey is for.
    pub rp_id: String,
    /// The passkey's id, in base64url.
    pub credential_id: String,
}

impl UnknownPasskey {
    /// Returns the reason's stable name.
    pub fn code(&self) -> &'static str {
        "passkey_unknown"
    }
}

/// This is a message to the visitor, the same as for any passkey that is not right.
impl fmt::Display for UnknownPasskey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PasskeyLogInError::PasskeyRefused.fmt(f)
    }
}

impl Auth<'_> {
    /// Returns what a browser passes on to the place where the user's passkeys are kept, so that it
    /// forgets those that were removed, and knows the present address: the fields of
    /// `signalAllAcceptedCredentials()` and of `signalCurrentUserDetails()` together. `None`: passkeys are
    /// off, or the user never had one.
    ///
    /// The browser in which a passkey was removed forgets it at once. All others keep it for the week in
    /// which "this was not me" can bring it back: a thief may have removed it, and what a browser has
    /// forgotten nobody brings back.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn passkey_signals(&self, user: &User) -> Result<Option<Value>, Error> {
        self.own(user)?;
        let Some(rp) = self.relying_party() else { return Ok(None) };
        let mut db = self.accounts.db.read().await?;
        let Some(handle) = passkeys::find_handle(&mut db, user.id).await? else { return Ok(None) };
        let Some(session) = self.session.family() else { return Ok(None) };
        let kept = passkeys::kept(&mut db, &rp.id, user.id, session).await?;
        let ids: Vec<_> = kept.iter().map(|id| base64url(id)).collect();
        Ok(Some(json!({
            "rpId": rp.id,
            "userId": base64url(&handle),
            "name": user.email,
            "displayName": user.email,
            "allAcceptedCredentialIds": ids,
        })))
    }

    /// Returns the passkey that has answered, if no account has it, and none had it within the last week.
    pub(super) async fn unknown(&self, credential: &str) -> Result<Option<UnknownPasskey>, Error> {
        let Some(rp) = self.relying_party() else { return Ok(None) };
        let Ok(response) = AuthenticationResponse::parse(credential) else { return Ok(None) };
        let (mut db, id) = (self.accounts.db.read().await?, response.credential_id());
        let is_stored = passkeys::is_stored(&mut db, &rp.id, id).await?;
        let unknown = || UnknownPasskey { rp_id: rp.id, credential_id: base64url(id) };
        Ok((!is_stored).then(unknown))
    }
}
