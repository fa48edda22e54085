//! Bytes as text: standard base64 (RFC 4648, section 4, padded) and hexadecimal digits, read back
//! strictly. What we write has one form, so another form is a change.

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;

/// Appends `bytes` in base64.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{}", Base64Display::new(bytes, &STANDARD));
}

/// Bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes as the text that they are, or, if they are none, in base64.
///
/// # Errors
/// They are no text; the base64.
pub fn text_or_base64(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| base64(bytes))
}

/// The bytes that `text` stands for; `None` if it is not what we would write.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The `N` bytes that `text` stands for in lower-case hexadecimal digits.
pub(super) fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::hex;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_the_rfc_hold() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn another_form_is_refused() {
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm 9", "Zg==Zg==", "Zm9-"] {
            assert_eq!(unbase64(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_are_read_as_they_are_written(bytes in any::<[u8; 32]>(), cut in 0_usize..32) {
            prop_assert_eq!(unbase64(&base64(&bytes[cut..])), Some(bytes[cut..].to_vec()));
            prop_assert_eq!(unhex::<32>(hex(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,40}") {
            let _ = unbase64(&text);
            let _ = unhex::<8>(text.as_bytes());
        }
    }
}
