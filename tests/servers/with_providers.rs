//! All servers of the tests, OpenID providers among them. They need more crates than the others, which
//! the benchmarks and the applications do not have.

#![allow(dead_code)] // each of the test programs uses its part of it

pub mod liar;
pub mod oidc;
#[path = "mod.rs"]
mod others;

pub use others::*;
