//! Recovery codes: the way in for somebody whose second factor is lost. Each works once.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::totp::is_separator;

/// How many codes a user gets at a time.
pub const COUNT: usize = 10;

/// The length of a code: 120 bits. From 112 bits on, a plain hash is enough (ASVS 5.0, 6.5.2).
const CODE_BYTES: usize = 15;

/// The length of a code in characters of five bits, and of a group of them.
const CODE_CHARS: usize = 24;
const GROUP_CHARS: usize = 4;

/// Crockford's base32, which leaves out I, L, O and U.
///
/// It is in upper case, because such letters are as tall as digits and are read one by one from
/// paper: a small `l`, `g` or `q` is easily taken for 1 or 9. Typing it is no harder: a code is
/// read in any case.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A code that stands in for a second factor.
///
/// It is stored nowhere in clear. `Debug` does not print it, and `Display` does: for the page and
/// the file that show a new set once.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<[u8; CODE_BYTES]>);

impl RecoveryCode {
    /// Generates a code that nobody can guess.
    ///
    /// # Panics
    ///
    /// Panics if the operating system returns no random bytes. Nothing that this site does would be
    /// safe then.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; CODE_BYTES]);
        getrandom::fill(bytes.as_mut()).expect("the operating system gives random bytes");
        RecoveryCode(bytes)
    }

    /// Reads a code as people type it: in any case, with any blanks and hyphens, with O for 0, and
    /// with I or L for 1. `None` means that it is no code.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut digits = typed.chars().filter(|typed| !is_separator(*typed)).map(digit);
        let mut bits = 0;
        for _ in 0..CODE_CHARS {
            bits = bits << 5 | digits.next()??;
        }
        if digits.next().is_some() {
            return None;
        }
        let mut bytes = Zeroizing::new([0; CODE_BYTES]);
        // The first of the 16 bytes is empty.
        bytes.copy_from_slice(&bits.to_be_bytes()[1..]);
        Some(RecoveryCode(bytes))
    }

    /// Returns the key of the row of this code of a user.
    ///
    /// A stolen file or backup lets nobody in. The code is random, so neither a salt nor a slow
    /// hash is needed.
    ///
    /// The user's id goes in as well, so a row that is moved to another account lets nobody in
    /// there. It does not stop somebody who can write any row: they can hash a code of their own.
    /// The prefix separates it from other hashes, such as those of tokens.
    pub fn hash(&self, user_id: i64) -> [u8; 32] {
        // Each part has a fixed length, so no two inputs run into each other.
        Sha256::new_with_prefix("rocket-login recovery code")
            .chain_update(user_id.to_be_bytes())
            .chain_update(self.0.as_ref())
            .finalize()
            .into()
    }
}

impl fmt::Display for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        for at in 0..CODE_CHARS {
            if at > 0 && at % GROUP_CHARS == 0 {
                f.write_str("-")?;
            }
            let value = bits >> (5 * (CODE_CHARS - 1 - at)) & 31;
            write!(f, "{}", char::from(ALPHABET[value as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode")
    }
}

/// Generates the codes of a user.
///
/// # Panics
///
/// Panics as [`RecoveryCode::generate()`] does.
pub fn generate_set() -> [RecoveryCode; COUNT] {
    std::array::from_fn(|_| RecoveryCode::generate())
}

/// Returns the file that a user downloads. It says where the codes belong, for a person who
/// finds it years later: the site's name, the account's address, and the date on which they were made.
pub fn as_text(site: &str, address: &str, date: &str, codes: &[RecoveryCode]) -> String {
    let lines: String = codes.iter().map(|code| format!("{code}\n")).collect();
    format!(
        "Recovery codes for {site}\n\
         {address}, {date}\n\
         \n\
         {lines}\
         \n\
         Each code works once.\n"
    )
}

/// Returns the value of a character that was typed. `None` means that no code has it.
fn digit(typed: char) -> Option<u128> {
    let typed = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        typed => typed,
    };
    let value = ALPHABET.iter().position(|known| char::from(*known) == typed)?;
    Some(value as u128)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The code whose characters are the alphabet's, from 0 to Q.
    const BYTES: [u8; CODE_BYTES] =
        [0, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56, 0xd7];

    fn code() -> RecoveryCode {
        RecoveryCode(Zeroizing::new(BYTES))
    }

    #[test]
    fn a_code_is_shown_in_six_groups() {
        assert_eq!(code().to_string(), "0123-4567-89AB-CDEF-GHJK-MNPQ");
        let last = RecoveryCode(Zeroizing::new([0xff; CODE_BYTES]));
        assert_eq!(last.to_string(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
    }

    #[test]
    fn a_code_is_read_in_every_spelling() {
        for typed in [
            "0123-4567-89AB-CDEF-GHJK-MNPQ",
            "0123456789abcdefghjkmnpq",
            "0123 4567 89ab CDEF GHJK MNPQ",
            "\t0123\u{a0}4567\u{2010}89ab\u{2011}cdef\u{2013}ghjk\u{2015}mnpq\r\n",
            "o123-4567-89AB-CDEF-GHJK-MNPQ",
            "OI23-4567-89AB-CDEF-GHJK-MNPQ",
            "Oi23-4567-89AB-CDEF-GHJK-MNPQ",
            "0l23-4567-89AB-CDEF-GHJK-MNPQ",
            "0L23-4567-89AB-CDEF-GHJK-MNPQ",
            "-0-1-2-3-4-5-6-7-8-9-A-B-C-D-E-F-G-H-J-K-M-N-P-Q-",
        ] {
            let read = RecoveryCode::parse(typed).map(|code| *code.0);
            assert_eq!(read, Some(BYTES), "{typed}");
        }
    }

    #[test]
    fn malformed_text_is_no_code() {
        let text = code().to_string();
        for wrong in [
            "",
            "-",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}0"),
            &format!("{text}-{text}"),
            &text.replace('Q', "U"),
            &text.replace('Q', "u"),
            &text.replace('Q', "?"),
            &text.replace('Q', "é"),
            // Unicode takes these for K and S when it changes the case.
            &text.replace('K', "\u{212a}"),
            &text.replace('Q', "ſ"),
        ] {
            assert!(RecoveryCode::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_hash_is_of_one_user_and_one_code() {
        let other = RecoveryCode::generate();
        let hashes = [code().hash(1), code().hash(2), code().hash(-1), other.hash(1)];
        assert_eq!(HashSet::from(hashes).len(), hashes.len());
        assert_eq!(code().hash(1), RecoveryCode::parse(&code().to_string()).unwrap().hash(1));
    }

    /// Stored rows must stay good.
    #[test]
    fn a_hash_does_not_change_between_versions() {
        let mut input = b"rocket-login recovery code".to_vec();
        input.extend([0, 0, 0, 0, 0, 0, 1, 2]);
        input.extend(BYTES);
        assert_eq!(code().hash(0x102), <[u8; 32]>::from(Sha256::digest(input)));
    }

    #[test]
    fn a_set_has_ten_different_codes() {
        let codes: HashSet<_> = (0..100).flat_map(|_| generate_set()).map(|code| *code.0).collect();
        assert_eq!(codes.len(), 100 * COUNT);
    }

    #[test]
    fn a_code_does_not_print_itself() {
        assert_eq!(format!("{:?}", code()), "RecoveryCode");
        assert_eq!(format!("{:?}", [code()]), "[RecoveryCode]");
    }

    #[test]
    fn the_file_says_where_its_codes_belong() {
        let text = as_text("My Notes", "ann@example.org", "28 November 2026", &[code(), code()]);
        assert_eq!(
            text,
            "Recovery codes for My Notes\n\
             ann@example.org, 28 November 2026\n\
             \n\
             0123-4567-89AB-CDEF-GHJK-MNPQ\n\
             0123-4567-89AB-CDEF-GHJK-MNPQ\n\
             \n\
             Each code works once.\n"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        #[test]
        fn every_code_can_be_read(bytes: [u8; CODE_BYTES]) {
            let text = RecoveryCode(Zeroizing::new(bytes)).to_string();
            for typed in [text.clone(), text.to_lowercase(), text.replace('-', "")] {
                prop_assert_eq!(*RecoveryCode::parse(&typed).unwrap().0, bytes);
            }
        }

        #[test]
        fn what_is_read_as_a_code_is_its_24_characters(
            typed in prop_oneof![
                "[0-9A-Za-z -]{24,30}",
                "[0-9a-tv-zA-TV-Z]{23,25}",
                any::<String>(),
            ],
        ) {
            if let Some(code) = RecoveryCode::parse(&typed) {
                let plain: String = typed.chars().filter(|typed| !is_separator(*typed)).collect();
                let plain = plain.to_uppercase().replace('O', "0").replace(['I', 'L'], "1");
                prop_assert_eq!(code.to_string().replace('-', ""), plain);
            }
        }
    }
}
