//! The page that a visitor goes to after they have logged in.

use std::fmt;

use rocket::UriDisplayQuery;
use rocket::form::{self, FromFormField, ValueField};
use rocket::http::RawStr;
use rocket::http::uri::Origin;
use serde::Serialize;

/// The longest path. No page has a longer one.
const MAX_LENGTH: usize = 2048;

/// A path on this site that is safe to redirect a browser to.
///
/// `next` comes from the address bar, so anybody can choose it. If it were followed unchecked, our
/// log-in page could send visitors to a copy of itself on another site (open redirect). Rocket's
/// own `Origin` accepts `//evil.example`.
///
/// # Examples
///
/// ```rust
/// use rocket_login::ReturnTo;
///
/// assert!(ReturnTo::parse("/notes?page=2").is_some());
/// assert!(ReturnTo::parse("//evil.example").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, UriDisplayQuery)]
#[serde(transparent)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Takes `text` if it is a path of this site. It must begin with exactly one `/`, and must
    /// contain no backslash and no control character, neither as it stands nor after its path is
    /// decoded. `None` means that it is not such a path, or is longer than 2,048 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let decoded = RawStr::new(path).percent_decode().ok()?;
        let is_local = |path: &str| {
            path.starts_with('/')
                && !path.starts_with("//")
                && !path.contains('\\')
                && !path.contains(char::is_control)
        };

        let is_safe = text.len() <= MAX_LENGTH
            && is_local(text)
            && is_local(&decoded)
            && Origin::parse(text).is_ok();
        is_safe.then(|| ReturnTo(text.to_owned()))
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'v> FromFormField<'v> for ReturnTo {
    fn from_value(field: ValueField<'v>) -> form::Result<'v, Self> {
        ReturnTo::parse(field.value)
            .ok_or_else(|| form::Error::validation("not a path on this site").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_site_are_accepted() {
        for text in [
            "/",
            "/account",
            "/a/b?c=d&e=%0A",
            "/%C3%A4",
            "/a//b",
            "/a?next=//evil.example",
            "/a?u=https://x.example",
        ] {
            assert_eq!(ReturnTo::parse(text).map(|next| next.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("/{}", "a".repeat(MAX_LENGTH));
        for text in [
            "",
            "account",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%5cevil.example",
            "/%2fevil.example",
            "/%09/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https:evil.example",
            "http:///evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "@evil.example",
            ".evil.example",
            " //evil.example",
            "\u{1}//evil.example",
            "/a\r\nSet-Cookie: a=b",
            "/%0d%0aSet-Cookie:%20a=b",
            "/a\\b",
            "/\u{7f}",
            "/\u{85}",
            "/a b",
            "/ä",
            "/%ff",
            long.as_str(),
        ] {
            assert_eq!(ReturnTo::parse(text), None, "{text:?}");
        }
    }
}
