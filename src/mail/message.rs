//! Writes a mail out as MIME.

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::failure::Failure;
use super::outbox::Queued;
use super::templates::Written;
use crate::config;

/// Returns the mail `queued` from `from`, as it is `written`.
///
/// # Errors
///
/// Returns the reason why it can never be sent.
pub fn message(from: &Mailbox, queued: &Queued, written: Written) -> Result<Message, Failure> {
    let hopeless = |reason: &str| Failure::Hopeless(reason.to_owned());
    let address: Address =
        queued.recipient.parse().map_err(|_| hopeless("its address is not valid"))?;
    let recipient = config::ascii_address(&address)
        .ok_or_else(|| hopeless("its address has letters outside ASCII before the @"))?;
    let host = from.email.domain();
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, recipient))
        .subject(written.subject)
        // The id stays the same at each attempt. If a mail arrives twice because we died before we
        // marked it as sent, mail programs show it once.
        .message_id(Some(format!("<{}.{}@{host}>", queued.id, queued.created_at)))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(written.text, written.html))
        .map_err(|_| hopeless("it cannot be written as a mail"))
}

/// The header that asks holiday responders not to answer (RFC 3834, section 5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}
