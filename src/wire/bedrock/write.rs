//! Events to frames.
//!
//! Events that came from this dialect carry all that its frames held, so each event that is not an
//! `Extra` becomes one frame, and the `Extra`s behind it go where they stood. Events of other
//! dialects are first put into this one's order by [`Foreign`]; then the same holds.

use super::foreign::Foreign;
use super::told;
use crate::wire::event::{Block, Event, Kind, Place};
use crate::wire::eventstream::{push_event, push_exception};
use crate::wire::json;
use crate::wire::loss::Losses;
use crate::wire::members::Members;
use crate::wire::object::{Extras, Object, Run, quote};
use crate::wire::{Dialect, Tail};
use serde_json::value::RawValue;

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {
    tail: Tail,
    /// The payload of the frame being written.
    data: Vec<u8>,
    /// The order of blocks, which events of this dialect bring along.
    foreign: Option<Box<Foreign>>,
}

impl Encoder {
    /// See [`crate::wire::Encoder::new`].
    pub fn new(source: Dialect) -> Encoder {
        let is_foreign = source != Dialect::Bedrock;
        let foreign = is_foreign.then(|| Box::new(Foreign::new(source)));
        Encoder { tail: Tail::default(), data: Vec::new(), foreign }
    }

    /// See [`crate::wire::Encoder::frame`].
    ///
    /// Of a foreign source, `metadata` is written at [`Event::End`] only: where the source has no
    /// end mark of its own, the caller has to say it.
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            if let Event::Start { id, model, created } = event {
                let some = |text: &str| (!text.is_empty()).then(|| Box::from(text));
                self.tail =
                    Tail { id: some(id), model: some(model), created: *created, sequence: 0 };
            }
        }
        match &mut self.foreign {
            Some(foreign) => {
                let said = foreign.events(events);
                push_all(&mut self.data, &said, out);
            }
            None => push_all(&mut self.data, events, out),
        }
    }

    /// See [`crate::wire::Encoder::turn_foreign`].
    pub fn turn_foreign(&mut self, source: Dialect, history: &[Event<'_>]) -> bool {
        if let Some(foreign) = &mut self.foreign {
            foreign.retelling.turn_to(source);
            return true;
        }
        let mut foreign = Box::new(Foreign::new(source));
        for event in history {
            foreign.events(std::slice::from_ref(event));
        }
        self.foreign = Some(foreign);
        true
    }

    /// See [`crate::wire::Encoder::losses`].
    pub fn losses(&self) -> Losses {
        self.foreign.as_ref().map_or_else(Losses::default, |foreign| foreign.retelling.losses())
    }

    /// See [`crate::wire::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }
}

/// Writes events of this dialect, frame by frame, payloads by way of `data`.
fn push_all(data: &mut Vec<u8>, events: &[Event<'_>], out: &mut Vec<u8>) {
    let mut rest = events;
    while let Some(first) = rest.first() {
        let (run, behind) = rest.split_at(run_length(rest));
        rest = behind;
        data.clear();
        if let Event::Error { code, native, .. } = first {
            push_exception(out, code, native.as_bytes());
        } else if let Some(name) = push_payload(data, first, Run(run)) {
            push_event(out, name, data);
        }
    }
}

/// How many events from the first on stood in its frame; at least one.
fn run_length(events: &[Event<'_>]) -> usize {
    let Some((first, rest)) = events.split_first() else { return 0 };
    let mut has_block = false;
    let mut has_citation = false;
    let mut has_end = matches!(first, Event::End);
    let is_metadata =
        matches!(first, Event::Usage { .. } | Event::Extra { place: Place::Frame, .. });
    let tells = is_metadata || matches!(first, Event::Stop { .. });
    let block = match first {
        Event::Open { channel, .. }
        | Event::Text { channel, .. }
        | Event::Signature { channel, .. } => Some(channel.block),
        Event::Extra { place: Place::Delta(block) | Place::Block(block), .. } => Some(*block),
        _ => None,
    };
    let is_quote = |event: &Event<'_>| matches!(event, Event::Text { channel, .. } if channel.kind == Kind::Citation && Some(channel.block) == block);
    let quotes = is_quote(first);
    let mut belongs = |next: &Event<'_>| match next {
        _ if has_end
            || matches!(
                first,
                Event::Opaque { .. } | Event::Repeat { .. } | Event::Error { .. } | Event::Ping
            ) =>
        {
            false
        }
        Event::Extra { place: Place::Frame, .. } => true,
        Event::Extra { place: Place::Message, .. } => matches!(first, Event::Start { .. }),
        Event::Extra { place: Place::Block(at), .. } => block == Some(*at),
        Event::Extra { place: Place::Delta(at), key, .. } => {
            // A second citation is a frame of its own.
            let is_citation = key == "citation";
            block == Some(*at)
                && !(is_citation && std::mem::replace(&mut has_citation, is_citation))
        }
        Event::Opaque { name, .. } => {
            matches!(first, Event::Open { block: Block::Other(kind), .. } if kind == name)
                && !std::mem::replace(&mut has_block, true)
        }
        Event::Text { .. } => quotes && !has_citation && is_quote(next),
        Event::Repeat { .. } => tells,
        Event::End => {
            has_end = true;
            is_metadata
        }
        Event::Extra { place: Place::Choice(_), .. }
        | Event::Start { .. }
        | Event::Open { .. }
        | Event::Signature { .. }
        | Event::Close { .. }
        | Event::Stop { .. }
        | Event::Usage { .. }
        | Event::Error { .. }
        | Event::Ping => false,
    };
    1 + rest.iter().take_while(|next| belongs(next)).count()
}

/// Writes the payload of the frame that `run`, which begins with `first`, came in; gives its name,
/// or `None` if the events say nothing that the dialect can write.
fn push_payload<'e>(out: &mut Vec<u8>, first: &'e Event<'_>, run: Run<'e, '_>) -> Option<&'e str> {
    match first {
        Event::Start { .. } => {
            let mut frame = Object::open(out);
            let mut extras = run.extras(Place::Message);
            extras.extend(run.extras(Place::Frame));
            frame.with_extras(&[("role", "\"assistant\"")], &extras);
            frame.close();
            Some("messageStart")
        }
        Event::Open { channel, block } => {
            let extras = run.extras(Place::Delta(channel.block));
            let mut frame = Object::open(out);
            match block {
                Block::Tool { id, name, .. } => {
                    let mut start = Object::open(frame.key("start"));
                    let inner = run.extras(Place::Block(channel.block));
                    push_call(start.key("toolUse"), (id, name), None, &inner);
                    start.extras(&extras);
                    start.close();
                }
                Block::Other(kind) => push_other(frame.key("start"), kind, kept(run.0, kind)),
                // They begin with their text.
                Block::Text | Block::Reasoning | Block::Refusal => return None,
            }
            close_block_frame(frame, channel.block, run);
            Some("contentBlockStart")
        }
        Event::Text { channel, text, .. } => {
            let place = Place::Block(channel.block);
            match channel.kind {
                Kind::Answer | Kind::Refusal => push_delta(out, channel.block, run, |delta| {
                    delta.string("text", text);
                }),
                Kind::ToolArguments => push_delta(out, channel.block, run, |delta| {
                    let mut call = Object::open(delta.key("toolUse"));
                    call.string("input", text);
                    call.extras(&run.extras(place));
                    call.close();
                }),
                Kind::Reasoning => push_delta(out, channel.block, run, |delta| {
                    push_reasoning(delta, "text", text, &run.extras(place));
                }),
                Kind::Citation => return push_citation_delta(out, channel.block, run),
                Kind::System
                | Kind::User
                | Kind::History
                | Kind::Document
                | Kind::ToolResult
                | Kind::ToolDefinition
                | Kind::ToolName
                | Kind::Other => return None,
            }
            Some("contentBlockDelta")
        }
        Event::Signature { channel, value } => {
            push_delta(out, channel.block, run, |delta| {
                push_reasoning(delta, "signature", value, &run.extras(Place::Block(channel.block)));
            });
            Some("contentBlockDelta")
        }
        Event::Close { channel } => {
            close_block_frame(Object::open(out), channel.block, run);
            Some("contentBlockStop")
        }
        Event::Stop { native, .. } => {
            let mut frame = Object::open(out);
            frame.string("stopReason", native);
            frame.extras(&telling(run));
            frame.close();
            Some("messageStop")
        }
        Event::Usage { .. } | Event::End | Event::Extra { place: Place::Frame, .. } => {
            let mut frame = Object::open(out);
            for event in run.0 {
                if let Event::Usage { native, .. } = event {
                    frame.raw("usage", native);
                }
            }
            frame.extras(&telling(run));
            frame.close();
            Some("metadata")
        }
        // A citation that quotes nothing.
        Event::Extra { place: Place::Delta(block), .. } => push_citation_delta(out, *block, run),
        Event::Opaque { dialect: Dialect::Bedrock, name, data } => {
            out.extend_from_slice(data);
            Some(name)
        }
        Event::Extra { .. }
        | Event::Opaque { .. }
        | Event::Repeat { .. }
        | Event::Error { .. }
        | Event::Ping => None,
    }
}

fn push_delta(
    out: &mut Vec<u8>,
    block: u16,
    run: Run<'_, '_>,
    content: impl FnOnce(&mut Object<'_>),
) {
    let mut frame = Object::open(out);
    let mut delta = Object::open(frame.key("delta"));
    content(&mut delta);
    let mut extras = run.extras(Place::Delta(block));
    extras.retain(|(key, _)| *key != "citation");
    delta.extras(&extras);
    delta.close();
    close_block_frame(frame, block, run);
}

fn push_citation_delta(out: &mut Vec<u8>, block: u16, run: Run<'_, '_>) -> Option<&'static str> {
    let extras = run.extras(Place::Delta(block));
    let (_, json) = extras.iter().find(|(key, _)| *key == "citation")?;
    let quotes: Vec<&str> = run
        .0
        .iter()
        .filter_map(|event| match event {
            Event::Text { text, .. } => Some(&**text),
            _ => None,
        })
        .collect();
    push_delta(out, block, run, |delta| push_citation(delta.key("citation"), json, &quotes));
    Some("contentBlockDelta")
}

fn close_block_frame(mut frame: Object<'_>, block: u16, run: Run<'_, '_>) {
    frame.number("contentBlockIndex", u64::from(block));
    frame.extras(&run.extras(Place::Frame));
    frame.close();
}

fn push_reasoning(delta: &mut Object<'_>, name: &str, text: &str, extras: &[(&str, &str)]) {
    let mut reasoning = Object::open(delta.key("reasoningContent"));
    reasoning.string(name, text);
    reasoning.extras(extras);
    reasoning.close();
}

/// Writes a call; `input` is JSON.
pub(super) fn push_call(
    out: &mut Vec<u8>,
    (id, name): (&str, &str),
    input: Option<&str>,
    extras: &[(&str, &str)],
) {
    let mut call = Object::open(out);
    call.string("toolUseId", id);
    call.string("name", name);
    if let Some(input) = input {
        call.raw("input", input);
    }
    call.extras(extras);
    call.close();
}

/// Writes a block that was kept verbatim.
pub(super) fn push_other(out: &mut Vec<u8>, kind: &str, kept: Option<&[u8]>) {
    match kept {
        Some(data) if kind.is_empty() => out.extend_from_slice(data),
        kept => {
            let mut union = Object::open(out);
            union.key(kind).extend_from_slice(kept.unwrap_or(b"{}"));
            union.close();
        }
    }
}

/// The data of a block that was kept verbatim.
fn kept<'e>(events: &'e [Event<'_>], kind: &str) -> Option<&'e [u8]> {
    events.iter().find_map(|event| match event {
        Event::Opaque { name, data, .. } if name == kind => Some(&**data),
        _ => None,
    })
}

/// Writes a citation as it came, but for what it quotes where that was edited.
pub(super) fn push_citation(out: &mut Vec<u8>, json: &str, quotes: &[&str]) {
    let said = serde_json::from_str::<&RawValue>(json).ok().and_then(super::block::quoted);
    let is_same =
        said.is_none_or(|said| said.iter().map(|(text, _)| &**text).eq(quotes.iter().copied()));
    let Some(members) = (if is_same { None } else { Members::parse(json) }) else {
        out.extend_from_slice(json.as_bytes());
        return;
    };
    let mut object = Object::open(out);
    for (key, value) in members.iter().filter(|(key, _)| *key != "sourceContent") {
        object.raw(key, value.get());
    }
    push_texts(object.key("sourceContent"), quotes);
    object.close();
}

/// Writes a list of `{"text":".."}`.
pub(super) fn push_texts(out: &mut Vec<u8>, texts: &[&str]) {
    let items: Vec<String> =
        texts.iter().map(|text| format!("{{\"text\":{}}}", quote(text))).collect();
    out.push(b'[');
    out.extend_from_slice(items.join(",").as_bytes());
    out.push(b']');
}

/// The unknown members of a frame or body, without those of which a string was edited.
pub(super) fn telling<'e>(run: Run<'e, '_>) -> Extras<'e> {
    let mut extras = Extras::new();
    let mut rest = run.0;
    while let Some((event, behind)) = rest.split_first() {
        rest = behind;
        let Event::Extra { place: Place::Frame, key, json } = event else { continue };
        let is_same = told(key, json).all(|inner| match rest.split_first() {
            Some((Event::Repeat { text, .. }, behind)) => {
                rest = behind;
                *text == json::unescape(inner.text)
            }
            // Nobody took it apart.
            _ => true,
        });
        if is_same {
            extras.push((key, json));
        }
    }
    extras
}
