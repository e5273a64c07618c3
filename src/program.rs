//! The name of the program, for the advice in messages.

use std::sync::OnceLock;

/// The name of our own program.
pub const OURS: &str = "rocket-login";

static NAME: OnceLock<String> = OnceLock::new();

/// Sets the name of an application's program. The first call counts.
#[cfg(feature = "cli")]
pub fn set(name: String) {
    let _ = NAME.set(name);
}

/// Returns the version of the program. That of an application's program is its own matter, so ours
/// has our name.
#[cfg(feature = "cli")]
pub fn version() -> &'static str {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const OUR_VERSION: &str = concat!("(rocket-login ", env!("CARGO_PKG_VERSION"), ")");

    if name() == OURS { VERSION } else { OUR_VERSION }
}

/// Returns the name with which the commands are called.
pub fn name() -> &'static str {
    NAME.get().map_or(OURS, String::as_str)
}
