//! The little that all dialects need of JSON beyond `serde_json`: where a value stands in its
//! frame, the text of a string with its lone surrogates, and escaping.
//!
//! A value that `serde_json` lends (`&RawValue`, `&str`) is a slice of the frame, so its place is
//! its address less the frame's.

mod escapes;
mod walk;

use super::event::{Form, Span};
pub use escapes::unescape;
pub(crate) use escapes::unescape_simple;
use serde_json::value::RawValue;
use std::borrow::Cow;
pub(crate) use walk::{closing_quote, elements, first, members};

/// Where `part`, a slice lent from `whole`, stands in it; `None` if it does not lie in it.
pub fn offset_of(whole: &[u8], part: &str) -> Option<usize> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (start + part.len() <= whole.len()).then_some(start)
}

/// A JSON value as it stands: it was lent from a text that is known to be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// `text` without the blank space around it, if it is one value.
    pub fn parse(text: &'a str) -> Option<Raw<'a>> {
        let text = text.trim_matches([' ', '\n', '\r', '\t']);
        is_valid(text).then_some(Raw(text))
    }

    /// The value's text.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// Whether it is a string.
    pub fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    /// The members of an object, in their order; nothing for any other value.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        members(self.0).map(|(name, value)| (name, Raw(value)))
    }

    /// The elements of an array, in their order; nothing for any other value.
    pub fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        elements(self.0).map(Raw)
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(raw: &'a RawValue) -> Raw<'a> {
        Raw(raw.get())
    }
}

/// The place of a raw value that was lent from `whole`: of a string, what is between its quotes.
pub fn span_of<'a>(whole: &[u8], raw: impl Into<Raw<'a>>) -> Option<Span> {
    let text = raw.into().get();
    let start = offset_of(whole, text)?;
    let end = start + text.len();
    let (start, end, form) = if text.starts_with('"') {
        (start + 1, end - 1, Form::Quoted)
    } else {
        (start, end, Form::Json)
    };
    Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()?, form })
}

/// The text of a raw JSON string; `None` if the value is not a string.
///
/// A lone surrogate, which JSON allows and UTF-8 cannot hold, becomes U+FFFD.
pub fn string<'a>(raw: impl Into<Raw<'a>>) -> Option<Cow<'a, str>> {
    let inner = raw.into().get().strip_prefix('"')?.strip_suffix('"')?;
    Some(unescape(inner))
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as the inside of a JSON string.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut clean = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..at]);
        if short == 0 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xF)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
        clean = at + 1;
    }
    out.extend_from_slice(&bytes[clean..]);
}

/// Whether `text` is one JSON value.
pub(crate) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// One string value inside a verbatim JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner<'a> {
    /// The last member name before it, escaped as it stands.
    pub(crate) key: &'a str,
    /// What is between its quotes, escaped as it stands.
    pub(crate) text: &'a str,
    /// Where that begins in the value.
    pub(crate) start: usize,
    /// Whether it is the name of a member.
    pub(crate) is_name: bool,
}

impl Inner<'_> {
    /// Where the text stands in `whole`, if the value was lent from it.
    pub(crate) fn span_in(&self, whole: &[u8]) -> Option<Span> {
        let start = offset_of(whole, self.text)?;
        let end = u32::try_from(start + self.text.len()).ok()?;
        Some(Span { start: u32::try_from(start).ok()?, end, form: Form::Quoted })
    }
}

/// The string values, not the names, in a JSON value that is known to be valid.
pub(crate) fn strings(json: &str) -> impl Iterator<Item = Inner<'_>> {
    texts(json).filter(|inner| !inner.is_name)
}

/// The string values and the names in a JSON value that is known to be valid.
pub(crate) fn texts(json: &str) -> impl Iterator<Item = Inner<'_>> {
    Strings { json, at: 0, key: "" }
}

/// Walks the strings of a JSON value that is known to be valid.
struct Strings<'a> {
    json: &'a str,
    at: usize,
    key: &'a str,
}

impl<'a> Iterator for Strings<'a> {
    type Item = Inner<'a>;

    fn next(&mut self) -> Option<Inner<'a>> {
        let bytes = self.json.as_bytes();
        let start = self.at + memchr::memchr(b'"', bytes.get(self.at..)?)? + 1;
        let end = closing_quote(bytes, start)?;
        let text = self.json.get(start..end)?;
        self.at = end + 1;
        let next = bytes.get(self.at..)?.iter().find(|byte| !byte.is_ascii_whitespace());
        let is_name = next == Some(&b':');
        if is_name {
            self.key = text;
        }
        Some(Inner { key: self.key, text, start, is_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_a_round_trip() {
        for text in ["", "plain", "q\"b\\n\n\t\r\u{1}", "ünï 🎉", "\u{2028}"] {
            let mut out = Vec::new();
            push_string(&mut out, text);
            let back: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(back, text);
            let raw: &RawValue = serde_json::from_slice(&out).unwrap();
            assert_eq!(string(raw).unwrap(), text);
        }
    }

    #[test]
    fn a_span_is_the_inside_of_the_string() {
        #[derive(serde::Deserialize)]
        struct Has<'a> {
            #[serde(borrow)]
            a: &'a RawValue,
        }
        let frame = br#"data: {"a": "hey"}"#;
        let has: Has<'_> = serde_json::from_slice(&frame[6..]).unwrap();
        let span = span_of(frame, has.a).unwrap();
        assert_eq!(&frame[span.start as usize..span.end as usize], b"hey");
        assert_eq!(span.form, Form::Quoted);
    }
}
