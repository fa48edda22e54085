//! Events of other dialects, put in the order that this one has.
//!
//! What comes out are events as this dialect's own decoder would give them, so that one writer
//! serves both: a start; then blocks, one at a time, each closed, numbered from 0; then the stop;
//! then counts and the end. Text opens its block if it is not open, and a block is closed when
//! another opens and at the stop.
//!
//! That calls do not overlap, and are closed only when they are whole, is seen to by [`Retelling`],
//! which also states what has no place here. Ids of answers and models have none.

use super::{block, channel, stop_word};
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, Place, StopReason, ToolFlavour};
use crate::wire::json::{push_escaped, push_string};
use crate::wire::loss::Loss;
use crate::wire::object::Object;
use crate::wire::retell::{Arguments, Choices, Reasoning, Refusal, Retelling, Room, later};
use std::borrow::Cow;

/// What this dialect has room for.
const ROOM: Room = Room {
    choices: Choices::One,
    reasoning: Reasoning::Blocks,
    refusal: Refusal::AsText,
    arguments: Arguments::Object,
    id_prefix: "tooluse",
    id_bytes_max: 64,
};

/// The state of one answer.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each was said once or not, by itself")]
pub(super) struct Foreign {
    pub(super) retelling: Retelling,
    has_started: bool,
    /// Nothing may follow: the end or an error was said.
    is_over: bool,
    has_stopped: bool,
    counts: Counts,
    open: Option<Opened>,
    /// The index of the next block.
    next: u16,
    has_call: bool,
    has_refusal: bool,
}

#[derive(Debug)]
struct Opened {
    /// The source's channel.
    channel: Channel,
    kind: Kind,
    flavour: ToolFlavour,
    index: u16,
}

impl Opened {
    /// Parts of one item share a block of text or reasoning; a call has a block of its own.
    fn holds(&self, channel: Channel, kind: Kind) -> bool {
        self.kind == kind
            && self.channel.block == channel.block
            && (kind != Kind::ToolArguments || self.channel.part == channel.part)
    }
}

/// The kind of block that text of `kind` goes to, if the dialect has one.
fn block_kind(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Answer | Kind::Refusal => Some(Kind::Answer),
        Kind::Reasoning | Kind::ToolArguments => Some(kind),
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

/// The events that are said, in order.
type Said<'e> = Vec<Event<'e>>;

impl Foreign {
    pub(super) fn new(source: Dialect) -> Foreign {
        Foreign {
            retelling: Retelling::new(source, ROOM),
            has_started: false,
            is_over: false,
            has_stopped: false,
            counts: Counts::default(),
            open: None,
            next: 0,
            has_call: false,
            has_refusal: false,
        }
    }

    /// What `events`, those of one source frame, are in this dialect.
    pub(super) fn events(&mut self, events: &[Event<'_>]) -> Said<'static> {
        let mut told = Vec::with_capacity(events.len());
        self.retelling.events(events, &mut told);
        self.tell(&told)
    }

    /// What `events`, those of a whole answer, are in this dialect.
    pub(super) fn whole(&mut self, events: &[Event<'_>]) -> Said<'static> {
        let told = self.retelling.whole(events);
        self.tell(&told)
    }

    fn tell(&mut self, told: &[Event<'_>]) -> Said<'static> {
        let mut said = Vec::with_capacity(told.len() + 2);
        for event in told {
            if !self.is_over {
                self.event(event, &mut said);
            }
        }
        said.into_iter().map(Event::into_owned).collect()
    }

    fn event<'e>(&mut self, event: &'e Event<'_>, said: &mut Said<'e>) {
        match event {
            Event::Start { .. } => self.start(said),
            Event::Open { channel, block: Block::Tool { id, name, flavour } }
                if channel.choice == 0 =>
            {
                self.open(*channel, Kind::ToolArguments, (id, name), *flavour, said);
            }
            Event::Text { channel, text, .. } if channel.choice == 0 && !text.is_empty() => {
                self.text(*channel, text, said);
            }
            Event::Signature { channel, value } if channel.choice == 0 => {
                self.signature(*channel, value, said);
            }
            Event::Close { channel } => {
                let kind = block_kind(channel.kind);
                let is_open = self.open.as_ref().is_some_and(|open| {
                    channel.choice == 0 && kind.is_some_and(|kind| open.holds(*channel, kind))
                });
                if is_open {
                    self.close(said);
                }
            }
            Event::Stop { choice: 0, reason, native } => self.stop(*reason, native, said),
            Event::Usage { counts, .. } => self.counts = later(self.counts, *counts),
            Event::Error { code, message, .. } => self.fail(exception(code), message, said),
            Event::End => {
                self.stop(StopReason::EndTurn, "", said);
                if !std::mem::replace(&mut self.is_over, true) {
                    if self.counts.reasoning.is_some_and(|count| count > 0) {
                        self.retelling.lose(Loss::AnswerUsage);
                    }
                    let native = Cow::Owned(usage(self.counts));
                    said.push(Event::Usage { counts: self.counts, native });
                    // The dialect demands it, and how long the model took is not known here.
                    said.push(Event::Extra {
                        place: Place::Frame,
                        key: "metrics".into(),
                        json: "{\"latencyMs\":0}".into(),
                    });
                    said.push(Event::End);
                }
            }
            // What cannot be said here.
            Event::Open { .. }
            | Event::Text { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Stop { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. } => {}
        }
    }

    fn start(&mut self, said: &mut Said<'_>) {
        if !std::mem::replace(&mut self.has_started, true) {
            said.push(Event::Start { id: "".into(), model: "".into(), created: None });
        }
    }

    fn text<'e>(&mut self, channel: Channel, text: &'e str, said: &mut Said<'e>) {
        let Some(kind) = block_kind(channel.kind) else { return };
        self.has_refusal |= channel.kind == Kind::Refusal;
        if let Some(open) = self.open.as_mut().filter(|open| open.holds(channel, kind)) {
            // What parts two parts of reasoning was told by the retelling.
            open.channel.part = channel.part;
        } else {
            self.open(channel, kind, ("", ""), ToolFlavour::Function, said);
        }
        match self.open.as_ref().map(|open| open.flavour) {
            Some(ToolFlavour::Custom) => {
                let mut escaped = Vec::with_capacity(text.len());
                push_escaped(&mut escaped, text);
                self.piece(Cow::Owned(String::from_utf8(escaped).unwrap_or_default()), said);
            }
            Some(ToolFlavour::Function | ToolFlavour::Server) | None => {
                self.piece(Cow::Borrowed(text), said);
            }
        }
    }

    /// A signature stands in a block of reasoning. Without one it opens an empty one, but never
    /// between the pieces of a call.
    fn signature<'e>(&mut self, source: Channel, value: &'e str, said: &mut Said<'e>) {
        match self.open.as_ref().map(|open| open.kind) {
            Some(Kind::Reasoning) => {}
            Some(Kind::ToolArguments) => return,
            _ if source.kind != Kind::Reasoning => return,
            _ => self.open(source, Kind::Reasoning, ("", ""), ToolFlavour::Function, said),
        }
        if let Some(open) = &self.open {
            let channel = channel(open.index, Kind::Reasoning);
            said.push(Event::Signature { channel, value: Cow::Borrowed(value) });
        }
    }

    fn open<'e>(
        &mut self,
        source: Channel,
        kind: Kind,
        (id, name): (&'e str, &'e str),
        flavour: ToolFlavour,
        said: &mut Said<'e>,
    ) {
        self.start(said);
        self.close(said);
        let index = self.next;
        let Some(next) = index.checked_add(1) else {
            let message = "the provider's answer has too many blocks";
            return self.fail("modelStreamErrorException", message, said);
        };
        self.next = next;
        self.open = Some(Opened { channel: source, kind, flavour, index });
        if kind != Kind::ToolArguments {
            return;
        }
        self.has_call |= flavour != ToolFlavour::Server;
        let id = match id {
            "" => Cow::Owned(format!("tooluse_firedoor_{index}")),
            id => Cow::Borrowed(id),
        };
        let block = Block::Tool { id, name: Cow::Borrowed(name), flavour };
        said.push(Event::Open { channel: channel(index, kind), block });
        match flavour {
            ToolFlavour::Function => {}
            // Free text is no JSON object, which is all that an input can be.
            ToolFlavour::Custom => self.piece(Cow::Borrowed("{\"input\":\""), said),
            ToolFlavour::Server => {
                let mut json = Vec::new();
                push_string(&mut json, block::SERVER_TOOL);
                let json = String::from_utf8(json).unwrap_or_default();
                let place = Place::Block(index);
                said.push(Event::Extra { place, key: "type".into(), json: json.into() });
            }
        }
    }

    fn piece<'e>(&self, text: Cow<'e, str>, said: &mut Said<'e>) {
        if let Some(open) = &self.open {
            said.push(Event::Text { channel: channel(open.index, open.kind), text, span: None });
        }
    }

    fn close(&mut self, said: &mut Said<'_>) {
        let Some(open) = &self.open else { return };
        if open.kind == Kind::ToolArguments && open.flavour == ToolFlavour::Custom {
            self.piece(Cow::Borrowed("\"}"), said);
        }
        if let Some(open) = self.open.take() {
            said.push(Event::Close { channel: channel(open.index, open.kind) });
        }
    }

    fn stop(&mut self, reason: StopReason, native: &str, said: &mut Said<'_>) {
        self.start(said);
        // A call that is still open broke off: it must not be made to look whole.
        if self.open.as_ref().is_some_and(|open| open.kind == Kind::ToolArguments) {
            self.open = None;
        }
        self.close(said);
        if std::mem::replace(&mut self.has_stopped, true) {
            return;
        }
        if reason == StopReason::Error {
            let message = format!("the provider stopped with an error: {native}");
            return self.fail("modelStreamErrorException", &message, said);
        }
        // Some sources end a turn of calls or a refusal like any other.
        let reason = match reason {
            StopReason::EndTurn | StopReason::Other if self.has_call => StopReason::ToolUse,
            StopReason::EndTurn | StopReason::Other if self.has_refusal => StopReason::Refusal,
            reason => reason,
        };
        said.push(Event::Stop { choice: 0, reason, native: stop_word(reason).into() });
    }

    fn fail(&mut self, code: &'static str, message: &str, said: &mut Said<'_>) {
        self.is_over = true;
        self.open = None;
        said.push(Event::Error {
            code: code.into(),
            message: Cow::Owned(message.to_owned()),
            native: Cow::Owned(error_body(message)),
        });
    }
}

/// A `usage` object; the inverse of [`super::counts`].
fn usage(counts: Counts) -> String {
    let cached = counts.cache_read.unwrap_or(0).saturating_add(counts.cache_write.unwrap_or(0));
    let (input, output) = (counts.input.unwrap_or(0), counts.output.unwrap_or(0));
    let mut out = Vec::with_capacity(128);
    let mut object = Object::open(&mut out);
    object.number("inputTokens", input.saturating_sub(cached));
    object.number("outputTokens", output);
    object.number("totalTokens", input.max(cached).saturating_add(output));
    for (name, count) in
        [("cacheReadInputTokens", counts.cache_read), ("cacheWriteInputTokens", counts.cache_write)]
    {
        if let Some(count) = count {
            object.number(name, count);
        }
    }
    object.close();
    String::from_utf8(out).unwrap_or_default()
}

/// The body of an error, and the payload of an exception.
pub(super) fn error_body(message: &str) -> String {
    let mut out = Vec::with_capacity(message.len() + 16);
    let mut object = Object::open(&mut out);
    object.string("message", message);
    object.close();
    String::from_utf8(out).unwrap_or_default()
}

/// The exception that says in a stream what `code` says in another dialect.
pub fn exception(code: &str) -> &'static str {
    match code.to_ascii_lowercase().as_str() {
        "400"
        | "401"
        | "403"
        | "404"
        | "413"
        | "invalid_request_error"
        | "invalid_prompt"
        | "context_length_exceeded"
        | "invalid_argument"
        | "failed_precondition"
        | "authentication_error"
        | "invalid_api_key"
        | "unauthenticated"
        | "permission_error"
        | "permission_denied"
        | "not_found_error"
        | "not_found"
        | "model_not_found"
        | "request_too_large"
        | "content_filter" => "validationException",
        "429"
        | "rate_limit_error"
        | "rate_limit_exceeded"
        | "resource_exhausted"
        | "insufficient_quota" => "throttlingException",
        "503" | "529" | "overloaded_error" | "unavailable" => "serviceUnavailableException",
        "500" | "api_error" | "server_error" | "internal" => "internalServerException",
        _ => "modelStreamErrorException",
    }
}
