//! Email addresses, which are parsed once, where they enter.

use std::fmt;
use std::ops::Deref;

use email_address::{EmailAddress, Options};
use serde::Serialize;

/// The longest address that a mail can be sent to (RFC 5321, section 4.5.3.1.3).
const MAX_LENGTH: usize = 254;

/// An email address that has passed the checks.
///
/// It stays as it was typed, without blanks around it. Accounts are compared in any case. It is
/// ASCII: letters that look or fold alike would make two accounts of one address, or send a link to
/// somebody else (CVE-2019-19844). A browser writes an international domain as `xn--…` by itself.
///
/// It derefs to `str`. `==` compares letter by letter; [`is_same()`](Email::is_same()) compares
/// as an account does.
///
/// # Examples
///
/// ```rust
/// use rocket_login::{Email, EmailError};
///
/// let email = Email::parse(" Ada@Example.org ").unwrap();
/// assert_eq!(email, "Ada@Example.org");
/// assert!(email.is_same(&Email::parse("ada@example.org").unwrap()));
/// assert_eq!(Email::parse("ada"), Err(EmailError::Malformed));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Email(String);

/// Why a text is not an address that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmailError {
    /// Nothing was typed.
    Empty,
    /// More than 254 characters.
    TooLong,
    /// It has a letter outside ASCII.
    NotAscii,
    /// It is not of the form `name@example.org`.
    Malformed,
}

impl Email {
    /// Parses an address as a person types it.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, not ASCII or not an address.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EmailError::Empty);
        }

        if text.chars().count() > MAX_LENGTH {
            return Err(EmailError::TooLong);
        }

        if !text.is_ascii() {
            return Err(EmailError::NotAscii);
        }

        // Blanks and quotes are legal inside quotes. Nobody has such an address, and they cause
        // trouble in headers and logs.
        let plain = |b: u8| b.is_ascii_graphic() && !b"\"()<>[]\\,;:".contains(&b);
        let options =
            Options::default().with_required_tld().without_domain_literal().without_display_text();
        match EmailAddress::parse_with_options(text, options) {
            Ok(_) if text.bytes().all(plain) => Ok(Email(text.to_owned())),
            _ => Err(EmailError::Malformed),
        }
    }

    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Creates the address from a stored text, without checks: it was parsed before it was stored.
    pub(crate) fn from_stored(text: String) -> Self {
        Email(text)
    }

    /// Returns whether both are the address of one account, in any case.
    pub fn is_same(&self, other: &Email) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Returns the address in lower case, which is equal for all spellings of one account.
    #[cfg(feature = "pages")]
    pub(crate) fn to_lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Email {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Email {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Email {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Email {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl EmailError {
    /// Returns the reason's stable name. [The reference](crate::_documentation::reference) lists them all.
    pub fn code(&self) -> &'static str {
        match self {
            EmailError::Empty => "email_missing",
            EmailError::TooLong => "email_too_long",
            EmailError::NotAscii => "email_not_ascii",
            EmailError::Malformed => "email_malformed",
        }
    }
}

impl fmt::Display for EmailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EmailError::Empty => "Enter your email address.",
            EmailError::TooLong => "Enter an address of at most 254 characters.",
            EmailError::NotAscii => {
                "Enter an address without accents or other special letters. Write an international \
                 domain in its xn-- form."
            }
            EmailError::Malformed => "Enter an address like name@example.org.",
        })
    }
}

impl std::error::Error for EmailError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_an_address_are_dropped_and_its_case_is_kept() {
        assert_eq!(Email::parse("  Ada@Example.org\t").unwrap().as_str(), "Ada@Example.org");
    }

    #[test]
    fn an_address_is_a_text_in_json_and_in_templates() {
        let email = Email::parse("Ada@example.org").unwrap();
        assert_eq!(serde_json::to_string(&email).unwrap(), "\"Ada@example.org\"");
        assert_eq!(email.split_once('@'), Some(("Ada", "example.org")));
    }

    #[test]
    fn common_forms_of_addresses_are_accepted() {
        for text in [
            "a@b.co",
            "first.last+tag@sub.example.org",
            "o'neil@example.org",
            "x_y-z@xn--bcher-kva.example",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        use EmailError::*;

        let long = format!("{}@example.org", "a".repeat(250));
        for (text, error) in [
            ("", Empty),
            (" \t ", Empty),
            (long.as_str(), TooLong),
            ("müller@example.org", NotAscii),
            ("a@bücher.example", NotAscii),
            ("a\u{fffd}@example.org", NotAscii),
            ("ada", Malformed),
            ("ada@", Malformed),
            ("@example.org", Malformed),
            ("ada@example", Malformed),
            ("ada@[127.0.0.1]", Malformed),
            ("ada@example.org\nBcc: eve@example.org", Malformed),
            ("a da@example.org", Malformed),
            ("a\0da@example.org", Malformed),
            ("\"a da\"@example.org", Malformed),
            ("Ada <ada@example.org>", Malformed),
            ("a@b@example.org", Malformed),
            ("a..b@example.org", Malformed),
        ] {
            assert_eq!(Email::parse(text), Err(error), "{text:?}");
        }
    }
}
