//! Argon2id itself: what a hash costs, the memory that it is made in, and whether it works here.

use std::fmt;
use std::sync::LazyLock;

use argon2::{AssociatedData, KeyId, ParamsBuilder};
use argon2_rust::params::{Memory as Size, TagLen};
use argon2_rust::{Algorithm, Argon2, Hasher, Version};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use phc::{ParamsString, Value};

/// The name of the algorithm in a stored hash.
pub const NAME: &str = "argon2id";

/// The version of the algorithm in a stored hash: 19.
pub const VERSION: u32 = Version::V0x13.as_u32();

/// The parameters of a hash, which stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// The memory, in KiB.
    pub memory_kib: u32,
    /// The passes over the memory.
    pub iterations: u32,
    /// The lanes, which are computed one after the other.
    pub parallelism: u32,
    /// The id of the key that went into the hash. It is empty if there was none.
    pub key_id: Vec<u8>,
    /// More data that went into the hash. Ours have none.
    data: Vec<u8>,
}

impl Default for Params {
    /// OWASP's first choice.
    fn default() -> Self {
        let (memory_kib, iterations, parallelism) = (19_456, 2, 1);
        Params { memory_kib, iterations, parallelism, key_id: Vec::new(), data: Vec::new() }
    }
}

impl Params {
    /// Creates parameters without a key. `None` means that Argon2 does not have them.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Option<Self> {
        let params = Params { memory_kib, iterations, parallelism, ..Params::default() };
        params.argon2(32).map(|_| params)
    }

    /// Reads the parameters of a stored hash. One that does not stand there has its default.
    pub fn read(text: &ParamsString) -> Option<Self> {
        let mut params = Params::default();
        for (name, value) in text.iter() {
            match name.as_str() {
                "m" => params.memory_kib = value.decimal().ok()?,
                "t" => params.iterations = value.decimal().ok()?,
                "p" => params.parallelism = value.decimal().ok()?,
                "keyid" => params.key_id = bytes::<8>(value)?,
                "data" => params.data = bytes::<32>(value)?,
                _ => return None,
            }
        }
        params.argon2(32).map(|_| params)
    }

    /// Returns the parameters in the form in which a hash stores them.
    pub fn write(&self) -> phc::Result<ParamsString> {
        let mut text = ParamsString::new();
        text.add_decimal("m", self.memory_kib)?;
        text.add_decimal("t", self.iterations)?;
        text.add_decimal("p", self.parallelism)?;
        for (name, bytes) in [("keyid", &self.key_id), ("data", &self.data)] {
            if !bytes.is_empty() {
                text.add_b64_bytes(name, bytes)?;
            }
        }
        Ok(text)
    }

    /// Returns the effort of a hash: the memory that it writes in all passes, in KiB. The time is
    /// nearly proportional to it, for any memory and number of passes.
    pub fn effort(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }

    /// Returns whether a hash with these parameters need not be made anew with `current`.
    pub fn is_same(&self, current: &Params) -> bool {
        (self.memory_kib, self.iterations, self.parallelism, &self.key_id)
            == (current.memory_kib, current.iterations, current.parallelism, &current.key_id)
    }

    /// `None` means that Argon2 does not have these parameters, or no tag of this length.
    fn argon2(&self, tag_bytes: usize) -> Option<Argon2> {
        let params = argon2_rust::Params::builder()
            .memory(Size::kib(self.memory_kib.into()))
            .passes(self.iterations)
            .lanes(self.parallelism)
            // On this thread alone: the number of threads is the operator's to choose.
            .threads(1)
            .tag_len(TagLen::bytes(tag_bytes as u64))
            .build()
            .ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// Returns these parameters for the slower implementation.
    fn plain(&self) -> argon2::Result<argon2::Params> {
        let mut params = ParamsBuilder::new();
        params.m_cost(self.memory_kib).t_cost(self.iterations).p_cost(self.parallelism);
        params.keyid(KeyId::new(&self.key_id)?).data(AssociatedData::new(&self.data)?);
        params.build()
    }
}

/// Reads base64. `None` means that it is none, or more than `MOST` bytes.
fn bytes<const MOST: usize>(value: Value<'_>) -> Option<Vec<u8>> {
    value.b64_decode(&mut [0; MOST]).ok().map(<[u8]>::to_vec)
}

/// The memory that a worker hashes in. It is kept from one hash to the next, and wiped after each.
pub struct Memory {
    hasher: Hasher,
    /// How many blocks of 1 KiB are kept at most.
    most: usize,
    /// The effort since the last call of [`Memory::take_passed()`].
    passed: u64,
}

impl Memory {
    /// Creates memory that keeps what a hash with `params` needs. It is not reserved yet.
    pub fn new(params: &Params) -> Option<Self> {
        let hasher = params.argon2(32)?.hasher();
        let most = hasher.params().memory_blocks() as usize;
        Some(Memory { hasher, most, passed: 0 })
    }

    /// Reserves what is kept, unless it is reserved already. `false` means that there is none.
    #[must_use]
    pub fn reserve(&mut self) -> bool {
        self.hasher.reserve().is_ok()
    }

    /// Gives what is kept back to the operating system.
    pub fn release(&mut self) {
        self.hasher.clear();
    }

    /// Returns the effort since the last call, in the unit of [`Params::effort()`].
    pub fn take_passed(&mut self) -> u64 {
        std::mem::take(&mut self.passed)
    }

    /// Fills `tag` with the hash of `password`. A hash that costs more than usual has memory of its
    /// own, so each worker keeps only what the configured cost needs. `None` means that Argon2
    /// refuses something.
    pub fn hash(&mut self, input: &Input<'_>, params: &Params, tag: &mut [u8]) -> Option<()> {
        self.passed += params.effort();
        match is_fast() {
            true => self.hash_fast(input, params, tag),
            false => input.hash_plainly(params, tag).ok(),
        }
    }

    fn hash_fast(&mut self, input: &Input<'_>, params: &Params, tag: &mut [u8]) -> Option<()> {
        let Input { password, salt, key } = input;
        let argon2 = params.argon2(tag.len())?;
        if argon2.params().memory_blocks() as usize > self.most {
            return argon2.hash_into_with_ad(password, salt, key, &params.data, tag).ok();
        }

        let usual = *self.hasher.argon2();
        self.hasher.set_argon2(argon2);
        let hashed = self.hasher.hash_into_with_ad(password, salt, key, &params.data, tag);
        self.hasher.set_argon2(usual);
        hashed.ok()
    }

    /// Returns how many blocks of 1 KiB are reserved now.
    #[cfg(test)]
    pub fn blocks(&self) -> usize {
        self.hasher.reserved_blocks()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("most", &self.most).finish_non_exhaustive()
    }
}

/// A password, and what goes into the hash with it.
pub struct Input<'i> {
    pub password: &'i [u8],
    pub salt: &'i [u8],
    /// The pepper. Empty means none.
    pub key: &'i [u8],
}

impl Input<'_> {
    /// Fills `tag` with RustCrypto's implementation, which takes twice as long.
    fn hash_plainly(&self, params: &Params, tag: &mut [u8]) -> argon2::Result<()> {
        let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
        argon2::Argon2::new_with_secret(self.key, algorithm, version, params.plain()?)?
            .hash_password_into(self.password, self.salt, tag)
    }
}

/// A hash that is known.
struct Known {
    input: Input<'static>,
    data: &'static [u8],
    /// Memory in KiB, passes and lanes.
    cost: (u32, u32, u32),
    /// The tag, in base64.
    tag: &'static str,
}

const KNOWN: [Known; 2] = [
    // The test vector of RFC 9106, section 5.3.
    Known {
        input: Input { password: &[1; 32], salt: &[2; 16], key: &[3; 8] },
        data: &[4; 12],
        cost: (32, 3, 4),
        tag: "DWQN9Y14dmwIwDejSotTydAe8EUtdbZetSUg6WsB5lk",
    },
    // By the reference implementation, through argon2-cffi: of one lane, and longer.
    Known {
        input: Input { password: b"correct horse battery", salt: b"somesalt12345678", key: &[] },
        data: &[],
        cost: (256, 2, 1),
        tag: "AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs",
    },
];

static IS_FAST: LazyLock<bool> = LazyLock::new(|| KNOWN.iter().all(Known::is_right));

/// Returns whether the fast implementation gives the right hashes here. It has code for several
/// kinds of processors and chooses when it runs. If it were wrong on this one, everybody would be
/// refused, and new hashes could be checked nowhere else. So it has to give two known hashes first,
/// and RustCrypto's implementation hashes if it does not.
pub fn is_fast() -> bool {
    *IS_FAST
}

impl Known {
    fn is_right(&self) -> bool {
        let ((memory, passes, lanes), mut tag) = (self.cost, [0; 32]);
        let params = Params::new(memory, passes, lanes)
            .map(|params| Params { data: self.data.to_vec(), ..params });
        let hashed = params
            .and_then(|params| Memory::new(&params)?.hash_fast(&self.input, &params, &mut tag));
        hashed.is_some() && BASE64_STANDARD_NO_PAD.encode(tag) == self.tag
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn argon2id_gives_the_hashes_that_are_known() {
        assert!(is_fast());
    }

    #[test]
    fn a_wrong_hash_is_noticed() {
        for known in KNOWN {
            assert!(!Known { data: b"other", ..known }.is_right());
        }
    }

    #[test]
    fn memory_is_reserved_for_work_and_given_back_afterwards() {
        let mut memory = Memory::new(&Params::new(64, 1, 1).unwrap()).unwrap();
        assert_eq!(memory.blocks(), 0);
        assert!(memory.reserve());
        assert_eq!(memory.blocks(), 64);
        memory.release();
        assert_eq!(memory.blocks(), 0);
    }

    fn params() -> impl Strategy<Value = Params> {
        let cost = (1..=4_u32, 0..=300_u32, 1..=3_u32);
        (cost, vec(any::<u8>(), 0..=8), vec(any::<u8>(), 0..=32)).prop_map(
            |((parallelism, more, iterations), key_id, data)| {
                let memory_kib = 8 * parallelism + more;
                Params { memory_kib, iterations, parallelism, key_id, data }
            },
        )
    }

    proptest! {
        #[test]
        fn both_implementations_give_the_same_hash(
            params in params(),
            password in vec(any::<u8>(), 0..200),
            salt in vec(any::<u8>(), 8..64),
            key in vec(any::<u8>(), 0..40),
            length in 4..64_usize,
            is_costlier in any::<bool>(),
        ) {
            let (mut tag, mut other) = (vec![0; length], vec![0; length]);
            let usual = if is_costlier { Params::new(8, 1, 1).unwrap() } else { params.clone() };
            let input = Input { password: &password, salt: &salt, key: &key };
            let mut memory = Memory::new(&usual).unwrap();
            // The second time in memory that was used before.
            for _ in 0..2 {
                prop_assert!(memory.hash(&input, &params, &mut tag).is_some());
                input.hash_plainly(&params, &mut other).unwrap();
                prop_assert_eq!(&tag, &other);
            }
        }

        #[test]
        fn parameters_are_written_as_by_another_implementation(params in params()) {
            let text = params.write().unwrap();
            prop_assert_eq!(text.as_str(), params.plain().unwrap().to_string());
            prop_assert_eq!(Params::read(&text), Some(params));
        }

        #[test]
        fn parameters_are_read_as_by_another_implementation(
            text in "((m|t|p|keyid|data|x)=(0|1|8|16|7|8A|[A-Za-z0-9+/]{0,12}|[0-9]{1,10}),){0,5}",
        ) {
            let Ok(text) = text.trim_end_matches(',').parse::<ParamsString>() else { return Ok(()) };
            let other = argon2::Params::try_from(&text).ok();
            prop_assert_eq!(Params::read(&text).map(|params| params.plain().unwrap()), other);
        }
    }
}
