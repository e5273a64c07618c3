//! When the disk, the file, the clock or the machine fails.
//!
//! What is promised is in `docs/reliability.md`, with the figures that these tests print.

mod clock;
mod disk;
mod file;
mod output;
pub mod outsider;
mod process;
pub mod site;
