//! The command `secret-key`, which prints a value for `ROCKET_SECRET_KEY`.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::{Done, output};

/// Prints 256 random bits, in base64.
pub fn print() -> Done {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    output::print(BASE64_STANDARD.encode(key))
}
