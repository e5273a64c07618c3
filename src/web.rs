//! The HTTP layer of our pages, for pages of your own as well: forms, errors for programs, and paths
//! that are secret.

mod answer;
mod fields;
mod form;
mod headers;
mod marks;
mod ours;
mod problem;
mod return_to;
mod same_origin;

pub(crate) use answer::Json;
pub(crate) use form::PostedOrNothing;
#[cfg(fuzzing)]
pub(crate) use form::{Encoding, parse as parse_form};
#[cfg(feature = "cli")]
pub(crate) use headers::is_secret;
pub(crate) use headers::{SecurityHeaders, not_for_search, secure_unseen, shield};
pub(crate) use ours::{mark_ours, ours};
pub(crate) use problem::is_program;
pub(crate) use same_origin::{SameOrigin, is_refused, routes};

pub use answer::Done;
pub use fields::Fields;
pub use form::Posted;
pub use headers::{Headers, SecretPath};
pub use problem::{FieldError, FieldErrors, Problem, prefers_json};
pub use return_to::ReturnTo;
