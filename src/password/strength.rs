//! Estimates how hard a password is to guess, to advise the user who chooses it. It refuses
//! nothing.

use serde::Serialize;
use zxcvbn::feedback::Feedback;

use super::{NewPassword, PasswordError};
use crate::config::PasswordConfig;

/// The number of characters that are judged. The time of the estimate grows with the length, and
/// the rest of a longer password makes it no easier to guess.
const LOOKED_AT: usize = 24;

/// The number of guesses below which a password is weak, fair and good. With a stolen hash, an
/// attacker makes about ten thousand guesses in a second: these take hours, days and years.
const WEAK: u64 = 100_000_000;
const FAIR: u64 = 10_000_000_000;
const GOOD: u64 = 1_000_000_000_000;

/// An estimate for the page.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Strength {
    /// From 1, which is guessed within hours, to 4. It is 0 if the policy refuses the password.
    pub score: u8,
    /// The score in words, with advice.
    pub text: String,
    /// The code of the reason if the policy refuses the password. The policy stops at the first
    /// reason.
    pub code: Option<&'static str>,
}

impl Strength {
    /// Estimates how many guesses `text` would withstand. If the policy refuses it, the score is 0,
    /// and the text is the reason.
    pub fn of(text: &str, policy: &PasswordConfig, context: &[&str]) -> Self {
        match NewPassword::parse(text, policy, context) {
            Err(error) => Strength::refused(error),
            Ok(_) => Strength::estimate(text, context),
        }
    }

    fn refused(error: PasswordError) -> Self {
        let text = match error {
            // Nobody is told to type before they do, nor in the middle of it.
            PasswordError::Empty => String::new(),
            PasswordError::TooShort(_) => "Too short.".to_owned(),
            _ => error.to_string(),
        };
        Strength { score: 0, text, code: Some(error.code()) }
    }

    fn estimate(text: &str, context: &[&str]) -> Self {
        let looked_at: String = text.chars().take(LOOKED_AT).collect();
        let entropy = zxcvbn::zxcvbn(&looked_at, context);
        let warning = entropy.feedback().and_then(Feedback::warning);
        let advice = warning.map_or_else(|| "Add another word.".to_owned(), |it| it.to_string());
        let (score, text) = match entropy.guesses() {
            ..WEAK => (1, format!("Weak. {advice}")),
            WEAK..FAIR => (2, format!("Fair. {advice}")),
            FAIR..GOOD => (3, "Good.".to_owned()),
            GOOD.. => (4, "Strong.".to_owned()),
        };
        Strength { score, text, code: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> u8 {
        Strength::of(text, &PasswordConfig::default(), &["ada.lovelace@example.org"]).score
    }

    #[test]
    fn a_password_that_is_harder_to_guess_scores_higher() {
        assert_eq!(score(""), 0);
        assert_eq!(score("short"), 0);
        assert_eq!(score("password1234"), 0);
        assert_eq!(score("ada.lovelace"), 0);
        assert_eq!(score("aaaaaaaaaaaaab"), 1);
        assert_eq!(score("correct horse"), 2);
        assert_eq!(score("I love my dog"), 3);
        assert_eq!(score("correct horse battery"), 4);
    }

    #[test]
    fn a_password_that_is_not_good_comes_with_advice() {
        let text = |text| Strength::of(text, &PasswordConfig::default(), &[]).text;
        assert_eq!(text("correct horse"), "Fair. Add another word.");
        assert_eq!(text("aaaaaaaaaaaaab"), "Weak. Sequences like abc or 6543 are easy to guess.");
        assert_eq!(text("correct horse battery"), "Strong.");
    }

    #[test]
    fn the_longest_password_is_judged_quickly() {
        let start = std::time::Instant::now();
        score(&"correct horse ".repeat(9)[..126]);
        // Characters that can stand for many letters take the longest time.
        score(&"4@8({[369&#!1/|0$5+7%2".repeat(5));
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
