//! Undoing the escapes of a JSON string (RFC 8259, section 7).
//!
//! JSON in JSON has an escape every few bytes, so what counts is what one of them costs. Where the backslashes stand
//! is seen for [`BLOCK`] bytes at once, by arithmetic on words, so that nothing has to wait for where the escape
//! before ended; and what stands between two escapes is copied in a stretch of one length, mostly too much of it,
//! which the next one writes over.

use crate::filter::{BLOCK, block_bits};
use std::borrow::Cow;

/// How much is copied where less stands between two escapes.
const AT_ONCE: usize = 32;

/// Decodes the inside of a JSON string. Lone surrogates become U+FFFD.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    let raw = inner.as_bytes();
    let Some(first) = memchr::memchr(b'\\', raw) else {
        return Cow::Borrowed(inner);
    };
    let mut undone = Undone::new(raw.len());
    undone.copy(raw, first);
    while undone.simple(raw) < raw.len() {
        let escape = inner.get(undone.read + 1..).unwrap_or("");
        let (letter, used) = match escape.chars().next() {
            Some('u') => unicode_escape(escape),
            // What JSON does not know stands for itself.
            Some(other) => (other, other.len_utf8()),
            None => break,
        };
        undone.put(letter.encode_utf8(&mut [0; 4]).as_bytes(), 1 + used);
    }
    Cow::Owned(undone.text())
}

/// The bytes of the inside of a JSON string whose escapes are all of two characters; `None` for what has others,
/// or is no inside of a string: bytes that JSON does not allow there, a quote without a backslash.
pub(crate) fn unescape_simple(raw: &[u8]) -> Option<Vec<u8>> {
    // All of it, not up to the first control character: so the compiler looks at many at once.
    let least = raw.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    let mut undone = Undone::new(raw.len());
    let is_whole = undone.simple(raw) == raw.len();
    let quotes = memchr::memchr_iter(b'"', raw).count();
    if least < 0x20 || !is_whole || quotes != undone.quotes {
        return None;
    }
    undone.out.truncate(undone.filled);
    Some(undone.out)
}

/// What has been decoded.
struct Undone {
    /// Bytes read.
    read: usize,
    /// How much of `out` is text.
    filled: usize,
    /// Quotes that had a backslash.
    quotes: usize,
    /// As long as what is read, and [`AT_ONCE`] more.
    out: Vec<u8>,
}

impl Undone {
    fn new(length: usize) -> Undone {
        Undone { read: 0, filled: 0, quotes: 0, out: vec![0; length + AT_ONCE] }
    }

    /// Reads up to `upto`, where nothing is escaped.
    #[inline]
    fn copy(&mut self, raw: &[u8], upto: usize) {
        let (from, length) = (self.read, upto - self.read);
        let (to, at_once) = (self.filled, length <= AT_ONCE);
        if let (true, Some(some), Some(room)) =
            (at_once, raw.get(from..from + AT_ONCE), self.out.get_mut(to..to + AT_ONCE))
        {
            room.copy_from_slice(some);
        } else if let (Some(some), Some(room)) =
            (raw.get(from..upto), self.out.get_mut(to..to + length))
        {
            room.copy_from_slice(some);
        }
        self.read = upto;
        self.filled += length;
    }

    /// Writes what stands for the next `used` bytes.
    fn put(&mut self, bytes: &[u8], used: usize) {
        // Only what is no JSON is shorter than what it stands for.
        if bytes.len() > used {
            self.out.resize(self.out.len() + bytes.len() - used, 0);
        }
        if let Some(room) = self.out.get_mut(self.filled..self.filled + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.filled += bytes.len();
        self.read += used;
    }

    /// Reads up to the end, or the first escape that is not of two characters; gives how far it is.
    fn simple(&mut self, raw: &[u8]) -> usize {
        let (mut begin, mut escapes) = (self.read, 0);
        while begin < raw.len() {
            let block = raw.get(begin..).unwrap_or_default();
            let is_backslash = |byte| byte == b'\\';
            let backslashes = if let Some(block) = block.first_chunk() {
                block_bits(block, is_backslash)
            } else {
                let mut last = [0; BLOCK];
                last[..block.len()].copy_from_slice(block);
                block_bits(&last, is_backslash)
            };
            escapes = begins(backslashes, escapes >> (BLOCK - 1));
            let mut left = escapes;
            while left != 0 {
                self.copy(raw, begin + left.trailing_zeros() as usize);
                left &= left - 1;
                let letter = raw.get(self.read + 1).copied().unwrap_or(0);
                let stands_for = STANDS_FOR[usize::from(letter)];
                let (0x01.., Some(room)) = (stands_for, self.out.get_mut(self.filled)) else {
                    return self.read;
                };
                *room = stands_for;
                self.quotes += usize::from(letter == b'"');
                self.filled += 1;
                self.read += 2;
            }
            begin += BLOCK;
        }
        self.copy(raw, raw.len());
        self.read
    }

    fn text(mut self) -> String {
        self.out.truncate(self.filled);
        // It is UTF-8, as what was read.
        String::from_utf8(self.out)
            .unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned())
    }
}

/// Which of some backslashes begin an escape, where `escaped` is the first if it is part of one: of several in a row
/// every second one. What is added to the first of a row goes on to its end, and so tells rows that begin at an odd
/// place from others, whose escapes are at even ones.
#[inline]
fn begins(backslashes: u64, escaped: u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslashes = backslashes & !escaped;
    let behind = backslashes << 1;
    let odd_rows = backslashes & !EVEN & !behind;
    let not_odd = odd_rows.wrapping_add(backslashes) << 1;
    backslashes & !((EVEN ^ not_odd) & behind)
}

/// What stands behind a backslash, for what; 0 for what is no escape of two characters.
static STANDS_FOR: [u8; 256] = {
    let mut all = [0; 256];
    let known = *b"\"\"\\\\//n\nr\rt\tb\x08f\x0C";
    let mut at = 0;
    while at < known.len() {
        all[known[at] as usize] = known[at + 1];
        at += 2;
    }
    all
};

/// Decodes `uXXXX`, or `uXXXX\uXXXX` for a surrogate pair; gives the character and the length.
fn unicode_escape(escape: &str) -> (char, usize) {
    let unit = |from: usize| {
        escape.get(from..from + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(high) = unit(1) else {
        return ('\u{FFFD}', 1);
    };
    if (0xD800..0xDC00).contains(&high)
        && escape.get(5..7) == Some("\\u")
        && let Some(low) = unit(7)
        && (0xDC00..0xE000).contains(&low)
    {
        let scalar = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(scalar).unwrap_or('\u{FFFD}'), 11);
    }
    (char::from_u32(high).unwrap_or('\u{FFFD}'), 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn surrogates() {
        assert_eq!(unescape("\\ud83c\\udf89!"), "🎉!");
        assert_eq!(unescape("a\\ud83c"), "a\u{FFFD}");
        assert_eq!(unescape("\\ud83cx"), "\u{FFFD}x");
        assert_eq!(unescape("\\u00e9\\/\\\""), "é/\"");
    }

    #[test]
    fn what_is_no_json_stands_for_itself() {
        assert_eq!(unescape("\\q\\é\\"), "qé");
        let many = "\\u".repeat(100);
        assert_eq!(unescape(&many), "\u{FFFD}".repeat(100));
    }

    #[test]
    fn no_inside_of_a_string() {
        for raw in ["a\"b", "\\\\\"", "a\u{1}", "\\u0041", "\\q", "a\\", "\\\\\\"] {
            assert_eq!(unescape_simple(raw.as_bytes()), None, "{raw}");
        }
        assert_eq!(unescape_simple(b"\\\\\\\"").unwrap(), b"\\\"");
    }

    proptest! {
        #[test]
        fn rows_of_backslashes_are_pairs(rows in "(\\\\\\\\){0,70}[a-z]{0,3}(\\\\[\"n]){0,70}[a-z]{0,70}(\\\\\\\\){0,9}") {
            let parsed: String = serde_json::from_str(&format!("\"{rows}\"")).unwrap();
            prop_assert_eq!(unescape(&rows), parsed.as_str());
            prop_assert_eq!(unescape_simple(rows.as_bytes()).unwrap(), parsed.into_bytes());
        }

        #[test]
        fn what_is_undone_is_what_a_parser_reads(
            text in "(\\PC|[a-z]{20,70}|[\"\\\\/\n\t\u{8}\u{c}\r]|[\u{1}\u{7f}é🎉]){0,80}",
        ) {
            let json = serde_json::to_string(&text).unwrap();
            let inner = &json[1..json.len() - 1];
            prop_assert_eq!(unescape(inner), text.as_str());
            if let Some(simple) = unescape_simple(inner.as_bytes()) {
                prop_assert_eq!(simple, text.as_bytes());
            } else {
                prop_assert!(inner.contains("\\u"));
            }
        }

        #[test]
        fn any_bytes_are_read_as_a_parser_reads_them(
            raw in "([\"\\\\nu/0a\u{1}é]|[a-z]{40}){0,40}",
        ) {
            let parsed: Result<String, _> = serde_json::from_str(&format!("\"{raw}\""));
            match (unescape_simple(raw.as_bytes()), parsed) {
                (Some(simple), Ok(parsed)) => prop_assert_eq!(simple, parsed.into_bytes()),
                (Some(_), Err(_)) => prop_assert!(false, "{raw:?} is no inside of a string"),
                (None, Ok(_)) => prop_assert!(raw.contains("\\u")),
                (None, Err(_)) => {}
            }
        }
    }
}
