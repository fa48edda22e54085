//! The text of a body, read apart from the rest of its line.
//!
//! A body is nearly all of its line, and JSON itself, so it stands there with an escape every few
//! bytes: to read it as a string like any other took a fifth of the time of a back-test. What
//! always holds: a line is read apart only where that gives what reading it whole gives; any doubt
//! leaves it to the parser of JSON, and so do lines that are broken.

/// The kinds of lines that have a body. None of them has another member of this name, or objects
/// with one.
const KINDS: [&[u8]; 4] = [b"request\"", b"sent\"", b"received\"", b"delivered\""];
const KIND: &[u8] = b"\"kind\":\"";
const MEMBER: &[u8] = b",\"text\":\"";
/// Shorter lines are read whole.
const LINE_BYTES_MIN: usize = 512;

/// The line with an empty text, and the text.
pub(super) fn apart(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if line.len() < LINE_BYTES_MIN {
        return None;
    }
    let beginning = line.get(..line.len().min(192))?;
    let kind = line.get(memchr::memmem::find(beginning, KIND)? + KIND.len()..)?;
    KINDS.iter().any(|known| kind.starts_with(known)).then_some(())?;
    // Inside a string its quotes would have a backslash before them.
    let begin = memchr::memmem::find(line, MEMBER)? + MEMBER.len();
    let (before, text) = line.split_at_checked(begin)?;
    let mut body = Vec::new();
    let length = unescape(text, &mut body)?;
    let (read, behind) = text.split_at_checked(length)?;
    std::str::from_utf8(read).ok()?;
    if memchr::memmem::find(behind, MEMBER).is_some() {
        return None;
    }
    Some(([before, behind].concat(), body))
}

/// Appends the inside of a JSON string that begins `raw`; gives where its closing quote is, and
/// `None` for what it does not know (RFC 8259, section 7).
fn unescape(raw: &[u8], body: &mut Vec<u8>) -> Option<usize> {
    body.resize(raw.len(), 0);
    let (mut at, mut filled) = (0, 0);
    loop {
        // What was copied too much is written over.
        if let (Some(some), Some(room)) =
            (raw.get(at..at + AT_ONCE), body.get_mut(filled..filled + AT_ONCE))
        {
            room.copy_from_slice(some);
            let clean = clean_of(some);
            at += clean;
            filled += clean;
            if clean == AT_ONCE {
                continue;
            }
        }
        let (byte, used) = match *raw.get(at)? {
            b'\\' => (ESCAPED[usize::from(*raw.get(at + 1)?)], 2),
            b'"' => {
                body.truncate(filled);
                return Some(at);
            }
            byte => (byte, 1),
        };
        if byte < 0x20 && (used == 1 || byte == 0) {
            return None;
        }
        *body.get_mut(filled)? = byte;
        at += used;
        filled += 1;
    }
}

/// What stands behind a backslash, for what; 0 for what is not known.
static ESCAPED: [u8; 256] = {
    let mut escaped = [0; 256];
    let known = *b"\"\"\\\\//n\nr\rt\tb\x08f\x0C";
    let mut at = 0;
    while at < known.len() {
        escaped[known[at] as usize] = known[at + 1];
        at += 2;
    }
    escaped
};

/// How many bytes are looked at together: seldom fewer than stand between two escapes, so that the
/// processor foresees which way it goes.
const AT_ONCE: usize = 16;

/// How many of [`AT_ONCE`] bytes stand before the first that is a quote, a backslash or a control
/// character: all of them compared at once, by what a subtraction borrows.
#[inline]
fn clean_of(some: &[u8]) -> usize {
    const ONES: u128 = u128::from_le_bytes([0x01; AT_ONCE]);
    const HIGH: u128 = u128::from_le_bytes([0x80; AT_ONCE]);
    let mut bytes = [0; AT_ONCE];
    bytes.copy_from_slice(some);
    let word = u128::from_le_bytes(bytes);
    let below = |word: u128, least: u128| word.wrapping_sub(ONES * least) & !word & HIGH;
    let same = |byte: u8| below(word ^ (ONES * u128::from(byte)), 1);
    let special = same(b'"') | same(b'\\') | below(word, 0x20);
    (special.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn line(kind: &str, text: &str) -> Vec<u8> {
        let more = json!([[12, text.len()]]);
        format!(
            "{{\"v\":1,\"seq\":7,\"at\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"{kind}\",\"text\":{},\"chunks\":{more},\"chain\":\"{}\"}}",
            Value::from(text),
            "0".repeat(600)
        )
        .into_bytes()
    }

    proptest! {
        #[test]
        fn what_is_read_apart_is_what_is_read(text in "(\\PC|[\"\\\\\n\t\u{1}\u{7f}é🎉]){0,60}") {
            let line = line("received", &text);
            let whole: Value = serde_json::from_slice(&line).unwrap();
            if let Some((rest, body)) = apart(&line) {
                let rest: Value = serde_json::from_slice(&rest).unwrap();
                prop_assert_eq!(&rest["text"], "");
                prop_assert_eq!(&rest["chunks"], &whole["chunks"]);
                prop_assert_eq!(body, text.as_bytes());
            } else {
                let has_control = text.contains('\u{1}');
                prop_assert!(has_control);
            }
        }

        #[test]
        fn what_is_broken_is_not_read(cut in 0usize..900, with in any::<u8>()) {
            let mut line = line("request", "{\"messages\":[{\"content\":\"a\\nb\"}]}");
            let at = cut % line.len();
            line[at] = with;
            if let Some((rest, body)) = apart(&line)
                && let Ok(rest) = serde_json::from_slice::<Value>(&rest)
            {
                let whole: Value = serde_json::from_slice(&line).unwrap();
                prop_assert_eq!(whole["text"].as_str().unwrap().as_bytes(), &*body);
                prop_assert_eq!(&rest["kind"], &whole["kind"]);
            }
        }
    }

    #[test]
    fn lines_of_other_kinds_are_read_whole() {
        assert!(apart(&line("note", "x")).is_none());
        assert!(apart(&line("sent", "x")).is_some());
        assert!(apart(b"{\"kind\":\"sent\",\"text\":\"x\"}").is_none());
    }
}
