//! The public key of a passkey: a COSE_Key (RFC 9052 and 9053; RFC 8230 for RSA).

use std::collections::BTreeMap;

use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::Refusal;
use super::cbor::{Reader, Value};

// The algorithms that we offer, by their numbers in the COSE registry.
pub const ES256: i64 = -7;
pub const EDDSA: i64 = -8;
pub const RS256: i64 = -257;

// The labels of a key's parameters. Those below zero mean something else for each type.
const KEY_TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const MODULUS: i64 = -1;
const EXPONENT: i64 = -2;

/// The lengths of an RSA modulus in bytes that `ring` verifies: 2,048 to 8,192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A public key.
#[derive(Debug)]
pub enum PublicKey<'a> {
    /// The point in its uncompressed form.
    Es256([u8; 65]),
    EdDsa(&'a [u8]),
    Rs256 {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
}

impl<'a> PublicKey<'a> {
    /// Parses a COSE_Key. The specification allows no parameter that the algorithm does not need.
    pub fn parse(cose_key: &'a [u8]) -> Result<Self, Refusal> {
        let parameters = Parameters::read(cose_key).ok_or(Refusal::UnusableKey)?;
        let key = match parameters.int(ALGORITHM) {
            Some(ES256) => parameters.es256(),
            Some(EDDSA) => parameters.eddsa(),
            Some(RS256) => parameters.rs256(),
            _ => return Err(Refusal::UnsupportedAlgorithm),
        };
        key.ok_or(Refusal::UnusableKey)
    }

    /// Refuses a point that is not on the curve, so that nobody keeps a passkey that can never log
    /// in. A key agreement is the one operation of `ring` that looks at the point by itself. Other
    /// bad keys are not found here; they harm their owner alone.
    pub fn check_point(&self) -> Result<(), Refusal> {
        let PublicKey::Es256(point) = self else { return Ok(()) };
        EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())
            .and_then(|key| {
                let point = agreement::UnparsedPublicKey::new(&ECDH_P256, point);
                agreement::agree_ephemeral(key, &point, |_| ())
            })
            .map_err(|_| Refusal::UnusableKey)
    }

    /// Verifies the signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        match self {
            PublicKey::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            PublicKey::EdDsa(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            PublicKey::Rs256 { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
        }
        .map_err(|_| Refusal::WrongSignature)
    }
}

struct Parameters<'a>(BTreeMap<i64, Value<'a>>);

impl<'a> Parameters<'a> {
    fn read(cose_key: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(cose_key);
        let mut parameters = BTreeMap::new();
        for _ in 0..reader.map()? {
            let is_repeated = parameters.insert(reader.value()?.int()?, reader.value()?).is_some();
            if is_repeated {
                return None;
            }
        }
        reader.is_at_end().then_some(Parameters(parameters))
    }

    fn es256(&self) -> Option<PublicKey<'a>> {
        self.is(5, 2)?;
        let (x, y) = (self.coordinate(X)?, self.coordinate(Y)?);
        let mut point = [4; 65];
        point[1..33].copy_from_slice(x);
        point[33..].copy_from_slice(y);
        (self.int(CURVE) == Some(1)).then_some(PublicKey::Es256(point))
    }

    fn eddsa(&self) -> Option<PublicKey<'a>> {
        self.is(4, 1)?;
        (self.int(CURVE) == Some(6)).then_some(PublicKey::EdDsa(self.coordinate(X)?))
    }

    fn rs256(&self) -> Option<PublicKey<'a>> {
        self.is(4, 3)?;
        let (modulus, exponent) = (self.bytes(MODULUS)?, self.bytes(EXPONENT)?);
        // `ring` takes odd numbers without leading zeros, and no exponent beyond 33 bits.
        let is_odd = |number: &[u8]| {
            number.first().is_some_and(|byte| *byte != 0)
                && number.last().is_some_and(|byte| byte % 2 == 1)
        };
        let is_usable = MODULUS_BYTES.contains(&modulus.len())
            && is_odd(modulus)
            && exponent.len() <= 4
            && is_odd(exponent)
            && exponent != [1];
        is_usable.then_some(PublicKey::Rs256 { modulus, exponent })
    }

    /// Returns `None` if the key has another number of parameters or is of another type.
    fn is(&self, count: usize, key_type: i64) -> Option<()> {
        (self.0.len() == count && self.int(KEY_TYPE) == Some(key_type)).then_some(())
    }

    fn coordinate(&self, label: i64) -> Option<&'a [u8]> {
        self.bytes(label).filter(|bytes| bytes.len() == 32)
    }

    fn int(&self, label: i64) -> Option<i64> {
        self.0.get(&label)?.int()
    }

    fn bytes(&self, label: i64) -> Option<&'a [u8]> {
        self.0.get(&label)?.bytes()
    }
}
