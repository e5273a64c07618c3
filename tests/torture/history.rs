//! Everybody does anything at random; a checker reads what came of it.
