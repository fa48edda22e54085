//! A JSON array that comes over time, cut into its elements without losing a byte: how Gemini
//! streams to those who do not ask for server-sent events (`alt=sse`).
//!
//! A frame is one element with everything between it and the element before it (`[`, `,`, white
//! space); the closing `]` is a frame without data. So the frames of a stream, put end to end, are
//! the stream, and what has left at a frame's border can always be made a whole array by one more
//! element and `]`.
//!
//! What always holds: elements are objects, of which only strings and brackets are looked at;
//! whether they are JSON is the decoder's to find. An object in place of the array, which is how
//! some answer who do not stream, is one frame. Anything else is [`Damage::Array`].

use super::eventstream::Damage;
use super::sse::Frame;
use std::borrow::Cow;

/// Where in the array the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before everything.
    #[default]
    Start,
    /// Behind `[`.
    Open,
    /// Behind `,`.
    Comma,
    /// Behind an element.
    Element,
    /// Behind everything.
    Closed,
}

/// Where a frame ends, found as its bytes come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splitter {
    /// So many bytes of the current frame were looked at; one more than there are where the next
    /// one is escaped.
    seen: usize,
    place: Place,
    /// Open brackets of the element.
    depth: usize,
    in_string: bool,
}

impl Splitter {
    /// The length of the first whole frame of `bytes`, which starts where the last frame ended and
    /// grows from call to call; `None` if it is not whole yet.
    ///
    /// # Errors
    /// The bytes are no array of objects.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Damage> {
        let mut at = self.seen;
        loop {
            if self.in_string {
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                    self.seen = at.max(bytes.len());
                    return Ok(None);
                };
                self.in_string = rest.get(found) == Some(&b'\\');
                at += found + if self.in_string { 2 } else { 1 };
                continue;
            }
            let Some(&byte) = bytes.get(at) else {
                self.seen = at;
                return Ok(None);
            };
            at += 1;
            let ends = if self.depth > 0 { self.inside(byte) } else { self.between(byte)? };
            if ends {
                self.seen = 0;
                return Ok(Some(at));
            }
        }
    }

    /// Takes a byte of an element; whether a frame ends with it.
    fn inside(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }

    /// Takes a byte between elements; whether a frame ends with it.
    fn between(&mut self, byte: u8) -> Result<bool, Damage> {
        (self.place, self.depth) = match (self.place, byte) {
            (_, b' ' | b'\t' | b'\r' | b'\n') => return Ok(false),
            (Place::Start, b'[') => (Place::Open, 0),
            (Place::Start, b'{') => (Place::Closed, 1),
            (Place::Open | Place::Comma, b'{') => (Place::Element, 1),
            (Place::Element, b',') => (Place::Comma, 0),
            (Place::Open | Place::Element, b']') => (Place::Closed, 0),
            (Place::Start | Place::Open | Place::Comma | Place::Element | Place::Closed, _) => {
                return Err(Damage::Array);
            }
        };
        Ok(byte == b']')
    }
}

/// One frame, or the half of one: its data is the element, empty where there is none.
pub fn frame(raw: &[u8]) -> Frame<'_> {
    let element = memchr::memchr(b'{', raw).and_then(|start| raw.get(start..)).unwrap_or_default();
    Frame { raw, event: b"", data: Cow::Borrowed(element) }
}

/// What of an array has left, as whole frames: what an ending of ours has to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    #[default]
    Nothing,
    /// The bracket and elements.
    Open,
    /// All of it.
    Whole,
}

impl Left {
    /// More whole frames leave.
    pub fn take(&mut self, frames: &[u8]) {
        let mut visible = frames.iter().filter(|byte| !byte.is_ascii_whitespace());
        let (Some(first), last) = (visible.next(), visible.next_back()) else { return };
        *self = match (*self, first, last.unwrap_or(first)) {
            (Left::Nothing, b'{', _) | (Left::Whole, _, _) | (_, _, b']') => Left::Whole,
            (Left::Nothing | Left::Open, _, _) => Left::Open,
        };
    }

    /// Appends `element` as the last one, and the closing bracket. To an array that is whole
    /// nothing can be added.
    pub fn push_last(self, out: &mut Vec<u8>, element: &[u8]) {
        match self {
            Left::Nothing => out.push(b'['),
            Left::Open => out.extend_from_slice(b",\r\n"),
            Left::Whole => return,
        }
        out.extend_from_slice(element);
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The frames of `pieces`, what is left over, and whether it was damaged.
    fn cut<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Vec<u8>>, Vec<u8>, bool) {
        let (mut held, mut frames, mut splitter) = (Vec::new(), Vec::new(), Splitter::default());
        for piece in pieces {
            held.extend_from_slice(piece);
            loop {
                match splitter.next(&held) {
                    Ok(Some(end)) => frames.push(held.drain(..end).collect()),
                    Ok(None) => break,
                    Err(_) => return (frames, held, true),
                }
            }
        }
        (frames, held, false)
    }

    fn told(bytes: &str) -> (Vec<String>, String, bool) {
        let (frames, held, damaged) = cut([bytes.as_bytes()]);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (frames.into_iter().map(text).collect(), text(held), damaged)
    }

    #[test]
    fn frames_are_elements_with_what_is_before_them() {
        for (bytes, frames, rest, damaged) in [
            ("", &[][..], "", false),
            ("[]\n", &["[]"], "\n", false),
            ("[{\"a\":[1]}\r\n,\r\n{}]", &["[{\"a\":[1]}", "\r\n,\r\n{}", "]"], "", false),
            (" [ {\"}]\\\"\":{}} ] ", &[" [ {\"}]\\\"\":{}}", " ]"], " ", false),
            ("[{},{\"a\":\"", &["[{}"], ",{\"a\":\"", false),
            ("{\"a\":{}}\n", &["{\"a\":{}}"], "\n", false),
            ("[1]", &[], "[1]", true),
            ("[,{}]", &[], "[,{}]", true),
            ("[{},]", &["[{}"], ",]", true),
            ("[{} {}]", &["[{}"], " {}]", true),
            ("[{}]]", &["[{}", "]"], "]", true),
            ("data: {}", &[], "data: {}", true),
        ] {
            let frames = frames.iter().map(|frame| (*frame).to_owned()).collect();
            assert_eq!(told(bytes), (frames, rest.to_owned(), damaged), "{bytes}");
        }
        assert_eq!(&*frame(b" ,\n{\"a\":1}").data, b"{\"a\":1}");
        assert_eq!(&*frame(b"\n]").data, b"");
    }

    #[test]
    fn an_ending_makes_the_array_whole() {
        for (left, whole) in [
            ("", r#"[{"e":1}]"#),
            (" ", r#" [{"e":1}]"#),
            ("[{}", "[{},\r\n{\"e\":1}]"),
            ("[{}]", "[{}]"),
            ("[{}]\n", "[{}]\n"),
            ("{}", "{}"),
        ] {
            let (mut state, mut out) = (Left::default(), left.as_bytes().to_vec());
            state.take(left.as_bytes());
            state.push_last(&mut out, br#"{"e":1}"#);
            assert_eq!(out, whole.as_bytes(), "{left}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bytes in proptest::collection::vec(prop::sample::select(b"[]{}{},,\"\\ \na1".to_vec()), 0..60),
            step in 1usize..9,
        ) {
            let whole = cut([&bytes[..]]);
            let pieces = cut(bytes.chunks(step));
            prop_assert_eq!(&whole.0, &pieces.0);
            prop_assert_eq!(whole.2, pieces.2);
            if !whole.2 {
                prop_assert_eq!(&whole.1, &pieces.1);
                prop_assert_eq!([whole.0.concat(), whole.1].concat(), bytes);
            }
        }

        #[test]
        fn elements_come_out_as_they_went_in(
            texts in proptest::collection::vec("\\PC{0,12}", 1..6),
            step in 1usize..9,
        ) {
            let elements: Vec<String> =
                texts.iter().map(|text| serde_json::json!({ "t": [text, {}] }).to_string()).collect();
            let array = format!("[{}\n]", elements.join("\n,\r\n"));
            let (frames, rest, damaged) = cut(array.as_bytes().chunks(step));
            prop_assert!(!damaged && rest.is_empty());
            prop_assert_eq!(frames.concat(), array.as_bytes());
            let told: Vec<Vec<u8>> = frames.iter().map(|raw| frame(raw).data.to_vec()).collect();
            let mut expected: Vec<Vec<u8>> = elements.into_iter().map(String::into_bytes).collect();
            expected.push(Vec::new());
            prop_assert_eq!(told, expected);
        }
    }
}
