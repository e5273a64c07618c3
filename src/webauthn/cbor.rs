//! A reader of CBOR (RFC 8949) that is as strict as CTAP2, the protocol of authenticators: no
//! indefinite lengths and no tags, and values are nested a few levels deep.

/// The most levels of maps and arrays. An attestation of several statements has five.
const DEEPEST: u32 = 8;

// The major types.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

/// The bytes that are left to read. A function returns `None` if the next item is cut or has
/// another type. The reader is of no use after that.
pub struct Reader<'a>(&'a [u8]);

/// A value in a COSE key.
pub enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(int) => Some(*int),
            Value::Bytes(_) => None,
        }
    }

    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Int(_) => None,
        }
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// Returns `true` if everything was read.
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads `N` bytes as they are.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Reads `length` bytes as they are.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads an integer or a string of bytes.
    pub fn value(&mut self) -> Option<Value<'a>> {
        match self.head()? {
            (UNSIGNED, number) => Some(Value::Int(number.try_into().ok()?)),
            (NEGATIVE, number) => Some(Value::Int(-1 - i64::try_from(number).ok()?)),
            (BYTES, length) => self.string(length).map(Value::Bytes),
            _ => None,
        }
    }

    /// Reads a text.
    pub fn text(&mut self) -> Option<&'a str> {
        match self.head()? {
            (TEXT, length) => std::str::from_utf8(self.string(length)?).ok(),
            _ => None,
        }
    }

    /// Reads the head of a map, and returns the number of its entries. Somebody else has chosen the
    /// number: allocate nothing by it.
    pub fn map(&mut self) -> Option<u64> {
        match self.head()? {
            (MAP, entries) => Some(entries),
            _ => None,
        }
    }

    /// Reads one item of any type, and returns its encoding.
    pub fn item(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.skip(DEEPEST)?;
        before.get(..before.len() - self.0.len())
    }

    /// Skips an item with at most `levels` levels of maps and arrays. Without the limit, a few
    /// kilobytes of open arrays would overflow the stack.
    fn skip(&mut self, levels: u32) -> Option<()> {
        let (major, argument) = self.head()?;
        match major {
            UNSIGNED | NEGATIVE | SIMPLE => {}
            // A text that is skipped is not looked at.
            BYTES | TEXT => _ = self.string(argument)?,
            ARRAY | MAP => {
                let inside = levels.checked_sub(1)?;
                // Every item has a byte at least, so a number that is too large ends the loop soon.
                for _ in 0..argument {
                    self.skip(inside)?;
                    if major == MAP {
                        self.skip(inside)?;
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn string(&mut self, length: u64) -> Option<&'a [u8]> {
        self.take(length.try_into().ok()?)
    }

    /// Reads a head: the major type and its argument.
    fn head(&mut self) -> Option<(u8, u64)> {
        let [first] = self.array()?;
        let argument = match first & 0x1f {
            small @ 0..=23 => small.into(),
            size @ 24..=27 => {
                let bytes = self.take(1 << (size - 24))?;
                bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
            _ => return None,
        };
        Some((first >> 5, argument))
    }
}
