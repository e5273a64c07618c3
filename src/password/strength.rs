//! Estimates how hard a password is to guess, to advise the user who chooses it. It refuses
//! nothing.

use serde::Serialize;
use zxcvbn::Score;
use zxcvbn::feedback::Feedback;

use super::{NewPassword, PasswordError};
use crate::config::PasswordConfig;

/// The number of characters that are judged. The time of the estimate grows with the length, and
/// the rest of a longer password makes it no easier to guess.
const LOOKED_AT: usize = 24;

/// An estimate for the page.
#[derive(Debug, Serialize)]
pub struct Strength {
    /// From 0, which is guessed at once, to 4.
    pub score: u8,
    /// The score in words, with advice.
    pub text: String,
}

impl Strength {
    /// Estimates how many guesses `text` would withstand. If the policy refuses it, the score is 0,
    /// and the text is the reason.
    pub fn of(text: &str, policy: &PasswordConfig, context: &[&str]) -> Self {
        match NewPassword::parse(text, policy, context) {
            Err(PasswordError::Empty) => Strength { score: 0, text: String::new() },
            Err(error) => Strength { score: 0, text: error.to_string() },
            Ok(_) => Strength::estimate(text, context),
        }
    }

    fn estimate(text: &str, context: &[&str]) -> Self {
        let looked_at: String = text.chars().take(LOOKED_AT).collect();
        let entropy = zxcvbn::zxcvbn(&looked_at, context);
        let (score, word) = match entropy.score() {
            Score::Zero | Score::One => (1, "Weak."),
            Score::Two => (2, "Fair."),
            Score::Three => (3, "Good."),
            _ => (4, "Strong."),
        };

        let advice = entropy.feedback().and_then(Feedback::warning).filter(|_| score < 3);
        match advice {
            Some(advice) => Strength { score, text: format!("{word} {advice}") },
            None => Strength { score, text: word.into() },
        }
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
        assert!(score("aaaaaaaaaaaaab") <= 2);
        assert_eq!(score("correct horse battery staple"), 4);
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
