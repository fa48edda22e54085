//! Events of other dialects to responses.
//!
//! A call leaves in one piece, when it closes: that is the only form that all Gemini clients read.
//! What is held for that is bounded; a call that outgrows the bound, or whose arguments are no JSON
//! object in the end, is left out, and the choice then stops with `MALFORMED_FUNCTION_CALL`, as
//! Gemini itself would say. A call that never closes stays unsaid.

use super::grammar;
use super::object::{Members, Objects, Part, Piece, Rank};
use super::write::Ids;
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, ToolFlavour};
use crate::wire::loss::Loss;
use crate::wire::provider_error::Cause;
use crate::wire::retell::{Arguments, Choices, Reasoning, Refusal, Retelling, Room};
use serde_json::value::RawValue;

/// Bytes of arguments that are held of all open calls of an answer.
pub const ARGUMENTS_BYTES_MAX: usize = 8 << 20;
/// Calls of an answer that may be open at once.
pub const CALLS_MAX: usize = 128;

/// What this dialect has room for.
const ROOM: Room = Room {
    choices: Choices::Many,
    reasoning: Reasoning::Joined,
    refusal: Refusal::AsText,
    arguments: Arguments::Checked,
    id_prefix: "call",
    id_bytes_max: 64,
};

/// What is held of an answer.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) retelling: Retelling,
    /// In the order in which they were opened.
    calls: Vec<Call>,
    /// Bytes in all `arguments`, at most [`ARGUMENTS_BYTES_MAX`].
    held: usize,
    /// Choices of which a call was left out.
    malformed: Vec<u16>,
}

/// An open call.
#[derive(Debug)]
struct Call {
    choice: u16,
    block: u16,
    id: Box<str>,
    name: Box<str>,
    flavour: ToolFlavour,
    arguments: String,
}

impl Call {
    fn is(&self, channel: Channel) -> bool {
        (self.choice, self.block) == (channel.choice, channel.block)
    }
}

impl Foreign {
    pub(super) fn new(source: Dialect) -> Foreign {
        let retelling = Retelling::new(source, ROOM);
        Foreign { retelling, calls: Vec::new(), held: 0, malformed: Vec::new() }
    }

    /// The pieces of a stream's frame, or (`merged`) of a whole answer.
    pub(super) fn pieces(
        &mut self,
        events: &[Event<'_>],
        merged: bool,
        ids: &mut Ids,
    ) -> Vec<Piece> {
        if merged {
            let told = self.retelling.whole(events);
            return self.told(&told, merged, ids);
        }
        let mut told = Vec::with_capacity(events.len());
        self.retelling.events(events, &mut told);
        self.told(&told, merged, ids)
    }

    fn told(&mut self, events: &[Event<'_>], merged: bool, ids: &mut Ids) -> Vec<Piece> {
        let mut objects = Objects::new(merged);
        for (at, event) in events.iter().enumerate() {
            // One object can say each of these once.
            if merged && events.get(at + 1..).is_some_and(|later| replaced(event, later)) {
                continue;
            }
            match event {
                Event::Start { id, model, created } => ids.start(id, model, *created),
                Event::Open { channel, block: Block::Tool { id, name, flavour } } => {
                    self.open(*channel, id, name, *flavour);
                }
                Event::Text { channel, text, .. } => {
                    self.text(*channel, text, &mut objects, ids);
                }
                Event::Close { channel } => {
                    if let Some(at) = self.calls.iter().position(|call| call.is(*channel)) {
                        self.close(at, &mut objects, ids);
                    }
                }
                Event::Stop { choice, reason, .. } => {
                    self.drop_open(*choice);
                    let malformed = self.malformed.contains(choice);
                    let finish = if malformed {
                        "MALFORMED_FUNCTION_CALL"
                    } else {
                        grammar::finish_reason(*reason)
                    };
                    let candidate = objects.candidate(*choice, Rank::Stop, ids.both());
                    candidate.members.string("finishReason", finish);
                }
                Event::Usage { counts, .. } => {
                    if counts.cache_write.is_some_and(|count| count > 0) {
                        self.retelling.lose(Loss::AnswerUsage);
                    }
                    let object = objects.at(Rank::Usage, true, ids.both());
                    object.known = true;
                    object.members.json("usageMetadata", &usage(*counts));
                }
                Event::Error { code, message, .. } => {
                    let object = objects.at(Rank::Error, true, ids.both());
                    object.members.json("error", &error(code, message));
                }
                Event::Open { .. }
                | Event::Repeat { .. }
                | Event::Signature { .. }
                | Event::Ping
                | Event::Extra { .. }
                | Event::Opaque { .. }
                | Event::End => {}
            }
        }
        objects.finish(ids.both())
    }

    fn open(&mut self, channel: Channel, id: &str, name: &str, flavour: ToolFlavour) {
        if self.calls.len() == CALLS_MAX {
            return self.give_up(channel.choice);
        }
        self.calls.push(Call {
            choice: channel.choice,
            block: channel.block,
            id: id.into(),
            name: name.into(),
            flavour,
            arguments: String::new(),
        });
    }

    fn text(&mut self, channel: Channel, text: &str, objects: &mut Objects, ids: &Ids) {
        match channel.kind {
            Kind::ToolArguments => {
                let Some(at) = self.calls.iter().rposition(|call| call.is(channel)) else {
                    return;
                };
                if self.held + text.len() > ARGUMENTS_BYTES_MAX {
                    let call = self.calls.remove(at);
                    self.held -= call.arguments.len();
                    return self.give_up(call.choice);
                }
                if let Some(call) = self.calls.get_mut(at)
                    && call.flavour != ToolFlavour::Server
                {
                    self.held += text.len();
                    call.arguments.push_str(text);
                }
            }
            Kind::Answer | Kind::Refusal | Kind::Reasoning if !text.is_empty() => {
                let candidate = objects.candidate(channel.choice, Rank::Parts, ids.both());
                let part = candidate.open(Part::default());
                part.members.string("text", text);
                if channel.kind == Kind::Reasoning {
                    part.members.json("thought", b"true");
                }
            }
            Kind::Answer
            | Kind::Refusal
            | Kind::Reasoning
            | Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::ToolName
            | Kind::Citation
            | Kind::Other => {}
        }
    }

    /// Sends a call that is whole.
    fn close(&mut self, at: usize, objects: &mut Objects, ids: &Ids) {
        let call = self.calls.remove(at);
        self.held -= call.arguments.len();
        let mut arguments = Members::default();
        let args = match call.flavour {
            ToolFlavour::Server => return,
            ToolFlavour::Custom => {
                arguments.string("input", &call.arguments);
                arguments.object()
            }
            ToolFlavour::Function if call.arguments.trim().is_empty() => b"{}".to_vec(),
            ToolFlavour::Function => match serde_json::from_str::<&RawValue>(&call.arguments) {
                Ok(raw) if raw.get().starts_with('{') => raw.get().into(),
                Ok(_) | Err(_) => return self.give_up(call.choice),
            },
        };
        let mut members = Members::default();
        if !call.id.is_empty() {
            members.string("id", &call.id);
        }
        members.string("name", &call.name);
        members.json("args", &args);
        let candidate = objects.candidate(call.choice, Rank::Parts, ids.both());
        candidate.open(Part { call: Some(members), ..Part::default() });
        candidate.close();
    }

    /// Forgets calls that broke off.
    fn drop_open(&mut self, choice: u16) {
        let held = &mut self.held;
        self.calls.retain(|call| {
            let is_kept = call.choice != choice;
            if !is_kept {
                *held = held.saturating_sub(call.arguments.len());
            }
            is_kept
        });
    }

    fn give_up(&mut self, choice: u16) {
        if !self.malformed.contains(&choice) {
            self.malformed.push(choice);
        }
    }
}

/// Whether a later event says anew what `event` says.
fn replaced(event: &Event<'_>, later: &[Event<'_>]) -> bool {
    match event {
        Event::Usage { .. } => later.iter().any(|other| matches!(other, Event::Usage { .. })),
        Event::Error { .. } => later.iter().any(|other| matches!(other, Event::Error { .. })),
        Event::Stop { choice, .. } => later
            .iter()
            .any(|other| matches!(other, Event::Stop { choice: again, .. } if again == choice)),
        Event::Start { .. }
        | Event::Open { .. }
        | Event::Text { .. }
        | Event::Repeat { .. }
        | Event::Signature { .. }
        | Event::Close { .. }
        | Event::Ping
        | Event::Extra { .. }
        | Event::Opaque { .. }
        | Event::End => false,
    }
}

/// A `usageMetadata`: thinking is counted beside the candidates.
fn usage(counts: Counts) -> Vec<u8> {
    // Some providers count reasoning apart, and then it may be more than the rest.
    let candidates = counts
        .output
        .map(|output| output.checked_sub(counts.reasoning.unwrap_or(0)).unwrap_or(output));
    let mut usage = Members::default();
    let mut number = |key, count: Option<u64>| {
        if let Some(count) = count {
            usage.number(key, count);
        }
    };
    number("promptTokenCount", counts.input);
    number("cachedContentTokenCount", counts.cache_read);
    number("candidatesTokenCount", candidates);
    number("thoughtsTokenCount", counts.reasoning);
    let output = candidates.unwrap_or(0).saturating_add(counts.reasoning.unwrap_or(0));
    let total = counts.input.unwrap_or(0).saturating_add(output);
    number("totalTokenCount", (counts.input.is_some() || counts.output.is_some()).then_some(total));
    usage.object()
}

/// An error object. The official clients want an HTTP status as the code, and raise by it.
fn error(code: &str, message: &str) -> Vec<u8> {
    let cause = Cause::of_code(code);
    let mut error = Members::default();
    error.number("code", u64::from(cause.status()));
    error.string("message", message);
    error.string("status", cause.gemini_status());
    error.object()
}
