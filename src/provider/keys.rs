//! The public keys of a provider: a JWK Set (RFC 7517, 7518 and 8037).

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

/// The most keys of one provider. Each of them may be tried for a token that names none.
const MOST_KEYS: usize = 100;

/// The lengths of an RSA modulus in bytes: 2,048 to 8,192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The longest public exponent in bytes. `ring` takes none that is longer.
const LONGEST_EXPONENT: usize = 5;

/// How a token is signed. `none` is not among them, nor is HS256: with it anybody could sign with the
/// provider's *public* key, which a careless verifier takes as the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// Returns the algorithm of this name in a token's header. `None` means that it is not permitted.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Algorithm::Rs256),
            "ES256" => Some(Algorithm::Es256),
            "EdDSA" => Some(Algorithm::EdDsa),
            _ => None,
        }
    }
}

/// The keys of a provider that can verify what we permit.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    public: PublicKey,
}

enum PublicKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point in its uncompressed form.
    P256([u8; 65]),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A JWK Set, as it comes.
#[derive(Deserialize)]
pub struct Set {
    keys: Vec<serde_json::Value>,
}

/// The members of a key that are looked at. Its `x5u` and the like are not: they would let a key name
/// another one.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Takes the keys of `set` that can verify a signature we permit. The others are skipped: sets
    /// have keys for encryption too, and of new kinds. `None` means that there is none at all.
    pub fn of(set: Set) -> Option<Self> {
        let keys = set.keys.into_iter().take(MOST_KEYS);
        let keys: Vec<_> =
            keys.filter_map(|key| Key::of(serde_json::from_value(key).ok()?)).collect();
        (!keys.is_empty()).then_some(Keys(keys))
    }

    /// Returns whether `signature` is of `signed` by the key with this id. A token without an id is
    /// good if one of the keys of its algorithm has signed it.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> bool {
        let named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let mut fitting = named.filter(|key| key.public.algorithm() == algorithm);
        fitting.any(|key| key.public.verify(signed, signature))
    }
}

impl Key {
    fn of(jwk: Jwk) -> Option<Self> {
        if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig")
            || jwk.key_ops.as_ref().is_some_and(|all| !all.iter().any(|one| one == "verify"))
        {
            return None;
        }
        let curve = jwk.crv.as_deref();
        let public = match jwk.kty.as_str() {
            "RSA" => rsa(&jwk)?,
            "EC" if curve == Some("P-256") => p256(&jwk)?,
            "OKP" if curve == Some("Ed25519") => ed25519(&jwk)?,
            _ => return None,
        };
        let fits = |name: &String| Algorithm::of(name) == Some(public.algorithm());
        jwk.alg.as_ref().is_none_or(fits).then_some(Key { id: jwk.kid, public })
    }
}

impl PublicKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            PublicKey::Rsa { .. } => Algorithm::Rs256,
            PublicKey::P256(_) => Algorithm::Es256,
            PublicKey::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            PublicKey::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            PublicKey::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            PublicKey::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
        };
        verified.is_ok()
    }
}

fn rsa(jwk: &Jwk) -> Option<PublicKey> {
    let modulus = number(jwk.n.as_deref()?)?;
    let exponent = number(jwk.e.as_deref()?)?;
    let is_good = MODULUS_BYTES.contains(&modulus.len()) && exponent.len() <= LONGEST_EXPONENT;
    is_good.then_some(PublicKey::Rsa { modulus, exponent })
}

fn p256(jwk: &Jwk) -> Option<PublicKey> {
    let (x, y) = (bytes(jwk.x.as_deref()?)?, bytes(jwk.y.as_deref()?)?);
    if (x.len(), y.len()) != (32, 32) {
        return None;
    }
    let point = [&[4], &x[..], &y[..]].concat();
    Some(PublicKey::P256(point.try_into().ok()?))
}

fn ed25519(jwk: &Jwk) -> Option<PublicKey> {
    let key = bytes(jwk.x.as_deref()?)?;
    (key.len() == 32).then_some(PublicKey::Ed25519(key))
}

/// Decodes base64url, without padding and without bits that mean nothing.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes a number. Some providers put a zero before it, which `ring` refuses.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}
