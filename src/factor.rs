//! Second factors: what somebody gives beside the password at a log-in.

#[cfg(feature = "passkeys")]
pub(crate) mod makers;
#[cfg_attr(not(feature = "passkeys"), expect(dead_code, reason = "only the start looks for them"))]
pub(crate) mod passkeys;
pub(crate) mod pending;
pub(crate) mod recovery;
pub(crate) mod seals;
pub(crate) mod store;
pub(crate) mod totp;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::cookies::SealedCookies;
pub(crate) use crate::identity::KEPT;
#[cfg(feature = "passkeys")]
use crate::token::Token;
pub use recovery::RecoveryCode;
use totp::TotpSecret;

/// The kind of a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FactorKind {
    /// An app that shows codes (TOTP).
    App,
    /// A passkey, or a security key.
    Passkey,
}

impl FactorKind {
    /// Returns the stable name, in the table, in JSON and in the history.
    pub fn name(self) -> &'static str {
        match self {
            FactorKind::App => "app",
            FactorKind::Passkey => "passkey",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [FactorKind::App, FactorKind::Passkey].into_iter().find(|kind| kind.name() == name)
    }
}

/// A second factor of an account, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Factor {
    /// The number by which it is removed. It is no secret.
    pub id: i64,
    /// What it is.
    pub kind: FactorKind,
    /// The name of a passkey. An app has none.
    pub name: String,
    /// When it was added, in seconds since 1970.
    pub created_at: Timestamp,
    /// When it was last used, in seconds since 1970. `None`: never.
    pub last_used_at: Option<Timestamp>,
    /// `true` if it is a passkey that is synced to several devices.
    pub is_synced: bool,
    /// `true` if it is a passkey that logs in without the password, because it checks a PIN, a finger
    /// or a face.
    pub is_sufficient: bool,
}

/// The recovery codes of an account. Nobody can see the codes themselves again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryCodes {
    /// How many codes were not used yet.
    pub left: i64,
    /// When they were made, in seconds since 1970.
    pub created_at: Timestamp,
}

/// `true` if the log-in page needs its button for passkeys although `factors.passkeys` is off, because an
/// account has no other way in. It is in managed state.
#[derive(Debug)]
pub(crate) struct NeedsPasskeys(pub bool);

/// Seals what the table must not show, and what travels through a form.
///
/// A stolen file or backup then has no secret that makes codes. The seal is bound to the user, so
/// nobody who can write to the table gives an account the secret of another one.
#[derive(Debug, Clone)]
pub(crate) struct Sealer(SealedCookies);

/// A secret that was opened.
pub(crate) struct OpenedSecret {
    pub secret: TotpSecret,
    /// `true` if it was sealed with an earlier key, and should be sealed again.
    pub is_outdated: bool,
}

impl Sealer {
    pub fn new(cookies: &SealedCookies) -> Self {
        Sealer(cookies.clone())
    }

    /// Seals the secret of an app for the table.
    pub fn seal(&self, user_id: i64, secret: &TotpSecret) -> String {
        self.0.seal_text(&purpose(user_id), secret.to_base32())
    }

    /// Opens what [`seal()`](Self::seal()) has sealed for this user. `None`: it was sealed with a key
    /// that is not configured any more, or for somebody else.
    pub fn open(&self, user_id: i64, sealed: &str) -> Option<OpenedSecret> {
        let opened = self.0.open_sealed(&purpose(user_id), sealed)?;
        let secret = TotpSecret::from_base32(&opened.value)?;
        Some(OpenedSecret { secret, is_outdated: opened.is_outdated })
    }

    /// Seals a new secret for the form that sets an app up, until `expires_at`.
    pub fn seal_offer(&self, user_id: i64, secret: &TotpSecret, expires_at: Timestamp) -> String {
        self.0.seal_text(&offer(user_id), format!("{expires_at}.{}", secret.to_base32()))
    }

    /// Makes a challenge for a passkey, for one purpose, until `expires_at`. It is random and signed, so
    /// it needs no row before it is answered: a flood of questions fills no table.
    #[cfg(feature = "passkeys")]
    pub fn challenge(&self, purpose: &str, expires_at: Timestamp) -> Vec<u8> {
        let mut challenge = Token::generate().id().as_bytes().to_vec();
        challenge.extend(expires_at.to_be_bytes());
        let signature = self.0.sign(&asked(purpose), &challenge);
        challenge.extend(signature);
        challenge
    }

    /// Returns until when the challenge is good, if it was made here for this purpose and has not
    /// expired at `now`.
    #[cfg(feature = "passkeys")]
    pub fn open_challenge(
        &self,
        purpose: &str,
        challenge: &[u8],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (random, rest) = challenge.split_at_checked(32)?;
        let (expires_at, signature) = rest.split_at_checked(8)?;
        let message = [random, expires_at].concat();
        let expires_at = Timestamp::from_be_bytes(expires_at.try_into().ok()?);
        let is_ours = self.0.is_signed(&asked(purpose), &message, signature);
        (is_ours && now < expires_at).then_some(expires_at)
    }

    /// Opens what [`seal_offer()`](Self::seal_offer()) has sealed for this user. `None`: it was not, or
    /// it has expired at `now`.
    pub fn open_offer(&self, user_id: i64, sealed: &str, now: Timestamp) -> Option<TotpSecret> {
        let opened = self.0.open_sealed(&offer(user_id), sealed)?;
        let (expires_at, secret) = opened.value.split_once('.')?;
        let expires_at: Timestamp = expires_at.parse().ok()?;
        TotpSecret::from_base32(secret).filter(|_| now < expires_at)
    }
}

fn purpose(user_id: i64) -> String {
    format!("login_factors of user {user_id}")
}

#[cfg(feature = "passkeys")]
fn asked(purpose: &str) -> String {
    format!("a passkey's challenge to {purpose}")
}

fn offer(user_id: i64) -> String {
    format!("an app for user {user_id}")
}
