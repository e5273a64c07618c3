//! Makes the list of common passwords into an automaton that is searched where
//! it lies in the binary: nothing is read or built at the start.

use std::path::Path;
use std::{env, fs};

const LIST: &str = "src/password/common.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LIST}");
    // The directories that are embedded: a file that is new there is not seen otherwise.
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
