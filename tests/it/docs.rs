//! What the documentation says is so.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Where all the tests are.
const ALL: [&str; 4] = ["tests/it", "tests/browser", "tests/torture", "src"];

/// The names of all functions below these directories. They are a set: to search the text of all
/// sources for each name takes half a minute.
fn functions(directories: &[&str]) -> HashSet<String> {
    let mut names = HashSet::new();
    directories.iter().for_each(|directory| add_functions(Path::new(directory), &mut names));
    names
}

fn add_functions(directory: &Path, names: &mut HashSet<String>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            add_functions(&path, names);
            continue;
        }
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            names.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
}

/// All tests, helpers included.
pub fn tests() -> HashSet<String> {
    functions(&ALL)
}

#[test]
fn every_row_of_the_table_for_express_names_a_test() {
    let sources = functions(&["tests/it", "src"]);
    let page = include_str!("../../docs/express.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| {
            line.starts_with('|') && !line.starts_with("|---") && !line.ends_with("test |")
        })
        .collect();
    assert!(rows.len() > 35, "{} rows", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit("| ").next().unwrap().trim_matches('`');
        assert!(sources.contains(test), "no test is called {test}: {row}");
    }
}

#[test]
fn every_row_of_the_list_for_phoenix_names_tests() {
    let sources = functions(&["tests/it"]);
    let rows: Vec<&str> = include_str!("account.rs")
        .lines()
        .filter(|line| line.starts_with("//! | P") || line.starts_with("//! | R"))
        .collect();
    assert!(rows.len() > 35, "{} rows", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            assert!(sources.contains(test), "no test is called {test}: {row}");
        }
    }
}

#[test]
fn every_event_of_the_log_is_on_the_page_on_security() {
    let page = include_str!("../../docs/security.md");
    let kinds = include_str!("../../src/history/kind.rs").lines();
    let names: Vec<&str> = kinds
        .filter_map(|line| line.trim().split_once(" = \"")?.1.split_once("\", "))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}

#[test]
fn every_test_that_the_page_on_several_instances_names_exists() {
    let (page, tests) = (include_str!("../../docs/scaling.md"), tests());
    let names = page.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3);
    // What PostgreSQL and its kin call their own.
    let names = names.filter(|name| !name.starts_with("pg_") && !name.starts_with("yb_"));
    let mut count = 0;
    for name in names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
        assert!(tests.contains(name), "no test is called {name}");
        count += 1;
    }
    assert!(count > 30, "{count}");
    assert!(!page.contains("FIGURE"));
}

#[test]
fn every_promise_on_the_page_on_upgrading_names_tests() {
    let (page, tests) = (include_str!("../../docs/upgrading.md"), tests());
    let promises = page.split("\n## ").find(|part| part.starts_with("What is promised")).unwrap();
    let rows: Vec<_> = promises.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 7, "{} rows", rows.len());
    for row in rows {
        assert_names_tests(cells(row)[1], &tests, row);
    }
}

/// The cells of a row of a table.
fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_start_matches("| ").trim_end_matches(" |").split(" | ").collect()
}

/// Asserts that every name in the cell is a test's, or a file of them.
fn assert_names_tests(cell: &str, tests: &HashSet<String>, row: &str) {
    for name in cell.split(", ") {
        let name = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        let name = name.unwrap_or_else(|| panic!("no test is named: {row}"));
        let is_there = match name.contains('/') {
            true => Path::new(name).is_file(),
            false => name == "docs" || tests.contains(name),
        };
        assert!(is_there, "no test is called {name}: {row}");
    }
}

#[test]
fn every_row_of_the_asvs_table_names_a_test_that_exists() {
    let (page, tests) = (include_str!("../../docs/asvs.md"), tests());
    let (met, rest) = page.split_once("\n## Not met\n").unwrap();
    let not_met = rest.split("\n## ").next().unwrap();
    let is_id = |cell: &str| cell.split('.').all(|part| part.parse::<u8>().is_ok());
    let rows = |text: &'static str| -> Vec<(&str, Vec<&str>)> {
        let rows = text.lines().filter(|line| line.starts_with("| ") && is_id(cells(line)[0]));
        rows.map(|row| (row, cells(row))).collect()
    };

    let mut chapter = "";
    let mut ids = HashSet::new();
    for line in met.lines() {
        chapter =
            line.strip_prefix("## V").map_or(chapter, |title| title.split(' ').next().unwrap());
        let row = cells(line);
        if !line.starts_with("| ") || !is_id(row[0]) {
            continue;
        }
        assert_eq!(row.len(), 5, "{line}");
        assert_eq!(row[0].split('.').next(), Some(chapter), "{line}");
        assert!(["1", "2", "3"].contains(&row[1]), "{line}");
        assert!(ids.insert(row[0]), "twice: {line}");
        assert_names_tests(row[4], &tests, line);
    }
    assert!(ids.len() > 110, "{} rows", ids.len());

    let open = rows(not_met);
    assert!(open.len() > 15, "{} rows", open.len());
    for (row, cells) in open {
        assert_eq!(cells.len(), 4, "{row}");
        // "Open" names the test that shows it.
        if let Some(name) = cells[3].strip_prefix("open: `") {
            let name = name.split('`').next().unwrap();
            assert!(tests.contains(name), "no test is called {name}: {row}");
        }
    }
}

#[test]
fn every_promise_and_fault_on_the_page_on_reliability_names_a_test_or_a_reason() {
    let (page, tests) = (include_str!("../../docs/reliability.md"), tests());
    let (promises, faults) = page.split_once("\n## Row by row\n").unwrap();
    let rows = |text: &'static str| -> Vec<(&str, Vec<&str>)> {
        let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| | "));
        rows.map(|row| (row, cells(row))).collect()
    };

    let promised = rows(promises);
    assert!(promised.len() > 15, "{} rows", promised.len());
    for (row, cells) in promised {
        assert_eq!(cells.len(), 3, "{row}");
        assert_names_tests(cells[2], &tests, row);
    }

    let mut ids = Vec::new();
    for (row, cells) in rows(faults) {
        assert_eq!(cells.len(), 3, "{row}");
        ids.push(cells[0].to_owned());
        match cells[2].strip_prefix("none: ") {
            Some(reason) => assert!(reason.len() > 20, "{row}"),
            // A remark may follow.
            None => assert_names_tests(cells[2].split("; ").next().unwrap(), &tests, row),
        }
    }
    let all = [("R", 14), ("F", 27), ("L", 15)]
        .iter()
        .flat_map(|(kind, last)| (1..=*last).map(move |number| format!("{kind}-{number:02}")));
    assert_eq!(ids, all.collect::<Vec<_>>());
}

#[test]
fn every_row_of_the_list_of_past_holes_names_a_test_that_exists() {
    let tests = tests();
    let rows = include_str!("past_holes.rs").lines().filter(|line| line.starts_with("//! | "));
    let rows: Vec<&str> = rows.filter(|row| !row.starts_with("//! | hole ")).collect();
    assert!(rows.len() > 65, "{} rows", rows.len());
    for row in rows {
        let cells = cells(row.trim_start_matches("//! "));
        assert_eq!(cells.len(), 3, "{row}");
        assert_names_tests(cells[2], &tests, row);
    }
}
