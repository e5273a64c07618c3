//! Where the pages are.

use std::fmt::Display;

/// Where the pages are mounted: nothing, or a path such as `/auth`.
#[derive(Debug, Clone)]
pub struct Base(String);

impl Base {
    pub fn new(path: &str) -> Self {
        Base(path.trim_end_matches('/').to_owned())
    }

    /// Where the routes are mounted.
    pub fn mount_point(&self) -> String {
        if self.0.is_empty() { "/".into() } else { self.0.clone() }
    }

    /// As it was configured, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of our page or file `path`.
    pub fn join(&self, path: impl Display) -> String {
        format!("{}{path}", self.0)
    }
}
