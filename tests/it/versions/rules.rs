//! A migration that was not released yet leaves the programs of the version before at work, and
//! holds no table for long. `docs/upgrading.md` has the rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::versions;

/// The two folders of migrations.
const FOLDERS: [&str; 2] = ["migrations", "migrations/postgres"];

/// The beginning of the line that exempts a file. The rest of the line is a version.
const MARK: &str = "-- contract: since ";

/// Returns the statements of a file, in words that are separated by one blank, without comments.
fn statements(sql: &str) -> Vec<String> {
    let (mut statements, mut text, mut rest) = (Vec::new(), String::new(), sql);
    while let Some(next) = rest.chars().next() {
        // A comment, or a text with semicolons of its own.
        let length = match next {
            '-' if rest.starts_with("--") => {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            '$' if rest.starts_with("$$") => rest[2..].find("$$").map_or(rest.len(), |end| end + 4),
            ';' => {
                statements.push(std::mem::take(&mut text));
                rest = &rest[1..];
                continue;
            }
            next => next.len_utf8(),
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    statements.push(text);
    let words = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    statements.iter().map(words).filter(|statement| !statement.is_empty()).collect()
}

/// Returns the parts of `text` between commas that are in no parentheses.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for next in text.chars() {
        match next {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(next);
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Returns what is wrong with a statement, if anything is. `others` are the statements of its file.
fn objection(statement: &str, others: &[String]) -> Option<&'static str> {
    let upper = statement.to_uppercase();
    let words: Vec<&str> = upper.split(' ').collect();
    let stands = |text: &str| others.iter().any(|other| other.to_uppercase().starts_with(text));
    // The name of a table, with or without a parenthesis behind it.
    let is_new = |table: &str| {
        let name = table.split('(').next().unwrap();
        stands(&format!("CREATE TABLE {name} ("))
    };
    let on =
        |words: &[&str]| words.iter().skip_while(|word| **word != "ON").nth(1).map(|t| is_new(t));
    match words[..] {
        ["SELECT", "1"] | ["CREATE", "TABLE", ..] => None,
        ["CREATE", "FUNCTION", ..] | ["CREATE", "OR", "REPLACE", "FUNCTION", ..] => None,
        ["CREATE", "TRIGGER", ..] => None,
        ["DROP", "TRIGGER", name, ..] => match stands(&format!("CREATE TRIGGER {name} ")) {
            true => None,
            false => Some("instances of the version before miss the trigger; make it again"),
        },
        ["CREATE", "UNIQUE", "INDEX", ..] if on(&words) == Some(true) => None,
        ["CREATE", "UNIQUE", "INDEX", ..] => Some("it refuses rows that the version before writes"),
        ["CREATE", "INDEX", "IF", "NOT", "EXISTS", ..] => None,
        ["CREATE", "INDEX", ..] if on(&words) == Some(true) => None,
        ["CREATE", "INDEX", ..] => Some(
            "nobody writes while it is made; write IF NOT EXISTS, so that the operator can make it \
             CONCURRENTLY before the release",
        ),
        ["ALTER", "TABLE", _, ..] => {
            let actions = statement.splitn(4, ' ').nth(3).unwrap_or_default();
            parts(actions).iter().find_map(|action| of_action(&action.to_uppercase()))
        }
        ["INSERT" | "UPDATE" | "DELETE", ..] => {
            Some("it locks all rows at once; let the program change them in batches")
        }
        _ => Some("it is none of the statements that are known to be safe"),
    }
}

/// Returns what is wrong with an action of `ALTER TABLE`.
fn of_action(action: &str) -> Option<&'static str> {
    let words: Vec<&str> = action.split(' ').collect();
    match words[..] {
        ["ENABLE", "ALWAYS" | "REPLICA", "TRIGGER", _] | ["VALIDATE", "CONSTRAINT", _] => None,
        ["ADD", "COLUMN", _, _, ..] => of_column(&words[4..]),
        _ => Some("it takes away or tightens what the version before uses"),
    }
}

/// Returns what is wrong with a new column. `words` are those after its name and type.
fn of_column(words: &[&str]) -> Option<&'static str> {
    let has = |word: &str| words.iter().any(|found| found.trim_end_matches('(') == word);
    let default = words.iter().skip_while(|word| **word != "DEFAULT").nth(1);
    let is_literal = |text: &str| {
        text.starts_with('\'') || text.parse::<f64>().is_ok() || ["TRUE", "FALSE"].contains(&text)
    };
    if has("NOT") && default.is_none() {
        return Some("the version before inserts rows without the column; add a DEFAULT");
    }
    if default.is_some_and(|text| !is_literal(text)) {
        return Some("the table is written anew; a DEFAULT has to be a literal");
    }
    if ["UNIQUE", "PRIMARY", "GENERATED"].iter().any(|word| has(word)) {
        return Some("the table is written anew, or refuses rows that the version before writes");
    }
    if has("CHECK") {
        return Some("all rows are read meanwhile; check the value in the program");
    }
    if has("REFERENCES") && !has("CASCADE") && !action_sets_null(words) {
        return Some("the version before cannot delete what it refers to; add ON DELETE");
    }
    None
}

fn action_sets_null(words: &[&str]) -> bool {
    words.windows(2).any(|pair| pair == ["SET", "NULL"])
}

/// Returns everything that is wrong with a file.
fn objections(sql: &str) -> Vec<String> {
    let mut marks = sql.lines().filter_map(|line| line.strip_prefix(MARK));
    if let Some(since) = marks.next() {
        let is_kept = versions().iter().any(|folder| folder.ends_with(since.trim()));
        return match is_kept {
            true => Vec::new(),
            false => vec![format!("{MARK}{since}: tests/versions has no such version")],
        };
    }
    let statements = statements(sql);
    let object = |statement: &String| {
        objection(statement, &statements).map(|reason| format!("{statement}: {reason}"))
    };
    statements.iter().filter_map(object).collect()
}

/// Returns the names of the files in `folder`, without `.sql`.
fn names(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    files.filter_map(|name| Some(name.to_str()?.strip_suffix(".sql")?.to_owned())).collect()
}

/// Returns the names of the migrations of the kept versions.
fn released() -> BTreeSet<String> {
    let mut released = BTreeSet::new();
    for version in versions() {
        let dump = fs::read_to_string(version.join("login.sql")).unwrap();
        let start = "INSERT INTO public._sqlx_migrations VALUES (";
        for row in dump.lines().filter_map(|line| line.strip_prefix(start)) {
            let (number, rest) = row.split_once(", '").unwrap();
            let description = rest.split('\'').next().unwrap();
            released.insert(format!("{number}_{}", description.replace(' ', "_")));
        }
    }
    assert!(released.len() >= 14, "{released:?}");
    released
}

#[test]
fn a_migration_only_adds_to_what_was_released() {
    let (released, mut wrong) = (released(), Vec::new());
    for folder in FOLDERS {
        let names = names(folder);
        // A database that was made by that version has run them.
        let lost: Vec<_> = released.difference(&names).collect();
        assert!(lost.is_empty(), "{folder} lacks {lost:?}, which a version has released");
        for name in names.difference(&released) {
            if Some(name) < released.last() {
                wrong.push(format!("{folder}/{name}.sql: a later one was released before it"));
            }
            let sql = fs::read_to_string(Path::new(folder).join(format!("{name}.sql"))).unwrap();
            let found = objections(&sql).into_iter();
            wrong.extend(found.map(|objection| format!("{folder}/{name}.sql: {objection}")));
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/upgrading.md has the rules for migrations\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_next_migration_of_the_tests_keeps_the_rules() {
    for sql in [super::next::SQLITE, super::next::POSTGRES] {
        assert_eq!(objections(sql), [""; 0]);
    }
}

#[test]
fn a_migration_that_stops_the_version_before_is_refused() {
    let columns = [
        "name TEXT",
        "name TEXT COLLATE \"C\" NOT NULL DEFAULT ''",
        "is_new BOOLEAN NOT NULL DEFAULT FALSE",
        "user_id BIGINT REFERENCES users (id) ON DELETE SET NULL",
    ];
    let added = columns.map(|column| format!("ALTER TABLE users ADD COLUMN {column};"));
    let accepted = [
        "SELECT 1;",
        "-- A new table; with its index.\nCREATE TABLE notes (id BIGINT);\n
         CREATE UNIQUE INDEX notes_idx ON notes (id);",
        "CREATE INDEX IF NOT EXISTS users_name_idx ON users (name);",
        "ALTER TABLE users ADD COLUMN a TEXT, ADD COLUMN b NUMERIC(9, 2);",
        "DROP TRIGGER t ON users; CREATE TRIGGER t AFTER UPDATE ON users EXECUTE FUNCTION f();
         ALTER TABLE users ENABLE ALWAYS TRIGGER t;",
        "CREATE OR REPLACE FUNCTION f() RETURNS TRIGGER AS $$ BEGIN DROP TABLE users; END $$;",
        "-- contract: since 0.1.0\nDROP TABLE users;",
    ];
    for sql in added.iter().map(String::as_str).chain(accepted) {
        assert_eq!(objections(sql), [""; 0], "{sql}");
    }

    for sql in [
        "DROP TABLE login_done",
        "DROP INDEX users_roles_idx",
        "DROP TRIGGER t ON users",
        "ALTER TABLE users DROP COLUMN roles",
        "ALTER TABLE users RENAME COLUMN email TO address",
        "ALTER TABLE users RENAME TO accounts",
        "ALTER TABLE users ALTER COLUMN roles TYPE VARCHAR(9)",
        "ALTER TABLE users ALTER COLUMN verified_at SET NOT NULL",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (id > 0)",
        "ALTER TABLE users ADD COLUMN a TEXT, DROP COLUMN roles",
        "ALTER TABLE users ADD COLUMN a TEXT NOT NULL",
        "ALTER TABLE users ADD COLUMN a TEXT DEFAULT gen_random_uuid()",
        "ALTER TABLE users ADD COLUMN a TEXT UNIQUE",
        "ALTER TABLE users ADD COLUMN a TEXT CHECK (a <> '')",
        "ALTER TABLE users ADD COLUMN a BIGINT REFERENCES users (id)",
        "CREATE INDEX users_name_idx ON users (name)",
        "CREATE UNIQUE INDEX users_name_idx ON users (name)",
        "UPDATE users SET roles = ''",
        "LOCK TABLE users",
        "-- contract: since 9.9.9\nDROP TABLE users",
    ] {
        assert_eq!(objections(sql).len(), 1, "{sql}");
    }
}
