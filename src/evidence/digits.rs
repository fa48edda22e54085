//! Bytes as text: standard base64 (RFC 4648, section 4, padded) and hexadecimal digits, read back
//! strictly. What we write has one form, so another form is a change.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` in base64.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let letter = |shift: u32| LETTERS[(bits >> shift) as usize & 63];
        out.push(letter(18));
        out.push(letter(12));
        out.push(if three.len() > 1 { letter(6) } else { b'=' });
        out.push(if three.len() > 2 { letter(0) } else { b'=' });
    }
}

/// Bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    push_base64(&mut out, bytes);
    // The letters are ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// The bytes that `text` stands for; `None` if it is not what we would write.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let value = |letter: u8| {
        Some(match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let (fours, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(fours.len() * 3);
    for (index, four) in fours.iter().enumerate() {
        let count = 4 - four.iter().rev().take_while(|letter| **letter == b'=').count();
        if count < 2 || (count < 4 && index + 1 < fours.len()) {
            return None;
        }
        let mut bits = 0_u32;
        for letter in &four[..count] {
            bits = bits << 6 | u32::from(value(*letter)?);
        }
        bits <<= 6 * (4 - count);
        let bytes = bits.to_be_bytes();
        // Bits that no byte uses are zero in what we write.
        if bytes[count..].iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..count]);
    }
    Some(out)
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
