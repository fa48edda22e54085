//! The tool calls of an answer, told apart by a hash, so that the same call is known again.
//!
//! Arguments are hashed as they stream and are never kept. Of JSON arguments white space outside
//! strings does not count; the order of members does, and so do the ways in which a string can be
//! escaped: a model that repeats itself repeats those too. What cannot be told apart is bounded:
//! calls behind the first [`CALLS_MAX`] of an answer are not seen.

use crate::wire::event::{Block, Channel, Event, Kind, ToolFlavour};

/// Calls of one answer that are seen.
pub const CALLS_MAX: usize = 64;
/// Bytes of a tool's name that are kept.
const NAME_BYTES_MAX: usize = 128;

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The tool, cut to 128 bytes.
    pub tool: Box<str>,
    /// Over the whole name and the arguments.
    pub hash: u64,
}

/// Gathers the calls of one answer.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    choice: u16,
    block: u16,
    tool: Box<str>,
    name: u64,
    arguments: u64,
    reading: Reading,
}

/// Where the arguments stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// In JSON, outside a string.
    Json,
    /// In a string of JSON.
    Inside,
    /// Behind a backslash in a string of JSON.
    Escaped,
    /// In free text, of which every byte counts.
    Free,
}

/// FNV-1a, 64 bits: fast on the few bytes of a call, and nothing secret hangs on it.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

impl Calls {
    /// Learns from one event.
    pub fn see(&mut self, event: &Event<'_>) {
        match event {
            Event::Open { channel, block: Block::Tool { name, flavour, .. } } => {
                let Some(call) = self.at(*channel) else { return };
                call.tool = cut(name);
                call.name = name.bytes().fold(FNV_START, fnv);
                if *flavour == ToolFlavour::Custom {
                    call.reading = Reading::Free;
                }
            }
            Event::Text { channel, text, .. } if channel.kind == Kind::ToolArguments => {
                if let Some(call) = self.at(*channel) {
                    text.bytes().for_each(|byte| call.take(byte));
                }
            }
            Event::Open { .. }
            | Event::Text { .. }
            | Event::Start { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
    }

    /// The calls so far, in the order in which they began. Only those of a whole answer are whole.
    pub fn list(&self) -> Vec<Called> {
        let named = self.calls.iter().filter(|call| !call.tool.is_empty());
        named
            .map(|call| Called {
                tool: call.tool.clone(),
                hash: call.arguments.to_le_bytes().into_iter().fold(call.name, fnv),
            })
            .collect()
    }

    fn at(&mut self, channel: Channel) -> Option<&mut Call> {
        let Channel { choice, block, .. } = channel;
        let found = self.calls.iter().position(|call| (call.choice, call.block) == (choice, block));
        let at = match found {
            Some(at) => at,
            None if self.calls.len() == CALLS_MAX => return None,
            None => {
                self.calls.push(Call {
                    choice,
                    block,
                    tool: Box::from(""),
                    name: FNV_START,
                    arguments: FNV_START,
                    reading: Reading::Json,
                });
                self.calls.len() - 1
            }
        };
        self.calls.get_mut(at)
    }
}

impl Call {
    fn take(&mut self, byte: u8) {
        self.reading = match (self.reading, byte) {
            (Reading::Json, b' ' | b'\t' | b'\r' | b'\n') => return,
            (Reading::Json, b'"') | (Reading::Escaped, _) => Reading::Inside,
            (Reading::Inside, b'"') => Reading::Json,
            (Reading::Inside, b'\\') => Reading::Escaped,
            (reading @ (Reading::Json | Reading::Inside | Reading::Free), _) => reading,
        };
        self.arguments = fnv(self.arguments, byte);
    }
}

fn cut(name: &str) -> Box<str> {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn channel(block: u16) -> Channel {
        Channel { choice: 0, block, part: 0, kind: Kind::ToolArguments }
    }

    fn open(block: u16, name: &str, flavour: ToolFlavour) -> Event<'_> {
        let name = Cow::Borrowed(name);
        let block_kind = Block::Tool { id: Cow::Borrowed("id"), name, flavour };
        Event::Open { channel: channel(block), block: block_kind }
    }

    fn text(block: u16, text: &str) -> Event<'_> {
        Event::Text { channel: channel(block), text: Cow::Borrowed(text), span: None }
    }

    fn hash(name: &str, flavour: ToolFlavour, pieces: &[&str]) -> u64 {
        let mut calls = Calls::default();
        calls.see(&open(1, name, flavour));
        for piece in pieces {
            calls.see(&text(1, piece));
        }
        let list = calls.list();
        assert_eq!((list.len(), &*list[0].tool), (1, name));
        list[0].hash
    }

    #[test]
    fn what_is_the_same_call() {
        use ToolFlavour::{Custom, Function};
        let plain = hash("refund", Function, &[r#"{"a":"b c","n":1}"#]);
        for (name, flavour, arguments, is_same) in [
            ("refund", Function, r#"{"a":"b c","n":1}"#, true),
            ("refund", Function, "{ \"a\" : \"b c\",\r\n\t\"n\": 1 }", true),
            ("refund", Function, r#"{"a":"bc","n":1}"#, false),
            ("refund", Function, r#"{"a":"b  c","n":1}"#, false),
            ("refund", Function, r#"{"n":1,"a":"b c"}"#, false),
            ("refund", Function, r#"{"a":"\" x\""}"#, false),
            ("refunds", Function, r#"{"a":"b c","n":1}"#, false),
            ("refund", Custom, "{ \"a\":\"b c\",\"n\":1}", false),
        ] {
            let other = hash(name, flavour, &[arguments]);
            assert_eq!(other == plain, is_same, "{name} {arguments}");
        }
    }

    #[test]
    fn calls_side_by_side_and_too_many() {
        let mut calls = Calls::default();
        let many = u16::try_from(CALLS_MAX).unwrap() + 5;
        for block in 1..=many {
            calls.see(&open(block, "t", ToolFlavour::Function));
        }
        for block in 1..=many {
            calls.see(&text(block, "{}"));
        }
        let list = calls.list();
        assert_eq!(list.len(), CALLS_MAX);
        assert!(list.iter().all(|call| call.hash == list[0].hash));
        let mut nameless = Calls::default();
        nameless.see(&text(1, "{}"));
        assert!(nameless.list().is_empty(), "a call that nothing opened has no name");
    }

    proptest! {
        #[test]
        fn how_it_was_cut_does_not_matter(arguments in ".{0,60}", cut in 0usize..60) {
            let mut cut = cut.min(arguments.len());
            while !arguments.is_char_boundary(cut) {
                cut -= 1;
            }
            let (a, b) = arguments.split_at(cut);
            let whole = hash("t", ToolFlavour::Function, &[&arguments]);
            prop_assert_eq!(hash("t", ToolFlavour::Function, &[a, b]), whole);
        }
    }
}
