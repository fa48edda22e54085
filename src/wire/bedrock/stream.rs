//! Frames to events.
//!
//! A frame means what its `:message-type` and name say. It is first read whole and then said, so
//! one that is not understood anywhere is one `Opaque` and never half a step.

use super::{block, channel, counts, stop_reason, told, told_channel};
use crate::wire::event::{Event, Kind, Place};
use crate::wire::eventstream::{Message, Sort};
use crate::wire::members::Members;
use crate::wire::{Dialect, Sink, Tail, json, sse};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Frames to events.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    has_started: bool,
    is_complete: bool,
    /// The kind of the main text of each block, by index; at most 65,536 entries of one byte.
    kinds: Vec<Option<Kind>>,
}

impl Decoder {
    /// See [`crate::wire::Decoder::frame`].
    pub fn frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) {
        let message = Message::read(frame.raw);
        let sort = message.map_or(Sort::Event, |message| message.sort);
        match sort {
            Sort::Event => {
                if self.read(frame, sink).is_none() {
                    sink(Event::Opaque {
                        dialect: Dialect::Bedrock,
                        name: String::from_utf8_lossy(frame.event),
                        data: Cow::Borrowed(&frame.data),
                    });
                }
            }
            Sort::Exception | Sort::Error => {
                self.is_complete = true;
                let text = message.map_or(&b""[..], |message| message.text);
                error(String::from_utf8_lossy(frame.event), &frame.data, text, sink);
            }
        }
    }

    /// See [`crate::wire::Decoder::is_complete`].
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// See [`crate::wire::Decoder::tail`]. An ending repeats nothing in this dialect.
    pub fn tail(&self) -> Tail {
        Tail::default()
    }

    /// Says what the frame means; `None`, with nothing said, if that is not known.
    fn read(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let members = Members::parse(std::str::from_utf8(&frame.data).ok()?)?;
        match frame.event {
            b"contentBlockDelta" => self.block_delta(frame.raw, members, sink),
            b"contentBlockStart" => self.block_start(members, sink),
            b"contentBlockStop" => self.block_stop(members, sink),
            b"messageStart" => self.message_start(members, sink),
            b"messageStop" => {
                message_stop(frame.raw, members, sink)?;
                self.is_complete = true;
                Some(())
            }
            b"metadata" => {
                metadata(frame.raw, members, sink);
                Some(())
            }
            _ => None,
        }
    }

    fn message_start(&mut self, mut frame: Members<'_>, sink: &mut Sink<'_>) -> Option<()> {
        // A second beginning has no meaning in the model.
        if std::mem::replace(&mut self.has_started, true) {
            return None;
        }
        start(&mut frame, sink);
        frame.extras(Place::Message, sink);
        Some(())
    }

    fn block_start(&mut self, mut frame: Members<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let index = take_index(&mut frame)?;
        let mut union = Members::of(frame.take("start")?)?;
        let kind = if let Some(call) = union.get("toolUse") {
            // Arguments come in deltas; a call that brings them at once is not understood.
            if Members::of(call)?.get("input").is_some() {
                return None;
            }
            block::open_call(index, call, sink)?;
            union.take("toolUse");
            union.extras(Place::Delta(index), sink);
            Kind::ToolArguments
        } else {
            let (name, raw) = block::take_only(&mut union)?;
            block::open_other(index, name, raw, sink)
        };
        *self.kind(index) = Some(kind);
        frame.extras(Place::Frame, sink);
        Some(())
    }

    fn block_delta(
        &mut self,
        whole: &[u8],
        mut frame: Members<'_>,
        sink: &mut Sink<'_>,
    ) -> Option<()> {
        let index = take_index(&mut frame)?;
        let mut union = Members::of(frame.take("delta")?)?;
        let kind = if let Some(text) = union.take_text("text") {
            block::say_text(whole, channel(index, Kind::Answer), text, sink);
            Kind::Answer
        } else if let Some(call) = union.take_object("toolUse") {
            let mut call = Members::of(call)?;
            let text = call.take_text("input")?;
            block::say_text(whole, channel(index, Kind::ToolArguments), text, sink);
            call.extras(Place::Block(index), sink);
            Kind::ToolArguments
        } else if let Some(reasoning) = union.take_object("reasoningContent") {
            let mut reasoning = Members::of(reasoning)?;
            let channel = channel(index, Kind::Reasoning);
            match (reasoning.take_text("text"), reasoning.take_string("signature")) {
                (Some(text), None) => block::say_text(whole, channel, text, sink),
                (None, Some(value)) => sink(Event::Signature { channel, value }),
                _ => return None,
            }
            reasoning.extras(Place::Block(index), sink);
            Kind::Reasoning
        } else {
            block::say_citation(whole, index, union.take_object("citation")?, sink)?;
            Kind::Answer
        };
        self.kind(index).get_or_insert(kind);
        union.extras(Place::Delta(index), sink);
        frame.extras(Place::Frame, sink);
        Some(())
    }

    fn block_stop(&mut self, mut frame: Members<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let index = take_index(&mut frame)?;
        let kind = self.kinds.get_mut(usize::from(index)).and_then(Option::take);
        sink(Event::Close { channel: channel(index, kind.unwrap_or(Kind::Other)) });
        frame.extras(Place::Frame, sink);
        Some(())
    }

    fn kind(&mut self, index: u16) -> &mut Option<Kind> {
        let at = usize::from(index);
        if self.kinds.len() <= at {
            self.kinds.resize(at + 1, None);
        }
        &mut self.kinds[at]
    }
}

fn take_index(frame: &mut Members<'_>) -> Option<u16> {
    frame.take("contentBlockIndex")?.get().parse().ok()
}

/// Says the beginning of a message.
pub(super) fn start(message: &mut Members<'_>, sink: &mut Sink<'_>) {
    sink(Event::Start { id: "".into(), model: "".into(), created: None });
    message.drop_default("role", "\"assistant\"");
}

/// Says the stop.
pub(super) fn message_stop(
    whole: &[u8],
    mut frame: Members<'_>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let native = frame.take_string("stopReason")?;
    sink(Event::Stop { choice: 0, reason: stop_reason(&native), native });
    telling_extras(whole, &frame, sink);
    Some(())
}

/// Says counts, what else is told about the answer, and the end.
pub(super) fn metadata(whole: &[u8], mut frame: Members<'_>, sink: &mut Sink<'_>) {
    if let Some(usage) = frame.take_object("usage") {
        sink(Event::Usage { counts: counts(usage), native: Cow::Borrowed(usage.get()) });
    }
    telling_extras(whole, &frame, sink);
    sink(Event::End);
}

/// Says unknown members, and the strings of those that can repeat the answer.
fn telling_extras(whole: &[u8], frame: &Members<'_>, sink: &mut Sink<'_>) {
    for (key, raw) in frame.iter() {
        let json = raw.get();
        sink(Event::Extra {
            place: Place::Frame,
            key: Cow::Borrowed(key),
            json: Cow::Borrowed(json),
        });
        for (position, inner) in told(key, json).enumerate() {
            sink(Event::Repeat {
                channel: told_channel(position),
                text: json::unescape(inner.text),
                span: inner.span_in(whole),
            });
        }
    }
}

/// Says an error: of an exception its payload, of another error the text in its header.
fn error(code: Cow<'_, str>, data: &[u8], text: &[u8], sink: &mut Sink<'_>) {
    let payload = serde_json::from_slice::<&RawValue>(data).ok();
    let message = match payload {
        Some(raw) => Members::of(raw)
            .and_then(|members| members.get("message").or(members.get("Message")))
            .and_then(json::string)
            .or_else(|| json::string(raw)),
        None if data.is_empty() => Some(String::from_utf8_lossy(text)),
        None => Some(String::from_utf8_lossy(data)),
    };
    let message = message.unwrap_or_default();
    let native = match payload {
        Some(raw) => Cow::Borrowed(raw.get()),
        None => Cow::Owned(super::foreign::error_body(&message)),
    };
    sink(Event::Error { code, message, native });
}
