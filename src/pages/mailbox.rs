//! `/dev/mailbox`: shows the mails during development.

use rocket::http::{ContentType, Header};
use rocket::{Responder, State, get};
use rocket_dyn_templates::context;

use super::{Html, Page};
use crate::db::Db;
use crate::error::Error;
use crate::mail::{self, Mail};

#[get("/dev/mailbox")]
pub async fn list(page: Page<'_>, mail: &State<Mail>, db: &Db) -> Result<Html, Error> {
    let mails = mail::received(mail, db).await?;
    Ok(page.render("mailbox", context! { mails }))
}

/// Shows the part in HTML, as a mail program would.
#[derive(Responder)]
pub struct Shown {
    content: (ContentType, String),
    policy: Header<'static>,
    cache: Header<'static>,
}

#[get("/dev/mailbox/<id>")]
pub async fn show(id: i64, mail: &State<Mail>, db: &Db) -> Result<Option<Shown>, Error> {
    let mails = mail::received(mail, db).await?;
    let found = mails.into_iter().find(|mail| mail.id == id).map(|mail| mail.html);
    Ok(found.map(|html| {
        // The mail has its own style sheet, and may load nothing else.
        let style = mail::style(&html).unwrap_or_else(|| "'none'".into());
        let policy = format!(
            "default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        Shown {
            content: (ContentType::HTML, html),
            policy: Header::new("Content-Security-Policy", policy),
            cache: Header::new("Cache-Control", "no-store"),
        }
    }))
}
