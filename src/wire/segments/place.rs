//! Where what the walk reads stands in the body.

use super::super::json;
use std::ops::Range;

/// From places in the text that is walked to places in the body.
#[derive(Debug)]
pub(super) enum Places<'t> {
    /// The text is the body.
    Body,
    /// The text is what a string of the body says.
    Within(Within<'t>),
}

/// A string of the body, read along with what it says. Places are asked for in their order.
#[derive(Debug)]
pub(super) struct Within<'t> {
    /// The inside of the string, escaped.
    raw: &'t str,
    /// Where that begins in the body.
    start: usize,
    /// How far it has been read.
    at: usize,
    /// How long that is decoded.
    decoded: usize,
}

impl<'t> Places<'t> {
    /// What the string `raw` says, which begins at `start` in the body.
    pub(super) fn within(raw: &'t str, start: usize) -> Places<'t> {
        Places::Within(Within { raw, start, at: 0, decoded: 0 })
    }

    /// The place in the body.
    pub(super) fn of(&mut self, place: Range<usize>) -> Range<usize> {
        match self {
            Places::Body => place,
            Places::Within(within) => within.to(place.start)..within.to(place.end),
        }
    }

    /// Where the value begins in the body that all of the text is; `None` if it is the body.
    pub(super) fn start(&self) -> Option<usize> {
        match self {
            Places::Body => None,
            Places::Within(within) => Some(within.start - 1),
        }
    }
}

impl Within<'_> {
    fn to(&mut self, decoded: usize) -> usize {
        while self.decoded < decoded {
            let rest = self.raw.get(self.at..).unwrap_or("");
            let plain = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
            let plain = plain.min(decoded - self.decoded);
            self.at += plain;
            self.decoded += plain;
            if plain > 0 {
                continue;
            }
            let length = escape_len(rest);
            let Some(escape) = rest.get(..length).filter(|escape| !escape.is_empty()) else {
                break;
            };
            self.at += length;
            // All others stand for themselves, or for one of the first 128 characters.
            let is_coded = escape.as_bytes().get(1) == Some(&b'u');
            self.decoded += if is_coded { json::unescape(escape).len() } else { length - 1 };
        }
        self.start + self.at
    }
}

/// How long the escape is that begins `rest`; both halves of a character beyond the first 65,536.
fn escape_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    if bytes.get(1) != Some(&b'u') {
        return rest.chars().take(2).map(char::len_utf8).sum();
    }
    let is_pair =
        matches!(bytes.get(2..4), Some([b'd' | b'D', b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B']))
            && bytes.get(6..8) == Some(b"\\u")
            && matches!(bytes.get(8..10), Some([b'd' | b'D', b'c'..=b'f' | b'C'..=b'F']));
    if is_pair { 12 } else { 6 }
}
