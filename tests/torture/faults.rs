//! When the disk, the file, the clock or the machine fails.
