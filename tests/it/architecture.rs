//! What `ARCHITECTURE.md` and the pages of `docs/decisions` say is so.

use std::fs;
use std::path::{Path, PathBuf};

/// The headings of a decision, in their order.
const HEADINGS: [&str; 4] = ["Context", "Decision", "Price", "How it is checked"];

/// The decisions, by the names of their files.
fn decisions() -> Vec<(String, String)> {
    let directory = fs::read_dir("docs/decisions").unwrap();
    let paths = directory.map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut pages: Vec<_> = paths
        .filter(|path| !path.ends_with("README.md"))
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect();
    pages.sort();
    pages
}

/// What stands between single backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_decision_has_its_headings_and_a_line_in_the_index() {
    let index = include_str!("../../docs/decisions/README.md");
    let pages = decisions();
    assert!(pages.len() > 25, "{} decisions", pages.len());

    for (name, page) in &pages {
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");

        let (number, _) = name.split_once('-').unwrap();
        let title = page.lines().next().unwrap();
        let title = title.strip_prefix(&format!("# {}. ", number.trim_start_matches('0')));
        let title = title.unwrap_or_else(|| panic!("{name} begins with another number"));
        let line = format!("| {number} | [{title}]({name}) |\n");
        assert!(index.contains(&line), "the index does not have the line {line}");
    }
    let lines = index.lines().filter(|line| line.starts_with("| 0")).count();
    assert_eq!(lines, pages.len(), "lines of the index");
}

#[test]
fn every_test_that_a_decision_or_a_figure_names_exists() {
    let tests = super::docs::tests();
    let is_test = |name: &str| tests.contains(name);

    for (name, page) in decisions() {
        let (_, checked) = page.split_once("\n## How it is checked\n").unwrap();
        let mut count = 0;
        for test in quoted(checked).filter(|quoted| quoted.contains('_') && !quoted.contains('/')) {
            assert!(is_test(test), "no test is called {test}: {name}");
            count += 1;
        }
        assert!(count > 0, "{name} names no test");
    }
    let page = include_str!("../../docs/performance.md");
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let names = quoted(page).filter(is_name).filter(|name| name.matches('_').count() > 3);
    for test in names {
        assert!(is_test(test), "no test is called {test}: docs/performance.md");
    }
}

#[test]
fn every_file_that_a_decision_or_a_figure_names_exists() {
    let pages = decisions();
    let figures = fs::read_to_string("docs/performance.md").unwrap();
    let pages = pages.into_iter().chain([("docs/performance.md".to_owned(), figures)]);
    for (name, page) in pages {
        for file in quoted(&page).filter(|quoted| quoted.ends_with(".rs")) {
            let is_there =
                [".", "src"].iter().any(|directory| Path::new(directory).join(file).is_file());
            assert!(is_there, "there is no file {file}: {name}");
        }
        // Links to other pages of `docs`.
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let from = if name.starts_with("docs/") { "docs" } else { "docs/decisions" };
            assert!(Path::new(from).join(link).is_file(), "there is no page {link}: {name}");
        }
    }
}

/// The map.
const MAP: &str = include_str!("../../ARCHITECTURE.md");

/// The section of the map under `heading`.
fn section(heading: &str) -> &'static str {
    let (_, rest) = MAP.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// The names in the first cells of the rows of the table whose first heading is `first`.
fn names(text: &'static str, first: &str) -> Vec<&'static str> {
    let (_, table) = text.split_once(&format!("| {first} |")).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap())).collect()
}

/// Returns whether `src` has the module `name`, as in `session/store`.
fn is_module(name: &str) -> bool {
    Path::new("src").join(name).with_extension("rs").is_file()
}

#[test]
fn the_map_is_short() {
    let lines = MAP.lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines");
}

#[test]
fn the_map_names_every_module_and_no_other() {
    let mut named = names(section("Code map"), "module");
    named.sort_unstable();
    let entries = fs::read_dir("src").unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    let mut modules: Vec<_> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    modules.sort_unstable();
    assert_eq!(named, modules);

    for path in names(section("Code map"), "path") {
        assert!(Path::new(path).exists(), "there is no {path}");
    }
}

#[test]
fn every_invariant_names_a_module_that_exists() {
    let section = section("Invariants");
    let invariants: Vec<_> = section.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(invariants.len() > 20, "{} invariants", invariants.len());
    for line in invariants {
        let tag = line.strip_prefix("- **Invariant** (`").and_then(|rest| rest.split_once("`): "));
        let (module, _) = tag.unwrap_or_else(|| panic!("no module is named: {line}"));
        assert!(is_module(module), "there is no module {module}: {line}");
    }
}

#[test]
fn every_module_that_a_walk_names_exists() {
    let walks = section("Five walks");
    // `session::store::find`, `web::Posted`: without the last part if that is no module.
    for path in quoted(walks).filter(|quoted| quoted.contains("::")) {
        let module = path.replace("::", "/");
        let parent = module.rsplit_once('/').unwrap().0;
        // Types begin with a capital letter, as in `Email::parse`.
        if path.starts_with(char::is_uppercase) {
            continue;
        }
        assert!(is_module(&module) || is_module(parent), "there is no {path}");
    }
}
