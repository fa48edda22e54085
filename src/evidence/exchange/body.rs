//! A line of a body, read apart: its text, and the times at which its bytes passed.
//!
//! The text is nearly all of the line, and JSON itself, so it stands there with an escape every few bytes: to read it
//! as a string like any other took a fifth of the time of a back-test. The times are most of the rest, and only some
//! readers want them.
//!
//! What always holds: a line is read apart only where that gives what reading it whole gives, but for times that
//! nobody wants; any doubt leaves it to the parser of JSON, and so do lines that are broken.

use crate::evidence::line;
use crate::wire::json;
use memchr::memmem;
use std::ops::Range;

/// The kinds of lines that have a body. None of them has another member of these names, or objects
/// with one.
const KINDS: [&[u8]; 4] = [b"request\"", b"sent\"", b"received\"", b"delivered\""];
const KIND: &[u8] = b"\"kind\":\"";
const TEXT: &[u8] = b",\"text\":\"";
const CHUNKS: &[u8] = b",\"chunks\":[[";
const CHUNKS_END: &[u8] = b"]]";
/// Shorter lines are read whole.
const LINE_BYTES_MIN: usize = 512;

/// What is read of when bytes came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// All of it.
    #[default]
    Read,
    /// Nothing; bodies then have no chunks.
    PassedOver,
}

/// A line of a body.
pub(super) struct Apart {
    /// The line, as JSON, without what was read apart and what is passed over.
    pub rest: Vec<u8>,
    /// Its text.
    pub text: Option<Vec<u8>>,
}

/// Reads a line of a body; `None` if it has to be read whole.
pub(super) fn apart(line: &[u8], times: Times) -> Option<Apart> {
    if line.len() < LINE_BYTES_MIN {
        return None;
    }
    let beginning = line.get(..line.len().min(192))?;
    let kind = line.get(memmem::find(beginning, KIND)? + KIND.len()..)?;
    KINDS.iter().any(|known| kind.starts_with(known)).then_some(())?;
    let (own, _) = line::split(line)?;
    // Inside a string its quotes would have a backslash before them.
    let (before, text) = match memmem::find(own, TEXT) {
        Some(at) => {
            let (before, inside) = own.split_at_checked(at)?;
            (before, Some(text(inside)?))
        }
        None => (own, None),
    };
    let passed_over = if times == Times::PassedOver { chunks(before) } else { None };
    if text.is_none() && passed_over.is_none() {
        return None;
    }
    let cut = passed_over.unwrap_or(0..0);
    let rest = [before.get(..cut.start)?, before.get(cut.end..)?, b"}"].concat();
    Some(Apart { rest, text })
}

/// The text of a member that is the last of its line.
fn text(member: &[u8]) -> Option<Vec<u8>> {
    let text = json::unescape_simple(member.strip_prefix(TEXT)?.strip_suffix(b"\"")?)?;
    // An escape and what it stands for are ASCII, so this says it of the line too.
    std::str::from_utf8(&text).is_ok().then_some(text)
}

/// Where the chunks stand.
fn chunks(line: &[u8]) -> Option<Range<usize>> {
    let begin = memmem::find(line, CHUNKS)?;
    let inside = begin + CHUNKS.len();
    let length = memmem::find(line.get(inside..)?, CHUNKS_END)?;
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b',' | b'[' | b']');
    let are_pairs = line.get(inside..inside + length)?.iter().all(is_part);
    are_pairs.then_some(begin..inside + length + CHUNKS_END.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn line(kind: &str, text: &str) -> Vec<u8> {
        let chunks: Vec<(u64, usize)> = (0..100).map(|at| (12 + at, text.len())).collect();
        format!(
            "{{\"v\":1,\"seq\":7,\"at\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"{kind}\",\"chunks\":{},\"text\":{},\"chain\":\"{}\"}}",
            json!(chunks),
            Value::from(text),
            "0".repeat(64)
        )
        .into_bytes()
    }

    proptest! {
        #[test]
        fn what_is_read_apart_is_what_is_read(text in "(\\PC|[\"\\\\\n\t\u{1}\u{7f}é🎉]){0,60}") {
            let line = line("received", &text);
            let whole: Value = serde_json::from_slice(&line).unwrap();
            if let Some(Apart { rest, text: body }) = apart(&line, Times::Read) {
                let rest: Value = serde_json::from_slice(&rest).unwrap();
                prop_assert_eq!(rest.get("text"), None);
                prop_assert_eq!(&rest["chunks"], &whole["chunks"]);
                prop_assert_eq!(body.as_deref(), Some(text.as_bytes()));
                let Apart { rest, text: same } = apart(&line, Times::PassedOver).unwrap();
                let rest: Value = serde_json::from_slice(&rest).unwrap();
                prop_assert_eq!(rest.as_object().unwrap().len(), 4);
                prop_assert_eq!(same, body);
            } else {
                let has_control = text.contains('\u{1}');
                prop_assert!(has_control);
            }
        }

        #[test]
        fn what_is_broken_is_not_read(cut in 0usize..1800, with in any::<u8>()) {
            let mut line = line("request", "{\"messages\":[{\"content\":\"a\\nb\"}]}");
            let at = cut % line.len();
            line[at] = with;
            if let Some(Apart { rest, text }) = apart(&line, Times::Read)
                && let Ok(rest) = serde_json::from_slice::<Value>(&rest)
            {
                let whole: Value = serde_json::from_slice(&line).unwrap();
                prop_assert_eq!(whole.get("text").map(|text| text.as_str().unwrap().as_bytes()), text.as_deref());
                prop_assert_eq!(&rest["chunks"], &whole["chunks"]);
                prop_assert_eq!(&rest["kind"], &whole["kind"]);
            }
        }
    }

    #[test]
    fn lines_of_other_kinds_are_read_whole() {
        assert!(apart(&line("note", "x"), Times::Read).is_none());
        assert!(apart(&line("sent", "x"), Times::Read).is_some());
        assert!(apart(b"{\"kind\":\"sent\",\"text\":\"x\"}", Times::Read).is_none());
    }

    #[test]
    fn a_line_without_a_text_has_times_to_pass_over() {
        let line = String::from_utf8(line("delivered", "x")).unwrap();
        let line = line.replace("\"text\":\"x\"", "\"same\":{\"attempt\":1,\"offset\":0}");
        assert!(apart(line.as_bytes(), Times::Read).is_none());
        let Apart { rest, text } = apart(line.as_bytes(), Times::PassedOver).unwrap();
        let rest: Value = serde_json::from_slice(&rest).unwrap();
        assert_eq!(rest["same"]["attempt"], 1);
        assert_eq!((rest.get("chunks"), text), (None, None));
    }
}
