//! What a mail is about, before it is written out.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::user::Email;

/// A mail to be queued.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Its template is `mail/<template>`.
    pub template: &'static str,
    /// Whose account it is about, if there is one.
    pub user_id: Option<i64>,
    /// Where it goes.
    pub recipient: &'a Email,
    /// When it is no longer worth sending.
    pub expires_at: Timestamp,
    /// Whether it makes an earlier mail of this kind void that waits: its link ends
    /// the earlier one, or it says the same.
    pub replaces: bool,
    /// What fills the template.
    pub content: Content,
}

/// What templates can say. Every one of them finds every name, empty where it
/// has no meaning, so that a mail that renders once always renders.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// Where the reader acts: a page with a button.
    pub link: String,
    /// "This was not me".
    pub not_me: String,
    /// The account's address.
    pub address: String,
    /// The address it is to get, or has got.
    pub new_address: String,
    /// What made the mail happen, and from where.
    pub device: String,
    pub ip_address: String,
    pub time: String,
    /// How long the link is good, in words.
    pub lifetime: String,
    pub count: i64,
}
