//! The table `password`: the rules for passwords, and the cost of a hash.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::{ConfigError, check_range};

/// The minimum for Argon2id with p = 1 from OWASP's Password Storage Cheat Sheet: memory in KiB,
/// and the fewest iterations that go with it.
const OWASP_MINIMUM: [(u32, u32); 5] =
    [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The table `password`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PasswordConfig {
    /// `min_length` (12): the shortest password, in Unicode code points; at least 8 (NIST SP
    /// 800-63B-4, section 3.1.1.2, and ASVS 6.2.1).
    pub min_length: usize,
    /// `max_length` (128): the longest password, in Unicode code points; at least 64 (ASVS 6.2.9).
    pub max_length: usize,
    /// `memory_kib` (19456): Argon2id's memory in KiB. The default is OWASP's first choice.
    pub memory_kib: u32,
    /// `iterations` (2): Argon2id's passes over the memory.
    pub iterations: u32,
    /// `parallelism` (1): Argon2id's lanes. With one lane, a log-in uses one core.
    pub parallelism: u32,
    /// `concurrent_hashes` (number of cores): the most passwords that are hashed at the same time.
    /// Each takes `memory_kib` from its first hash until it has had no work for 20 seconds.
    pub concurrent_hashes: usize,
    /// `peppers` (none): keys that go into each hash, the current one first. An attacker who steals
    /// only the database cannot try passwords then. Each hash names its key, so an earlier key must
    /// stay here until all users have logged in.
    pub peppers: Vec<Pepper>,
    /// `breached_url` (none): a service that knows breached passwords by range, as
    /// `https://api.pwnedpasswords.com/range`. It gets only five hexadecimal digits of a hash. A
    /// password is accepted if the service does not answer within two seconds.
    pub breached_url: Option<String>,
}

/// A key that goes into password hashes: 32 bytes, written in base64. Its `Debug` output does not
/// show it.
#[derive(Clone)]
pub struct Pepper(Zeroizing<[u8; 32]>);

impl Pepper {
    /// Returns the bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &*self.0
    }

    /// Returns the id by which a hash names this key: 8 bytes that reveal nothing about it.
    pub fn id(&self) -> [u8; 8] {
        let digest = Sha256::new_with_prefix("pepper").chain_update(self.as_bytes()).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        id
    }
}

impl<'de> Deserialize<'de> for Pepper {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(de)?);
        let mut key = Zeroizing::new([0; 32]);
        match BASE64_STANDARD.decode_slice(text.as_bytes(), key.as_mut()) {
            Ok(32) if *key != [0; 32] => Ok(Pepper(key)),
            // Serde's own message would quote the value.
            _ => Err(D::Error::custom(
                "expected keys of 32 bytes in base64, as the command `secret-key` prints them",
            )),
        }
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper")
    }
}

impl Default for PasswordConfig {
    fn default() -> Self {
        PasswordConfig {
            min_length: 12,
            max_length: 128,
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            concurrent_hashes: std::thread::available_parallelism().map_or(1, usize::from),
            peppers: Vec::new(),
            breached_url: None,
        }
    }
}

impl PasswordConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_range("password.max_length", self.max_length, 64..=1024)?;
        check_range("password.min_length", self.min_length, 8..=self.max_length)?;
        check_range("password.parallelism", self.parallelism, 1..=4)?;
        check_range("password.iterations", self.iterations, 1..=10)?;
        // Argon2 needs 8 KiB for each lane (RFC 9106, section 3.1).
        check_range("password.memory_kib", self.memory_kib, 8 * self.parallelism..=131_072)?;
        check_range("password.concurrent_hashes", self.concurrent_hashes, 1..=64)?;

        // Nobody on the network may read the first digits of a hash.
        let is_open = |url: &str| match Url::parse(url) {
            Ok(url) if url.scheme() == "http" => {
                !matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
            }
            Ok(url) => url.scheme() != "https",
            Err(_) => true,
        };
        match self.breached_url.as_deref().filter(|url| is_open(url)) {
            None => Ok(()),
            Some(_) => Err(ConfigError::new(
                "password.breached_url",
                "is not an https address; write \"https://api.pwnedpasswords.com/range\"",
            )),
        }
    }

    pub(super) fn warning(&self) -> Option<String> {
        let strong = OWASP_MINIMUM
            .iter()
            .any(|(memory, passes)| self.memory_kib >= *memory && self.iterations >= *passes);

        (!strong).then(|| {
            format!(
                "password.memory_kib = {} with password.iterations = {} is below OWASP's minimum; \
                 write 19456 and 2",
                self.memory_kib, self.iterations
            )
        })
    }
}
