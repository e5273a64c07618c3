//! Mails of the site.

/// A mail that was sent, or waits to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mail {
    /// The address that it goes to.
    pub recipient: String,
    /// The subject.
    pub subject: String,
    /// The part in plain text.
    pub text: String,
    /// The part in HTML.
    pub html: String,
}

impl Mail {
    /// Returns the first link whose path begins with `start`. The result begins at its path.
    ///
    /// # Panics
    ///
    /// Panics if there is no such link.
    #[track_caller]
    pub fn link(&self, start: &str) -> String {
        let paths = self.text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("://")?;
            rest.find('/').map(|start| &rest[start..])
        });
        let found = paths.into_iter().find(|path| path.starts_with(start));
        found.unwrap_or_else(|| panic!("no link to {start} in\n{}", self.text)).to_owned()
    }
}
