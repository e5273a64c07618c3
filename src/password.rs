//! Passwords: the policy that they must pass, and how they are hashed.

mod argon2id;
mod breached;
mod hash;
mod hasher;
mod policy;
mod queue;
mod strength;

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::config::PasswordConfig;
use crate::error::Error;

#[cfg(feature = "testing")]
pub(crate) use argon2id::Params;
pub use hash::{PasswordHash, PasswordHashError};
pub use hasher::{Hasher, Verdict};
pub use strength::Strength;

/// A password on its way to be hashed: normalised, wiped when dropped, and never printed.
///
/// It is exactly what was typed, except for Unicode's NFC (NIST SP 800-63B-4, section 3.1.1.2): two
/// keyboards may send the same letter in two forms. Nothing is trimmed, folded or cut.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// A password that a user may choose: it has passed the policy.
#[derive(Debug, Clone)]
pub struct NewPassword(Password);

/// The reason why a text may not become a user's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordError {
    /// Nothing was typed.
    Empty,
    /// The password has fewer code points than this.
    TooShort(usize),
    /// The password has more code points than this.
    TooLong(usize),
    /// The password contains NUL, or bytes that are not UTF-8.
    Unreadable,
    /// The password is among the most common ones.
    Common,
    /// The password consists only of the address or the site's name, digits and punctuation.
    Context,
    /// The password is known from a breach elsewhere.
    Breached,
    /// The account has this password already.
    Present,
}

impl Password {
    /// Takes a typed password, to check it against a hash. It need not pass today's policy.
    pub fn typed(text: &str) -> Self {
        Password(Zeroizing::new(text.nfc().collect()))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl NewPassword {
    /// Checks a typed password against the policy, to store it. `context` is what an attacker tries
    /// first, such as the user's address and the site's name.
    ///
    /// # Errors
    ///
    /// Returns an error if the password is empty, too short, too long, unreadable, among the most
    /// common ones, or consists only of the context.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::config::PasswordConfig;
    /// use rocket_login::{NewPassword, PasswordError};
    ///
    /// let policy = PasswordConfig::default();
    /// let parse = |text| NewPassword::parse(text, &policy, &["ada@example.org"]);
    /// assert!(parse("correct horse battery").is_ok());
    /// assert_eq!(parse("Password1234").unwrap_err(), PasswordError::Common);
    /// assert_eq!(parse("ada@example.org").unwrap_err(), PasswordError::Context);
    /// ```
    pub fn parse(
        text: &str,
        policy: &PasswordConfig,
        context: &[&str],
    ) -> Result<Self, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }

        // U+FFFD replaces bytes that could not be decoded: two different passwords would become
        // one.
        if text.contains(['\0', char::REPLACEMENT_CHARACTER]) {
            return Err(PasswordError::Unreadable);
        }

        let password = Password::typed(text);
        policy::check(&password, policy, context)?;
        Ok(NewPassword(password))
    }

    /// Returns whether the password is known from a breach elsewhere. See [`breached::is_known()`].
    ///
    /// # Errors
    ///
    /// Returns an error if too many other forms wait for the service.
    pub(crate) async fn is_breached(&self, url: &str, network: &str) -> Result<bool, Error> {
        breached::is_known(&self.0, url, network).await
    }

    /// Returns whether it equals `other`, which was typed as well.
    pub(crate) fn is_same(&self, other: &Password) -> bool {
        self.0.as_bytes() == other.as_bytes()
    }
}

impl From<NewPassword> for Password {
    fn from(new: NewPassword) -> Self {
        new.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl PasswordError {
    /// Returns the reason's stable name. [The reference](crate::_documentation::reference) lists them all.
    pub fn code(&self) -> &'static str {
        match self {
            PasswordError::Empty => "password_missing",
            PasswordError::TooShort(_) => "password_too_short",
            PasswordError::TooLong(_) => "password_too_long",
            PasswordError::Unreadable => "password_unreadable",
            PasswordError::Common => "password_common",
            PasswordError::Context => "password_context",
            PasswordError::Breached => "password_breached",
            PasswordError::Present => "password_unchanged",
        }
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::Empty => f.write_str("Choose a password."),
            PasswordError::TooShort(min) => {
                write!(f, "Choose a password of at least {min} characters.")
            }
            PasswordError::TooLong(max) => {
                write!(f, "Choose a password of at most {max} characters.")
            }
            PasswordError::Unreadable => f.write_str(
                "This password contains a character that can't be typed again. Choose another.",
            ),
            PasswordError::Common => f.write_str(
                "This password is too common, and attackers try those first. Choose another.",
            ),
            PasswordError::Context => f.write_str(
                "This password is made of your address or this site's name. Choose another.",
            ),
            PasswordError::Breached => f.write_str(
                "This password was in a data breach at another site, so attackers know it. Choose another.",
            ),
            PasswordError::Present => {
                f.write_str("This is already your password. Choose another.")
            }
        }
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Password, PasswordError> {
        NewPassword::parse(text, &PasswordConfig::default(), &[]).map(Password::from)
    }

    #[test]
    fn length_is_counted_in_code_points() {
        assert!(matches!(parse(&"ä".repeat(11)), Err(PasswordError::TooShort(12))));
        assert!(parse(&"🦀".repeat(12)).is_ok());
        assert!(parse(&"🦀".repeat(128)).is_ok());
        assert!(matches!(parse(&"a".repeat(129)), Err(PasswordError::TooLong(128))));
    }

    #[test]
    fn nothing_is_required_but_length() {
        for text in
            ["aaaaaaaaaaaaaaaaaaab", "            ", "739105558123", "correcthorsebatterystaples"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn blanks_count_and_stay() {
        assert_eq!(parse("  twelve chars  ").unwrap().as_bytes(), b"  twelve chars  ");
    }

    #[test]
    fn both_unicode_forms_of_a_letter_make_one_password() {
        let (composed, decomposed) = ("caf\u{e9} au lait!", "cafe\u{301} au lait!");
        assert_eq!(parse(composed).unwrap().as_bytes(), parse(decomposed).unwrap().as_bytes());
    }

    #[test]
    fn characters_that_cannot_be_typed_again_are_refused() {
        for text in ["twelve\0chars!", "twelve\u{fffd}chars!"] {
            assert!(matches!(parse(text), Err(PasswordError::Unreadable)), "{text:?}");
        }
    }

    #[test]
    fn a_password_does_not_print_itself() {
        assert_eq!(format!("{:?}", Password::typed("hunter2")), "Password");
    }
}
