//! Identity newtypes: one noun, one type.
//!
//! Ids that sort by time are UUIDv7 in their simple form behind a prefix that says what they name.
//! The caller supplies the random bytes and the time, so this room stays free of both.

use std::fmt;
use std::sync::Arc;

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xF)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// 128 bits that sort by time, in the layout of RFC 9562, section 5.7 (UUIDv7).
fn by_time(unix_ms: u64, random: u128) -> u128 {
    let time = u128::from(unix_ms & 0xFFFF_FFFF_FFFF) << 80;
    let low = random & ((1 << 80) - 1);
    time | (low & !(0xF << 76) & !(0x3 << 62)) | (0x7 << 76) | (0x2 << 62)
}

/// The number that stands behind `prefix`, in the one form that we write.
fn number(prefix: &str, text: &str) -> Option<u128> {
    let digits = text.strip_prefix(prefix)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_ours = digits.len() == 32 && digits.bytes().all(is_hex);
    is_ours.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

/// Names one exchange for its whole life: in headers, logs, metrics exemplars and records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u128);

impl ExchangeId {
    /// An id for an exchange that began at `unix_ms`, made unique by `random`.
    pub fn new(unix_ms: u64, random: u128) -> ExchangeId {
        ExchangeId(by_time(unix_ms, random))
    }

    /// Reads the text form, `x_` and 32 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<ExchangeId> {
        number("x_", text).map(ExchangeId)
    }

    /// The text form `x_` and 32 hexadecimal digits.
    pub fn text(self) -> ExchangeText {
        let mut bytes = *b"x_00000000000000000000000000000000";
        for (at, nibble) in bytes[2..].iter_mut().zip((0..32).rev()) {
            *at = b"0123456789abcdef"[(self.0 >> (nibble * 4)) as usize & 0xF];
        }
        ExchangeText(bytes)
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of an [`ExchangeId`], without an allocation.
#[derive(Clone, Copy)]
pub struct ExchangeText([u8; 34]);

impl ExchangeText {
    /// The text.
    pub fn as_str(&self) -> &str {
        // The bytes are ASCII by construction.
        std::str::from_utf8(&self.0).unwrap_or("x_")
    }

    /// The text as bytes, for a header value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Names one lever for ever: in refusals, the audit, records and commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeverId(pub u128);

impl LeverId {
    const PREFIX: &str = "lv_";

    /// An id for a lever that was pulled at `unix_ms`, made unique by `random`.
    pub fn new(unix_ms: u64, random: u128) -> LeverId {
        LeverId(by_time(unix_ms, random))
    }

    /// Reads the text form, `lv_` and 32 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<LeverId> {
        number(LeverId::PREFIX, text).map(LeverId)
    }
}

impl fmt::Display for LeverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:032x}", LeverId::PREFIX, self.0)
    }
}

impl fmt::Debug for LeverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for LeverId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for LeverId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<LeverId, D::Error> {
        let text = String::deserialize(deserializer)?;
        LeverId::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("a lever's id is `lv_` and 32 hexadecimal digits")
        })
    }
}

/// Names one long work over the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(pub u128);

impl RunId {
    /// An id for work that began at `unix_ms`, made unique by `random`.
    pub fn new(unix_ms: u64, random: u128) -> RunId {
        RunId(by_time(unix_ms, random))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_{:032x}", self.0)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: &str) -> Self {
                Self(Arc::from(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name! {
    /// A provider row of the table.
    ProviderName
}
name! {
    /// A route of the table.
    RouteName
}
name! {
    /// An authenticated caller.
    AppName
}
name! {
    /// A model, as a caller asks for it or as a provider serves it.
    ModelName
}

/// The number of a table; it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written_and_in_no_other_form() {
        let id = LeverId::new(1_700_000_000_000, 7);
        assert_eq!(LeverId::parse(&id.to_string()), Some(id));
        for bad in ["", "lv_", "lv_1", "x_0190", &id.to_string().to_uppercase()] {
            assert_eq!(LeverId::parse(bad), None, "{bad}");
        }
        let id = ExchangeId::new(1_700_000_000_000, 9);
        assert_eq!(ExchangeId::parse(&id.to_string()), Some(id));
        let upper = id.to_string().to_uppercase();
        for bad in ["", "x_", "x_1", &upper, "x_+0000000000000000000000000000abc", "../status"] {
            assert_eq!(ExchangeId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_sort_by_time_and_are_version_seven() {
        let early = ExchangeId::new(1_700_000_000_000, u128::MAX);
        let late = ExchangeId::new(1_700_000_000_001, 0);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        let text = early.to_string();
        assert_eq!(&text[14..15], "7");
        assert_eq!(text.len(), 34);
    }
}
