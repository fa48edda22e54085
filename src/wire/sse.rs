//! Server-sent events, cut into frames without losing a byte.
//!
//! A frame is everything up to and including the blank line that ends it, so the frames of a
//! stream, put end to end, are the stream. Framing follows the WHATWG rules (HTML, section 9.2.6):
//! lines end in LF, CR or CRLF; a leading byte order mark is skipped; a line that begins with a
//! colon is a comment; several `data:` lines are joined by LF. A frame may come in any number of
//! pieces. A frame longer than [`FRAME_BYTES_MAX`] is an overflow, which the caller turns into a
//! named fault; it is never released unseen.
//!
//! A blank line that ends in CR at the very end of the bytes seen is not yet an end: the next byte
//! may be its LF.

use std::borrow::Cow;

/// The longest frame that is held, in bytes. Real frames reach some hundred kilobytes (final
/// Responses items with images).
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The bytes as they came, blank line included.
    pub raw: &'a [u8],
    /// The value of the last `event:` line, empty if there is none.
    pub event: &'a [u8],
    /// The `data:` lines joined by LF; borrowed from `raw` when there is one line.
    pub data: Cow<'a, [u8]>,
}

impl<'a> Frame<'a> {
    /// Reads the fields of one whole frame.
    pub fn parse(raw: &'a [u8]) -> Frame<'a> {
        let mut frame = Frame { raw, event: b"", data: Cow::Borrowed(b"") };
        let mut lines = 0usize;
        let mut rest = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw);
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            let step = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
            rest = rest.get(end + step..).unwrap_or(b"");
            if let Some(value) = field(line, b"data") {
                if lines == 0 {
                    frame.data = Cow::Borrowed(value);
                } else {
                    let data = frame.data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                lines += 1;
            } else if let Some(value) = field(line, b"event") {
                frame.event = value;
            }
        }
        frame
    }

    /// Whether the frame dispatches nothing: comments, blank lines, fields without data.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

/// The value of `line` if it is the field `name`; one leading space is taken off.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Where a frame ends, found incrementally.
///
/// `seen` bytes of the current frame were looked at; `blank` says whether the line that begins
/// there would be blank so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splitter {
    seen: usize,
    at_line_start: bool,
    has_line: bool,
    after_cr: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter { seen: 0, at_line_start: true, has_line: false, after_cr: false }
    }
}

impl Splitter {
    /// The length of the first whole frame of `bytes`, which starts where the last frame ended and
    /// grows from call to call; `None` if it is not whole yet.
    ///
    /// Blank lines before any field belong to the frame that follows them.
    pub fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.seen;
        loop {
            if self.after_cr {
                // A CR ended a line; an LF right behind it belongs to it.
                let Some(&byte) = bytes.get(at) else {
                    self.seen = at;
                    return None;
                };
                at += usize::from(byte == b'\n');
                self.after_cr = false;
                if self.end_of_line() {
                    return Some(self.reset(at));
                }
                continue;
            }
            let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'\n', b'\r', rest))
            else {
                self.at_line_start &= at >= bytes.len();
                self.has_line |= at < bytes.len();
                self.seen = bytes.len();
                return None;
            };
            if found > 0 {
                self.at_line_start = false;
                self.has_line = true;
            }
            at += found + 1;
            if bytes[at - 1] == b'\r' {
                self.after_cr = true;
            } else if self.end_of_line() {
                return Some(self.reset(at));
            }
        }
    }

    /// A line has ended; whether it was the blank line that ends a frame.
    fn end_of_line(&mut self) -> bool {
        let blank = self.at_line_start && self.has_line;
        self.at_line_start = true;
        blank
    }

    fn reset(&mut self, at: usize) -> usize {
        *self = Splitter::default();
        at
    }
}

/// Appends one frame: `event:` line if a name is given, one `data:` line, blank line.
///
/// `data` must hold no line end; JSON written by us never does.
pub fn push_frame(out: &mut Vec<u8>, event: &str, data: &[u8]) {
    if !event.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Vec<&[u8]> {
        let (mut frames, mut rest, mut splitter) = (Vec::new(), bytes, Splitter::default());
        while let Some(end) = splitter.next(rest) {
            frames.push(&rest[..end]);
            rest = &rest[end..];
        }
        frames.push(rest);
        frames
    }

    #[test]
    fn line_ends_comments_and_joined_data() {
        let bytes = b"\xEF\xBB\xBFevent: a\r\ndata: 1\r\ndata:2\r\n\r\n: hi\n\ndata\r\rdata: x\n\n";
        let frames: Vec<_> = whole(bytes).into_iter().map(Frame::parse).collect();
        assert_eq!(frames.len(), 5);
        assert_eq!(frames[0].event, b"a");
        assert_eq!(&*frames[0].data, b"1\n2");
        assert!(frames[1].is_empty());
        assert!(frames[2].is_empty());
        assert_eq!(&*frames[3].data, b"x");
        assert!(frames[4].raw.is_empty());
    }

    #[test]
    fn leading_blank_lines_belong_to_the_next_frame() {
        let bytes = b"\n\r\n\ndata: x\n\n";
        assert_eq!(whole(bytes), [&bytes[..], b""]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bytes in proptest::collection::vec(prop::sample::select(b"da:t \n\r\n\rx".to_vec()), 0..80),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let expected: Vec<Vec<u8>> = whole(&bytes).into_iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(expected.concat(), bytes.clone());
            let mut cuts = cuts;
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut held, mut frames, mut from) = (Vec::new(), Vec::new(), 0);
            let mut splitter = Splitter::default();
            for cut in cuts {
                let cut = cut.min(bytes.len());
                held.extend_from_slice(&bytes[from.min(cut)..cut]);
                from = cut;
                while let Some(end) = splitter.next(&held) {
                    frames.push(held.drain(..end).collect::<Vec<u8>>());
                }
            }
            frames.push(held);
            prop_assert_eq!(frames, expected);
        }
    }
}
