//! How hard a password is to guess, for the one who chooses it. Nothing is
//! refused by it.

use serde::Serialize;
use zxcvbn::Score;
use zxcvbn::feedback::Feedback;

use super::{NewPassword, PasswordError};
use crate::config::PasswordConfig;

/// The estimate takes time that grows with the length; the rest of a longer
/// password makes it no easier.
const LOOKED_AT: usize = 24;

/// A judgement to be shown.
#[derive(Debug, Serialize)]
pub struct Strength {
    /// From 0, guessed at once, to 4.
    pub score: u8,
    /// The same in words.
    pub text: String,
}

impl Strength {
    /// What the policy says of `text`, and if it takes it, how many guesses it
    /// would withstand.
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
    fn what_is_harder_to_guess_scores_higher() {
        assert_eq!(score(""), 0);
        assert_eq!(score("short"), 0);
        assert_eq!(score("password1234"), 0);
        assert_eq!(score("ada.lovelace"), 0);
        assert!(score("aaaaaaaaaaaaab") <= 2);
        assert_eq!(score("correct horse battery staple"), 4);
    }

    #[test]
    fn the_longest_password_is_judged_soon() {
        let start = std::time::Instant::now();
        score(&"correct horse ".repeat(9)[..126]);
        // What could stand for many other letters takes the estimate longest.
        score(&"4@8({[369&#!1/|0$5+7%2".repeat(5));
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
