//! Frames of which a text is changed, and frames that bring one text more.
//!
//! What always holds: around the texts that change, every byte of a frame is the provider's; a
//! frame made from another one brings its text on the same channel, and nothing else that a reader
//! could take for a second beginning, call, count or stop.

use super::event::{Form, Span};
use super::framing::Framing;
use super::json;
use super::splice::{Edit, splice};
use super::sse::Frame;
use super::{eventstream, sse};
use std::borrow::Cow;
use std::cmp::Reverse;

/// A change of one text of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where the text stands.
    pub span: Span,
    /// What stands there instead: text where the span is quoted, JSON where it is a value.
    pub with: String,
}

/// These changes of one frame in their order, each place once; one that stands inside another is
/// left out, for the other has it in it. `None` if two texts are to stand in one place.
pub fn settled(mut changes: Vec<Change>) -> Option<Vec<Change>> {
    changes.sort_by_key(|change| (change.span.start, Reverse(change.span.end)));
    let mut left: Vec<Change> = Vec::with_capacity(changes.len());
    for change in changes {
        // All that begin before it, or here and reach further, are behind us: the last reaches
        // furthest, or it would stand inside another.
        match left.last() {
            Some(last) if last.span == change.span && last.with != change.with => return None,
            Some(last) if change.span.end <= last.span.end => {}
            Some(_) | None => left.push(change),
        }
    }
    Some(left)
}

/// Appends the frame with `changes`, which are [`settled`].
pub fn push_changed(framing: Framing, raw: &[u8], changes: Vec<Change>, out: &mut Vec<u8>) {
    let edits = changes
        .into_iter()
        .map(|change| {
            let mut with = Vec::with_capacity(change.with.len() + 16);
            match change.span.form {
                Form::Quoted => json::push_escaped(&mut with, &change.with),
                Form::Json => with.extend_from_slice(change.with.as_bytes()),
            }
            Edit { place: change.span.start as usize..change.span.end as usize, with }
        })
        .collect();
    let start = out.len();
    out.extend_from_slice(&splice(raw, edits));
    seal(framing, out, start);
}

/// A frame in the shape in which its texts have places, with its data in one piece; `None` if it
/// has that shape.
///
/// JSON that was sent in several `data:` lines has line ends between its tokens only, so one line
/// says the same.
pub fn in_one_piece(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let Cow::Owned(data) = &frame.data else { return None };
    let data: Vec<u8> = data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
    let mut out = Vec::with_capacity(frame.raw.len());
    sse::push_frame(&mut out, &String::from_utf8_lossy(frame.event), &data);
    Some(out)
}

/// What a frame of one text is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mould {
    framing: Framing,
    before: Box<[u8]>,
    behind: Box<[u8]>,
    /// Where in `before` the frame's number goes, in a dialect that numbers frames.
    number_at: Option<usize>,
}

impl Mould {
    /// The mould of frames that bring text where `frame` has it at `span`; `None` where the text
    /// does not stand as a string in the frame's JSON.
    pub fn of(framing: Framing, frame: &Frame<'_>, span: Span) -> Option<Mould> {
        let data = std::str::from_utf8(&frame.data).ok()?;
        let start = json::offset_of(frame.raw, data)?;
        let place = (span.start as usize).checked_sub(start)?;
        (span.form == Form::Quoted && place <= data.len()).then_some(())?;
        let out = Vec::with_capacity(data.len().min(512));
        let mut pruned = Pruned { data, place, out, cut: None, number_at: None };
        pruned.value(data.trim(), 0);
        let cut = pruned.cut?;
        let (inner, rest) = pruned.out.split_at_checked(cut)?;
        let (before, behind): (Vec<u8>, Vec<u8>) = match framing {
            Framing::Sse => {
                let mut before = Vec::with_capacity(inner.len() + 64);
                if !frame.event.is_empty() {
                    before.extend_from_slice(b"event: ");
                    before.extend_from_slice(frame.event);
                    before.push(b'\n');
                }
                before.extend_from_slice(b"data: ");
                before.extend_from_slice(inner);
                (before, [rest, b"\n\n"].concat())
            }
            // The head of the message with its headers, and room for the checksum of the whole.
            Framing::EventStream => {
                ([frame.raw.get(..start)?, inner].concat(), [rest, &[0; 4]].concat())
            }
            Framing::JsonArray => ([b",\r\n", inner].concat(), rest.to_vec()),
        };
        let number_at = pruned.number_at.map(|at| before.len() - inner.len() + at);
        Some(Mould { framing, before: before.into(), behind: behind.into(), number_at })
    }

    /// Appends a frame that brings `text`; `number` is its own where frames have one.
    pub fn push(&self, text: &str, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let (lead, rest) = self.before.split_at(self.number_at.unwrap_or(0));
        out.extend_from_slice(lead);
        if self.number_at.is_some() {
            out.extend_from_slice(format!("\"{NUMBER}\":{number},").as_bytes());
        }
        out.extend_from_slice(rest);
        json::push_escaped(out, text);
        out.extend_from_slice(&self.behind);
        seal(self.framing, out, start);
    }
}

/// The member that numbers the frames of a Responses stream.
const NUMBER: &str = "sequence_number";

/// The number of a frame, and where it stands.
pub fn number(frame: &Frame<'_>) -> Option<(u64, Span)> {
    let data = std::str::from_utf8(&frame.data).ok()?;
    let (_, value) = json::members(data).find(|(key, _)| key == NUMBER)?;
    let start = u32::try_from(json::offset_of(frame.raw, value)?).ok()?;
    let end = start + u32::try_from(value.len()).ok()?;
    Some((value.parse().ok()?, Span { start, end, form: Form::Json }))
}

/// Mends lengths and checksums of the message that begins at `start`.
fn seal(framing: Framing, out: &mut [u8], start: usize) {
    if framing != Framing::EventStream {
        return;
    }
    let Some(message) = out.get_mut(start..) else { return };
    let total = u32::try_from(message.len()).unwrap_or(u32::MAX);
    if let Some(field) = message.get_mut(..4) {
        field.copy_from_slice(&total.to_be_bytes());
    }
    eventstream::seal(message);
}

/// What is left of a frame's JSON when it brings one text only: the way to that text, and beside
/// the way what says where in the answer it belongs.
struct Pruned<'a> {
    data: &'a str,
    /// Where the text begins in `data`.
    place: usize,
    out: Vec<u8>,
    /// Where the text goes in `out`.
    cut: Option<usize>,
    /// Where the frame's number goes in `out`.
    number_at: Option<usize>,
}

impl<'a> Pruned<'a> {
    fn holds_text(&self, value: &str) -> bool {
        json::offset_of(self.data.as_bytes(), value)
            .is_some_and(|start| (start..start + value.len()).contains(&self.place))
    }

    fn value(&mut self, value: &'a str, depth: usize) {
        match value.as_bytes().first() {
            Some(b'"') => {
                self.out.push(b'"');
                self.cut = Some(self.out.len());
                self.out.push(b'"');
            }
            Some(b'{') => {
                self.out.push(b'{');
                let mut is_first = true;
                let start = self.out.len();
                for (key, member) in json::members(value) {
                    if depth == 0 && key == NUMBER {
                        self.number_at = Some(start);
                        continue;
                    }
                    let is_way = self.holds_text(member);
                    if !is_way && !stays(&key, member, depth) {
                        continue;
                    }
                    if !is_first {
                        self.out.push(b',');
                    }
                    is_first = false;
                    json::push_string(&mut self.out, &key);
                    self.out.push(b':');
                    if is_way {
                        self.value(member, depth + 1);
                    } else {
                        self.out.extend_from_slice(member.as_bytes());
                    }
                }
                self.out.push(b'}');
            }
            Some(b'[') => {
                self.out.push(b'[');
                if let Some(element) = json::elements(value).find(|one| self.holds_text(one)) {
                    self.value(element, depth + 1);
                }
                self.out.push(b']');
            }
            _ => {}
        }
    }
}

/// Whether a member beside the way to the text stays: at the top what names the answer and the
/// place in it, further down only numbers and marks of places. Another text of the frame never does.
fn stays(key: &str, value: &str, depth: usize) -> bool {
    let is_nested = value.starts_with(['{', '[']);
    if depth == 0 {
        let is_name = matches!(
            key,
            "id" | "type"
                | "object"
                | "model"
                | "modelVersion"
                | "responseId"
                | "service_tier"
                | "system_fingerprint"
        ) || key.ends_with("_id");
        return !is_nested && (is_name || !value.starts_with('"'));
    }
    !is_nested
        && (matches!(key, "index" | "type" | "thought") || value == "null" && key != "logprobs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::Event;
    use crate::wire::{Decoder, Dialect};

    /// The events of `frame` in a stream of `dialect`.
    fn events(decoder: &mut Decoder, framing: Framing, raw: &[u8]) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        decoder.frame(&framing.frame(raw), &mut |event| events.push(event.into_owned()));
        events
    }

    fn text_of(events: &[Event<'_>]) -> (String, Span) {
        let mut texts = events.iter().filter_map(|event| match event {
            Event::Text { text, span, .. } => Some((text.to_string(), span.unwrap())),
            _ => None,
        });
        texts.next().unwrap()
    }

    const FRAMES: [(Dialect, &str); 5] = [
        (
            Dialect::OpenaiChat,
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"he\\ny\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        ),
        (
            Dialect::OpenaiChat,
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\r\n\r\n",
        ),
        (
            Dialect::Anthropic,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_delta\",\"text\":\"hey\"}}\n\n",
        ),
        (
            Dialect::OpenaiResponses,
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg\",\"output_index\":0,\"content_index\":0,\"delta\":\"hey\",\"logprobs\":[],\"obfuscation\":\"xx\"}\n\n",
        ),
        (
            Dialect::Gemini,
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"thought\":true,\"text\":\"hey\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":4},\"responseId\":\"r\"}\n\n",
        ),
    ];

    #[test]
    fn a_change_changes_its_text_alone() {
        for (dialect, raw) in FRAMES {
            let framing = dialect.framing();
            let before = events(&mut Decoder::new(dialect), framing, raw.as_bytes());
            let (_, span) = text_of(&before);
            let mut out = Vec::new();
            let with = "a \"b\"\n".to_owned();
            push_changed(
                framing,
                raw.as_bytes(),
                vec![Change { span, with: with.clone() }],
                &mut out,
            );
            let after = events(&mut Decoder::new(dialect), framing, &out);
            let expected: Vec<_> = before
                .into_iter()
                .map(|event| match event {
                    Event::Text { channel, .. } => {
                        Event::Text { channel, text: with.clone().into(), span: None }
                    }
                    other => other,
                })
                .collect();
            let after: Vec<_> = after.into_iter().map(Event::without_span).collect();
            assert_eq!(after, expected, "{raw}");
        }
    }

    #[test]
    fn of_changes_inside_each_other_the_outer_one_is_made() {
        let change = |start: u32, end: u32, with: &str| Change {
            span: Span { start, end, form: Form::Json },
            with: with.to_owned(),
        };
        let (outer, inner, other) = (change(2, 9, "o"), change(3, 5, "i"), change(9, 12, "x"));
        let all = vec![inner.clone(), other.clone(), outer.clone(), inner.clone(), other.clone()];
        assert_eq!(settled(all), Some(vec![outer.clone(), other.clone()]));
        let at_ends = vec![change(2, 4, "b"), outer.clone(), change(7, 9, "e"), other.clone()];
        assert_eq!(settled(at_ends), Some(vec![outer, other]));
        assert_eq!(settled(vec![inner.clone(), change(3, 5, "not i")]), None);
        assert_eq!(settled(vec![inner.clone(), inner.clone()]), Some(vec![inner]));
    }

    #[test]
    fn a_mould_brings_its_text_and_nothing_else() {
        for (dialect, raw) in FRAMES {
            let framing = dialect.framing();
            let mut decoder = Decoder::new(dialect);
            let first = events(&mut decoder, framing, raw.as_bytes());
            let (_, span) = text_of(&first);
            let Some(channel) = first.iter().find_map(|event| match event {
                Event::Text { channel, .. } => Some(*channel),
                _ => None,
            }) else {
                panic!("no text")
            };
            let mould = Mould::of(framing, &framing.frame(raw.as_bytes()), span).unwrap();
            let mut out = Vec::new();
            mould.push("m\"o", 9, &mut out);
            let more: Vec<_> =
                events(&mut decoder, framing, &out).into_iter().map(Event::without_span).collect();
            let text = Event::Text { channel, text: "m\"o".into(), span: None };
            assert_eq!(more, [text], "{}", String::from_utf8_lossy(&out));
            if dialect == Dialect::OpenaiResponses {
                assert_eq!(number(&framing.frame(&out)).map(|(number, _)| number), Some(9));
            }
        }
    }

    #[test]
    fn a_binary_message_is_sealed_anew() {
        let mut raw = Vec::new();
        let payload = br#"{"contentBlockIndex":1,"delta":{"text":"hey"},"p":"abc"}"#;
        eventstream::push_event(&mut raw, "contentBlockDelta", payload);
        let framing = Framing::EventStream;
        let mut decoder = Decoder::new(Dialect::Bedrock);
        let (text, span) = text_of(&events(&mut decoder, framing, &raw));
        assert_eq!(text, "hey");
        let mut out = Vec::new();
        push_changed(
            framing,
            &raw,
            vec![Change { span, with: "longer than before".into() }],
            &mut out,
        );
        Mould::of(framing, &framing.frame(&raw), span).unwrap().push("more", 0, &mut out);
        let mut splitter = eventstream::Splitter::default();
        let first = splitter.next(&out).unwrap().unwrap();
        let (one, two) = out.split_at(first);
        assert_eq!(splitter.next(two).unwrap(), Some(two.len()));
        assert_eq!(text_of(&events(&mut decoder, framing, one)).0, "longer than before");
        assert_eq!(text_of(&events(&mut decoder, framing, two)).0, "more");
    }

    #[test]
    fn several_lines_become_one() {
        let raw = b"event: x\ndata: {\"a\":\ndata: 1}\n\n";
        let one = in_one_piece(&Frame::parse(raw)).unwrap();
        assert_eq!(one, b"event: x\ndata: {\"a\": 1}\n\n");
        let raw = b"data: 1\n\n";
        assert_eq!(in_one_piece(&Frame::parse(raw)), None);
    }
}
