//! A token is the secret in a cookie or a link, and a token id is the key of its row. They are two
//! types, so that the compiler never takes one for the other.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use sha2::{Digest, Sha256};
use sqlx::error::BoxDynError;
use zeroize::Zeroizing;

use crate::sql::Value;

/// The length of a token: 256 bits from the operating system, twice what ASVS 5.0, 7.2.3 asks for.
const TOKEN_BYTES: usize = 32;

/// A secret that gives its holder a session or the use of a link.
///
/// A token is only ever generated here, or read from a sealed cookie or a link. It is stored
/// nowhere in clear, and `Debug` does not print it.
#[derive(Clone)]
pub struct Token(Zeroizing<[u8; TOKEN_BYTES]>);

impl Token {
    /// Generates a token that nobody can guess.
    ///
    /// # Panics
    ///
    /// Panics if the operating system returns no random bytes. Nothing that this site does would be
    /// safe then.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut()).expect("the operating system gives random bytes");
        Token(bytes)
    }

    /// Reads what [`Self::to_text()`] wrote. `None` means that `text` is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        match BASE64_URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut()) {
            Ok(TOKEN_BYTES) => Some(Token(bytes)),
            _ => None,
        }
    }

    /// Returns the text for a cookie or a link: 43 characters that need no encoding.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(self.0.as_ref()))
    }

    /// Returns the key of the token's row.
    pub fn id(&self) -> TokenId {
        TokenId(Sha256::digest(self.0.as_ref()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The key of a row in the database: the SHA-256 of the token.
///
/// A stolen file or backup logs nobody in, and the time of a look-up reveals nothing about the
/// token (CVE-2019-16782). The token is random, so neither a salt nor a slow hash is needed.
/// `Debug` does not print the id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId([u8; 32]);

impl TokenId {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the key of a row that belongs to `bytes`, like [`of()`](Self::of()).
    #[cfg(feature = "passkeys")]
    pub fn of_bytes(kind: &str, bytes: &[u8]) -> Self {
        TokenId(Sha256::new_with_prefix(kind).chain_update(bytes).finalize().into())
    }

    /// Returns the key in 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }

    /// Returns the key of a row that belongs to `text`, which is not a token. The prefix `kind`
    /// separates the keys of different kinds.
    pub fn of(kind: &str, text: &str) -> Self {
        TokenId(Sha256::new_with_prefix(kind).chain_update(text).finalize().into())
    }
}

impl From<TokenId> for [u8; 32] {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenId")
    }
}

impl<DB: sqlx::Database> sqlx::Type<DB> for TokenId
where
    Vec<u8>: sqlx::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        Vec::<u8>::type_info()
    }

    fn compatible(found: &DB::TypeInfo) -> bool {
        Vec::<u8>::compatible(found)
    }
}

impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for TokenId
where
    &'r [u8]: sqlx::Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(TokenId(<&[u8]>::decode(value)?.try_into()?))
    }
}

impl From<TokenId> for Vec<u8> {
    fn from(id: TokenId) -> Self {
        id.0.to_vec()
    }
}

impl From<TokenId> for Value<'_> {
    fn from(id: TokenId) -> Self {
        Value::from(Vec::from(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_survives_its_text_form() {
        let token = Token::generate();
        let read = Token::parse(&token.to_text()).unwrap();
        assert!(read.id() == token.id());
        assert_eq!(token.to_text().len(), 43);
    }

    #[test]
    fn tokens_do_not_repeat() {
        let texts: HashSet<_> =
            (0..10_000).map(|_| Token::generate().to_text().to_string()).collect();
        assert_eq!(texts.len(), 10_000);
    }

    #[test]
    fn malformed_text_is_no_token() {
        let text = Token::generate().to_text();
        for wrong in [
            "",
            "x",
            &text[1..],
            &format!("{}A", *text),
            &format!("{}=", &text[..42]),
            &"+".repeat(43),
        ] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn neither_token_nor_id_prints_itself() {
        let token = Token::generate();
        assert_eq!(format!("{token:?} {:?}", token.id()), "Token TokenId");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        #[test]
        fn a_token_has_one_spelling(
            text in prop_oneof!["[A-Za-z0-9_-]{42,44}", "[A-Za-z0-9+/=_-]{43}", any::<String>()],
        ) {
            if let Some(token) = Token::parse(&text) {
                prop_assert!(*token.to_text() == text);
            }
        }

        #[test]
        fn every_token_can_be_read(bytes: [u8; TOKEN_BYTES]) {
            let token = Token(Zeroizing::new(bytes));
            let read = Token::parse(&token.to_text()).unwrap();
            prop_assert!(*read.0 == bytes && read.id() == token.id());
        }
    }
}
