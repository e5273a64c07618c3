//! The policy for new passwords.

use std::sync::LazyLock;

use fst::Set;

use super::{Password, PasswordError};
use crate::config::PasswordConfig;

/// The most common passwords, in lower case. See `common.md`.
static COMMON: LazyLock<Set<&'static [u8]>> = LazyLock::new(|| {
    Set::new(&include_bytes!(concat!(env!("OUT_DIR"), "/common.fst"))[..])
        .expect("the build makes a set")
});

/// The shortest part of an address or of the site's name that counts. Shorter parts occur in too
/// many good passwords.
const SHORTEST_WORD: usize = 3;

/// The number of characters beside the context that make a password hard enough to guess: eight
/// random digits, as long as the shortest password that may be configured.
const SHORTEST_OWN: usize = 8;

/// Checks `password` against the policy. `context` is what an attacker tries first, such as the
/// address and the site's name.
///
/// The page lists the length, common passwords and the context as rules, in the order in which they
/// are checked here.
///
/// Every code point counts as one character, and there are no rules of composition (ASVS 5.0,
/// 6.2.5).
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

    // From here on the length is bounded, and so is the work.
    let lower = password.0.to_lowercase();
    if COMMON.contains(&lower) {
        return Err(PasswordError::Common);
    }

    match is_made_of(&lower, context) {
        true => Err(PasswordError::Context),
        false => Ok(()),
    }
}

/// Returns whether only a few characters of `password` are left, and no letter, after `context` and
/// its words are removed.
fn is_made_of(password: &str, context: &[&str]) -> bool {
    let is_part = |c: char| !c.is_alphanumeric();
    let mut words: Vec<String> = context
        .iter()
        .flat_map(|text| text.split('@').chain(text.split(is_part)).chain([*text]))
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= SHORTEST_WORD)
        .collect();
    // The longest word comes first, so that no shorter word removes a part of it.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));

    let mut left = password.to_owned();
    let mut found = false;
    for word in words {
        // A blank replaces the word. Otherwise the rest would grow together into new words.
        let without = left.replace(&word, " ");
        found |= without != left;
        left = without;
    }

    // Shorter parts, such as "de" in "example.de", count only if they stand alone.
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
    fn an_address_is_refused_as_a_password_even_if_its_parts_are_short() {
        for address in ["ada.lovelace@example.de", "jo@example.org", "ada@bigcorp.co.uk", "a@b.io"]
        {
            assert!(is_made_of(address, &[address]), "{address}");
        }
        assert!(is_made_of("example.de2026", &["ada@example.de"]));
    }

    #[test]
    fn a_password_that_consists_of_the_context_is_found() {
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
