//! What the other files share.

use std::path::PathBuf;

/// Where `program` is: `rocket-login`, or an example.
pub fn program(program: &str) -> PathBuf {
    match std::env::var_os("TORTURE_BIN") {
        Some(folder) => PathBuf::from(folder).join(program),
        None => match program {
            "rocket-login" => env!("CARGO_BIN_EXE_rocket-login").into(),
            example => PathBuf::from(env!("CARGO_BIN_EXE_rocket-login"))
                .with_file_name("examples")
                .join(example),
        },
    }
}

/// Whether it is to go on for long.
pub fn is_long() -> bool {
    std::env::var("TORTURE").is_ok_and(|length| length == "long")
}
