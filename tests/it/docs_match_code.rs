//! The pages for readers agree with the code and with each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use rocket::data::ByteUnit;
use rocket::figment::Figment;
use rocket::figment::providers::{Format, Toml};
use rocket::figment::value::Value;
use rocket::http::Accept;
use rocket::{get, routes};
use rocket_login::config::{Config, DatabaseConfig};
use rocket_login::{Auth, Db, Flash, HasRole, RecentLogin, Role, Session, StrongLogin, User};

use crate::support::TestApp;

const REFERENCE: &str = include_str!("../../docs/reference.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// All pages, by their paths.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    for directory in ["", "deploy", "fuzz", "src/password"] {
        add_pages(Path::new(directory), false, &mut pages);
    }
    add_pages(Path::new("docs"), true, &mut pages);
    assert!(pages.len() > 12, "{:?}", pages.keys());
    pages
}

fn add_pages(directory: &Path, below: bool, pages: &mut BTreeMap<PathBuf, String>) {
    // The packaged crate has not all of them.
    let Ok(entries) = fs::read_dir(Path::new(".").join(directory)) else { return };
    for entry in entries {
        let path = directory.join(entry.unwrap().file_name());
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.insert(path.clone(), fs::read_to_string(&path).unwrap());
        } else if below && path.is_dir() {
            add_pages(&path, true, pages);
        }
    }
}

/// The lines of `page` outside of blocks of code, each with its number.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    page.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What follows the heading `title`, as far as the next one of any level.
fn section<'p>(page: &'p str, title: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("# {title}\n")).unwrap();
    rest.split("\n#").next().unwrap()
}

/// The cells of the rows of the tables in `text`, without their headings.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_heading =
        |index: usize| lines.get(index + 1).is_some_and(|next| next.starts_with("|--"));
    let rows = lines.iter().enumerate().filter(|(index, line)| {
        line.starts_with('|') && !line.starts_with("|--") && !is_heading(*index)
    });
    rows.map(|(_, row)| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn readme_is_at_most_a_hundred_and_fifty_lines_long() {
    let lines = include_str!("../../README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

#[test]
fn lines_of_prose_are_at_most_120_characters_long() {
    for (path, page) in pages() {
        for (index, line) in prose(&page).filter(|(_, line)| !line.starts_with('|')) {
            let length = line.chars().count();
            assert!(length <= 120, "{}:{}: {length} characters", path.display(), index + 1);
        }
    }
}

/// The targets of the links in the prose of `page`.
fn links(page: &str) -> Vec<&str> {
    let targets = prose(page).flat_map(|(_, line)| line.split("](").skip(1));
    targets.map(|rest| rest.split_once(')').unwrap().0).collect()
}

/// The anchors of the headings in `page`, as code hosts and rustdoc make them.
fn anchors(page: &str) -> Vec<String> {
    let headings =
        prose(page).filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' '));
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let pages = pages();
    let mut count = 0;
    for (path, page) in &pages {
        for link in links(page).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => without_dots(&path.with_file_name(file)),
            };
            let place = path.display();
            assert!(target.exists(), "{place} links to {link}, which does not exist");
            let anchors = pages.get(&target).map(|page| anchors(page)).unwrap_or_default();
            let has_anchor = anchor.is_empty() || anchors.iter().any(|a| a == anchor);
            assert!(has_anchor, "{place} links to {link}; there is no such heading: {anchors:?}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
        path
    })
}

#[test]
fn every_page_of_the_docs_is_in_the_crates_documentation() {
    let documentation = include_str!(concat!(env!("OUT_DIR"), "/documentation.rs"));
    for (path, page) in pages().iter().filter(|(path, _)| path.starts_with("docs")) {
        let title = format!("#[doc = \"{}\\n", page.lines().next().unwrap().replace('"', "\\\""));
        assert!(documentation.contains(&title), "{} is not there", path.display());
    }
    assert!(!documentation.contains(".md)"), "a link leads to a file");
}

#[test]
fn every_file_that_a_page_names_exists() {
    const DIRECTORIES: [&str; 9] = [
        "benches/",
        "deploy/",
        "docs/",
        "examples/",
        "fuzz/",
        "migrations/",
        "src/",
        "static/",
        "tests/",
    ];
    let mut count = 0;
    for (path, page) in pages().iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md")) {
        for name in prose(page).flat_map(|(_, line)| code(line)) {
            let is_path = DIRECTORIES.iter().any(|directory| name.starts_with(directory));
            let is_pattern = name.contains(['<', '*', '…', ' ', '{']);
            if !is_path || is_pattern || name.starts_with("fuzz/") {
                continue;
            }
            assert!(Path::new(name).exists(), "{} names {name}", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn every_file_for_browsers_is_in_the_reference() {
    let row = rows(section(REFERENCE, "Routes"));
    let row = row.iter().find(|row| row[1] == "`/static/<name>`").unwrap();
    let named: BTreeSet<String> = code(row[2]).into_iter().map(str::to_owned).collect();
    let files = fs::read_dir("static").unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(named, files.collect());
}

#[test]
fn every_database_is_a_store_on_the_page_for_express() {
    let page = include_str!("../../docs/express.md");
    let row = page.lines().find(|line| line.starts_with("| `store` |")).unwrap();
    for (url, name) in [("sqlite:x.db", "SQLite"), ("postgres://x/x", "PostgreSQL")] {
        assert!(DatabaseConfig::parse(url).is_ok(), "{url}");
        assert!(row.contains(name), "{name} is not in {row}");
    }
}

#[test]
fn the_limits_on_the_page_for_applications_are_those_of_the_code() {
    let page = include_str!("../../docs/application.md");
    let rows = rows(section(page, "Limits of requests"));
    assert_eq!(rows.len(), 4);
    for row in rows {
        let key = code(row[0])[0];
        let figments = [rocket_login::figment(), Figment::from(rocket::Config::default())];
        for (figment, cell) in figments.iter().zip(&row[1..]) {
            let named = code(cell)[0];
            match key.starts_with("limits.") {
                true => {
                    let limit: ByteUnit = figment.extract_inner(key).unwrap();
                    assert_eq!(limit, named.parse::<ByteUnit>().unwrap(), "{row:?}");
                }
                false => {
                    let value: Value = named.parse().unwrap();
                    assert_eq!(json(&figment.find_value(key).unwrap()), json(&value), "{row:?}");
                }
            }
        }
    }
}

#[test]
fn every_feature_is_in_the_reference() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, features) = manifest.split_once("\n[features]\n").unwrap();
    let features = features.split("\n[").next().unwrap().lines();
    let names = features.filter_map(|line| Some(line.split_once(" = ")?.0));
    let names = names.filter(|name| !name.starts_with('#') && *name != "default");
    let rows = rows(section(REFERENCE, "Features"));
    let named = rows.iter().map(|row| code(row[0])[0]);
    assert_eq!(names.collect::<BTreeSet<_>>(), named.collect());
}

#[test]
fn every_development_dependency_has_its_reason_above_it() {
    let (_, manifest) =
        include_str!("../../Cargo.toml").split_once("[dev-dependencies]\n").unwrap();
    let lines: Vec<&str> = manifest.lines().take_while(|line| !line.starts_with('[')).collect();
    let mut count = 0;
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        if !line.starts_with('#') {
            let above = index.checked_sub(1).map(|above| lines[above]);
            assert!(above.is_some_and(|above| above.starts_with("# ")), "no reason above {line}");
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

#[rocket::async_test]
async fn every_route_is_in_the_reference_and_every_row_is_a_route() {
    let app = TestApp::new().await;
    let routes = app.client.rocket().routes();
    let routes = routes.map(|route| format!("{} {}", route.method, route.uri.path()));
    let routes = routes.filter(|route| !route.contains(" /.refused/"));

    let rows = rows(section(REFERENCE, "Routes"));
    let named = rows.iter().flat_map(|row| {
        let path = code(row[1])[0];
        code(row[0]).into_iter().map(move |method| format!("{method} {path}"))
    });
    assert_eq!(routes.collect::<BTreeSet<_>>(), named.collect());
}

/// Each guard as a route: what the reference calls it, and its path.
const GUARDS: [(&str, &str); 9] = [
    ("&Session", "/guards/session"),
    ("&User", "/guards/user"),
    ("Option<&User>", "/guards/anybody"),
    ("HasRole<Editor>", "/guards/editor"),
    ("RecentLogin", "/guards/recent"),
    ("StrongLogin", "/guards/strong"),
    ("Flash", "/guards/flash"),
    ("Auth", "/guards/auth"),
    ("&Db", "/guards/db"),
];

#[get("/session")]
fn session(_guard: &Session) {}

#[get("/user")]
fn user(_guard: &User) {}

#[get("/anybody")]
fn anybody(_guard: Option<&User>) {}

enum Editor {}

impl Role for Editor {
    const NAME: &'static str = "editor";
}

#[get("/editor")]
fn editor(_guard: HasRole<'_, Editor>) {}

#[get("/recent")]
fn recent(_guard: RecentLogin<'_>) {}

#[get("/strong")]
fn strong(_guard: StrongLogin<'_>) {}

#[get("/flash")]
fn flash(_guard: Flash<'_>) {}

#[get("/auth")]
fn auth(_guard: Auth<'_>) {}

#[get("/db")]
fn db(_guard: &Db) {}

#[rocket::async_test]
async fn every_guard_fails_with_the_statuses_of_the_reference() {
    let routes = routes![session, user, anybody, editor, recent, strong, flash, auth, db];
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/guards", routes)).await;
    let (ada, visitor) = (app.registered("ada@example.org").await, app.visitor());
    app.execute("UPDATE users SET roles = 'editor'").await;
    let bob = app.registered("bob@example.org").await;
    let strong = app.visitor();
    strong.sign_in_strongly("bob@example.org").await;
    let mut found: HashMap<&str, BTreeSet<u16>> = HashMap::new();
    for round in ["recent", "old", "outage"] {
        match round {
            "old" => app.advance(11 * 60),
            "outage" => app.execute("ALTER TABLE sessions RENAME TO elsewhere").await,
            _ => {}
        }
        for who in [&ada, &bob, &strong, &visitor] {
            for (guard, path) in GUARDS {
                let answer = who.send(app.client.get(path).header(Accept::JSON)).await;
                found.entry(guard).or_default().insert(answer.status.code);
            }
        }
    }

    let rows = rows(section(REFERENCE, "Guards"));
    assert_eq!(rows.len(), GUARDS.len());
    for row in rows {
        let found = found.get_mut(code(row[0])[0]).unwrap();
        assert!(found.remove(&200), "{row:?}");
        let words = row[2].split([' ', ',', ';']);
        assert_eq!(*found, words.filter_map(|word| word.parse().ok()).collect(), "{row:?}");
    }
}

/// What `rocket-login … --help` says: the commands below, the options, and whether there is an
/// address.
fn help(command: &[&str]) -> (Vec<String>, BTreeSet<String>) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rocket-login"));
    let output = program.args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let part = |title: &str| -> Vec<String> {
        let (_, rest) = text.split_once(&format!("\n{title}:\n")).unwrap_or_default();
        rest.split("\n\n").next().unwrap().lines().map(|line| line.trim().to_owned()).collect()
    };

    let first = |line: &String| line.split(' ').next().unwrap().to_owned();
    let commands = part("Commands").iter().map(first).filter(|name| name != "help").collect();
    // A long help explains each of them in lines of their own.
    let (_, arguments) = text.split_once("\nArguments:\n").unwrap_or_default();
    let arguments = arguments.split("\nOptions:").next().unwrap().lines().map(str::trim);
    let arguments: Vec<String> =
        arguments.filter(|line| line.starts_with(['<', '['])).map(str::to_owned).collect();
    let arguments = arguments.iter().map(|line| first(line).replace(['<', '>', '[', ']'], ""));
    let options = text.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let options = options.filter_map(|line| line.split([' ', ',']).find(|w| w.starts_with("--")));
    let options = options.filter(|option| !["--help", "--version"].contains(option));
    // Every command has this one, and the program itself stands for all.
    let options = options.filter(|option| command.is_empty() || *option != "--config");
    (commands, options.map(str::to_owned).chain(arguments).collect())
}

#[test]
fn every_command_and_option_is_in_the_reference() {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for usage in rows(section(REFERENCE, "Commands")).iter().flat_map(|row| code(row[0])) {
        let usage = usage.replace(['[', ']'], "");
        let words = usage.strip_prefix("rocket-login").unwrap().split_whitespace();
        let words: Vec<&str> = words.collect();
        let is_command = |word: &&&str| word.starts_with(|c: char| c.is_ascii_lowercase());
        let command: Vec<&str> = words.iter().take_while(is_command).copied().collect();
        let rest = words.iter().skip(command.len());
        let arguments = ["EMAIL", "ROLE", "SHELL", "FOLDER", "ID"];
        let rest = rest.filter(|word| word.starts_with("--") || arguments.contains(word));
        named.entry(command.join(" ")).or_default().extend(rest.map(|word| (*word).to_owned()));
    }

    let mut found = BTreeMap::new();
    let mut open = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let (below, options) = help(&words);
        // What has commands below it does nothing by itself, except the program.
        if below.is_empty() || command.is_empty() {
            found.insert(words.join(" "), options);
        }
        open.extend(below.into_iter().map(|name| [command.clone(), vec![name]].concat()));
    }
    assert!(found.len() > 14, "{found:?}");
    assert_eq!(found, named);
}

#[test]
fn every_key_of_the_configuration_is_on_its_page_and_in_rocket_toml() {
    let toml = include_str!("../../Rocket.toml");
    let tables = [
        "session",
        "accounts",
        "password",
        "throttle",
        "factors",
        "providers.NAME",
        "site",
        "mail",
        "databases.login",
    ];
    let mut keys = BTreeSet::from(["secret_key".to_owned()]);
    for table in tables {
        // What serde would take, from its own complaint.
        let figment = Figment::new()
            .merge(("secret_key", vec![7; 32]))
            .merge(("databases.login.url", "sqlite:x"))
            .merge((format!("{table}.nonsense"), 1));
        let error = Config::from_figment(&figment).unwrap_err().to_string();
        for key in error.split("the keys here are ").nth(1).unwrap().split(", ") {
            assert!(toml.contains(&format!("# {key} =")), "{table}.{key} is not in Rocket.toml");
            keys.insert(format!("{table}.{key}"));
        }
    }

    let (_, page) = CONFIGURATION.split_once("\n## Every key\n").unwrap();
    let named = rows(page).iter().map(|row| code(row[0])[0].to_owned()).collect();
    assert_eq!(keys, named);
}

/// As JSON, which has one kind of number.
fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn every_default_on_the_page_is_that_of_rocket_toml() {
    let text = include_str!("../../Rocket.toml");
    let (text, _) = text.split_once("\n[debug]\n").unwrap();
    // The comments that are keys, or tables.
    let is_toml = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let lines = text.lines().map(|line| line.strip_prefix("# ").filter(is_toml));
    let lines: Vec<&str> = text.lines().zip(lines).map(|(line, key)| key.unwrap_or(line)).collect();
    let toml = Figment::from(Toml::string(&lines.join("\n")).nested());
    let mut count = 0;
    for row in rows(CONFIGURATION.split_once("\n## Every key\n").unwrap().1) {
        let (key, default) = (code(row[0])[0], code(row[1]));
        if row[1] != format!("`{}`", default.join("")) {
            continue;
        }
        // Each provider of the file has the keys that are its own.
        let provider =
            if [".url", ".api"].iter().any(|end| key.ends_with(end)) { "github" } else { "google" };
        let key = key.replace("NAME", provider);
        let configured = toml.find_value(&key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(json(&configured), json(&default[0].parse().unwrap()), "{key}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn every_variable_on_the_page_says_the_same_as_the_file() {
    let rows = rows(section(CONFIGURATION, "Environment variables"));
    assert!(rows.len() > 5, "{}", rows.len());
    for row in rows {
        let file = Figment::from(Toml::string(code(row[1])[0]));
        let (name, value) = code(row[2])[0].split_once('=').unwrap();
        let value: Value = value.trim_matches('\'').parse().unwrap();
        let name = name.strip_prefix("ROCKET_").unwrap().to_lowercase();
        assert_eq!(json(&file.find_value(&name).unwrap()), json(&value), "{row:?}");
    }
}
