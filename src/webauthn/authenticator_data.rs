//! The data that the authenticator signs (section 6.1 of the specification), and the attestation
//! object that wraps it at a registration (section 6.5).

use sha2::{Digest, Sha256};

use super::cbor::Reader;
use super::{LONGEST_ID, Refusal, UserVerification};

// The flags.
const USER_PRESENT: u8 = 1 << 0;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

const MALFORMED: Refusal = Refusal::Malformed("the authenticator data");

/// The authenticator data, parsed.
#[derive(Debug)]
pub struct AuthenticatorData {
    rp_id_hash: [u8; 32],
    flags: u8,
    pub sign_count: u32,
    /// The new credential. An assertion has none.
    pub credential: Option<AttestedCredential>,
}

/// A new credential.
#[derive(Debug)]
pub struct AttestedCredential {
    pub aaguid: [u8; 16],
    pub id: Vec<u8>,
    /// The public key as a COSE_Key, not parsed.
    pub public_key: Vec<u8>,
}

impl AuthenticatorData {
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let (rp_id_hash, flags, sign_count) = head(&mut reader).ok_or(MALFORMED)?;
        let credential = match flags & HAS_CREDENTIAL {
            0 => None,
            _ => Some(AttestedCredential::read(&mut reader)?),
        };
        if flags & HAS_EXTENSIONS != 0 {
            // We asked the authenticator for no extension, but it may add some.
            let extensions = reader.item().ok_or(MALFORMED)?;
            Reader::new(extensions).map().ok_or(MALFORMED)?;
        }
        if !reader.is_at_end() {
            return Err(MALFORMED);
        }
        Ok(AuthenticatorData { rp_id_hash, flags, sign_count, credential })
    }

    /// Verifies the site and the flags, at a registration and at an assertion.
    pub fn verify(&self, rp_id: &str, verification: UserVerification) -> Result<(), Refusal> {
        // The browser decides which site a passkey is for, and the authenticator signs it. A page
        // on another site cannot ask for a signature with our hash.
        if self.rp_id_hash[..] != Sha256::digest(rp_id)[..] {
            return Err(Refusal::WrongRelyingParty);
        }
        if !self.has(USER_PRESENT) {
            return Err(Refusal::UserNotPresent);
        }
        // "preferred" in the options is a wish: only the flag says what happened. A stolen key
        // without a PIN would count as two factors otherwise.
        if verification == UserVerification::Required && !self.is_user_verified() {
            return Err(Refusal::UserNotVerified);
        }
        if self.is_backed_up() && !self.is_backup_eligible() {
            return Err(Refusal::BackupState);
        }
        Ok(())
    }

    pub fn is_user_verified(&self) -> bool {
        self.has(USER_VERIFIED)
    }

    pub fn is_backup_eligible(&self) -> bool {
        self.has(BACKUP_ELIGIBLE)
    }

    pub fn is_backed_up(&self) -> bool {
        self.has(BACKED_UP)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn head(reader: &mut Reader) -> Option<([u8; 32], u8, u32)> {
    let rp_id_hash = reader.array()?;
    let [flags] = reader.array()?;
    Some((rp_id_hash, flags, u32::from_be_bytes(reader.array()?)))
}

impl AttestedCredential {
    fn read(reader: &mut Reader) -> Result<Self, Refusal> {
        let aaguid = reader.array().ok_or(MALFORMED)?;
        let length = reader.array().map(u16::from_be_bytes).ok_or(MALFORMED)?.into();
        check_id_length(length)?;
        let id = reader.take(length).ok_or(MALFORMED)?.to_vec();
        let public_key = reader.item().ok_or(MALFORMED)?.to_vec();
        Ok(AttestedCredential { aaguid, id, public_key })
    }
}

/// Refuses a credential id that is longer than the specification allows. It is a key in the
/// database, so it is bounded before it gets there.
pub fn check_id_length(length: usize) -> Result<(), Refusal> {
    if (1..=LONGEST_ID).contains(&length) { Ok(()) } else { Err(Refusal::IdLength) }
}

/// Returns the authenticator data in an attestation object. The statement must be there, and is
/// skipped.
pub fn parse_attestation_object(bytes: &[u8]) -> Result<AuthenticatorData, Refusal> {
    let data = attested_data(bytes).ok_or(Refusal::Malformed("the attestation object"))?;
    AuthenticatorData::parse(data)
}

fn attested_data(bytes: &[u8]) -> Option<&[u8]> {
    let (mut format, mut statement, mut data) = (None, None, None);
    let mut reader = Reader::new(bytes);
    for _ in 0..reader.map()? {
        let is_repeated = match reader.text()? {
            "fmt" => format.replace(reader.text()?).is_some(),
            "attStmt" => statement.replace(reader.item()?).is_some(),
            "authData" => data.replace(reader.value()?.bytes()?).is_some(),
            _ => reader.item().map(|_| false)?,
        };
        // Of two entries, somebody else may have looked at the other one.
        if is_repeated {
            return None;
        }
    }
    let is_whole = reader.is_at_end() && format.is_some() && statement.is_some();
    data.filter(|_| is_whole)
}
