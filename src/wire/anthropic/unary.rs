//! Whole answers: a `message` object or an `error`, to events and back.
//!
//! The events are those that the answer's stream would have given: the one `usage` of the body is
//! said twice, at the beginning and with the stop, since a stream has both.

use super::foreign::{self, Prompt, Shape};
use super::members::Members;
use super::write::{
    Extras, Head, Object, Run, push_citation, push_other, push_text, push_thinking, push_tool,
    quote,
};
use super::{block, channel, stop_reason, stop_word, stream};
use crate::wire::event::{Block, Channel, Counts, Event, Kind, Place, StopReason, ToolFlavour};
use crate::wire::loss::Losses;
use crate::wire::provider_error::Cause;
use crate::wire::retell::{Retelling, later};
use crate::wire::{Dialect, Sink};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// See [`crate::wire::decode_unary`].
pub fn decode_unary(body: &[u8], sink: &mut Sink<'_>) {
    if read(body, sink).is_none() {
        let members = std::str::from_utf8(body).ok().and_then(Members::parse);
        let name = members.and_then(|mut members| members.take_string("type"));
        sink(Event::Opaque {
            dialect: Dialect::Anthropic,
            name: name.unwrap_or_default(),
            data: Cow::Borrowed(body),
        });
    }
}

/// Says what the body means; `None`, with nothing said, if that is not known.
fn read(body: &[u8], sink: &mut Sink<'_>) -> Option<()> {
    let mut message = Members::parse(std::str::from_utf8(body).ok()?)?;
    let Some(content) = message.get("content") else {
        message.drop_default("type", "\"error\"");
        return stream::error(message, sink);
    };
    let content: Vec<&RawValue> = serde_json::from_str(content.get()).ok()?;
    let past_last = u16::try_from(content.len()).ok()?;
    message.take("content");
    stream::start(&mut message, sink);
    let stop = message.take_string("stop_reason");
    message.drop_default("stop_reason", "null");
    let usage = message.take_object("usage");
    // In a stream these stand in `message_delta`: the former in its `delta`, the latter beside it.
    let late = message.split_off(|key| {
        matches!(key, "stop_reason" | "stop_sequence" | "stop_details" | "container")
    });
    let beside = message.split_off(|key| key == "context_management");
    if let Some(usage) = usage {
        sink(stream::say_usage(usage));
    }
    message.extras(Place::Message, sink);
    for (index, raw) in (0..past_last).zip(content) {
        let kind = block::read(body, index, raw, Members::default(), sink);
        sink(Event::Close { channel: channel(index, kind) });
    }
    if let Some(native) = stop {
        sink(Event::Stop { choice: 0, reason: stop_reason(&native), native });
    }
    if let Some(usage) = usage {
        sink(stream::say_usage(usage));
    }
    late.extras(Place::Message, sink);
    beside.extras(Place::Frame, sink);
    sink(Event::End);
    Some(())
}

/// See [`crate::wire::encode_unary`].
pub fn encode_unary(source: Dialect, events: &[Event<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let is_native = source == Dialect::Anthropic;
    let told;
    let events = if is_native {
        events
    } else {
        let mut retelling = Retelling::new(source, foreign::ROOM);
        told = retelling.whole(events);
        losses.join(retelling.losses());
        &told[..]
    };
    if push_error_body(&mut out, is_native, events) {
        return out;
    }
    let whole = Whole::gather(is_native, events);
    let kept = events.iter().find_map(|event| match event {
        Event::Opaque { data, .. } if is_native => Some(data),
        _ => None,
    });
    match (whole.says_nothing(), kept) {
        (false, _) => whole.push(&mut out, Run(events)),
        (true, Some(data)) => out.extend_from_slice(data),
        (true, None) => push_failure(&mut out, "the provider's answer could not be read"),
    }
    out
}

/// Writes an error body if the answer is one.
fn push_error_body(out: &mut Vec<u8>, is_native: bool, events: &[Event<'_>]) -> bool {
    for event in events {
        match event {
            Event::Error { native, .. } if is_native => {
                let defaults = [("type", "\"error\""), ("error", &**native)];
                let mut body = Object::open(out);
                body.with_extras(&defaults, &Run(events).extras(Place::Frame));
                body.close();
                return true;
            }
            Event::Error { code, message, .. } => {
                let mut body = Object::typed(out, "error");
                foreign::push_error(&mut body, Cause::of_code(code).anthropic_type(), message);
                body.close();
                return true;
            }
            Event::Stop { choice: 0, reason: StopReason::Error, native } if !is_native => {
                push_failure(out, &format!("the provider stopped with an error: {native}"));
                return true;
            }
            _ => {}
        }
    }
    false
}

fn push_failure(out: &mut Vec<u8>, message: &str) {
    let mut body = Object::typed(out, "error");
    foreign::push_error(&mut body, "api_error", message);
    body.close();
}

/// The block of arguments that nothing opened.
static UNNAMED: Block<'static> =
    Block::Tool { id: Cow::Borrowed(""), name: Cow::Borrowed(""), flavour: ToolFlavour::Function };

/// A whole answer, gathered.
#[derive(Default)]
struct Whole<'e> {
    is_native: bool,
    head: Option<(&'e str, &'e str)>,
    blocks: Vec<Built<'e>>,
    stop: Option<(StopReason, &'e str)>,
    counts: Counts,
    usage: Option<&'e str>,
}

/// A block, gathered.
struct Built<'e> {
    channel: Channel,
    block: &'e Block<'e>,
    text: String,
    signature: &'e str,
    citations: Vec<(&'e str, &'e str)>,
    extras: Extras<'e>,
    kept: Option<&'e [u8]>,
    is_whole: bool,
}

impl<'e> Whole<'e> {
    fn gather(is_native: bool, events: &'e [Event<'_>]) -> Whole<'e> {
        let mut whole = Whole { is_native, ..Whole::default() };
        let mut quoted = None;
        for event in events {
            match event {
                Event::Start { id, model, .. } => whole.head = Some((id, model)),
                Event::Open { channel, block } if channel.choice == 0 => {
                    if is_native || !matches!(block, Block::Other(_)) {
                        whole.open(*channel, block);
                    }
                }
                Event::Text { channel, text, .. } if channel.choice == 0 => {
                    if channel.kind == Kind::Citation {
                        quoted = Some(&**text);
                    } else if let Some(built) = whole.at(*channel) {
                        built.text.push_str(text);
                    }
                }
                Event::Signature { channel, value } if channel.choice == 0 => {
                    if let Some(built) = whole.at(*channel) {
                        built.signature = value;
                    }
                }
                Event::Close { channel } if channel.choice == 0 && !is_native => {
                    if let Some(built) = whole.at(*channel) {
                        built.is_whole = true;
                    }
                }
                Event::Stop { choice: 0, reason, native } => whole.stop = Some((*reason, native)),
                Event::Usage { counts, native } => {
                    whole.counts = later(whole.counts, *counts);
                    whole.usage = Some(native);
                }
                Event::Extra { place, key, json } if is_native => {
                    whole.extra(*place, key, json, quoted.take());
                }
                Event::Opaque { name, data, .. } if is_native => whole.keep(name, data),
                // Of the other choices, and what a whole answer has no place for.
                Event::Open { .. }
                | Event::Text { .. }
                | Event::Repeat { .. }
                | Event::Signature { .. }
                | Event::Close { .. }
                | Event::Stop { .. }
                | Event::Error { .. }
                | Event::Ping
                | Event::Extra { .. }
                | Event::Opaque { .. }
                | Event::End => {}
            }
        }
        whole
    }

    fn says_nothing(&self) -> bool {
        self.head.is_none() && self.blocks.is_empty() && self.stop.is_none()
    }

    fn open(&mut self, channel: Channel, block: &'e Block<'e>) {
        self.blocks.push(Built {
            channel,
            block,
            text: String::new(),
            signature: "",
            citations: Vec::new(),
            extras: Extras::new(),
            kept: None,
            is_whole: false,
        });
    }

    /// The block that text of `channel` goes to, opened if need be. Text and reasoning of another
    /// dialect go on only in the block that came last; calls may be interleaved.
    fn at(&mut self, channel: Channel) -> Option<&mut Built<'e>> {
        let shape = Shape::of(channel.kind);
        let found = if self.is_native {
            self.blocks.iter().rposition(|built| built.channel.block == channel.block)
        } else {
            let shape = shape?;
            let found = self.blocks.iter().rposition(|built| {
                built.channel.block == channel.block
                    && Shape::of(built.channel.kind) == Some(shape)
                    && (shape != Shape::Tool || built.channel.part == channel.part)
            });
            found.filter(|at| shape == Shape::Tool || at + 1 == self.blocks.len())
        };
        let at = if let Some(at) = found {
            at
        } else {
            let block = match shape {
                Some(Shape::Thinking) => &Block::Reasoning,
                Some(Shape::Tool) => &UNNAMED,
                Some(Shape::Text) | None => &Block::Text,
            };
            self.open(channel, block);
            self.blocks.len() - 1
        };
        self.blocks.get_mut(at)
    }

    fn extra(&mut self, place: Place, key: &'e str, json: &'e str, quoted: Option<&'e str>) {
        let (Place::Block(block) | Place::Delta(block)) = place else {
            return;
        };
        let Some(built) = self.blocks.iter_mut().rfind(|built| built.channel.block == block) else {
            return;
        };
        match place {
            Place::Delta(_) if key == "citation" => {
                built.citations.extend(quoted.map(|quoted| (json, quoted)));
            }
            Place::Block(_) => built.extras.push((key, json)),
            Place::Frame | Place::Message | Place::Choice(_) | Place::Delta(_) => {}
        }
    }

    /// Keeps the data of the block that was opened last, if that is what `data` is.
    fn keep(&mut self, name: &str, data: &'e [u8]) {
        if let Some(built) = self.blocks.last_mut()
            && let Block::Other(kind) = built.block
            && kind == name
            && built.kept.is_none()
        {
            built.kept = Some(data);
        }
    }

    fn push(&self, out: &mut Vec<u8>, run: Run<'_, '_>) {
        let (id, model) = self.head.unwrap_or((foreign::ID, ""));
        let id = if id.is_empty() && !self.is_native { foreign::ID } else { id };
        let mut content = vec![b'['];
        for built in &self.blocks {
            let is_said = match built.block {
                // A call that broke off must not look whole.
                Block::Tool { .. } => built.is_whole,
                Block::Text | Block::Reasoning | Block::Refusal | Block::Other(_) => {
                    !built.text.is_empty()
                }
            };
            if !is_said && !self.is_native {
                continue;
            }
            if content.len() > 1 {
                content.push(b',');
            }
            built.push(&mut content);
        }
        content.push(b']');
        let content = String::from_utf8(content).unwrap_or_default();
        let stop = match self.stop {
            Some((_, native)) if self.is_native => quote(native),
            None if self.is_native => "null".to_owned(),
            stop => quote(stop_word(stop.map_or(StopReason::EndTurn, |(reason, _)| reason))),
        };
        let told = foreign::usage(&self.counts, Prompt::Always);
        let usage = if self.is_native { self.usage } else { Some(&*told) };
        let mut extras = Extras::new();
        if self.is_native {
            extras = run.extras(Place::Message);
            extras.extend(run.extras(Place::Frame));
        }
        let mut message = Object::open(out);
        Head { id, model, content: &content, stop: &stop, usage }.push(&mut message, &extras);
        message.close();
    }
}

impl Built<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        match self.block {
            Block::Text | Block::Refusal => {
                let mut citations = vec![b'['];
                for (json, text) in &self.citations {
                    if citations.len() > 1 {
                        citations.push(b',');
                    }
                    push_citation(&mut citations, json, text);
                }
                citations.push(b']');
                let citations = String::from_utf8(citations).unwrap_or_default();
                let mut extras: Extras<'_> = self.extras.iter().copied().collect();
                if !self.citations.is_empty() {
                    extras.push(("citations", &citations));
                }
                push_text(out, &self.text, &extras);
            }
            Block::Reasoning => push_thinking(out, &self.text, self.signature, &self.extras),
            Block::Tool { id, name, flavour } => {
                push_tool(out, (id, name), *flavour, &self.input(*flavour), &self.extras);
            }
            Block::Other(kind) => push_other(out, kind, self.kept),
        }
    }

    /// The arguments as the object that `input` has to be. What is not one (free text, or JSON
    /// that broke off) goes into a member; the API's guide names the second `INVALID_JSON`.
    fn input(&self, flavour: ToolFlavour) -> Cow<'_, str> {
        let text = self.text.trim_ascii();
        let is_object = text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        match flavour {
            ToolFlavour::Custom => Cow::Owned(format!("{{\"input\":{}}}", quote(&self.text))),
            ToolFlavour::Function | ToolFlavour::Server if text.is_empty() => Cow::Borrowed("{}"),
            ToolFlavour::Function | ToolFlavour::Server if is_object => Cow::Borrowed(text),
            ToolFlavour::Function | ToolFlavour::Server => {
                Cow::Owned(format!("{{\"INVALID_JSON\":{}}}", quote(&self.text)))
            }
        }
    }
}
