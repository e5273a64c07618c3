//! The HTTP layer of our pages, for pages of your own as well: forms, errors for programs, and paths
//! that are secret.

mod form;
mod headers;
mod problem;
mod return_to;
mod same_origin;

#[cfg(fuzzing)]
pub(crate) use form::parse as parse_form;
pub(crate) use headers::{SecurityHeaders, secure_unseen, shield};
pub(crate) use problem::is_program;
pub(crate) use same_origin::{SameOrigin, is_refused, routes};

pub use form::Posted;
pub use headers::SecretPath;
pub use problem::{FieldError, FieldErrors, Problem, prefers_json};
pub use return_to::ReturnTo;
