//! Which types of the public API can get a variant or a field without breaking an application.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The types that can never grow, each with the reason.
const CLOSED: [(&str, &str); 2] = [
    ("Posted", "a wrapper, which a handler takes apart as it does Rocket's `Form`"),
    ("SameSite", "a cookie has these three values"),
];

/// The modules that `lib.rs` makes public, and `lib` itself.
fn public_modules() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules = modules.filter(|module| *module != "fuzzing").map(str::to_owned);
    modules.chain(["lib".to_owned()]).collect()
}

/// The names that `pub use` exports from files of `module`, with the file that has each.
fn exported(module: &str) -> Vec<(PathBuf, String)> {
    let file = Path::new("src").join(module).with_extension("rs");
    let text = fs::read_to_string(&file).unwrap();
    let directory = if module == "lib" { PathBuf::from("src") } else { file.with_extension("") };
    let uses = text.split("\npub use ").skip(1).map(|rest| rest.split_once(';').unwrap().0);
    let named = uses.filter_map(|path| path.split_once("::")).flat_map(|(from, names)| {
        let file = directory.join(from).with_extension("rs");
        let names = names.trim_matches(['{', '}', '\n']).split(',');
        let names = names.map(|name| name.split(" as ").next().unwrap().trim().to_owned());
        names.map(move |name| (file.clone(), name)).collect::<Vec<_>>()
    });
    let own = definitions(&text).into_keys().map(|name| (file.clone(), name));
    own.chain(named.filter(|(file, _)| file.exists())).collect()
}

/// A type that is defined in a file.
struct Type {
    /// An enum, or a struct with a public field: an application can name all that is in it.
    is_visible: bool,
    is_open: bool,
}

/// The public types that `text` defines.
fn definitions(text: &str) -> BTreeMap<String, Type> {
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.iter().enumerate().filter_map(|(number, line)| {
        // `refusals!` and `kinds!` define theirs with an indent, and with the attribute.
        let (is_enum, rest) = match line.strip_prefix("pub enum ") {
            Some(rest) => (true, rest),
            None => (false, line.strip_prefix("pub struct ")?),
        };
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let fields = lines[number + 1..].iter().take_while(|line| line.starts_with(' '));
        let mut fields = fields.filter(|field| !field.trim_start().starts_with("//"));
        let has_public = match line.ends_with('{') {
            true => fields.any(|field| field.starts_with("    pub ")),
            false => rest.contains("(pub "),
        };
        let above = lines[..number].iter().rev();
        let mut attributes =
            above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let is_open = attributes.any(|line| *line == "#[non_exhaustive]");
        Some((rest[..end].to_owned(), Type { is_visible: is_enum || has_public, is_open }))
    });
    found.collect()
}

#[test]
fn every_public_type_can_grow_unless_a_list_says_why_not() {
    let exported: BTreeSet<_> =
        public_modules().iter().flat_map(|module| exported(module)).collect();
    let mut closed = BTreeSet::new();
    let mut count = 0;
    for (file, name) in exported {
        let types = definitions(&fs::read_to_string(&file).unwrap());
        let Some(found) = types.get(&name).filter(|found| found.is_visible) else { continue };
        count += 1;
        if !found.is_open {
            closed.insert(name);
        }
    }
    assert!(count > 30, "only {count} types were found");
    assert_eq!(closed, CLOSED.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn a_type_with_something_public_is_visible_and_one_with_the_attribute_is_open() {
    let text = "/// A.\n#[derive(Debug)]\n#[non_exhaustive]\npub enum A {\n    B,\n}\n\
                #[non_exhaustive]\n#[cfg(test)]\npub struct B {\n    /// pub c\n    c: u8,\n}\n\
                pub struct C<'a> {\n    b: u8,\n    pub c: &'a u8,\n}\npub struct D(pub u8);\n\
                pub struct E(u8);\nenum F {}\n    pub enum G {\n";
    let found: Vec<_> = definitions(text)
        .into_iter()
        .map(|(name, found)| format!("{name} {} {}", found.is_visible, found.is_open))
        .collect();
    let expected = ["A true true", "B false true", "C true false", "D true false", "E false false"];
    assert_eq!(found, expected);
}
