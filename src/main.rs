//! The binary. All of its code is in the library, except the allocator, which is a program's own choice.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    rocket_login::command::main()
}
