//! What one choice says, the same in a stream's `delta` and in a whole answer's `message`.

use super::{CONTENT_PARTS_PART, LEGACY_CALL, REASONING, REASONING_DETAILS_PART};
use crate::wire::event::{Block, Channel, Counts, Event, Kind, Place, StopReason, ToolFlavour};
use crate::wire::members::Members;
use crate::wire::{Sink, json};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Calls that one answer may make; what lies beyond is kept as it is, unread.
const CALLS_MAX: usize = 512;

/// What is remembered of calls, so that a later piece finds its own.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    choice: u16,
    index: u16,
    id: Box<str>,
}

/// Where texts stand: the raw bytes that spans refer to.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl<'a> Raw<'a> {
    fn text(self, channel: Channel, raw: &'a RawValue) -> Option<Event<'a>> {
        let text = json::string(raw)?;
        Some(Event::Text { channel, text, span: json::span_of(self.0, raw) })
    }
}

/// Says a text if `raw` is a string that is not empty; else keeps the member as it is.
fn text_or_extra<'a>(
    bytes: Raw<'a>,
    channel: Channel,
    key: &'static str,
    raw: &'a RawValue,
    sink: &mut Sink<'_>,
) {
    match bytes.text(channel, raw) {
        Some(event) if raw.get().len() > 2 => sink(event),
        Some(_) | None => extra(Place::Delta(channel.choice), key, raw, sink),
    }
}

fn extra(place: Place, key: &str, raw: &RawValue, sink: &mut Sink<'_>) {
    sink(Event::Extra { place, key: Cow::Borrowed(key), json: Cow::Borrowed(raw.get()) });
}

fn channel(choice: u16, block: u16, part: u16, kind: Kind) -> Channel {
    Channel { choice, block, part, kind }
}

/// Says all that a delta or message says.
pub(super) fn delta<'a>(
    bytes: Raw<'a>,
    choice: u16,
    mut members: Members<'a>,
    calls: &mut Calls,
    sink: &mut Sink<'_>,
) {
    if let Some(raw) = members.take("role") {
        extra(Place::Delta(choice), "role", raw, sink);
    }
    if let Some(raw) = members.take("content") {
        if raw.get().starts_with('[') {
            content_parts(bytes, choice, raw, sink);
        } else {
            text_or_extra(bytes, channel(choice, 0, 0, Kind::Answer), "content", raw, sink);
        }
    }
    let mut reasons = false;
    for (part, key) in (0..).zip(REASONING) {
        if let Some(raw) = members.take(key) {
            let here = channel(choice, 0, part, Kind::Reasoning);
            let is_text = raw.get().len() > 2 && raw.get().starts_with('"');
            match (is_text, reasons, json::string(raw)) {
                // The same text under a second name is a second copy.
                (true, true, Some(text)) => {
                    let span = json::span_of(bytes.0, raw);
                    sink(Event::Repeat { channel: here, text, span });
                }
                (_, _, _) => text_or_extra(bytes, here, key, raw, sink),
            }
            reasons |= is_text;
        }
    }
    if let Some(raw) = members.take("reasoning_details") {
        reasoning_details(bytes, choice, raw, reasons, sink);
    }
    if let Some(raw) = members.take("refusal") {
        text_or_extra(bytes, channel(choice, 0, 0, Kind::Refusal), "refusal", raw, sink);
    }
    if let Some(raw) = members.take("tool_calls") {
        tool_calls(bytes, choice, raw, calls, sink);
    }
    if let Some(raw) = members.take("function_call") {
        match Members::of(raw) {
            Some(call) => {
                one_call(bytes, choice, LEGACY_CALL, Members::default(), call, calls, sink);
            }
            None => extra(Place::Delta(choice), "function_call", raw, sink),
        }
    }
    members.extras(Place::Delta(choice), sink);
}

/// `content` as an array of parts: the array is kept, and the texts in it are said.
fn content_parts<'a>(bytes: Raw<'a>, choice: u16, raw: &'a RawValue, sink: &mut Sink<'_>) {
    extra(Place::Delta(choice), "content", raw, sink);
    for part in elements(raw) {
        let Some(mut members) = Members::of(part) else { continue };
        let kind = members.take_string("type").unwrap_or_default();
        let kind = if kind == "thinking" { Kind::Reasoning } else { Kind::Answer };
        let here = channel(choice, 0, CONTENT_PARTS_PART, kind);
        if let Some(text) = members.take("text") {
            bytes.text(here, text).into_iter().for_each(&mut *sink);
        }
        let Some(thinking) = members.take("thinking") else { continue };
        bytes.text(here, thinking).into_iter().for_each(&mut *sink);
        for inner in elements(thinking) {
            if let Some(text) = Members::of(inner).and_then(|mut m| m.take("text")) {
                bytes.text(here, text).into_iter().for_each(&mut *sink);
            }
        }
    }
}

/// `reasoning_details` (OpenRouter): kept, and their texts said; a second copy where the delta has
/// the text under another name too.
fn reasoning_details<'a>(
    bytes: Raw<'a>,
    choice: u16,
    raw: &'a RawValue,
    is_copy: bool,
    sink: &mut Sink<'_>,
) {
    extra(Place::Delta(choice), "reasoning_details", raw, sink);
    let here = channel(choice, 0, REASONING_DETAILS_PART, Kind::Reasoning);
    for detail in elements(raw) {
        let Some(mut members) = Members::of(detail) else { continue };
        for key in ["text", "summary"] {
            let Some(raw) = members.take(key) else { continue };
            match bytes.text(here, raw) {
                Some(Event::Text { channel, text, span }) if is_copy => {
                    sink(Event::Repeat { channel, text, span });
                }
                Some(event) => sink(event),
                None => {}
            }
        }
    }
}

fn tool_calls<'a>(
    bytes: Raw<'a>,
    choice: u16,
    raw: &'a RawValue,
    calls: &mut Calls,
    sink: &mut Sink<'_>,
) {
    let list = elements(raw);
    if list.is_empty() {
        extra(Place::Delta(choice), "tool_calls", raw, sink);
        return;
    }
    for (position, raw) in list.into_iter().enumerate() {
        let Some(mut members) = Members::of(raw) else {
            extra(Place::Delta(choice), "tool_calls", raw, sink);
            continue;
        };
        let given = members.take("index").and_then(|index| index.get().parse::<u16>().ok());
        let function = members.take_object("function").or_else(|| members.take_object("custom"));
        let index = match given {
            Some(index) => index,
            None => calls.unnumbered(choice, members.get("id"), position),
        };
        if usize::from(index) >= CALLS_MAX {
            extra(Place::Delta(choice), "tool_calls", raw, sink);
            continue;
        }
        let function = function.and_then(Members::of).unwrap_or_default();
        one_call(bytes, choice, 1 + index, members, function, calls, sink);
    }
}

fn one_call<'a>(
    bytes: Raw<'a>,
    choice: u16,
    block: u16,
    mut outer: Members<'a>,
    mut inner: Members<'a>,
    calls: &mut Calls,
    sink: &mut Sink<'_>,
) {
    let id = outer.take_string("id").unwrap_or_default();
    let name = inner.take_string("name").unwrap_or_default();
    let flavour = match outer.take_string("type").as_deref() {
        Some("custom") => ToolFlavour::Custom,
        Some(_) | None => ToolFlavour::Function,
    };
    outer.drop_default("id", "null");
    outer.drop_default("type", "null");
    inner.drop_default("name", "null");
    let here = channel(choice, block, 0, Kind::ToolArguments);
    if calls.is_new(choice, block, &id) {
        sink(Event::Open { channel: here, block: Block::Tool { id, name, flavour } });
    }
    for key in ["arguments", "input"] {
        let Some(raw) = inner.take(key) else { continue };
        if raw.get().starts_with('{') {
            let span = json::span_of(bytes.0, raw);
            sink(Event::Text { channel: here, text: Cow::Borrowed(raw.get()), span });
        } else if raw.get().len() > 2 {
            bytes.text(here, raw).into_iter().for_each(&mut *sink);
        }
    }
    outer.extras(Place::Block(block), sink);
    inner.extras(Place::Block(block), sink);
}

impl Calls {
    /// The index of a call that comes without one: that of its id, else the next.
    fn unnumbered(&self, choice: u16, id: Option<&RawValue>, position: usize) -> u16 {
        let id = id.and_then(json::string).unwrap_or_default();
        let of_choice = || self.open.iter().filter(|call| call.choice == choice);
        let known = of_choice().find(|call| !id.is_empty() && *call.id == *id);
        let next = of_choice().count();
        match known {
            Some(call) => call.index - 1,
            None if id.is_empty() => u16::try_from(position).unwrap_or(u16::MAX),
            None => u16::try_from(next).unwrap_or(u16::MAX),
        }
    }

    /// Whether this is the first piece of a call; remembers it.
    fn is_new(&mut self, choice: u16, block: u16, id: &str) -> bool {
        let known = self.open.iter().any(|call| call.choice == choice && call.index == block);
        if !known && self.open.len() < CALLS_MAX {
            self.open.push(Call { choice, index: block, id: id.into() });
        }
        !known
    }
}

/// The elements of an array; none if it is no array.
pub(super) fn elements(raw: &RawValue) -> SmallVec<[&RawValue; 4]> {
    if !raw.get().starts_with('[') {
        return SmallVec::new();
    }
    serde_json::from_str::<Vec<&RawValue>>(raw.get()).map(SmallVec::from_vec).unwrap_or_default()
}

/// The shared meaning of a `finish_reason`.
pub(super) fn stop_reason(native: &str) -> StopReason {
    match native {
        "stop" | "eos" | "end_turn" => StopReason::EndTurn,
        "length" | "max_tokens" | "model_length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::ContentFilter,
        "error" => StopReason::Error,
        _ => StopReason::Other,
    }
}

/// The `finish_reason` of a shared meaning.
pub(super) fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence | StopReason::Pause | StopReason::Other => {
            "stop"
        }
        StopReason::MaxTokens => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
        StopReason::Error => "error",
    }
}

/// The counts of a `usage` object.
pub(super) fn counts(usage: &RawValue) -> Counts {
    let number = |raw: &RawValue| raw.get().parse::<u64>().ok();
    let mut counts = Counts::default();
    let Some(members) = Members::of(usage) else { return counts };
    for (key, raw) in members.iter() {
        match key {
            "prompt_tokens" | "input_tokens" => counts.input = number(raw),
            "completion_tokens" | "output_tokens" => counts.output = number(raw),
            "cache_read_input_tokens" => counts.cache_read = number(raw),
            "cache_creation_input_tokens" => counts.cache_write = number(raw),
            "prompt_tokens_details" => {
                if let Some(details) = Members::of(raw) {
                    counts.cache_read =
                        details.get("cached_tokens").and_then(number).or(counts.cache_read);
                }
            }
            "completion_tokens_details" => {
                if let Some(details) = Members::of(raw) {
                    counts.reasoning = details.get("reasoning_tokens").and_then(number);
                }
            }
            _ => {}
        }
    }
    counts
}
