//! The content of a mail, before it is written out.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::user::Email;

/// A mail for the outbox.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The name of its template, which is `mail/<template>`.
    pub template: &'static str,
    /// The user whose account it is about, if there is one.
    pub user_id: Option<i64>,
    /// The address that it goes to.
    pub recipient: &'a Email,
    /// The time after which it is no longer worth sending.
    pub expires_at: Timestamp,
    /// `true` if it replaces an earlier mail of this kind that still waits: either this mail's link
    /// ends the earlier link, or both say the same thing.
    pub replaces: bool,
    /// The values for the template.
    pub content: Content,
}

/// The values that a template can use. Every template gets every name, and a value is empty if it
/// has no meaning there, so a template that renders once always renders.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// The link to the page with a button, where the reader acts.
    pub link: String,
    /// The link for "This was not me".
    pub not_me: String,
    /// The address of the account.
    pub address: String,
    /// The new address of the account, whether it is only requested or already in use.
    pub new_address: String,
    /// The device that caused the mail, with the address and the time below.
    pub device: String,
    pub ip_address: String,
    pub time: String,
    /// How long the link works, in words.
    pub lifetime: String,
    pub count: i64,
    /// What the second factor is called that the mail is about.
    pub factor: String,
    /// What the provider is called that the mail is about.
    pub provider: String,
}
