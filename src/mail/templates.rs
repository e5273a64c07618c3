//! Writes mails out. `mail/<name>.txt.tera` has the words, and `mail/layout.html.tera` wraps them
//! for the part in HTML.

use std::sync::{Arc, PoisonError, RwLock};

use base64::prelude::{BASE64_STANDARD, Engine};
use rocket_dyn_templates::tera::{self, Tera};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Content;

/// The names of all mails. Each is a file in `templates/mail`.
pub const NAMES: [&str; 14] = [
    "change_email",
    "change_email_asked",
    "change_email_taken",
    "email_changed",
    "failures",
    "locked",
    "new_device",
    "notices_changed",
    "overruled",
    "password_changed",
    "password_reset",
    "reset",
    "sign_up_taken",
    "verify",
];

/// The templates with autoescaping: only the part in HTML, whether it comes from a file or from
/// inside the binary. The words themselves are plain text.
const ESCAPED: [&str; 2] = ["mail/layout", "mail/layout.html.tera"];

/// The current templates of mails. Clones share them.
#[derive(Clone, Default)]
pub struct Templates(Arc<RwLock<Tera>>);

/// A mail with its subject and its two parts.
#[derive(Debug)]
pub struct Written {
    pub subject: String,
    pub text: String,
    pub html: String,
    pub paragraphs: Vec<Paragraph>,
}

/// Lines of text, and the link below them if the last line is its label.
#[derive(Debug, Serialize)]
pub struct Paragraph {
    pub lines: Vec<String>,
    pub link: Option<String>,
}

impl Templates {
    /// Takes the mails from `tera`'s templates, if each of them can be written out.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them cannot. This must stop the start, and not a mail later.
    pub fn replace(&self, tera: &Tera) -> tera::Result<()> {
        let mut tera = tera.clone();
        tera.autoescape_on(ESCAPED.to_vec());
        NAMES.iter().try_for_each(|name| write(&tera, name, &sample(), "example.org").map(drop))?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tera;
        Ok(())
    }

    /// Writes the mail `name` out.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such template, or if it uses a name that it does not get.
    pub fn write(&self, name: &str, content: &Content, site: &str) -> tera::Result<Written> {
        write(&self.0.read().unwrap_or_else(PoisonError::into_inner), name, content, site)
    }
}

fn write(tera: &Tera, name: &str, content: &Content, site: &str) -> tera::Result<Written> {
    let mut context = tera::Context::from_serialize(content)?;
    context.insert("site", site);
    let written = tidy(&tera.render(&format!("mail/{name}"), &context)?);
    let (head, text) = written.split_once('\n').unwrap_or((&written, ""));
    let subject =
        subject(head).map_err(|error| tera::Error::msg(format!("mail/{name} {error}")))?;

    let text = text.trim_start_matches('\n');
    let paragraphs: Vec<Paragraph> = text.split("\n\n").map(paragraph).collect();
    context.insert("subject", subject);
    context.insert("paragraphs", &paragraphs);
    let html = tera.render("mail/layout", &context)?;
    Ok(Written { subject: subject.to_owned(), text: format!("{text}\n"), html, paragraphs })
}

/// Returns the words without the traces of editors and of the template's blocks: a byte order mark,
/// line ends of Windows, blanks at line ends, empty lines at the start and the end, and several
/// empty lines in a row. They would hide the end of a paragraph.
fn tidy(written: &str) -> String {
    let mut tidied = String::with_capacity(written.len());
    for line in written.trim_start_matches('\u{feff}').split('\n').map(str::trim_end) {
        let is_more = line.is_empty() && (tidied.is_empty() || tidied.ends_with("\n\n"));
        if !is_more {
            tidied.push_str(line);
            tidied.push('\n');
        }
    }
    tidied.truncate(tidied.trim_end().len());
    tidied
}

/// Returns the subject in the first line `head`. It refuses control characters: a line end would
/// start another header, which a user could choose (header injection).
fn subject(head: &str) -> Result<&str, &'static str> {
    match head.strip_prefix("Subject: ").map(str::trim_start) {
        None | Some("") => Err("does not begin with \"Subject: \" and a subject"),
        Some(subject) if subject.contains(char::is_control) => {
            Err("has a control character in its subject")
        }
        Some(subject) => Ok(subject),
    }
}

/// Reads a paragraph. If its last line is a link, the line before it is the label.
fn paragraph(text: &str) -> Paragraph {
    let mut lines: Vec<String> = text.lines().map(str::trim).map(str::to_owned).collect();
    let link = match lines.last() {
        Some(last) if last.starts_with("https://") || last.starts_with("http://") => lines.pop(),
        _ => None,
    };
    if let (Some(label), true) = (lines.last_mut(), link.is_some()) {
        label.truncate(label.trim_end_matches(':').len());
    }
    Paragraph { lines, link }
}

/// Returns the hash of the style sheet in a written mail, in the form that a content security
/// policy uses.
pub fn style(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("<style>")?;
    let (style, _) = rest.split_once("</style>")?;
    Some(format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(style))))
}

fn sample() -> Content {
    Content {
        link: "https://example.org/verify/token".into(),
        not_me: "https://example.org/not-me/token".into(),
        address: "ada@example.org".into(),
        new_address: "lovelace@example.org".into(),
        device: "Firefox on Linux".into(),
        ip_address: "192.0.2.1".into(),
        time: "1 January 2026, 00:00 UTC".into(),
        lifetime: "1 hour".into(),
        count: 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_above_a_link_is_its_label() {
        let Paragraph { lines, link } = paragraph("Choose a password:\nhttps://example.org/x");
        assert_eq!(lines, ["Choose a password"]);
        assert_eq!(link.as_deref(), Some("https://example.org/x"));

        let Paragraph { lines, link } = paragraph("One: 1\nTwo: http");
        assert_eq!((lines.len(), link), (2, None));
    }
}
