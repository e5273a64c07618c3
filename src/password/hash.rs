//! Argon2id hashes in the form in which they are stored.

use std::fmt;

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Block, KeyId, Params, ParamsBuilder, Version};
use subtle::ConstantTimeEq;

use super::Password;
use crate::config::{PasswordConfig, Pepper};

/// The length of a salt. 128 bits suffice (RFC 9106, section 3.1).
const SALT_BYTES: usize = 16;

/// The length of a tag: 256 bits.
const TAG_BYTES: usize = 32;

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
    pub fn of(config: &PasswordConfig) -> argon2::Result<Self> {
        let mut params = ParamsBuilder::new();
        params.m_cost(config.memory_kib).t_cost(config.iterations).p_cost(config.parallelism);
        if let Some(pepper) = config.peppers.first() {
            params.keyid(KeyId::new(&pepper.id())?);
        }
        Ok(Cost { params: params.build()?, peppers: config.peppers.clone() })
    }

    /// Returns the key with this id. `None` means that it is not known. An empty id means no key.
    fn pepper(&self, id: &[u8]) -> Option<&[u8]> {
        match id {
            [] => Some(&[]),
            id => self.peppers.iter().find(|pepper| pepper.id() == id).map(Pepper::as_bytes),
        }
    }
}

/// The memory that a worker hashes in. It is kept from one hash to the next.
#[derive(Default)]
pub struct Memory {
    blocks: Vec<Block>,
    /// The effort since the last call of [`Memory::take_passed()`].
    passed: u64,
}

impl Memory {
    /// Reserves the memory that a hash with `params` needs.
    pub fn new(params: &Params) -> Self {
        Memory { blocks: vec![Block::new(); params.block_count()], passed: 0 }
    }

    /// Returns the effort since the last call, in the unit of [`effort()`].
    pub fn take_passed(&mut self) -> u64 {
        std::mem::take(&mut self.passed)
    }
}

/// Returns the effort of a hash with `params`: the memory that it writes in all passes, in KiB. The
/// time is nearly proportional to it, for any memory and number of passes.
pub fn effort(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

/// Does the work of `effort` KiB without a result. It uses no more memory at a time than `cost`
/// does.
pub(super) fn pretend(password: &Password, effort: u64, cost: &Cost, memory: &mut Memory) {
    if effort == 0 {
        return;
    }
    let most = u64::from(cost.params.m_cost());
    let passes = effort.div_ceil(most);
    let mut params = ParamsBuilder::new();
    // Argon2 needs at least 8 KiB for each lane.
    params.m_cost((effort / passes).max(8) as u32).t_cost(passes as u32);
    if let Ok(params) = params.build() {
        let mut tag = [0; TAG_BYTES];
        let _ = run(password, &[], &params, &random::<SALT_BYTES>(), &mut tag, memory);
    }
}

/// An Argon2id hash with its parameters and salt, in the PHC string format. Its `Debug` output does
/// not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes the content of a row. It is not checked yet.
    pub fn from_stored(text: String) -> Self {
        PasswordHash(text)
    }

    /// Returns the text that a row stores.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes `password` with a new salt. `None` means that Argon2 refuses the parameters.
    pub(super) fn compute(password: &Password, cost: &Cost, memory: &mut Memory) -> Option<Self> {
        let (salt, params) = (random::<SALT_BYTES>(), &cost.params);
        let pepper = cost.pepper(params.keyid())?;
        let mut tag = [0; TAG_BYTES];
        run(password, pepper, params, &salt, &mut tag, memory)?;
        Self::encode(params, &salt, &tag)
    }

    /// Creates a hash that no password matches. A check takes as long as that of a real one.
    pub(crate) fn dummy(params: &Params) -> Option<Self> {
        Self::encode(params, &random::<SALT_BYTES>(), &random::<TAG_BYTES>())
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
        let pepper = cost.pepper(params.keyid())?;
        run(password, pepper, &params, salt.as_ref(), &mut tag, memory)?;
        Some((tag.ct_eq(expected.as_bytes()).into(), params))
    }

    /// Returns the hash and its parameters. `None` means that the text is not a hash, or asks for
    /// more than [`MAX_COST`].
    pub(crate) fn read(&self) -> Option<(phc::PasswordHash, Params)> {
        let hash = phc::PasswordHash::new(&self.0).ok()?;
        if hash.algorithm.as_str() != Algorithm::Argon2id.as_str()
            || hash.version != Some(Version::V0x13.into())
        {
            return None;
        }

        let params = Params::try_from(&hash).ok()?;
        let (max_memory, max_passes, max_lanes) = MAX_COST;
        if params.m_cost() > max_memory
            || params.t_cost() > max_passes
            || params.p_cost() > max_lanes
        {
            return None;
        }
        Some((hash, params))
    }

    fn encode(params: &Params, salt: &[u8], tag: &[u8]) -> Option<Self> {
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(params).ok()?,
            salt: Some(Salt::new(salt).ok()?),
            hash: Some(Output::new(tag).ok()?),
        };
        Some(PasswordHash(hash.to_string()))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// Runs Argon2id in `memory`. The memory grows for a hash that costs more than usual, and shrinks
/// afterwards: each worker keeps only what the configured cost needs.
fn run(
    password: &Password,
    pepper: &[u8],
    params: &Params,
    salt: &[u8],
    tag: &mut [u8],
    memory: &mut Memory,
) -> Option<()> {
    memory.passed += effort(params);
    let blocks = &mut memory.blocks;
    let (kept, needed) = (blocks.len(), params.block_count());
    if needed > kept {
        blocks.resize(needed, Block::new());
    }

    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let argon2 = Argon2::new_with_secret(pepper, algorithm, version, params.clone()).ok()?;
    let done = argon2.hash_password_into_with_memory(
        password.as_bytes(),
        salt,
        tag,
        &mut blocks[..needed],
    );
    if needed > kept {
        blocks.truncate(kept);
        blocks.shrink_to_fit();
    }
    done.ok()
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

    fn hash(password: &str, memory: u32) -> PasswordHash {
        PasswordHash::compute(&Password::typed(password), &cost(memory), &mut Memory::default())
            .unwrap()
    }

    fn check(hash: &PasswordHash, password: &str) -> Option<bool> {
        hash.check(&Password::typed(password), &cost(64), &mut Memory::default())
            .map(|(matches, _)| matches)
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
        let mut memory = Memory::new(&cost(8).params);
        costly.check(&Password::typed("x"), &cost(64), &mut memory).unwrap();
        assert_eq!(memory.blocks.len(), 8);
        assert_eq!(memory.take_passed(), 64);
    }

    #[test]
    fn a_pretence_takes_the_given_effort_in_the_memory_of_the_worker() {
        let (cost, password) = (cost(64), Password::typed("x"));
        let mut memory = Memory::new(&cost.params);
        for effort in (0..300).chain([1_000, 4_095, 10_007]) {
            pretend(&password, effort, &cost, &mut memory);
            let passed = memory.take_passed();
            // The effort is in whole KiB for each pass, and at least 8.
            let short = effort.saturating_sub(passed);
            assert!(short < effort.div_ceil(64).max(1), "{effort}: {passed}");
            assert!(passed <= effort.max(8) || effort == 0 && passed == 0, "{effort}: {passed}");
            assert_eq!(memory.blocks.len(), 64);
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
        params.m_cost() <= max_memory
            && params.t_cost() <= max_passes
            && params.p_cost() <= max_lanes
            && params.block_count() <= max_memory as usize
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
            let mut builder = ParamsBuilder::new();
            let Ok(params) = builder.m_cost(m).t_cost(t).p_cost(p).build() else { return Ok(()) };
            let hash = PasswordHash::dummy(&params).unwrap();
            match hash.read() {
                Some((_, read)) => {
                    prop_assert!(within_bounds(&read), "{:?}", read);
                    let read = (read.m_cost(), read.t_cost(), read.p_cost());
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
