//! The browser's responses, as `PublicKeyCredential.toJSON()` writes them. They are verified in the
//! order of sections 7.1 and 7.2 of the specification.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::authenticator_data::{AuthenticatorData, check_id_length, parse_attestation_object};
use super::public_key::PublicKey;
use super::{Base64Url, Refusal, RelyingParty, UserVerification};

/// The most bytes of a response. The longest id and a large RSA key need half of it.
const LONGEST_RESPONSE: usize = 16 * 1024;

/// The ways to an authenticator that level 3 knows. Other words are dropped, so that nobody fills
/// the database with words of their own.
const TRANSPORTS: [&str; 6] = ["ble", "hybrid", "internal", "nfc", "smart-card", "usb"];

/// A browser's answer to `navigator.credentials.create()`, parsed but not verified.
#[derive(Debug)]
pub struct RegistrationResponse {
    id: Vec<u8>,
    client_data: ClientData,
    authenticator_data: AuthenticatorData,
    transports: Vec<String>,
    is_discoverable: Option<bool>,
}

/// A verified new credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// The credential id: at most 1,023 bytes. The caller refuses one that any user has already.
    pub id: Vec<u8>,
    /// The public key, as a COSE_Key.
    pub public_key: Vec<u8>,
    /// The signature counter. Zero: the authenticator may not count at all.
    pub sign_count: u32,
    /// The authenticator's make. It proves nothing, and many leave it zero.
    pub aaguid: [u8; 16],
    /// `true` if the authenticator verified its user.
    pub is_user_verified: bool,
    /// `true` if the passkey can be synced to other devices. This never changes.
    pub is_backup_eligible: bool,
    /// `true` if the passkey is synced now.
    pub is_backed_up: bool,
    /// How the browser reaches the authenticator: words that level 3 knows, each once.
    pub transports: Vec<String>,
    /// `true` if the passkey can log in without a user name. `None`: the browser does not say.
    pub is_discoverable: Option<bool>,
}

impl RegistrationResponse {
    /// Parses `RegistrationResponseJSON`.
    pub fn parse(json: &str) -> Result<Self, Refusal> {
        let (id, credential) = Credential::<AttestationJson>::parse(json)?;
        let response = credential.response;
        let is_sent = |known: &&str| response.transports.iter().any(|sent| sent == known);
        let transports = TRANSPORTS.into_iter().filter(is_sent).map(str::to_owned).collect();
        Ok(RegistrationResponse {
            id,
            client_data: ClientData::parse(&response.client_data_json.0)?,
            authenticator_data: parse_attestation_object(&response.attestation_object.0)?,
            transports,
            is_discoverable: credential.client_extension_results.cred_props.and_then(|it| it.rk),
        })
    }

    /// Returns the challenge that the browser answered, so that the caller finds its own.
    pub fn challenge(&self) -> &[u8] {
        &self.client_data.challenge.0
    }

    /// Verifies the response to the caller's own `challenge`.
    pub fn verify(&self, rp: &RelyingParty, challenge: &[u8]) -> Result<NewCredential, Refusal> {
        self.client_data.verify("webauthn.create", challenge, rp)?;
        let data = &self.authenticator_data;
        data.verify(&rp.id, UserVerification::Preferred)?;
        let credential = data.credential.as_ref().ok_or(Refusal::NoCredential)?;
        PublicKey::parse(&credential.public_key)?.check_point()?;
        // The page could name any id outside of the authenticator data, such as a stranger's.
        if credential.id != self.id {
            return Err(Refusal::IdMismatch);
        }
        Ok(NewCredential {
            id: credential.id.clone(),
            public_key: credential.public_key.clone(),
            sign_count: data.sign_count,
            aaguid: credential.aaguid,
            is_user_verified: data.is_user_verified(),
            is_backup_eligible: data.is_backup_eligible(),
            is_backed_up: data.is_backed_up(),
            transports: self.transports.clone(),
            is_discoverable: self.is_discoverable,
        })
    }
}

/// A browser's answer to `navigator.credentials.get()`, parsed but not verified.
#[derive(Debug)]
pub struct AuthenticationResponse {
    id: Vec<u8>,
    client_data: ClientData,
    authenticator_data: AuthenticatorData,
    /// The signed bytes: the authenticator data, and the hash of the client data.
    message: Vec<u8>,
    signature: Vec<u8>,
    user_handle: Option<Vec<u8>>,
}

/// The stored part of a passkey that verifies an assertion.
#[derive(Debug, Clone, Copy)]
pub struct StoredKey<'a> {
    /// The public key, as a COSE_Key.
    pub public_key: &'a [u8],
    /// `true` if the passkey could be synced when it was registered.
    pub is_backup_eligible: bool,
    /// The signature counter of the last assertion.
    pub sign_count: u32,
}

/// A verified assertion: its maker has the passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion {
    /// The signature counter to store: the larger one of the stored and the sent.
    pub sign_count: u32,
    /// `true` if the authenticator counts and its counter did not grow. Somebody may have copied
    /// the passkey, but two requests that overtake each other look the same. So the assertion is
    /// good, and the caller records an event.
    pub is_clone_suspected: bool,
    /// `true` if the authenticator verified its user.
    pub is_user_verified: bool,
    /// `true` if the passkey is synced now.
    pub is_backed_up: bool,
}

impl AuthenticationResponse {
    /// Parses `AuthenticationResponseJSON`.
    pub fn parse(json: &str) -> Result<Self, Refusal> {
        let (id, credential) = Credential::<AssertionJson>::parse(json)?;
        let response = credential.response;
        let client_data = ClientData::parse(&response.client_data_json.0)?;
        let mut message = response.authenticator_data.0;
        let authenticator_data = AuthenticatorData::parse(&message)?;
        message.extend(Sha256::digest(&response.client_data_json.0));
        Ok(AuthenticationResponse {
            id,
            client_data,
            authenticator_data,
            message,
            signature: response.signature.0,
            // Some authenticators send an empty handle instead of none.
            user_handle: response.user_handle.map(|it| it.0).filter(|it| !it.is_empty()),
        })
    }

    /// Returns the challenge that the browser answered, so that the caller finds its own.
    pub fn challenge(&self) -> &[u8] {
        &self.client_data.challenge.0
    }

    /// Returns the id of the passkey: from 1 to 1,023 bytes.
    pub fn credential_id(&self) -> &[u8] {
        &self.id
    }

    /// Returns the user handle. Nothing signs it: the caller compares it with the passkey's owner.
    /// `None` means that the authenticator does not keep it.
    pub fn user_handle(&self) -> Option<&[u8]> {
        self.user_handle.as_deref()
    }

    /// Verifies the response to the caller's own `challenge`, with the key that is stored for
    /// [`Self::credential_id()`].
    pub fn verify(
        &self,
        rp: &RelyingParty,
        challenge: &[u8],
        stored: &StoredKey,
        user_verification: UserVerification,
    ) -> Result<Assertion, Refusal> {
        self.client_data.verify("webauthn.get", challenge, rp)?;
        let data = &self.authenticator_data;
        data.verify(&rp.id, user_verification)?;
        if data.is_backup_eligible() != stored.is_backup_eligible {
            return Err(Refusal::BackupEligibility);
        }
        PublicKey::parse(stored.public_key)?.verify(&self.message, &self.signature)?;
        let is_counting = data.sign_count != 0 || stored.sign_count != 0;
        Ok(Assertion {
            sign_count: data.sign_count.max(stored.sign_count),
            is_clone_suspected: is_counting && data.sign_count <= stored.sign_count,
            is_user_verified: data.is_user_verified(),
            is_backed_up: data.is_backed_up(),
        })
    }
}

/// The browser's description of the ceremony. The authenticator signs its hash, so a page cannot
/// change it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: Base64Url,
    origin: String,
    cross_origin: Option<bool>,
    top_origin: Option<String>,
}

impl ClientData {
    fn parse(json: &[u8]) -> Result<Self, Refusal> {
        parse_object(json).ok_or(Refusal::Malformed("the client data"))
    }

    fn verify(&self, r#type: &str, challenge: &[u8], rp: &RelyingParty) -> Result<(), Refusal> {
        if self.r#type != r#type {
            return Err(Refusal::WrongType);
        }
        if self.challenge.0 != challenge {
            return Err(Refusal::WrongChallenge);
        }
        // This is what makes a passkey safe from phishing: the browser writes the page's origin.
        if !rp.origins.contains(&self.origin) {
            return Err(Refusal::WrongOrigin);
        }
        // A site that frames our page could lay its own content over it (clickjacking).
        if self.cross_origin == Some(true) || self.top_origin.is_some() {
            return Err(Refusal::CrossOrigin);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential<R> {
    id: Base64Url,
    raw_id: Base64Url,
    #[serde(rename = "type")]
    _type: CredentialType,
    response: R,
    #[serde(default)]
    client_extension_results: ExtensionResults,
}

#[derive(Deserialize)]
enum CredentialType {
    #[serde(rename = "public-key")]
    PublicKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationJson {
    #[serde(rename = "clientDataJSON")]
    client_data_json: Base64Url,
    attestation_object: Base64Url,
    #[serde(default)]
    transports: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssertionJson {
    #[serde(rename = "clientDataJSON")]
    client_data_json: Base64Url,
    authenticator_data: Base64Url,
    signature: Base64Url,
    user_handle: Option<Base64Url>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExtensionResults {
    cred_props: Option<CredentialProperties>,
}

#[derive(Deserialize)]
struct CredentialProperties {
    rk: Option<bool>,
}

impl<R: DeserializeOwned> Credential<R> {
    /// Parses a credential and returns its id as well.
    fn parse(json: &str) -> Result<(Vec<u8>, Self), Refusal> {
        const MALFORMED: Refusal = Refusal::Malformed("the response");

        if json.len() > LONGEST_RESPONSE {
            return Err(MALFORMED);
        }
        let mut credential: Self = parse_object(json.as_bytes()).ok_or(MALFORMED)?;
        let id = std::mem::take(&mut credential.raw_id.0);
        check_id_length(id.len())?;
        if credential.id.0 != id {
            return Err(Refusal::IdMismatch);
        }
        Ok((id, credential))
    }
}

/// Parses a JSON object. `serde` refuses keys that are there twice, but it would also take a list
/// of the values.
fn parse_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    if !json.starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(json).ok()
}
