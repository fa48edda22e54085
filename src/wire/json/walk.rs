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

impl<'a> Elements<'a> {
    /// The next element, whose members `each` is told if it is an object: one walk instead of one for
    /// its end and one for them.
    pub(crate) fn next_with(&mut self, mut each: impl FnMut(&str, &'a str)) -> Option<&'a str> {
        let Items { text, .. } = self.0;
        let start = self.0.next_start()?;
        let rest = text.get(start..)?;
        let mut members = members(rest);
        let is_object = rest.starts_with('{');
        members.by_ref().for_each(|(name, value)| each(&name, value));
        // Its end is the bracket before which its members ended.
        let length = if is_object { members.0.at + 1 } else { end_of_value(rest.as_bytes(), 0) };
        self.0.at = start + length.min(rest.len());
        text.get(start..self.0.at)
    }
}

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

    /// Where the next value begins; `None` at the closing bracket.
    fn next_start(&mut self) -> Option<usize> {
        self.skip(b',');
        (!matches!(self.peek()?, b']' | b'}')).then_some(self.at)
    }

    /// The next value; `None` at the closing bracket.
    fn value(&mut self) -> Option<&'a str> {
        let start = self.next_start()?;
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
    closing_quote(bytes, start + 1).map_or(bytes.len(), |at| at + 1)
}

/// The closing quote of the string whose inside begins at `start`; `None` if it has none.
///
/// Only quotes are looked for: text that is code has many more escapes than these.
pub(crate) fn closing_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr::memchr(b'"', bytes.get(at..)?)?;
        let before = bytes[start..at].iter().rev();
        // Of an odd number of backslashes the last one escapes the quote.
        if before.take_while(|byte| **byte == b'\\').count() % 2 == 0 {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[ab"\\\\{}\[\],: é\n]{0,8}"#;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((text, inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    proptest! {
        #[test]
        fn a_walk_sees_what_a_parser_sees(
            all in prop::collection::vec(value(), 0..5),
            is_pretty in any::<bool>(),
        ) {
            let whole = Value::from(all.clone());
            let text = if is_pretty { format!("{whole:#}") } else { whole.to_string() };
            prop_assert_eq!(first(&text), &text);
            prop_assert_eq!(elements(&text).map(parsed).collect::<Vec<_>>(), all.clone());
            let mut walk = elements(&text);
            for element in &all {
                let mut told = Vec::new();
                let found = walk.next_with(|name, value| told.push((name.to_owned(), parsed(value))));
                prop_assert_eq!(found.map(parsed), Some(element.clone()));
                let members = element.as_object().into_iter().flatten();
                let members: Vec<_> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
                prop_assert_eq!(told, members);
            }
            prop_assert_eq!(walk.next_with(|_, _| {}), None);
        }

        #[test]
        fn what_is_no_json_ends_early(
            text in r#"[\[\]{}",:a\\ é1]{0,40}"#,
        ) {
            elements(&text).for_each(drop);
            members(&text).for_each(drop);
            let mut walk = elements(&text);
            while walk.next_with(|_, _| {}).is_some() {}
        }
    }
}
