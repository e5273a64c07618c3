//! What a test reads: answers of the site, and mails.

use rocket::http::{HeaderMap, Status};

/// An answer of the site.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// All headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body. It is empty if it is not text.
    pub body: String,
}

impl Answer {
    /// Creates an answer whose body is empty.
    pub(super) fn new(status: Status, headers: &HeaderMap<'_>) -> Self {
        let headers = headers.iter();
        let headers = headers.map(|h| (h.name().to_string(), h.value().to_owned())).collect();
        Answer { status, headers, body: String::new() }
    }

    /// Returns the value of the header `name`, or the first one if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the `Set-Cookie` line of the cookie `name`.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"))
            .find_map(|(_, line)| line.starts_with(&format!("{name}=")).then_some(line.as_str()))
    }

    /// Returns the attributes of the cookie `name`, sorted, without its name and value.
    ///
    /// # Panics
    ///
    /// Panics if the answer does not set it.
    #[track_caller]
    pub fn cookie_attributes(&self, name: &str) -> Vec<&str> {
        let line = self.set_cookie(name).unwrap_or_else(|| panic!("{name} is not set"));
        let mut attributes: Vec<_> = line.split("; ").skip(1).collect();
        attributes.sort_unstable();
        attributes
    }

    /// Returns whether the body is a problem for a program (RFC 9457).
    pub fn is_json(&self) -> bool {
        self.header("content-type") == Some("application/problem+json")
    }

    /// Asserts the status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.code, status, "{}", self.body);
        self
    }

    /// Asserts a `303 See Other` to `to`.
    #[track_caller]
    pub fn assert_redirect(&self, to: &str) -> &Self {
        assert_eq!(self.status, Status::SeeOther, "{}", self.body);
        assert_eq!(self.header("location"), Some(to));
        self
    }

    /// Asserts that the body contains `text`.
    #[track_caller]
    pub fn assert_text(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no {text:?} in\n{}", self.body);
        self
    }

    /// Asserts that the body does not contain `text`.
    #[track_caller]
    pub fn assert_no_text(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} is in\n{}", self.body);
        self
    }
}
