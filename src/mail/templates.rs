//! Writes mails out. `rocket-login/mail/<name>.txt.tera` has the words, and `layout.html.tera`
//! beside it wraps them for the part in HTML.

use std::sync::{Arc, PoisonError, RwLock};

use rocket_dyn_templates::tera::{self, Tera};
use serde::Serialize;

use super::Content;
use crate::config::{Config, SupportLink};

/// The template of the part in HTML.
const LAYOUT: &str = "rocket-login/mail/layout";

/// The template of the words below every text.
const FOOT: &str = "rocket-login/mail/foot";

/// The names of all mails. Each is a file in `templates/rocket-login/mail`.
pub const NAMES: [&str; 25] = [
    "change_email",
    "change_email_asked",
    "change_email_taken",
    "email_changed",
    "factor_added",
    "factor_missed",
    "factor_removed",
    "failures",
    "locked",
    "new_device",
    "notices_changed",
    "overruled",
    "passkey_copied",
    "password_changed",
    "password_removed",
    "password_reset",
    "provider_linked",
    "provider_missed",
    "provider_unlinked",
    "recovery_low",
    "recovery_renewed",
    "recovery_used",
    "reset",
    "sign_up_taken",
    "verify",
];

/// What all mails say about the site.
#[derive(Debug, Serialize)]
pub struct Site {
    /// The site's name.
    #[serde(rename = "site")]
    name: String,
    support: Option<SupportLink>,
}

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

impl Site {
    pub fn of(config: &Config) -> Self {
        Site { name: config.site_name().to_owned(), support: config.site.support_link() }
    }
}

impl Templates {
    /// Takes the mails from `tera`'s templates, if each of them can be written out.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them cannot. This must stop the start, and not a mail later.
    pub fn replace(&self, tera: &Tera) -> tera::Result<()> {
        let tera = with_samples(tera)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tera;
        Ok(())
    }

    /// Writes the mail `name` out.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such template, or if it uses a name that it does not get.
    pub fn write(&self, name: &str, content: &Content, site: &Site) -> tera::Result<Written> {
        write(&self.0.read().unwrap_or_else(PoisonError::into_inner), name, content, site)
    }
}

/// Returns the engine for mails, after it has written each of them out.
///
/// # Errors
///
/// Returns an error if one of them cannot be written out.
pub fn with_samples(tera: &Tera) -> tera::Result<Tera> {
    let mut tera = tera.clone();
    // Only the part in HTML is escaped. The words themselves are plain text.
    tera.autoescape_on(vec![LAYOUT]);
    for site in sample_sites() {
        NAMES.iter().try_for_each(|name| write(&tera, name, &sample(), &site).map(drop))?;
    }
    Ok(tera)
}

fn write(tera: &Tera, name: &str, content: &Content, site: &Site) -> tera::Result<Written> {
    let mut context = tera::Context::from_serialize(content)?;
    context.extend(tera::Context::from_serialize(site)?);
    let written = tidy(&tera.render(&format!("rocket-login/mail/{name}"), &context)?);
    let (head, rest) = written.split_once('\n').unwrap_or((&written, ""));
    let subject =
        subject(head).map_err(|error| tera::Error::msg(format!("the mail {name} {error}")))?;
    let (preview, text) = preview(rest);

    let text = text.trim_start_matches('\n');
    let paragraphs: Vec<Paragraph> = text.split("\n\n").map(paragraph).collect();
    context.insert("subject", subject);
    context.insert("preview", preview);
    context.insert("paragraphs", &paragraphs);
    let html = tera.render(LAYOUT, &context)?;
    let foot = tidy(&tera.render(FOOT, &context)?);
    let text = format!("{text}\n\n{foot}\n");
    Ok(Written { subject: subject.to_owned(), text, html, paragraphs })
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

/// Separates the preview, which may stand in the line below the subject, from the text.
fn preview(rest: &str) -> (&str, &str) {
    match rest.strip_prefix("Preview:") {
        Some(rest) => {
            let (preview, text) = rest.split_once('\n').unwrap_or((rest, ""));
            (preview.trim(), text)
        }
        None => ("", rest),
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

/// Returns a site with every value, and one with as few as possible.
fn sample_sites() -> [Site; 2] {
    let (href, text) = ("mailto:help@example.org".into(), "help@example.org".into());
    [Some(SupportLink { href, text }), None]
        .map(|support| Site { name: "example.org".into(), support })
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
        factor: "authenticator app".into(),
        provider: "Google".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_line_above_a_link_is_its_label() {
        let Paragraph { lines, link } = paragraph("Choose a password:\nhttps://example.org/x");
        assert_eq!(lines, ["Choose a password"]);
        assert_eq!(link.as_deref(), Some("https://example.org/x"));

        let Paragraph { lines, link } = paragraph("One: 1\nTwo: http");
        assert_eq!((lines.len(), link), (2, None));
    }

    #[test]
    fn a_preview_is_no_part_of_the_text() {
        assert_eq!(
            preview("Preview: Nothing has changed.\n\nHello"),
            ("Nothing has changed.", "\nHello")
        );
        assert_eq!(preview("Preview:"), ("", ""));
        assert_eq!(preview("\nPreview: of the text"), ("", "\nPreview: of the text"));
    }

    #[test]
    fn every_variable_of_a_mail_is_in_the_documentation() {
        let page = include_str!("../../docs/templates.md");
        let (_, section) = page.split_once("\n## Mails\n").unwrap();
        let (table, _) = section.split_once("\n| file").unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
        let firsts = rows.filter_map(|row| row.split(" | ").next());
        let named = firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let content = tera::Context::from_serialize(sample()).unwrap().into_json();
        let keys = content.as_object().unwrap().keys().map(String::as_str);
        let keys = keys.chain(["site", "support", "subject", "preview", "paragraphs"]);
        assert_eq!(named.collect::<BTreeSet<_>>(), keys.collect());
    }
}
