//! The numbers of PostgreSQL's advisory locks.

use sha2::{Digest, Sha256};

/// Returns the number of the advisory lock `name`. If two names had one number, they would only
/// wait for each other.
pub fn lock_number(name: &str) -> i64 {
    let digest: [u8; 32] =
        Sha256::new_with_prefix("rocket-login ").chain_update(name).finalize().into();
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(key)
}
