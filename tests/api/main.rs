//! What users of the crate get: its public items, and the compiler that it needs.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use public_api::Builder;
use serde_json::Value;

/// The format of rustdoc's JSON that the crate `public-api` reads.
const FORMAT: u64 = 57;

/// The list of all public items.
const LIST: &str = "tests/api/public-api.txt";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs cargo and returns its standard output.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let mut cargo = Command::new(env!("CARGO"));
    // Only rustdoc may use unstable options. With them, cargo would build every crate anew.
    cargo.current_dir(root()).args(arguments).env("RUSTDOC", root().join("tests/api/rustdoc"));
    // What cargo tells this test about its package would make some build scripts run again.
    let told = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let told =
        told.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
    for name in told {
        cargo.env_remove(name);
    }
    let output = cargo.env_remove("RUSTDOCFLAGS").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn metadata(arguments: &[&str]) -> Value {
    let metadata = ["metadata", "--format-version", "1", "--locked", "--offline"];
    serde_json::from_slice(&cargo(&[&metadata[..], arguments].concat())).unwrap()
}

/// Returns the name of this platform, as in `x86_64-unknown-linux-gnu`. The crates of others may not
/// be on this machine.
fn platform() -> String {
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// Returns the public items with all features, one on each line.
fn items(target: &Path) -> Option<String> {
    let rustdoc = ["rustdoc", "--lib", "--all-features", "--locked", "--offline", "--"];
    let json = ["-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"];
    cargo(&[&rustdoc[..], &json].concat());
    let json = target.join("doc/rocket_login.json");
    let written: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    if written["format_version"] != FORMAT {
        return None;
    }
    let api = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .unwrap();
    let items = api.items().map(|item| format!("{item}\n"));
    Some(items.filter(|item| !item.contains("::_documentation")).collect())
}

#[test]
fn the_public_api_is_the_one_in_the_list() {
    let target = metadata(&["--no-deps"])["target_directory"].as_str().unwrap().to_owned();
    let Some(items) = items(Path::new(&target)) else {
        assert!(
            env::var_os("CI").is_none(),
            "rustdoc writes another format than {FORMAT}: take the version of the crate public-api \
             that reads it"
        );
        println!("NOT RUN: this rustdoc writes another format than {FORMAT}");
        return;
    };
    assert!(items.lines().count() > 300, "{items}");
    let list = root().join(LIST);
    if env::var_os("RENEW").is_some() {
        fs::write(&list, &items).unwrap();
    }

    let listed = fs::read_to_string(&list).unwrap_or_default();
    let (old, new): (Vec<_>, Vec<_>) = (listed.lines().collect(), items.lines().collect());
    let gone = old.iter().filter(|item| !new.contains(item)).map(|item| format!("- {item}"));
    let come = new.iter().filter(|item| !old.contains(item)).map(|item| format!("+ {item}"));
    let changes: Vec<_> = gone.chain(come).collect();
    assert!(
        listed == items,
        "{LIST} differs; if you want that, run RENEW=1 cargo test --test api\n{}",
        changes.join("\n")
    );
}

#[test]
fn no_dependency_needs_a_later_compiler_than_the_crate_says() {
    let number = |version: &str| {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap());
        (parts.next().unwrap(), parts.next().unwrap_or_default())
    };
    let metadata = metadata(&["--filter-platform", &platform()]);
    let packages = metadata["packages"].as_array().unwrap();
    let needs = |package: &Value| package["rust_version"].as_str().map(number);
    let ours = packages.iter().find(|package| package["name"] == "rocket-login").unwrap();
    let ours = needs(ours).expect("the crate says what it needs");
    assert!(packages.len() > 100);
    for package in packages {
        let needed = needs(package).unwrap_or_default();
        assert!(needed <= ours, "{} needs Rust {needed:?}", package["name"]);
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("Rust {}.{} or later", ours.0, ours.1)));
}
