//! `/dev/mailbox`: shows the mails during development.

use rocket::http::{ContentType, Header};
use rocket::{Responder, State, get};
use serde::Serialize;

use super::content::Content;
use super::{Html, Page};
use crate::db::Db;
use crate::error::Error;
use crate::mail::{self, Mail, Received};

/// The policy for a mail, which has its styles inside and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The content of the page.
#[derive(Serialize)]
pub struct MailboxPage {
    mails: Vec<Received>,
}

impl Content for MailboxPage {
    const TEMPLATE: &'static str = "mailbox";

    fn samples() -> Vec<Self> {
        vec![MailboxPage { mails: vec![] }, MailboxPage { mails: vec![Received::sample()] }]
    }
}

#[get("/dev/mailbox")]
pub async fn list(page: Page<'_>, mail: &State<Mail>, db: &Db) -> Result<Html, Error> {
    let mails = mail::received(mail, db).await?;
    Ok(page.render(MailboxPage { mails }))
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
    Ok(found.map(|html| Shown {
        content: (ContentType::HTML, html),
        policy: Header::new("Content-Security-Policy", POLICY),
        cache: Header::new("Cache-Control", "no-store"),
    }))
}
