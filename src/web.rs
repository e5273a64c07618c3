//! The HTTP layer: what applies to every page, and to every route that an application adds.

mod catchers;
mod form;
mod headers;
mod problem;
mod return_to;
mod same_origin;

pub use catchers::{catchers, log_in_catcher};
pub use form::Posted;
#[cfg(fuzzing)]
pub use form::parse as parse_form;
pub use headers::{SecretPath, SecurityHeaders, shield};
pub use problem::{Problem, prefers_json};
pub use return_to::ReturnTo;
pub use same_origin::{SameOrigin, routes};
