//! A passkey for tests, without a browser.

use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::token::Token;

/// The flags of an authenticator's data (Web Authentication, level 3, section 6.1).
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;

/// An authenticator that keeps passkeys, and does what a browser does with it. It asks nobody.
///
/// # Examples
///
/// ```rust
/// use rocket_login::testing::Authenticator;
///
/// # fn example(creation: &str, request: &str) {
/// let phone = Authenticator::new("http://localhost:8000");
/// let new_passkey = phone.create(creation); // for the field `credential` of `/account/passkeys`
/// let answer = phone.get(request); // for that of `/login/passkey`
/// # }
/// ```
#[derive(Debug)]
pub struct Authenticator {
    origin: String,
    is_verifying: bool,
    is_syncing: bool,
    /// `true` if its counter stays where it is.
    is_copied: bool,
    passkeys: Mutex<Vec<Passkey>>,
}

struct Passkey {
    id: Vec<u8>,
    rp_id: String,
    user_handle: String,
    key: EcdsaKeyPair,
    count: u32,
}

/// It prints no key.
impl std::fmt::Debug for Passkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passkey").field("rp_id", &self.rp_id).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Creates one without any passkey, in a browser that shows a page of `origin`, as in
    /// `https://example.org`. It verifies its user.
    pub fn new(origin: &str) -> Self {
        Authenticator {
            origin: origin.to_owned(),
            is_verifying: true,
            is_syncing: false,
            is_copied: false,
            passkeys: Mutex::default(),
        }
    }

    /// Makes it one that checks neither a PIN nor a finger, as an old security key does.
    pub fn without_verification(mut self) -> Self {
        self.is_verifying = false;
        self
    }

    /// Makes it one that syncs its passkeys to other devices.
    pub fn synced(mut self) -> Self {
        self.is_syncing = true;
        self
    }

    /// Makes it one whose counter does not grow, as that of a copy does.
    pub fn copied(mut self) -> Self {
        self.is_copied = true;
        self
    }

    /// Makes a passkey, as `navigator.credentials.create()` does with these options, and returns what it
    /// answers (`RegistrationResponseJSON`).
    ///
    /// # Panics
    ///
    /// If the options are not of the site, or the system gives no random bytes.
    pub fn create(&self, options: &str) -> String {
        let options: Value = serde_json::from_str(options).expect("options");
        let rp_id = text(&options["rp"]["id"]);
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        let id = Token::generate().id().as_bytes().to_vec();

        let mut data = self.data(&rp_id, HAS_CREDENTIAL, 0);
        data.extend([0; 16]);
        data.extend((id.len() as u16).to_be_bytes());
        data.extend(&id);
        data.extend(cose(key.public_key().as_ref()));
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        attestation.extend((data.len() as u16).to_be_bytes());
        attestation.extend(data);

        let client_data = self.client_data("webauthn.create", &text(&options["challenge"]));
        let answer = json!({
            "id": base64url(&id),
            "rawId": base64url(&id),
            "type": "public-key",
            "response": {
                "clientDataJSON": base64url(client_data.as_bytes()),
                "attestationObject": base64url(&attestation),
                "transports": ["internal"],
            },
            "clientExtensionResults": { "credProps": { "rk": true } },
        });
        let user_handle = text(&options["user"]["id"]);
        self.lock().push(Passkey { id, rp_id, user_handle, key, count: 0 });
        answer.to_string()
    }

    /// Answers with a passkey, as `navigator.credentials.get()` does with these options
    /// (`AuthenticationResponseJSON`). If the options name several, it takes the first one that it has.
    ///
    /// # Panics
    ///
    /// If it has no passkey for the options.
    pub fn get(&self, options: &str) -> String {
        let options: Value = serde_json::from_str(options).expect("options");
        let rp_id = text(&options["rpId"]);
        let allowed = options["allowCredentials"].as_array().expect("a list");
        let is_allowed = |id: &[u8]| {
            let id = base64url(id);
            allowed.is_empty() || allowed.iter().any(|one| one["id"] == id.as_str())
        };
        let mut passkeys = self.lock();
        let passkey = passkeys.iter_mut().find(|one| one.rp_id == rp_id && is_allowed(&one.id));
        let passkey = passkey.expect("a passkey");
        passkey.count += u32::from(!self.is_copied || passkey.count == 0);

        let client_data = self.client_data("webauthn.get", &text(&options["challenge"]));
        let data = self.data(&rp_id, 0, passkey.count);
        let mut message = data.clone();
        message.extend(Sha256::digest(&client_data));
        let signature = passkey.key.sign(&SystemRandom::new(), &message).expect("a signature");
        let id = base64url(&passkey.id);
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "response": {
                "clientDataJSON": base64url(client_data.as_bytes()),
                "authenticatorData": base64url(&data),
                "signature": base64url(signature.as_ref()),
                "userHandle": passkey.user_handle,
            },
            "clientExtensionResults": {},
        })
        .to_string()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Passkey>> {
        self.passkeys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client_data(&self, kind: &str, challenge: &str) -> String {
        let Authenticator { origin, .. } = self;
        json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false })
            .to_string()
    }

    fn data(&self, rp_id: &str, flags: u8, count: u32) -> Vec<u8> {
        let mut flags = flags | USER_PRESENT;
        if self.is_verifying {
            flags |= USER_VERIFIED;
        }
        if self.is_syncing {
            flags |= BACKUP_ELIGIBLE | BACKED_UP;
        }
        let mut data = Sha256::digest(rp_id).to_vec();
        data.push(flags);
        data.extend(count.to_be_bytes());
        data
    }
}

/// Returns the COSE key of a point in its uncompressed form.
fn cose(point: &[u8]) -> Vec<u8> {
    let (x, y) = point[1..].split_at(32);
    let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
    key.extend(x);
    key.extend(b"\x22\x58\x20");
    key.extend(y);
    key
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
