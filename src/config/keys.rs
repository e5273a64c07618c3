//! The keys that seal cookies, in the formats of Rocket's `secret_key`.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use cookie::Key;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Keys that anybody can look up: the one in Rocket's documentation and the one in this
/// repository's `[debug]` profile. Rocket itself warns only about the first.
const PUBLISHED: [&str; 2] = [
    "hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=",
    "bm90IGEgc2VjcmV0OiB0aGUgZGVidWcga2V5IQAAAAA=",
];

/// A key that seals cookies: 32 bytes (44 characters of base64, or 64 hexadecimal digits) or 64
/// bytes (88 characters of base64).
///
/// It is read exactly as Rocket reads `secret_key`, so that both seal cookies alike. Its `Debug`
/// output does not show the key.
#[derive(Clone)]
pub struct SecretKey {
    key: Key,
    is_zero: bool,
    is_published: bool,
}

impl SecretKey {
    /// Generates a random key, for a debug run without a configured one.
    pub fn generate() -> Self {
        SecretKey { key: Key::generate(), is_zero: false, is_published: false }
    }

    /// Returns whether all bytes are zero, as in Rocket's own defaults if no key is configured.
    pub fn is_zero(&self) -> bool {
        self.is_zero
    }

    /// Returns whether anybody can look this key up in documentation.
    pub fn is_published(&self) -> bool {
        self.is_published
    }

    /// Returns the key itself.
    pub fn key(&self) -> &Key {
        &self.key
    }

    fn from_text(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            44 | 88 => BASE64_STANDARD.decode(text).ok()?,
            64 => unhex(text)?,
            _ => return None,
        };

        let key = Self::from_bytes(&bytes)?;
        Some(SecretKey { is_published: PUBLISHED.contains(&text), ..key })
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let is_zero = bytes.iter().all(|b| *b == 0);
        let key = match bytes.len() {
            ..32 => return None,
            32..64 => Key::derive_from(bytes),
            64.. => Key::from(bytes),
        };

        Some(SecretKey { key, is_zero, is_published: false })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>()?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a key, as the command `secret-key` prints")]
        enum Form {
            Text(String),
            Bytes(Vec<u8>),
        }

        // The message does not quote the value: it may be a key with a typing mistake.
        match Form::deserialize(de)? {
            Form::Text(text) => SecretKey::from_text(&text),
            Form::Bytes(bytes) => SecretKey::from_bytes(&bytes),
        }
        .ok_or_else(|| {
            D::Error::custom("expected 44 or 88 characters of base64, or 64 hexadecimal digits")
        })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_rocket_accepts_is_accepted() {
        let base64 = BASE64_STANDARD.encode([7; 32]);
        let hex = "07".repeat(32);
        let (a, b) = (SecretKey::from_text(&base64).unwrap(), SecretKey::from_text(&hex).unwrap());
        assert!(a.key() == b.key());
        assert!(SecretKey::from_text(&BASE64_STANDARD.encode([7; 64])).unwrap().key() != a.key());
    }

    #[test]
    fn a_key_of_another_length_or_alphabet_is_refused() {
        for text in ["", "secret", &"0".repeat(63), &"g".repeat(64), &"!".repeat(44)] {
            assert!(SecretKey::from_text(text).is_none(), "{text}");
        }
    }

    #[test]
    fn keys_that_are_not_secret_are_recognised() {
        assert!(PUBLISHED.iter().all(|key| SecretKey::from_text(key).unwrap().is_published()));
        assert!(SecretKey::from_bytes(&[0; 32]).unwrap().is_zero());
        let good = SecretKey::from_bytes(&[7; 32]).unwrap();
        assert!(!good.is_zero() && !good.is_published());
    }
}
