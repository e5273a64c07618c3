//! The recipes of `docs/cookbook.md`: each is a small application in a module of its own, with
//! tests that walk it.
//!
//! To add a recipe:
//!
//!   1. Write `cookbook/NAME.rs` with `fn rocket(figment: Figment) -> Rocket<Build>` and its tests.
//!      [`Site::start()`] starts it. Add `mod NAME;` below.
//!   2. Write the section in `docs/cookbook.md`, at its place in [`ORDER`], and a line in the list
//!      at the top of the page.
//!   3. Each block of code in the section is a run of whole lines of a file that the section links
//!      to. It may be indented less. Its language is `rust,ignore`, because `cargo test` would
//!      otherwise compile it as a program. A configuration (TOML, nginx) is a string in the module,
//!      which a test reads, or a file in `deploy` or `examples`.
//!   4. End the section with a link to the module.

mod field_at_sign_up;
mod former_users;
mod invitation_only;
mod json_front_end;
mod own_log_in_page;
mod private_cookies;
mod protect;
mod roles;
mod sub_path;
mod tables_of_your_own;
mod tests;
mod two_applications;
mod web_socket;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket};
use rocket_login::Clock;
use rocket_login::testing::Browser;
use tempfile::TempDir;

use crate::streams::Served;
use crate::support::{START, figment};

/// The recipe's application with its own database and clock.
pub struct Site {
    pub client: Client,
    pub clock: Clock,
    dir: TempDir,
}

impl Site {
    /// Starts the application that `rocket` builds.
    pub async fn start(rocket: impl FnOnce(Figment) -> Rocket<Build>) -> Self {
        let (dir, clock) = (TempDir::new().unwrap(), Clock::manual(START));
        let rocket = rocket(figment(&dir)).manage(clock.clone());
        let client = Client::untracked(rocket).await.expect("the recipe starts");
        Site { client, clock, dir }
    }

    /// Starts another instance on this database and with this clock, which listens on a port.
    pub async fn serve(&self, rocket: impl FnOnce(Figment) -> Rocket<Build>) -> Served {
        Served::launch(rocket(figment(&self.dir)).manage(self.clock.clone())).await
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser::new(&self.client)
    }
}

const PAGE: &str = include_str!("../../docs/cookbook.md");

/// The titles of all recipes in the order of the page. A recipe that is not written yet is not on
/// the page.
const ORDER: [&str; 13] = [
    "Protect all routes of a mount",
    "A field at sign-up",
    "Invitation only",
    "Roles",
    "Your own log-in page",
    "A front end that speaks JSON",
    "WebSocket",
    "Two applications on one host",
    "Users that you have already",
    "From rocket_auth or private cookies",
    "Behind a proxy on a sub-path",
    "Tables of your own",
    "Tests",
];

/// The sections of the page, each with its title.
fn recipes() -> Vec<(&'static str, &'static str)> {
    let sections = PAGE.split("\n## ").skip(1);
    sections.map(|section| section.split_once('\n').unwrap()).collect()
}

/// The files to which the section links.
fn files(section: &str) -> Vec<PathBuf> {
    let links = section.split("](../").skip(1).map(|rest| rest.split_once(')').unwrap().0);
    links.map(PathBuf::from).filter(|path| path.is_file()).collect()
}

/// The modules to which the section links.
fn modules(section: &str) -> Vec<PathBuf> {
    files(section).into_iter().filter(|path| path.starts_with("tests/it/cookbook")).collect()
}

/// The blocks of code in `text`: their languages and their lines.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    let blocks = fenced.map(|block| block.split_once('\n').unwrap());
    blocks.map(|(language, code)| (language, code.lines().collect())).collect()
}

/// Returns whether the lines `block` follow each other in `file`, all of them indented by as many blanks
/// more.
fn is_excerpt(block: &[&str], file: &str) -> bool {
    let lines: Vec<&str> = file.lines().collect();
    lines.windows(block.len()).any(|window| {
        let Some(first) = window[0].strip_suffix(block[0]) else { return false };
        let is_same = |(line, expected): (&&str, &&str)| match *expected {
            "" => line.is_empty(),
            expected => line.strip_prefix(first) == Some(expected),
        };
        first.trim().is_empty() && window.iter().zip(block).all(is_same)
    })
}

#[test]
fn every_block_of_a_recipe_is_an_excerpt_of_a_file_that_the_recipe_links_to() {
    let mut count = 0;
    for (title, section) in recipes() {
        let sources: Vec<String> =
            files(section).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        for (language, block) in blocks(section) {
            assert!(language != "rust", "{title}: the language of a block is `rust,ignore`");
            let is_found = sources.iter().any(|source| is_excerpt(&block, source));
            assert!(is_found, "{title}: in no file of the recipe:\n{}", block.join("\n"));
            count += 1;
        }
    }
    assert!(count > 1, "{count}");
    let (before, _) = PAGE.split_once("\n## ").unwrap();
    assert!(blocks(before).is_empty(), "a block belongs to no recipe");
}

#[test]
fn an_excerpt_is_a_run_of_whole_lines() {
    let file = "fn a() {\n    b();\n\n    if c {\n        d();\n    }\n}\n";
    for block in ["b();\n\nif c {\n    d();\n}", "    b();", "fn a() {\n    b();", "d();"] {
        let block: Vec<&str> = block.lines().collect();
        assert!(is_excerpt(&block, file), "{block:?}");
    }
    for block in ["b()", "b();\nif c {", "if c {\nd();", "b();\n\n    if c {", "x();", "}\n}\n}"] {
        let block: Vec<&str> = block.lines().collect();
        assert!(!is_excerpt(&block, file), "{block:?}");
    }
    assert_eq!(blocks("a\n```toml\nb\nc\n```\nd\n```\ne\n```\n")[0], ("toml", vec!["b", "c"]));
}

#[test]
fn every_recipe_is_a_module_with_tests_and_every_module_is_a_recipe() {
    let mut linked = BTreeSet::new();
    for (title, section) in recipes() {
        let [module] = &modules(section)[..] else { panic!("{title}: link to one module") };
        let source = fs::read_to_string(module).unwrap();
        let is_test = |line: &str| ["#[test]", "#[rocket::async_test]"].contains(&line.trim());
        assert!(source.lines().any(is_test), "{} has no test", module.display());
        assert!(linked.insert(module.clone()), "{} has two recipes", module.display());
    }

    let entries = fs::read_dir("tests/it/cookbook").unwrap();
    let there: BTreeSet<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(linked, there);
    let lines = include_str!("cookbook.rs").lines();
    let names = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let path = |name| Path::new("tests/it/cookbook").join(name).with_extension("rs");
    assert_eq!(names.map(path).collect::<BTreeSet<_>>(), there);
}

#[test]
fn the_recipes_stand_in_their_order_and_in_the_list_at_the_top() {
    let titles: Vec<&str> = recipes().into_iter().map(|(title, _)| title).collect();
    let known: Vec<&str> = ORDER.into_iter().filter(|title| titles.contains(title)).collect();
    assert_eq!(titles, known);
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix("- [")?.split_once(']'));
    assert_eq!(lines.map(|(title, _)| title).collect::<Vec<_>>(), titles);
}
