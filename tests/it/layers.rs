//! The order of the modules, of which each imports only modules of lower layers; and what holds for
//! the source of all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src`, the lowest layer first. Those of the lowest import nothing of ours. A new
/// module goes into the layer above the highest one that it imports.
const LAYERS: [&[&str]; 11] = [
    &["program", "webauthn"],
    &[
        "attached", "base", "client", "clock", "config", "drain", "kept", "metrics", "routing",
        "sql",
    ],
    &["background", "error", "provider", "token"],
    &["cookies", "db", "metrics/prometheus", "password", "provider", "web"],
    &["device", "flow", "identity", "notice", "throttle", "user"],
    &["done", "factor", "history", "link", "mail", "session"],
    &["auth", "sessions"],
    &["pages"],
    &["stage"],
    &["command", "fuzzing", "testing"],
    &["lib", "main"],
];

/// The modules whose files do not import each other in a circle.
const ROOMS: [&str; 5] = ["cookies", "db", "metrics", "session", "web"];

fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.flat_map(below).filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// The paths in `code` that begin with `crate::` or `super::`, and those of a list one by one.
fn paths(code: &str) -> Vec<String> {
    let starts = code.match_indices("crate::").chain(code.match_indices("super::"));
    let starts = starts.filter(|(at, _)| !code[..*at].ends_with("super::"));
    let paths = starts.flat_map(|(at, _)| {
        let is_of_path = |c: char| c.is_alphanumeric() || "_:".contains(c);
        let end = code[at..].find(|c| !is_of_path(c)).unwrap_or(code.len() - at);
        let (path, rest) = code[at..].split_at(end);
        let list = rest.strip_prefix('{').and_then(|list| list.split('}').next()).unwrap_or("");
        list.split(',').map(move |name| format!("{path}{}", name.trim()))
    });
    paths.collect()
}

/// The modules that each file imports, outside its tests, by their paths: `session/store`.
/// What stands at the crate root, as `crate::User` does, is of `lib`.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let files = files(Path::new("src")).into_iter().map(|path| {
        let module = path.strip_prefix("src").unwrap().with_extension("");
        (module.to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    });
    let texts: BTreeMap<_, _> = files.collect();
    let module_of = |from: &str, path: String| {
        let ups = path.matches("super::").count();
        let above: Vec<_> = from.split('/').rev().skip(ups).collect();
        let mut names: Vec<_> = if ups > 0 { above.into_iter().rev().collect() } else { vec![] };
        names.extend(path.split("::").filter(|name| !["crate", "super"].contains(name)));
        let known = (1..=names.len()).rev().map(|count| names[..count].join("/"));
        known.into_iter().find(|path| texts.contains_key(path)).unwrap_or("lib".into())
    };
    let imported = texts.iter().map(|(module, text)| {
        let code = text.split("mod tests {").next().unwrap().lines();
        let code: Vec<_> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
        let imported = paths(&code.join("\n")).into_iter().map(|path| module_of(module, path));
        (module.clone(), imported.filter(|imported| imported != module).collect())
    });
    imported.collect()
}

/// The layer of a module, and its name there.
fn layer(module: &str) -> (usize, &str) {
    let in_layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let above = module.rsplit_once('/').map(|(above, _)| above);
    match (in_layer(module), above) {
        (Some(number), _) => (number, module),
        (None, Some(above)) => layer(above),
        (None, None) => panic!("src/{module}.rs is in no layer: add it to LAYERS"),
    }
}

#[test]
fn each_module_imports_only_modules_of_lower_layers() {
    for (module, imported) in imports() {
        let (number, name) = layer(&module);
        for other in &imported {
            let (lower, other_name) = layer(other);
            assert!(name == other_name || lower < number, "src/{module}.rs imports {other}");
        }
    }
}

#[test]
fn no_files_of_a_room_import_each_other_in_a_circle() {
    let imports = imports();
    for room in ROOMS {
        let is_of_room = |module: &str| module.split('/').next() == Some(room);
        let mut left = imports.clone();
        left.retain(|module, _| is_of_room(module));
        // A module imports its files: it lists them.
        let names: Vec<_> = left.keys().cloned().collect();
        for (module, imported) in &mut left {
            let is_below =
                |name: &&String| name.strip_prefix(module).is_some_and(|n| n.starts_with('/'));
            imported.extend(names.iter().filter(is_below).cloned());
        }
        while let Some(free) =
            left.iter().find(|(_, all)| !all.iter().any(|m| left.contains_key(m)))
        {
            let free = free.0.clone();
            left.remove(&free);
        }
        assert!(left.is_empty(), "a circle of imports: {left:#?}");
    }
}

/// The most lines of a function, so that it fits on a screen.
const LONGEST: usize = 60;

/// The functions in `source`, as `rustfmt` lays them out, outside of the definitions of macros:
/// the number of the first line, and how many lines it has.
fn functions(source: &str) -> Vec<(usize, usize)> {
    const BEFORE: [&str; 7] =
        ["pub", "pub(crate)", "pub(super)", "const", "async", "default", "extern"];
    let lines: Vec<&str> = source.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    // The line that closes what begins at `from`.
    let end = |from: usize| {
        let is_end = |line: &&str| indent(line) == indent(lines[from]) && line.ends_with('}');
        from + 1 + lines[from + 1..].iter().position(is_end).unwrap()
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        let line = lines[at].trim_start();
        let mut words = line.split(' ').skip_while(|word| BEFORE.contains(word));
        let is_function = words.next() == Some("fn");
        let is_macro = line.starts_with("macro_rules!");
        if is_function {
            let is_head_over = |line: &&str| ["{", "}", ";"].iter().any(|end| line.ends_with(end));
            let head = at + lines[at..].iter().position(is_head_over).unwrap();
            let last = if lines[head].ends_with('{') { end(head) } else { head };
            found.push((at + 1, last + 1 - at));
        }
        at = if is_macro && line.ends_with('{') { end(at) } else { at + 1 };
    }
    found
}

#[test]
fn each_function_fits_on_a_screen() {
    let mut count = 0;
    for path in files(Path::new("src")) {
        for (line, lines) in functions(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            let place = format!("{}:{line}", path.display());
            assert!(lines <= LONGEST, "{place} has {lines} lines: give its parts names");
        }
    }
    assert!(count > 1_500, "{count} functions");
}

#[test]
fn functions_are_counted_with_their_heads_and_without_macros() {
    let source = "\
impl A {
    pub(crate) async fn long(
        a: u8,
    ) -> u8
    where
        A: B,
    {
        fn inner() {}
        match a {
            b => b,
        }
    }
}

trait B {
    fn without_a_body(
        &self,
    ) -> u8;
}

macro_rules! c {
    () => {
        fn in_a_macro() {
        }
    };
}

const fn last() -> u8 {
    0
}
";
    assert_eq!(functions(source), [(2, 11), (8, 1), (16, 3), (28, 3)]);
}

#[test]
fn no_comment_in_a_statement_is_code() {
    for path in files(Path::new("src")) {
        let source = fs::read_to_string(&path).unwrap();
        assert!(!source.contains("/*pg"), "{}: use Query::locking()", path.display());
    }
}
