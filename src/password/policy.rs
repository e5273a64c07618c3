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

/// So much of one's own beside the context is hard enough to guess: eight random
/// digits, as long as the shortest password that may be configured.
const SHORTEST_OWN: usize = 8;

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

/// Whether little is left of `password`, and no letter, once `context` and its
/// words are taken out.
fn is_made_of(password: &str, context: &[&str]) -> bool {
    let is_part = |c: char| !c.is_alphanumeric();
    let mut words: Vec<String> = context
        .iter()
        .flat_map(|text| text.split('@').chain(text.split(is_part)).chain([*text]))
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

    // Shorter parts, as "de" in "example.de", only where they stand alone.
    let is_short = |run: &str| {
        context
            .iter()
            .flat_map(|text| text.split(is_part))
            .any(|part| part.eq_ignore_ascii_case(run))
    };
    let letters = left.split(|c: char| !c.is_alphabetic()).filter(|run| !run.is_empty());
    let has_own_letters = letters.into_iter().any(|run| !is_short(run));
    let own = left.chars().filter(|c| !c.is_whitespace()).count();
    found && !has_own_letters && own < SHORTEST_OWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_parts_of_an_address_do_not_help() {
        for address in ["ada.lovelace@example.de", "jo@example.org", "ada@bigcorp.co.uk", "a@b.io"]
        {
            assert!(is_made_of(address, &[address]), "{address}");
        }
        assert!(is_made_of("example.de2026", &["ada@example.de"]));
    }

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
            "ada 81736620994177231558",
            "ada🦀🦀🦀🦀🦀🦀🦀🦀🦀",
            "",
        ] {
            assert!(!is_made_of(password, &context), "{password}");
        }
    }
}
