//! A walk over JSON that is known to be valid, without building a tree.
//!
//! Everything here is a slice of the text it was given, so that its place is its address. On text
//! that is no JSON the walk ends early and never panics. Every function is linear in its input;
//! none recurses.

use super::unescape;
use std::borrow::Cow;

/// The members of an object; nothing for any other value.
pub(crate) fn members(object: &str) -> Members<'_> {
    Members(Items::new(object, b'{'))
}

/// The elements of an array; nothing for any other value.
pub(crate) fn elements(array: &str) -> Elements<'_> {
    Elements(Items::new(array, b'['))
}

/// The members of an object, in their order.
pub(crate) struct Members<'a>(Items<'a>);

impl<'a> Members<'a> {
    /// The name of the next member; its value is what comes next.
    pub(crate) fn name(&mut self) -> Option<Cow<'a, str>> {
        let name = unescape(self.0.value()?.strip_prefix('"')?.strip_suffix('"')?);
        self.0.skip(b':');
        Some(name)
    }

    /// The value of the member that was named.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        self.0.value()
    }

    /// The text from that value on, whose end is not looked for.
    pub(crate) fn rest(&self) -> &'a str {
        self.0.text.get(self.0.at..).unwrap_or("")
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.name()?, self.value()?))
    }
}

/// The elements of an array, in their order.
pub(crate) struct Elements<'a>(Items<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0.value()
    }
}

/// The value that `text` begins with.
pub(crate) fn first(text: &str) -> &str {
    text.get(..end_of_value(text.as_bytes(), 0)).unwrap_or("")
}

struct Items<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Items<'a> {
    fn new(text: &'a str, opening: u8) -> Items<'a> {
        let at = if text.as_bytes().first() == Some(&opening) { 1 } else { text.len() };
        Items { text, at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over white space and one `mark`.
    fn skip(&mut self, mark: u8) {
        while let Some(byte) = self.peek()
            && (byte == mark || byte.is_ascii_whitespace())
        {
            self.at += 1;
        }
    }

    /// The next value; `None` at the closing bracket.
    fn value(&mut self) -> Option<&'a str> {
        self.skip(b',');
        let start = self.at;
        if matches!(self.peek()?, b']' | b'}') {
            return None;
        }
        self.at = end_of_value(self.text.as_bytes(), start);
        self.text.get(start..self.at)
    }
}

/// One past the value that begins at `start`.
fn end_of_value(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start) {
        Some(b'"') => end_of_string(bytes, start),
        Some(b'{' | b'[') => {
            let (mut at, mut depth) = (start, 0usize);
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'"' => {
                        at = end_of_string(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            bytes.len()
        }
        _ => {
            let rest = bytes.get(start..).unwrap_or(b"");
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace());
            start + length.unwrap_or(rest.len())
        }
    }
}

/// One past the closing quote of the string whose opening quote is at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}
