//! Events of other dialects to frames of this one.
//!
//! The SDKs' accumulators ask for an order that other dialects do not keep: `message_start`; then
//! blocks, one at a time, each opened and closed, numbered from 0; then one `message_delta` with
//! stop reason and usage; then `message_stop`. Here that order is made:
//!
//! - text opens its block if it is not open; a block is closed when another opens, and at the stop;
//! - an empty block of text or reasoning is never opened, since the API refuses one that is sent
//!   back;
//! - the stop waits for the usage, or the end.
//!
//! That calls do not overlap, and are closed only when they are whole, is seen to by [`Retelling`].

use super::stop_word;
use super::write::{Head, Object, push_data, push_text, push_thinking, push_tool};
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use crate::wire::json::push_escaped;
use crate::wire::provider_error::Cause;
use crate::wire::retell::{Arguments, Choices, Reasoning, Refusal, Retelling, Room, later};

/// The id of an answer that has none.
pub(super) const ID: &str = "msg_firedoor";

/// What this dialect has room for.
pub(super) const ROOM: Room = Room {
    choices: Choices::One,
    reasoning: Reasoning::Blocks,
    refusal: Refusal::AsText,
    arguments: Arguments::Object,
    id_prefix: "toolu",
    id_bytes_max: 64,
};

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) retelling: Retelling,
    has_started: bool,
    /// Nothing may follow: the end or an error was written.
    is_over: bool,
    counts: Counts,
    open: Option<Opened>,
    /// The index of the next block.
    next: u16,
    /// The stop that waits for the usage.
    stop: Option<(StopReason, Box<str>)>,
    has_delta: bool,
    data: Vec<u8>,
}

/// The three blocks that a foreign event can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Thinking,
    Tool,
}

impl Shape {
    /// The block for text of `kind`, if the dialect has one.
    pub(super) fn of(kind: Kind) -> Option<Shape> {
        match kind {
            Kind::Answer | Kind::Refusal => Some(Shape::Text),
            Kind::Reasoning => Some(Shape::Thinking),
            Kind::ToolArguments => Some(Shape::Tool),
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::ToolName
            | Kind::Citation
            | Kind::Other => None,
        }
    }
}

#[derive(Debug)]
struct Opened {
    channel: Channel,
    shape: Shape,
    flavour: ToolFlavour,
    index: u16,
}

impl Opened {
    /// Parts of one item share a block.
    fn holds(&self, channel: Channel, shape: Shape) -> bool {
        self.shape == shape && self.channel.block == channel.block
    }
}

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    /// It must not be made to look whole.
    Cut,
}

impl Foreign {
    pub(super) fn new(source: Dialect) -> Foreign {
        Foreign {
            retelling: Retelling::new(source, ROOM),
            has_started: false,
            is_over: false,
            counts: Counts::default(),
            open: None,
            next: 0,
            stop: None,
            has_delta: false,
            data: Vec::new(),
        }
    }

    /// Appends the frames that `events`, those of one source frame, ask for.
    pub(super) fn events(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        let mut told = Vec::with_capacity(events.len());
        self.retelling.events(events, &mut told);
        let mut has_usage = false;
        for event in &told {
            if let Event::Usage { counts, .. } = event {
                self.counts = later(self.counts, *counts);
                has_usage = true;
            }
        }
        for event in &told {
            if !self.is_over {
                self.event(event, out);
            }
        }
        if has_usage && self.stop.is_some() && !self.is_over {
            self.message_delta(out);
        }
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model, .. } => self.start(id, model, out),
            Event::Open { channel, block: Block::Tool { id, name, flavour } } => {
                self.open(*channel, Shape::Tool, (id, name), *flavour, out);
            }
            Event::Text { channel, text, .. } => self.text(*channel, text, out),
            Event::Close { channel } => {
                let shape = Shape::of(channel.kind);
                let open = self.open.as_ref();
                if open.is_some_and(|open| shape.is_some_and(|shape| open.holds(*channel, shape))) {
                    self.close(Ending::Whole, out);
                }
            }
            Event::Stop { reason, native, .. } => {
                self.start("", "", out);
                self.close(Ending::Cut, out);
                self.stop = Some((*reason, Box::from(&**native)));
            }
            Event::Error { code, message, .. } => {
                self.fail(Cause::of_code(code).anthropic_type(), message, out);
            }
            Event::Ping => push_data(out, "ping", b"{\"type\":\"ping\"}"),
            Event::End => self.end(out),
            // Usage was read ahead; text opens its block itself.
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Usage { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. } => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_started, true) {
            return;
        }
        let id = if id.is_empty() { ID } else { id };
        let counts = &usage(&self.counts, Prompt::Always);
        write(&mut self.data, out, "message_start", |frame| {
            let mut message = Object::open(frame.key("message"));
            let head = Head { id, model, content: "[]", stop: "null", usage: Some(counts) };
            head.push(&mut message, &[]);
            message.close();
        });
    }

    fn text(&mut self, channel: Channel, text: &str, out: &mut Vec<u8>) {
        let Some(shape) = Shape::of(channel.kind) else {
            return;
        };
        if !self.open.as_ref().is_some_and(|open| open.holds(channel, shape)) {
            self.open(channel, shape, ("", ""), ToolFlavour::Function, out);
        }
        match (shape, self.open.as_ref().map(|open| open.flavour)) {
            (Shape::Text, _) => self.delta("text_delta", "text", text, out),
            (Shape::Thinking, _) => self.delta("thinking_delta", "thinking", text, out),
            (Shape::Tool, Some(ToolFlavour::Custom)) => {
                let mut escaped = Vec::with_capacity(text.len());
                push_escaped(&mut escaped, text);
                let escaped = String::from_utf8(escaped).unwrap_or_default();
                self.delta("input_json_delta", "partial_json", &escaped, out);
            }
            (Shape::Tool, _) => self.delta("input_json_delta", "partial_json", text, out),
        }
    }

    fn open(
        &mut self,
        channel: Channel,
        shape: Shape,
        (id, name): (&str, &str),
        flavour: ToolFlavour,
        out: &mut Vec<u8>,
    ) {
        self.start("", "", out);
        self.close(Ending::Cut, out);
        let index = self.next;
        let Some(next) = index.checked_add(1) else {
            self.fail("api_error", "the provider's answer has too many blocks", out);
            return;
        };
        self.next = next;
        write(&mut self.data, out, "content_block_start", |frame| {
            frame.number("index", u64::from(index));
            let block = frame.key("content_block");
            match shape {
                Shape::Text => push_text(block, "", &[]),
                Shape::Thinking => push_thinking(block, "", "", &[]),
                Shape::Tool => push_tool(block, (id, name), flavour, "{}", &[]),
            }
        });
        self.open = Some(Opened { channel, shape, flavour, index });
        // Free text is no JSON object, which is all that `input` can be.
        if shape == Shape::Tool && flavour == ToolFlavour::Custom {
            self.delta("input_json_delta", "partial_json", "{\"input\":\"", out);
        }
    }

    fn close(&mut self, ending: Ending, out: &mut Vec<u8>) {
        if let Some(open) = &self.open
            && open.shape == Shape::Tool
            && open.flavour == ToolFlavour::Custom
            && ending == Ending::Whole
        {
            self.delta("input_json_delta", "partial_json", "\"}", out);
        }
        if let Some(open) = self.open.take() {
            write(&mut self.data, out, "content_block_stop", |frame| {
                frame.number("index", u64::from(open.index));
            });
        }
    }

    fn delta(&mut self, kind: &str, name: &str, text: &str, out: &mut Vec<u8>) {
        let Some(open) = &self.open else {
            return;
        };
        write(&mut self.data, out, "content_block_delta", |frame| {
            frame.number("index", u64::from(open.index));
            let mut delta = Object::typed(frame.key("delta"), kind);
            delta.string(name, text);
            delta.close();
        });
    }

    /// Writes the stop that waits, or, at an end without one, the likeliest.
    fn message_delta(&mut self, out: &mut Vec<u8>) {
        self.close(Ending::Cut, out);
        let (reason, native) = self.stop.take().unwrap_or((StopReason::EndTurn, Box::default()));
        if reason == StopReason::Error {
            self.fail("api_error", &format!("the provider stopped with an error: {native}"), out);
            return;
        }
        let word = stop_word(reason);
        let usage = usage(&self.counts, Prompt::IfKnown);
        write(&mut self.data, out, "message_delta", |frame| {
            let mut delta = Object::open(frame.key("delta"));
            delta.string("stop_reason", word);
            delta.raw("stop_sequence", "null");
            delta.close();
            frame.raw("usage", &usage);
        });
        self.has_delta = true;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start("", "", out);
        self.close(Ending::Cut, out);
        if self.stop.is_some() || !self.has_delta {
            self.message_delta(out);
        }
        if !std::mem::replace(&mut self.is_over, true) {
            write(&mut self.data, out, "message_stop", |_| {});
        }
    }

    fn fail(&mut self, kind: &str, message: &str, out: &mut Vec<u8>) {
        self.is_over = true;
        self.open = None;
        write(&mut self.data, out, "error", |frame| push_error(frame, kind, message));
    }
}

/// Writes the `error` of a frame or body.
pub(super) fn push_error(frame: &mut Object<'_>, kind: &str, message: &str) {
    let mut error = Object::typed(frame.key("error"), kind);
    error.string("message", message);
    error.close();
}

/// Writes one frame, its payload by way of `data`.
fn write(data: &mut Vec<u8>, out: &mut Vec<u8>, name: &str, content: impl FnOnce(&mut Object<'_>)) {
    data.clear();
    let mut frame = Object::typed(data, name);
    content(&mut frame);
    frame.close();
    push_data(out, name, data);
}

/// Whether a `usage` must count the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// That of a message must.
    Always,
    /// That of a later step replaces the first one's, so an unknown count must not stand there.
    IfKnown,
}

/// A `usage` object; the inverse of [`super::counts`].
pub(super) fn usage(counts: &Counts, prompt: Prompt) -> String {
    let cached = counts.cache_read.unwrap_or(0).saturating_add(counts.cache_write.unwrap_or(0));
    let fresh = counts.input.map(|input| input.saturating_sub(cached));
    let fresh = if prompt == Prompt::Always { Some(fresh.unwrap_or(0)) } else { fresh };
    let mut out = Vec::with_capacity(128);
    let mut object = Object::open(&mut out);
    for (name, value) in [
        ("input_tokens", fresh),
        ("cache_creation_input_tokens", counts.cache_write),
        ("cache_read_input_tokens", counts.cache_read),
        ("output_tokens", Some(counts.output.unwrap_or(0))),
    ] {
        if let Some(value) = value {
            object.number(name, value);
        }
    }
    if let Some(reasoning) = counts.reasoning {
        let mut details = Object::open(object.key("output_tokens_details"));
        details.number("thinking_tokens", reasoning);
        details.close();
    }
    object.close();
    String::from_utf8(out).unwrap_or_default()
}
