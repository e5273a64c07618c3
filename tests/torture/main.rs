//! The program under failures and load: `just torture`.
//!
//! A plain `cargo test` ignores these tests. They should run on a release build: `PROGRAMS` is
//! the folder with the programs, by default those that cargo has built for the tests. `TORTURE`
//! sets the duration: `short`, as in CI, or `long`.

mod faults;
mod ha;
mod history;
mod kill;
mod load;
mod machines;
#[path = "../servers/mod.rs"]
mod servers;
mod support;
mod sync;
