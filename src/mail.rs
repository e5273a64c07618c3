//! Mails: their content, the outbox that they wait in, and the sender.
//!
//! A mail is written into the table `login_mails` in the transaction that it announces, and is sent
//! afterwards in the background. So a slow or dead mail server delays no page and loses no mail.

mod failure;
mod letter;
mod mailbox;
#[cfg(feature = "mail")]
mod message;
mod outbox;
mod sender;
#[cfg_attr(not(feature = "mail"), path = "mail/without_smtp.rs")]
#[cfg_attr(
    feature = "mail",
    expect(deprecated, reason = "lettre's stream is the way to its TLS without its conversation")
)]
mod smtp;
mod templates;

use std::fmt;
use std::sync::Arc;

use rocket::tokio::sync::Notify;

use crate::base::Base;
use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::cookies::SealedCookies;
use crate::db::Connection;
use crate::error::Error;
use crate::token::Token;

pub use letter::{Content, Letter};
pub use mailbox::{Received, received};
pub use outbox::{Listed, list, sweep};
pub use sender::fairing as sender;
pub use smtp::Smtp;
pub use templates::{Site, Templates, with_samples};

/// Writes mails into the outbox. It is in managed state; clones write to the same outbox.
#[derive(Clone)]
pub struct Mail(Option<Arc<Post>>);

/// Everything that is needed to write mails and to send them.
struct Post {
    cookies: SealedCookies,
    templates: Templates,
    /// The start of every link: `site.url`, and the path at which the pages are mounted.
    origin: String,
    site: Site,
    base: Base,
    /// The mail server. `None` means that nothing is sent, and that the dev mailbox shows the
    /// mails.
    smtp: Option<Smtp>,
    /// `true` if sent mails stay in the outbox, so that the dev mailbox shows them.
    keeps_sent: bool,
    queued: Notify,
}

impl Mail {
    /// Creates the writer from the configuration. It is off in release without `mail.url`.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration cannot be used, for example TLS on a machine without
    /// any certificate.
    pub fn new(config: &Config, base: Base) -> Result<Self, ConfigError> {
        let (true, Some(origin)) = (config.has_mail(), &config.site.url) else {
            return Ok(Mail::off());
        };

        Ok(Mail(Some(Arc::new(Post {
            cookies: SealedCookies::new(config),
            templates: Templates::default(),
            origin: origin.clone(),
            site: Site::of(config),
            base,
            smtp: Smtp::of(config)?,
            keeps_sent: config.debug,
            queued: Notify::new(),
        }))))
    }

    /// Creates a writer that writes nothing.
    pub fn off() -> Self {
        Mail(None)
    }

    /// Returns whether mails are sent at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the place for the templates that the sender uses. `None` means that mail is off.
    pub fn templates(&self) -> Option<&Templates> {
        self.0.as_ref().map(|post| &post.templates)
    }

    /// Returns the link in a mail to the page `path`, with `token` as its last part. The link works
    /// for anybody who has the token.
    pub fn link(&self, path: &str, token: &Token) -> String {
        self.page(&format!("{path}/{}", *token.to_text()))
    }

    /// Returns the link in a mail to the page `path`. It is empty if mail is off.
    pub fn page(&self, path: &str) -> String {
        self.0.as_ref().map_or_else(String::new, |post| post.page(path))
    }

    /// Adds `letter` to the outbox. It is sent after the transaction of `db` is committed. If mail
    /// is off, it does nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails.
    pub async fn queue(
        &self,
        db: &mut Connection,
        letter: Letter<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(post) = &self.0 else { return Ok(()) };
        // If nothing is sent, no earlier mail waits either.
        if letter.replaces && post.smtp.is_some() {
            outbox::delete_replaced(db, &letter).await?;
        }
        outbox::insert(db, &post.cookies, letter, now).await
    }

    /// Tells the sender that a mail for it was committed.
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
}

/// Shows neither key nor password.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
