//! Turns the list of common passwords into an automaton that is searched in place in the binary, so
//! the start neither reads nor builds anything. Compresses the files of `static` for the same reason.
//! Turns the pages of `docs` into modules of the crate's documentation.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};
use std::{env, fs};

#[cfg(feature = "pages")]
const LIST: &str = "src/password/common.txt";
const CHANGELOG: &str = "CHANGELOG.md";
const WITHOUT_DATABASE: &str = "no database is chosen: add the feature \"sqlite\" or \"postgres\" to the dependency rocket-login";

fn main() {
    if cfg!(not(any(feature = "sqlite", feature = "postgres"))) {
        // Here and not in the library, where the compiler would add an error for each missing type.
        println!("cargo::error={WITHOUT_DATABASE}");
        return;
    }

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={CHANGELOG}");
    // These directories are embedded. Without these lines cargo would not notice a new file in
    // them.
    for directory in ["docs", "migrations", "static", "templates"] {
        println!("cargo::rerun-if-changed={directory}");
    }

    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to"));
    let write = |name: &str, content: &[u8]| {
        fs::write(directory.join(name), content).expect("the directory can be written to");
    };
    #[cfg(feature = "pages")]
    {
        write("common.fst", &common_passwords());
        compress(&directory.join("static"));
    }
    let modules = [module(Path::new(CHANGELOG), ""), modules(Path::new("docs"))].concat();
    write("documentation.rs", modules.as_bytes());
}

#[cfg(feature = "pages")]
fn common_passwords() -> Vec<u8> {
    println!("cargo::rerun-if-changed={LIST}");
    let list = fs::read_to_string(LIST).expect("the list is part of the crate");
    let mut passwords: Vec<&str> = list.lines().collect();
    passwords.sort_unstable();
    passwords.dedup();

    let set = fst::Set::from_iter(passwords).expect("the passwords are sorted");
    set.into_fst().into_inner()
}

/// Writes those of the files in `static` that are smaller with gzip to `target`, compressed.
#[cfg(feature = "pages")]
fn compress(target: &Path) {
    use std::io::Write as _;

    if target.exists() {
        fs::remove_dir_all(target).expect("the directory is ours");
    }
    fs::create_dir(target).expect("a directory can be made");
    for entry in fs::read_dir("static").expect("the files are part of the crate") {
        let path = entry.expect("a directory can be read").path();
        let content = fs::read(&path).expect("a file can be read");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&content).expect("memory can be written to");
        let compressed = gzip.finish().expect("memory can be written to");
        if compressed.len() < content.len() {
            let name = path.file_name().expect("a file has a name");
            fs::write(target.join(name), compressed).expect("the directory can be written to");
        }
    }
}

/// One module for each page in `directory`. `README.md` is the page of a directory itself.
fn modules(directory: &Path) -> String {
    let entries = fs::read_dir(directory).expect("the pages are part of the crate");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a directory can be read").path()).collect();
    paths.sort();

    let mut text = String::new();
    for path in paths {
        let index = path.join("README.md");
        if index.is_file() {
            text += &module(&index, &modules(&path));
        } else if path.extension().is_some_and(|extension| extension == "md")
            && !path.ends_with("README.md")
        {
            text += &module(&path, "");
        }
    }
    text
}

/// The module of the page at `path`, with `children` in it.
fn module(path: &Path, children: &str) -> String {
    let page = fs::read_to_string(path).expect("a page can be read");
    let page = with_links_for_rustdoc(&page, path);
    // The programs on the pages are for the whole crate.
    let page = match cfg!(feature = "pages") {
        true => page,
        false => page.replace("```rust", "```rust,ignore"),
    };
    let names = names(path).expect("the path is a page's");
    let name = names.last().expect("a module has a name");
    format!("#[doc = {page:?}]\npub mod {name} {{\n{children}}}\n")
}

/// The path of the module of the page at `path`. `None`: there is no such page.
fn names(path: &Path) -> Option<Vec<String>> {
    let path = path.with_extension("");
    let path = if path.ends_with("README") { path.parent()? } else { &path };
    let path = match path.strip_prefix("docs") {
        Ok(below) => below,
        Err(_) if path == Path::new("CHANGELOG") => path,
        Err(_) => return None,
    };
    let name = |part: Component<'_>| {
        let part = part.as_os_str().to_str()?.to_lowercase().replace('-', "_");
        let is_number = part.starts_with(|first: char| first.is_ascii_digit());
        Some(if is_number { format!("_{part}") } else { part })
    };
    path.components().map(name).collect()
}

/// `page`, in which each relative link leads to another module. Where there is none, the path
/// of the file stands in the place of the link.
fn with_links_for_rustdoc(page: &str, path: &Path) -> String {
    let mut parts = page.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (target, rest) = part.split_once(')').expect("a link has an end");
        if target.contains("://") || target.starts_with('#') {
            write!(text, "]({target}){rest}").expect("a text takes all");
            continue;
        }

        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = resolved(&path.with_file_name(file));
        let hash = if anchor.is_empty() { "" } else { "#" };
        let is_page = file.extension().is_some_and(|extension| extension == "md");
        match names(&file).filter(|_| is_page && file.is_file()) {
            Some(names) => {
                let module = names.join("::");
                write!(text, "](crate::_documentation::{module}{hash}{anchor}){rest}")
            }
            None => {
                text.remove(text.rfind('[').expect("a link has a beginning"));
                write!(text, " (`{}`){rest}", file.display())
            }
        }
        .expect("a text takes all");
    }
    text
}

/// `path` without `..`.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
}
