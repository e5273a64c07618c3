//! The providers that users log in with, as the pages show them.

use serde::Serialize;

use crate::config::Config;
#[cfg(feature = "providers")]
use crate::provider::{Mark, Provider, Providers};

/// A provider that a page links to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderLink {
    /// The name, as in the paths.
    pub name: String,
    /// What the page calls it, as in "Log in with Google".
    pub label: String,
    /// Which mark the macro `mark` draws.
    pub mark: &'static str,
    /// It can be asked to log the user in again.
    #[serde(skip)]
    pub can_reauthenticate: bool,
}

#[cfg(feature = "providers")]
impl ProviderLink {
    pub fn of(provider: &Provider) -> Self {
        ProviderLink {
            name: provider.name().to_owned(),
            label: provider.label().to_owned(),
            mark: mark(provider.mark()),
            can_reauthenticate: provider.can_reauthenticate(),
        }
    }
}

impl ProviderLink {
    /// Returns links with the marks of `MARKS`, for samples.
    pub fn samples() -> Vec<Self> {
        let link = |mark: &&'static str| ProviderLink {
            name: format!("{mark}-id"),
            label: format!("{mark}.example"),
            mark,
            can_reauthenticate: true,
        };
        MARKS.iter().map(link).collect()
    }
}

/// The mark of a provider that has none.
pub const NO_MARK: &str = "none";

/// The marks that the macro `mark` draws.
const MARKS: [&str; 6] = ["google", "microsoft", "apple", "github", "gitlab", NO_MARK];

/// Returns the name of `mark` in the templates.
#[cfg(feature = "providers")]
pub fn mark(mark: Mark) -> &'static str {
    let [google, microsoft, apple, github, gitlab, none] = MARKS;
    match mark {
        Mark::Google => google,
        Mark::Microsoft => microsoft,
        Mark::Apple => apple,
        Mark::GitHub => github,
        Mark::GitLab => gitlab,
        Mark::None => none,
    }
}

/// The providers that are configured, in managed state.
#[derive(Debug)]
pub struct ProviderLinks(pub Vec<ProviderLink>);

impl ProviderLinks {
    pub fn new(config: &Config) -> Self {
        ProviderLinks(configured(config))
    }
}

/// Returns the providers that are configured, in the order of their names.
#[cfg(feature = "providers")]
pub fn configured(config: &Config) -> Vec<ProviderLink> {
    Providers::new(config).iter().map(|provider| ProviderLink::of(provider)).collect()
}

#[cfg(not(feature = "providers"))]
pub fn configured(_: &Config) -> Vec<ProviderLink> {
    Vec::new()
}
