//! The path under which the pages are mounted.

use std::fmt::Display;

use rocket::http::uri::Origin;

/// The path under which the pages are mounted: empty, or a path such as `/auth`.
#[derive(Debug, Clone)]
pub struct Base(String);

impl Base {
    /// Reads a path. Slashes at its end are ignored. `None` means that no page can be mounted there.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let is_path =
            |uri: Origin<'_>| uri.is_normalized() && uri.query().is_none() && !path.contains('\\');
        let can_mount = path.is_empty() || Origin::parse(path).is_ok_and(is_path);
        can_mount.then(|| Base(path.to_owned()))
    }

    /// Returns the path at which Rocket mounts the routes.
    pub fn mount_point(&self) -> String {
        if self.0.is_empty() { "/".into() } else { self.0.clone() }
    }

    /// Returns the path without a slash at its end. It is empty if the pages are at `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path of our page or file `path`, which starts with `/`.
    pub fn join(&self, path: impl Display) -> String {
        format!("{}{path}", self.0)
    }
}
