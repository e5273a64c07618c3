//! `/account/export`: downloads everything that is stored about the user.

use rocket::futures::stream::{BoxStream, StreamExt, unfold};
use rocket::http::{ContentType, RawStr};
use rocket::response::stream::TextStream;
use rocket::response::{self, Responder, Response};
use rocket::{Request, get};

use super::Page;
use crate::auth::{Auth, Export, RecentLogin};
use crate::clock::{Timestamp, in_rfc_3339};
use crate::error::Error;

/// A file that the browser saves, and that no cache keeps.
pub struct Download {
    name: String,
    pieces: BoxStream<'static, String>,
}

impl<'r> Responder<'r, 'r> for Download {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'r> {
        Response::build_from(TextStream(self.pieces).respond_to(request)?)
            .header(ContentType::JSON)
            .raw_header("Content-Disposition", attachment(&self.name))
            .raw_header("Cache-Control", "no-store")
            .ok()
    }
}

#[get("/account/export")]
pub async fn export(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Download, Error> {
    let export = auth.export(&user).await?;
    let name = file_name(page.config.site_name(), "account", export.started_at(), "json");
    Ok(Download { name, pieces: unfold(export, next).boxed() })
}

/// Returns the name of the file of `what` that was made at `at`, as in `Example-account-2026-01-01.json`.
/// It has only letters, digits, points and hyphens, so every file system takes it.
pub fn file_name(site: &str, what: &str, at: Timestamp, ending: &str) -> String {
    let day = in_rfc_3339(at).and_then(|at| Some(at.split_once('T')?.0.to_owned()));
    let words =
        site.split(|c: char| !c.is_alphanumeric() && c != '.').map(|word| word.trim_matches('.'));
    let parts = words.chain([what]).chain(day.as_deref());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    format!("{}.{ending}", parts.join("-"))
}

/// Returns the header that makes a browser save the file as `name`. The second form is for letters
/// outside ASCII (RFC 6266, section 4.3). Browsers prefer it.
pub fn attachment(name: &str) -> String {
    let ascii: String = name.chars().filter(char::is_ascii).collect();
    let ascii = ascii.trim_start_matches('-');
    match name.is_ascii() {
        true => format!("attachment; filename=\"{ascii}\""),
        false => {
            let encoded = RawStr::new(name).percent_encode();
            format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
        }
    }
}

/// The head of the response is already sent. If the database fails, the document ends before its
/// last brace, so a reader sees that it is incomplete.
async fn next(mut export: Export) -> Option<(String, Export)> {
    let piece = export.next().await.unwrap_or_else(|error| {
        log::error!("an export was cut off: {error}");
        None
    });
    piece.map(|piece| (piece, export))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_name_of_the_site_and_the_day() {
        for (site, name) in [
            ("Example", "Example-account-2026-01-01.json"),
            ("login.example.org", "login.example.org-account-2026-01-01.json"),
            ("../A \"b\" / C:", "A-b-C-account-2026-01-01.json"),
            ("Bäckerei Groß", "Bäckerei-Groß-account-2026-01-01.json"),
            ("", "account-2026-01-01.json"),
        ] {
            assert_eq!(file_name(site, "account", 1_767_225_600, "json"), name);
        }
        assert_eq!(file_name("Example", "account", i64::MAX, "json"), "Example-account.json");
    }

    #[test]
    fn a_name_with_letters_outside_ascii_is_sent_in_both_forms() {
        assert_eq!(attachment("a-1.json"), "attachment; filename=\"a-1.json\"");
        assert_eq!(
            attachment("例-é1.json"),
            "attachment; filename=\"1.json\"; filename*=UTF-8''%E4%BE%8B-%C3%A91.json"
        );
    }
}
