//! Events to frames.
//!
//! Events that came from this dialect carry all that its frames held, so each event that is not an
//! `Extra` becomes one frame, and the `Extra`s behind it go where they stood. Events of other
//! dialects go through [`Foreign`], which builds the block structure that the SDKs' accumulators
//! demand.

use super::foreign::Foreign;
use super::members::Members;
use crate::wire::event::{Block, Event, Kind, Place, ToolFlavour};
use crate::wire::loss::Losses;
pub(super) use crate::wire::object::{Extras, Object, Run, quote};
use crate::wire::{Dialect, Tail};
use memchr::memchr2;
use std::borrow::Cow;

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {
    tail: Tail,
    /// The payload of the frame being written.
    data: Vec<u8>,
    /// The block structure, which events of this dialect bring along.
    foreign: Option<Box<Foreign>>,
}

impl Encoder {
    /// See [`crate::wire::Encoder::new`].
    pub fn new(source: Dialect) -> Encoder {
        let foreign = (source != Dialect::Anthropic).then(|| Box::new(Foreign::new(source)));
        Encoder { tail: Tail::default(), data: Vec::new(), foreign }
    }

    /// See [`crate::wire::Encoder::frame`].
    ///
    /// Of a foreign source, `message_delta` (stop reason, usage) is written once both are known or
    /// at [`Event::End`], and `message_stop` at [`Event::End`] only: where the source has no end
    /// mark of its own, the caller has to say it.
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            if let Event::Start { id, model, created } = event {
                self.tail.id = Some(Box::from(&**id));
                self.tail.model = Some(Box::from(&**model));
                self.tail.created = *created;
            }
        }
        match &mut self.foreign {
            Some(foreign) => foreign.events(events, out),
            None => self.native(events, out),
        }
    }

    /// See [`crate::wire::Encoder::losses`].
    pub fn losses(&self) -> Losses {
        self.foreign.as_ref().map_or_else(Losses::default, |foreign| foreign.retelling.losses())
    }

    /// See [`crate::wire::Encoder::turn_foreign`].
    pub fn turn_foreign(&mut self, source: Dialect, history: &[Event<'_>]) -> bool {
        if let Some(foreign) = &mut self.foreign {
            foreign.retelling.turn_to(source);
            return true;
        }
        let mut foreign = Box::new(Foreign::new(source));
        for event in history {
            foreign.events(std::slice::from_ref(event), &mut Vec::new());
        }
        self.foreign = Some(foreign);
        true
    }

    /// See [`crate::wire::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    fn native(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        let mut rest = events;
        while let Some((first, after)) = rest.split_first() {
            let taken = after.iter().scan(Seen::of(first), Seen::takes).take_while(|t| *t).count();
            let (run, behind) = rest.split_at(taken + 1);
            rest = behind;
            self.data.clear();
            if let Some(name) = push_run(&mut self.data, first, Run(run)) {
                push_data(out, &name, &self.data);
            }
        }
    }
}

/// What the frame being gathered has, and so what may still belong to it.
struct Seen<'e, 'a> {
    first: &'e Event<'a>,
    has_stop: bool,
    has_usage: bool,
    has_block: bool,
}

impl<'e, 'a> Seen<'e, 'a> {
    fn of(first: &'e Event<'a>) -> Seen<'e, 'a> {
        Seen {
            first,
            has_stop: matches!(first, Event::Stop { .. } | Event::Start { .. }),
            has_usage: matches!(first, Event::Usage { .. }),
            has_block: false,
        }
    }

    /// Whether `next` belongs to the same frame.
    #[expect(clippy::unnecessary_wraps, reason = "the shape that `Iterator::scan` asks for")]
    fn takes(&mut self, next: &Event<'_>) -> Option<bool> {
        let is_message = matches!(
            self.first,
            Event::Start { .. }
                | Event::Stop { .. }
                | Event::Usage { .. }
                | Event::Extra { place: Place::Message, .. }
        );
        Some(match (self.first, next) {
            (Event::Opaque { .. } | Event::Repeat { .. }, _) => false,
            (_, Event::Extra { place: Place::Frame, .. }) => true,
            (_, Event::Extra { place: Place::Message, .. }) => is_message,
            (Event::Open { channel, .. }, Event::Extra { place: Place::Block(block), .. }) => {
                channel.block == *block
            }
            (
                Event::Text { channel, .. } | Event::Signature { channel, .. },
                Event::Extra { place: Place::Delta(block), .. },
            ) => channel.block == *block,
            (Event::Open { block: Block::Other(kind), .. }, Event::Opaque { name, .. }) => {
                !std::mem::replace(&mut self.has_block, true) && kind == name
            }
            (_, Event::Usage { .. }) => is_message && !std::mem::replace(&mut self.has_usage, true),
            (_, Event::Stop { .. }) => is_message && !std::mem::replace(&mut self.has_stop, true),
            (
                Event::Start { .. }
                | Event::Open { .. }
                | Event::Text { .. }
                | Event::Signature { .. }
                | Event::Close { .. }
                | Event::Stop { .. }
                | Event::Usage { .. }
                | Event::Error { .. }
                | Event::Ping
                | Event::Extra { .. }
                | Event::End,
                _,
            ) => false,
        })
    }
}

/// Appends a frame. Line ends in `data`, which only JSON kept verbatim has, go between `data:`
/// lines; a name that has one is left out.
pub(super) fn push_data(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if !name.is_empty() && memchr2(b'\n', b'\r', name.as_bytes()).is_none() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    let mut rest = data;
    loop {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&rest[..end]);
        out.push(b'\n');
        match rest.get(end + 1..) {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    out.push(b'\n');
}

/// Writes the payload of the frame that `run`, which begins with `first`, came in; gives its name,
/// or `None` if the events say nothing that the dialect can write.
fn push_run<'e>(out: &mut Vec<u8>, first: &'e Event<'_>, run: Run<'e, '_>) -> Option<Cow<'e, str>> {
    let name = match first {
        Event::Start { id, model, .. } => {
            let mut frame = Object::typed(out, "message_start");
            let mut message = Object::open(frame.key("message"));
            let head = Head { id, model, content: "[]", stop: "null", usage: usage_of(run) };
            head.push(&mut message, &run.extras(Place::Message));
            message.close();
            frame.extras(&run.extras(Place::Frame));
            frame.close();
            "message_start"
        }
        Event::Open { channel, block } => {
            let mut frame = Object::typed(out, "content_block_start");
            frame.number("index", u64::from(channel.block));
            let place = Place::Block(channel.block);
            push_block_start(frame.key("content_block"), block, run, place);
            frame.extras(&run.extras(Place::Frame));
            frame.close();
            "content_block_start"
        }
        Event::Text { channel, text, .. } => {
            let citation = match channel.kind {
                Kind::Citation => Some(find_citation(&run.extras(Place::Delta(channel.block)))?),
                Kind::ToolName => return None,
                _ => None,
            };
            push_delta(out, channel.block, run, |delta| match (channel.kind, citation) {
                (Kind::Citation, Some(json)) => {
                    delta.string("type", "citations_delta");
                    push_citation(delta.key("citation"), json, text);
                }
                (Kind::Reasoning, _) => {
                    delta.string("type", "thinking_delta");
                    delta.string("thinking", text);
                }
                (Kind::ToolArguments, _) => {
                    delta.string("type", "input_json_delta");
                    delta.string("partial_json", text);
                }
                _ => {
                    delta.string("type", "text_delta");
                    delta.string("text", text);
                }
            })
        }
        Event::Signature { channel, value } => push_delta(out, channel.block, run, |delta| {
            delta.string("type", "signature_delta");
            delta.string("signature", value);
        }),
        Event::Close { channel } => {
            let mut frame = Object::typed(out, "content_block_stop");
            frame.number("index", u64::from(channel.block));
            frame.extras(&run.extras(Place::Frame));
            frame.close();
            "content_block_stop"
        }
        Event::Stop { .. } | Event::Usage { .. } => push_message_delta(out, run),
        Event::Extra { place, .. } => match place {
            Place::Frame | Place::Message => push_message_delta(out, run),
            Place::Choice(_) | Place::Delta(_) | Place::Block(_) => return None,
        },
        Event::Error { native, .. } => {
            let mut frame = Object::typed(out, "error");
            frame.raw("error", native);
            frame.extras(&run.extras(Place::Frame));
            frame.close();
            "error"
        }
        Event::Ping => push_bare(out, "ping", run),
        Event::End => push_bare(out, "message_stop", run),
        Event::Opaque { dialect, name, data } => {
            if *dialect != Dialect::Anthropic {
                return None;
            }
            out.extend_from_slice(data);
            return Some(Cow::Borrowed(name));
        }
        Event::Repeat { .. } => return None,
    };
    Some(Cow::Borrowed(name))
}

fn push_bare(out: &mut Vec<u8>, name: &'static str, run: Run<'_, '_>) -> &'static str {
    let mut frame = Object::typed(out, name);
    frame.extras(&run.extras(Place::Frame));
    frame.close();
    name
}

fn push_delta(
    out: &mut Vec<u8>,
    block: u16,
    run: Run<'_, '_>,
    content: impl FnOnce(&mut Object<'_>),
) -> &'static str {
    let mut frame = Object::typed(out, "content_block_delta");
    frame.number("index", u64::from(block));
    let mut delta = Object::open(frame.key("delta"));
    content(&mut delta);
    let mut extras = run.extras(Place::Delta(block));
    extras.retain(|(key, _)| *key != "citation");
    delta.extras(&extras);
    delta.close();
    frame.extras(&run.extras(Place::Frame));
    frame.close();
    "content_block_delta"
}

fn push_message_delta(out: &mut Vec<u8>, run: Run<'_, '_>) -> &'static str {
    let mut frame = Object::typed(out, "message_delta");
    let mut delta = Object::open(frame.key("delta"));
    let reason = run.0.iter().find_map(|event| match event {
        Event::Stop { native, .. } => Some(quote(native)),
        _ => None,
    });
    delta.with_extras(
        &[("stop_reason", reason.as_deref().unwrap_or("null")), ("stop_sequence", "null")],
        &run.extras(Place::Message),
    );
    delta.close();
    if let Some(usage) = usage_of(run) {
        frame.raw("usage", usage);
    }
    frame.extras(&run.extras(Place::Frame));
    frame.close();
    "message_delta"
}

/// The native `usage` of a run.
fn usage_of<'e>(run: Run<'e, '_>) -> Option<&'e str> {
    run.0.iter().find_map(|event| match event {
        Event::Usage { native, .. } => Some(&**native),
        _ => None,
    })
}

/// The members of a message that we know.
pub(super) struct Head<'h> {
    pub(super) id: &'h str,
    pub(super) model: &'h str,
    /// JSON.
    pub(super) content: &'h str,
    /// JSON.
    pub(super) stop: &'h str,
    /// JSON.
    pub(super) usage: Option<&'h str>,
}

impl Head<'_> {
    pub(super) fn push(&self, message: &mut Object<'_>, extras: &[(&str, &str)]) {
        let (id, model) = (quote(self.id), quote(self.model));
        let defaults = [
            ("id", &*id),
            ("type", "\"message\""),
            ("role", "\"assistant\""),
            ("model", &*model),
            ("content", self.content),
            ("stop_reason", self.stop),
            ("stop_sequence", "null"),
            ("usage", self.usage.unwrap_or("")),
        ];
        let known = if self.usage.is_some() { &defaults[..] } else { &defaults[..7] };
        message.with_extras(known, extras);
    }
}

/// Writes the block of a `content_block_start`.
fn push_block_start(out: &mut Vec<u8>, block: &Block<'_>, run: Run<'_, '_>, place: Place) {
    let extras = run.extras(place);
    match block {
        Block::Text | Block::Refusal => push_text(out, "", &extras),
        Block::Reasoning => push_thinking(out, "", "", &extras),
        Block::Tool { id, name, flavour } => push_tool(out, (id, name), *flavour, "{}", &extras),
        Block::Other(kind) => {
            let kept = run.0.iter().find_map(|event| match event {
                Event::Opaque { name, data, .. } if name == kind => Some(&**data),
                _ => None,
            });
            push_other(out, kind, kept);
        }
    }
}

/// Writes a text block.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str, extras: &[(&str, &str)]) {
    let mut object = Object::open(out);
    object.with_extras(&[("type", "\"text\""), ("text", &quote(text))], extras);
    object.close();
}

/// Writes a thinking block.
pub(super) fn push_thinking(
    out: &mut Vec<u8>,
    text: &str,
    signature: &str,
    extras: &[(&str, &str)],
) {
    let (text, signature) = (quote(text), quote(signature));
    let mut object = Object::open(out);
    let defaults = [("type", "\"thinking\""), ("thinking", &*text), ("signature", &*signature)];
    object.with_extras(&defaults, extras);
    object.close();
}

/// Writes a tool block; `input` is JSON.
pub(super) fn push_tool(
    out: &mut Vec<u8>,
    (id, name): (&str, &str),
    flavour: ToolFlavour,
    input: &str,
    extras: &[(&str, &str)],
) {
    let kind = match flavour {
        ToolFlavour::Function | ToolFlavour::Custom => "\"tool_use\"",
        ToolFlavour::Server => "\"server_tool_use\"",
    };
    let (id, name) = (quote(id), quote(name));
    let mut object = Object::open(out);
    let defaults = [("type", kind), ("id", &*id), ("name", &*name), ("input", input)];
    object.with_extras(&defaults, extras);
    object.close();
}

/// Writes a block that was kept verbatim.
pub(super) fn push_other(out: &mut Vec<u8>, kind: &str, kept: Option<&[u8]>) {
    match kept {
        Some(data) => out.extend_from_slice(data),
        None => Object::typed(out, kind).close(),
    }
}

/// The citation among the unknown members of a delta.
fn find_citation<'e>(extras: &[(&str, &'e str)]) -> Option<&'e str> {
    extras.iter().find(|(key, _)| *key == "citation").map(|(_, json)| *json)
}

/// Writes a citation as it came, but for what it quotes where that was edited.
pub(super) fn push_citation(out: &mut Vec<u8>, json: &str, text: &str) {
    let edited = Members::parse(json).and_then(|mut members| {
        members.take_string("cited_text").filter(|quoted| quoted != text).map(|_| members)
    });
    let Some(members) = edited else {
        out.extend_from_slice(json.as_bytes());
        return;
    };
    let mut object = Object::open(out);
    for (key, value) in members.iter() {
        object.raw(key, value.get());
    }
    object.string("cited_text", text);
    object.close();
}
