//! Whole answers: an `output` or an error, to events and back.
//!
//! The events are those that the answer's stream would have given.

use super::foreign::{Foreign, error_body};
use super::write::{push_call, push_citation, push_other, push_texts, telling};
use super::{block, stream};
use crate::wire::event::{Block, Event, Kind, Place};
use crate::wire::loss::Losses;
use crate::wire::members::Members;
use crate::wire::object::{Extras, Object, Run, quote};
use crate::wire::{Dialect, Sink, json};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// See [`crate::wire::decode_unary`].
pub fn decode_unary(body: &[u8], sink: &mut Sink<'_>) {
    if read(body, sink).is_none() {
        sink(Event::Opaque {
            dialect: Dialect::Bedrock,
            name: Cow::Borrowed(""),
            data: Cow::Borrowed(body),
        });
    }
}

/// Says what the body means; `None`, with nothing said, if that is not known.
fn read(body: &[u8], sink: &mut Sink<'_>) -> Option<()> {
    let text = std::str::from_utf8(body).ok()?;
    let mut top = Members::parse(text)?;
    let Some(output) = top.take("output") else {
        let message = top.get("message").or(top.get("Message")).and_then(json::string)?;
        let code = top.get("__type").and_then(json::string).unwrap_or_default();
        let native = Cow::Borrowed(text.trim_ascii());
        sink(Event::Error { code, message, native });
        return Some(());
    };
    let mut output = Members::of(output)?;
    let mut message = Members::of(output.take("message")?)?;
    let content: Vec<&RawValue> = serde_json::from_str(message.take("content")?.get()).ok()?;
    let past_last = u16::try_from(content.len()).ok()?;
    // A body without it is no answer.
    top.get("stopReason").and_then(json::string)?;
    let (stop, late) = {
        let late =
            top.split_off(|key| !matches!(key, "stopReason" | "additionalModelResponseFields"));
        (top, late)
    };
    stream::start(&mut message, sink);
    message.extras(Place::Message, sink);
    output.extras(Place::Choice(0), sink);
    for (index, raw) in (0..past_last).zip(content) {
        block::whole(body, index, raw, sink);
    }
    stream::message_stop(body, stop, sink)?;
    stream::metadata(body, late, sink);
    Some(())
}

/// See [`crate::wire::encode_unary`].
pub fn encode_unary(source: Dialect, events: &[Event<'_>], losses: &mut Losses) -> Vec<u8> {
    if source == Dialect::Bedrock {
        return push(events);
    }
    let mut foreign = Foreign::new(source);
    let said = foreign.whole(events);
    losses.join(foreign.retelling.losses());
    push(&said)
}

/// Writes the body that events of this dialect say.
fn push(events: &[Event<'_>]) -> Vec<u8> {
    let mut kept = None;
    for event in events {
        match event {
            Event::Error { native, .. } => return native.as_bytes().to_vec(),
            Event::Opaque { data, .. } if kept.is_none() => kept = Some(data),
            _ => {}
        }
    }
    let has_answer =
        events.iter().any(|event| matches!(event, Event::Start { .. } | Event::Stop { .. }));
    match (has_answer, kept) {
        (true, _) => push_answer(events),
        (false, Some(data)) => data.to_vec(),
        (false, None) => error_body("the provider's answer could not be read").into_bytes(),
    }
}

fn push_answer(events: &[Event<'_>]) -> Vec<u8> {
    let run = Run(events);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::open(&mut out);
    let mut output = Object::open(body.key("output"));
    let mut message = Object::open(output.key("message"));
    message.with_extras(&[("role", "\"assistant\"")], &run.extras(Place::Message));
    push_content(message.key("content"), events);
    message.close();
    output.extras(&run.extras(Place::Choice(0)));
    output.close();
    let stop = events.iter().rev().find_map(|event| match event {
        Event::Stop { native, .. } => Some(&**native),
        _ => None,
    });
    body.string("stopReason", stop.unwrap_or("end_turn"));
    let usage = events.iter().rev().find_map(|event| match event {
        Event::Usage { native, .. } => Some(&**native),
        _ => None,
    });
    if let Some(usage) = usage {
        body.raw("usage", usage);
    }
    body.extras(&telling(run));
    body.close();
    out
}

/// A block, gathered.
struct Built<'e> {
    index: u16,
    block: Option<&'e Block<'e>>,
    kind: Kind,
    texts: Vec<&'e str>,
    signature: Option<&'e str>,
    /// Citations and what each quotes.
    citations: Option<Vec<(&'e str, Vec<&'e str>)>>,
    inner: Extras<'e>,
    outer: Extras<'e>,
    kept: Option<&'e [u8]>,
}

fn push_content(out: &mut Vec<u8>, events: &[Event<'_>]) {
    out.push(b'[');
    for (at, built) in gather(events).iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        built.push(out);
    }
    out.push(b']');
}

fn gather<'e>(events: &'e [Event<'_>]) -> Vec<Built<'e>> {
    let mut blocks: Vec<Built<'e>> = Vec::new();
    let mut quotes: Vec<&'e str> = Vec::new();
    for event in events {
        match event {
            Event::Open { channel, block } => {
                let built = at(&mut blocks, channel.block, channel.kind);
                built.block = Some(block);
            }
            Event::Text { channel, text, .. } if channel.kind == Kind::Citation => {
                quotes.push(text);
            }
            Event::Text { channel, text, .. } => {
                at(&mut blocks, channel.block, channel.kind).texts.push(text);
            }
            Event::Signature { channel, value } => {
                at(&mut blocks, channel.block, channel.kind).signature = Some(value);
            }
            Event::Extra { place: Place::Block(index), key, json } => {
                at(&mut blocks, *index, Kind::Answer).inner.push((key, json));
            }
            Event::Extra { place: Place::Delta(index), key, json } => {
                let built = at(&mut blocks, *index, Kind::Answer);
                match &**key {
                    "citation" => {
                        let citation = (&**json, std::mem::take(&mut quotes));
                        built.citations.get_or_insert_default().push(citation);
                    }
                    // Says that there are none.
                    "citations" if json == "[]" => built.citations = Some(Vec::new()),
                    key => built.outer.push((key, json)),
                }
            }
            Event::Opaque { name, data, .. } => {
                if let Some(built) = blocks.last_mut()
                    && matches!(built.block, Some(Block::Other(kind)) if kind == name)
                {
                    built.kept.get_or_insert(data);
                }
            }
            Event::Extra { place: Place::Frame | Place::Message | Place::Choice(_), .. }
            | Event::Start { .. }
            | Event::Repeat { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::End => {}
        }
    }
    blocks
}

/// The block `index`, made if there is none. Blocks come in order, so it is mostly the last.
fn at<'b, 'e>(blocks: &'b mut Vec<Built<'e>>, index: u16, kind: Kind) -> &'b mut Built<'e> {
    let found = blocks.iter().rposition(|built| built.index == index);
    let found = found.unwrap_or_else(|| {
        blocks.push(Built {
            index,
            block: None,
            kind,
            texts: Vec::new(),
            signature: None,
            citations: None,
            inner: Extras::new(),
            outer: Extras::new(),
            kept: None,
        });
        blocks.len() - 1
    });
    &mut blocks[found]
}

impl Built<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        if let Some(Block::Other(kind)) = self.block {
            return push_other(out, kind, self.kept);
        }
        let text = self.texts.concat();
        let mut union = Object::open(out);
        match (self.block, self.kind) {
            (Some(Block::Tool { id, name, .. }), _) => {
                let input = input(&text);
                push_call(union.key("toolUse"), (id, name), Some(&input), &self.inner);
            }
            (_, Kind::ToolArguments) => {
                push_call(union.key("toolUse"), ("", ""), Some(&input(&text)), &self.inner);
            }
            (_, Kind::Reasoning) => {
                let mut reasoning = Object::open(union.key("reasoningContent"));
                let mut inner = Object::open(reasoning.key("reasoningText"));
                inner.string("text", &text);
                if let Some(signature) = self.signature {
                    inner.string("signature", signature);
                }
                inner.extras(&self.inner);
                inner.close();
                reasoning.close();
            }
            _ => match &self.citations {
                Some(citations) => {
                    let mut cited = Object::open(union.key("citationsContent"));
                    push_texts(cited.key("content"), &self.texts);
                    let all = cited.key("citations");
                    all.push(b'[');
                    for (at, (json, quotes)) in citations.iter().enumerate() {
                        if at > 0 {
                            all.push(b',');
                        }
                        push_citation(all, json, quotes);
                    }
                    all.push(b']');
                    cited.close();
                }
                None => union.string("text", &text),
            },
        }
        union.extras(&self.outer);
        union.close();
    }
}

/// The arguments as the object that `input` has to be. What is not one (JSON that broke off) goes
/// into a member.
fn input(text: &str) -> Cow<'_, str> {
    let text = text.trim_ascii();
    if text.is_empty() {
        Cow::Borrowed("{}")
    } else if text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{{\"INVALID_JSON\":{}}}", quote(text)))
    }
}
