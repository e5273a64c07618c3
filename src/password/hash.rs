//! Argon2id hashes in the form in which they are stored.

use std::fmt;

use phc::{Ident, Output, Salt};
use subtle::ConstantTimeEq;

use super::Password;
use super::argon2id::{self, Input, Memory, Params};
use crate::config::{PasswordConfig, Pepper};

/// The length of a salt. 128 bits suffice (RFC 9106, section 3.1).
const SALT_BYTES: usize = 16;

/// The length of a tag: 256 bits.
const TAG_BYTES: usize = 32;

/// The tag of a hash that no password matches.
const NO_TAG: [u8; TAG_BYTES] = [0; TAG_BYTES];

/// The highest cost that a stored hash may ask for: 128 MiB, 10 passes, 4 lanes. Without it, a
/// changed row could stop the site.
const MAX_COST: (u32, u32, u32) = (131_072, 10, 4);

/// The cost of a hash, and the keys that go into it.
#[derive(Debug, Clone)]
pub struct Cost {
    /// The parameters of Argon2id. They contain the id of the current key, so each hash names its
    /// key.
    pub params: Params,
    /// The known keys, the current one first.
    peppers: Vec<Pepper>,
}

impl Cost {
    /// `None` means that Argon2 refuses the parameters.
    pub fn of(config: &PasswordConfig) -> Option<Self> {
        let mut params = Params::new(config.memory_kib, config.iterations, config.parallelism)?;
        params.key_id = config.peppers.first().map_or_else(Vec::new, |first| first.id().to_vec());
        Some(Cost { params, peppers: config.peppers.clone() })
    }

    /// Returns the key with this id. `None` means that it is not known. An empty id means no key.
    fn pepper(&self, id: &[u8]) -> Option<&[u8]> {
        match id {
            [] => Some(&[]),
            id => self.peppers.iter().find(|pepper| pepper.id() == id).map(Pepper::as_bytes),
        }
    }
}

/// Does the work of `effort` KiB without a result. It uses no more memory at a time than `cost`
/// does.
pub(super) fn pretend(password: &Password, effort: u64, cost: &Cost, memory: &mut Memory) {
    if effort == 0 {
        return;
    }
    let passes = effort.div_ceil(u64::from(cost.params.memory_kib));
    // Argon2 needs at least 8 KiB for each lane.
    let memory_kib = (effort / passes).max(8) as u32;
    if let Some(params) = Params::new(memory_kib, passes as u32, 1) {
        let (salt, mut tag) = (random::<SALT_BYTES>(), [0; TAG_BYTES]);
        let input = Input { password: password.as_bytes(), salt: &salt, key: &[] };
        let _ = memory.hash(&input, &params, &mut tag);
    }
}

/// Why a text is not a hash that we can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordHashError {
    /// It is not Argon2id of version 19 in the PHC string format.
    NotArgon2id,
    /// It asks for more than 128 MiB, 10 passes or 4 lanes.
    TooCostly,
}

impl fmt::Display for PasswordHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordHashError::NotArgon2id => {
                "the hash is not Argon2id of version 19 in the PHC string format; let the user reset the \
                 password"
            }
            PasswordHashError::TooCostly => {
                "the hash asks for more than 128 MiB, 10 passes or 4 lanes; let the user reset the password"
            }
        })
    }
}

impl std::error::Error for PasswordHashError {}

/// An Argon2id hash with its parameters and salt, in the PHC string format. Its `Debug` output does
/// not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes the content of a row. It is not checked yet.
    pub fn from_stored(text: String) -> Self {
        PasswordHash(text)
    }

    /// Reads a hash from another program: Argon2id of version 19 (0x13) in the PHC string format, as
    /// in `$argon2id$v=19$m=19456,t=2,p=1$…$…`. Its parameters may be up to 128 MiB, 10 passes and 4
    /// lanes.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::password::{PasswordHash, PasswordHashError};
    ///
    /// let text = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA\
    ///             $AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs";
    /// assert!(PasswordHash::parse(text).is_ok());
    ///
    /// let bcrypt = "$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m";
    /// assert_eq!(PasswordHash::parse(bcrypt), Err(PasswordHashError::NotArgon2id));
    /// ```
    ///
    /// # Errors
    ///
    /// If it is another kind of hash, or costs too much.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let hash = PasswordHash(text.to_owned());
        let read = hash.read_unbounded().ok_or(PasswordHashError::NotArgon2id)?;
        match read {
            (phc, params) if phc.salt.is_some() && phc.hash.is_some() => {
                match is_bounded(&params) {
                    true => Ok(hash),
                    false => Err(PasswordHashError::TooCostly),
                }
            }
            _ => Err(PasswordHashError::NotArgon2id),
        }
    }

    /// Returns the text that a row stores.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes `password` with a new salt. `None` means that Argon2 refuses the parameters.
    pub(super) fn compute(password: &Password, cost: &Cost, memory: &mut Memory) -> Option<Self> {
        let (salt, params) = (random::<SALT_BYTES>(), &cost.params);
        let key = cost.pepper(&params.key_id)?;
        let mut tag = [0; TAG_BYTES];
        memory.hash(
            &Input { password: password.as_bytes(), salt: &salt, key },
            params,
            &mut tag,
        )?;
        Self::encode(params, &salt, &tag)
    }

    /// Creates a hash that no password matches. A check takes as long as that of a real one. Its tag is
    /// zero, which no password is known to give.
    pub(crate) fn dummy(params: &Params) -> Option<Self> {
        Self::encode(params, &random::<SALT_BYTES>(), &NO_TAG)
    }

    /// What the hashes look like that no password matches, for SQL's `LIKE`: a tag of zeros in base64.
    pub(crate) const LIKE_UNUSABLE: &str = "%$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    /// Returns whether this is a hash that no password matches: the account has no password.
    pub(crate) fn is_unusable(&self) -> bool {
        let read = phc::PasswordHash::new(&self.0).ok();
        read.and_then(|read| read.hash).is_some_and(|tag| *tag.as_bytes() == NO_TAG)
    }

    /// Returns whether `password` matches, and the parameters of the hash. `None` means that the
    /// text is not a hash, that it asks for too much, or that its key is not known.
    pub(super) fn check(
        &self,
        password: &Password,
        cost: &Cost,
        memory: &mut Memory,
    ) -> Option<(bool, Params)> {
        let (hash, params) = self.read()?;
        let (salt, expected) = (hash.salt?, hash.hash?);
        let mut tag = vec![0; expected.len()];
        let key = cost.pepper(&params.key_id)?;
        let input = Input { password: password.as_bytes(), salt: salt.as_ref(), key };
        memory.hash(&input, &params, &mut tag)?;
        Some((tag.ct_eq(expected.as_bytes()).into(), params))
    }

    /// Returns the hash and its parameters. `None` means that the text is not a hash, or asks for
    /// more than [`MAX_COST`].
    pub(crate) fn read(&self) -> Option<(phc::PasswordHash, Params)> {
        self.read_unbounded().filter(|(_, params)| is_bounded(params))
    }

    /// Returns the hash and its parameters, however much it asks for. `None` means that the text is
    /// not a hash of ours.
    fn read_unbounded(&self) -> Option<(phc::PasswordHash, Params)> {
        let hash = phc::PasswordHash::new(&self.0).ok()?;
        if hash.algorithm.as_str() != argon2id::NAME || hash.version != Some(argon2id::VERSION) {
            return None;
        }

        let params = Params::read(&hash.params)?;
        Some((hash, params))
    }

    fn encode(params: &Params, salt: &[u8], tag: &[u8]) -> Option<Self> {
        let hash = phc::PasswordHash {
            algorithm: Ident::new(argon2id::NAME).ok()?,
            version: Some(argon2id::VERSION),
            params: params.write().ok()?,
            salt: Some(Salt::new(salt).ok()?),
            hash: Some(Output::new(tag).ok()?),
        };
        Some(PasswordHash(hash.to_string()))
    }
}

/// Returns whether the parameters ask for at most [`MAX_COST`].
fn is_bounded(params: &Params) -> bool {
    let (memory, passes, lanes) = MAX_COST;
    params.memory_kib <= memory && params.iterations <= passes && params.parallelism <= lanes
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cost(memory_kib: u32) -> Cost {
        Cost::of(&PasswordConfig { memory_kib, iterations: 1, ..Default::default() }).unwrap()
    }

    /// Returns the memory of a worker.
    fn kept(cost: &Cost) -> Memory {
        Memory::new(&cost.params).unwrap()
    }

    fn hash(password: &str, memory: u32) -> PasswordHash {
        let cost = cost(memory);
        PasswordHash::compute(&Password::typed(password), &cost, &mut kept(&cost)).unwrap()
    }

    fn check(hash: &PasswordHash, password: &str) -> Option<bool> {
        let cost = cost(64);
        hash.check(&Password::typed(password), &cost, &mut kept(&cost)).map(|(matches, _)| matches)
    }

    #[test]
    fn only_the_same_password_matches() {
        let hash = hash("correct horse", 8);
        assert_eq!(check(&hash, "correct horse"), Some(true));
        assert_eq!(check(&hash, "correct horsE"), Some(false));
        assert_eq!(check(&hash, ""), Some(false));
    }

    #[test]
    fn the_last_character_of_a_long_password_matters() {
        let long = "x".repeat(1_000);
        assert_eq!(check(&hash(&long, 8), &format!("{}y", &long[1..])), Some(false));
    }

    #[test]
    fn a_salt_is_never_used_twice() {
        assert!(hash("correct horse", 8) != hash("correct horse", 8));
    }

    #[test]
    fn a_dummy_has_the_form_of_a_hash_and_matches_nothing() {
        let dummy = PasswordHash::dummy(&cost(8).params).unwrap();
        assert_eq!(dummy.as_str().len(), hash("x", 8).as_str().len());
        assert_eq!(check(&dummy, ""), Some(false));
        assert!(dummy.is_unusable());
        assert!(dummy.as_str().ends_with(PasswordHash::LIKE_UNUSABLE.trim_start_matches('%')));
        assert!(!hash("x", 8).is_unusable());
        assert!(!PasswordHash::from_stored("null".into()).is_unusable());
    }

    #[test]
    fn a_hash_by_another_implementation_is_verified() {
        // Made by argon2-cffi: t = 2, m = 256 KiB, p = 1, salt "somesalt12345678".
        const FOREIGN: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA\
             $AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs";
        let foreign = PasswordHash::from_stored(FOREIGN.into());
        assert_eq!(check(&foreign, "correct horse battery"), Some(true));
        assert_eq!(check(&foreign, "correct horse batterx"), Some(false));
    }

    #[test]
    fn memory_grows_for_one_hash_only() {
        let costly = hash("x", 64);
        let mut memory = kept(&cost(8));
        assert!(memory.reserve());
        costly.check(&Password::typed("x"), &cost(64), &mut memory).unwrap();
        assert_eq!(memory.blocks(), 8);
        assert_eq!(memory.take_passed(), 64);
    }

    #[test]
    fn a_pretence_takes_the_given_effort_in_the_memory_of_the_worker() {
        let (cost, password) = (cost(64), Password::typed("x"));
        let mut memory = kept(&cost);
        assert!(memory.reserve());
        for effort in (0..300).chain([1_000, 4_095, 10_007]) {
            pretend(&password, effort, &cost, &mut memory);
            let passed = memory.take_passed();
            // The effort is in whole KiB for each pass, and at least 8.
            let short = effort.saturating_sub(passed);
            assert!(short < effort.div_ceil(64).max(1), "{effort}: {passed}");
            assert!(passed <= effort.max(8) || effort == 0 && passed == 0, "{effort}: {passed}");
            assert_eq!(memory.blocks(), 64);
        }
    }

    #[test]
    fn a_changed_row_is_refused_at_once() {
        let good = hash("x", 8).0;
        for bad in [
            "".to_owned(),
            "null".into(),
            "x".into(),
            "$2b$12$abcdefghijklmnopqrstuv".into(),
            good.replace("argon2id", "argon2d"),
            good.replace("m=8,", "m=4194304,"),
            good.replace("t=1,", "t=1000000000,"),
            good.replace("p=1$", "p=200$"),
            good.replace("v=19", "v=16"),
            good.rsplit_once('$').unwrap().0.into(),
            format!("{good}ü"),
        ] {
            assert_eq!(check(&PasswordHash(bad.clone()), "x"), None, "{bad}");
        }
    }

    /// Returns texts that are nearly a stored hash.
    fn nearly_a_hash() -> impl Strategy<Value = String> {
        let number = || {
            let at_the_bounds = proptest::sample::select(vec![
                "0",
                "1",
                "4",
                "5",
                "8",
                "10",
                "11",
                "131072",
                "131073",
                "4294967295",
                "4294967296",
                "-1",
                "+1",
                "01",
                "",
                "18446744073709551616",
            ]);
            prop_oneof![
                at_the_bounds.prop_map(String::from),
                any::<u32>().prop_map(|n| n.to_string())
            ]
        };
        let algorithm =
            proptest::sample::select(vec!["argon2id", "argon2id", "argon2id", "argon2d", ""]);
        let version = proptest::sample::select(vec!["$v=19", "$v=19", "$v=19", "$v=16", ""]);
        let extra =
            prop_oneof![Just(String::new()), "(,(keyid|data|m|t|p|x)=[A-Za-z0-9+/]{0,12}){1,2}",];
        let tail = prop_oneof![
            Just("$c29tZXNhbHQxMjM0NTY3OA$AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs".into()),
            "(\\$[A-Za-z0-9+/]{0,88}){0,3}",
        ];
        (algorithm, version, number(), number(), number(), extra, tail).prop_map(
            |(algorithm, version, m, t, p, extra, tail)| {
                format!("${algorithm}{version}$m={m},t={t},p={p}{extra}{tail}")
            },
        )
    }

    fn within_bounds(params: &Params) -> bool {
        let (max_memory, max_passes, max_lanes) = MAX_COST;
        params.memory_kib <= max_memory
            && params.iterations <= max_passes
            && params.parallelism <= max_lanes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        #[test]
        fn no_stored_hash_can_exceed_the_bounds(
            text in prop_oneof![nearly_a_hash(), any::<String>()],
        ) {
            if let Some((_, params)) = PasswordHash(text).read() {
                prop_assert!(within_bounds(&params), "{:?}", params);
            }
        }

        #[test]
        fn parameters_are_read_as_they_were_written(
            m in 1..=2 * MAX_COST.0,
            t in 1..=2 * MAX_COST.1,
            p in 1..=2 * MAX_COST.2,
        ) {
            let Some(params) = Params::new(m, t, p) else { return Ok(()) };
            let hash = PasswordHash::dummy(&params).unwrap();
            match hash.read() {
                Some((_, read)) => {
                    prop_assert!(within_bounds(&read), "{:?}", read);
                    let read = (read.memory_kib, read.iterations, read.parallelism);
                    prop_assert_eq!(read, (m, t, p));
                }
                None => prop_assert!(!within_bounds(&params)),
            }
        }
    }

    proptest! {
        // Each of these cases computes a hash, so there are fewer.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_hash_of_any_length_is_checked_or_refused(
            salt in proptest::collection::vec(any::<u8>(), 0..70),
            tag in proptest::collection::vec(any::<u8>(), 0..70),
            typed: String,
        ) {
            use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
            let [salt, tag] = [salt, tag].map(|bytes| BASE64_STANDARD_NO_PAD.encode(bytes));
            let hash = PasswordHash(format!("$argon2id$v=19$m=8,t=1,p=1${salt}${tag}"));
            prop_assert!(check(&hash, &typed) != Some(true));
        }
    }
}
