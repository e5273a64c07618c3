//! The options that go to the browser, as JSON for `parseCreationOptionsFromJSON()` and
//! `parseRequestOptionsFromJSON()`.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value, json};

use super::public_key::{EDDSA, ES256, RS256};
use super::{RelyingParty, UserVerification};

/// How many milliseconds the user has. The specification recommends five minutes.
const TIMEOUT: u32 = 300_000;

/// The user that a passkey is made for.
#[derive(Debug, Clone, Copy)]
pub struct UserEntity<'a> {
    /// The user handle: 32 random bytes of the account, at most 64. The authenticator gives it away
    /// without asking its user, so it says nothing about them.
    pub id: &'a [u8],
    /// The name that tells the user's accounts apart, such as the address.
    pub name: &'a str,
    /// The name that the browser shows.
    pub display_name: &'a str,
}

/// A passkey that is there already.
#[derive(Debug, Clone, Copy)]
pub struct CredentialDescriptor<'a> {
    /// The credential id.
    pub id: &'a [u8],
    /// How the browser reaches the authenticator, as [`NewCredential`](super::NewCredential) had
    /// it. May be empty.
    pub transports: &'a [String],
}

/// Returns the options for `navigator.credentials.create()`. An authenticator that has one of the
/// passkeys in `exclude` makes no second one.
pub fn creation_options(
    rp: &RelyingParty,
    user: UserEntity,
    challenge: &[u8],
    exclude: &[CredentialDescriptor],
) -> Value {
    // Windows Hello needs RS256. The browser takes the first that the authenticator knows.
    let algorithms = [ES256, EDDSA, RS256];
    json!({
        "rp": { "id": rp.id, "name": rp.name },
        "user": {
            "id": base64url(user.id),
            "name": user.name,
            "displayName": user.display_name,
        },
        "challenge": base64url(challenge),
        "pubKeyCredParams": algorithms.map(|alg| json!({ "type": "public-key", "alg": alg })),
        "timeout": TIMEOUT,
        "excludeCredentials": descriptors(exclude),
        // "required" would use up the few places that a security key has.
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": false,
            "userVerification": "preferred",
        },
        "hints": [],
        "attestation": "none",
        "extensions": { "credProps": true },
    })
}

/// Returns the options for `navigator.credentials.get()`. If `allow` is empty, the browser offers
/// every passkey that it has for the site.
///
/// For a visitor who is not logged in, `allow` is empty. Otherwise it would tell a stranger which
/// accounts exist, and which passkeys they have.
pub fn request_options(
    rp: &RelyingParty,
    challenge: &[u8],
    allow: &[CredentialDescriptor],
    user_verification: UserVerification,
) -> Value {
    json!({
        "challenge": base64url(challenge),
        "rpId": rp.id,
        "timeout": TIMEOUT,
        "allowCredentials": descriptors(allow),
        "userVerification": user_verification.name(),
        "hints": [],
    })
}

fn descriptors(credentials: &[CredentialDescriptor]) -> Vec<Value> {
    let descriptor = |credential: &CredentialDescriptor| {
        json!({
            "type": "public-key",
            "id": base64url(credential.id),
            "transports": credential.transports,
        })
    };
    credentials.iter().map(descriptor).collect()
}

/// Writes bytes as the fields of these objects have them.
pub fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
