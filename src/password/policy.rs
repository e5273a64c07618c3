//! What may become somebody's password.

use std::sync::LazyLock;

use fst::Set;

use super::{Password, PasswordError};
use crate::config::PasswordConfig;

/// The most common passwords, lower-cased. See `common.md`.
static COMMON: LazyLock<Set<&'static [u8]>> = LazyLock::new(|| {
    Set::new(&include_bytes!(concat!(env!("OUT_DIR"), "/common.fst"))[..])
        .expect("the build makes a set")
});

/// Shorter parts of an address or of the site's name are in too many good
/// passwords.
const SHORTEST_WORD: usize = 3;

/// Checks `password` against the policy. `context` is what an attacker tries
/// first: the address, the site's name.
///
/// Every code point counts as one, and there are no rules of composition (ASVS
/// 5.0, 6.2.5).
pub fn check(
    password: &Password,
    policy: &PasswordConfig,
    context: &[&str],
) -> Result<(), PasswordError> {
    match password.0.chars().count() {
        length if length < policy.min_length => {
            return Err(PasswordError::TooShort(policy.min_length));
        }
        length if length > policy.max_length => {
            return Err(PasswordError::TooLong(policy.max_length));
        }
        _ => {}
    }

    // The length is bounded from here on, and so is the work.
    let lower = password.0.to_lowercase();
    if COMMON.contains(&lower) {
        return Err(PasswordError::Common);
    }

    match is_made_of(&lower, context) {
        true => Err(PasswordError::Context),
        false => Ok(()),
    }
}

/// Whether nothing is left of `password` but digits and punctuation once the
/// words of `context` are taken out.
fn is_made_of(password: &str, context: &[&str]) -> bool {
    let mut words: Vec<String> = context
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= SHORTEST_WORD)
        .collect();
    // The longest first, so that no word takes a part out of a longer one.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));

    let mut left = password.to_owned();
    let mut found = false;
    for word in words {
        // Replaced by something, or what is left would grow together.
        let without = left.replace(&word, " ");
        found |= without != left;
        left = without;
    }
    found && !left.contains(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attacker_tries_first_is_made_of_the_context() {
        let context = ["ada.lovelace@maths.example.org", "rocket-login"];
        for password in [
            "ada.lovelace@maths.example.org",
            "ada.lovelace",
            "adalovelace1815!",
            "lovelace-lovelace",
            "example.org2026",
            "rocketlogin123",
            "ADA LOVELACE MATHS".to_lowercase().as_str(),
        ] {
            assert!(is_made_of(password, &context), "{password}");
        }

        for password in [
            "ada likes long walks",
            "correct horse battery",
            "1234-5678-9012",
            "lovelacewasright",
            "",
        ] {
            assert!(!is_made_of(password, &context), "{password}");
        }
    }
}
