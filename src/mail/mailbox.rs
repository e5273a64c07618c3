//! The dev mailbox, which shows the mails during development.

use serde::Serialize;

use super::{Mail, outbox, templates::Paragraph};
use crate::clock::Timestamp;
use crate::db::Pool;
use crate::error::Error;

/// A mail, as the dev mailbox shows it.
#[derive(Debug, Serialize)]
pub struct Received {
    pub id: i64,
    pub recipient: String,
    pub subject: String,
    pub created_at: Timestamp,
    pub paragraphs: Vec<Linked>,
    #[serde(skip)]
    #[cfg_attr(not(feature = "testing"), expect(dead_code))]
    pub text: String,
    #[serde(skip)]
    pub html: String,
}

/// A paragraph, and the path of its link on this host. The path works under any name of the host
/// that the browser uses: a cookie of `localhost` is not sent to `127.0.0.1`.
#[derive(Debug, Serialize)]
pub struct Linked {
    #[serde(flatten)]
    paragraph: Paragraph,
    path: Option<String>,
}

impl Received {
    /// Returns a mail with two paragraphs, one of them a link, for a sample of the mailbox.
    pub fn sample() -> Self {
        let paragraph = |lines: &[&str], link: Option<&str>| Linked {
            paragraph: Paragraph {
                lines: lines.iter().map(|line| String::from(*line)).collect(),
                link: link.map(str::to_owned),
            },
            path: link.map(|_| "/verify/token".to_owned()),
        };
        let link = "https://example.org/verify/token";
        Received {
            id: 1,
            recipient: "ada@example.org".into(),
            subject: "Confirm your address".into(),
            created_at: 0,
            paragraphs: vec![paragraph(&["One", "Two"], None), paragraph(&["Confirm"], Some(link))],
            text: String::new(),
            html: String::new(),
        }
    }
}

/// Returns the mails, the newest first. It leaves out a mail that was sealed with another key.
///
/// # Errors
///
/// Returns an error if the database fails.
pub async fn received(mail: &Mail, db: &Pool) -> Result<Vec<Received>, Error> {
    let Some(post) = &mail.0 else { return Ok(Vec::new()) };
    let mails = outbox::list_all(&mut db.read().await?).await?;
    let received = mails.into_iter().filter_map(|queued| {
        let content = queued.open(&post.cookies)?;
        let written = post.templates.write(&queued.template, &content, &post.site).ok()?;
        let path = |link: &str| link.strip_prefix(&post.origin).map(str::to_owned);
        let link = |paragraph: Paragraph| Linked {
            path: paragraph.link.as_deref().and_then(path),
            paragraph,
        };
        Some(Received {
            id: queued.id,
            recipient: queued.recipient,
            subject: written.subject,
            created_at: queued.created_at,
            paragraphs: written.paragraphs.into_iter().map(link).collect(),
            text: written.text,
            html: written.html,
        })
    });
    Ok(received.collect())
}
