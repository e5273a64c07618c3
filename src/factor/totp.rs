//! Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and 30 seconds. Apps ignore
//! other values, and then show wrong codes.
//!
//! A step that has let somebody in must not do so again (RFC 6238, section 5.2). This module keeps
//! nothing. [`TotpSecret::find()`] returns the step, and its caller stores it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The length of a secret: 160 bits, as RFC 4226, section 4, R6 recommends. Apps expect the 32
/// characters that it makes.
pub const SECRET_BYTES: usize = 20;

/// The length of a code.
pub const DIGITS: usize = 6;

/// The length of a step in seconds.
const STEP_SECONDS: i64 = 30;

/// How many steps before and after the present one are good at a log-in. RFC 6238, section 5.2
/// recommends one step back at most, for the time that typing and the network take. One step
/// forward is for a phone whose clock is fast. Without them people are locked out. With more of
/// them a guess is right more often.
pub const AT_LOG_IN: i64 = 1;

/// How many steps before and after the present one are good at the set-up. A code proves there that
/// the phone has the secret, and lets nobody in. So a clock that is minutes off can be found, and
/// [`drift()`] says by how much.
pub const AT_SET_UP: i64 = 5;

/// The most characters of a site's name, and of an account's, in a [`uri()`]. An app shows less.
/// Without a limit the QR code would become too fine for a camera, or would not fit.
const ISSUER_CHARS: usize = 64;
const ACCOUNT_CHARS: usize = 128;

/// The alphabet of base32 (RFC 4648, section 6).
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The number of a period of 30 seconds since 1970. Each has its own code.
pub type Step = i64;

/// Returns the step of `now`, which is in seconds since 1970.
pub fn step_of(now: i64) -> Step {
    now.div_euclid(STEP_SECONDS)
}

/// Returns how many seconds the phone's clock is ahead of ours, or behind it if negative. It is a
/// multiple of 30. `found` is the step of a code that was typed at `now`.
pub fn drift(found: Step, now: i64) -> i64 {
    found.saturating_sub(step_of(now)).saturating_mul(STEP_SECONDS)
}

/// The secret that the site and an app share.
///
/// Anybody who reads it can make every code. `Debug` does not print it, and its bytes are wiped. Its
/// texts are not wiped, because they go into a page.
#[derive(Clone)]
pub struct TotpSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl TotpSecret {
    /// Generates a secret that nobody can guess.
    ///
    /// # Panics
    ///
    /// Panics if the operating system returns no random bytes. Nothing that this site does would be
    /// safe then.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(bytes.as_mut()).expect("the operating system gives random bytes");
        TotpSecret(bytes)
    }

    /// Returns the secret with these bytes. `None` means that there are not 20 of them.
    #[cfg(test)]
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(TotpSecret(Zeroizing::new(bytes.try_into().ok()?)))
    }

    #[cfg(test)]
    fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Reads what [`Self::to_base32()`] or [`Self::in_groups()`] wrote, in any case. `None` means
    /// that `text` is anything else.
    pub fn from_base32(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        let mut digits = text.chars().filter(|typed| !is_separator(*typed)).map(base32_digit);
        // 5 bytes are 8 characters.
        for chunk in bytes.as_chunks_mut::<5>().0 {
            let mut bits = 0;
            for _ in 0..8 {
                bits = bits << 5 | digits.next()??;
            }
            chunk.copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        digits.next().is_none().then_some(TotpSecret(bytes))
    }

    /// Returns the secret in 32 characters of base32, without padding.
    pub fn to_base32(&self) -> String {
        let chunks = self.0.as_chunks::<5>().0.iter();
        let characters = chunks.flat_map(|chunk| {
            let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
            (0..8).rev().map(move |at| char::from(ALPHABET[(bits >> (5 * at) & 31) as usize]))
        });
        characters.collect()
    }

    /// Returns the base32 form in groups of four, for people who type it into an app.
    pub fn in_groups(&self) -> String {
        let mut text = self.to_base32();
        for at in (4..text.len()).step_by(4).rev() {
            text.insert(at, ' ');
        }
        text
    }

    /// Returns the six digits of `step`.
    pub fn code(&self, step: Step) -> String {
        let mut mac =
            Hmac::<Sha1>::new_from_slice(self.0.as_ref()).expect("HMAC takes a key of any length");
        mac.update(&step.to_be_bytes());
        let mac = mac.finalize().into_bytes();
        // The dynamic truncation of RFC 4226, section 5.3: the last four bits say which 31 bits
        // count.
        let from = usize::from(mac[19] & 15);
        let number = mac[from..from + 4].iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }

    /// Returns the step whose code is `code`. It is at most `reach` steps from the step of `now`:
    /// [`AT_LOG_IN`] or [`AT_SET_UP`]. If several steps have that code, the nearest one counts, and
    /// the earlier one of two that are equally near.
    ///
    /// `code` has to be as [`normalise()`] returns it. Otherwise no step has it.
    pub fn find(&self, code: &str, now: i64, reach: i64) -> Option<Step> {
        let present = step_of(now);
        let mut found = None;
        for distance in 0..=reach {
            for step in [present.saturating_sub(distance), present.saturating_add(distance)] {
                // Timing attack: if the comparison stopped at the first wrong digit, the time of
                // the answer would tell a thief who has the password how many digits are right.
                // Then ten tries for each digit would do. So all digits of all steps are compared.
                let is_same = self.code(step).as_bytes().ct_eq(code.as_bytes());
                found = found.or(bool::from(is_same).then_some(step));
            }
        }
        found
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

/// Reads a code as people type it. Apps show "123 456", and some keyboards write digits in full
/// width. `None` means that it is not six digits.
pub fn normalise(typed: &str) -> Option<String> {
    let digits = typed.chars().filter(|typed| !is_separator(*typed)).map(|typed| match typed {
        '0'..='9' => Some(typed),
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(typed) - 0xff10, 10),
        _ => None,
    });
    // One more than is good shows that there are too many.
    let code: String = digits.take(DIGITS + 1).collect::<Option<_>>()?;
    (code.len() == DIGITS).then_some(code)
}

/// Returns the text of the QR code, which is also a link that opens an app. The app shows `issuer`
/// (the site's name) and `account`. Either may be cut.
///
/// It has no other parameters. Some apps ignore `algorithm`, `digits` and `period`, so only their
/// default values work everywhere.
pub fn uri(secret: &TotpSecret, issuer: &str, account: &str) -> String {
    let (issuer, account) = (encoded(issuer, ISSUER_CHARS), encoded(account, ACCOUNT_CHARS));
    let secret = secret.to_base32();
    match issuer.as_str() {
        "" => format!("otpauth://totp/{account}?secret={secret}"),
        _ => format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}"),
    }
}

/// Encodes a name for a [`uri()`]: at most `most` characters, in three times as many bytes.
///
/// A colon becomes a blank, because a colon ends the site's name. Otherwise an app would show one
/// site's account as another one's. A blank is `%20`: apps show a `+` as it is.
fn encoded(name: &str, most: usize) -> String {
    let words: Vec<_> = name
        .split(|at: char| at == ':' || at.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    let mut encoded = String::new();
    for character in words.join(" ").chars().take(most) {
        let before = encoded.len();
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    encoded.push(char::from(byte));
                }
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        // A character is whole or not there.
        if encoded.len() > 3 * most {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

/// Returns `true` for what people type between groups of characters: blanks, among them those that
/// do not break a line, and every kind of hyphen and dash.
pub(super) fn is_separator(typed: char) -> bool {
    typed.is_whitespace()
        || matches!(typed, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}')
}

/// Returns the value of a character of base32. `None` means that it is none.
fn base32_digit(typed: char) -> Option<u64> {
    match typed.to_ascii_uppercase() {
        letter @ 'A'..='Z' => Some(u64::from(letter) - u64::from('A')),
        digit @ '2'..='7' => Some(u64::from(digit) - u64::from('2') + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The time at which the step 37,037,036 is one second old.
    const NOW: i64 = 1_111_111_081;

    /// Returns the secret of the RFCs' test vectors.
    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890").unwrap()
    }

    #[test]
    fn the_codes_are_those_of_rfc_4226() {
        let codes: Vec<_> = (0..10).map(|step| secret().code(step)).collect();
        assert_eq!(
            codes,
            [
                "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
                "399871", "520489"
            ]
        );
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        for (now, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            // The RFC has eight digits, of which six are the last ones.
            assert_eq!(secret().code(step_of(now)), code[2..], "{now}");
        }
    }

    #[test]
    fn a_step_lasts_30_seconds() {
        for (now, step) in [(0, 0), (29, 0), (30, 1), (59, 1), (60, 2), (-1, -1), (-30, -1)] {
            assert_eq!(step_of(now), step, "{now}");
        }
    }

    #[test]
    fn a_code_of_the_present_step_is_accepted() {
        let present = step_of(NOW);
        assert_eq!(secret().find(&secret().code(present), NOW, 0), Some(present));
    }

    #[test]
    fn a_code_of_the_step_before_is_accepted() {
        let before = step_of(NOW) - 1;
        let code = secret().code(before);
        assert_eq!(secret().find(&code, NOW, AT_LOG_IN), Some(before));
        // The last second of the step after it is the code's last one.
        assert_eq!(secret().find(&code, NOW + 28, AT_LOG_IN), Some(before));
        assert_eq!(secret().find(&code, NOW + 29, AT_LOG_IN), None);
    }

    #[test]
    fn a_code_of_the_step_after_is_accepted() {
        let after = step_of(NOW) + 1;
        let code = secret().code(after);
        assert_eq!(secret().find(&code, NOW, AT_LOG_IN), Some(after));
        assert_eq!(secret().find(&code, NOW - 2, AT_LOG_IN), None);
    }

    #[test]
    fn a_code_is_good_within_the_reach_and_not_beyond_it() {
        let present = step_of(NOW);
        for reach in [0, AT_LOG_IN, AT_SET_UP] {
            for step in present - 8..=present + 8 {
                let expected = ((step - present).abs() <= reach).then_some(step);
                let code = secret().code(step);
                assert_eq!(secret().find(&code, NOW, reach), expected, "{reach}, {step}");
            }
        }
        assert_eq!(secret().find(&secret().code(present), NOW, -1), None);
    }

    #[test]
    fn of_several_steps_with_a_code_the_nearest_is_found() {
        // The first step that has the code of the step but one after it.
        let first = 153_567;
        let code = secret().code(first);
        assert_eq!(secret().code(first + 2), code);
        for (present, nearest) in
            [(first - 1, first), (first, first), (first + 1, first), (first + 2, first + 2)]
        {
            assert_eq!(secret().find(&code, present * 30, 5), Some(nearest), "{present}");
        }
    }

    #[test]
    fn what_is_not_the_whole_code_is_refused() {
        let code = secret().code(step_of(NOW));
        let full_width: String =
            code.chars().filter_map(|digit| char::from_u32(digit as u32 + 0xfee0)).collect();
        for wrong in
            ["", &code[1..], &code[..5], &format!("{code}0"), &format!(" {code}"), &full_width]
        {
            assert_eq!(secret().find(wrong, NOW, AT_SET_UP), None, "{wrong}");
        }
        // Each digit counts.
        for at in 0..DIGITS {
            let mut wrong = code.clone();
            let digit = if &code[at..=at] == "0" { "1" } else { "0" };
            wrong.replace_range(at..=at, digit);
            assert_eq!(secret().find(&wrong, NOW, AT_LOG_IN), None, "{wrong}");
        }
    }

    #[test]
    fn the_code_of_another_secret_is_refused() {
        let code = TotpSecret::from_bytes(&[7; SECRET_BYTES]).unwrap().code(step_of(NOW));
        assert_eq!(secret().find(&code, NOW, AT_SET_UP), None);
    }

    #[test]
    fn a_code_is_read_in_every_spelling() {
        for typed in [
            "012345",
            "012 345",
            "  01 23 45\t\n",
            "012-345",
            "012\u{a0}345",
            "012\u{202f}345",
            "012\u{2011}345",
            "012\u{2013}345",
            "\u{3000}０１２３４５",
            "０１２－345",
        ] {
            assert_eq!(normalise(typed).as_deref(), Some("012345"), "{typed}");
        }
    }

    #[test]
    fn what_is_not_six_digits_is_no_code() {
        for typed in ["", " ", "12345", "1234567", "12345a", "12345.", "+12345", "٠١٢٣٤٥", "①②③④⑤⑥"]
        {
            assert_eq!(normalise(typed), None, "{typed}");
        }
    }

    #[test]
    fn the_drift_is_positive_for_a_clock_that_is_fast() {
        let present = step_of(NOW);
        for (found, seconds) in [(present, 0), (present + 3, 90), (present - 5, -150)] {
            assert_eq!(drift(found, NOW), seconds);
        }
        assert_eq!(drift(i64::MAX, i64::MIN), i64::MAX);
    }

    #[test]
    fn the_base32_form_is_that_of_rfc_4648() {
        assert_eq!(secret().to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(secret().in_groups(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
    }

    #[test]
    fn malformed_text_is_no_secret() {
        let text = secret().to_base32();
        for wrong in [
            "",
            &text[1..],
            &text[..16],
            &format!("{text}A"),
            &format!("{text}===="),
            &text.replace('3', "1"),
            &text.replace('3', "8"),
            &text.replace('3', "ſ"),
        ] {
            assert!(TotpSecret::from_base32(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn stored_bytes_of_another_length_are_no_secret() {
        for length in [0, 19, 21] {
            assert!(TotpSecret::from_bytes(&vec![0; length]).is_none(), "{length}");
        }
    }

    #[test]
    fn secrets_do_not_repeat_and_do_not_print_themselves() {
        let (one, other) = (TotpSecret::generate(), TotpSecret::generate());
        assert_ne!(one.as_bytes(), other.as_bytes());
        assert_ne!(one.as_bytes(), &[0; SECRET_BYTES]);
        assert_eq!(format!("{one:?}"), "TotpSecret");
    }

    #[test]
    fn a_uri_has_the_issuer_twice_and_no_other_parameters() {
        for (issuer, account, expected) in [
            ("Notes", "ann", "Notes:ann?secret=SECRET&issuer=Notes"),
            (
                "My Notes & Co",
                "ann+x@example.org",
                "My%20Notes%20%26%20Co:ann%2Bx%40example.org?secret=SECRET\
                 &issuer=My%20Notes%20%26%20Co",
            ),
            (
                "Notes: a site",
                "a:b",
                "Notes%20a%20site:a%20b?secret=SECRET&issuer=Notes%20a%20site",
            ),
            (
                "Notes/a?b#c%20",
                "ann",
                "Notes%2Fa%3Fb%23c%2520:ann?secret=SECRET&issuer=Notes%2Fa%3Fb%23c%2520",
            ),
            ("Zoë", "ann", "Zo%C3%AB:ann?secret=SECRET&issuer=Zo%C3%AB"),
            ("", "ann", "ann?secret=SECRET"),
            (" : ", "ann", "ann?secret=SECRET"),
        ] {
            let expected = expected.replace("SECRET", &secret().to_base32());
            assert_eq!(uri(&secret(), issuer, account), format!("otpauth://totp/{expected}"));
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let cut = |text: &str| encoded(text, ISSUER_CHARS);
        assert_eq!(cut(&"n".repeat(64)), "n".repeat(64));
        assert_eq!(cut(&"n".repeat(65)), "n".repeat(64));
        assert_eq!(cut(&"é".repeat(99)), "%C3%A9".repeat(32));
        assert_eq!(cut(&format!("n{}", "é".repeat(99))), format!("n{}", "%C3%A9".repeat(31)));
        assert_eq!(cut(&"株".repeat(99)), "%E6%A0%AA".repeat(21));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_secret_can_be_read(bytes: [u8; SECRET_BYTES]) {
            let secret = TotpSecret::from_bytes(&bytes).unwrap();
            prop_assert_eq!(secret.to_base32().len(), 32);
            let groups = secret.in_groups();
            for text in [secret.to_base32(), groups.to_lowercase(), groups] {
                let read = TotpSecret::from_base32(&text).unwrap();
                prop_assert_eq!(read.as_bytes(), &bytes);
            }
        }

        #[test]
        fn what_is_read_as_a_secret_is_32_characters(
            text in prop_oneof!["[A-Za-z2-7 -]{30,40}", "[A-Za-z0-9]{32}", any::<String>()],
        ) {
            if let Some(secret) = TotpSecret::from_base32(&text) {
                let plain: String = text.chars().filter(|typed| !is_separator(*typed)).collect();
                prop_assert_eq!(secret.to_base32(), plain.to_uppercase());
            }
        }

        #[test]
        fn no_input_panics(code: String, now: i64, found: i64, reach in -2_i64..12) {
            let _ = secret().find(&code, now, reach);
            let _ = drift(found, now);
            prop_assert_eq!(secret().code(found).len(), DIGITS);
            if let Some(code) = normalise(&code) {
                let is_digits = code.bytes().all(|byte| byte.is_ascii_digit());
                prop_assert!(is_digits && code.len() == DIGITS);
            }
        }

        #[test]
        fn every_code_is_found(
            bytes: [u8; SECRET_BYTES],
            now in 0..1_i64 << 40,
            off in -1_i64..=1,
        ) {
            let secret = TotpSecret::from_bytes(&bytes).unwrap();
            let code = secret.code(step_of(now) + off);
            let found = secret.find(&code, now, AT_LOG_IN).unwrap();
            prop_assert_eq!(secret.code(found), code);
        }

        #[test]
        fn a_uri_is_short_and_has_one_colon_in_its_label(issuer: String, account in "\\PC{0,300}") {
            let uri = uri(&secret(), &issuer, &account);
            prop_assert!(uri.len() <= 840, "{}", uri.len());
            let (label, parameters) =
                uri.strip_prefix("otpauth://totp/").and_then(|rest| rest.split_once('?')).unwrap();
            prop_assert!(label.bytes().filter(|byte| *byte == b':').count() <= 1);
            prop_assert!(parameters.starts_with("secret="));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:".contains(&byte);
            prop_assert!(label.bytes().all(plain), "{}", label);
        }
    }
}
