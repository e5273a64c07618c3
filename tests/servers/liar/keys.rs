//! The keys of the provider, and what it signs with them, rightly and wrongly.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ring::hmac;
use ring::rand::{self, SystemRandom};
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

/// A key for tests alone: `ring` makes none for RSA.
const RSA: &str = include_str!("rsa.txt");

/// How the provider signs its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    Es256,
    Rs256,
    EdDsa,
    /// With the right key, which the header does not name.
    WithoutKid,
    /// `alg` is `none`, without a signature.
    None,
    /// `alg` is `nOnE`, without a signature.
    OddNone,
    /// With a key that everybody knows: the public one, used as a secret.
    Hs256,
    /// With the right key, and an algorithm that was not agreed upon.
    Ps256,
    /// With another key, under the name of the right one.
    OtherKey,
    /// With another key, which the header carries.
    OwnKeyInHeader,
    /// With another key, under a name that no list has.
    UnknownKid,
    /// The header says RS256 and names the key for ES256.
    OtherAlgorithm,
    /// It is by the right key, but of other claims.
    Damaged,
    /// Rightly, and the header demands an extension that nobody knows.
    Critical,
}

impl Signing {
    /// The ways that a client must refuse.
    pub const FALSE: [Signing; 10] = [
        Signing::None,
        Signing::OddNone,
        Signing::Hs256,
        Signing::Ps256,
        Signing::OtherKey,
        Signing::OwnKeyInHeader,
        Signing::UnknownKid,
        Signing::OtherAlgorithm,
        Signing::Damaged,
        Signing::Critical,
    ];
}

pub struct Keys {
    /// Grows with each rotation.
    generation: u32,
    ec: EcdsaKeyPair,
    other: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

impl Keys {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let rsa = BASE64_STANDARD.decode(RSA.replace('\n', "")).unwrap();
        Keys {
            generation: 1,
            ec: ec(),
            other: ec(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            rsa: RsaKeyPair::from_der(&rsa).unwrap(),
        }
    }

    /// Replaces the key for ES256 by a new one under a new name.
    pub fn rotate(&mut self) {
        self.generation += 1;
        self.ec = ec();
    }

    fn kid(&self) -> String {
        format!("ec-{}", self.generation)
    }

    /// The public keys. Beside ours are two of which a client has no use.
    pub fn public(&self) -> Value {
        let rsa: PublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let ec = jwk(&self.ec, &self.kid());
        json!({ "keys": [
            { "kty": "oct", "kid": "odd", "k": "AAAA" },
            { "kty": "RSA", "use": "enc", "kid": "rsa", "n": "AQAB", "e": "AQAB" },
            ec,
            { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rsa",
              "n": encoded(&rsa.n), "e": encoded(&rsa.e) },
            { "kty": "OKP", "use": "sig", "crv": "Ed25519", "kid": "ed",
              "x": encoded(self.ed.public_key()) },
        ]})
    }

    /// Returns the public key of a stranger under the name of ours.
    pub fn namesake(&self) -> Value {
        jwk(&self.other, &self.kid())
    }

    /// Signs `claims`. The members of `header` replace or complete the usual ones.
    pub fn sign(&self, signing: Signing, header: &Value, claims: &Value) -> String {
        let (alg, kid) = match signing {
            Signing::Rs256 => ("RS256", Some("rsa".into())),
            Signing::Ps256 => ("PS256", Some("rsa".into())),
            Signing::EdDsa => ("EdDSA", Some("ed".into())),
            Signing::None => ("none", None),
            Signing::OddNone => ("nOnE", None),
            Signing::Hs256 => ("HS256", Some(self.kid())),
            Signing::OtherAlgorithm => ("RS256", Some(self.kid())),
            Signing::UnknownKid => ("ES256", Some("ec-of-nobody".into())),
            Signing::WithoutKid | Signing::OwnKeyInHeader => ("ES256", None),
            _ => ("ES256", Some(self.kid())),
        };
        let mut whole = json!({ "alg": alg, "typ": "JWT" });
        if let Some(kid) = kid {
            whole["kid"] = Value::String(kid);
        }
        match signing {
            Signing::OwnKeyInHeader => whole["jwk"] = jwk(&self.other, "own"),
            Signing::Critical => {
                whole["crit"] = json!(["odd"]);
                whole["odd"] = json!(true);
            }
            _ => (),
        }
        super::merge(&mut whole, header);
        let text = |value: &Value| encoded(value.to_string());
        let signed = format!("{}.{}", text(&whole), text(claims));
        let signature = encoded(self.signature(signing, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn signature(&self, signing: Signing, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let by =
            |key: &EcdsaKeyPair, message| key.sign(&random, message).unwrap().as_ref().to_vec();
        let rsa = |padding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signature).unwrap();
            signature
        };
        match signing {
            Signing::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Signing::Ps256 => rsa(&RSA_PSS_SHA256),
            Signing::EdDsa => self.ed.sign(message).as_ref().to_vec(),
            Signing::None | Signing::OddNone => Vec::new(),
            Signing::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.ec.public_key().as_ref());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Signing::OtherKey | Signing::OwnKeyInHeader | Signing::UnknownKid => {
                by(&self.other, message)
            }
            Signing::Damaged => by(&self.ec, b"something else"),
            _ => by(&self.ec, message),
        }
    }
}

fn ec() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
}

fn jwk(key: &EcdsaKeyPair, kid: &str) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
            "x": encoded(x), "y": encoded(y) })
}

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns something that nobody can guess.
pub fn random() -> String {
    let bytes: [u8; 16] = rand::generate(&SystemRandom::new()).unwrap().expose();
    encoded(bytes)
}
