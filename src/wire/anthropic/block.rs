//! A content block, as it stands in `content_block_start` and in a whole message.
//!
//! Both give the same events, in this order: `Open`; the members that we do not know; then what
//! the block already holds (text, arguments, signature, citations).

use super::channel;
use super::members::Members;
use crate::wire::event::{Block, Channel, Event, Kind, Place, ToolFlavour};
use crate::wire::{Dialect, Sink, json};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Says what block `index` holds; `raw` lies in `whole`, `frame` are the unknown members beside
/// it. Gives the kind of the block's main text.
pub(super) fn read<'a>(
    whole: &[u8],
    index: u16,
    raw: &'a RawValue,
    frame: Members<'a>,
    sink: &mut Sink<'_>,
) -> Kind {
    let mut members = Members::of(raw).unwrap_or_default();
    let Some(name) = members.take_string("type") else {
        return read_other(index, Cow::Borrowed(""), raw, frame, sink);
    };
    match &*name {
        "text" => {
            sink(Event::Open { channel: channel(index, Kind::Answer), block: Block::Text });
            let text = members.take_text("text");
            let citations = take_citations(&mut members);
            members.extras(Place::Block(index), sink);
            frame.extras(Place::Frame, sink);
            say_text(whole, channel(index, Kind::Answer), text, sink);
            for (citation, quoted) in citations {
                say_citation(whole, index, citation, quoted, sink);
            }
            Kind::Answer
        }
        "thinking" => {
            let channel = channel(index, Kind::Reasoning);
            sink(Event::Open { channel, block: Block::Reasoning });
            let text = members.take_text("thinking");
            let signature = members.take_string("signature");
            members.extras(Place::Block(index), sink);
            frame.extras(Place::Frame, sink);
            say_text(whole, channel, text, sink);
            if let Some(value) = signature.filter(|value| !value.is_empty()) {
                sink(Event::Signature { channel, value });
            }
            Kind::Reasoning
        }
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            read_tool(whole, index, &name, members, frame, sink);
            Kind::ToolArguments
        }
        _ => read_other(index, name, raw, frame, sink),
    }
}

fn read_tool<'a>(
    whole: &[u8],
    index: u16,
    kind: &str,
    mut members: Members<'a>,
    frame: Members<'a>,
    sink: &mut Sink<'_>,
) {
    let channel = channel(index, Kind::ToolArguments);
    let flavour = if kind == "tool_use" { ToolFlavour::Function } else { ToolFlavour::Server };
    let id = members.take_string("id").unwrap_or_default();
    let name = members.take_string("name").unwrap_or_default();
    sink(Event::Open { channel, block: Block::Tool { id, name, flavour } });
    if kind == "mcp_tool_use" {
        sink(Event::Extra {
            place: Place::Block(index),
            key: Cow::Borrowed("type"),
            json: Cow::Borrowed("\"mcp_tool_use\""),
        });
    }
    let input = members.take_object("input").filter(|input| input.get() != "{}");
    members.extras(Place::Block(index), sink);
    frame.extras(Place::Frame, sink);
    if let Some(input) = input {
        let span = json::span_of(whole, input);
        sink(Event::Text { channel, text: Cow::Borrowed(input.get()), span });
    }
}

fn read_other<'a>(
    index: u16,
    name: Cow<'a, str>,
    raw: &'a RawValue,
    frame: Members<'a>,
    sink: &mut Sink<'_>,
) -> Kind {
    let kind = if name.ends_with("_tool_result") { Kind::ToolResult } else { Kind::Other };
    sink(Event::Open { channel: channel(index, kind), block: Block::Other(name.clone()) });
    sink(Event::Opaque {
        dialect: Dialect::Anthropic,
        name,
        data: Cow::Borrowed(raw.get().as_bytes()),
    });
    frame.extras(Place::Frame, sink);
    kind
}

fn say_text(
    whole: &[u8],
    channel: Channel,
    text: Option<(Cow<'_, str>, &RawValue)>,
    sink: &mut Sink<'_>,
) {
    if let Some((text, raw)) = text.filter(|(text, _)| !text.is_empty()) {
        sink(Event::Text { channel, text, span: json::span_of(whole, raw) });
    }
}

/// What a citation quotes, as text and as it stands.
pub(super) type Quoted<'a> = (Cow<'a, str>, &'a RawValue);

/// What `citation` quotes.
pub(super) fn quoted(citation: &RawValue) -> Option<Quoted<'_>> {
    Members::of(citation)?.take_text("cited_text")
}

/// Says one citation: what it quotes, then all of it.
pub(super) fn say_citation(
    whole: &[u8],
    index: u16,
    citation: &RawValue,
    (text, raw): Quoted<'_>,
    sink: &mut Sink<'_>,
) {
    let span = json::span_of(whole, raw);
    sink(Event::Text { channel: channel(index, Kind::Citation), text, span });
    sink(Event::Extra {
        place: Place::Delta(index),
        key: Cow::Borrowed("citation"),
        json: Cow::Borrowed(citation.get()),
    });
}

/// Takes the citations of a text block out, if every one of them quotes text.
fn take_citations<'a>(members: &mut Members<'a>) -> Vec<(&'a RawValue, Quoted<'a>)> {
    let Some(raw) = members.get("citations") else {
        return Vec::new();
    };
    let Ok(all) = serde_json::from_str::<Vec<&'a RawValue>>(raw.get()) else {
        return Vec::new();
    };
    let read: Option<Vec<_>> =
        all.into_iter().map(|citation| Some((citation, quoted(citation)?))).collect();
    let citations = read.unwrap_or_default();
    if !citations.is_empty() {
        members.take("citations");
    }
    citations
}
