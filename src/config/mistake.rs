//! Turns figment's errors into one line that quotes no secret.

use rocket::figment::error::{Actual, Kind};
use rocket::figment::{self, Source};

use super::ConfigError;

/// The tables whose values a message may show, except the keys in [`SECRET`]: an operator who
/// mistypes a number wants to see the value that was read. `mail` and `databases` are not in the
/// list: their URLs hold passwords, and the operator may have written one at another key of the
/// table.
const SHOWN_TABLES: [&str; 7] =
    ["session", "accounts", "password", "throttle", "site", "shutdown", "limits"];

/// The top-level keys of Rocket whose values a message may show.
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

/// The keys in [`SHOWN_TABLES`] that hold secrets.
const SECRET: [&str; 2] = ["previous_keys", "peppers"];

impl From<figment::Error> for ConfigError {
    fn from(error: figment::Error) -> Self {
        // A figment error is a list. We report only the first, because it should be fixed first.
        let Some(first) = error.into_iter().next() else {
            return ConfigError::new("configuration", "cannot be read");
        };

        let source = first.metadata.as_ref().and_then(|metadata| metadata.source.as_ref());
        if let (Kind::Message(said), Some(Source::File(file)), true) =
            (&first.kind, source, first.path.is_empty())
        {
            return ConfigError::new(file.display().to_string(), of_file(said));
        }

        // Figment keeps a path and the file that contains it under keys of its own.
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

/// Returns whether the value at `path` is certainly not a secret. A value that stands in place of a
/// table, as in `ROCKET_SESSION="…"`, may be one.
fn is_shown(path: &[String]) -> bool {
    match path {
        [key] => SHOWN_KEYS.contains(&key.as_str()),
        [table, key, ..] => {
            // A number is an index into a list, which stands in place of a table.
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
        Kind::Unsupported(_) => "has a type that no key has".into(),
        // These messages are ours, or from parsers that say what they expect.
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
        // An address with a user may contain their password.
        Actual::Str(text) if is_shown && !text.contains('@') => format!("{text:?}"),
        Actual::Bool(_) => "true or false".into(),
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number".into(),
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a text".into(),
        _ => "of another type".into(),
    }
}

/// Returns what serde expects, without the names of Rust's types.
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

/// Returns the place and the cause of an error in a file. The parser quotes the line, which may
/// contain a secret, so the line itself is left out.
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
