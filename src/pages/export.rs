//! `/account/export`: downloads everything that is stored about the user.

use rocket::futures::stream::{BoxStream, StreamExt, unfold};
use rocket::http::ContentType;
use rocket::response::stream::TextStream;
use rocket::response::{self, Responder, Response};
use rocket::{Request, get};

use crate::auth::{Auth, Export, RecentLogin};
use crate::error::Error;

/// A file that the browser saves, and that no cache keeps.
pub struct Download(BoxStream<'static, String>);

impl<'r> Responder<'r, 'r> for Download {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'r> {
        Response::build_from(TextStream(self.0).respond_to(request)?)
            .header(ContentType::JSON)
            .raw_header("Content-Disposition", "attachment; filename=\"account.json\"")
            .raw_header("Cache-Control", "no-store")
            .ok()
    }
}

#[get("/account/export")]
pub async fn export(user: RecentLogin<'_>, auth: Auth<'_>) -> Result<Download, Error> {
    let export = auth.export(&user).await?;
    Ok(Download(unfold(export, next).boxed()))
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
