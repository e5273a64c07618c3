//! The program under everything that can go wrong: `just torture`.
//!
//! Ignored by a plain `cargo test`. It wants a release build (`PROGRAMS`, a folder
//! with the programs; without it, those that cargo has built for the tests), and goes on for
//! as long as `TORTURE` says: `short`, as in CI, or `long`.

mod faults;
mod history;
mod kill;
mod load;
#[path = "../servers/mod.rs"]
mod servers;
mod support;
mod sync;
