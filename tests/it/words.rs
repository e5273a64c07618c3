//! The words that docs/style.md rules out stay out of texts, documentation and comments.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that a native reader stumbles over, and the masculine for any person.
const ODD: [&str; 12] = [
    "whoever",
    "lately",
    "but for",
    "for ever",
    "many it were",
    "mend",
    "mends",
    "mended",
    "he",
    "his",
    "him",
    "himself",
];

/// Further words that no visitor or operator should read. "E-mail" is spelled "email".
const ODD_FOR_VISITORS: [&str; 9] = [
    "e-mail",
    "e-mails",
    "somebody",
    "you we hope",
    "good once",
    "go on",
    "goes on",
    "void",
    "signed in",
];

/// Beginnings of a documentation comment that do not say what the item does or is.
const ODD_STARTS: [&str; 6] =
    ["The same", "Whether", "Who ", "Whoever", "What is", "Like the above"];

/// The files below `path` that end in `suffix`.
fn files(path: &str, suffix: &str) -> Vec<PathBuf> {
    let path = Path::new(path);
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|entry| match entry.is_dir() {
        true => files(entry.to_str().unwrap(), suffix),
        false => vec![entry],
    });
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    found.sort();
    found
}

/// A piece of a source file.
#[derive(Debug, PartialEq)]
enum Piece {
    /// The text of a string literal, as it is written.
    Text(String),
    /// A line comment, with its slashes.
    Comment(String),
}

/// The texts and comments of Rust or JavaScript, with the number of the line where each begins.
fn pieces(source: &str) -> Vec<(usize, Piece)> {
    let mut pieces = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(next) = rest.chars().next() {
        let is_name = source[..source.len() - rest.len()]
            .chars()
            .next_back()
            .is_some_and(|before| before.is_alphanumeric() || before == '_');
        let hashes = rest[next.len_utf8()..].bytes().take_while(|byte| *byte == b'#').count();
        let (length, piece) = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            (length, Some(Piece::Comment(rest[..length].to_owned())))
        } else if next == 'r' && !is_name && rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let text = &rest[hashes + 2..];
            let length = text.find(&end).expect("a raw string ends");
            (hashes + 2 + length + end.len(), Some(Piece::Text(text[..length].to_owned())))
        } else if next == '"' || next == '`' {
            let mut escaped = false;
            let length = rest[1..].find(|c| {
                let is_end = c == next && !escaped;
                escaped = c == '\\' && !escaped;
                is_end
            });
            let length = length.expect("a string ends");
            (length + 2, Some(Piece::Text(rest[1..=length].to_owned())))
        } else if rest.starts_with("'\\") {
            (rest[3..].find('\'').expect("a character ends") + 4, None)
        } else if next == '\'' && rest.chars().nth(2) == Some('\'') {
            (rest.char_indices().nth(2).expect("a character ends").0 + 1, None)
        } else {
            (next.len_utf8(), None)
        };
        pieces.extend(piece.map(|piece| (line, piece)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    pieces
}

/// The words of `odd` that are in `text`, whatever their case. A word in code or in the name of a
/// test does not count.
fn found<'a>(text: &str, odd: &[&'a str]) -> Vec<&'a str> {
    let text = text.to_lowercase().replace("\\\n", " ");
    // Without what stands in backticks.
    let text = text.split('`').step_by(2).collect::<Vec<_>>().join("_");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '/');
    let is_whole = |start: usize, word: &str| {
        !text[..start].chars().next_back().is_some_and(is_part)
            && !text[start + word.len()..].chars().next().is_some_and(is_part)
    };
    let is_found =
        |word: &&&str| text.match_indices(**word).any(|(start, _)| is_whole(start, word));
    odd.iter().filter(is_found).copied().collect()
}

/// The complaints about the odd words in each of `texts`, by path and line.
fn complaints(path: &Path, texts: &[(usize, String)], odd: &[&str]) -> Vec<String> {
    let complaint = |(line, text): &(usize, String)| {
        let words = found(text, odd);
        (!words.is_empty()).then(|| format!("{}:{line}: {}", path.display(), words.join(", ")))
    };
    texts.iter().filter_map(complaint).collect()
}

/// The paragraphs of a page or a document.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let mut is_new = true;
    for (index, line) in text.lines().enumerate() {
        match paragraphs.last_mut().filter(|_| !is_new && !line.starts_with('|')) {
            Some((_, paragraph)) => paragraph.extend(["\n", line]),
            None => paragraphs.push((index + 1, line.to_owned())),
        }
        is_new = line.trim().is_empty();
    }
    paragraphs
}

/// The comments of a source file, each from its first line to its last.
fn comments(source: &str) -> Vec<(usize, String)> {
    let mut comments: Vec<(usize, String)> = Vec::new();
    let mut next_line = 0;
    for (line, piece) in pieces(source) {
        let Piece::Comment(text) = piece else { continue };
        let kind = |text: &str| text.bytes().take_while(|byte| b"/!".contains(byte)).count();
        match comments
            .last_mut()
            .filter(|(_, first)| line == next_line && kind(first) == kind(&text))
        {
            Some((_, comment)) => comment.extend(["\n", text.trim_start_matches(['/', '!'])]),
            None => comments.push((line, text)),
        }
        next_line = line + 1;
    }
    comments
}

fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "see docs/style.md:\n{}", complaints.join("\n"));
}

#[test]
fn pages_mails_and_messages_are_in_plain_words() {
    let odd = [&ODD[..], &ODD_FOR_VISITORS].concat();
    let mut all = Vec::new();
    for path in files("templates", ".tera") {
        let text = fs::read_to_string(&path).unwrap();
        all.extend(complaints(&path, &paragraphs(&text), &odd));
    }
    for path in [files("src", ".rs"), files("static", ".js")].concat() {
        let source = fs::read_to_string(&path).unwrap();
        let texts = pieces(&source).into_iter().filter_map(|(line, piece)| match piece {
            Piece::Text(text) => Some((line, text)),
            Piece::Comment(_) => None,
        });
        all.extend(complaints(&path, &texts.collect::<Vec<_>>(), &odd));
    }
    assert_none(all);
}

#[test]
fn comments_are_in_plain_words() {
    let mut all = Vec::new();
    let rust = ["src", "tests/it", "tests/browser", "tests/torture", "benches", "examples", "fuzz"];
    let rust = rust.into_iter().flat_map(|folder| files(folder, ".rs"));
    let sources: Vec<PathBuf> = rust.chain(files("static", ".js")).collect();
    for path in sources {
        let comments = comments(&fs::read_to_string(&path).unwrap());
        all.extend(complaints(&path, &comments, &ODD));
        for (line, comment) in comments {
            let text = comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!"));
            let start = text
                .map(str::trim_start)
                .and_then(|text| ODD_STARTS.into_iter().find(|start| text.starts_with(start)));
            all.extend(
                start.map(|start| format!("{}:{line}: begins with {start:?}", path.display())),
            );
        }
    }
    assert_none(all);
}

#[test]
fn documents_are_in_plain_words() {
    let mut all = Vec::new();
    let documents =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "deploy/README.md", "docs"];
    for path in documents.into_iter().flat_map(|path| files(path, ".md")) {
        // It lists the words.
        if path != Path::new("docs/style.md") {
            let text = fs::read_to_string(&path).unwrap();
            all.extend(complaints(&path, &paragraphs(&text), &ODD));
        }
    }
    assert_none(all);
}

#[test]
fn an_odd_word_is_found_where_it_stands_alone() {
    assert_eq!(found("Ask whoever\n    runs it, but\nfor now", &ODD), ["whoever", "but for"]);
    assert_eq!(found("commend this_whoever_is, the shepherd and `mend`", &ODD), [""; 0]);
    let source = "// a\nlet x = \"b \\\" c\"; // d\nlet y = ('\"', '\\\\', '`', r#\"e \" f\"#);";
    let text = |text: &str| Piece::Text(text.into());
    let comment = |text: &str| Piece::Comment(text.into());
    assert_eq!(
        pieces(source),
        [(1, comment("// a")), (2, text("b \\\" c")), (2, comment("// d")), (3, text("e \" f"))]
    );
}
