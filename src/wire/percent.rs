//! Percent-encoding in URLs (RFC 3986, section 2.1).

use std::borrow::Cow;
use std::fmt::Write as _;

/// Appends `byte` as it is, if it is unreserved, and else encoded.
pub fn push(out: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        out.push(char::from(byte));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "%{byte:02X}");
    }
}

/// `text` with all but unreserved characters encoded, a percent sign too.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.bytes().for_each(|byte| push(&mut out, byte));
    out
}

/// The bytes that `text` stands for; a percent sign that no two digits follow is itself.
pub fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        let value = match rest {
            [b'%', high, low, ..] => octet(*high, *low),
            _ => None,
        };
        out.push(value.unwrap_or(byte));
        rest = if value.is_some() { &rest[3..] } else { tail };
    }
    out
}

/// The text that a path segment stands for. What is not UTF-8 then becomes U+FFFD; a path that was
/// checked has no such segment.
pub fn text(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    Cow::Owned(String::from_utf8_lossy(&decoded(segment)).into_owned())
}

/// The byte that two hexadecimal digits stand for.
pub fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_escape_is_itself() {
        for (text, bytes) in [
            ("a%20b", "a b"),
            ("%c3%A9", "\u{e9}"),
            ("%", "%"),
            ("%2", "%2"),
            ("%+5", "%+5"),
            ("%zz%41", "%zzA"),
            ("%%41", "%A"),
        ] {
            assert_eq!(decoded(text), bytes.as_bytes(), "{text}");
        }
        assert_eq!(encoded("a/b c%\u{e9}~"), "a%2Fb%20c%25%C3%A9~");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>()) {
            prop_assert_eq!(decoded(&encoded(&text)), text.as_bytes());
        }

        #[test]
        fn any_text_is_decoded(text in "[%0-9a-f+\u{e9}]{0,20}") {
            prop_assert!(decoded(&text).len() <= text.len());
        }
    }
}
