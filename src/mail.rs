//! Mails: what they say, where they wait, and how they are sent.
//!
//! A mail is written into the table `login_mails` in the transaction that it
//! announces, and sent afterwards in the background: a slow or dead mail
//! server neither shows in a page's time nor loses a mail.

mod letter;
mod mailbox;
mod outbox;
mod sender;
#[expect(deprecated, reason = "lettre's stream is the way to its TLS without its conversation")]
mod smtp;
mod templates;

use std::fmt;
use std::sync::Arc;

use crate::db::Connection;
use lettre::message::Mailbox;
use rocket::tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::cookies::SealedCookies;
use crate::error::Error;
use crate::pages::Base;
use crate::token::Token;

pub use letter::{Content, Letter};
pub use mailbox::received;
pub use outbox::{list, sweep};
pub use sender::fairing as sender;
pub use smtp::{Smtp, name};
pub use templates::{Templates, style};

/// The sender that the dev mailbox shows where none is configured.
const DEV_SENDER: &str = "rocket-login <no-reply@localhost>";

/// Writes mails, in managed state. Clones write to the same outbox.
#[derive(Clone)]
pub struct Mail(Option<Arc<Post>>);

/// What it takes to write mails and to send them.
struct Post {
    cookies: SealedCookies,
    templates: Templates,
    /// What links begin with: `site.url`, and where the pages are mounted.
    origin: String,
    base: Base,
    from: Mailbox,
    /// `None`: nothing is sent, the dev mailbox has it.
    smtp: Option<Smtp>,
    /// The dev mailbox shows what was sent, so it stays.
    keeps_sent: bool,
    queued: Notify,
}

impl Mail {
    /// As configured; off in release without `mail.url`.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used, as with TLS without any
    /// certificate on this machine.
    pub fn new(config: &Config, base: Base) -> Result<Self, ConfigError> {
        let (true, Some(origin)) = (config.has_mail(), &config.site.url) else {
            return Ok(Mail::off());
        };

        let server = config.mail.server()?;
        let from = match config.mail.from {
            None if server.is_none() => DEV_SENDER.parse().expect("a mailbox"),
            _ => config.mail.sender()?,
        };
        Ok(Mail(Some(Arc::new(Post {
            cookies: SealedCookies::new(config),
            templates: Templates::default(),
            origin: origin.clone(),
            base,
            from,
            smtp: server.map(|server| Smtp::new(server, name(origin))).transpose()?,
            keeps_sent: config.debug,
            queued: Notify::new(),
        }))))
    }

    /// Writes nothing.
    pub fn off() -> Self {
        Mail(None)
    }

    /// Whether mails are sent at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Where the sender finds its templates.
    pub fn templates(&self) -> Option<&Templates> {
        self.0.as_ref().map(|post| &post.templates)
    }

    /// The link in a mail to the page `path`, for whoever holds `token`.
    pub fn link(&self, path: &str, token: &Token) -> String {
        self.page(&format!("{path}/{}", *token.to_text()))
    }

    /// The link in a mail to the page `path`.
    pub fn page(&self, path: &str) -> String {
        self.0.as_ref().map_or_else(String::new, |post| post.page(path))
    }

    /// Leaves `letter` in the outbox, to be sent once the transaction that `db`
    /// is in is committed. Where mail is off it does nothing.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn queue(
        &self,
        db: &mut Connection,
        letter: Letter<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(post) = &self.0 else { return Ok(()) };
        // Where nothing is sent, nothing waits either.
        if letter.replaces && post.smtp.is_some() {
            outbox::delete_replaced(db, &letter).await?;
        }
        outbox::insert(db, &post.cookies, letter, now).await
    }

    /// Tells the sender that something was committed for it.
    pub fn wake(&self) {
        if let Some(post) = &self.0 {
            post.queued.notify_one();
        }
    }
}

impl Post {
    fn page(&self, path: &str) -> String {
        format!("{}{}", self.origin, self.base.join(path))
    }

    /// The name of the site, as its address has it.
    fn site(&self) -> &str {
        self.origin.split_once("://").map_or(&self.origin, |(_, host)| host)
    }
}

/// Neither key nor password.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
