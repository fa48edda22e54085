//! The words of simulated answers, and how text is cut into pieces of about a word each.

use crate::wire::event::{Event, Kind};
use std::borrow::Cow;

/// Bytes of a stamp: a space and sixteen hexadecimal digits.
pub const STAMP_BYTES: usize = 17;

/// A piece longer than this is cut, so that text without spaces streams too.
const PIECE_BYTES_MAX: usize = 32;

/// The words of `tokens=N`, in turns. Load generators check the whole text against this list, so
/// it must stay as it is; some need escapes or are not ASCII, so that a gateway which writes
/// frames anew and wrongly is caught.
const WORDS: [&str; 32] = [
    "The",
    " quick",
    " brown",
    " fox",
    " jumps",
    " over",
    " the",
    " lazy",
    " dog",
    ".",
    "\n\n",
    " fn",
    " main",
    "()",
    " {",
    "\n\t",
    "println",
    "!(\"",
    "hello",
    " caf\u{e9}",
    " \u{4f60}\u{597d}",
    "\")",
    ";",
    "\n}",
    " and",
    " then",
    " we",
    " measure",
    " path",
    " C:\\tmp",
    " latency",
    ",",
];

/// The token at `index`: a word, filled up to `bytes` with letters.
pub(super) fn token(index: usize, bytes: usize) -> Cow<'static, str> {
    let word = WORDS[index % WORDS.len()];
    if bytes <= word.len() {
        return Cow::Borrowed(word);
    }
    let mut text = String::with_capacity(bytes);
    text.push_str(word);
    while text.len() < bytes {
        // The remainder is below 26.
        text.push(char::from(b'a' + (text.len() % 26) as u8));
    }
    Cow::Owned(text)
}

/// The place of a stamp that was not set yet.
pub(super) fn unstamped() -> Cow<'static, str> {
    Cow::Borrowed(" 0000000000000000")
}

/// Puts `nanos`, the sender's monotonic clock, into the answer text of a frame that is about to
/// leave (`stamp=1`), so that a receiver on the same machine can tell each token's latency.
pub fn stamp(frame: &mut [Event<'static>], nanos: u64) {
    for event in frame {
        if let Event::Text { channel, text, .. } = event
            && channel.kind == Kind::Answer
        {
            *text = Cow::Owned(format!(" {nanos:016x}"));
        }
    }
}

/// Where the piece of `text` that begins at `from` ends: at the next word's leading space, or
/// where it grows too long. `None` at the end of the text.
pub(super) fn piece_end(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
    let mut has_word = false;
    for (at, letter) in rest.char_indices() {
        let is_space = letter.is_whitespace();
        if at > 0 && ((is_space && has_word) || at + letter.len_utf8() > PIECE_BYTES_MAX) {
            return Some(from + at);
        }
        has_word |= !is_space;
    }
    Some(text.len())
}
