//! `/account/export`: everything that is stored, to take along.

use rocket::http::{ContentType, Header};
use rocket::{Responder, get};

use crate::auth::{Auth, RecentLogin};
use crate::error::Error;

/// A file for the browser to save, and for nobody to keep on the way.
#[derive(Responder)]
pub struct Download {
    content: (ContentType, String),
    disposition: Header<'static>,
    cache: Header<'static>,
}

#[get("/account/export")]
pub async fn export(user: RecentLogin<'_>, auth: Auth<'_>) -> Result<Download, Error> {
    let export = auth.export(&user).await?;
    Ok(Download {
        content: (ContentType::JSON, format!("{export:#}")),
        disposition: Header::new("Content-Disposition", "attachment; filename=\"account.json\""),
        cache: Header::new("Cache-Control", "no-store"),
    })
}
