//! Many, slow, idle, and for long.
