//! Passkeys: the part of a server in [Web Authentication, level 3][spec].
//!
//! The options go to the browser, which answers with a response. A response is parsed first, and
//! then verified in the order of the specification. This module knows neither the database nor the
//! clock, so the caller does four things that a signature cannot show:
//!
//!   * It draws a random challenge for each ceremony, which is good for a few minutes, and accepts it
//!     once. Otherwise a response that was seen once could be sent again.
//!   * It registers a credential id only if no user has it. Otherwise a thief who knows the id and
//!     the key of a stranger's passkey could plant it in their own account.
//!   * It looks the passkey up by its id and takes the user from that row. If the response has a
//!     user handle, the handle must be that user's. If the ceremony is for one user, the row must
//!     be that user's as well.
//!   * It stores the counter and the backup state that a verified response brings.
//!
//! We ask for no attestation and verify none: a public site takes every make of authenticator.
//!
//! [spec]: https://www.w3.org/TR/webauthn-3/

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Deserialize;

pub use options::{CredentialDescriptor, UserEntity, base64url, creation_options, request_options};
pub use response::{AuthenticationResponse, RegistrationResponse, StoredKey};

mod authenticator_data;
mod cbor;
mod options;
mod public_key;
mod response;
#[cfg(test)]
mod tests;

/// The most bytes of a credential id that the specification allows.
const LONGEST_ID: usize = 1023;

/// The site that passkeys belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// The RP ID: the site's host, or a domain above it. Passkeys are lost if it changes.
    pub id: String,
    /// The name that the browser shows.
    pub name: String,
    /// The origins whose responses are taken, such as `https://example.org`. They are compared as
    /// they are: a subdomain that someone else controls must not collect log-ins.
    pub origins: Vec<String>,
}

/// How much the authenticator must know about who holds it: a fingerprint, a face or a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserVerification {
    /// The user is verified. A passkey that logs in alone needs this: it counts as two factors.
    Required,
    /// The user is verified if the authenticator can do it. This is enough beside a password.
    Preferred,
}

impl UserVerification {
    fn name(self) -> &'static str {
        match self {
            UserVerification::Required => "required",
            UserVerification::Preferred => "preferred",
        }
    }
}

/// Why a response is refused. The text is for the log; it holds nothing that the browser sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The named part of the response has another form than the specification says.
    Malformed(&'static str),
    /// The credential id is empty, or longer than 1,023 bytes.
    IdLength,
    /// The parts of the response name different credentials.
    IdMismatch,
    /// The response is of another ceremony: a registration as a log-in, or the reverse.
    WrongType,
    /// The response answers another challenge.
    WrongChallenge,
    /// The response was made on another site.
    WrongOrigin,
    /// The response was made in a frame of another site.
    CrossOrigin,
    /// The passkey belongs to another site.
    WrongRelyingParty,
    /// Nobody touched the authenticator.
    UserNotPresent,
    /// The authenticator did not verify its user.
    UserNotVerified,
    /// The passkey is backed up although it cannot be.
    BackupState,
    /// The passkey could be backed up when it was registered and cannot be now, or the reverse.
    BackupEligibility,
    /// The response of a registration has no credential.
    NoCredential,
    /// The key is for an algorithm that we did not offer.
    UnsupportedAlgorithm,
    /// The key does not have the form that its algorithm asks for.
    UnusableKey,
    /// The passkey's key did not make the signature.
    WrongSignature,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Malformed(part) => return write!(f, "{part} cannot be read"),
            Refusal::IdLength => "the credential id is empty or longer than 1,023 bytes",
            Refusal::IdMismatch => "the response names several credential ids",
            Refusal::WrongType => "the response is of another ceremony",
            Refusal::WrongChallenge => "the response answers another challenge",
            Refusal::WrongOrigin => "the response was made on another origin",
            Refusal::CrossOrigin => "the response was made in a frame of another origin",
            Refusal::WrongRelyingParty => "the passkey belongs to another RP ID",
            Refusal::UserNotPresent => "the user did not touch the authenticator",
            Refusal::UserNotVerified => "the authenticator did not verify the user",
            Refusal::BackupState => "the passkey is backed up although it cannot be",
            Refusal::BackupEligibility => "the passkey changed whether it can be backed up",
            Refusal::NoCredential => "the response has no credential",
            Refusal::UnsupportedAlgorithm => "the key is for an algorithm that was not offered",
            Refusal::UnusableKey => "the key does not fit its algorithm",
            Refusal::WrongSignature => "the signature is wrong",
        })
    }
}

impl std::error::Error for Refusal {}

/// Bytes that JSON carries in base64url without padding.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Base64Url(Vec<u8>);

impl TryFrom<String> for Base64Url {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64_URL_SAFE_NO_PAD.decode(text).map(Base64Url)
    }
}
