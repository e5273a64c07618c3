//! Turns figment's errors into one line that quotes no secret.

use rocket::figment::error::{Actual, Kind};
use rocket::figment::{self, Source};

use super::nearest::nearest;
use super::{ConfigError, TABLES, UNDER};

/// The tables whose values a message may show, except the keys in [`SECRET`]: an operator who
/// mistypes a number wants to see the value that was read. `mail` and `databases` are not in the
/// list: their URLs hold passwords, and the operator may have written one at another key of the
/// table. Nor is `providers`, for its secrets.
const SHOWN_TABLES: [&str; 8] =
    ["session", "accounts", "password", "throttle", "factors", "site", "shutdown", "limits"];

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
        let variable = path.first().map(|key| format!("ROCKET_{}", key.to_uppercase()));
        let variable = variable.filter(|_| name.contains("environment"));
        let problem = problem(&first.kind, &path, variable.as_deref());
        let place = match (source, variable) {
            (Some(Source::File(file)), _) => format!(" (in {})", file.display()),
            // It may be in the advice already.
            (_, Some(variable)) if !problem.contains(&variable) => format!(" (from {variable})"),
            _ => String::new(),
        };
        ConfigError::new(path.join("."), format!("{problem}{place}"))
    }
}

/// Returns whether the value at `path` is certainly not a secret. A value that stands in place of a
/// table, as in `ROCKET_SESSION="…"`, may be one.
pub fn is_shown(path: &[String]) -> bool {
    match path {
        [under, path @ ..] if under == UNDER => is_shown(path),
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

/// Returns what is wrong at `path`, and what to write. `variable` is the environment variable that
/// the value comes from.
fn problem(kind: &Kind, path: &[String], variable: Option<&str>) -> String {
    let is_shown = is_shown(path);
    let write = |expected: &str| {
        let wanted = wanted(path, expected);
        match (wanted.split_once("as in {"), variable) {
            (Some((before, table)), Some(variable)) if path.len() == 1 => {
                format!("{before}as in {variable}='{{{table}'")
            }
            _ => wanted,
        }
    };
    match kind {
        Kind::UnknownField(name, known) => unknown(name, known),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("is {}; write {}", what(found, is_shown), write(expected))
        }
        Kind::UnknownVariant(found, known) if is_shown => {
            format!("is \"{found}\"; write one of {}", known.join(", "))
        }
        Kind::UnknownVariant(_, known) => format!("is unknown; write one of {}", known.join(", ")),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
            "is out of range; write a smaller number".into()
        }
        Kind::InvalidLength(_, expected) => {
            format!("has another length; write {}", write(expected))
        }
        Kind::UnsupportedKey(_, expected) => {
            format!("holds a key of another type; write {}", write(expected))
        }
        Kind::Unsupported(_) => "has a type that no key has".into(),
        Kind::MissingField(_) => "is missing".into(),
        Kind::DuplicateField(_) => "stands there twice; remove one".into(),
        // Rocket's own messages name no fix. Ours say everything.
        Kind::Message(said) => match of_rocket(path) {
            Some(wanted) => format!("cannot be read; write {wanted}"),
            None => said.clone(),
        },
    }
}

/// Returns the problem with a key that does not exist, and the key that was probably meant.
pub fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(nearest) => format!("is not a key; did you mean {nearest}?"),
        None => format!("is not a key; the keys here are {}", known.join(", ")),
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

/// What to write at Rocket's own keys, and at those of ours whose type alone does not say it.
const WANTED: [(&str, &str); 29] = [
    ("address", "an IP address, as in \"127.0.0.1\""),
    ("port", "a number from 0 to 65535"),
    ("workers", "a number from 1 to 1024"),
    ("max_blocking", "a number from 1 upwards"),
    ("keep_alive", "a number of seconds, or 0 for none"),
    ("ident", "a name in quotes, or false"),
    ("ip_header", "the name of a header in quotes, or false"),
    ("temp_dir", "a folder in quotes"),
    ("template_dir", "a folder in quotes"),
    ("log_level", "one of critical, normal, debug, off"),
    ("cli_colors", "true or false"),
    ("limits", "a table, as in {form=\"16KiB\"}"),
    ("limits.", "a size in quotes, as in \"16KiB\""),
    ("shutdown", "a table, as in {grace=5}"),
    ("shutdown.signals", "a list of signals, as in [\"term\"]"),
    ("shutdown.signals.", "the name of a signal in quotes, as in \"term\""),
    ("databases", "a table, as in {login={url=\"sqlite:PATH\"}}"),
    ("session", "a table, as in {idle_timeout=\"30m\"}"),
    ("session.same_site", "one of lax, strict, none"),
    ("accounts", "a table, as in {registration=\"closed\"}"),
    ("accounts.registration", "one of open, confirm, closed"),
    ("password", "a table, as in {min_length=15}"),
    ("throttle", "a table, as in {failures=5}"),
    ("factors", "a table, as in {required=true}"),
    (
        "providers",
        "a table, as in {google={issuer=\"https://accounts.google.com\", client_id=\"…\"}}",
    ),
    ("providers.", "a table, as in {issuer=\"https://accounts.google.com\", client_id=\"…\"}"),
    ("site", "a table, as in {url=\"https://example.org\"}"),
    ("site.headers", "one of ours, own"),
    ("mail", "a table, as in {url=\"…\"}"),
];

/// Returns what to write at `path`, as a person says it.
fn wanted(path: &[String], expected: &str) -> String {
    if let [under, path @ ..] = path
        && under == UNDER
        && !path.is_empty()
    {
        return wanted(path, expected);
    }
    of_key(path).map_or_else(|| of_type(expected).to_owned(), str::to_owned)
}

fn of_key(path: &[String]) -> Option<&'static str> {
    let whole = path.join(".");
    let above = path.split_last().map(|(_, above)| above.join(".") + ".").unwrap_or_default();
    let of = |wanted: &str| WANTED.iter().find(|(key, _)| *key == wanted).map(|(_, text)| *text);
    of(&whole).or_else(|| of(&above).filter(|_| path.len() > 1))
}

/// Returns what to write at a key of Rocket's.
fn of_rocket(path: &[String]) -> Option<&'static str> {
    of_key(path).filter(|_| path.first().is_none_or(|table| !TABLES.contains(&table.as_str())))
}

/// Returns what serde expects, without the names of Rust's types.
fn of_type(expected: &str) -> &str {
    match expected {
        "u8" => "a number from 0 to 255",
        "u16" => "a number from 0 to 65535",
        "u32" => "a number from 0 to 4294967295",
        "u64" | "usize" | "i64" => "a number",
        "a boolean" | "true or false" | "0 or 1" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list, as in [\"…\"]",
        "a map" => "a table, as in {key=\"…\"}",
        other if other.starts_with("struct ") => "a table, as in {key=\"…\"}",
        // These words are ours.
        other if other.starts_with("seconds, ") => other,
        _ => "another kind of value",
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

#[cfg(all(test, feature = "cli"))]
mod tests {
    use rocket::figment::Figment;
    use rocket::figment::value::{Dict, Value};

    use crate::config::{Config, defaults, read};

    /// Words that only a programmer of Rust uses so.
    const RUST: [&str; 24] = [
        "u8",
        "u16",
        "u32",
        "u64",
        "usize",
        "i64",
        "isize",
        "bool",
        "boolean",
        "struct",
        "enum",
        "variant",
        "sequence",
        "seq",
        "map",
        "string",
        "str",
        "tuple",
        "element",
        "elements",
        "identifier",
        "field",
        "ident",
        "invalid",
    ];

    /// The configuration that every test here changes. The environment has no say in it.
    fn figment() -> Figment {
        Figment::from(rocket::Config::debug_default()).merge(defaults())
    }

    /// Values of every kind, of which most are wrong at each key.
    fn values() -> Vec<Value> {
        let table = |value: Value| Value::from(Dict::from([("x".to_owned(), value)]));
        let list = |value: Value| Value::from(vec![value]);
        let mut values: Vec<Value> = vec!["".into(), "two words".into(), "-1".into()];
        values.extend([(-1_i64).into(), 5_i64.into(), u64::MAX.into(), 3.5.into(), true.into()]);
        values.extend([list(1.into()), list("x y".into()), list(list(true.into()))]);
        values.extend([table(1.into()), table(table("x".into())), Dict::new().into()]);
        values.push(Value::from(Vec::<Value>::new()));
        values
    }

    /// Returns the keys of our tables, from the answers to a key that does not exist.
    fn our_keys() -> Vec<String> {
        let mut keys = Vec::new();
        // The keys of this table are names.
        let tables = super::TABLES.into_iter().filter(|table| *table != "providers");
        for table in tables.chain(["databases.login", "providers.acme"]) {
            let figment = figment().merge((format!("{table}.nonsense"), 1));
            let error = Config::from_figment(&figment).unwrap_err().to_string();
            let (_, known) = error.split_once("the keys here are ").expect(table);
            keys.extend(known.split(", ").map(|key| format!("{table}.{key}")));
            keys.push(table.to_owned());
        }
        keys
    }

    fn assert_plain(line: &str) {
        let (_, problem) = line.split_once(": ").expect("it begins with the key");
        let words = problem.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let rust: Vec<_> = words.filter(|word| RUST.contains(word)).collect();
        assert!(rust.is_empty(), "{rust:?}: {line}");
        // The one name that we write so is that of a command.
        let others = problem.replace("`secret-key`", "").replace("`rocket-login secret-key`", "");
        assert!(!others.contains('`'), "{line}");
        assert!(line.lines().count() == 1 && problem.contains(' '), "{line}");
    }

    #[test]
    fn a_wrong_value_at_any_key_is_answered_without_a_word_of_rust() {
        let refuse = |key: &str, read: &dyn Fn(&Figment) -> Option<String>| {
            let lines =
                values().into_iter().filter_map(|value| read(&figment().merge((key, value))));
            let lines: Vec<_> = lines.collect();
            assert!(lines.len() > 2, "{key}: {lines:?}");
            lines.iter().for_each(|line| assert_plain(line));
        };

        let ours = our_keys();
        assert!(ours.len() > 50, "{ours:?}");
        let others = ["providers", "secret_key", "login.accounts"];
        for key in ours.iter().map(String::as_str).chain(others) {
            refuse(key, &|figment| Some(Config::from_figment(figment).err()?.to_string()));
        }
        for key in [
            "address",
            "port",
            "workers",
            "max_blocking",
            "keep_alive",
            "ident",
            "ip_header",
            "limits",
            "limits.form",
            "temp_dir",
            "log_level",
            "shutdown",
            "shutdown.force",
            "shutdown.signals",
            "shutdown.grace",
            "cli_colors",
        ] {
            refuse(key, &|figment| Some(read::check(figment).err()?.to_string()));
        }
    }

    #[test]
    fn a_text_in_place_of_a_table_is_answered_with_the_table() {
        for (key, example) in [
            ("accounts", "{registration=\"closed\"}"),
            ("session", "{idle_timeout=\"30m\"}"),
            ("login.accounts", "{registration=\"closed\"}"),
        ] {
            let error = Config::from_figment(&figment().merge((key, "closed"))).unwrap_err();
            let expected = format!("{key}: is a text; write a table, as in {example}");
            assert_eq!(error.to_string(), expected);
        }
    }
}
