//! The sources of the templates: those inside the binary, and the files of `template_dir`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, io};

use include_dir::{Dir, include_dir};

static DIRECTORY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates/rocket-login");

/// The folder in `template_dir` whose files replace our templates. The names of ours begin with it,
/// so an application's `login` or `base` is its own.
pub const FOLDER: &str = "rocket-login";

/// The folders in `template_dir` that have nothing but files of our names.
const OUR_FOLDERS: [&str; 2] = [FOLDER, "rocket-login/mail"];

/// The suffixes of our templates' files: pages, and the words of mails.
const SUFFIXES: [&str; 2] = [".html.tera", ".txt.tera"];

/// The templates that no page is put around.
const NOT_PAGES: [&str; 2] = ["rocket-login/base", "rocket-login/macros"];

/// What stands before a page that begins with a block.
const IN_BASE: &str =
    r#"{% extends "rocket-login/base" %}{% import "rocket-login/macros" as macros %}"#;

/// Calls of macros that often render nothing.
const MAY_RENDER_NOTHING: [&str; 3] = ["{{ macros::alert(", "{{ macros::next(", "{{ self::next("];

/// The endings of files that somebody may believe to be templates of ours.
const LOOK_LIKE_TEMPLATES: [&str; 7] = ["tera", "html", "htm", "txt", "hbs", "j2", "jinja"];

/// A template inside the binary.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// Its name, as in `rocket-login/login`.
    pub name: String,
    /// The path of its file in `template_dir`.
    file: PathBuf,
    text: &'static str,
}

impl BuiltIn {
    /// Returns the text, as a whole template.
    pub fn text(&self) -> Cow<'static, str> {
        in_base(&self.name, self.text)
    }

    /// Returns the text for the engine. A page has no empty line where a tag stands.
    ///
    /// Only our own pages are changed: an application's template is what Tera makes of it, and a
    /// mistake in it stays in its line. In the words of a mail, empty lines separate paragraphs.
    pub fn text_for_engine(&self) -> Cow<'static, str> {
        let text = self.text();
        match self.file.parent() == Some(Path::new(FOLDER)) {
            true => text.lines().map(without_line_of_tags).collect::<String>().into(),
            false => text,
        }
    }

    /// Returns the file's name, as in `login.html.tera` or `mail/reset.txt.tera`.
    fn file(&self) -> String {
        let file = self.file.strip_prefix(FOLDER).unwrap_or(&self.file);
        file.to_string_lossy().replace('\\', "/")
    }
}

/// The templates inside the binary.
pub static BUILT_IN: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    let files = DIRECTORY.files().chain(DIRECTORY.dirs().flat_map(Dir::files));
    let files = files.filter_map(|file| {
        let path = file.path().to_str()?;
        let name = SUFFIXES.into_iter().find_map(|suffix| path.strip_suffix(suffix))?;
        Some(BuiltIn {
            name: format!("{FOLDER}/{name}"),
            file: Path::new(FOLDER).join(path),
            text: file.contents_utf8()?,
        })
    });
    files.collect()
});

/// A template of the application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its name, as in `rocket_dyn_templates`: the path, without `.tera` and the suffix before it.
    pub name: String,
    pub path: PathBuf,
}

/// A template of the application that replaces one of ours.
#[derive(Debug, Clone)]
pub struct Replacing {
    pub file: File,
    /// The text for the engine.
    pub text: String,
}

/// The files of `template_dir`.
#[derive(Debug, Default)]
pub struct Files {
    /// The application's own templates.
    pub own: Vec<File>,
    /// Files with the name of a template of ours.
    replacing: Vec<File>,
    /// Files among these that replace nothing.
    strays: Vec<PathBuf>,
}

impl Files {
    /// Lists the files of `directory`. Only this function decides which files are read.
    pub fn list(directory: &Path) -> io::Result<Self> {
        let mut files = Files::default();
        files.add(directory, directory)?;
        files.own.sort();
        files.own.dedup_by(|second, first| second.name == first.name);
        files.replacing.sort();
        files.strays.sort();
        Ok(files)
    }

    fn add(&mut self, root: &Path, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(root, &path)?;
                continue;
            }
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let folder = relative.parent();
            if folder.is_some_and(|folder| OUR_FOLDERS.iter().any(|ours| folder == Path::new(ours)))
            {
                match BUILT_IN.iter().find(|built_in| built_in.file == relative) {
                    Some(BuiltIn { name, .. }) => {
                        self.replacing.push(File { name: name.clone(), path });
                    }
                    None if looks_like_a_template(relative) => self.strays.push(path),
                    None => {}
                }
            } else if path.extension().is_some_and(|extension| extension == "tera") {
                let name = relative.with_extension("").with_extension("");
                let name = name.to_string_lossy().replace('\\', "/");
                self.own.push(File { name, path });
            }
        }
        Ok(())
    }

    /// Returns the paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let files = self.own.iter().chain(&self.replacing).map(|file| &file.path);
        files.chain(&self.strays)
    }

    /// Reads the files that replace a template of ours with another text.
    ///
    /// # Errors
    ///
    /// Returns a line for the log if a file cannot be read, or stands among them and replaces
    /// nothing.
    pub fn replacing(&self) -> Result<Vec<Replacing>, String> {
        if let Some(stray) = self.strays.first() {
            let files: Vec<String> = BUILT_IN.iter().map(BuiltIn::file).collect();
            return Err(format!(
                "{}: replaces no template of rocket-login; those are {}. Put a file of your own \
                 into another folder",
                stray.display(),
                files.join(", ")
            ));
        }

        let mut replacing = Vec::new();
        for file in &self.replacing {
            let text = fs::read_to_string(&file.path)
                .map_err(|error| format!("{}: cannot be read: {error}", file.path.display()))?;
            let text = text.trim_start_matches('\u{feff}');
            let is_same = |built_in: &BuiltIn| built_in.name == file.name && built_in.text == text;
            if !BUILT_IN.iter().any(is_same) {
                let text = in_base(&file.name, text).into_owned();
                replacing.push(Replacing { file: file.clone(), text });
            }
        }
        Ok(replacing)
    }
}

fn looks_like_a_template(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|extension| extension.to_str());
    !is_hidden && extension.is_some_and(|extension| LOOK_LIKE_TEMPLATES.contains(&extension))
}

/// Returns the text of a template, and puts a page that begins with a block into
/// `rocket-login/base`.
///
/// The page does not name the base itself: the application's own Tera reads all files of
/// `template_dir`, does not find our base, and would stop the launch.
fn in_base<'t>(name: &str, text: &'t str) -> Cow<'t, str> {
    let is_page = !NOT_PAGES.contains(&name) && !name.starts_with("rocket-login/mail/");
    match is_page && begins_with_a_block(text) {
        true => Cow::Owned(format!("{IN_BASE}{text}")),
        false => Cow::Borrowed(text),
    }
}

/// Returns `line` with its end, so that a tag at its start leaves no empty line if it renders
/// nothing: the tag removes the blanks before it, and what follows it begins a line of its own.
///
/// A line whose author has written `{%-` stays as it is, and so does a block, a macro or a loop in
/// one line: it may be used within a line, as the title is.
fn without_line_of_tags(line: &str) -> String {
    let mut rest = line.trim_start();
    let indent = &line[..line.len() - rest.len()];
    if rest.starts_with("{# ") && rest.ends_with(" #}") {
        return String::new();
    }
    if MAY_RENDER_NOTHING.iter().any(|call| rest.starts_with(call)) {
        return format!("{{{{-{}\n", &rest[2..]);
    }

    let (mut tags, mut is_part) = (String::new(), false);
    while let Some(tag) = rest.strip_prefix("{% ")
        && let Some((tag, after)) = tag.split_once("%}")
    {
        let is_macro = tag.starts_with("macro ");
        is_part |= is_macro || tag.starts_with("block ") || tag.starts_with("for ");
        // Blanks at its start would be rendered at each place where the macro is used.
        tags += &format!("{{%- {tag}{}%}}", if is_macro { "-" } else { "" });
        rest = after;
    }
    match rest {
        "" if !tags.is_empty() => format!("{tags}\n"),
        _ if tags.is_empty() || is_part => format!("{line}\n"),
        rest => format!("{tags}\n{indent}{rest}\n"),
    }
}

/// Returns whether the first thing in `text` is a block. Blanks, comments and imports may come
/// before it.
fn begins_with_a_block(mut text: &str) -> bool {
    loop {
        text = text.trim_start();
        let (comment, import) = (text.strip_prefix("{#"), after_tag(text, "import"));
        let rest = comment.and_then(|rest| rest.split_once("#}"));
        let Some((_, rest)) = rest.or_else(|| import.and_then(|rest| rest.split_once("%}"))) else {
            return after_tag(text, "block").is_some();
        };
        text = rest;
    }
}

/// Returns what follows `tag`, if `text` begins with it.
fn after_tag<'t>(text: &'t str, tag: &str) -> Option<&'t str> {
    let text = text.strip_prefix("{%")?;
    let rest = text.strip_prefix('-').unwrap_or(text).trim_start().strip_prefix(tag)?;
    rest.starts_with(char::is_whitespace).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_at_the_start_of_a_line_leaves_no_empty_line() {
        for (line, expected) in [
            ("  {% if a %}", "{%- if a %}"),
            ("{% endif %}{% endblock b %}", "{%- endif %}{%- endblock b %}"),
            ("{% block a %}{% endblock a %}", "{%- block a %}{%- endblock a %}"),
            ("{% block a %}{% if b %}c{% endif %}", "{% block a %}{% if b %}c{% endif %}"),
            ("  {% if a %}<p>{{ b }}</p>{% endif %}", "{%- if a %}\n  <p>{{ b }}</p>{% endif %}"),
            ("  {{ macros::next(next=next) }}", "{{- macros::next(next=next) }}"),
            ("  {%- if a %} b{% endif %}", "  {%- if a %} b{% endif %}"),
            ("  <p>{% if a %}b{% endif %}", "  <p>{% if a %}b{% endif %}"),
            ("  {{ macros::title(errors=errors) }} a", "  {{ macros::title(errors=errors) }} a"),
            ("", ""),
            ("{% macro a(b) %}", "{%- macro a(b) -%}"),
            ("{% macro a(b) %}c{% endmacro a %}", "{% macro a(b) %}c{% endmacro a %}"),
            ("  {{ macros::field(errors=errors) }}", "  {{ macros::field(errors=errors) }}"),
            ("{% a", "{% a"),
        ] {
            assert_eq!(without_line_of_tags(line), format!("{expected}\n"));
        }
        assert_eq!(without_line_of_tags("  {# a comment #}"), "");
    }

    #[test]
    fn a_page_that_begins_with_a_block_is_in_our_base() {
        for text in [
            "{% block title %}x{% endblock %}",
            "\r\n {# why #}\n{%- block\ttitle -%}x{% endblock %}",
            "{% import \"rocket-login/parts/own\" as own %}{# a #}{# b #}{% block a %}{% endblock %}",
        ] {
            assert!(in_base("rocket-login/login", text).starts_with(IN_BASE), "{text}");
            assert_eq!(in_base("rocket-login/base", text), text);
            assert_eq!(in_base("rocket-login/mail/reset", text), text);
        }
        for text in [
            "",
            "{#",
            "{% blocks %}",
            "<!doctype html>{% block title %}x{% endblock %}",
            "{% extends \"base\" %}{% block title %}x{% endblock %}",
            "{% import \"macros\" as own %}<!doctype html>{% block title %}x{% endblock %}",
            "{{ \"{% block title %}\" }}",
        ] {
            assert_eq!(in_base("rocket-login/login", text), text);
        }
    }
}
