//! What the documentation says is so.

use std::fs;
use std::path::Path;

/// Every line of source and of tests.
fn sources(directory: &Path) -> String {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| match path.is_dir() {
            true => sources(&path),
            false => fs::read_to_string(&path).unwrap_or_default(),
        })
        .collect()
}

#[test]
fn every_row_of_the_table_for_express_names_a_test() {
    let sources = sources(Path::new("tests/it")) + &sources(Path::new("src"));
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
        assert!(sources.contains(&format!("fn {test}()")), "no test is called {test}: {row}");
    }
}

#[test]
fn every_key_of_the_configuration_is_in_the_readme_and_in_rocket_toml() {
    let (readme, toml) = (include_str!("../../README.md"), include_str!("../../Rocket.toml"));
    let tables = ["session", "password", "site"];
    for table in tables {
        // What serde would take, from its own complaint.
        let figment = rocket::figment::Figment::new()
            .merge(("secret_key", vec![7; 32]))
            .merge(("databases.login.url", "sqlite:x"))
            .merge((format!("{table}.nonsense"), 1));
        let error = rocket_login::config::Config::from_figment(&figment).unwrap_err().to_string();
        let keys = error.split("the keys here are ").nth(1).unwrap();
        for key in keys.split(", ") {
            assert!(
                readme.contains(&format!("`{table}.{key}`")),
                "{table}.{key} is not in the README"
            );
            let is_later = readme
                .contains(&format!("effect yet (the start says so): `{table}.{key}`"))
                || ["reauthenticate_after", "url"].contains(&key);
            assert!(
                is_later || toml.contains(&format!("# {key} =")),
                "{table}.{key} is not in Rocket.toml"
            );
        }
    }
}
