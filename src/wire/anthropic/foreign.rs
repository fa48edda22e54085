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
//! What cannot be said, and is left out: choices but the first, citations, blocks and members that
//! only their own dialect knows. Arguments that arrive for a call which had to be closed end the
//! stream with an error: a call must not look whole when it is not.

use super::stop_word;
use super::write::{Head, Object, push_data, push_text, push_thinking, push_tool};
use crate::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use crate::wire::json::push_escaped;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The id of an answer that has none.
pub(super) const ID: &str = "msg_firedoor";

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    id: String,
    has_started: bool,
    /// Nothing may follow: the end or an error was written.
    is_over: bool,
    counts: Counts,
    open: Option<Opened>,
    /// The index of the next block.
    next: u16,
    /// Calls that were closed, by block and part.
    closed: BTreeSet<(u16, u16)>,
    /// The stop that waits for the usage.
    stop: Option<(StopReason, Box<str>)>,
    has_delta: bool,
    leaning: Leaning,
    data: Vec<u8>,
}

/// What blocks say of the stop reason where the source's own word does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leaning {
    /// The caller has a tool to run.
    pub(super) has_call: bool,
    /// The model refused in words.
    pub(super) has_refusal: bool,
}

impl Leaning {
    /// The `stop_reason` to write. Some sources end a turn of calls or a refusal like any other.
    pub(super) fn word(self, reason: StopReason) -> &'static str {
        match reason {
            StopReason::EndTurn | StopReason::Other if self.has_call => "tool_use",
            StopReason::EndTurn | StopReason::Other if self.has_refusal => "refusal",
            reason => stop_word(reason),
        }
    }
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
    /// Parts of one item share a block of text or reasoning; a call has a block of its own.
    fn holds(&self, channel: Channel, shape: Shape) -> bool {
        self.shape == shape
            && self.channel.block == channel.block
            && (shape != Shape::Tool || self.channel.part == channel.part)
    }
}

impl Foreign {
    /// Appends the frames that `events`, those of one source frame, ask for.
    pub(super) fn events(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        let mut has_usage = false;
        for event in events {
            if let Event::Usage { counts, .. } = event {
                self.counts = later(self.counts, *counts);
                has_usage = true;
            }
        }
        for event in events {
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
            Event::Open { channel, block } if channel.choice == 0 => {
                self.block(*channel, block, out);
            }
            Event::Text { channel, text, .. } if channel.choice == 0 && !text.is_empty() => {
                self.text(*channel, text, out);
            }
            Event::Signature { channel, value } if channel.choice == 0 => {
                self.signature(*channel, value, out);
            }
            Event::Close { channel } => {
                let shape = Shape::of(channel.kind);
                let open = self.open.as_ref();
                if open.is_some_and(|open| {
                    channel.choice == 0 && shape.is_some_and(|shape| open.holds(*channel, shape))
                }) {
                    self.close(out);
                }
            }
            Event::Stop { choice: 0, reason, native } => {
                self.start("", "", out);
                self.close(out);
                self.stop = Some((*reason, Box::from(&**native)));
            }
            Event::Error { code, message, .. } => self.fail(error_type(code), message, out),
            Event::Ping => push_data(out, "ping", b"{\"type\":\"ping\"}"),
            Event::End => self.end(out),
            // Usage was read ahead; the rest cannot be said here.
            Event::Open { .. }
            | Event::Text { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. } => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_started, true) {
            return;
        }
        (if id.is_empty() { ID } else { id }).clone_into(&mut self.id);
        let usage = usage(&self.counts, Prompt::Always);
        let (id, counts) = (&self.id, &usage);
        write(&mut self.data, out, "message_start", |frame| {
            let mut message = Object::open(frame.key("message"));
            let head = Head { id, model, content: "[]", stop: "null", usage: Some(counts) };
            head.push(&mut message, &[]);
            message.close();
        });
    }

    /// A block opens. Those of text wait for their first text.
    fn block(&mut self, channel: Channel, block: &Block<'_>, out: &mut Vec<u8>) {
        match block {
            Block::Tool { id, name, flavour } => {
                self.open(channel, Shape::Tool, (id, name), *flavour, out);
            }
            Block::Text | Block::Reasoning | Block::Refusal | Block::Other(_) => {}
        }
    }

    fn text(&mut self, channel: Channel, text: &str, out: &mut Vec<u8>) {
        let Some(shape) = Shape::of(channel.kind) else {
            return;
        };
        self.leaning.has_refusal |= channel.kind == Kind::Refusal;
        if let Some(open) = self.open.as_mut().filter(|open| open.holds(channel, shape)) {
            let part = std::mem::replace(&mut open.channel.part, channel.part);
            if part != channel.part && shape == Shape::Thinking {
                self.delta("thinking_delta", "thinking", "\n\n", out);
            }
        } else if shape == Shape::Tool && self.closed.contains(&(channel.block, channel.part)) {
            self.fail("api_error", "the provider's tool calls are interleaved", out);
            return;
        } else {
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

    /// A signature stands in a thinking block. Without one it opens an empty one, but never
    /// between the pieces of a call.
    fn signature(&mut self, channel: Channel, value: &str, out: &mut Vec<u8>) {
        match self.open.as_ref().map(|open| open.shape) {
            Some(Shape::Thinking) => {}
            Some(Shape::Tool) => return,
            Some(Shape::Text) | None if channel.kind != Kind::Reasoning => return,
            Some(Shape::Text) | None => {
                self.open(channel, Shape::Thinking, ("", ""), ToolFlavour::Function, out);
            }
        }
        self.delta("signature_delta", "signature", value, out);
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
        self.close(out);
        let index = self.next;
        let Some(next) = index.checked_add(1) else {
            self.fail("api_error", "the provider's answer has too many blocks", out);
            return;
        };
        self.next = next;
        let id = tool_id(id, &self.id, index);
        write(&mut self.data, out, "content_block_start", |frame| {
            frame.number("index", u64::from(index));
            let block = frame.key("content_block");
            match shape {
                Shape::Text => push_text(block, "", &[]),
                Shape::Thinking => push_thinking(block, "", "", &[]),
                Shape::Tool => push_tool(block, (&id, name), flavour, "{}", &[]),
            }
        });
        self.open = Some(Opened { channel, shape, flavour, index });
        if shape == Shape::Tool {
            self.leaning.has_call |= flavour != ToolFlavour::Server;
            // Free text is no JSON object, which is all that `input` can be.
            if flavour == ToolFlavour::Custom {
                self.delta("input_json_delta", "partial_json", "{\"input\":\"", out);
            }
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = &self.open
            && open.shape == Shape::Tool
        {
            self.closed.insert((open.channel.block, open.channel.part));
            if open.flavour == ToolFlavour::Custom {
                self.delta("input_json_delta", "partial_json", "\"}", out);
            }
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
        self.close(out);
        let (reason, native) = self.stop.take().unwrap_or((StopReason::EndTurn, Box::default()));
        if reason == StopReason::Error {
            self.fail("api_error", &format!("the provider stopped with an error: {native}"), out);
            return;
        }
        let word = self.leaning.word(reason);
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
        self.close(out);
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

/// `new` where it says something, else `old`.
pub(super) fn later(old: Counts, new: Counts) -> Counts {
    Counts {
        input: new.input.or(old.input),
        output: new.output.or(old.output),
        cache_read: new.cache_read.or(old.cache_read),
        cache_write: new.cache_write.or(old.cache_write),
        reasoning: new.reasoning.or(old.reasoning),
    }
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

/// The id of a call; where the source gives none, one of the answer and the block, so that it is
/// the same whenever the answer is read again.
pub(super) fn tool_id<'i>(id: &'i str, answer: &str, index: u16) -> Cow<'i, str> {
    if !id.is_empty() {
        return Cow::Borrowed(id);
    }
    let answer: String =
        answer.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
    Cow::Owned(format!("toolu_{answer}_{index}"))
}

/// The error type of the dialect for the code of another one.
pub(super) fn error_type(code: &str) -> &'static str {
    match code.to_ascii_lowercase().as_str() {
        "400"
        | "invalid_request_error"
        | "invalid_prompt"
        | "context_length_exceeded"
        | "invalid_argument"
        | "failed_precondition"
        | "tool_use_failed" => "invalid_request_error",
        "401" | "authentication_error" | "invalid_api_key" | "unauthenticated" => {
            "authentication_error"
        }
        "402" | "billing_error" | "insufficient_quota" => "billing_error",
        "403" | "permission_error" | "permission_denied" => "permission_error",
        "404" | "not_found_error" | "not_found" | "model_not_found" => "not_found_error",
        "413" | "request_too_large" => "request_too_large",
        "429" | "rate_limit_error" | "rate_limit_exceeded" | "resource_exhausted" => {
            "rate_limit_error"
        }
        "503" | "529" | "overloaded_error" | "unavailable" => "overloaded_error",
        "408" | "504" | "timeout_error" | "deadline_exceeded" => "timeout_error",
        _ => "api_error",
    }
}
