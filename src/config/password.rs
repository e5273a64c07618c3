//! The table `password`: what is accepted, and how hard it is hashed.

use serde::Deserialize;

use super::{ConfigError, check_range};

/// OWASP Password Storage Cheat Sheet, Argon2id with p = 1: memory in KiB and
/// the fewest iterations that go with it.
const OWASP_MINIMUM: [(u32, u32); 5] =
    [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The table `password`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// `min_length` (12), in Unicode code points; 8 at least (NIST SP
    /// 800-63B-4, section 3.1.1.2, and ASVS 6.2.1).
    pub min_length: usize,
    /// `max_length` (128), in Unicode code points; 64 at least (ASVS 6.2.9).
    pub max_length: usize,
    /// `memory_kib` (19456): Argon2id's memory, OWASP's first choice.
    pub memory_kib: u32,
    /// `iterations` (2): Argon2id's passes.
    pub iterations: u32,
    /// `parallelism` (1): Argon2id's lanes. One: a log-in uses one core.
    pub parallelism: u32,
    /// `concurrent_hashes` (number of cores): how many passwords are hashed at
    /// once; each takes `memory_kib` for as long as the process runs.
    pub concurrent_hashes: usize,
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
        }
    }
}

impl PasswordConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_range("password.max_length", self.max_length, 64..=1024)?;
        check_range("password.min_length", self.min_length, 8..=self.max_length)?;
        check_range("password.parallelism", self.parallelism, 1..=4)?;
        check_range("password.iterations", self.iterations, 1..=10)?;
        // Argon2 needs 8 KiB a lane (RFC 9106, section 3.1).
        check_range("password.memory_kib", self.memory_kib, 8 * self.parallelism..=131_072)?;
        check_range("password.concurrent_hashes", self.concurrent_hashes, 1..=64)
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
