//! Turns the list of common passwords into an automaton that is searched in place in the binary, so
//! the start neither reads nor builds anything.

use std::path::Path;
use std::{env, fs};

const LIST: &str = "src/password/common.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LIST}");
    // These directories are embedded. Without these lines cargo would not notice a new file in
    // them.
    for directory in ["migrations", "static", "templates"] {
        println!("cargo::rerun-if-changed={directory}");
    }

    let list = fs::read_to_string(LIST).expect("the list is part of the crate");
    let mut passwords: Vec<&str> = list.lines().collect();
    passwords.sort_unstable();
    passwords.dedup();

    let set = fst::Set::from_iter(passwords).expect("the passwords are sorted");
    let directory = env::var_os("OUT_DIR").expect("cargo says where to");
    let target = Path::new(&directory).join("common.fst");
    fs::write(target, set.as_fst().as_bytes()).expect("the directory can be written to");
}
