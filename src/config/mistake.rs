//! What figment says of a mistake, as one line that quotes no secret.

use rocket::figment::error::{Actual, Kind};
use rocket::figment::{self, Source};

use super::ConfigError;

/// Tables whose values a message may show, except [`SECRET`] keys: somebody who mistypes a
/// number wants to see what is read. `mail` is not among them, nor `databases`: their
/// URLs hold passwords, and somebody may write one at another key of the table.
const SHOWN_TABLES: [&str; 7] =
    ["session", "accounts", "password", "throttle", "site", "shutdown", "limits"];

/// Rocket's own keys whose values a message may show.
const SHOWN_KEYS: [&str; 10] = [
    "address",
    "port",
    "workers",
    "max_blocking",
    "keep_alive",
    "ident",
    "ip_header",
    "temp_dir",
    "log_level",
    "cli_colors",
];

/// The keys in these tables that hold secrets.
const SECRET: [&str; 2] = ["previous_keys", "peppers"];

impl From<figment::Error> for ConfigError {
    fn from(error: figment::Error) -> Self {
        // A figment error is a list; the first is the one to fix first.
        let Some(first) = error.into_iter().next() else {
            return ConfigError::new("configuration", "cannot be read");
        };

        let source = first.metadata.as_ref().and_then(|metadata| metadata.source.as_ref());
        if let (Kind::Message(said), Some(Source::File(file)), true) =
            (&first.kind, source, first.path.is_empty())
        {
            return ConfigError::new(file.display().to_string(), of_file(said));
        }

        // The library keeps a path and the file that it stands in under keys of its own.
        let is_own = |key: &&String| !key.starts_with("___figment");
        let mut path: Vec<String> = first.path.iter().filter(is_own).cloned().collect();
        if let Kind::UnknownField(name, _) = &first.kind
            && path.last() != Some(name)
        {
            path.push(name.clone());
        }
        let name = first.metadata.as_ref().map_or("", |metadata| &metadata.name);
        let place = match (source, path.first()) {
            (Some(Source::File(file)), _) => format!(" (in {})", file.display()),
            (_, Some(key)) if name.contains("environment") => {
                format!(" (from ROCKET_{})", key.to_uppercase())
            }
            _ => String::new(),
        };
        let problem = problem(&first.kind, is_shown(&path));
        ConfigError::new(path.join("."), format!("{problem}{place}"))
    }
}

/// Whether the value at `path` is certain to be no secret. A table that is given as
/// something else, as in `ROCKET_SESSION="…"`, may hold one.
fn is_shown(path: &[String]) -> bool {
    match path {
        [key] => SHOWN_KEYS.contains(&key.as_str()),
        [table, key, ..] => {
            // A number is a place in a list where a table was meant to stand.
            SHOWN_TABLES.contains(&table.as_str())
                && !SECRET.contains(&key.as_str())
                && key.parse::<usize>().is_err()
        }
        [] => false,
    }
}

fn problem(kind: &Kind, is_shown: bool) -> String {
    match kind {
        Kind::UnknownField(_, known) => {
            format!("is not a key; the keys here are {}", known.join(", "))
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("is {}; write {}", what(found, is_shown), wanted(expected))
        }
        Kind::UnknownVariant(found, known) if is_shown => {
            format!("is \"{found}\"; write one of {}", known.join(", "))
        }
        Kind::UnknownVariant(_, known) => format!("is unknown; write one of {}", known.join(", ")),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
            "is out of range; write a smaller number".into()
        }
        Kind::UnsupportedKey(_, expected) => {
            format!("holds a key of another type; write {}", wanted(expected))
        }
        Kind::Unsupported(_) => "is of a type that nothing here is of".into(),
        // Messages of ours, and of parsers that say what they expect.
        Kind::Message(_)
        | Kind::InvalidLength(..)
        | Kind::MissingField(_)
        | Kind::DuplicateField(_) => kind.to_string(),
    }
}

fn what(found: &Actual, is_shown: bool) -> String {
    match found {
        Actual::Seq => "a list".into(),
        Actual::Map => "a table".into(),
        Actual::Bool(value) if is_shown => value.to_string(),
        Actual::Unsigned(number) if is_shown => number.to_string(),
        Actual::Signed(number) if is_shown => number.to_string(),
        Actual::Float(number) if is_shown => number.to_string(),
        // An address with a user may hold their password.
        Actual::Str(text) if is_shown && !text.contains('@') => format!("{text:?}"),
        Actual::Bool(_) => "true or false".into(),
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number".into(),
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a text".into(),
        _ => "of another type".into(),
    }
}

/// What serde expects, without the names of Rust's types.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" => format!("a number from 0 to {}", u8::MAX),
        "u16" => format!("a number from 0 to {}", u16::MAX),
        "u32" => format!("a number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "path string" => "a text in quotes".into(),
        "a sequence" => "a list, as in [\"…\"]".into(),
        "a map" => "a table, as in {key = \"…\"}".into(),
        other if other.starts_with("struct ") => "a table, as in {key = \"…\"}".into(),
        other => other.into(),
    }
}

/// Says what is wrong with a file. The parser quotes the line, which may hold a secret: only
/// its place is told, and what was expected.
fn of_file(said: &str) -> String {
    let place = said.strip_prefix("TOML parse error at ").and_then(|said| said.lines().next());
    let Some(place) = place else { return "cannot be read as TOML".into() };
    // The quoted lines begin with their numbers and a bar.
    let reason = said.lines().skip(1).filter(|line| !is_quoted(line));
    let reason = reason.map(str::trim).collect::<Vec<_>>().join(", ");
    match reason.strip_prefix("invalid type") {
        Some(_) => format!("{place}: stands outside a profile; write it under [default]"),
        None => format!("{place}: {reason}"),
    }
}

fn is_quoted(line: &str) -> bool {
    line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|')
}
