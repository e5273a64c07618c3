//! The HTTP layer: what applies to every page, and to every route that an application adds.

mod form;
mod headers;
mod problem;
mod return_to;
mod same_origin;

pub use form::Posted;
#[cfg(fuzzing)]
pub use form::parse as parse_form;
pub use headers::{SecretPath, SecurityHeaders, secure_unseen, shield};
pub use problem::{Problem, is_program, prefers_json};
pub use return_to::ReturnTo;
pub use same_origin::{SameOrigin, is_refused, routes};
