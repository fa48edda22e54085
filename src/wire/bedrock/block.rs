//! The members of a content block: in a stream's `start` and `delta`, and in a whole message.
//!
//! Each is a union: an object with one member that says what it is. What stands beside that member
//! is unknown to us and kept.

use super::channel;
use crate::wire::event::{Block, Channel, Event, Kind, Place, ToolFlavour};
use crate::wire::members::Members;
use crate::wire::{Dialect, Sink, json};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a call's `type` says where the provider runs the tool.
pub(super) const SERVER_TOOL: &str = "server_tool_use";

/// Says text with its place in `whole`, if there is any.
pub(super) fn say_text(
    whole: &[u8],
    channel: Channel,
    (text, raw): (Cow<'_, str>, &RawValue),
    sink: &mut Sink<'_>,
) {
    sink(Event::Text { channel, text, span: json::span_of(whole, raw) });
}

/// Says that a call opens; gives its input, if it stands there already.
#[expect(clippy::option_option, reason = "no call, or a call without input")]
pub(super) fn open_call<'a>(
    index: u16,
    call: &'a RawValue,
    sink: &mut Sink<'_>,
) -> Option<Option<&'a RawValue>> {
    let mut call = Members::of(call)?;
    let id = call.take_string("toolUseId")?;
    let name = call.take_string("name")?;
    let input = call.take("input");
    let flavour = match call.get("type").and_then(json::string) {
        Some(kind) if kind == SERVER_TOOL => ToolFlavour::Server,
        Some(_) | None => ToolFlavour::Function,
    };
    let channel = channel(index, Kind::ToolArguments);
    sink(Event::Open { channel, block: Block::Tool { id, name, flavour } });
    call.extras(Place::Block(index), sink);
    Some(input)
}

/// Says that a block opens which only this dialect knows, and all of it; gives its kind.
pub(super) fn open_other(
    index: u16,
    name: Cow<'_, str>,
    raw: &RawValue,
    sink: &mut Sink<'_>,
) -> Kind {
    let kind = if name == "toolResult" { Kind::ToolResult } else { Kind::Other };
    sink(Event::Open { channel: channel(index, kind), block: Block::Other(name.clone()) });
    sink(Event::Opaque {
        dialect: Dialect::Bedrock,
        name,
        data: Cow::Borrowed(raw.get().as_bytes()),
    });
    kind
}

/// Takes the one member out of a union that has no other.
pub(super) fn take_only<'a>(union: &mut Members<'a>) -> Option<(Cow<'a, str>, &'a RawValue)> {
    let mut all = std::mem::take(union).into_all();
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// The pieces that a citation quotes, in order.
pub(super) fn quoted(citation: &RawValue) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    match Members::of(citation)?.get("sourceContent") {
        Some(content) => texts(content),
        None => Some(Vec::new()),
    }
}

/// The texts of a list of which every item is `{"text":".."}`.
pub(super) fn texts(list: &RawValue) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let items: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
    items
        .into_iter()
        .map(|item| {
            let mut item = Members::of(item)?;
            let text = item.take_text("text")?;
            item.is_empty().then_some(text)
        })
        .collect()
}

/// Says one citation: what it quotes, then all of it. `None`, with nothing said, if it is none.
pub(super) fn say_citation(
    whole: &[u8],
    index: u16,
    citation: &RawValue,
    sink: &mut Sink<'_>,
) -> Option<()> {
    for text in quoted(citation)? {
        say_text(whole, channel(index, Kind::Citation), text, sink);
    }
    sink(Event::Extra {
        place: Place::Delta(index),
        key: Cow::Borrowed("citation"),
        json: Cow::Borrowed(citation.get()),
    });
    Some(())
}

/// Says a block of a whole message, to its close.
pub(super) fn whole(body: &[u8], index: u16, raw: &RawValue, sink: &mut Sink<'_>) {
    let kind = known(body, index, raw, sink).unwrap_or_else(|| {
        let only = Members::of(raw).and_then(|mut members| take_only(&mut members));
        let (name, raw) = only.unwrap_or((Cow::Borrowed(""), raw));
        open_other(index, name, raw, sink)
    });
    sink(Event::Close { channel: channel(index, kind) });
}

/// Says a block that we know; `None`, with nothing said, if it is none.
fn known(body: &[u8], index: u16, raw: &RawValue, sink: &mut Sink<'_>) -> Option<Kind> {
    let mut union = Members::of(raw)?;
    let place = Place::Delta(index);
    if let Some(text) = union.take_text("text") {
        say_text(body, channel(index, Kind::Answer), text, sink);
        union.extras(place, sink);
        return Some(Kind::Answer);
    }
    if let Some(call) = union.take_object("toolUse") {
        let input = open_call(index, call, sink)?;
        union.extras(place, sink);
        if let Some(input) = input.filter(|input| input.get() != "{}") {
            let text = (Cow::Borrowed(input.get()), input);
            say_text(body, channel(index, Kind::ToolArguments), text, sink);
        }
        return Some(Kind::ToolArguments);
    }
    if let Some(reasoning) = union.take_object("reasoningContent") {
        let mut reasoning = Members::of(reasoning)?;
        let mut text = Members::of(reasoning.take_object("reasoningText")?)?;
        if !reasoning.is_empty() {
            return None;
        }
        let channel = channel(index, Kind::Reasoning);
        say_text(body, channel, text.take_text("text")?, sink);
        let signature = text.take_string("signature");
        text.extras(Place::Block(index), sink);
        if let Some(value) = signature {
            sink(Event::Signature { channel, value });
        }
        union.extras(place, sink);
        return Some(Kind::Reasoning);
    }
    let mut cited = Members::of(union.take_object("citationsContent")?)?;
    let content = texts(cited.take("content")?)?;
    let citations: Vec<&RawValue> = match cited.take("citations") {
        Some(list) => serde_json::from_str(list.get()).ok()?,
        None => Vec::new(),
    };
    let is_read = citations.iter().all(|citation| quoted(citation).is_some());
    if !is_read || !cited.is_empty() || !union.is_empty() || content.is_empty() {
        return None;
    }
    for text in content {
        say_text(body, channel(index, Kind::Answer), text, sink);
    }
    if citations.is_empty() {
        // So that the block becomes one of its kind again.
        sink(Event::Extra { place, key: "citations".into(), json: "[]".into() });
    }
    for citation in citations {
        say_citation(body, index, citation, sink)?;
    }
    Some(Kind::Answer)
}
