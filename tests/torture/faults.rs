//! Failures of the disk, the file, the clock and the machine.
//!
//! `docs/reliability.md` states the promises and the figures that these tests print.

mod clock;
mod disk;
mod file;
mod output;
pub mod outsider;
mod process;
pub mod site;
