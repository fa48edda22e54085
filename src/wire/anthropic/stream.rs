//! Frames to events.
//!
//! A frame means what its `type` member says; only where it has none, what its `event:` line says.
//! A frame is first read whole and then said, so one that breaks off anywhere in it is one
//! `Opaque` and never half an answer. `content_block_delta` comes by the thousand and takes one
//! pass over its bytes, without allocation unless its text has escapes.

use super::members::{Members, Top};
use super::{block, channel, counts, stop_reason};
use crate::wire::event::{Event, Kind, Place};
use crate::wire::{Dialect, Sink, Tail, json, sse};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Frames to events.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    tail: Tail,
    has_started: bool,
    is_complete: bool,
    /// The kind of the main text of each block, by index; at most 65,536 entries of one byte.
    kinds: Vec<Option<Kind>>,
}

impl Decoder {
    /// See [`crate::wire::Decoder::frame`].
    pub fn frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) {
        if frame.is_empty() {
            sink(Event::Ping);
        } else if self.read(frame, sink).is_none() {
            sink(opaque(frame));
        }
    }

    /// See [`crate::wire::Decoder::is_complete`].
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// See [`crate::wire::Decoder::tail`].
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Says what the frame means; `None`, with nothing said, if that is not known.
    fn read(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let data = std::str::from_utf8(&frame.data).ok()?;
        let mut top: Top<'_> = serde_json::from_str(data).ok()?;
        let kind = match top.rest.get("type") {
            Some(raw) => json::string(raw)?,
            None => String::from_utf8_lossy(frame.event),
        };
        top.rest.take("type");
        match (&*kind, top.delta) {
            ("content_block_delta", Some(delta)) => block_delta(frame.raw, delta, top.rest, sink),
            ("message_delta", Some(delta)) => message_delta(delta, top.rest, sink),
            ("content_block_start", None) => self.block_start(frame.raw, top.rest, sink),
            ("content_block_stop", None) => self.block_stop(top.rest, sink),
            ("message_start", None) => self.message_start(top.rest, sink),
            ("message_stop", None) => {
                self.is_complete = true;
                sink(Event::End);
                top.rest.extras(Place::Frame, sink);
                Some(())
            }
            ("ping", None) => {
                sink(Event::Ping);
                top.rest.extras(Place::Frame, sink);
                Some(())
            }
            ("error", None) => {
                error(top.rest, sink)?;
                self.is_complete = true;
                Some(())
            }
            _ => None,
        }
    }

    fn message_start(&mut self, mut frame: Members<'_>, sink: &mut Sink<'_>) -> Option<()> {
        // A second beginning (answers spliced by a retry upstream) has no meaning in the model.
        if self.has_started {
            return None;
        }
        let mut message = Members::of(frame.get("message")?)?;
        frame.take("message");
        message.drop_default("stop_reason", "null");
        message.drop_default("content", "[]");
        self.has_started = true;
        self.tail = start(&mut message, sink);
        if let Some(usage) = message.take_object("usage") {
            sink(say_usage(usage));
        }
        message.extras(Place::Message, sink);
        frame.extras(Place::Frame, sink);
        Some(())
    }

    fn block_start(
        &mut self,
        whole: &[u8],
        mut frame: Members<'_>,
        sink: &mut Sink<'_>,
    ) -> Option<()> {
        let index = take_index(&mut frame)?;
        let raw = frame.take("content_block")?;
        let kind = block::read(whole, index, raw, frame, sink);
        let at = usize::from(index);
        if self.kinds.len() <= at {
            self.kinds.resize(at + 1, None);
        }
        self.kinds[at] = Some(kind);
        Some(())
    }

    fn block_stop(&mut self, mut frame: Members<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let index = take_index(&mut frame)?;
        let opened = self.kinds.get_mut(usize::from(index)).and_then(Option::take);
        sink(Event::Close { channel: channel(index, opened.unwrap_or(Kind::Other)) });
        frame.extras(Place::Frame, sink);
        Some(())
    }
}

/// Says the beginning of a message, and what an ending must repeat of it.
pub(super) fn start(message: &mut Members<'_>, sink: &mut Sink<'_>) -> Tail {
    let (id, model) = (message.take_string("id"), message.take_string("model"));
    let tail = Tail {
        id: id.as_deref().map(Box::from),
        model: model.as_deref().map(Box::from),
        ..Tail::default()
    };
    sink(Event::Start {
        id: id.unwrap_or_default(),
        model: model.unwrap_or_default(),
        created: None,
    });
    message.drop_default("type", "\"message\"");
    message.drop_default("role", "\"assistant\"");
    message.drop_default("stop_sequence", "null");
    tail
}

/// Says a `usage` object.
pub(super) fn say_usage(usage: &RawValue) -> Event<'_> {
    Event::Usage { counts: counts(usage), native: Cow::Borrowed(usage.get()) }
}

/// Says an error, of a frame or a body.
pub(super) fn error(mut frame: Members<'_>, sink: &mut Sink<'_>) -> Option<()> {
    let raw = frame.take("error")?;
    let (code, message) = match Members::of(raw) {
        Some(mut error) => (error.take_string("type"), error.take_string("message")),
        None => (None, json::string(raw)),
    };
    sink(Event::Error {
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
        native: Cow::Borrowed(raw.get()),
    });
    frame.extras(Place::Frame, sink);
    Some(())
}

fn block_delta(
    whole: &[u8],
    mut delta: Members<'_>,
    mut frame: Members<'_>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let index = take_index(&mut frame)?;
    let (name, kind) = match &*delta.take_string("type")? {
        "text_delta" => ("text", Kind::Answer),
        "input_json_delta" => ("partial_json", Kind::ToolArguments),
        "thinking_delta" => ("thinking", Kind::Reasoning),
        "signature_delta" => {
            let value = delta.take_string("signature")?;
            sink(Event::Signature { channel: channel(index, Kind::Reasoning), value });
            delta.extras(Place::Delta(index), sink);
            frame.extras(Place::Frame, sink);
            return Some(());
        }
        "citations_delta" => {
            let citation = delta.take("citation")?;
            block::say_citation(whole, index, citation, block::quoted(citation)?, sink);
            delta.extras(Place::Delta(index), sink);
            frame.extras(Place::Frame, sink);
            return Some(());
        }
        _ => return None,
    };
    let (text, raw) = delta.take_text(name)?;
    let span = json::span_of(whole, raw);
    sink(Event::Text { channel: channel(index, kind), text, span });
    delta.extras(Place::Delta(index), sink);
    frame.extras(Place::Frame, sink);
    Some(())
}

fn message_delta(
    mut delta: Members<'_>,
    mut frame: Members<'_>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let stop = delta.take_string("stop_reason");
    let usage = frame.take_object("usage");
    delta.drop_default("stop_reason", "null");
    delta.drop_default("stop_sequence", "null");
    if stop.is_none() && usage.is_none() && delta.is_empty() && frame.is_empty() {
        return None;
    }
    if let Some(native) = stop {
        sink(Event::Stop { choice: 0, reason: stop_reason(&native), native });
    }
    if let Some(usage) = usage {
        sink(say_usage(usage));
    }
    delta.extras(Place::Message, sink);
    frame.extras(Place::Frame, sink);
    Some(())
}

fn take_index(frame: &mut Members<'_>) -> Option<u16> {
    frame.take("index")?.get().parse().ok()
}

/// The whole frame, kept; named by its `event:` line, else by its `type`.
fn opaque<'a>(frame: &'a sse::Frame<'_>) -> Event<'a> {
    let name = if frame.event.is_empty() {
        std::str::from_utf8(&frame.data)
            .ok()
            .and_then(Members::parse)
            .and_then(|mut members| members.take_string("type"))
            .unwrap_or_default()
    } else {
        String::from_utf8_lossy(frame.event)
    };
    Event::Opaque { dialect: Dialect::Anthropic, name, data: Cow::Borrowed(&frame.data) }
}
